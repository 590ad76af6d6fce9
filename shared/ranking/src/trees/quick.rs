//! QuickScorer with bytes of leaves and shared tests: the layout.
//!
//! Number a tree's leaves from left to right and give every row a bit for each, all set. A
//! node whose test a row fails makes the leaves of its left subtree unreachable: their bits
//! are cleared. When every failed node has done so, in any order, the lowest bit still set
//! is the row's leaf (Lucchese et al., SIGIR 2015; lanes of rows: SIGIR 2016). So there are
//! no branches to mispredict, and any number of rows go together.
//!
//! Eight leaves are a word, so that one vector holds a word of 16 or 32 rows; the leaves
//! under a node mostly lie in one word, whatever the size of the tree. Nodes that ask the
//! same share the answer (both: RapidScorer, Ye et al., KDD 2018). Unlike there, answers
//! come first, for all tests of a chunk of trees, and then each word is computed in a
//! register. A test may be anything that has an answer, so missing values, zeros that count
//! as missing and categories cost nothing where there are none.

mod evaluate;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::ensemble::{Child, Ensemble, Library, Test, Tree};

/// Leaves of a word.
const BITS: usize = 8;
/// Distinct tests of a chunk: their answers for 32 rows take 64 KB. More
/// would share better in large ensembles and cost small ones the time to clear them.
const TESTS: usize = 2048;
/// Clears are padded to groups, or every word's loop would end with a wrong guess.
const GROUP: usize = 4;
/// Leaves of trees of up to this many words are found without a loop, and read as this many.
const SMALL_WORDS: usize = 4;
/// Where nodes clear more words than this on average, trees are chains of large subtrees,
/// which would take more memory than they are worth.
const CLEARS_PER_NODE_MAX: usize = 8;

/// Trees laid out for evaluation.
#[derive(Clone)]
pub(super) struct Quick {
    chunks: Vec<Chunk>,
}

/// Trees that are evaluated together.
#[derive(Clone, Default)]
struct Chunk {
    columns: Vec<ColumnTests>,
    /// Words of each tree.
    trees: Vec<u8>,
    /// The leaves of each word, then some to read a small last tree as [`SMALL_WORDS`].
    leaves: Vec<[f64; BITS]>,
    /// Where the groups of each word end; they begin where the last word's end.
    ends: Vec<u32>,
    clears: Vec<Group>,
}

/// Distinct tests of one feature. Those of all columns are numbered in this order.
#[derive(Clone)]
struct ColumnTests {
    /// Index into [`Ensemble::features`].
    feature: u16,
    /// Fails what is above; NaN goes left.
    above: Vec<f32>,
    /// Fails what is not at most this; NaN goes right.
    not_at_most: Vec<f32>,
    /// The rest: zeros that are missing, categories.
    others: Vec<Test>,
}

/// Leaves that go where a test fails.
#[derive(Clone, Default)]
struct Group {
    tests: [u16; GROUP],
    /// The bits of the leaves, the same in each byte.
    bits: [u32; GROUP],
}

impl Quick {
    /// Lays out a checked ensemble.
    pub(super) fn new(ensemble: &Ensemble) -> Self {
        let mut chunks = Vec::new();
        let mut builder = Builder::default();
        for tree in &ensemble.trees {
            if builder.tests_with(tree) > TESTS {
                chunks.push(core::mem::take(&mut builder).finish());
            }
            builder.push(tree, ensemble.library);
        }
        chunks.push(builder.finish());
        Self { chunks }
    }

    /// Whether the layout of a checked ensemble takes memory in proportion to its nodes.
    pub(super) fn suits(ensemble: &Ensemble) -> bool {
        let (mut nodes, mut clears) = (0, 0);
        for tree in &ensemble.trees {
            nodes += tree.nodes.len();
            clears += Numbering::new(tree)
                .left
                .into_iter()
                .map(|left| words_of(&left).len())
                .sum::<usize>();
        }
        clears <= nodes * CLEARS_PER_NODE_MAX
    }
}

/// The words that hold a run of leaves.
fn words_of(leaves: &Range<usize>) -> Range<usize> {
    leaves.start / BITS..leaves.end.div_ceil(BITS)
}

/// The bits of `word` that lie in a run of leaves.
fn bits_of(leaves: &Range<usize>, word: usize) -> u8 {
    (0..BITS)
        .filter(|bit| leaves.contains(&(word * BITS + bit)))
        .fold(0, |bits, bit| bits | 1 << bit)
}

/// A tree's leaves from left to right.
struct Numbering {
    leaves: Vec<f64>,
    /// The leaves under the left child of each node.
    left: Vec<Range<usize>>,
}

