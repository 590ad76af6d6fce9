//! Configurations as JSON, checked field by field.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::fields::{FIELDS, Field, Range, WEIGHT, WEIGHTS, Weight};
use super::{RankingConfig, blend};
use crate::candidates::Kind;

/// Longest name, bytes.
const NAME_MAX: usize = 64;

/// What was given is repeated in an error up to this many characters.
const FOUND_MAX: usize = 80;

pub(super) const BY_KIND: &str = "by_kind";

/// Why a ranking configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON at all.
    #[error("the ranking configuration is not JSON: {0}")]
    Json(String),
    /// A field that does not exist.
    #[error("{field} is no field of a ranking configuration; allowed: {allowed}")]
    Unknown {
        /// Path from the root, keys joined by dots.
        field: String,
        /// Names that may stand there.
        allowed: String,
    },
    /// A field of the wrong type or out of range.
    #[error("{field} must be {allowed}, not {found}")]
    Invalid {
        /// Path from the root, keys joined by dots.
        field: String,
        /// Type and range.
        allowed: String,
        /// What was given.
        found: String,
    },
}

impl ConfigError {
    pub(super) fn invalid(field: &str, allowed: impl Into<String>, found: impl ToString) -> Self {
        let mut found = found.to_string();
        // What was given may be a whole document.
        if let Some((end, _)) = found.char_indices().nth(FOUND_MAX) {
            found.truncate(end);
            found.push_str("...");
        }
        Self::Invalid {
            field: field.into(),
            allowed: allowed.into(),
            found,
        }
    }
}

impl RankingConfig {
    /// Reads and checks a configuration; a field that is left out has its default.
    ///
    /// # Errors
    /// Names the first field that is unknown, of the wrong type or out of range, and
    /// what is allowed there.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let value = serde_json::from_slice(text.as_bytes())
            .map_err(|error| ConfigError::Json(error.to_string()))?;
        Self::from_value(&value)
    }

    /// The configuration with all its fields as JSON; reads back to the same bits.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// Checks every field's range, as after changing fields by hand.
    ///
    /// # Errors
    /// Names the first field that is out of range, and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_name("name", &self.name)?;
        blend::validate(&self.blend)?;
        for field in FIELDS {
            check(&field.path.join("."), field.range, (field.get)(self))?;
        }
        for weight in WEIGHTS {
            for kind in Kind::ALL {
                let path = format!(
                    "{}.{BY_KIND}.{}.{}",
                    weight.profile,
                    kind.name(),
                    weight.name
                );
                check(&path, WEIGHT, (weight.get)(self, kind))?;
            }
        }
        let windows = self.sources.follow_windows_hours;
        if !windows.is_sorted() {
            let found = format!("{windows:?}");
            return Err(ConfigError::invalid(
                "sources.follow_windows_hours",
                "ascending",
                found,
            ));
        }
        Ok(())
    }

    /// [`RankingConfig::from_json`] of JSON that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let Value::Object(root) = value else {
            return Err(ConfigError::invalid(
                "the configuration",
                "an object",
                value,
            ));
        };
        for (key, value) in root {
            match key.as_str() {
                "name" => config.name = read_name(value)?,
                "blend" => config.blend = blend::read(value)?,
                "feed" | "video" => read_weights(&mut config, key, value)?,
                _ => read_fields(&mut config, &mut alloc::vec![key.as_str()], value)?,
            }
        }
        config.validate()?;
        Ok(config)
    }

    fn to_value(&self) -> Value {
        let mut root = Map::new();
        root.insert("name".into(), self.name.as_str().into());
        for field in FIELDS {
            insert(
                &mut root,
                field.path,
                number((field.get)(self), field.range),
            );
        }
        if !self.blend.is_empty() {
            root.insert("blend".into(), blend::to_value(&self.blend));
        }
        for profile in ["feed", "video"] {
            root.insert(profile.into(), self.weights_to_value(profile));
        }
        Value::Object(root)
    }

    /// The first kind's weights for all kinds, and what differs from them by kind.
    fn weights_to_value(&self, profile: &str) -> Value {
        let [first, others @ ..] = Kind::ALL;
        let mut weights = Map::new();
        let mut by_kind = Map::new();
        for weight in WEIGHTS.iter().filter(|weight| weight.profile == profile) {
            let for_all = (weight.get)(self, first);
            weights.insert(weight.name.into(), number(for_all, WEIGHT));
            for kind in others {
                let own = (weight.get)(self, kind);
                if own.to_bits() != for_all.to_bits() {
                    insert(
                        &mut by_kind,
                        &[kind.name(), weight.name],
                        number(own, WEIGHT),
                    );
                }
            }
        }
        if !by_kind.is_empty() {
            weights.insert(BY_KIND.into(), Value::Object(by_kind));
        }
        Value::Object(weights)
    }
}

impl Serialize for RankingConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RankingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(D::Error::custom)
    }
}

fn read_name(value: &Value) -> Result<String, ConfigError> {
    let Value::String(name) = value else {
        return Err(ConfigError::invalid(
            "name",
            "a string of 1 to 64 bytes",
            value,
        ));
    };
    check_name("name", name)?;
    Ok(name.clone())
}

