//! Columns of integers: frame of reference, planes of bits, and exceptions.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | base, the smallest value |
//! | 4 | number of values |
//! | 1 | width: bits of a value less the base that lie in planes, 0 to 64 |
//! | 1 | mode: 0 as they are, 1 zigzag of the difference to the value before (from 0) |
//! | 1 | 1 where exceptions follow the planes |
//! | 1 | 0 |
//! | n | planes, filled up to 8 bytes |
//! | n | rows of the exceptions, a column of integers without exceptions |
//! | n | their bits above the width, likewise |
//!
//! A width is a sum of powers of two, and so are its planes: 12 bits are a plane of bytes and
//! one of nibbles. Planes of 8 bits and more are cast. In those of 4, 2 and 1 bits, byte `j`
//! of `m` holds the values `j`, `j + m`, `j + 2m` ... from its lowest bits up: straight loops
//! that a compiler turns into SIMD. Wide planes come first, so that all are aligned.
//!
//! Few large values among small ones would widen all; as exceptions (Zukowski et al.,
//! Super-Scalar RAM-CPU Cache Compression, 2006) they cost a byte or two each.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::{BitOr, Shl};

use super::part::{Parts, PartsWriter, cast};
use crate::decode::DecodeError;

const PLAIN: u8 = 0;
const DELTA: u8 = 1;
const HEAD_BYTES: usize = 16;

/// How many values a column may have.
#[derive(Clone, Copy)]
pub(super) enum Len {
    /// So many.
    Exactly(usize),
    /// At most so many.
    AtMost(usize),
}

/// What a value is decoded to: 32 bits where that is enough, for speed.
pub(super) trait Lane:
    Copy
    + Default
    + Ord
    + From<u8>
    + From<u16>
    + From<u32>
    + BitOr<Output = Self>
    + Shl<u32, Output = Self>
{
    const BITS: u32;
    const MAX: Self;
    /// The value, where it fits.
    fn from_u64(value: u64) -> Option<Self>;
    fn wrapping_add(self, other: Self) -> Self;
}

macro_rules! lane {
    ($lane:ty) => {
        impl Lane for $lane {
            const BITS: u32 = <$lane>::BITS;
            const MAX: Self = <$lane>::MAX;
            fn from_u64(value: u64) -> Option<Self> {
                value.try_into().ok()
            }
            #[inline]
            fn wrapping_add(self, other: Self) -> Self {
                <$lane>::wrapping_add(self, other)
            }
        }
    };
}
lane!(u32);
lane!(u64);

/// How a column will be written.
#[derive(Clone, Copy)]
struct Plan {
    mode: u8,
    base: u64,
    width: u32,
    has_exceptions: bool,
    /// About so many bytes.
    bytes: usize,
}

impl Plan {
    /// The shortest plan without exceptions, and with them where they are allowed.
    fn of(values: &[u64], mode: u8, with_exceptions: bool) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        // Values by their number of bits.
        let mut lens = [0_usize; 65];
        for value in values {
            let len = (u64::BITS - (value - base).leading_zeros()) as usize;
            if let Some(count) = lens.get_mut(len) {
                *count += 1;
            }
        }
        let widest = lens.iter().rposition(|&count| count > 0).unwrap_or(0);
        let mut best = Self {
            mode,
            base,
            width: widest as u32,
            has_exceptions: false,
            bytes: planes_bytes(values.len(), widest as u32),
        };
        let mut above = 0;
        for width in (0..widest).rev() {
            above += lens.get(width + 1).copied().unwrap_or(0);
            // Gaps between rows take the bits of the mean gap and some, zigzag one.
            let gap_bits = (values.len() / above.max(1)).max(1).ilog2() as usize + 3;
            let exceptions = 2 * HEAD_BYTES + (above * (gap_bits + widest - width)).div_ceil(8);
            let bytes = planes_bytes(values.len(), width as u32) + exceptions;
            if with_exceptions && bytes < best.bytes {
                best = Self {
                    width: width as u32,
                    has_exceptions: true,
                    bytes,
                    ..best
                };
            }
        }
        best
    }
}

/// Bytes of the planes of `width` bits of `len` values.
fn planes_bytes(len: usize, width: u32) -> usize {
    planes(width)
        .map(|bits| plane_bytes(len, bits))
        .fold(0, usize::saturating_add)
}

/// Sizes of the planes that make up `width`, widest first.
fn planes(width: u32) -> impl Iterator<Item = u32> {
    [64, 32, 16, 8, 4, 2, 1]
        .into_iter()
        .filter(move |bits| width & bits != 0)
}

fn plane_bytes(len: usize, bits: u32) -> usize {
    if bits < 8 {
        len.div_ceil(8 / bits as usize)
    } else {
        len.saturating_mul(bits as usize / 8)
    }
}