impl Numbering {
    fn new(tree: &Tree) -> Self {
        enum Visit {
            Enter(Child),
            LeftDone { node: u16, start: usize },
        }
        let mut leaves = Vec::with_capacity(tree.leaves.len());
        let mut left = vec![0..0; tree.nodes.len()];
        let mut open = vec![Visit::Enter(tree.root())];
        while let Some(visit) = open.pop() {
            match visit {
                Visit::Enter(Child::Leaf(leaf)) => leaves.push(tree.leaves[usize::from(leaf)]),
                Visit::Enter(Child::Node(index)) => {
                    let node = &tree.nodes[usize::from(index)];
                    let start = leaves.len();
                    open.push(Visit::Enter(node.right));
                    open.push(Visit::LeftDone { node: index, start });
                    open.push(Visit::Enter(node.left));
                }
                Visit::LeftDone { node, start } => left[usize::from(node)] = start..leaves.len(),
            }
        }
        Self { leaves, left }
    }
}

/// A test's feature and parts: what makes it the same as another, in the order of columns.
type Key = (u16, u8, u32, u32);

fn key(feature: u16, test: Test) -> Key {
    match test {
        Test::AtMost {
            threshold,
            nan_left,
            zero_left,
        } => {
            let kind = match (zero_left, nan_left) {
                (None, true) => 0,
                (None, false) => 1,
                (Some(_), _) => 2,
            };
            let sides = u32::from(nan_left) << 1 | u32::from(zero_left == Some(true));
            (feature, kind, threshold.to_bits(), sides)
        }
        Test::OneOf {
            first,
            words,
            nan_left,
        } => (
            feature,
            3,
            first,
            u32::from(words) << 1 | u32::from(nan_left),
        ),
    }
}

/// What the failure of a test clears: words and bits.
type Clears = Vec<(usize, u8)>;

/// A chunk in the making.
#[derive(Default)]
struct Builder {
    chunk: Chunk,
    tests: BTreeMap<Key, (Test, Clears)>,
}

impl Builder {
    /// At most how many distinct tests there would be with `tree`.
    fn tests_with(&self, tree: &Tree) -> usize {
        let new = |node: &&super::Node| !self.tests.contains_key(&key(node.feature, node.test));
        self.tests.len() + tree.nodes.iter().filter(new).count()
    }

    fn push(&mut self, tree: &Tree, library: Library) {
        let first = self.chunk.leaves.len();
        let Numbering { mut leaves, left } = Numbering::new(tree);
        if library == Library::XgBoost {
            // What is summed is an f32, whatever the ensemble says.
            for leaf in &mut leaves {
                *leaf = f64::from(*leaf as f32);
            }
        }
        for (node, left) in tree.nodes.iter().zip(left) {
            let (_, clears) = self
                .tests
                .entry(key(node.feature, node.test))
                .or_insert((node.test, Vec::new()));
            clears.extend(words_of(&left).map(|word| (first + word, bits_of(&left, word))));
        }
        for leaves in leaves.chunks(BITS) {
            let mut word = [0.0; BITS];
            word[..leaves.len()].copy_from_slice(leaves);
            self.chunk.leaves.push(word);
        }
        let words = self.chunk.leaves.len() - first;
        self.chunk.trees.push(words as u8);
    }

    fn finish(self) -> Chunk {
        let mut chunk = self.chunk;
        let mut clears = vec![Vec::new(); chunk.leaves.len()];
        for (index, ((feature, ..), (test, of_test))) in self.tests.into_iter().enumerate() {
            if chunk
                .columns
                .last()
                .is_none_or(|last| last.feature != feature)
            {
                chunk.columns.push(ColumnTests {
                    feature,
                    above: Vec::new(),
                    not_at_most: Vec::new(),
                    others: Vec::new(),
                });
            }
            if let Some(column) = chunk.columns.last_mut() {
                column.push(test);
            }
            for (word, bits) in of_test {
                clears[word].push((index as u16, bits));
            }
        }
        for clears in clears {
            chunk.clears.extend(clears.chunks(GROUP).map(|clears| {
                let mut group = Group::default();
                for (at, &(test, bits)) in clears.iter().enumerate() {
                    group.tests[at] = test;
                    group.bits[at] = u32::from_ne_bytes([bits; 4]);
                }
                group
            }));
            chunk.ends.push(chunk.clears.len() as u32);
        }
        let padded = chunk.leaves.len() + SMALL_WORDS - 1;
        chunk.leaves.resize(padded, [0.0; BITS]);
        chunk
    }
}

impl ColumnTests {
    fn push(&mut self, test: Test) {
        match test {
            Test::AtMost {
                threshold,
                nan_left,
                zero_left: None,
            } if nan_left => self.above.push(threshold),
            Test::AtMost {
                threshold,
                zero_left: None,
                ..
            } => self.not_at_most.push(threshold),
            Test::AtMost { .. } | Test::OneOf { .. } => self.others.push(test),
        }
    }
}
