//! What a gradient-boosted ensemble is, whichever library trained it.

use alloc::vec::Vec;

/// Most trees of an ensemble.
pub const TREES_MAX: usize = 10_000;
/// Most leaves of a tree.
pub const LEAVES_MAX: usize = 1_024;
/// Most leaves of all trees together.
pub const LEAVES_TOTAL_MAX: usize = 1 << 18;
/// Most distinct features an ensemble reads.
pub const FEATURES_MAX: usize = 4_096;
/// Most words of all category sets together.
pub const CATEGORY_WORDS_MAX: usize = 1 << 18;

/// The library that trained an ensemble: its rules are followed to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// Sums of `f64`; a category is the value truncated toward zero, so -0.5 is category 0.
    #[default]
    LightGbm,
    /// Sums of `f32` in tree order, the base margin first; a negative value is no category.
    XgBoost,
}

/// From the sum of leaves to the prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Link {
    /// The sum itself.
    #[default]
    Identity,
    /// 1 / (1 + exp(-scale * sum)).
    Logistic {
        /// LightGBM's `sigmoid` parameter; 1 elsewhere.
        scale: f64,
    },
    /// exp(sum).
    Exp,
}

/// Trees whose leaves are summed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ensemble {
    /// Whose rules apply.
    pub library: Library,
    /// Index of the feature table for each feature that nodes name.
    pub features: Vec<u16>,
    /// The trees in the order they are summed.
    pub trees: Vec<Tree>,
    /// Sets of categories as bits, 32 a word; nodes name runs of words.
    pub categories: Vec<u32>,
    /// What the sum starts with; an `f32` for XGBoost, 0 for LightGBM.
    pub base: f64,
    /// The sum is divided by the number of trees (random forests).
    pub average: bool,
    /// From the sum to the prediction.
    pub link: Link,
}

/// A binary tree; node 0 is the root. A tree without nodes is one leaf.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Inner nodes, one fewer than leaves.
    pub nodes: Vec<Node>,
    /// Values of the leaves.
    pub leaves: Vec<f64>,
}

/// An inner node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Index into [`Ensemble::features`].
    pub feature: u16,
    /// Who goes left.
    pub test: Test,
    /// Where the test holds.
    pub left: Child,
    /// Where it does not.
    pub right: Child,
}

/// What a node points at, by index within its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// An inner node.
    Node(u16),
    /// A leaf.
    Leaf(u16),
}

/// Who goes left at a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// Values of at most `threshold`.
    ///
    /// A library's `f64` threshold rounded toward minus infinity decides `f32` values as
    /// the `f64` would; XGBoost's `x < t` is `x <= next_down(t)`.
    AtMost {
        /// Not NaN. Plus infinity lets every number go left: how LightGBM tells missing values
        /// from all others.
        threshold: f32,
        /// NaN goes left.
        nan_left: bool,
        /// Where zero counts as missing: whether values of magnitude up to 1e-35 go left.
        zero_left: Option<bool>,
    },
    /// Values that are one of a set of categories.
    OneOf {
        /// First word of the set in [`Ensemble::categories`].
        first: u32,
        /// Words of the set; categories beyond are not in it.
        words: u16,
        /// NaN goes left.
        nan_left: bool,
    },
}

/// Why an ensemble is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnsembleError {
    /// More of something than allowed.
    #[error("{what}: {count} are more than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A tree's parts do not form a tree: a child that is missing, shared or its own ancestor.
    #[error("tree {tree}: {what}")]
    Shape {
        /// Index of the tree.
        tree: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A number that cannot be used.
    #[error("tree {tree}: {what} is not finite")]
    NotFinite {
        /// Index of the tree.
        tree: usize,
        /// Which number.
        what: &'static str,
    },
}