/// Writes `values` as they are, without a look at their differences: for what is in no order.
pub(super) fn write_unordered(values: &[u64], out: &mut PartsWriter<'_>) {
    write_as(Plan::of(values, PLAIN, true), values, out);
}

/// Writes `values` in the shorter of both modes.
pub(super) fn write(values: &[u64], out: &mut PartsWriter<'_>) {
    write_some(values, true, out);
}

fn write_some(values: &[u64], with_exceptions: bool, out: &mut PartsWriter<'_>) {
    let deltas: Vec<u64> = deltas(values).collect();
    let plain = Plan::of(values, PLAIN, with_exceptions);
    let delta = Plan::of(&deltas, DELTA, with_exceptions);
    if delta.bytes < plain.bytes {
        write_as(delta, &deltas, out);
    } else {
        write_as(plain, values, out);
    }
}

fn write_as(plan: Plan, values: &[u64], out: &mut PartsWriter<'_>) {
    let codes: Vec<u64> = values.iter().map(|value| value - plan.base).collect();
    out.part(|bytes| {
        bytes.extend_from_slice(&plan.base.to_le_bytes());
        bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
        let exceptions = u8::from(plan.has_exceptions);
        bytes.extend_from_slice(&[plan.width as u8, plan.mode, exceptions, 0]);
    });
    out.part(|bytes| {
        let mut shift = 0;
        for bits in planes(plan.width) {
            write_plane(&codes, shift, bits, bytes);
            shift += bits;
        }
    });
    if plan.has_exceptions {
        let highs = codes.iter().map(|code| code >> plan.width);
        let exceptions = (0_u64..).zip(highs).filter(|&(_, high)| high > 0);
        let (rows, highs): (Vec<u64>, Vec<u64>) = exceptions.unzip();
        write_some(&rows, false, out);
        write_some(&highs, false, out);
    }
}

/// Bits `shift..shift + bits` of every code.
fn write_plane(codes: &[u64], shift: u32, bits: u32, out: &mut Vec<u8>) {
    let shifted = codes.iter().map(|code| code >> shift);
    match bits {
        64 => out.extend(shifted.flat_map(u64::to_le_bytes)),
        32 => out.extend(shifted.flat_map(|code| (code as u32).to_le_bytes())),
        16 => out.extend(shifted.flat_map(|code| (code as u16).to_le_bytes())),
        8 => out.extend(shifted.map(|code| code as u8)),
        _ => {
            let bytes = plane_bytes(codes.len(), bits);
            let mask = (1 << bits) - 1;
            let mut plane = vec![0_u8; bytes];
            for (segment, codes) in codes.chunks(bytes.max(1)).enumerate() {
                for (byte, code) in plane.iter_mut().zip(codes) {
                    *byte |= ((code >> shift & mask) as u8) << (segment as u32 * bits);
                }
            }
            out.extend_from_slice(&plane);
        }
    }
}

/// Zigzag of the wrapping differences: small for neighbours in either direction.
fn deltas(values: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let befores = core::iter::once(0).chain(values.iter().copied());
    values.iter().zip(befores).map(|(&value, before)| {
        let delta = value.wrapping_sub(before) as i64;
        (delta << 1 ^ delta >> 63) as u64
    })
}

/// Reads what [`write()`] wrote; every value is at most `max`.
pub(super) fn read<T: Lane>(
    what: &'static str,
    input: &mut Parts<'_>,
    len: Len,
    max: T,
) -> Result<Vec<T>, DecodeError> {
    let column = Packed::read(what, input, len)?;
    let exceptions = if column.has_exceptions {
        let rows = Packed::read(what, input, Len::AtMost(column.len))?;
        let highs = Packed::read(what, input, Len::Exactly(rows.len))?;
        if rows.has_exceptions || highs.has_exceptions {
            return Err(column.out_of_range());
        }
        Some((rows.values::<u32>(None)?, highs.values::<u64>(None)?))
    } else {
        None
    };
    let values = column.values::<T>(exceptions.as_ref())?;
    let is_bounded = exceptions.is_none()
        && column
            .plain_max()
            .and_then(T::from_u64)
            .is_some_and(|largest| largest <= max);
    if !(is_bounded && column.mode == PLAIN) && has(&values, |value| value > max) {
        return Err(column.out_of_range());
    }
    Ok(values)
}

/// Whether any value is so. All are looked at, many at once, instead of up to the first.
fn has<T: Copy>(values: &[T], is_so: impl Fn(T) -> bool) -> bool {
    values.iter().fold(false, |any, &value| any | is_so(value))
}

/// Rows, and what they have above the width.
type Exceptions = (Vec<u32>, Vec<u64>);

/// A column's head and planes.
struct Packed<'a> {
    what: &'static str,
    base: u64,
    len: usize,
    width: u32,
    mode: u8,
    has_exceptions: bool,
    planes: &'a [u8],
}

