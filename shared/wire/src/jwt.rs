//! JSON Web Tokens (RFC 7519) signed with HS256: who asks.

use alloc::format;
use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::ids::check_id;
use crate::json;
use crate::keys::Keys;
use crate::limits::{JWT_CHARS_MAX, JWT_LEEWAY_S};
use crate::token::{TokenError, decode_base64};

/// What a verified token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// The user's id.
    pub sub: String,
    /// Expiry, Unix seconds; absent = it does not expire.
    pub exp_s: Option<f64>,
    /// Not valid before, Unix seconds.
    pub nbf_s: Option<f64>,
}

/// Verifies a compact JWT at wall time `wall_ms`.
///
/// Only HS256 is taken, whatever the header asks for. `kid` selects the key; without
/// `kid` every key is tried. `exp` and `nbf` have 60 s of leeway.
///
/// # Errors
///
/// The token is malformed, of another algorithm or key, changed, expired or not valid yet.
pub fn verify(token: &str, keys: &Keys, wall_ms: i64) -> Result<Claims, TokenError> {
    if token.len() > JWT_CHARS_MAX {
        return Err(TokenError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header = part(header)?;
    if required(text(&header, "alg")?)? != "HS256" {
        return Err(TokenError::Algorithm);
    }
    let kid = text(&header, "kid")?;
    // Extensions that must be understood; none is.
    if given(&header, "crit").is_some() {
        return Err(TokenError::Malformed);
    }
    let signature = decode_base64(signature, JWT_CHARS_MAX)?;
    let parts = [signed.as_bytes()];
    let signed_by_us = match kid {
        Some(kid) if !keys.has(kid) => return Err(TokenError::UnknownKey),
        Some(kid) => keys.verify(kid, &parts, &signature),
        None => keys.verify_any(&parts, &signature),
    };
    if !signed_by_us {
        return Err(TokenError::Signature);
    }
    let body = part(body)?;
    let sub = required(text(&body, "sub")?)?;
    let (exp_s, nbf_s) = (seconds(&body, "exp")?, seconds(&body, "nbf")?);
    check_id(sub).map_err(|_| TokenError::Malformed)?;
    let now_s = wall_ms as f64 / 1_000.0;
    let leeway_s = JWT_LEEWAY_S as f64;
    if exp_s.is_some_and(|exp| now_s >= exp + leeway_s) {
        return Err(TokenError::Expired);
    }
    if nbf_s.is_some_and(|nbf| now_s < nbf - leeway_s) {
        return Err(TokenError::NotYet);
    }
    Ok(Claims {
        sub: String::from(sub),
        exp_s,
        nbf_s,
    })
}

/// A token for `sub` that expires at `exp_s` (Unix seconds): for operators and tests.
#[must_use]
pub fn sign(sub: &str, exp_s: i64, keys: &Keys) -> String {
    let header = serde_json::json!({ "alg": "HS256", "typ": "JWT", "kid": keys.signing_id() });
    let body = serde_json::json!({ "sub": sub, "exp": exp_s });
    let signed = format!("{}.{}", encode(&header), encode(&body));
    let signature = keys.sign(&[signed.as_bytes()]);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(format!("{value}"))
}

/// A part's object; of a name that is there twice the last counts (RFC 7519, section 4).
fn part(text: &str) -> Result<Map<String, Value>, TokenError> {
    match json::value(&decode_base64(text, JWT_CHARS_MAX)?) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(TokenError::Malformed),
    }
}

fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn required<T>(field: Option<T>) -> Result<T, TokenError> {
    field.ok_or(TokenError::Malformed)
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenError> {
    let text = |value: &'a Value| required(value.as_str());
    given(fields, name).map(text).transpose()
}

fn seconds(fields: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenError> {
    let seconds = |value: &Value| required(value.as_f64());
    given(fields, name).map(seconds).transpose()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use serde_json::json;

    use super::*;
    use crate::samples::{NOW_MS, keys};

    const NOW_S: i64 = NOW_MS / 1_000;

    /// A token with any header and body, rightly signed.
    fn signed(header: &serde_json::Value, body: &serde_json::Value) -> String {
        let signed = format!("{}.{}", encode(header), encode(body));
        let signature = URL_SAFE_NO_PAD.encode(keys().sign(&[signed.as_bytes()]));
        format!("{signed}.{signature}")
    }

    #[track_caller]
    fn check(
        header: serde_json::Value,
        body: serde_json::Value,
        expected: Result<&str, TokenError>,
    ) {
        let sub = verify(&signed(&header, &body), &keys(), NOW_MS).map(|claims| claims.sub);
        assert_eq!(sub, expected.map(str::to_string));
    }

    #[test]
    fn a_signed_token_names_its_user() {
        let claims = verify(&sign("anna", NOW_S + 60, &keys()), &keys(), NOW_MS).unwrap();
        assert_eq!(claims.sub, "anna");
        assert_eq!(claims.exp_s, Some((NOW_S + 60) as f64));
    }

    #[test]
    fn the_token_of_another_implementation_is_taken() {
        // PyJWT: jwt.encode({"sub": "anna", "exp": 1700000600}, bytes([7] * 32),
        // algorithm="HS256", headers={"kid": "k1"}) has this header and claims.
        let header = json!({ "alg": "HS256", "kid": "k1", "typ": "JWT" });
        check(
            header,
            json!({ "sub": "anna", "exp": NOW_S + 600 }),
            Ok("anna"),
        );
    }

    #[test]
    fn expiry_and_start_have_a_minute_of_leeway() {
        let header = json!({ "alg": "HS256" });
        let body = |exp: i64, nbf: i64| json!({ "sub": "u", "exp": exp, "nbf": nbf });
        check(header.clone(), body(NOW_S - 59, NOW_S + 60), Ok("u"));
        check(
            header.clone(),
            body(NOW_S - 60, NOW_S),
            Err(TokenError::Expired),
        );
        check(
            header.clone(),
            body(NOW_S, NOW_S + 61),
            Err(TokenError::NotYet),
        );
        check(header, json!({ "sub": "u" }), Ok("u"));
    }

    #[test]
    fn only_hs256_is_taken() {
        let body = json!({ "sub": "u" });
        for alg in ["none", "None", "hs256", "HS512", "RS256", ""] {
            check(
                json!({ "alg": alg }),
                body.clone(),
                Err(TokenError::Algorithm),
            );
        }
        check(
            json!({ "alg": ["HS256"] }),
            body.clone(),
            Err(TokenError::Malformed),
        );
        let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&body));
        assert_eq!(
            verify(&unsigned, &keys(), NOW_MS),
            Err(TokenError::Algorithm)
        );
        let unsigned = format!("{}.{}.", encode(&json!({ "alg": "HS256" })), encode(&body));
        assert_eq!(
            verify(&unsigned, &keys(), NOW_MS),
            Err(TokenError::Signature)
        );
    }

    #[test]
    fn the_header_is_understood_or_refused() {
        let body = json!({ "sub": "u" });
        check(
            json!({ "alg": "HS256", "kid": "k9" }),
            body.clone(),
            Err(TokenError::UnknownKey),
        );
        check(
            json!({ "alg": "HS256", "crit": ["b64"] }),
            body,
            Err(TokenError::Malformed),
        );
    }

    #[test]
    fn the_subject_must_be_an_id() {
        let header = json!({ "alg": "HS256" });
        for sub in [
            json!(5),
            json!(""),
            json!("a\nb"),
            json!("x".repeat(65)),
            json!(null),
        ] {
            check(
                header.clone(),
                json!({ "sub": sub }),
                Err(TokenError::Malformed),
            );
        }
        check(header.clone(), json!({}), Err(TokenError::Malformed));
        check(
            header,
            json!({ "sub": "u", "exp": "soon" }),
            Err(TokenError::Malformed),
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let token = sign("anna", NOW_S + 60, &keys());
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let flipped = String::from_utf8(bytes).unwrap();
                assert!(
                    verify(&flipped, &keys(), NOW_MS).is_err(),
                    "bit {bit} of {at}"
                );
            }
        }
        assert_eq!(
            verify(&"a".repeat(4_097), &keys(), NOW_MS),
            Err(TokenError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,100}", parts in "[A-Za-z0-9_.-]{0,100}") {
            let _ = verify(&text, &keys(), NOW_MS);
            let _ = verify(&parts, &keys(), NOW_MS);
        }
    }
}
