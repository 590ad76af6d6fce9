//! Columns of features: which rows have a value, and the values to the bit.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 0: whole numbers in 0..2^24; 1: bits |
//! | 1 | shift: bits that are 0 at the end of all values |
//! | 1 | presence: 0 every row, 1 a bit a row follows |
//! | 1 | 0 |
//! | 4 | offset: what is taken from the shifted bits |
//! | (rows + 7) / 8 | bit `row % 8` of byte `row / 8`: the row has a value |
//! | n | integers ([`super::ints`]), one a row that has a value |
//!
//! A value's integer is the number itself, or its bits shifted right less the offset; 0 is
//! 0.0 in both. Bits of positive floats are in the order of their values, so a column that
//! was rounded ([`crate::bundle`]) spans few integers.

use alloc::vec;
use alloc::vec::Vec;

use super::ints::{self, Len};
use super::part::{Parts, PartsWriter};
use crate::decode::DecodeError;

const WHOLE: u8 = 0;
const BITS: u8 = 1;
const EVERY_ROW: u8 = 0;
const SOME_ROWS: u8 = 1;
/// Whole numbers below this are exact.
const WHOLE_END: u32 = 1 << 24;

/// Writes the values of the rows that have one; 32 rows of presence are never empty.
pub(super) fn write(values: &[Option<f32>], out: &mut PartsWriter<'_>) {
    let given: Vec<u32> = values
        .iter()
        .flatten()
        .map(|value| value.to_bits())
        .collect();
    let whole: Option<Vec<u64>> = given.iter().map(|&bits| whole(bits)).collect();
    let nonzero = || given.iter().copied().filter(|&bits| bits != 0);
    let shift = nonzero().map(u32::trailing_zeros).min().unwrap_or(0);
    // One below the smallest, which leaves 0 for 0.0.
    let offset = nonzero().min().map_or(0, |bits| (bits >> shift) - 1);
    let code = |&bits: &u32| {
        if bits == 0 {
            0
        } else {
            u64::from((bits >> shift) - offset)
        }
    };
    let bits: Vec<u64> = given.iter().map(code).collect();
    let span = |codes: &[u64]| codes.iter().max().copied();
    let (kind, shift, offset, codes) = match whole {
        Some(whole) if span(&whole) <= span(&bits) => (WHOLE, 0, 0, whole),
        _ => (BITS, shift, offset, bits),
    };
    let presence = if given.len() == values.len() {
        EVERY_ROW
    } else {
        SOME_ROWS
    };
    out.part(|bytes| {
        bytes.extend_from_slice(&[kind, shift as u8, presence, 0]);
        bytes.extend_from_slice(&offset.to_le_bytes());
    });
    if presence == SOME_ROWS {
        out.part(|bytes| {
            for rows in values.chunks(8) {
                let bit = |(at, value): (usize, &Option<f32>)| u8::from(value.is_some()) << at;
                bytes.push(
                    rows.iter()
                        .enumerate()
                        .map(bit)
                        .fold(0, |byte, bit| byte | bit),
                );
            }
        });
    }
    ints::write(&codes, out);
}

/// Reads a column and sets `flag` in `present` of the rows that have a value; those of the
/// others are 0.
pub(super) fn read(
    what: &'static str,
    input: &mut Parts<'_>,
    present: &mut [u32],
    flag: u32,
) -> Result<Vec<f32>, DecodeError> {
    let out_of_range = DecodeError::OutOfRange(what);
    let [kind, shift, presence, reserved, o0, o1, o2, o3] = input.array(what)?;
    let offset = u32::from_le_bytes([o0, o1, o2, o3]);
    let shift = u32::from(shift);
    if kind > BITS || presence > SOME_ROWS || reserved != 0 || shift >= u32::BITS {
        return Err(out_of_range);
    }
    let rows = present.len();
    let bitmap = match presence {
        EVERY_ROW => None,
        _ => Some(input.part(what, rows.div_ceil(8))?),
    };
    let given = bitmap.map_or(rows, |bitmap| {
        bitmap.iter().map(|byte| byte.count_ones() as usize).sum()
    });
    let max = match kind {
        WHOLE => WHOLE_END - 1,
        _ => (u32::MAX >> shift)
            .checked_sub(offset)
            .ok_or(out_of_range.clone())?,
    };
    let codes = ints::read::<u32>(what, input, Len::Exactly(given), max)?;
    let values: Vec<f32> = match kind {
        WHOLE => codes.into_iter().map(|code| code as f32).collect(),
        _ => {
            let bits = |code: u32| {
                if code == 0 {
                    0
                } else {
                    (code + offset) << shift
                }
            };
            codes
                .into_iter()
                .map(|code| f32::from_bits(bits(code)))
                .collect()
        }
    };
    let Some(bitmap) = bitmap else {
        present.iter_mut().for_each(|bits| *bits |= flag);
        return Ok(values);
    };
    let mut column = vec![0.0; rows];
    let mut values = values.into_iter();
    for (at, &byte) in bitmap.iter().enumerate() {
        let mut left = byte;
        while left != 0 {
            let row = at * 8 + left.trailing_zeros() as usize;
            match (column.get_mut(row), present.get_mut(row), values.next()) {
                (Some(slot), Some(bits), Some(value)) => {
                    *slot = value;
                    *bits |= flag;
                }
                _ => return Err(out_of_range),
            }
            left &= left - 1;
        }
    }
    Ok(column)
}

/// The value as an integer where writing it as one loses no bit.
fn whole(bits: u32) -> Option<u64> {
    let integer = f32::from_bits(bits) as u32;
    let is_exact = integer < WHOLE_END && (integer as f32).to_bits() == bits;
    is_exact.then_some(u64::from(integer))
}
