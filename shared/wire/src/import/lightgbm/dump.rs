//! LightGBM's `dump_model`: JSON whose trees are nested nodes.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::trees::{Child, Library, Node, Test, Tree};

use super::{Missing, at_most, check_header, link};
use crate::import::build::{Builder, leaves_allowed, set_category};
use crate::import::event::{Event, Events, FromEvent, unexpected};
use crate::import::json::Json;
use crate::import::names::NamesAt;
use crate::import::{Format, ImportError, Imported, Names};

pub(crate) fn read(mut json: Json<'_>, names: Names<'_>) -> Result<Imported, ImportError> {
    let mut builder = Builder::new(Library::LightGbm);
    let mut version = None;
    let mut classes = None;
    let mut trees_an_iteration = 1;
    let mut objective = None;
    let mut names_at = None;
    json.object("the model")?;
    while let Some(key) = json.key()? {
        match &*key {
            "version" => version = Some(json.value::<String>("version")?),
            "num_class" => classes = Some(json.value("num_class")?),
            "num_tree_per_iteration" => {
                trees_an_iteration = json.value("num_tree_per_iteration")?;
            }
            "objective" => objective = Some(json.value::<String>("objective")?),
            "average_output" => builder.ensemble.average = json.value("average_output")?,
            "feature_names" => names_at = Some(NamesAt::pass(&mut json)?),
            "tree_info" => {
                builder.ensemble.trees.clear();
                json.array("tree_info")?;
                while json.item("tree_info")? {
                    let tree = tree(&mut json, &mut builder)?;
                    builder.push(tree)?;
                }
            }
            _ => json.skip()?,
        }
    }
    json.end()?;
    let missing = |field| ImportError::Missing { field };
    check_header(
        &version.ok_or(missing("version"))?,
        classes.ok_or(missing("num_class"))?,
        trees_an_iteration,
    )?;
    let objective = objective.unwrap_or_else(|| "custom".into());
    builder.ensemble.link = link(&objective)?;
    let mut names_at = names_at.ok_or(missing("feature_names"))?;
    builder.finish(Format::LightGbmJson, objective, names, |index| {
        names_at.get(index)?.ok_or(missing("a feature's name"))
    })
}

/// An entry of `tree_info` that was entered.
fn tree(json: &mut Json<'_>, builder: &mut Builder) -> Result<Tree, ImportError> {
    let mut tree = None;
    while let Some(key) = json.key()? {
        if key == "tree_structure" {
            json.object("tree_structure")?;
            tree = Some(structure(json, builder)?);
        } else {
            json.skip()?;
        }
    }
    tree.ok_or(ImportError::Missing {
        field: "tree_structure",
    })
}

/// What has been read of a node.
#[derive(Default)]
struct Open<'a> {
    feature: Option<i64>,
    threshold: Option<Event<'a>>,
    categorical: Option<bool>,
    default_left: Option<bool>,
    missing: Option<Missing>,
    left: Option<Child>,
    right: Option<Child>,
    leaf: Option<f64>,
    /// The child that is being read is the left one.
    at_left: bool,
}

/// Reads nested nodes from within the root, with a stack of its own.
fn structure(json: &mut Json<'_>, builder: &mut Builder) -> Result<Tree, ImportError> {
    let mut tree = Tree::default();
    let mut above: Vec<Open<'_>> = Vec::new();
    let mut open = Open::default();
    loop {
        if let Some(key) = json.key()? {
            if key == "left_child" || key == "right_child" {
                json.object("a child")?;
                open.at_left = key == "left_child";
                // The reader bounds the depth.
                above.push(core::mem::take(&mut open));
            } else {
                open.field(json, &key)?;
            }
            continue;
        }
        let child = open.close(&mut tree, builder)?;
        match above.pop() {
            Some(parent) => open = parent,
            None => break,
        }
        let slot = if open.at_left {
            &mut open.left
        } else {
            &mut open.right
        };
        *slot = Some(child);
    }
    // Children were closed before their parents; the root has to be node 0.
    tree.nodes.reverse();
    let last = tree.nodes.len().saturating_sub(1);
    for node in &mut tree.nodes {
        for child in [&mut node.left, &mut node.right] {
            if let Child::Node(at) = child {
                *at = last.saturating_sub(usize::from(*at)) as u16;
            }
        }
    }
    Ok(tree)
}

impl<'a> Open<'a> {
    fn field(&mut self, json: &mut Json<'a>, key: &str) -> Result<(), ImportError> {
        match key {
            "split_feature" => self.feature = Some(json.value("split_feature")?),
            "threshold" => {
                let event = json.next()?;
                json.skip_rest(&event)?;
                self.threshold = Some(event);
            }
            "decision_type" => {
                self.categorical = Some(match json.next()? {
                    Event::Text(text) if text == "<=" => false,
                    Event::Text(text) if text == "==" => true,
                    event => return Err(unexpected("decision_type", &event, "<= or ==")),
                });
            }
            "default_left" => self.default_left = Some(json.value("default_left")?),
            "missing_type" => {
                self.missing = Some(match json.next()? {
                    Event::Text(text) if text == "None" => Missing::None,
                    Event::Text(text) if text == "Zero" => Missing::Zero,
                    Event::Text(text) if text == "NaN" => Missing::Nan,
                    event => {
                        return Err(unexpected("missing_type", &event, "None, Zero or NaN"));
                    }
                });
            }
            "leaf_value" => self.leaf = Some(json.value("leaf_value")?),
            "leaf_const" | "leaf_coeff" | "leaf_features" => {
                return Err(ImportError::unsupported("a linear tree", key));
            }
            _ => json.skip()?,
        }
        Ok(())
    }

    /// Adds the node or the leaf to the tree.
    fn close(self, tree: &mut Tree, builder: &mut Builder) -> Result<Child, ImportError> {
        let missing = |field| ImportError::Missing { field };
        if let Some(value) = self.leaf {
            let at = tree.leaves.len();
            leaves_allowed(at + 1)?;
            tree.leaves.push(value);
            return Ok(Child::Leaf(at as u16));
        }
        let at = tree.nodes.len();
        leaves_allowed(at + 2)?;
        let feature = builder.feature(self.feature.ok_or(missing("split_feature"))?)?;
        let test = self.test(builder)?;
        tree.nodes.push(Node {
            feature,
            test,
            left: self.left.ok_or(missing("left_child"))?,
            right: self.right.ok_or(missing("right_child"))?,
        });
        Ok(Child::Node(at as u16))
    }

    fn test(&self, builder: &mut Builder) -> Result<Test, ImportError> {
        let missing = |field| ImportError::Missing { field };
        let threshold = self.threshold.as_ref().ok_or(missing("threshold"))?;
        if self.categorical.ok_or(missing("decision_type"))? {
            return builder.one_of(&categories(threshold)?, false);
        }
        let value = f64::from_event(threshold)
            .ok_or_else(|| unexpected("threshold", threshold, "a number"))?;
        Ok(at_most(
            value,
            self.missing.ok_or(missing("missing_type"))?,
            self.default_left.ok_or(missing("default_left"))?,
        ))
    }
}

/// Categories as `dump_model` writes them: `3||7||12`.
fn categories(threshold: &Event<'_>) -> Result<Vec<u32>, ImportError> {
    let wrong = || unexpected("threshold", threshold, "categories with || between them");
    let Event::Text(text) = threshold else {
        return Err(wrong());
    };
    let mut words = Vec::new();
    for category in text.split("||") {
        set_category(&mut words, category.parse().map_err(|_| wrong())?)?;
    }
    Ok(words)
}
