//! Reading JSON, without a type of its own for every shape.
//!
//! serde_json is generic over what it reads and into what: every crate and every type that asks
//! gets its own copy of the parser, and types that can be wrong bring the words for it. edge.wasm
//! has room for one, so whatever runs there reads a [`Value`], or splits what was checked.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::{Error as _, IgnoredAny};
use serde_json::{Error, Result, Value};

/// An object's fields as JSON; the last one of a name counts.
pub type Fields<'a> = BTreeMap<String, &'a str>;

/// Any JSON.
///
/// # Errors
///
/// Where and why it is not JSON.
pub fn value(json: &[u8]) -> Result<Value> {
    serde_json::from_str(utf8(json)?)
}

/// Any JSON, checked and as it is, without the space around it.
///
/// # Errors
///
/// Where and why it is not JSON.
pub fn raw(json: &[u8]) -> Result<&str> {
    let text = utf8(json)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(trim(text))
}

/// An array's elements as JSON.
///
/// # Errors
///
/// Where and why it is not an array.
pub fn list(json: &[u8]) -> Result<Vec<&str>> {
    let inner = raw(json)?.strip_prefix('[');
    let inner = inner.ok_or_else(|| Error::custom("invalid type: expected an array"))?;
    Ok(Parts { rest: inner }.collect())
}

/// An object's fields as JSON.
///
/// # Errors
///
/// Where and why it is not an object.
pub fn fields(json: &[u8]) -> Result<Fields<'_>> {
    let inner = raw(json)?.strip_prefix('{');
    let inner = inner.ok_or_else(|| Error::custom("invalid type: expected an object"))?;
    let mut fields = Fields::new();
    let mut parts = Parts { rest: inner };
    while let (Some(name), Some(field)) = (parts.next(), parts.next()) {
        match value(name.as_bytes())? {
            Value::String(name) => fields.insert(name, field),
            _ => return Err(Error::custom("a key is not a text")),
        };
    }
    Ok(fields)
}

/// The text that JSON is; none where it is something else.
#[must_use]
pub fn text(json: &str) -> Option<String> {
    match value(json.as_bytes()) {
        Ok(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn utf8(json: &[u8]) -> Result<&str> {
    core::str::from_utf8(json).map_err(|_| Error::custom("invalid unicode code point"))
}

fn trim(json: &str) -> &str {
    json.trim_matches([' ', '\n', '\t', '\r'])
}

/// What stands between the commas and colons of a container that is known to be JSON.
struct Parts<'a> {
    /// After the opening bracket, or after a comma or colon.
    rest: &'a str,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'[' | b'{' => depth += 1,
                b',' | b':' | b']' | b'}' if depth == 0 => {
                    // An ASCII byte: both ends are character boundaries.
                    let part = trim(self.rest.get(..at)?);
                    let is_end = matches!(byte, b']' | b'}');
                    self.rest = if is_end { "" } else { self.rest.get(at + 1..)? };
                    return Some(part).filter(|part| !part.is_empty());
                }
                b']' | b'}' => depth -= 1,
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// As serde_json splits it.
    #[track_caller]
    fn check(json: &str) {
        let bytes = json.as_bytes();
        let expected: Result<Vec<&RawValue>> = serde_json::from_str(json);
        let expected = expected.map(|list| list.into_iter().map(RawValue::get).collect());
        assert_eq!(list(bytes).ok(), expected.ok(), "{json}");
        let expected: Result<BTreeMap<String, &RawValue>> = serde_json::from_str(json);
        let raw = |(name, field): (String, &'_ RawValue)| (name, String::from(field.get()));
        let expected = expected.map(|fields| fields.into_iter().map(raw).collect());
        let split = fields(bytes).map(|fields| {
            let owned = |(name, field): (String, &str)| (name, String::from(field));
            fields.into_iter().map(owned).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(split.ok(), expected.ok(), "{json}");
    }

    #[test]
    fn containers_split_as_serde_json_splits_them() {
        for json in [
            "[]",
            " [ ] ",
            "{}",
            r#" [1, "a,]\"\\", {"b": [2, {"c": "}"}]} , null,[[]] ] "#,
            r#"{"a" : 1, "\u0062:" : {"x": ["}", ":"]}, "a": "last" }"#,
            "[1,]",
            "[1] 2",
            "{\"a\":}",
            "{1:2}",
            "5",
            "",
            "[\"\u{e9}\", \"\\\\\"]",
        ] {
            check(json);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_json() {
        assert!(value(b"\"\xff\"").is_err());
        assert!(list(b"[\"\xff\"]").is_err());
    }

    proptest! {
        #[test]
        fn any_text_splits_as_serde_json_splits_it(json in r#"[\[\]{}",:\\a1 ]{0,24}"#) {
            check(&json);
        }
    }
}
