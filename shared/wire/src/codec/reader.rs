//! Reads a payload: never panics, never reserves more than a checked length asks for.

use alloc::string::String;
use alloc::vec::Vec;

use super::id_text::{IdBuffer, IdText};
use super::{SIGN, ints};
use crate::decode::DecodeError;

/// What is left to read; `what` in its methods names the part for errors.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

type Result<T> = core::result::Result<T, DecodeError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8> {
        Ok(u8::from_le_bytes(self.chunk(what)?))
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::OutOfRange(what)),
        }
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64> {
        Ok(i64::from_le_bytes(self.chunk(what)?))
    }

    pub(crate) fn f32(&mut self, what: &'static str) -> Result<f32> {
        Ok(f32::from_bits(u32::from_le_bytes(self.chunk(what)?)))
    }

    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64> {
        Ok(f64::from_bits(u64::from_le_bytes(self.chunk(what)?)))
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::OutOfRange(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::OutOfRange(what))
    }

    /// The length of a list of at most `max` entries.
    pub(crate) fn len(&mut self, what: &'static str, max: usize) -> Result<usize> {
        let len = self.varint(what)?;
        match usize::try_from(len) {
            Ok(entries) if entries <= max => Ok(entries),
            _ => Err(DecodeError::TooMany { what, len, max }),
        }
    }

    pub(crate) fn text(&mut self, what: &'static str, bytes_max: usize) -> Result<String> {
        let len = self.len(what, bytes_max)?;
        utf8(self.take(what, len)?, what).map(String::from)
    }

    /// Bytes of a length that goes before them, at most `max`.
    pub(crate) fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8]> {
        let len = self.varint(what)?;
        match usize::try_from(len) {
            Ok(len) if len <= max => self.take(what, len),
            _ => Err(DecodeError::TooLarge {
                len: usize::try_from(len).unwrap_or(usize::MAX),
                max,
            }),
        }
    }

    pub(crate) fn optional_text(
        &mut self,
        what: &'static str,
        bytes_max: usize,
    ) -> Result<Option<String>> {
        if self.flag(what)? {
            self.text(what, bytes_max).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A column of `len` integers of at most `max`; `len` was checked against a limit.
    pub(crate) fn ints(&mut self, what: &'static str, len: usize, max: u64) -> Result<Vec<u64>> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let values = match self.byte(what)? {
            ints::CONSTANT => alloc::vec![self.varint(what)?; len],
            ints::VARINT => self.each(what, len, |value, _| value)?,
            ints::PACKED => self.packed(what, len)?,
            ints::DELTA => self.each(what, len, |zigzag, before| {
                let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                before.wrapping_add(delta as u64)
            })?,
            _ => return Err(DecodeError::OutOfRange(what)),
        };
        if values.iter().any(|&value| value > max) {
            return Err(DecodeError::OutOfRange(what));
        }
        Ok(values)
    }

    /// A column of integers that fit `T`.
    pub(crate) fn ints_as<T: TryFrom<u64>>(
        &mut self,
        what: &'static str,
        len: usize,
    ) -> Result<Vec<T>> {
        let values = self.ints(what, len, u64::MAX)?;
        let fitting: Option<Vec<T>> = values
            .into_iter()
            .map(|value| T::try_from(value).ok())
            .collect();
        fitting.ok_or(DecodeError::OutOfRange(what))
    }

    pub(crate) fn signed(&mut self, what: &'static str, len: usize) -> Result<Vec<i64>> {
        let values = self.ints(what, len, u64::MAX)?;
        Ok(values
            .into_iter()
            .map(|value| (value ^ SIGN) as i64)
            .collect())
    }

    pub(crate) fn f64s(&mut self, what: &'static str, len: usize) -> Result<Vec<f64>> {
        let mut bits = alloc::vec![0_u64; len];
        for _ in 0..8 {
            for (bits, &byte) in bits.iter_mut().zip(self.take(what, len)?) {
                *bits = *bits << 8 | u64::from(byte);
            }
        }
        Ok(bits.into_iter().map(f64::from_bits).collect())
    }

    /// A column of `len` texts of at most `bytes_max` bytes each, one after the other.
    pub(crate) fn texts(
        &mut self,
        what: &'static str,
        len: usize,
        bytes_max: usize,
        mut each: impl FnMut(&str),
    ) -> Result<()> {
        let lens = self.ints(what, len, bytes_max as u64)?;
        for len in lens {
            let text = self.take(what, usize::try_from(len).unwrap_or(usize::MAX))?;
            each(utf8(text, what)?);
        }
        Ok(())
    }

    /// A column of `len` ids of at most `bytes_max` bytes each, one after the other.
    pub(crate) fn ids(
        &mut self,
        what: &'static str,
        len: usize,
        bytes_max: usize,
        mut each: impl FnMut(&str),
    ) -> Result<()> {
        let classes = self.ints(what, len, IdText::TEXT)?;
        let count = |class| classes.iter().filter(|&&known| known == class).count();
        let (numbers, uuids, texts) = (
            count(IdText::NUMBER),
            count(IdText::UUID),
            count(IdText::TEXT),
        );
        let mut numbers = self.ints(what, numbers, u64::MAX)?.into_iter();
        let mut uuids = self.take(what, uuids.saturating_mul(16))?.chunks_exact(16);
        let lens = self.ints(what, texts, bytes_max as u64)?;
        let mut lens = lens.into_iter();
        let mut buffer = IdBuffer::new();
        for class in classes {
            let truncated = DecodeError::Truncated(what);
            let value = match class {
                IdText::NUMBER => IdText::Number(numbers.next().ok_or(truncated)?),
                IdText::UUID => {
                    let bytes = uuids.next().and_then(|bytes| bytes.try_into().ok());
                    IdText::Uuid(bytes.ok_or(truncated)?)
                }
                _ => {
                    let len = lens.next().and_then(|len| usize::try_from(len).ok());
                    let bytes = self.take(what, len.ok_or(truncated)?)?;
                    IdText::Text(utf8(bytes, what)?)
                }
            };
            each(value.text(&mut buffer));
        }
        Ok(())
    }

    fn each(
        &mut self,
        what: &'static str,
        len: usize,
        value: impl Fn(u64, u64) -> u64,
    ) -> Result<Vec<u64>> {
        let mut values = Vec::with_capacity(len);
        let mut before = 0;
        for _ in 0..len {
            before = value(self.varint(what)?, before);
            values.push(before);
        }
        Ok(values)
    }

    fn packed(&mut self, what: &'static str, len: usize) -> Result<Vec<u64>> {
        let min = self.varint(what)?;
        let width = u32::from(self.byte(what)?);
        if width > u64::BITS {
            return Err(DecodeError::OutOfRange(what));
        }
        let mask = (1_u128 << width) - 1;
        let mut bytes = self
            .take(what, len.saturating_mul(width as usize).div_ceil(8))?
            .iter();
        let mut values = Vec::with_capacity(len);
        let mut pending = 0_u128;
        let mut bits = 0;
        for _ in 0..len {
            while bits < width {
                let byte = bytes.next().ok_or(DecodeError::Truncated(what))?;
                pending |= u128::from(*byte) << bits;
                bits += 8;
            }
            let difference = (pending & mask) as u64;
            pending >>= width;
            bits -= width;
            values.push(
                min.checked_add(difference)
                    .ok_or(DecodeError::OutOfRange(what))?,
            );
        }
        Ok(values)
    }

    fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated(what))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let (chunk, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated(what))?;
        self.bytes = rest;
        Ok(*chunk)
    }
}

fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8(what))
}
