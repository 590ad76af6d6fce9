//! The layout at work: 32 rows at a time.
//!
//! Loops over lanes are written so that the compiler makes vectors of them on every
//! target: copies of whole arrays, masks instead of branches, results stored to memory.

use alloc::vec::Vec;

use crate::simd::{Kernel, dispatch};
use crate::{LANES, Matrix};

use super::super::ensemble::{Ensemble, LEAVES_MAX, Library, Test};
use super::super::naive::ZERO_MAX;
use super::{BITS, Chunk, ColumnTests, GROUP, Group, Quick, SMALL_WORDS, TESTS};

/// Rows that are evaluated together: a vector of AVX2, two of WASM.
const ROWS: usize = 32;
/// Words of the largest tree.
const WORDS: usize = LEAVES_MAX / BITS;

/// A byte for each row.
type Lanes = [u8; ROWS];

/// Lanes that do not straddle cache lines.
#[repr(align(64))]
struct Aligned<const COUNT: usize>([Lanes; COUNT]);

impl Quick {
    /// Sums of the leaves each row of `matrix` falls into.
    pub(in super::super) fn sums(&self, ensemble: &Ensemble, matrix: &Matrix, sums: &mut Vec<f64>) {
        let columns: Vec<&[f32]> = ensemble
            .features
            .iter()
            .map(|&feature| matrix.column(feature))
            .collect();
        let base = match ensemble.library {
            Library::LightGbm => ensemble.base,
            Library::XgBoost => f64::from(ensemble.base as f32),
        };
        sums.clear();
        sums.resize(matrix.rows().next_multiple_of(ROWS), base);
        for chunk in &self.chunks {
            dispatch(Evaluation {
                ensemble,
                chunk,
                columns: &columns,
                sums: sums.as_chunks_mut().0,
            });
        }
        sums.truncate(matrix.rows());
    }
}

/// One chunk for all rows.
struct Evaluation<'a> {
    ensemble: &'a Ensemble,
    chunk: &'a Chunk,
    columns: &'a [&'a [f32]],
    sums: &'a mut [[f64; ROWS]],
}

impl Kernel for Evaluation<'_> {
    #[inline(always)]
    fn run(self) {
        // All ones where a row fails a test.
        let mut fails = Aligned([[0; ROWS]; TESTS]);
        for (block, sums) in self.sums.iter_mut().enumerate() {
            let mut rest = fails.0.iter_mut();
            for column in &self.chunk.columns {
                let values = load(self.columns[usize::from(column.feature)], block);
                answer(self.ensemble, column, values, &mut rest);
            }
            add_leaves(self.chunk, self.ensemble.library, &fails.0, sums);
        }
    }
}

/// A block of a column; rows beyond it are NaN.
#[inline(always)]
fn load(column: &[f32], block: usize) -> [f32; ROWS] {
    const { assert!(ROWS == 2 * LANES, "a column may end in half a block") };
    let mut values = [f32::NAN; ROWS];
    let column = column.get(block * ROWS..).unwrap_or_default();
    if let Some(whole) = column.first_chunk() {
        values = *whole;
    } else if let Some(half) = column.first_chunk::<LANES>() {
        values[..LANES].copy_from_slice(half);
    }
    values
}

/// Which of the rows fail each of a column's tests.
#[inline(always)]
fn answer<'a>(
    ensemble: &Ensemble,
    column: &ColumnTests,
    values: [f32; ROWS],
    fails: &mut impl Iterator<Item = &'a mut Lanes>,
) {
    for (&threshold, fails) in column.above.iter().zip(&mut *fails) {
        let mut mask = [0; ROWS];
        for lane in 0..ROWS {
            mask[lane] = u8::from(values[lane] > threshold).wrapping_neg();
        }
        *fails = mask;
    }
    for (&threshold, fails) in column.not_at_most.iter().zip(&mut *fails) {
        let mut mask = [0; ROWS];
        for lane in 0..ROWS {
            mask[lane] = u8::from(values[lane] <= threshold).wrapping_sub(1);
        }
        *fails = mask;
    }
    for (test, fails) in column.others.iter().zip(&mut *fails) {
        *fails = match *test {
            Test::AtMost {
                threshold,
                nan_left,
                zero_left,
            } => {
                let nan_fails = u8::from(!nan_left);
                let zero_fails = u8::from(zero_left == Some(false));
                let mut mask = [0; ROWS];
                for lane in 0..ROWS {
                    let value = values[lane];
                    let zero = u8::from(value.abs() <= ZERO_MAX);
                    let above = u8::from(value > threshold) & (zero ^ 1);
                    let missing = (zero & zero_fails) | (u8::from(value.is_nan()) & nan_fails);
                    mask[lane] = (above | missing).wrapping_neg();
                }
                mask
            }
            Test::OneOf { .. } => {
                values.map(|value| u8::from(ensemble.goes_left(test, value)).wrapping_sub(1))
            }
        };
    }
}

