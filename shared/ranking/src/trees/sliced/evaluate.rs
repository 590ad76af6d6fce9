//! The layout at work: 256 rows at a time.
//!
//! Loops over bytes are written so that the compiler makes vectors of them on every target:
//! copies of whole arrays, masks instead of branches, results stored to memory.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::Matrix;
use crate::simd::{Kernel, dispatch};

use super::super::ensemble::{Ensemble, Library};
use super::{Chunk, OCTET, Sliced, Split, first_node};

/// Bytes of a mask: a vector of AVX2, two of WASM.
pub(super) const BYTES: usize = 32;
/// Rows of a block.
const ROWS: usize = 8 * BYTES;
/// Bits of a leaf's number, rounded up to bytes.
const PLANES: usize = 16;
/// Leaves that a byte can number.
const SMALL: usize = 256;

/// A bit for each row of a block. That of row `r` is bit `r / BYTES` of byte `r % BYTES`, so
/// that eight masks are transposed to bytes in the order of rows without moving a byte.
pub(super) type Mask = [u8; BYTES];

impl Sliced {
    /// Sums of the leaves each row of `matrix` falls into.
    pub(in super::super) fn sums(&self, ensemble: &Ensemble, matrix: &Matrix, sums: &mut Vec<f64>) {
        let columns: Vec<&[f32]> = ensemble
            .features
            .iter()
            .map(|&feature| &matrix.column(feature)[..matrix.rows()])
            .collect();
        let base = match ensemble.library {
            Library::LightGbm => ensemble.base,
            Library::XgBoost => f64::from(ensemble.base as f32),
        };
        sums.clear();
        sums.resize(matrix.rows().next_multiple_of(BYTES), base);
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
    sums: &'a mut [[f64; BYTES]],
}

impl Kernel for Evaluation<'_> {
    #[inline(always)]
    fn run(self) {
        let Chunk {
            columns,
            categories,
            trees,
            ..
        } = self.chunk;
        let widest = columns.iter().map(|column| column.tests()).max();
        let mut scratch = vec![[0; BYTES]; widest.unwrap_or(0) + 1];
        let tests: usize = columns.iter().map(|column| column.tests()).sum();
        // The rows that fail each test.
        let mut fails = Vec::with_capacity(tests + categories.len());
        let largest = usize::from(trees.iter().copied().max().unwrap_or(0));
        let mut reached = vec![[0; BYTES]; first_node(largest + 1) + largest];
        for (block, sums) in self.sums.chunks_mut(8).enumerate() {
            let values = |feature: u16| {
                let rest = &self.columns[usize::from(feature)][block * ROWS..];
                &rest[..rest.len().min(ROWS)]
            };
            fails.clear();
            for column in columns {
                column.answer(values(column.feature), &mut scratch, &mut fails);
            }
            for (feature, test) in categories {
                let mut failing = [0; BYTES];
                for (row, &value) in values(*feature).iter().enumerate() {
                    let fails = u8::from(!self.ensemble.goes_left(test, value));
                    failing[row % BYTES] |= fails << (row / BYTES);
                }
                fails.push(failing);
            }
            add_trees(
                self.chunk,
                self.ensemble.library,
                &fails,
                &mut reached,
                sums,
            );
        }
    }
}

#[inline(always)]
fn add_trees(
    chunk: &Chunk,
    library: Library,
    fails: &[Mask],
    reached: &mut [Mask],
    sums: &mut [[f64; BYTES]],
) {
    let (mut splits, mut leaves) = (chunk.splits.as_slice(), chunk.leaves.as_slice());
    for &nodes in &chunk.trees {
        let nodes = usize::from(nodes);
        let (tree, rest) = splits.split_at(nodes);
        splits = rest;
        descend(tree, fails, reached);
        let planes = number(&reached[..first_node(nodes + 1)]);
        let places = transpose(planes[0]);
        match leaves.first_chunk::<SMALL>() {
            Some(leaves) if nodes < SMALL => {
                for (sums, places) in sums.iter_mut().zip(&places) {
                    for lane in 0..BYTES {
                        sums[lane] += leaves[usize::from(places[lane])];
                    }
                }
            }
            _ => {
                let high = transpose(planes[1]);
                for ((sums, places), high) in sums.iter_mut().zip(&places).zip(&high) {
                    for lane in 0..BYTES {
                        sums[lane] +=
                            leaves[usize::from(high[lane]) << 8 | usize::from(places[lane])];
                    }
                }
            }
        }
        leaves = &leaves[nodes + 1..];
        if library == Library::XgBoost {
            // An f64 holds the sum of two f32 well enough that rounding it again is what
            // adding f32 gives (53 bits are at least 2 * 24 + 2).
            for sum in sums.as_flattened_mut() {
                *sum = f64::from(*sum as f32);
            }
        }
    }
}

