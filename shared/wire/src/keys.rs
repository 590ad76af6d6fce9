//! The key ring: HMAC-SHA256 keys by id; the first signs, any verifies.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::limits::{KEY_ID_BYTES_MAX, KEYS_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// Bytes of a signature.
pub const TAG_BYTES: usize = 32;

/// Why a text is not a key ring. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There is no key.
    #[error("there is no key: kid:base64url is needed")]
    Empty,
    /// There are more than [`KEYS_MAX`] keys.
    #[error("there are more than 8 keys")]
    TooMany,
    /// An entry has no colon.
    #[error("key {0} has no colon: kid:base64url is needed")]
    NoColon(usize),
    /// A key id is empty, too long or has other characters.
    #[error("the id of key {0} must be 1 to 16 letters, digits, '-' or '_'")]
    BadId(usize),
    /// A secret is not base64url.
    #[error("the secret of key {0} is not base64url without padding")]
    NotBase64(String),
    /// A secret is too short or too long.
    #[error("the secret of key {0} must be 16 to 128 bytes")]
    BadLength(String),
    /// Two keys have the same id.
    #[error("the key id {0} appears twice")]
    Duplicate(String),
}

/// HMAC-SHA256 keys by id.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Key>,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    id: String,
    secret: Vec<u8>,
}

impl Keys {
    /// Reads `kid:base64url[,kid:base64url]`.
    ///
    /// # Errors
    ///
    /// Names the entry (from 1) or the key id, never the secret.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, entry) in text.split(',').map(str::trim).enumerate() {
            if entry.is_empty() {
                continue;
            }
            let (id, secret) = entry.split_once(':').ok_or(KeysError::NoColon(index + 1))?;
            check_key_id(id)
                .then_some(())
                .ok_or(KeysError::BadId(index + 1))?;
            let secret = URL_SAFE_NO_PAD
                .decode(secret.trim_end_matches('='))
                .map_err(|_| KeysError::NotBase64(id.to_string()))?;
            let key = Key::new(id, &secret)?;
            if keys.iter().any(|known| known.id == id) {
                return Err(KeysError::Duplicate(id.to_string()));
            }
            keys.push(key);
            if keys.len() > KEYS_MAX {
                return Err(KeysError::TooMany);
            }
        }
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Self { keys })
    }

    /// One key from random bytes that the host drew (32 are right).
    ///
    /// # Errors
    ///
    /// The id or the secret's length is out of range.
    pub fn from_secret(id: &str, secret: &[u8]) -> Result<Self, KeysError> {
        check_key_id(id).then_some(()).ok_or(KeysError::BadId(1))?;
        Ok(Self {
            keys: Vec::from([Key::new(id, secret)?]),
        })
    }

    /// The text that [`Keys::parse`] reads. It holds the secrets.
    #[must_use]
    pub fn to_text(&self) -> String {
        let entries: Vec<String> = self
            .keys
            .iter()
            .map(|key| format!("{}:{}", key.id, URL_SAFE_NO_PAD.encode(&key.secret)))
            .collect();
        entries.join(",")
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signing_id(&self) -> &str {
        self.keys.first().map_or("", |key| key.id.as_str())
    }

    /// Whether there is a key with this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// HMAC-SHA256 over the concatenated `parts` with the key that signs.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let secret = self
            .keys
            .first()
            .map_or(&[][..], |key| key.secret.as_slice());
        mac(secret, parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is the signature of `parts` by the key `id`; in constant time.
    #[must_use]
    pub fn verify(&self, id: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            return false;
        };
        mac(&key.secret, parts).verify_slice(tag).is_ok()
    }

    /// Whether `tag` is the signature of `parts` by any key; in constant time for each.
    #[must_use]
    pub fn verify_any(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.keys
            .iter()
            .any(|key| mac(&key.secret, parts).verify_slice(tag).is_ok())
    }
}

impl fmt::Debug for Keys {
    /// Key ids only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

impl Key {
    fn new(id: &str, secret: &[u8]) -> Result<Self, KeysError> {
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            return Err(KeysError::BadLength(id.to_string()));
        }
        Ok(Self {
            id: id.to_string(),
            secret: secret.to_vec(),
        })
    }
}

fn check_key_id(id: &str) -> bool {
    (1..=KEY_ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const K1: &str = "a:AAAAAAAAAAAAAAAAAAAAAA";
    const K2: &str = "b:AQEBAQEBAQEBAQEBAQEBAQ";

    #[track_caller]
    fn refused(text: &str, error: KeysError) {
        assert_eq!(Keys::parse(text), Err(error));
    }

    #[test]
    fn a_ring_is_read_and_written() {
        let ring = format!("{K1},{K2}");
        let keys = Keys::parse(&ring).unwrap();
        assert_eq!(keys.signing_id(), "a");
        assert_eq!(keys.to_text(), ring);
        assert_eq!(Keys::parse(&format!(" {K1}== , ,{K2}\n")), Ok(keys));
    }

    #[test]
    fn a_bad_ring_is_refused_without_its_secret() {
        refused("", KeysError::Empty);
        refused(" , ", KeysError::Empty);
        refused("a", KeysError::NoColon(1));
        refused(&format!("{K1},:x"), KeysError::BadId(2));
        refused("a b:AAAA", KeysError::BadId(1));
        refused("abcdefghijklmnopq:AAAA", KeysError::BadId(1));
        refused("a:%%%", KeysError::NotBase64(String::from("a")));
        refused("a:AAAA", KeysError::BadLength(String::from("a")));
        refused(
            &format!("{K1},{K1}"),
            KeysError::Duplicate(String::from("a")),
        );
        let many: Vec<String> = (0..9).map(|n| K1.replace('a', &format!("k{n}"))).collect();
        refused(&many.join(","), KeysError::TooMany);
        assert_eq!(format!("{:?}", Keys::parse(K1).unwrap()), "[\"a\"]");
    }

    #[test]
    fn the_first_signs_and_any_verifies() {
        let old = Keys::parse(K1).unwrap();
        let rotated = Keys::parse(&format!("{K2},{K1}")).unwrap();
        let tag = old.sign(&[b"text"]);
        assert!(rotated.verify("a", &[b"te", b"xt"], &tag));
        assert!(rotated.verify_any(&[b"text"], &tag));
        assert!(!rotated.verify("b", &[b"text"], &tag));
        assert!(!rotated.verify("c", &[b"text"], &tag));
        assert!(!rotated.verify("a", &[b"text"], &tag[..31]));
        assert_ne!(rotated.sign(&[b"text"]), tag);
    }

    #[test]
    fn hmac_sha256_is_the_one_of_rfc_4231() {
        // Test case 6 has a longer key than we take; case 3: 20 bytes of 0xaa.
        let keys = Keys::from_secret("a", &[0xaa; 20]).unwrap();
        let tag = keys.sign(&[&[0xdd; 50]]);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        );
    }
}
