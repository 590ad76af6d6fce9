//! `/api/v1/discover/suggested-users` from the origin's stored list.

use alloc::vec::Vec;

use edgewise_wire::json::{fields, list};
use edgewise_wire::params::SuggestedParams;

use crate::json::Json;
use crate::stored::StoredError;

/// From the stored `{items:[{user, score, common}]}`, best first, to its first `limit`.
///
/// # Errors
///
/// The stored body is not of that shape.
pub fn answer(stored: &[u8], params: &SuggestedParams) -> Result<Vec<u8>, StoredError> {
    const WHAT: &str = "suggested users";
    let stored = fields(stored).map_err(StoredError::of(WHAT))?;
    let users = stored
        .get("items")
        .ok_or_else(|| StoredError::field(WHAT, "items"))?;
    let users = list(users.as_bytes()).map_err(StoredError::of(WHAT))?;
    let mut json = Json::with_capacity(1_024);
    json.open('{');
    json.key("items");
    json.open('[');
    for user in users.iter().take(params.limit as usize) {
        json.raw(user);
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