/// Sends all rows from the root to the leaves: afterwards `reached` begins with the rows of
/// each leaf, padded by none.
#[inline(always)]
fn descend(tree: &[Split], fails: &[Mask], reached: &mut [Mask]) {
    let leaves = tree.len() + 1;
    let root = first_node(leaves);
    reached[leaves..root].fill([0; BYTES]);
    reached[if tree.is_empty() { 0 } else { root }] = [u8::MAX; BYTES];
    let reached = Cell::from_mut(reached).as_slice_of_cells();
    for (split, rows) in tree.iter().zip(&reached[root..]) {
        let (mut pass, mut fail) = (rows.get(), fails[usize::from(split.test)]);
        for byte in 0..BYTES {
            fail[byte] &= pass[byte];
            pass[byte] ^= fail[byte];
        }
        reached[usize::from(split.left)].set(pass);
        reached[usize::from(split.right)].set(fail);
    }
}

/// The bits of each row's leaf number, lowest first, from the rows of each leaf.
#[inline(always)]
fn number(leaves: &[Mask]) -> [[Mask; 8]; PLANES / 8] {
    let mut planes = [[[0; BYTES]; 8]; PLANES / 8];
    let bits = planes.as_flattened_mut();
    for (octet, leaves) in leaves.as_chunks::<OCTET>().0.iter().enumerate() {
        let [a, b, c, d, e, f, g, h] = *leaves;
        let gh = or(g, h);
        let upper = or(or(e, f), gh);
        bits[0] = or(bits[0], or(or(b, d), or(f, h)));
        bits[1] = or(bits[1], or(or(c, d), gh));
        bits[2] = or(bits[2], upper);
        let any = or(or(or(a, b), or(c, d)), upper);
        let mut rest = octet;
        for bit in &mut bits[3..] {
            if rest == 0 {
                break;
            }
            if rest & 1 == 1 {
                *bit = or(*bit, any);
            }
            rest >>= 1;
        }
    }
    planes
}

#[inline(always)]
pub(super) fn or(mut a: Mask, b: Mask) -> Mask {
    for byte in 0..BYTES {
        a[byte] |= b[byte];
    }
    a
}

/// From masks for each bit of a byte to the bytes of each row (Warren, Hacker's Delight,
/// section 7-3: squares of bits are swapped, which double in size).
#[inline(always)]
fn transpose(planes: [Mask; 8]) -> [Mask; 8] {
    let mut words = [[0; BYTES / 8]; 8];
    for (words, plane) in words.iter_mut().zip(&planes) {
        for (word, bytes) in words.iter_mut().zip(plane.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
    swap::<1>(&mut words, 0x5555_5555_5555_5555);
    swap::<2>(&mut words, 0x3333_3333_3333_3333);
    swap::<4>(&mut words, 0x0F0F_0F0F_0F0F_0F0F);
    let mut rows = [[0; BYTES]; 8];
    for (bytes, words) in rows.iter_mut().zip(words) {
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
    }
    rows
}

/// Swaps the high bits of words with the low bits of the words `BY` behind.
#[inline(always)]
fn swap<const BY: usize>(words: &mut [[u64; BYTES / 8]; 8], low: u64) {
    for at in 0..8 {
        if at & BY == 0 {
            let (mut a, mut b) = (words[at], words[at | BY]);
            for word in 0..BYTES / 8 {
                let differs = (a[word] >> BY ^ b[word]) & low;
                b[word] ^= differs;
                a[word] ^= differs << BY;
            }
            words[at] = a;
            words[at | BY] = b;
        }
    }
}
