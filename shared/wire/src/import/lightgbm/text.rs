//! LightGBM's `model.txt`: a header, then a section a tree, of lines `key=value`.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::str::FromStr;

use edgewise_ranking::trees::{Child, Library, Node, Test, Tree};

use super::{Missing, at_most, check_header, link};
use crate::import::build::{Builder, leaves_allowed};
use crate::import::{Format, ImportError, Imported, Names};

/// The line after the last tree.
const END: &str = "end of trees";

/// Lines with the byte that each begins at.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line that ends; what follows the last line break is cut off.
    fn next(&mut self) -> Result<&'a str, ImportError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.split_once('\n') {
            Some((line, _)) => {
                self.at += line.len() + 1;
                Ok(line.strip_suffix('\r').unwrap_or(line))
            }
            None => Err(ImportError::Syntax {
                what: "the text ends before its trees do",
                at: self.text.len(),
            }),
        }
    }
}

#[derive(Default)]
struct Header<'a> {
    version: Option<&'a str>,
    classes: Option<&'a str>,
    trees_an_iteration: Option<&'a str>,
    objective: Option<&'a str>,
    features: Option<&'a str>,
    average: bool,
}

/// A tree's lines as they are.
#[derive(Default)]
struct Section<'a> {
    leaves: Option<&'a str>,
    sets: Option<&'a str>,
    features: Option<&'a str>,
    thresholds: Option<&'a str>,
    decisions: Option<&'a str>,
    left: Option<&'a str>,
    right: Option<&'a str>,
    values: Option<&'a str>,
    boundaries: Option<&'a str>,
    words: Option<&'a str>,
    linear: Option<&'a str>,
}

pub(crate) fn read(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    let text = str::from_utf8(bytes).map_err(|error| ImportError::Syntax {
        what: "no UTF-8",
        at: error.valid_up_to(),
    })?;
    let mut lines = Lines { text, at: 0 };
    while lines.next()?.trim_ascii() != "tree" {
        if !text
            .get(..lines.at)
            .unwrap_or_default()
            .trim_ascii()
            .is_empty()
        {
            return Err(ImportError::UnknownFormat);
        }
    }
    let mut header = Header::default();
    // The line that ended the header or the section before: a tree's first or the end.
    let mut begins = loop {
        let line = lines.next()?;
        if line == END || line.starts_with("Tree=") {
            break line;
        }
        match line.split_once('=') {
            Some(("version", value)) => header.version = Some(value),
            Some(("num_class", value)) => header.classes = Some(value),
            Some(("num_tree_per_iteration", value)) => header.trees_an_iteration = Some(value),
            Some(("objective", value)) => header.objective = Some(value),
            Some(("feature_names", value)) => header.features = Some(value),
            _ => header.average |= line == "average_output",
        }
    };
    check_header(
        there(header.version, "version")?,
        number(there(header.classes, "num_class")?, "num_class")?,
        match header.trees_an_iteration {
            Some(text) => number(text, "num_tree_per_iteration")?,
            None => 1,
        },
    )?;
    // Trained with an objective of the user's own, LightGBM writes none: the sum is the answer.
    let objective = header.objective.unwrap_or("custom");
    let mut builder = Builder::new(Library::LightGbm);
    builder.ensemble.link = link(objective)?;
    builder.ensemble.average = header.average;
    while begins != END {
        let number: usize = number(begins.strip_prefix("Tree=").unwrap_or_default(), "Tree")?;
        if number != builder.ensemble.trees.len() {
            return Err(ImportError::value(
                "Tree",
                begins,
                "the tree after the one before",
            ));
        }
        let section;
        (section, begins) = Section::read(&mut lines)?;
        let tree = section.tree(&mut builder)?;
        builder.push(tree)?;
    }
    let mut features = header.features.unwrap_or_default().split_ascii_whitespace();
    let mut passed = 0;
    builder.finish(
        Format::LightGbmText,
        objective.to_string(),
        names,
        |index| {
            let name = features.nth((index - passed) as usize);
            passed = index + 1;
            name.map(ToString::to_string).ok_or(ImportError::Missing {
                field: "a feature's name",
            })
        },
    )
}

impl<'a> Section<'a> {
    /// Reads up to the next tree's first line or the end, and gives that too.
    fn read(lines: &mut Lines<'a>) -> Result<(Self, &'a str), ImportError> {
        let mut section = Self::default();
        loop {
            let line = lines.next()?;
            if line == END || line.starts_with("Tree=") {
                return Ok((section, line));
            }
            let Some((key, value)) = line.split_once('=') else {
                if line.is_empty() {
                    continue;
                }
                return Err(ImportError::value("a tree's line", line, "key=value"));
            };
            let field = match key {
                "num_leaves" => &mut section.leaves,
                "num_cat" => &mut section.sets,
                "split_feature" => &mut section.features,
                "threshold" => &mut section.thresholds,
                "decision_type" => &mut section.decisions,
                "left_child" => &mut section.left,
                "right_child" => &mut section.right,
                "leaf_value" => &mut section.values,
                "cat_boundaries" => &mut section.boundaries,
                "cat_threshold" => &mut section.words,
                "is_linear" => &mut section.linear,
                _ => continue,
            };
            *field = Some(value);
        }
    }

