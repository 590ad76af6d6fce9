//! Columns of integers: frame of reference, planes of bits, and exceptions.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | base, the smallest value |
//! | 4 | number of values |
//! | 2 | number of exceptions |
//! | 1 | width: bits of a value less the base that lie in planes, 0 to 64 |
//! | 1 | mode: 0 as they are, 1 zigzag of the difference to the value before (from 0) |
//! | 2 each | rows of the exceptions |
//! | 2 each | their bits above the width |
//! | n | planes |
//!
//! A width is a sum of powers of two, and so are its planes: 12 bits are a plane of bytes and
//! one of nibbles. Planes of 8 bits and more are cast. In those of 4, 2 and 1 bits, byte `j`
//! of `m` holds the values `j`, `j + m`, `j + 2m` ... from its lowest bits up: straight loops
//! that a compiler turns into SIMD. Wide planes come first, so that all are aligned.
//!
//! Few large values among small ones would widen all; as exceptions (Zukowski et al.,
//! Super-Scalar RAM-CPU Cache Compression, 2006) they cost 4 bytes each.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::{BitOr, Shl};

use super::part::{Parts, PartsWriter, cast};
use crate::decode::DecodeError;

const PLAIN: u8 = 0;
const DELTA: u8 = 1;
const HEAD_BYTES: usize = 16;
/// Bits of an exception above the width.
const EXCEPTION_BITS: u32 = 16;
/// Rows of exceptions are 16 bits.
const VALUES_MAX: usize = 1 << 16;

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
struct Plan {
    mode: u8,
    base: u64,
    width: u32,
    exceptions: usize,
    bytes: usize,
}

impl Plan {
    fn of(values: &[u64], mode: u8) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        // Values by their number of bits.
        let mut lens = [0_usize; 65];
        for value in values {
            if let Some(count) = lens.get_mut((u64::BITS - (value - base).leading_zeros()) as usize)
            {
                *count += 1;
            }
        }
        let widest = lens.iter().rposition(|&count| count > 0).unwrap_or(0);
        let mut above = 0;
        let mut best = Self {
            mode,
            base,
            width: widest as u32,
            exceptions: 0,
            bytes: planes_bytes(values.len(), widest as u32),
        };
        for width in (0..widest).rev() {
            above += lens.get(width + 1).copied().unwrap_or(0);
            let bytes = planes_bytes(values.len(), width as u32) + above * 4;
            let reach = (widest - width) as u32 <= EXCEPTION_BITS;
            if reach && bytes < best.bytes && values.len() <= VALUES_MAX {
                best = Self {
                    width: width as u32,
                    exceptions: above,
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

/// Writes `values` in the shorter of both modes, as two parts.
pub(super) fn write(values: &[u64], out: &mut PartsWriter<'_>) {
    let deltas: Vec<u64> = deltas(values).collect();
    let (plain, delta) = (Plan::of(values, PLAIN), Plan::of(&deltas, DELTA));
    if delta.bytes < plain.bytes {
        write_as(&delta, &deltas, out);
    } else {
        write_as(&plain, values, out);
    }
}

fn write_as(plan: &Plan, values: &[u64], out: &mut PartsWriter<'_>) {
    let codes: Vec<u64> = values.iter().map(|value| value - plan.base).collect();
    let highs = |code: &u64| code.checked_shr(plan.width).unwrap_or(0);
    let exceptions = || codes.iter().enumerate().filter(|(_, code)| highs(code) > 0);
    out.part(|bytes| {
        bytes.extend_from_slice(&plan.base.to_le_bytes());
        bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(plan.exceptions as u16).to_le_bytes());
        bytes.extend_from_slice(&[plan.width as u8, plan.mode]);
    });
    out.part(|bytes| {
        for (row, _) in exceptions() {
            bytes.extend_from_slice(&(row as u16).to_le_bytes());
        }
        for (_, code) in exceptions() {
            bytes.extend_from_slice(&(highs(code) as u16).to_le_bytes());
        }
        let mut shift = 0;
        for bits in planes(plan.width) {
            write_plane(&codes, shift, bits, bytes);
            shift += bits;
        }
    });
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

/// Reads what [`write`] wrote; every value is at most `max`.
pub(super) fn read<T: Lane>(
    what: &'static str,
    input: &mut Parts<'_>,
    len: Len,
    max: T,
) -> Result<Vec<T>, DecodeError> {
    let out_of_range = DecodeError::OutOfRange(what);
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
        e0,
        e1,
        width,
        mode,
    ] = head;
    let base = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    let count = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
    let exceptions = usize::from(u16::from_le_bytes([e0, e1]));
    let width = u32::from(width);
    match len {
        Len::Exactly(len) if count != len => return Err(out_of_range),
        Len::AtMost(max) if count > max => {
            return Err(DecodeError::TooMany {
                what,
                len: count as u64,
                max,
            });
        }
        _ => {}
    }
    if width > u64::BITS || mode > DELTA {
        return Err(out_of_range);
    }
    let body = input.part(
        what,
        planes_bytes(count, width).saturating_add(exceptions * 4),
    )?;
    let (patches, body) = body
        .split_at_checked(exceptions * 4)
        .ok_or(out_of_range.clone())?;
    let column = Packed {
        what,
        base,
        width,
        patches: cast(what, patches)?,
        planes: body,
    };
    let values = if mode == PLAIN {
        column.unpack::<T>(count)?
    } else {
        let mut before = 0_u64;
        let values = column.unpack::<u64>(count)?.into_iter().map(|zigzag| {
            let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            before = before.wrapping_add(delta as u64);
            T::from_u64(before).ok_or(DecodeError::OutOfRange(what))
        });
        values.collect::<Result<_, _>>()?
    };
    match values.iter().copied().max() {
        Some(largest) if largest > max => Err(out_of_range),
        _ => Ok(values),
    }
}

/// The packed values of a column.
struct Packed<'a> {
    what: &'static str,
    base: u64,
    width: u32,
    /// Rows, then as many high parts.
    patches: &'a [u16],
    planes: &'a [u8],
}

impl Packed<'_> {
    fn unpack<T: Lane>(&self, len: usize) -> Result<Vec<T>, DecodeError> {
        let out_of_range = DecodeError::OutOfRange(self.what);
        let base = T::from_u64(self.base).ok_or(out_of_range.clone())?;
        if self.width > T::BITS {
            return Err(out_of_range);
        }
        let mut values = vec![T::default(); len];
        let mut rest = self.planes;
        let mut shift = 0;
        for bits in planes(self.width) {
            let (plane, after) = rest
                .split_at_checked(plane_bytes(len, bits))
                .ok_or(out_of_range.clone())?;
            self.add_plane(&mut values, plane, shift, bits)?;
            rest = after;
            shift += bits;
        }
        let (rows, highs) = self.patches.split_at(self.patches.len() / 2);
        for (&row, &high) in rows.iter().zip(highs) {
            let high = u64::from(u16::from_le(high));
            let shifted = high
                .checked_shl(self.width)
                .filter(|&shifted| shifted >> self.width == high);
            let slot = values.get_mut(usize::from(u16::from_le(row)));
            match (slot, shifted.and_then(T::from_u64)) {
                (Some(slot), Some(high)) => *slot = *slot | high,
                _ => return Err(out_of_range),
            }
        }
        if base != T::default() {
            let mut wraps = false;
            for value in &mut values {
                *value = value.wrapping_add(base);
                wraps |= *value < base;
            }
            if wraps {
                return Err(out_of_range);
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
