//! The blend of a configuration, in JSON an array of
//! `{"head", "weight"?, "by_kind"?, "normalise"?}`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::fields::WEIGHT;
use super::json::{BY_KIND, ConfigError, check, check_name, number, object, read_number};
use crate::candidates::Kind;

/// The head that is the profile's formula.
pub const FORMULA: &str = "formula";
/// The head that is the logistic of the vectors' dot product.
pub const VECTORS: &str = "vectors";

/// Most heads of a blend.
pub const BLEND_HEADS_MAX: usize = 8;

/// A head of a blend and what its values weigh.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendHead {
    /// [`FORMULA`], [`VECTORS`] or the objective of a model's trees.
    pub name: String,
    /// Weight by item kind (index: `Kind as usize`).
    pub weights: [f64; 4],
    /// What of the head enters the sum.
    pub normalise: Normalise,
}

/// What of a head's values enters the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalise {
    /// The prediction: a probability for binary objectives, the formula's score.
    #[default]
    Prediction,
    /// The sum of the trees, before the link.
    Sum,
    /// The prediction from 0 to 1 between the lowest and the highest of all eligible
    /// candidates; for heads of other units.
    MinMax,
}

impl Normalise {
    const ALL: [Self; 3] = [Self::Prediction, Self::Sum, Self::MinMax];

    /// Name in JSON: `prediction sum min_max`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prediction => "prediction",
            Self::Sum => "sum",
            Self::MinMax => "min_max",
        }
    }
}

pub(super) fn read(value: &Value) -> Result<Vec<BlendHead>, ConfigError> {
    let allowed = format!("an array of at most {BLEND_HEADS_MAX} heads");
    let heads = value
        .as_array()
        .filter(|heads| heads.len() <= BLEND_HEADS_MAX)
        .ok_or_else(|| ConfigError::invalid("blend", allowed, value))?;
    let read = |(index, value): (usize, &Value)| read_head(&format!("blend.{index}"), value);
    heads.iter().enumerate().map(read).collect()
}

fn read_head(path: &str, value: &Value) -> Result<BlendHead, ConfigError> {
    let mut head = BlendHead {
        name: String::new(),
        weights: [1.0; 4],
        normalise: Normalise::default(),
    };
    let fields = object(path, value)?;
    if let Some(weight) = fields.get("weight") {
        head.weights = [read_number(&format!("{path}.weight"), WEIGHT, weight)?; 4];
    }
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        match name.as_str() {
            "weight" => {}
            "head" => {
                let name = value.as_str();
                head.name = name
                    .ok_or_else(|| ConfigError::invalid(&path, "a head's name", value))?
                    .into();
            }
            "normalise" => {
                let names = Normalise::ALL.map(Normalise::name);
                let known = Normalise::ALL
                    .into_iter()
                    .find(|known| Some(known.name()) == value.as_str());
                head.normalise = known.ok_or_else(|| {
                    ConfigError::invalid(&path, format!("one of {}", names.join(", ")), value)
                })?;
            }
            BY_KIND => {
                for (kind, value) in object(&path, value)? {
                    let path = format!("{path}.{kind}");
                    let kind = Kind::from_name(kind).ok_or_else(|| ConfigError::Unknown {
                        field: path.clone(),
                        allowed: Kind::ALL.map(Kind::name).join(", "),
                    })?;
                    head.weights[kind as usize] = read_number(&path, WEIGHT, value)?;
                }
            }
            _ => {
                return Err(ConfigError::Unknown {
                    field: path,
                    allowed: "head, weight, by_kind, normalise".into(),
                });
            }
        }
    }
    Ok(head)
}

pub(super) fn validate(blend: &[BlendHead]) -> Result<(), ConfigError> {
    if blend.len() > BLEND_HEADS_MAX {
        let allowed = format!("at most {BLEND_HEADS_MAX} heads");
        return Err(ConfigError::invalid("blend", allowed, blend.len()));
    }
    for (index, head) in blend.iter().enumerate() {
        let path = format!("blend.{index}");
        check_name(&format!("{path}.head"), &head.name)?;
        if blend[..index].iter().any(|other| other.name == head.name) {
            let path = format!("{path}.head");
            return Err(ConfigError::invalid(&path, "named once", &head.name));
        }
        for kind in Kind::ALL {
            let path = format!("{path}.{BY_KIND}.{}", kind.name());
            check(&path, WEIGHT, head.weights[kind as usize])?;
        }
    }
    Ok(())
}

pub(super) fn to_value(blend: &[BlendHead]) -> Value {
    Value::Array(blend.iter().map(head_to_value).collect())
}

fn head_to_value(head: &BlendHead) -> Value {
    let [first, others @ ..] = Kind::ALL;
    let for_all = head.weights[first as usize];
    let mut by_kind = Map::new();
    for kind in others {
        let own = head.weights[kind as usize];
        if own.to_bits() != for_all.to_bits() {
            by_kind.insert(kind.name().into(), number(own, WEIGHT));
        }
    }
    let mut fields = Map::new();
    fields.insert("head".into(), head.name.as_str().into());
    fields.insert("weight".into(), number(for_all, WEIGHT));
    if !by_kind.is_empty() {
        fields.insert(BY_KIND.into(), Value::Object(by_kind));
    }
    fields.insert("normalise".into(), head.normalise.name().into());
    Value::Object(fields)
}
