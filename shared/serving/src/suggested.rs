//! `/api/v1/discover/suggested-users` from the origin's stored list.

use alloc::vec::Vec;

use edgewise_wire::params::SuggestedParams;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Json;
use crate::stored::{StoredError, parse};

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// From the stored `{items:[{user, score, common}]}`, best first, to its first `limit`.
///
/// # Errors
///
/// The stored body is not of that shape.
pub fn answer(stored: &[u8], params: &SuggestedParams) -> Result<Vec<u8>, StoredError> {
    let stored: Stored<'_> = parse("suggested users", stored)?;
    let mut json = Json::with_capacity(1_024);
    json.open('{');
    json.key("items");
    json.open('[');
    for user in stored.items.iter().take(params.limit as usize) {
        json.raw(user.get());
    }
    json.close(']');
    json.close('}');
    Ok(json.finish().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_users_pass_through() {
        let stored = br#"{"items":[{"user":"a","score":0.5,"common":3},{"user":"b"}]}"#;
        let params = SuggestedParams::parse("limit=1").unwrap();
        let body = answer(stored, &params).unwrap();
        assert_eq!(body, br#"{"items":[{"user":"a","score":0.5,"common":3}]}"#);
        assert!(answer(b"[]", &params).is_err());
    }
}
