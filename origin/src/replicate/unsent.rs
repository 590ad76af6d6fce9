//! What an operator does about values that a source did not send.

use crate::ingest::rows::{DeadLetter, RowChange};

/// Puts a source's own remedy in the place of PostgreSQL's, where a row was refused because a
/// value that did not change was not sent.
pub(crate) fn advise(put: &mut (RowChange, Option<DeadLetter>), remedy: &str) {
    if let (_, Some(letter)) = put
        && letter.reason.starts_with("unchanged: ")
        && let Some((what, _)) = letter.reason.rsplit_once("; ")
    {
        letter.reason = format!("{what}; {remedy}");
    }
}
