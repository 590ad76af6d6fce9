//! Signed tokens: base64url of version, key id, payload and HMAC-SHA256.
//!
//! The signature covers the token's purpose, so a cursor can never pass as a session.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{Keys, TAG_BYTES};
use crate::limits::KEY_ID_BYTES_MAX;

/// Version of the envelope and of both payloads.
const VERSION: u8 = 1;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any that was issued.
    #[error("the token is too long")]
    TooLong,
    /// It is not base64url without padding, or ends early.
    #[error("the token is malformed")]
    Malformed,
    /// Its version is not known here.
    #[error("the token's version {0} is not known")]
    UnknownVersion(u8),
    /// Its key is not in the ring (any more).
    #[error("the token's key is not known")]
    UnknownKey,
    /// Its signature algorithm is not HS256.
    #[error("the token's algorithm is not HS256")]
    Algorithm,
    /// It was not signed by its key.
    #[error("the token's signature is wrong")]
    Signature,
    /// It was issued to somebody else.
    #[error("the token belongs to another user")]
    Subject,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Cursor,
    Session,
}

impl Purpose {
    /// Comes before what is signed; the NUL ends it.
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::Cursor => b"edgewise/cursor/1\0",
            Self::Session => b"edgewise/session/1\0",
        }
    }
}

/// Characters a token of `payload_bytes` has under any key.
pub(crate) const fn chars_max(payload_bytes: usize) -> usize {
    (2 + KEY_ID_BYTES_MAX + payload_bytes + TAG_BYTES).div_ceil(3) * 4
}

/// Signs `payload` for `purpose`.
pub(crate) fn seal(purpose: Purpose, payload: &[u8], keys: &Keys) -> String {
    let id = keys.signing_id();
    let mut bytes = Vec::with_capacity(2 + id.len() + payload.len() + TAG_BYTES);
    bytes.push(VERSION);
    bytes.push(u8::try_from(id.len()).unwrap_or(0));
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(payload);
    let tag = keys.sign(&[purpose.domain(), &bytes]);
    bytes.extend_from_slice(&tag);
    URL_SAFE_NO_PAD.encode(&bytes)
}

/// The payload of a token that was signed for `purpose`.
pub(crate) fn open(
    purpose: Purpose,
    token: &str,
    chars_max: usize,
    keys: &Keys,
) -> Result<Vec<u8>, TokenError> {
    let bytes = decode_base64(token, chars_max)?;
    let (signed, tag) = bytes
        .split_last_chunk::<TAG_BYTES>()
        .ok_or(TokenError::Malformed)?;
    let (&version, rest) = signed.split_first().ok_or(TokenError::Malformed)?;
    if version != VERSION {
        return Err(TokenError::UnknownVersion(version));
    }
    let (&id_bytes, rest) = rest.split_first().ok_or(TokenError::Malformed)?;
    let (id, payload) = rest
        .split_at_checked(usize::from(id_bytes))
        .ok_or(TokenError::Malformed)?;
    let id = core::str::from_utf8(id).map_err(|_| TokenError::Malformed)?;
    if !keys.has(id) {
        return Err(TokenError::UnknownKey);
    }
    if !keys.verify(id, &[purpose.domain(), signed], tag) {
        return Err(TokenError::Signature);
    }
    Ok(payload.to_vec())
}

/// Strict base64url (no padding, no stray bits) of at most `chars_max` characters.
pub(crate) fn decode_base64(text: &str, chars_max: usize) -> Result<Vec<u8>, TokenError> {
    if text.len() > chars_max {
        return Err(TokenError::TooLong);
    }
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed)
}