pub(super) fn check_name(field: &str, name: &str) -> Result<(), ConfigError> {
    let fits = (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    let allowed = "a string of 1 to 64 bytes without control characters";
    if fits {
        Ok(())
    } else {
        Err(ConfigError::invalid(field, allowed, format!("{name:?}")))
    }
}

/// Walks objects and arrays down to the numbers of the table.
fn read_fields<'a>(
    config: &mut RankingConfig,
    path: &mut Vec<&'a str>,
    value: &'a Value,
) -> Result<(), ConfigError> {
    const INDICES: [&str; 3] = ["0", "1", "2"];
    let below: Vec<&Field> = FIELDS
        .iter()
        .filter(|field| field.path.starts_with(path))
        .collect();
    let Some(first) = below.first() else {
        return Err(unknown(path));
    };
    if first.path.len() == path.len() {
        let number = read_number(&path.join("."), first.range, value)?;
        (first.set)(config, number);
        return Ok(());
    }
    let is_array = first.path.get(path.len()) == Some(&INDICES[0]);
    match value {
        Value::Object(object) if !is_array => {
            for (key, value) in object {
                path.push(key);
                read_fields(config, path, value)?;
                path.pop();
            }
        }
        Value::Array(array) if is_array && array.len() == below.len() => {
            for (key, value) in INDICES.into_iter().zip(array) {
                path.push(key);
                read_fields(config, path, value)?;
                path.pop();
            }
        }
        _ if is_array => {
            let allowed = format!("an array of {} numbers", below.len());
            return Err(ConfigError::invalid(&path.join("."), allowed, value));
        }
        _ => return Err(ConfigError::invalid(&path.join("."), "an object", value)),
    }
    Ok(())
}

/// The error for a path that is not in the table, with the names that are.
fn unknown(path: &[&str]) -> ConfigError {
    let parent = path.split_last().map_or(&[][..], |(_, parent)| parent);
    let mut allowed: Vec<&str> = FIELDS
        .iter()
        .filter(|field| field.path.starts_with(parent))
        .filter_map(|field| field.path.get(parent.len()).copied())
        .collect();
    allowed.dedup();
    if parent.is_empty() {
        allowed.splice(0..0, ["name", "blend", "feed", "video"]);
    }
    ConfigError::Unknown {
        field: path.join("."),
        allowed: allowed.join(", "),
    }
}

/// Weights for all kinds first, then what `by_kind` changes, whatever the order in the text.
fn read_weights(
    config: &mut RankingConfig,
    profile: &str,
    value: &Value,
) -> Result<(), ConfigError> {
    for (name, value) in object(profile, value)?
        .iter()
        .filter(|(name, _)| *name != BY_KIND)
    {
        let weight = find_weight(profile, profile, name)?;
        let number = read_number(&format!("{profile}.{name}"), WEIGHT, value)?;
        for kind in Kind::ALL {
            (weight.set)(config, kind, number);
        }
    }
    let Some(by_kind) = value.get(BY_KIND) else {
        return Ok(());
    };
    let path = format!("{profile}.{BY_KIND}");
    for (kind_name, value) in object(&path, by_kind)? {
        let path = format!("{path}.{kind_name}");
        let kind = Kind::from_name(kind_name).ok_or_else(|| ConfigError::Unknown {
            field: path.clone(),
            allowed: Kind::ALL.map(Kind::name).join(", "),
        })?;
        for (name, value) in object(&path, value)? {
            let weight = find_weight(profile, &path, name)?;
            (weight.set)(
                config,
                kind,
                read_number(&format!("{path}.{name}"), WEIGHT, value)?,
            );
        }
    }
    Ok(())
}

pub(super) fn object<'a>(
    path: &str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, ConfigError> {
    value
        .as_object()
        .ok_or_else(|| ConfigError::invalid(path, "an object", value))
}

fn find_weight(profile: &str, path: &str, name: &str) -> Result<&'static Weight, ConfigError> {
    let of_profile = || WEIGHTS.iter().filter(|weight| weight.profile == profile);
    of_profile()
        .find(|weight| weight.name == name)
        .ok_or_else(|| {
            let mut allowed: Vec<&str> = of_profile().map(|weight| weight.name).collect();
            if path == profile {
                allowed.push(BY_KIND);
            }
            ConfigError::Unknown {
                field: format!("{path}.{name}"),
                allowed: allowed.join(", "),
            }
        })
}

pub(super) fn read_number(path: &str, range: Range, value: &Value) -> Result<f64, ConfigError> {
    match value.as_f64() {
        Some(number) if range.allows(number) => Ok(number),
        _ => Err(ConfigError::invalid(path, describe(range), value)),
    }
}

pub(super) fn check(path: &str, range: Range, value: f64) -> Result<(), ConfigError> {
    if range.allows(value) {
        return Ok(());
    }
    Err(ConfigError::invalid(path, describe(range), decimal(value)))
}

fn describe(range: Range) -> String {
    let what = if range.integer {
        "an integer"
    } else {
        "a number"
    };
    format!(
        "{what} from {} to {}",
        decimal(range.min),
        decimal(range.max)
    )
}

/// A number as people write it; not by `core::fmt`, whose printer of floats would add 20 KB
/// to edge.wasm beside the one of serde_json.
fn decimal(value: f64) -> String {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    text.strip_suffix(".0").unwrap_or(text).into()
}

pub(super) fn number(value: f64, range: Range) -> Value {
    if range.integer {
        return Value::from(value as u64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Puts a value at a path, making objects on the way and arrays for the key `0`.
fn insert(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => {
            object.insert((*key).into(), value);
        }
        [key, index] if index.bytes().all(|byte| byte.is_ascii_digit()) => {
            let array = object
                .entry(*key)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(array) = array {
                array.push(value);
            }
        }
        [key, rest @ ..] => {
            let inner = object
                .entry(*key)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