impl Ensemble {
    /// Checks limits, shapes and numbers; what evaluators rely on.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self) -> Result<(), EnsembleError> {
        let limits = [
            ("trees", self.trees.len(), TREES_MAX),
            ("features", self.features.len(), FEATURES_MAX),
            (
                "words of categories",
                self.categories.len(),
                CATEGORY_WORDS_MAX,
            ),
        ];
        for (what, count, max) in limits {
            if count > max {
                return Err(EnsembleError::TooMany { what, count, max });
            }
        }
        let mut leaves = 0;
        for (index, tree) in self.trees.iter().enumerate() {
            self.check_tree(index, tree)?;
            leaves += tree.leaves.len();
            if leaves > LEAVES_TOTAL_MAX {
                return Err(EnsembleError::TooMany {
                    what: "leaves of all trees",
                    count: leaves,
                    max: LEAVES_TOTAL_MAX,
                });
            }
        }
        let scale = match self.link {
            Link::Logistic { scale } => scale,
            Link::Identity | Link::Exp => 0.0,
        };
        if self.is_finite(self.base) && scale.is_finite() {
            Ok(())
        } else {
            Err(EnsembleError::NotFinite {
                tree: 0,
                what: "the base margin or the link's scale",
            })
        }
    }

    /// Whether `number` is finite in the type that the library sums.
    fn is_finite(&self, number: f64) -> bool {
        match self.library {
            Library::LightGbm => number.is_finite(),
            Library::XgBoost => (number as f32).is_finite(),
        }
    }

    fn check_tree(&self, index: usize, tree: &Tree) -> Result<(), EnsembleError> {
        let shape = |what| EnsembleError::Shape { tree: index, what };
        let (nodes, leaves) = (tree.nodes.len(), tree.leaves.len());
        if leaves > LEAVES_MAX {
            return Err(EnsembleError::TooMany {
                what: "leaves of a tree",
                count: leaves,
                max: LEAVES_MAX,
            });
        }
        if leaves != nodes + 1 {
            return Err(shape("a tree has one leaf more than nodes"));
        }
        if !tree.leaves.iter().all(|&leaf| self.is_finite(leaf)) {
            return Err(EnsembleError::NotFinite {
                tree: index,
                what: "a leaf",
            });
        }
        // With one leaf more than nodes, every child named exactly once and the root never
        // named, the nodes reachable from the root are a tree; counting them rules out cycles.
        let mut node_named = alloc::vec![false; nodes];
        let mut leaf_named = alloc::vec![false; leaves];
        for node in &tree.nodes {
            for child in [node.left, node.right] {
                let named = match child {
                    Child::Node(0) => return Err(shape("the root is a child")),
                    Child::Node(at) => node_named.get_mut(usize::from(at)),
                    Child::Leaf(at) => leaf_named.get_mut(usize::from(at)),
                };
                match named {
                    None => return Err(shape("a child does not exist")),
                    Some(true) => return Err(shape("a child has two parents")),
                    Some(named) => *named = true,
                }
            }
            self.check_node(index, node)?;
        }
        let mut reached = 0;
        let mut open = Vec::from_iter(tree.nodes.first());
        while let Some(node) = open.pop() {
            reached += 1;
            for child in [node.left, node.right] {
                if let Child::Node(at) = child {
                    open.extend(tree.nodes.get(usize::from(at)));
                }
            }
        }
        if reached == nodes {
            Ok(())
        } else {
            Err(shape("nodes form a cycle"))
        }
    }

    fn check_node(&self, tree: usize, node: &Node) -> Result<(), EnsembleError> {
        let shape = |what| EnsembleError::Shape { tree, what };
        if usize::from(node.feature) >= self.features.len() {
            return Err(shape("a node's feature does not exist"));
        }
        match node.test {
            Test::AtMost { threshold, .. } => {
                // Minus infinity is what f64 thresholds below every f32 round to.
                if threshold.is_nan() {
                    return Err(EnsembleError::NotFinite {
                        tree,
                        what: "a threshold",
                    });
                }
            }
            Test::OneOf { first, words, .. } => {
                let end = first as usize + usize::from(words);
                if end > self.categories.len() {
                    return Err(shape("a set of categories does not exist"));
                }
            }
        }
        Ok(())
    }
}