    fn tree(&self, builder: &mut Builder) -> Result<Tree, ImportError> {
        if !matches!(self.linear, None | Some("0")) {
            return Err(ImportError::unsupported("a linear tree, is_linear", "1"));
        }
        let leaves: usize = number(there(self.leaves, "num_leaves")?, "num_leaves")?;
        leaves_allowed(leaves)?;
        let mut tree = Tree {
            nodes: Vec::new(),
            leaves: numbers(self.values, "leaf_value", leaves)?,
        };
        if leaves < 2 {
            return Ok(tree);
        }
        let inner = leaves - 1;
        let sets: usize = number(there(self.sets, "num_cat")?, "num_cat")?;
        let sets = if sets > 0 {
            Sets::read(sets, self.boundaries, self.words)?
        } else {
            Sets::default()
        };
        let features = numbers::<i64>(self.features, "split_feature", inner)?;
        let thresholds = numbers::<f64>(self.thresholds, "threshold", inner)?;
        let decisions = numbers::<u8>(self.decisions, "decision_type", inner)?;
        let left = numbers::<i32>(self.left, "left_child", inner)?;
        let right = numbers::<i32>(self.right, "right_child", inner)?;
        let splits = features.into_iter().zip(thresholds).zip(decisions);
        for (((feature, threshold), decision), (left, right)) in
            splits.zip(left.into_iter().zip(right))
        {
            tree.nodes.push(Node {
                feature: builder.feature(feature)?,
                test: test(decision, threshold, &sets, builder)?,
                left: child(left)?,
                right: child(right)?,
            });
        }
        Ok(tree)
    }
}

/// Sets of categories of a tree: set `i` is the words from boundary `i` to boundary `i + 1`.
#[derive(Default)]
struct Sets {
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

impl Sets {
    fn read(
        count: usize,
        boundaries: Option<&str>,
        words: Option<&str>,
    ) -> Result<Self, ImportError> {
        // Each belongs to a node.
        leaves_allowed(count)?;
        let boundaries = numbers::<usize>(boundaries, "cat_boundaries", count + 1)?;
        let len = boundaries.last().copied().unwrap_or_default();
        let words = numbers::<u32>(words, "cat_threshold", len)?;
        Ok(Self { boundaries, words })
    }

    fn get(&self, index: f64) -> Option<&[u32]> {
        // NaN and negative numbers become 0, as any index they are none of ours.
        let at = index as usize;
        if index < 0.0 || index != at as f64 {
            return None;
        }
        let (from, to) = (self.boundaries.get(at)?, self.boundaries.get(at + 1)?);
        self.words.get(*from..*to)
    }
}

/// Bit 0: categorical, bit 1: missing values go left, bits 2 and 3: what is missing.
fn test(
    decision: u8,
    threshold: f64,
    sets: &Sets,
    builder: &mut Builder,
) -> Result<Test, ImportError> {
    let unknown = || {
        let found = alloc::format!("{decision}");
        ImportError::value("decision_type", &found, "a kind of split that is known")
    };
    if decision & 1 == 1 {
        let Some(words) = sets.get(threshold) else {
            let found = alloc::format!("{threshold}");
            return Err(ImportError::value(
                "threshold",
                &found,
                "a set of categories",
            ));
        };
        return builder.one_of(words, false);
    }
    let missing = match decision >> 2 {
        0 => Missing::None,
        1 => Missing::Zero,
        2 => Missing::Nan,
        _ => return Err(unknown()),
    };
    Ok(at_most(threshold, missing, decision & 2 == 2))
}

/// Children below 0 are leaves, all bits inverted.
fn child(index: i32) -> Result<Child, ImportError> {
    let (at, kind) = if index < 0 {
        (!index, Child::Leaf as fn(u16) -> Child)
    } else {
        (index, Child::Node as fn(u16) -> Child)
    };
    u16::try_from(at)
        .map(kind)
        .map_err(|_| ImportError::value("a child", &alloc::format!("{index}"), "a node or a leaf"))
}

fn there<'a>(value: Option<&'a str>, field: &'static str) -> Result<&'a str, ImportError> {
    value.ok_or(ImportError::Missing { field })
}

fn number<T: FromStr>(text: &str, field: &'static str) -> Result<T, ImportError> {
    text.trim_ascii()
        .parse()
        .map_err(|_| ImportError::value(field, text, "a number of its kind"))
}

/// Exactly `count` numbers.
fn numbers<T: FromStr>(
    value: Option<&str>,
    field: &'static str,
    count: usize,
) -> Result<Vec<T>, ImportError> {
    let mut numbers = Vec::new();
    for text in there(value, field)?.split_ascii_whitespace() {
        if numbers.len() == count {
            return Err(ImportError::value(field, text, "the end of the line"));
        }
        numbers.push(number(text, field)?);
    }
    if numbers.len() < count {
        return Err(ImportError::value(field, "too short", "a number for each"));
    }
    Ok(numbers)
}
