//! Compact bytes of records: LEB128 varints, zigzag for signed numbers, length-prefixed text.

use super::error::StoreError;
use super::table::Table;

/// Appends values to a record.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Starts a record with its version.
    #[must_use]
    pub fn record(version: u8) -> Self {
        Self(vec![version])
    }

    /// The record.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// What was appended so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Starts again, in the same memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a byte.
    pub fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Appends bytes without their length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// Appends an unsigned varint.
    pub fn uint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// Appends a signed varint.
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.uint(((value << 1) ^ (value >> 63)) as u64)
    }

    /// Appends a fixed 64-bit number (hashes: varints would be longer).
    pub fn fixed(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a float's bits.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.fixed(value.to_bits())
    }

    /// Appends length and bytes of a text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.uint(value.len() as u64).raw(value.as_bytes())
    }

    /// Appends what `write` appends, preceded by its length.
    pub fn sized(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        self.0.push(0);
        write(self);
        let len = self.0.len() - at - 1;
        match (u8::try_from(len), self.0.get_mut(at)) {
            // Its length is one byte, as nearly always.
            (Ok(short @ 0..0x80), Some(place)) => *place = short,
            _ => {
                let mut head = Self::default();
                head.uint(len as u64);
                self.0.splice(at..=at, head.0);
            }
        }
        self
    }

    /// Appends a presence byte and the text.
    pub fn optional_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            None => self.byte(0),
            Some(text) => self.byte(1).text(text),
        }
    }
}

/// Reads a record's values in the order they were appended.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    table: Table,
}

impl<'a> Decoder<'a> {
    /// Opens a record of `table` and checks its version.
    ///
    /// # Errors
    /// Where the version is another one.
    pub fn record(table: Table, bytes: &'a [u8], version: u8) -> Result<Self, StoreError> {
        let mut decoder = Self { rest: bytes, table };
        if decoder.byte()? != version {
            return Err(decoder.corrupt("unknown version"));
        }
        Ok(decoder)
    }

    /// Opens a record of `table` that has one of several versions, and says which.
    ///
    /// # Errors
    /// Where the version is 0 or above `newest`.
    pub fn versions(table: Table, bytes: &'a [u8], newest: u8) -> Result<(Self, u8), StoreError> {
        let mut decoder = Self { rest: bytes, table };
        let version = decoder.byte()?;
        if version == 0 || version > newest {
            return Err(decoder.corrupt("unknown version"));
        }
        Ok((decoder, version))
    }

    /// Reads a part of a record of `table` that has no version of its own.
    #[must_use]
    pub fn part(table: Table, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, table }
    }

    /// An error of this record.
    #[must_use]
    pub fn corrupt(&self, reason: &'static str) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            reason,
        }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the record.
    ///
    /// # Errors
    /// Where bytes are left over.
    pub fn finish(self) -> Result<(), StoreError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.corrupt("bytes left over"))
        }
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// Where the record ends before it; so for every reader below.
    pub fn byte(&mut self) -> Result<u8, StoreError> {
        let (&first, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| self.corrupt("too short"))?;
        self.rest = rest;
        Ok(first)
    }

    /// Reads `len` bytes.
    ///
    /// # Errors
    /// See [`Decoder::byte`].
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.corrupt("too short"))?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads bytes that their length precedes.
    ///
    /// # Errors
    /// See [`Decoder::byte`].
    pub fn sized(&mut self) -> Result<&'a [u8], StoreError> {
        let len = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        self.raw(len)
    }

    /// Reads an unsigned varint.
    ///
    /// # Errors
    /// See [`Decoder::byte`]; also where it does not fit 64 bits.
    pub fn uint(&mut self) -> Result<u64, StoreError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt("number too large"))
    }

    /// Reads an unsigned varint that fits 32 bits.
    ///
    /// # Errors
    /// See [`Decoder::uint`].
    pub fn uint32(&mut self) -> Result<u32, StoreError> {
        let value = self.uint()?;
        u32::try_from(value).map_err(|_| self.corrupt("number too large"))
    }

    /// Reads a signed varint.
    ///
    /// # Errors
    /// See [`Decoder::uint`].
    pub fn int(&mut self) -> Result<i64, StoreError> {
        let bits = self.uint()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// Reads a fixed 64-bit number.
    ///
    /// # Errors
    /// See [`Decoder::byte`].
    pub fn fixed(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// See [`Decoder::byte`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let bytes = self.raw(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| self.corrupt("too short"))
    }

    /// Reads a float's bits.
    ///
    /// # Errors
    /// See [`Decoder::byte`].
    pub fn float(&mut self) -> Result<f64, StoreError> {
        self.fixed().map(f64::from_bits)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// See [`Decoder::byte`]; also where it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, StoreError> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("text is not UTF-8"))
    }

    /// Reads a text that may be absent.
    ///
    /// # Errors
    /// See [`Decoder::text`].
    pub fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        if self.flag()? {
            self.text().map(|text| Some(text.to_owned()))
        } else {
            Ok(None)
        }
    }

    /// Reads a byte that is 0 or 1.
    ///
    /// # Errors
    /// See [`Decoder::byte`]; also where it is neither.
    pub fn flag(&mut self) -> Result<bool, StoreError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt("flag is neither 0 nor 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn values_come_back(unsigned: u64, signed: i64, bits: u64, text in ".{0,40}") {
            let mut encoder = Encoder::record(3);
            encoder.uint(unsigned).int(signed).fixed(bits).text(&text).optional_text(Some(&text));
            let bytes = encoder.finish();
            let mut decoder = Decoder::record(Table::Meta, &bytes, 3).unwrap();
            prop_assert_eq!(decoder.uint().unwrap(), unsigned);
            prop_assert_eq!(decoder.int().unwrap(), signed);
            prop_assert_eq!(decoder.fixed().unwrap(), bits);
            prop_assert_eq!(decoder.text().unwrap(), &text);
            prop_assert_eq!(decoder.optional_text().unwrap(), Some(text));
            decoder.finish().unwrap();
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_corrupt() {
        let bytes = [
            1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
        ];
        let mut decoder = Decoder::record(Table::Log, &bytes, 1).unwrap();
        assert_eq!(
            decoder.uint().unwrap_err().to_string(),
            "a record of table log is corrupt: number too large"
        );
    }
}
