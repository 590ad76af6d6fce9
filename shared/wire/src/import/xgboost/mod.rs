//! XGBoost's `save_model`: one document, as JSON or as UBJSON.

mod tree;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::trees::{Library, Link, TREES_MAX};

use self::tree::Lists;
use super::build::Builder;
use super::event::Events;
use super::names::NamesAt;
use super::{Format, ImportError, Imported, Names, log};

/// Reads a model from its events.
pub(super) fn read<'a>(
    mut events: impl Events<'a>,
    format: Format,
    names: Names<'_>,
) -> Result<Imported, ImportError> {
    let mut model = Model::new();
    let mut names_at = None;
    events.object("the model")?;
    while let Some(key) = events.key()? {
        match &*key {
            "learner" => names_at = model.learner(&mut events)?,
            "version" => events.values("version", 16, &mut model.version)?,
            _ => events.skip()?,
        }
    }
    events.end()?;
    let objective = model.check()?;
    model.builder.finish(format, objective, names, |index| {
        let name = match &mut names_at {
            Some(names) if names.any => names.get(index)?,
            // What XGBoost calls features that were not named.
            _ => Some(format!("f{index}")),
        };
        name.ok_or(ImportError::Missing {
            field: "a feature's name",
        })
    })
}

struct Model {
    builder: Builder,
    booster: Option<String>,
    trees: Option<i64>,
    objective: Option<String>,
    base_score: Option<String>,
    version: Vec<i64>,
}

impl Model {
    fn new() -> Self {
        Self {
            builder: Builder::new(Library::XgBoost),
            booster: None,
            trees: None,
            objective: None,
            base_score: None,
            version: Vec::new(),
        }
    }

    fn learner<'a, R: Events<'a>>(
        &mut self,
        events: &mut R,
    ) -> Result<Option<NamesAt<R>>, ImportError> {
        let mut names_at = None;
        events.object("learner")?;
        while let Some(key) = events.key()? {
            match &*key {
                "feature_names" => names_at = Some(NamesAt::pass(events)?),
                "gradient_booster" => self.booster(events)?,
                "learner_model_param" => self.parameters(events)?,
                "objective" => self.objective(events)?,
                _ => events.skip()?,
            }
        }
        Ok(names_at)
    }

    fn booster<'a>(&mut self, events: &mut impl Events<'a>) -> Result<(), ImportError> {
        events.object("gradient_booster")?;
        while let Some(key) = events.key()? {
            match &*key {
                "name" => self.booster = Some(events.value("gradient_booster's name")?),
                "model" => self.model(events)?,
                _ => events.skip()?,
            }
        }
        Ok(())
    }

    fn model<'a>(&mut self, events: &mut impl Events<'a>) -> Result<(), ImportError> {
        events.object("gradient_booster's model")?;
        while let Some(key) = events.key()? {
            match &*key {
                "gbtree_model_param" => {
                    events.object("gbtree_model_param")?;
                    while let Some(key) = events.key()? {
                        if key == "num_trees" {
                            self.trees = Some(events.value("num_trees")?);
                        } else {
                            events.skip()?;
                        }
                    }
                }
                "tree_info" => groups(events)?,
                "trees" => {
                    self.builder.ensemble.trees.clear();
                    events.array("trees")?;
                    while events.item("trees")? {
                        let lists = Lists::read(events, self.builder.ensemble.trees.len())?;
                        let tree = lists.tree(&mut self.builder)?;
                        self.builder.push(tree)?;
                    }
                }
                _ => events.skip()?,
            }
        }
        Ok(())
    }

    fn parameters<'a>(&mut self, events: &mut impl Events<'a>) -> Result<(), ImportError> {
        events.object("learner_model_param")?;
        while let Some(key) = events.key()? {
            match &*key {
                "base_score" => self.base_score = Some(events.value("base_score")?),
                "num_class" => one_output("num_class", events.value("num_class")?)?,
                "num_target" => one_output("num_target", events.value("num_target")?)?,
                _ => events.skip()?,
            }
        }
        Ok(())
    }

    fn objective<'a>(&mut self, events: &mut impl Events<'a>) -> Result<(), ImportError> {
        events.object("objective")?;
        while let Some(key) = events.key()? {
            if key == "name" {
                self.objective = Some(events.value("objective")?);
            } else {
                events.skip()?;
            }
        }
        Ok(())
    }

    /// Checks what goes beyond a tree, sets base and link, gives the objective.
    fn check(&mut self) -> Result<String, ImportError> {
        let missing = |field| ImportError::Missing { field };
        let booster = self
            .booster
            .take()
            .ok_or(missing("gradient_booster's name"))?;
        if booster != "gbtree" {
            return Err(ImportError::unsupported("XGBoost's booster", &booster));
        }
        let objective = self.objective.take().ok_or(missing("objective"))?;
        let (link, margin) = link(&objective)?;
        let major = self.version.first().copied().unwrap_or_default();
        if objective == "binary:logitraw" && major < LOGITRAW_SINCE {
            let what = "XGBoost's objective binary:logitraw of version";
            return Err(ImportError::unsupported(what, &format!("{major}")));
        }
        let declared = self.trees.ok_or(missing("num_trees"))?;
        let trees = self.builder.ensemble.trees.len();
        if usize::try_from(declared) != Ok(trees) {
            let expected = "the number of trees in the file";
            return Err(ImportError::value(
                "num_trees",
                &format!("{declared}"),
                expected,
            ));
        }
        let score = self.base_score.take().ok_or(missing("base_score"))?;
        self.builder.ensemble.link = link;
        self.builder.ensemble.base = f64::from(margin.of(base_score(&score)?)?);
        Ok(objective)
    }
}

