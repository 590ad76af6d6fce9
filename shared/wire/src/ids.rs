//! Ids: opaque strings of 1 to 64 bytes without control characters.

use crate::limits::{ID_BYTES_MAX, LABEL_BYTES_MAX};

/// What is accepted as an id, for problem documents.
pub const ID_ALLOWED: &str = "1 to 64 bytes without control characters";
/// What is accepted as a tag, language or region, for problem documents.
pub const LABEL_ALLOWED: &str = "1 to 64 bytes without control characters";

/// Why a string is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// It has more than [`ID_BYTES_MAX`] bytes.
    #[error("has {0} bytes, more than 64")]
    TooLong(usize),
    /// It has a control character.
    #[error("has a control character")]
    Control,
}

/// Whether `id` may name a user, an item, an author, an event or a request.
///
/// # Errors
///
/// Says which rule it breaks.
pub fn check_id(id: &str) -> Result<(), IdError> {
    check(id, ID_BYTES_MAX)
}

/// Whether `label` may be a tag, a language or a region.
///
/// # Errors
///
/// Says which rule it breaks.
pub fn check_label(label: &str) -> Result<(), IdError> {
    check(label, LABEL_BYTES_MAX)
}

fn check(text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong(text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_both(text: &str, expected: Result<(), IdError>) {
        assert_eq!(check_id(text), expected, "{text:?}");
        assert_eq!(check_label(text), expected, "{text:?}");
    }

    #[test]
    fn ids_have_1_to_64_bytes_without_control_characters() {
        check_both("a", Ok(()));
        check_both("日本 \u{1f600}", Ok(()));
        check_both(&"x".repeat(64), Ok(()));
        check_both("", Err(IdError::Empty));
        check_both(&"x".repeat(65), Err(IdError::TooLong(65)));
        // 22 characters of three bytes.
        check_both(&"日".repeat(22), Err(IdError::TooLong(66)));
        for control in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
            check_both(control, Err(IdError::Control));
        }
    }
}
