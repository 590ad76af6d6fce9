//! A tree of XGBoost: lists with an entry a node.

use alloc::vec::Vec;
use alloc::{format, vec};

use edgewise_ranking::trees::{CATEGORY_WORDS_MAX, Child, LEAVES_MAX, Node, Test, Tree};

use super::one_output;
use crate::import::ImportError;
use crate::import::build::{Builder, leaves_allowed, set_category};
use crate::import::event::Events;

/// Most entries of a tree's lists; pruned nodes leave gaps behind.
const ENTRIES_MAX: usize = 16 * LEAVES_MAX;
/// Most categories that a tree lists.
const CATEGORIES_MAX: usize = 32 * CATEGORY_WORDS_MAX;
/// What XGBoost writes where a node has no child.
const NO_CHILD: i32 = -1;

/// A tree's lists as they are.
#[derive(Default)]
pub(super) struct Lists {
    left: Vec<i32>,
    right: Vec<i32>,
    features: Vec<i32>,
    /// Thresholds of nodes, values of leaves.
    conditions: Vec<f32>,
    default_left: Vec<bool>,
    /// 1 for categorical splits; absent before XGBoost 1.3.
    kinds: Vec<i32>,
    categories: Vec<i32>,
    categorical_nodes: Vec<i32>,
    segments: Vec<i64>,
    sizes: Vec<i64>,
}

