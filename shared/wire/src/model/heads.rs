//! The columns of a snapshot's trees.
//!
//! All trees of a head lie in the same columns, leaves first: what they claim is bounded by
//! bytes that are there before anything else is read.

use alloc::vec::Vec;

use edgewise_ranking::Head;
use edgewise_ranking::config::BLEND_HEADS_MAX;
use edgewise_ranking::feature::WIDTH;
use edgewise_ranking::trees::{
    CATEGORY_WORDS_MAX, Child, Ensemble, FEATURES_MAX, Forest, LEAVES_MAX, LEAVES_TOTAL_MAX,
    Library, Link, Node, TREES_MAX, Test, Tree,
};

use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::limits::HEAD_NAME_BYTES_MAX;

/// How a node tests, in the low bits of its code.
const AT_MOST: u64 = 0;
const ONE_OF: u64 = 1;
/// NaN goes left.
const NAN_LEFT: u64 = 1 << 1;
/// Zero counts as missing ...
const ZERO_IS_MISSING: u64 = 1 << 2;
/// ... and goes left.
const ZERO_LEFT: u64 = 1 << 3;
const CODE_MAX: u64 = 15;

pub(super) fn write(heads: &[Head], out: &mut Writer) {
    // Not cut: a model with a head less would rank otherwise, so decoding refuses too many.
    out.len(heads.len());
    for head in heads {
        out.text(&head.name);
        write_ensemble(head.forest.ensemble(), out);
    }
}

pub(super) fn write_ensemble(ensemble: &Ensemble, out: &mut Writer) {
    out.byte(match ensemble.library {
        Library::LightGbm => 0,
        Library::XgBoost => 1,
    });
    let (link, scale) = match ensemble.link {
        Link::Identity => (0, 1.0),
        Link::Logistic { scale } => (1, scale),
        Link::Exp => (2, 1.0),
    };
    out.byte(link);
    out.f64(scale);
    out.f64(ensemble.base);
    out.byte(u8::from(ensemble.average));
    out.len(ensemble.features.len());
    out.ints(&ints(&ensemble.features));
    let leaf_counts: Vec<u64> = ensemble
        .trees
        .iter()
        .map(|tree| tree.leaves.len() as u64)
        .collect();
    out.len(leaf_counts.len());
    out.ints(&leaf_counts);
    let leaves = ensemble.trees.iter().flat_map(|tree| &tree.leaves);
    out.f64s(&leaves.copied().collect::<Vec<f64>>());
    out.len(ensemble.categories.len());
    out.ints(&ints(&ensemble.categories));
    let nodes = || ensemble.trees.iter().flat_map(|tree| &tree.nodes);
    let column = |of: fn(&Node) -> u64| nodes().map(of).collect::<Vec<u64>>();
    out.ints(&column(|node| u64::from(node.feature)));
    out.ints(&column(|node| code(node.test)));
    out.ints(&column(|node| child(node.left)));
    out.ints(&column(|node| child(node.right)));
    let mut thresholds = Vec::new();
    let mut sets = Vec::new();
    for node in nodes() {
        match node.test {
            Test::AtMost { threshold, .. } => thresholds.push(u64::from(threshold.to_bits())),
            Test::OneOf { first, words, .. } => {
                sets.push((u64::from(first), u64::from(words)));
            }
        }
    }
    out.ints(&thresholds);
    out.ints(&sets.iter().map(|set| set.0).collect::<Vec<u64>>());
    out.ints(&sets.iter().map(|set| set.1).collect::<Vec<u64>>());
}

fn ints<T: Copy + Into<u64>>(values: &[T]) -> Vec<u64> {
    values.iter().map(|&value| value.into()).collect()
}

fn code(test: Test) -> u64 {
    let flag = |is: bool, bit: u64| if is { bit } else { 0 };
    match test {
        Test::AtMost {
            nan_left,
            zero_left,
            ..
        } => {
            AT_MOST
                | flag(nan_left, NAN_LEFT)
                | flag(zero_left.is_some(), ZERO_IS_MISSING)
                | flag(zero_left == Some(true), ZERO_LEFT)
        }
        Test::OneOf { nan_left, .. } => ONE_OF | flag(nan_left, NAN_LEFT),
    }
}

fn child(child: Child) -> u64 {
    match child {
        Child::Node(at) => u64::from(at) << 1,
        Child::Leaf(at) => u64::from(at) << 1 | 1,
    }
}

pub(super) fn read(input: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    let len = input.len("heads", BLEND_HEADS_MAX)?;
    let mut heads = Vec::with_capacity(len);
    for _ in 0..len {
        let name = input.text("a head's name", HEAD_NAME_BYTES_MAX)?;
        let forest = Forest::new(read_ensemble(input)?).map_err(DecodeError::Trees)?;
        heads.push(Head { name, forest });
    }
    Ok(heads)
}