impl<'a> Packed<'a> {
    fn read(what: &'static str, input: &mut Parts<'a>, len: Len) -> Result<Self, DecodeError> {
        let head: [u8; HEAD_BYTES] = input.array(what)?;
        let [
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
            n0,
            n1,
            n2,
            n3,
            width,
            mode,
            exceptions,
            reserved,
        ] = head;
        let count = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
        match len {
            Len::Exactly(len) if count != len => return Err(DecodeError::OutOfRange(what)),
            Len::AtMost(max) if count > max => {
                return Err(DecodeError::TooMany {
                    what,
                    len: count as u64,
                    max,
                });
            }
            _ => {}
        }
        let width = u32::from(width);
        if width > u64::BITS || mode > DELTA || exceptions > 1 || reserved != 0 {
            return Err(DecodeError::OutOfRange(what));
        }
        Ok(Self {
            what,
            base: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            len: count,
            width,
            mode,
            has_exceptions: exceptions == 1,
            planes: input.part(what, planes_bytes(count, width))?,
        })
    }

    fn out_of_range(&self) -> DecodeError {
        DecodeError::OutOfRange(self.what)
    }

    fn values<T: Lane>(&self, exceptions: Option<&Exceptions>) -> Result<Vec<T>, DecodeError> {
        if self.mode == PLAIN {
            return self.unpack(exceptions);
        }
        let mut values = Vec::with_capacity(self.len);
        let mut before = 0_u64;
        for zigzag in self.unpack::<u64>(exceptions)? {
            let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            before = before.wrapping_add(delta as u64);
            values.push(T::from_u64(before).ok_or(self.out_of_range())?);
        }
        Ok(values)
    }

    /// The largest value that base and width allow without exceptions; `None` where it wraps.
    fn plain_max(&self) -> Option<u64> {
        let mask = u64::MAX.checked_shr(u64::BITS - self.width).unwrap_or(0);
        self.base.checked_add(mask)
    }

    /// The values as they lie in the planes, with the base.
    fn unpack<T: Lane>(&self, exceptions: Option<&Exceptions>) -> Result<Vec<T>, DecodeError> {
        let base = T::from_u64(self.base).ok_or(self.out_of_range())?;
        if self.width > T::BITS {
            return Err(self.out_of_range());
        }
        let mut values = vec![T::default(); self.len];
        let mut rest = self.planes;
        let mut shift = 0;
        for bits in planes(self.width) {
            let (plane, after) = rest
                .split_at_checked(plane_bytes(self.len, bits))
                .ok_or(self.out_of_range())?;
            self.add_plane(&mut values, plane, shift, bits)?;
            rest = after;
            shift += bits;
        }
        if let Some((rows, highs)) = exceptions {
            for (&row, &high) in rows.iter().zip(highs) {
                let shifted = high.checked_shl(self.width).unwrap_or(0);
                let slot = values.get_mut(row as usize);
                match (slot, T::from_u64(shifted)) {
                    (Some(slot), Some(part)) if shifted >> self.width == high => {
                        *slot = *slot | part;
                    }
                    _ => return Err(self.out_of_range()),
                }
            }
        }
        if base != T::default() {
            for value in &mut values {
                *value = value.wrapping_add(base);
            }
            let may_wrap = exceptions.is_some() || self.plain_max().and_then(T::from_u64).is_none();
            if may_wrap && has(&values, |value| value < base) {
                return Err(self.out_of_range());
            }
        }
        Ok(values)
    }

    fn add_plane<T: Lane>(
        &self,
        values: &mut [T],
        plane: &[u8],
        shift: u32,
        bits: u32,
    ) -> Result<(), DecodeError> {
        match bits {
            64 => {
                // Only where a value is as wide: nothing is shifted.
                for (value, &bits) in values.iter_mut().zip(cast::<u64>(self.what, plane)?) {
                    *value = T::from_u64(u64::from_le(bits)).unwrap_or_default();
                }
            }
            32 => add(values, cast(self.what, plane)?, shift, u32::from_le),
            16 => add(values, cast(self.what, plane)?, shift, u16::from_le),
            8 => add(values, plane, shift, |byte: u8| byte),
            _ => {
                let mask = (1_u8 << bits) - 1;
                for (segment, values) in values.chunks_mut(plane.len().max(1)).enumerate() {
                    let at = segment as u32 * bits;
                    add(values, plane, shift, |byte: u8| byte >> at & mask);
                }
            }
        }
        Ok(())
    }
}

/// The plane's bits above `shift` bits that the values have.
#[inline]
fn add<T: Lane + From<P>, P: Copy>(
    values: &mut [T],
    plane: &[P],
    shift: u32,
    bits: impl Fn(P) -> P,
) {
    for (value, &part) in values.iter_mut().zip(plane) {
        *value = *value | T::from(bits(part)) << shift;
    }
}

#[cfg(test)]
mod tests;