impl Lists {
    /// Reads an entry of `trees` that was entered: the tree `at`.
    pub(super) fn read<'a>(events: &mut impl Events<'a>, at: usize) -> Result<Self, ImportError> {
        let mut lists = Self::default();
        let max = ENTRIES_MAX;
        while let Some(key) = events.key()? {
            match &*key {
                "left_children" => events.values("left_children", max, &mut lists.left)?,
                "right_children" => events.values("right_children", max, &mut lists.right)?,
                "split_indices" => events.values("split_indices", max, &mut lists.features)?,
                "split_conditions" => {
                    events.values("split_conditions", max, &mut lists.conditions)?;
                }
                "default_left" => events.values("default_left", max, &mut lists.default_left)?,
                "split_type" => events.values("split_type", max, &mut lists.kinds)?,
                "categories" => {
                    events.values("categories", CATEGORIES_MAX, &mut lists.categories)?;
                }
                "categories_nodes" => {
                    events.values("categories_nodes", max, &mut lists.categorical_nodes)?;
                }
                "categories_segments" => {
                    events.values("categories_segments", max, &mut lists.segments)?;
                }
                "categories_sizes" => events.values("categories_sizes", max, &mut lists.sizes)?,
                "id" => {
                    let id: i64 = events.value("a tree's id")?;
                    if usize::try_from(id) != Ok(at) {
                        let expected = "the tree after the one before";
                        return Err(ImportError::value(
                            "a tree's id",
                            &format!("{id}"),
                            expected,
                        ));
                    }
                }
                "tree_param" => parameters(events)?,
                _ => events.skip()?,
            }
        }
        lists.check()?;
        Ok(lists)
    }

    fn check(&self) -> Result<(), ImportError> {
        let nodes = self.left.len();
        let kinds = if self.kinds.is_empty() {
            nodes
        } else {
            self.kinds.len()
        };
        let lens = [
            ("right_children", self.right.len()),
            ("split_indices", self.features.len()),
            ("split_conditions", self.conditions.len()),
            ("default_left", self.default_left.len()),
            ("split_type", kinds),
        ];
        for (field, len) in lens {
            if len != nodes {
                let found = format!("{len} entries");
                return Err(ImportError::value(field, &found, "an entry a node"));
            }
        }
        let sets = self.categorical_nodes.len();
        // Segments do not overlap: so much work at most as there are categories.
        let listed: i64 = self
            .sizes
            .iter()
            .fold(0, |sum, &size| sum.saturating_add(size));
        if self.segments.len() != sets
            || self.sizes.len() != sets
            || usize::try_from(listed) != Ok(self.categories.len())
            || self.sizes.iter().any(|&size| size < 0)
        {
            let found = format!("{listed} for {}", self.categories.len());
            return Err(ImportError::value(
                "categories_sizes",
                &found,
                "a segment a node",
            ));
        }
        Ok(())
    }

    /// Follows children from the root, so that pruned nodes are left out.
    pub(super) fn tree(&self, builder: &mut Builder) -> Result<Tree, ImportError> {
        let mut tree = Tree::default();
        let mut reached = vec![false; self.left.len()];
        // Index in the file, and the node and side it hangs from.
        let mut open: Vec<(i32, Option<(usize, bool)>)> = vec![(0, None)];
        while let Some((index, parent)) = open.pop() {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            match reached.get_mut(at) {
                Some(reached) if !*reached => *reached = true,
                Some(_) => {
                    return Err(ImportError::value("a child", &format!("{index}"), "a tree"));
                }
                None => return Err(ImportError::value("a child", &format!("{index}"), "a node")),
            }
            let child = if self.left.get(at) == Some(&NO_CHILD) {
                leaves_allowed(tree.leaves.len() + 1)?;
                tree.leaves.push(self.condition(at).into());
                Child::Leaf((tree.leaves.len() - 1) as u16)
            } else {
                leaves_allowed(tree.nodes.len() + 2)?;
                let (node, left, right) = self.node(at, builder)?;
                let parent = tree.nodes.len();
                open.push((right, Some((parent, false))));
                open.push((left, Some((parent, true))));
                tree.nodes.push(node);
                Child::Node(parent as u16)
            };
            if let Some((parent, to_left)) = parent
                && let Some(parent) = tree.nodes.get_mut(parent)
            {
                let slot = if to_left {
                    &mut parent.left
                } else {
                    &mut parent.right
                };
                *slot = child;
            }
        }
        Ok(tree)
    }

    fn condition(&self, at: usize) -> f32 {
        self.conditions.get(at).copied().unwrap_or(f32::NAN)
    }

    /// An inner node, its children's places yet open, and the file's indices of who goes left
    /// and who goes right.
    fn node(&self, at: usize, builder: &mut Builder) -> Result<(Node, i32, i32), ImportError> {
        let get = |list: &[i32]| list.get(at).copied().unwrap_or(NO_CHILD);
        let (left, right) = (get(&self.left), get(&self.right));
        let default_left = self.default_left.get(at) == Some(&true);
        let node = |feature, test| Node {
            feature,
            test,
            left: Child::Node(0),
            right: Child::Node(0),
        };
        let feature = builder.feature(get(&self.features).into())?;
        match self.kinds.get(at) {
            None | Some(0) => {
                let test = less_than(self.condition(at), default_left, builder)?;
                Ok((node(feature, test), left, right))
            }
            // Who is in the set goes right; who is not, whatever it is, left: the other way
            // round than here.
            Some(1) => {
                let words = self.categories_of(at)?;
                let test = builder.one_of(&words, !default_left)?;
                Ok((node(feature, test), right, left))
            }
            Some(kind) => Err(ImportError::unsupported(
                "a split of type",
                &format!("{kind}"),
            )),
        }
    }

    fn categories_of(&self, at: usize) -> Result<Vec<u32>, ImportError> {
        let mut words = Vec::new();
        // In the order of nodes.
        let set = i32::try_from(at)
            .ok()
            .and_then(|at| self.categorical_nodes.binary_search(&at).ok());
        let Some(set) = set else {
            return Ok(words);
        };
        let get = |list: &[i64]| list.get(set).and_then(|&value| usize::try_from(value).ok());
        let categories = get(&self.segments)
            .zip(get(&self.sizes))
            .and_then(|(from, size)| self.categories.get(from..from.checked_add(size)?));
        for &category in categories.unwrap_or_default() {
            let category = u32::try_from(category).map_err(|_| {
                ImportError::value("categories", &format!("{category}"), "a category")
            })?;
            set_category(&mut words, category)?;
        }
        Ok(words)
    }
}

/// `x < threshold`.
fn less_than(threshold: f32, nan_left: bool, builder: &mut Builder) -> Result<Test, ImportError> {
    if threshold == f32::NEG_INFINITY {
        // Nothing is less: like no category at all.
        return builder.one_of(&[], nan_left);
    }
    Ok(Test::AtMost {
        threshold: threshold.next_down(),
        nan_left,
        zero_left: None,
    })
}

/// `tree_param` of a tree.
fn parameters<'a>(events: &mut impl Events<'a>) -> Result<(), ImportError> {
    events.object("tree_param")?;
    while let Some(key) = events.key()? {
        if key == "size_leaf_vector" {
            one_output("size_leaf_vector", events.value("size_leaf_vector")?)?;
        } else {
            events.skip()?;
        }
    }
    Ok(())
}