fn read_ensemble(input: &mut Reader<'_>) -> Result<Ensemble, DecodeError> {
    let library = match input.byte("the trees' library")? {
        0 => Library::LightGbm,
        1 => Library::XgBoost,
        _ => return Err(DecodeError::OutOfRange("the trees' library")),
    };
    let link = input.byte("the trees' link")?;
    let scale = input.f64("the link's scale")?;
    let link = match link {
        0 => Link::Identity,
        1 => Link::Logistic { scale },
        2 => Link::Exp,
        _ => return Err(DecodeError::OutOfRange("the trees' link")),
    };
    let base = input.f64("the base margin")?;
    let average = input.flag("average")?;
    let len = input.len("features", FEATURES_MAX)?;
    let features = input.ints("features", len, WIDTH as u64 - 1)?;
    let trees = input.len("trees", TREES_MAX)?;
    let leaf_counts = input.ints("leaf counts", trees, LEAVES_MAX as u64)?;
    let leaves = leaf_counts.iter().sum::<u64>() as usize;
    if leaves > LEAVES_TOTAL_MAX {
        let (what, len) = ("leaves", leaves as u64);
        let max = LEAVES_TOTAL_MAX;
        return Err(DecodeError::TooMany { what, len, max });
    }
    let leaves = input.f64s("leaves", leaves)?;
    let words = input.len("categories", CATEGORY_WORDS_MAX)?;
    let categories = input.ints_as("categories", words)?;
    let nodes = leaf_counts
        .iter()
        .map(|count| count.saturating_sub(1) as usize);
    let mut nodes = Nodes::read(input, nodes.sum(), features.len())?;
    let mut leaves = leaves.into_iter();
    let trees = leaf_counts.iter().map(|&count| Tree {
        nodes: nodes
            .by_ref()
            .take((count as usize).saturating_sub(1))
            .collect(),
        leaves: leaves.by_ref().take(count as usize).collect(),
    });
    Ok(Ensemble {
        library,
        trees: trees.collect(),
        features: features.into_iter().map(|feature| feature as u16).collect(),
        categories,
        base,
        average,
        link,
    })
}

/// The columns of nodes, read, as nodes one after the other.
struct Nodes {
    features: Vec<u64>,
    codes: Vec<u64>,
    left: Vec<u64>,
    right: Vec<u64>,
    /// Bits of the thresholds.
    thresholds: alloc::vec::IntoIter<u32>,
    first: alloc::vec::IntoIter<u32>,
    words: alloc::vec::IntoIter<u16>,
    at: usize,
}

impl Nodes {
    fn read(input: &mut Reader<'_>, len: usize, features: usize) -> Result<Self, DecodeError> {
        const CHILD_MAX: u64 = (LEAVES_MAX as u64) << 1 | 1;
        let feature_max = features.saturating_sub(1) as u64;
        let features = input.ints("features of nodes", len, feature_max)?;
        let codes = input.ints("tests of nodes", len, CODE_MAX)?;
        let left = input.ints("left children", len, CHILD_MAX)?;
        let right = input.ints("right children", len, CHILD_MAX)?;
        let sets = codes.iter().filter(|&&code| code & ONE_OF != 0).count();
        let thresholds = input.ints_as::<u32>("thresholds", len - sets)?;
        Ok(Self {
            features,
            codes,
            left,
            right,
            thresholds: thresholds.into_iter(),
            first: input
                .ints_as("first words of categories", sets)?
                .into_iter(),
            words: input.ints_as("words of categories", sets)?.into_iter(),
            at: 0,
        })
    }
}

impl Iterator for Nodes {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let at = self.at;
        self.at += 1;
        let code = *self.codes.get(at)?;
        let nan_left = code & NAN_LEFT != 0;
        let test = if code & ONE_OF == 0 {
            Test::AtMost {
                threshold: f32::from_bits(self.thresholds.next()?),
                nan_left,
                zero_left: (code & ZERO_IS_MISSING != 0).then_some(code & ZERO_LEFT != 0),
            }
        } else {
            Test::OneOf {
                first: self.first.next()?,
                words: self.words.next()?,
                nan_left,
            }
        };
        let child = |code: u64| {
            let at = (code >> 1) as u16;
            if code & 1 == 0 {
                Child::Node(at)
            } else {
                Child::Leaf(at)
            }
        };
        Some(Node {
            feature: *self.features.get(at)? as u16,
            test,
            left: child(*self.left.get(at)?),
            right: child(*self.right.get(at)?),
        })
    }
}
