//! JSON Web Tokens (RFC 7519) signed with HS256: who asks.

use alloc::format;
use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use crate::ids::check_id;
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

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Body {
    sub: String,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
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
    let header: Header = part(header)?;
    if header.alg != "HS256" {
        return Err(TokenError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let signature = decode_base64(signature, JWT_CHARS_MAX)?;
    let parts = [signed.as_bytes()];
    let signed_by_us = match header.kid.as_deref() {
        Some(kid) if !keys.has(kid) => return Err(TokenError::UnknownKey),
        Some(kid) => keys.verify(kid, &parts, &signature),
        None => keys.verify_any(&parts, &signature),
    };
    if !signed_by_us {
        return Err(TokenError::Signature);
    }
    let body: Body = part(body)?;
    check_id(&body.sub).map_err(|_| TokenError::Malformed)?;
    let now_s = wall_ms as f64 / 1_000.0;
    let leeway_s = JWT_LEEWAY_S as f64;
    if body.exp.is_some_and(|exp| now_s >= exp + leeway_s) {
        return Err(TokenError::Expired);
    }
    if body.nbf.is_some_and(|nbf| now_s < nbf - leeway_s) {
        return Err(TokenError::NotYet);
    }
    Ok(Claims {
        sub: body.sub,
        exp_s: body.exp,
        nbf_s: body.nbf,
    })
}

/// A token for `sub` that expires at `exp_s` (Unix seconds): for operators and tests.
#[must_use]
pub fn sign(sub: &str, exp_s: i64, keys: &Keys) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": keys.signing_id() });
    let body = json!({ "sub": sub, "exp": exp_s });
    let signed = format!("{}.{}", encode(&header), encode(&body));
    let signature = keys.sign(&[signed.as_bytes()]);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(format!("{value}"))
}

fn part<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, TokenError> {
    let bytes = decode_base64(text, JWT_CHARS_MAX)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}