/// Probabilities are held within this and 1 less this (`kRtEps`).
const SCORE_MIN: f32 = 1e-6;
/// The first major version seen to take the base score of `binary:logitraw` for a margin; early
/// ones took it for a probability.
const LOGITRAW_SINCE: i64 = 2;

/// What an objective makes of the base score, to start sums with.
#[derive(Clone, Copy)]
enum Margin {
    Plain,
    Logit,
    Log,
}

impl Margin {
    /// In `f32`, operation by operation as XGBoost's `ProbToMargin`.
    fn of(self, score: f32) -> Result<f32, ImportError> {
        let valid = match self {
            Self::Plain => score.is_finite(),
            Self::Logit => (0.0..=1.0).contains(&score),
            Self::Log => score > 0.0 && score.is_finite(),
        };
        if !valid {
            let expected = "a score of the objective";
            return Err(ImportError::value(
                "base_score",
                &format!("{score}"),
                expected,
            ));
        }
        Ok(match self {
            Self::Plain => score,
            Self::Logit => {
                // Since 3.1 labels may all be the same.
                let score = score.clamp(SCORE_MIN, 1.0 - SCORE_MIN);
                -log::ln(1.0 / score - 1.0)
            }
            Self::Log => log::ln(score),
        })
    }
}

fn link(objective: &str) -> Result<(Link, Margin), ImportError> {
    Ok(match objective {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "binary:logitraw"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Link::Identity, Margin::Plain),
        "reg:logistic" | "binary:logistic" => (Link::Logistic { scale: 1.0 }, Margin::Logit),
        "count:poisson" | "reg:gamma" | "reg:tweedie" => (Link::Exp, Margin::Log),
        _ => return Err(ImportError::unsupported("XGBoost's objective", objective)),
    })
}

/// `5E-1`, or since 3.1 `[5E-1]`: a list with a score for each output.
fn base_score(text: &str) -> Result<f32, ImportError> {
    text.strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text)
        .parse()
        .map_err(|_| ImportError::value("base_score", text, "a number, of one output"))
}

fn one_output(field: &'static str, count: i64) -> Result<(), ImportError> {
    if matches!(count, 0 | 1) {
        return Ok(());
    }
    Err(ImportError::value(field, &format!("{count}"), "one output"))
}

/// The output that each tree adds to.
fn groups<'a>(events: &mut impl Events<'a>) -> Result<(), ImportError> {
    let mut groups: Vec<i64> = Vec::new();
    events.values("tree_info", TREES_MAX, &mut groups)?;
    match groups.iter().find(|&&group| group != 0) {
        Some(group) => Err(ImportError::value(
            "tree_info",
            &format!("{group}"),
            "one output",
        )),
        None => Ok(()),
    }
}