#[inline(always)]
fn add_leaves(chunk: &Chunk, library: Library, fails: &[Lanes; TESTS], sums: &mut [f64; ROWS]) {
    let mut alive = Aligned([[0; ROWS]; WORDS]);
    let mut places = Aligned([[0; ROWS]; WORDS]);
    let (alive, places) = (&mut alive.0, &mut places.0);
    let (mut first, mut start) = (0, 0);
    for &words in &chunk.trees {
        let words = usize::from(words);
        let tree = first..first + words;
        for (&end, alive) in chunk.ends[tree.clone()].iter().zip(&mut *alive) {
            let end = end as usize;
            *alive = reachable(&chunk.clears[start..end], fails);
            start = end;
        }
        match chunk.leaves[first..].first_chunk::<SMALL_WORDS>() {
            Some([leaves, ..]) if words == 1 => {
                let mut bits = alive[0];
                for bits in &mut bits {
                    *bits = lowest_bit(*bits);
                }
                for lane in 0..ROWS {
                    sums[lane] += leaves[usize::from(bits[lane]) % BITS];
                }
            }
            Some(leaves) if words <= SMALL_WORDS => {
                add_small(leaves, alive, sums);
            }
            _ => add_large(&chunk.leaves[tree], alive, places, sums),
        }
        first += words;
        if library == Library::XgBoost {
            // An f64 holds the sum of two f32 well enough that rounding it again is what
            // adding f32 gives (53 bits are at least 2 * 24 + 2).
            for sum in sums.iter_mut() {
                *sum = f64::from(*sum as f32);
            }
        }
    }
}

/// The leaves of a word that each row has left.
#[inline(always)]
fn reachable(clears: &[Group], fails: &[Lanes; TESTS]) -> Lanes {
    let mut alive = [u32::MAX; ROWS / 4];
    for Group { tests, bits } in clears {
        for at in 0..GROUP {
            let fails = fails[usize::from(tests[at]) % TESTS].as_chunks().0;
            for four in 0..ROWS / 4 {
                alive[four] &= !(u32::from_le_bytes(fails[four]) & bits[at]);
            }
        }
    }
    let mut lanes = [0; ROWS];
    for (lanes, alive) in lanes.as_chunks_mut().0.iter_mut().zip(alive) {
        *lanes = alive.to_le_bytes();
    }
    lanes
}

/// The number of the lowest bit set; 8 where there is none.
#[inline(always)]
fn lowest_bit(bits: u8) -> u8 {
    (!bits & bits.wrapping_sub(1)).count_ones() as u8
}

/// All ones where there is no bit.
#[inline(always)]
fn none(bits: u8) -> u8 {
    u8::from(bits == 0).wrapping_neg()
}

/// Adds the leaf of a tree of up to four words. What lies in `alive` behind its words does
/// not matter: the true leaf is always found before.
#[inline(always)]
fn add_small(leaves: &[[f64; BITS]; SMALL_WORDS], alive: &[Lanes; WORDS], sums: &mut [f64; ROWS]) {
    let mut places = [0; ROWS];
    for lane in 0..ROWS {
        let (mut low, mut place) = (alive[3][lane], 24);
        let nothing = none(alive[2][lane]);
        low = alive[2][lane] | (low & nothing);
        place = (16 & !nothing) | (place & nothing);
        let nothing = none(alive[1][lane]);
        low = alive[1][lane] | (low & nothing);
        place = (8 & !nothing) | (place & nothing);
        let nothing = none(alive[0][lane]);
        low = alive[0][lane] | (low & nothing);
        place &= nothing;
        places[lane] = place + lowest_bit(low);
    }
    let leaves = leaves.as_flattened();
    for lane in 0..ROWS {
        sums[lane] += leaves[usize::from(places[lane]) % leaves.len()];
    }
}

/// Adds the leaf of a tree of any size.
#[inline(always)]
fn add_large(
    leaves: &[[f64; BITS]],
    alive: &mut [Lanes; WORDS],
    places: &mut [Lanes; WORDS],
    sums: &mut [f64; ROWS],
) {
    let last = leaves.len() - 1;
    places[last] = [last as u8; ROWS];
    for word in (0..last).rev() {
        let (after, place_after) = (alive[word + 1], places[word + 1]);
        let (mut bits, mut place) = (alive[word], places[word]);
        for lane in 0..ROWS {
            let none = none(bits[lane]);
            bits[lane] |= after[lane] & none;
            place[lane] = (word as u8 & !none) | (place_after[lane] & none);
        }
        alive[word] = bits;
        places[word] = place;
    }
    let mut bits = alive[0];
    for bits in &mut bits {
        *bits = lowest_bit(*bits);
    }
    for lane in 0..ROWS {
        let word = &leaves[usize::from(places[0][lane])];
        sums[lane] += word[usize::from(bits[lane]) % BITS];
    }
}
