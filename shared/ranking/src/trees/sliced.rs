//! Bit-sliced evaluation: many rows at a time, a bit each. The layout.
//!
//! The distinct tests of a feature are sorted, so that the place of a row's value among the
//! thresholds, found once, answers all of them (QuickScorer: Lucchese et al., SIGIR 2015), and
//! nodes that ask the same share the answer (RapidScorer: Ye et al., KDD 2018). Unlike there,
//! no leaves are cleared: the rows that reached a node are the bits of a mask, and two
//! operations on masks send them on to its children. The masks of a tree's leaves then hold,
//! bit by bit, each row's leaf number (bit slicing: Biham, FSE 1997), which is transposed to
//! bytes to look the leaves' values up.
//!
//! So there are no branches that depend on rows, time and memory are in proportion to nodes
//! whatever the shape of trees, and only the search for places and the adding up of leaves
//! are work for each row. A test may be anything that has an answer, so missing values,
//! zeros that count as missing and categories cost nothing where there are none.

mod column;
mod evaluate;

use alloc::vec;
use alloc::vec::Vec;

use self::column::Column;
use super::ensemble::{Child, Ensemble, LEAVES_MAX, Library, Test, Tree};

/// Most nodes of a chunk. Their tests fit `u16`, and the answers for a block of rows take
/// 1 MB at most; more chunks would search for places more often.
const NODES: usize = 1 << 15;
/// Leaves are taken eight at a time.
const OCTET: usize = 8;

/// Trees laid out for evaluation.
#[derive(Clone)]
pub(super) struct Sliced {
    chunks: Vec<Chunk>,
}

/// Trees that are evaluated together.
#[derive(Clone)]
struct Chunk {
    /// Thresholds, then categories: distinct tests are numbered in this order.
    columns: Vec<Column>,
    /// Feature (index into [`Ensemble::features`]) and test.
    categories: Vec<(u16, Test)>,
    /// Nodes of each tree, one fewer than leaves.
    trees: Vec<u16>,
    splits: Vec<Split>,
    /// Leaves of all trees, then enough to read the last tree as the largest.
    leaves: Vec<f64>,
}

/// A node; those of a tree lie parents first.
#[derive(Clone, Copy)]
struct Split {
    /// Number of the test.
    test: u16,
    /// Where rows go that pass it; children are numbered leaves first, then, from the next
    /// multiple of [`OCTET`], nodes.
    left: u16,
    /// Where rows go that fail it.
    right: u16,
}

impl Sliced {
    /// Lays out a checked ensemble.
    pub(super) fn new(ensemble: &Ensemble) -> Self {
        let mut chunks = Vec::new();
        let (mut first, mut nodes) = (0, 0);
        for (index, tree) in ensemble.trees.iter().enumerate() {
            nodes += tree.nodes.len();
            if nodes > NODES {
                chunks.push(Chunk::new(ensemble.library, &ensemble.trees[first..index]));
                (first, nodes) = (index, tree.nodes.len());
            }
        }
        chunks.push(Chunk::new(ensemble.library, &ensemble.trees[first..]));
        Self { chunks }
    }
}

impl Chunk {
    fn new(library: Library, trees: &[Tree]) -> Self {
        let nodes = trees.iter().flat_map(|tree| &tree.nodes);
        let mut tests: Vec<(Key, Test)> = nodes
            .map(|node| (key(node.feature, node.test), node.test))
            .collect();
        tests.sort_unstable_by_key(|&(key, _)| key);
        tests.dedup_by_key(|&mut (key, _)| key);
        let mut chunk = Self {
            columns: Vec::new(),
            categories: Vec::new(),
            trees: Vec::with_capacity(trees.len()),
            splits: Vec::new(),
            leaves: Vec::new(),
        };
        let same = |a: &(Key, Test), b: &(Key, Test)| (a.0.0, a.0.1) == (b.0.0, b.0.1);
        for tests in tests.chunk_by(same) {
            let (kind, feature, ..) = tests[0].0;
            let tests = tests.iter().map(|&(_, test)| test);
            if kind == CATEGORIES {
                chunk.categories.extend(tests.map(|test| (feature, test)));
            } else {
                chunk.columns.push(Column::new(feature, tests));
            }
        }
        for tree in trees {
            chunk.push(library, tree, |key| {
                tests.partition_point(|test| test.0 < key) as u16
            });
        }
        let padded = chunk.leaves.len() + LEAVES_MAX;
        chunk.leaves.resize(padded, 0.0);
        chunk
    }

    fn push(&mut self, library: Library, tree: &Tree, number_of: impl Fn(Key) -> u16) {
        let mut order = Vec::with_capacity(tree.nodes.len());
        let mut places = vec![0; tree.nodes.len()];
        let mut open = vec![tree.root()];
        while let Some(child) = open.pop() {
            if let Child::Node(index) = child {
                let node = &tree.nodes[usize::from(index)];
                places[usize::from(index)] = (first_node(tree.leaves.len()) + order.len()) as u16;
                order.push(node);
                open.extend([node.right, node.left]);
            }
        }
        let place = |child| match child {
            Child::Leaf(leaf) => leaf,
            Child::Node(node) => places[usize::from(node)],
        };
        self.splits.extend(order.into_iter().map(|node| Split {
            test: number_of(key(node.feature, node.test)),
            left: place(node.left),
            right: place(node.right),
        }));
        self.trees.push(tree.nodes.len() as u16);
        self.leaves
            .extend(tree.leaves.iter().map(|&leaf| match library {
                Library::LightGbm => leaf,
                // What is summed is an f32, whatever the ensemble says.
                Library::XgBoost => f64::from(leaf as f32),
            }));
    }
}

/// The number of a tree's root among its leaves and nodes.
#[inline(always)]
fn first_node(leaves: usize) -> usize {
    leaves.next_multiple_of(OCTET)
}

/// A test's kind, feature and parts: what makes it the same as another, and its number the
/// place among all. Thresholds of a feature fall.
type Key = (u8, u16, u32, u32);

/// The kind of tests for categories, which come last.
const CATEGORIES: u8 = 2;

fn key(feature: u16, test: Test) -> Key {
    match test {
        Test::AtMost {
            threshold,
            nan_left,
            zero_left,
        } => {
            // Bits that order as the numbers do; minus zero is zero.
            let bits = (threshold + 0.0).to_bits();
            let rising = if threshold < 0.0 {
                !bits
            } else {
                bits | 1 << 31
            };
            let sides = u32::from(nan_left) << 1 | u32::from(zero_left == Some(true));
            (u8::from(zero_left.is_some()), feature, !rising, sides)
        }
        Test::OneOf {
            first,
            words,
            nan_left,
        } => {
            let rest = u32::from(words) << 1 | u32::from(nan_left);
            (CATEGORIES, feature, first, rest)
        }
    }
}
