//! QuickScorer over lanes of rows.
//!
//! Number a tree's leaves from left to right and give every row a bit for each, all set. A
//! node whose test a row fails makes the leaves of its left subtree unreachable: their bits
//! are cleared. When every failed node has done so, in any order, the lowest bit still set
//! is the row's leaf. So nodes need not be visited from the root: sorted by feature and
//! threshold, a feature's nodes are walked until none of the rows exceeds the threshold.
//! (Lucchese et al., SIGIR 2015; for lanes of rows: Lucchese et al., SIGIR 2016.)
//!
//! Here a tree has one word of bits for each 32 leaves. A node clears a run of leaves, which
//! mostly lies in one word, so that large trees cost little more than small ones.
//!
//! The papers know no missing values. A comparison with NaN is false, which is "left"; nodes
//! that send NaN right are listed a second time, for rows with NaN only. Nodes that treat
//! zero as missing and nodes with categories are tested one by one.

use alloc::vec::Vec;

use crate::simd::{Kernel, dispatch};
use crate::{LANES, Matrix};

use super::ensemble::{Child, Ensemble, Library, Test, Tree};

/// Leaves of a word.
const BITS: usize = 32;
/// Words of a chunk: 16 KB of bits, which stay in the first-level cache, and few enough
/// that a byte names one.
const CHUNK_WORDS: usize = 256;

/// The bits of one word for each of the rows that are evaluated together.
type Lanes = [u32; LANES];

/// Trees laid out for [`Quick::sums`].
#[derive(Clone)]
pub(super) struct Quick {
    chunks: Vec<Chunk>,
}

/// Trees whose words fit into a chunk.
#[derive(Clone, Default)]
struct Chunk {
    /// Words of each tree.
    words: Vec<u8>,
    /// The leaves of each word.
    leaves: Vec<[f64; BITS]>,
    /// Nodes that compare, by feature.
    features: Vec<FeatureCuts>,
    /// Nodes that need more than one comparison.
    irregular: Vec<Irregular>,
}

/// The nodes that compare one feature.
#[derive(Clone, Default)]
struct FeatureCuts {
    /// Index into [`Ensemble::features`].
    feature: u16,
    /// By rising threshold.
    cuts: Vec<Cut>,
    /// What NaN clears.
    nan_right: Vec<Clear>,
}

/// Leaves that a value above the threshold cannot reach.
#[derive(Clone, Copy)]
struct Cut {
    threshold: f32,
    clear: Clear,
}

/// Leaves to clear in a word.
#[derive(Clone, Copy)]
struct Clear {
    bits: u32,
    word: u8,
}

/// A node that is tested lane by lane.
#[derive(Clone)]
struct Irregular {
    feature: u16,
    test: Test,
    clears: Vec<Clear>,
}

impl Quick {
    /// Lays out a checked ensemble.
    pub(super) fn new(ensemble: &Ensemble) -> Self {
        let mut chunks = Vec::new();
        let mut builder = Builder::default();
        for tree in &ensemble.trees {
            if builder.chunk.leaves.len() + tree.leaves.len().div_ceil(BITS) > CHUNK_WORDS {
                chunks.push(core::mem::take(&mut builder).finish());
            }
            builder.push(tree);
        }
        chunks.push(builder.finish());
        Self { chunks }
    }

    /// Sums of the leaves each row of `matrix` falls into.
    pub(super) fn sums(&self, ensemble: &Ensemble, matrix: &Matrix, sums: &mut Vec<f64>) {
        let columns: Vec<&[[f32; LANES]]> = ensemble
            .features
            .iter()
            .map(|&feature| matrix.column(feature).as_chunks().0)
            .collect();
        let base = match ensemble.library {
            Library::LightGbm => ensemble.base,
            Library::XgBoost => f64::from(ensemble.base as f32),
        };
        sums.clear();
        sums.resize(matrix.stride(), base);
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

/// A chunk in the making.
#[derive(Default)]
struct Builder {
    chunk: Chunk,
    by_feature: alloc::collections::BTreeMap<u16, FeatureCuts>,
}

impl Builder {
    fn push(&mut self, tree: &Tree) {
        let first = self.chunk.leaves.len();
        let words = tree.leaves.len().div_ceil(BITS);
        self.chunk.words.push(words as u8);
        self.chunk.leaves.resize(first + words, [0.0; BITS]);
        enum Visit {
            Enter(Child),
            /// A node whose left subtree began with this leaf and is done.
            LeftDone(u16, usize),
        }
        let mut open = Vec::new();
        open.push(Visit::Enter(if tree.nodes.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Node(0)
        }));
        let mut next = 0;
        while let Some(visit) = open.pop() {
            match visit {
                Visit::Enter(Child::Leaf(leaf)) => {
                    self.chunk.leaves[first + next / BITS][next % BITS] =
                        tree.leaves[usize::from(leaf)];
                    next += 1;
                }
                Visit::Enter(Child::Node(index)) => {
                    let node = &tree.nodes[usize::from(index)];
                    open.push(Visit::Enter(node.right));
                    open.push(Visit::LeftDone(index, next));
                    open.push(Visit::Enter(node.left));
                }
                Visit::LeftDone(index, start) => {
                    let node = &tree.nodes[usize::from(index)];
                    self.cut(node.feature, node.test, clears(first, start, next));
                }
            }
        }
    }

    fn cut(&mut self, feature: u16, test: Test, clears: impl Iterator<Item = Clear>) {
        let Test::AtMost {
            threshold,
            nan_left,
            zero_left: None,
        } = test
        else {
            self.chunk.irregular.push(Irregular {
                feature,
                test,
                clears: clears.collect(),
            });
            return;
        };
        let of_feature = self.by_feature.entry(feature).or_default();
        for clear in clears {
            of_feature.cuts.push(Cut { threshold, clear });
            if !nan_left {
                of_feature.nan_right.push(clear);
            }
        }
    }

    fn finish(mut self) -> Chunk {
        for (feature, mut of_feature) in self.by_feature {
            of_feature.feature = feature;
            of_feature
                .cuts
                .sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
            self.chunk.features.push(of_feature);
        }
        self.chunk
    }
}

/// The words and bits of leaves `start..end` of a tree whose words begin at `first`.
fn clears(first: usize, start: usize, end: usize) -> impl Iterator<Item = Clear> {
    (start / BITS..end.div_ceil(BITS)).map(move |word| {
        let below = |leaf: usize| {
            let bits = leaf.saturating_sub(word * BITS).min(BITS);
            u32::MAX.checked_shr((BITS - bits) as u32).unwrap_or(0)
        };
        Clear {
            bits: below(end) & !below(start),
            word: (first + word) as u8,
        }
    })
}

/// One chunk for all rows.
struct Evaluation<'a> {
    ensemble: &'a Ensemble,
    chunk: &'a Chunk,
    columns: &'a [&'a [[f32; LANES]]],
    sums: &'a mut [[f64; LANES]],
}

