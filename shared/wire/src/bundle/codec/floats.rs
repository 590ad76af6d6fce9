//! Columns of features: which rows have a value, and the values to the bit.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind of the integers: 0 whole numbers in 0..2^24, 1 bits, 2 grid |
//! | 1 | bits that follow the leading one: of a value (bits) or of the grid |
//! | 1 | `i8`: the grid's step is 2^this, -100 to 100 |
//! | 1 | presence: 0 every row, 1 a bit a row follows |
//! | 4 | offset: what is taken from the shifted bits |
//! | (rows + 7) / 8 | bit `row % 8` of byte `row / 8`: the row has a value |
//! | n | integers ([`super::ints`]), one a row that has a value |
//!
//! Bits: the value's bits without those after the leading one's that all lack, less the
//! offset; 0 is 0.0. Grid: the index among the values that rounding leaves ([`Grid`]). A
//! column with a value that is not on its feature's grid is whole numbers or bits.

use alloc::vec;
use alloc::vec::Vec;

use super::ints::{self, Len};
use super::part::{Parts, PartsWriter};
use crate::bundle::quantise::Grid;
use crate::decode::DecodeError;

const WHOLE: u8 = 0;
const BITS: u8 = 1;
const GRID: u8 = 2;
const EVERY_ROW: u8 = 0;
const SOME_ROWS: u8 = 1;
/// Whole numbers below this are exact.
const WHOLE_END: u32 = 1 << 24;

/// Bits of an `f32` after the leading one.
const FRACTION_BITS: u32 = f32::MANTISSA_DIGITS - 1;

/// How the values of a column become integers.
struct Codes {
    kind: u8,
    bits: u32,
    step: i32,
    offset: u32,
    codes: Vec<u64>,
}

impl Codes {
    fn whole(given: &[u32]) -> Option<Self> {
        let codes = all(given, whole)?;
        Some(Self {
            kind: WHOLE,
            bits: 0,
            step: 0,
            offset: 0,
            codes,
        })
    }

    fn bits(given: &[u32]) -> Self {
        let nonzero = || given.iter().copied().filter(|&bits| bits != 0);
        let shift = nonzero()
            .map(u32::trailing_zeros)
            .min()
            .unwrap_or(0)
            .min(FRACTION_BITS);
        // One below the smallest, which leaves 0 for 0.0.
        let offset = nonzero().min().map_or(0, |bits| (bits >> shift) - 1);
        let code = |&bits: &u32| match bits {
            0 => 0,
            _ => u64::from((bits >> shift) - offset),
        };
        Self {
            kind: BITS,
            bits: FRACTION_BITS - shift,
            step: 0,
            offset,
            codes: given.iter().map(code).collect(),
        }
    }

    fn grid(given: &[u32], grid: Grid) -> Option<Self> {
        let codes = all(given, |bits| grid.index(f32::from_bits(bits)))?;
        Some(Self {
            kind: GRID,
            bits: grid.bits,
            step: grid.step,
            offset: 0,
            codes,
        })
    }
}

/// Writes the values of the rows that have one; `grid` is what they were rounded to.
pub(super) fn write(values: &[Option<f32>], grid: Option<Grid>, out: &mut PartsWriter<'_>) {
    let given = values.iter().flatten().map(|value| value.to_bits());
    let given: Vec<u32> = given.collect();
    // Whole numbers are never shorter: the index of one on a grid of counts is no larger.
    let codes = grid
        .and_then(|grid| Codes::grid(&given, grid))
        .or_else(|| Codes::whole(&given))
        .unwrap_or_else(|| Codes::bits(&given));
    let presence = if given.len() == values.len() {
        EVERY_ROW
    } else {
        SOME_ROWS
    };
    out.part(|bytes| {
        bytes.extend_from_slice(&[codes.kind, codes.bits as u8, codes.step as u8, presence]);
        bytes.extend_from_slice(&codes.offset.to_le_bytes());
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
    if codes.kind == GRID {
        ints::write_unordered(&codes.codes, out);
    } else {
        ints::write(&codes.codes, out);
    }
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
    let [kind, bits, step, presence, o0, o1, o2, o3] = input.array(what)?;
    let offset = u32::from_le_bytes([o0, o1, o2, o3]);
    let bits = u32::from(bits);
    let grid = Grid {
        bits,
        step: i32::from(step as i8),
    };
    if kind > GRID || bits > FRACTION_BITS || grid.step.abs() > 100 || presence > SOME_ROWS {
        return Err(out_of_range);
    }
    let shift = FRACTION_BITS - bits;
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
        BITS => (u32::MAX >> shift)
            .checked_sub(offset)
            .ok_or(out_of_range.clone())?,
        _ => grid.index_max(),
    };
    let codes = ints::read::<u32>(what, input, Len::Exactly(given), max)?;
    let mut values = vec![0.0; given];
    let slots = values.iter_mut().zip(&codes);
    match kind {
        // Below 2^24: signed conversion is one instruction everywhere.
        WHOLE => slots.for_each(|(slot, &code)| *slot = code as i32 as f32),
        BITS => slots.for_each(|(slot, &code)| {
            let bits = if code == 0 {
                0
            } else {
                (code + offset) << shift
            };
            *slot = f32::from_bits(bits);
        }),
        _ => grid.values(&codes, &mut values),
    }
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
fn whole(bits: u32) -> Option<u32> {
    let integer = f32::from_bits(bits) as u32;
    let is_exact = integer < WHOLE_END && (integer as f32).to_bits() == bits;
    is_exact.then_some(integer)
}

/// The codes of all, where all have one.
fn all(given: &[u32], code: impl Fn(u32) -> Option<u32>) -> Option<Vec<u64>> {
    let mut codes = Vec::with_capacity(given.len());
    for &bits in given {
        codes.push(u64::from(code(bits)?));
    }
    Some(codes)
}
