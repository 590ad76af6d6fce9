//! Configurations as JSON, checked field by field.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::RankingConfig;
use super::fields::{FIELDS, Field, Range, WEIGHT, WEIGHTS, Weight};
use crate::candidates::Kind;

/// Longest name, bytes.
const NAME_MAX: usize = 64;

/// What was given is repeated in an error up to this many characters.
const FOUND_MAX: usize = 80;

const BY_KIND: &str = "by_kind";

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
    fn invalid(field: &str, allowed: impl Into<String>, found: impl ToString) -> Self {
        Self::Invalid {
            field: field.into(),
            allowed: allowed.into(),
            found: found.to_string(),
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
        let value =
            serde_json::from_str(text).map_err(|error| ConfigError::Json(error.to_string()))?;
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
        check_name(&self.name)?;
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

    fn from_value(value: &Value) -> Result<Self, ConfigError> {
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
    check_name(name)?;
    Ok(name.clone())
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    let allowed = "a string of 1 to 64 bytes without control characters";
    if fits {
        Ok(())
    } else {
        Err(ConfigError::invalid("name", allowed, format!("{name:?}")))
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
        allowed.splice(0..0, ["name", "feed", "video"]);
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

fn object<'a>(path: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ConfigError> {
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

fn read_number(path: &str, range: Range, value: &Value) -> Result<f64, ConfigError> {
    match value.as_f64() {
        Some(number) if range.allows(number) => Ok(number),
        _ => Err(ConfigError::invalid(path, describe(range), value)),
    }
}

fn check(path: &str, range: Range, value: f64) -> Result<(), ConfigError> {
    if range.allows(value) {
        return Ok(());
    }
    Err(ConfigError::invalid(path, describe(range), value))
}

fn describe(range: Range) -> String {
    let what = if range.integer {
        "an integer"
    } else {
        "a number"
    };
    format!("{what} from {} to {}", range.min, range.max)
}

fn number(value: f64, range: Range) -> Value {
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_error(json: &str, expect: Expect) {
        expect.assert_eq(&RankingConfig::from_json(json).unwrap_err().to_string());
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(RankingConfig::from_json("{}"), Ok(RankingConfig::default()));
        assert_eq!(RankingConfig::default().validate(), Ok(()));
    }

    #[test]
    fn every_field_is_written() {
        expect![[r#"{"completion_prior_views":10.0,"feed":{"affinity":0.3,"engagement":0.4,"freshness":0.3},"freshness_decay_per_hour":0.1,"hot":{"click":0.2,"comment":2.0,"completed_view":0.5,"follow":4.0,"half_life_minutes":[20.0,360.0,2880.0],"like":1.0,"share":3.0,"view":0.1},"name":"default","selection":{"author_max":2,"author_window":20,"explore_every":10,"variety_displacement":10,"variety_lambda":0.85},"sources":{"affinity_authors":20,"affinity_cap":200,"affinity_window_days":90,"explore_cap":50,"explore_impressions":200,"explore_window_hours":72,"follow_cap":500,"follow_enough":50,"follow_windows_hours":[72,168,720],"merged_cap":900,"seen_window_days":7,"similar_cap":100,"similar_window_days":30,"trending_cap":200,"trending_window_hours":24},"version":1,"video":{"affinity":0.15,"completion":0.4,"deep":0.05,"engagement":0.25,"freshness":0.15}}"#]].assert_eq(&RankingConfig::default().to_json());
    }

    #[test]
    fn errors_name_field_and_range() {
        check_error(
            "nonsense",
            expect!["the ranking configuration is not JSON: expected ident at line 1 column 2"],
        );
        check_error("[]", expect!["the configuration must be an object, not []"]);
        check_error(
            r#"{"nmae": "x"}"#,
            expect![
                "nmae is no field of a ranking configuration; allowed: name, feed, video, version, freshness_decay_per_hour, completion_prior_views, selection, hot, sources"
            ],
        );
        check_error(
            r#"{"name": ""}"#,
            expect![[
                r#"name must be a string of 1 to 64 bytes without control characters, not """#
            ]],
        );
        check_error(
            r#"{"name": "a\u0000b"}"#,
            expect![[
                r#"name must be a string of 1 to 64 bytes without control characters, not "a\0b""#
            ]],
        );
        check_error(
            r#"{"version": -1}"#,
            expect!["version must be an integer from 0 to 4294967295, not -1"],
        );
        check_error(
            r#"{"version": 1.5}"#,
            expect!["version must be an integer from 0 to 4294967295, not 1.5"],
        );
        check_error(
            r#"{"selection": {"author_window": 21}}"#,
            expect!["selection.author_window must be an integer from 1 to 20, not 21"],
        );
        check_error(
            r#"{"selection": {"author_windw": 20}}"#,
            expect![
                "selection.author_windw is no field of a ranking configuration; allowed: author_max, author_window, variety_lambda, variety_displacement, explore_every"
            ],
        );
        check_error(
            r#"{"selection": 3}"#,
            expect!["selection must be an object, not 3"],
        );
        check_error(
            r#"{"hot": {"half_life_minutes": [20, 360]}}"#,
            expect!["hot.half_life_minutes must be an array of 3 numbers, not [20,360]"],
        );
        check_error(
            r#"{"hot": {"half_life_minutes": [20, 0, 1]}}"#,
            expect!["hot.half_life_minutes.1 must be a number from 1 to 525600, not 0"],
        );
        check_error(
            r#"{"hot": {"like": "1"}}"#,
            expect![[r#"hot.like must be a number from 0 to 1000, not "1""#]],
        );
        check_error(
            r#"{"feed": {"freshness": 101}}"#,
            expect!["feed.freshness must be a number from -100 to 100, not 101"],
        );
        check_error(
            r#"{"feed": {"deep": 0.1}}"#,
            expect![
                "feed.deep is no field of a ranking configuration; allowed: freshness, engagement, affinity, by_kind"
            ],
        );
        check_error(
            r#"{"video": {"by_kind": {"film": {"deep": 0.1}}}}"#,
            expect![
                "video.by_kind.film is no field of a ranking configuration; allowed: post, video, image, dataset"
            ],
        );
        check_error(
            r#"{"video": {"by_kind": {"video": {"deep": null}}}}"#,
            expect!["video.by_kind.video.deep must be a number from -100 to 100, not null"],
        );
        check_error(
            r#"{"sources": {"follow_windows_hours": [72, 24, 720]}}"#,
            expect!["sources.follow_windows_hours must be ascending, not [72, 24, 720]"],
        );
    }

    #[test]
    fn validate_refuses_what_is_not_finite() {
        let mut config = RankingConfig::default();
        config.video[Kind::Image as usize].deep = f64::NAN;
        expect!["video.by_kind.image.deep must be a number from -100 to 100, not NaN"]
            .assert_eq(&config.validate().unwrap_err().to_string());
    }

    proptest! {
        #[test]
        fn json_reads_back_to_the_same_bits(
            weights in prop::collection::vec(-100.0..100.0_f64, WEIGHTS.len() * Kind::ALL.len()),
            shares in prop::collection::vec(0.0..1.0_f64, FIELDS.len()),
            name in "[a-z\"\\\\ü]{1,20}",
        ) {
            let mut config = RankingConfig { name, ..RankingConfig::default() };
            for (place, &value) in weights.iter().enumerate() {
                let weight = &WEIGHTS[place % WEIGHTS.len()];
                (weight.set)(&mut config, Kind::ALL[place / WEIGHTS.len()], value);
            }
            for (field, share) in FIELDS.iter().zip(shares) {
                let value = field.range.min + share * (field.range.max - field.range.min);
                (field.set)(&mut config, if field.range.integer { libm::trunc(value) } else { value });
            }
            config.sources.follow_windows_hours.sort_unstable();
            prop_assert_eq!(RankingConfig::from_json(&config.to_json()), Ok(config));
        }
    }
}