impl Kernel for Evaluation<'_> {
    #[inline(always)]
    fn run(self) {
        let chunk = self.chunk;
        let mut alive = [[0; LANES]; CHUNK_WORDS];
        for (block, sums) in self.sums.iter_mut().enumerate() {
            alive[..chunk.leaves.len()].fill([u32::MAX; LANES]);
            for feature in &chunk.features {
                let values = self.columns[usize::from(feature.feature)][block];
                clear_above(feature, values, &mut alive);
            }
            for node in &chunk.irregular {
                let values = self.columns[usize::from(node.feature)][block];
                let fails = values.map(|value| !self.ensemble.goes_left(&node.test, value));
                clear_where(&node.clears, &fails, &mut alive);
            }
            add_leaves(chunk, self.ensemble.library, &alive, sums);
        }
    }
}

#[inline(always)]
fn clear_above(feature: &FeatureCuts, values: [f32; LANES], alive: &mut [Lanes; CHUNK_WORDS]) {
    let mut highest = f32::NEG_INFINITY;
    let mut any_nan = false;
    for value in values {
        highest = if value > highest { value } else { highest };
        any_nan |= value.is_nan();
    }
    for cut in &feature.cuts {
        if highest <= cut.threshold {
            break;
        }
        let Clear { bits, word } = cut.clear;
        let threshold = cut.threshold;
        // A copy: the compiler keeps it in registers, which it does not with the original.
        let mut lanes = alive[usize::from(word)];
        for lane in 0..LANES {
            lanes[lane] &= !bits | u32::from(values[lane] > threshold).wrapping_sub(1);
        }
        alive[usize::from(word)] = lanes;
    }
    if any_nan {
        clear_where(&feature.nan_right, &values.map(f32::is_nan), alive);
    }
}

#[inline(always)]
fn clear_where(clears: &[Clear], fails: &[bool; LANES], alive: &mut [Lanes; CHUNK_WORDS]) {
    let fails = fails.map(|fails| u32::from(fails).wrapping_neg());
    for clear in clears {
        let word = &mut alive[usize::from(clear.word)];
        let mut bits = *word;
        for (bits, fails) in bits.iter_mut().zip(fails) {
            *bits &= !(clear.bits & fails);
        }
        *word = bits;
    }
}

#[inline(always)]
fn add_leaves(
    chunk: &Chunk,
    library: Library,
    alive: &[Lanes; CHUNK_WORDS],
    sums: &mut [f64; LANES],
) {
    let mut total = *sums;
    let mut first = 0;
    for &words in &chunk.words {
        let words = usize::from(words);
        let leaves = if words == 1 {
            let leaves = &chunk.leaves[first];
            alive[first & (CHUNK_WORDS - 1)]
                .map(|bits| leaves[bits.trailing_zeros() as usize % BITS])
        } else {
            lowest(
                &chunk.leaves[first..first + words],
                &alive[first..first + words],
            )
        };
        first += words;
        for (total, leaf) in total.iter_mut().zip(leaves) {
            *total += leaf;
        }
        if library == Library::XgBoost {
            // An f64 holds the sum of two f32 well enough that rounding it again is what
            // adding f32 gives (53 bits are at least 2 * 24 + 2).
            total = total.map(|total| f64::from(total as f32));
        }
    }
    *sums = total;
}

/// The leaf of the lowest bit set, in a tree of several words.
#[inline(always)]
fn lowest(leaves: &[[f64; BITS]], alive: &[Lanes]) -> [f64; LANES] {
    let mut lowest = [0; LANES];
    let mut at = [0; LANES];
    for (word, bits) in alive.iter().enumerate().rev() {
        let bits = *bits;
        for lane in 0..LANES {
            let any = bits[lane] != 0;
            lowest[lane] = if any { bits[lane] } else { lowest[lane] };
            at[lane] = if any { word as u32 } else { at[lane] };
        }
    }
    core::array::from_fn(|lane| {
        leaves[at[lane] as usize][lowest[lane].trailing_zeros() as usize % BITS]
    })
}
