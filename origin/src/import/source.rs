//! A file to import: opened, measured and hashed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ImportError;
use crate::ingest::SourceHash;

const BUFFER_BYTES: usize = 1 << 20;

/// Opens a file that the format needs, which must be a regular one.
pub(super) fn open(path: &Path, needed: &'static str) -> Result<File, ImportError> {
    let missing = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => ImportError::MissingFile {
            path: path.to_owned(),
            needed,
        },
        _ => io(path)(source),
    };
    // Asked before it is opened: a pipe that nobody writes to would never open. A file is read
    // twice, for its hash and for its rows, which pipes and devices cannot do.
    if !path.metadata().map_err(missing)?.is_file() {
        return Err(ImportError::WrongPath {
            path: path.to_owned(),
            expected: "regular file",
        });
    }
    File::open(path).map_err(missing)
}

/// Checks that `path` is a folder.
pub(super) fn folder(path: &Path, needed: &'static str) -> Result<(), ImportError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(ImportError::WrongPath {
            path: path.to_owned(),
            expected: "folder",
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(ImportError::MissingFile {
            path: path.to_owned(),
            needed,
        }),
        Err(error) => Err(io(path)(error)),
    }
}

/// The hash that names a file's position.
pub(super) fn hash(path: &Path, needed: &'static str) -> Result<SourceHash, ImportError> {
    let mut file = open(path, needed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(SourceHash(hasher.finalize().into())),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(path)(error)),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Makes an [`ImportError::Io`] of `path`.
pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> ImportError + '_ {
    move |source| ImportError::Io {
        path: path.to_owned(),
        source,
    }
}
