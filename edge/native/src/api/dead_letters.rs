//! Parcels that the origin refuses for good: lines of JSON in a file, for the operator.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tracing::warn;

use super::spool::Parcel;
use crate::limits::DEAD_LETTERS_BYTES_MAX;
use crate::now;

/// One line.
#[derive(Serialize)]
struct Letter<'a> {
    /// When the origin refused it, Unix ms.
    refused_at_ms: i64,
    /// What it said; 0 where the parcel could not even be sent.
    status: u16,
    /// The parcel as text: as a body of `POST /internal/v1/events` it can be sent again.
    parcel: &'a str,
}

/// The file; none where nothing is kept on disk.
#[derive(Debug)]
pub(crate) struct DeadLetters(Option<PathBuf>);

impl DeadLetters {
    /// Letters are appended to `path`.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    /// Appends a letter and waits for the disk; false where it could not be kept.
    pub(crate) async fn keep(&self, parcel: &Parcel, status: u16) -> bool {
        let Some(path) = self.0.clone() else {
            return false;
        };
        let parcel = String::from_utf8_lossy(&parcel.body);
        let letter = Letter {
            refused_at_ms: now::wall_ms(),
            status,
            parcel: &parcel,
        };
        let Ok(mut line) = serde_json::to_vec(&letter) else {
            return false;
        };
        line.push(b'\n');
        let written = tokio::task::spawn_blocking(move || append(&path, &line));
        match written.await {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                warn!(%error, "the file of dead letters cannot be written");
                false
            }
            Err(_) => false,
        }
    }
}

/// False where the file is full.
fn append(path: &Path, line: &[u8]) -> std::io::Result<bool> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() + line.len() as u64 > DEAD_LETTERS_BYTES_MAX {
        return Ok(false);
    }
    file.write_all(line)?;
    file.sync_data()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[tokio::test]
    async fn letters_are_lines_and_the_file_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dead-letters.jsonl");
        let parcel = Parcel {
            number: 1,
            body: Bytes::from_static(b"{\"events\":[\"\n\"]}"),
        };
        let dead = DeadLetters::new(Some(path.clone()));
        assert!(dead.keep(&parcel, 400).await);
        assert!(dead.keep(&parcel, 413).await);
        let text = std::fs::read_to_string(&path).expect("text");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(
            (&lines[0]["status"], &lines[1]["status"]),
            (&400.into(), &413.into())
        );
        assert_eq!(lines[0]["parcel"], "{\"events\":[\"\n\"]}");
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("the file");
        file.set_len(DEAD_LETTERS_BYTES_MAX).expect("a sparse file");
        assert!(!dead.keep(&parcel, 400).await);
        assert!(!DeadLetters::new(None).keep(&parcel, 400).await);
    }
}
