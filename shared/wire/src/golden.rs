//! Stored encodings of each format's current version: what is out there stays readable.
//!
//! `EDGEWISE_GOLDEN=write cargo test -p edgewise-wire` writes them anew, and the seeds of
//! the fuzz corpus: only when a format's version was counted up.

use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use edgewise_ranking::id_hash;

use crate::bundle::Bundle;
use crate::cursor::Cursor;
use crate::decode::DecodeError;
use crate::lists::HotList;
use crate::model::ModelSnapshot;
use crate::overlay::Overlay;
use crate::pack::Pack;
use crate::samples::{self, keys};
use crate::session::Session;

/// Whether files are written instead of compared.
pub(crate) fn writes() -> bool {
    std::env::var("EDGEWISE_GOLDEN").is_ok_and(|mode| mode == "write")
}

/// The stored bytes of `name`, after a comparison with what is encoded now.
#[track_caller]
fn check(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    if writes() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, encoded).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    assert!(
        stored == encoded,
        "the encoding of {name} changed without a new version"
    );
    stored
}

#[test]
fn the_stored_bundle_reads_and_writes_the_same() {
    let stored = check("bundle.v2.bin", &samples::bundle().encode());
    let read = Bundle::decode(&stored).unwrap();
    assert_eq!(read.encode(), samples::bundle().encode());
    assert_eq!(read.candidates.ids.get(0), "42");
}

#[test]
fn a_bundle_of_version_1_is_refused_by_its_version() {
    // An edge that holds one fetches it anew; what an older edge says of version 2 is the same
    // the other way round.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bundle.v1.bin");
    let error = DecodeError::UnknownVersion {
        found: 1,
        expected: 2,
    };
    assert_eq!(Bundle::decode(&std::fs::read(path).unwrap()), Err(error));
}

#[test]
fn the_stored_overlay_reads_and_writes_the_same() {
    let stored = check("overlay.v1.bin", &samples::overlay().encode());
    assert_eq!(Overlay::decode(&stored), Ok(samples::overlay()));
}

#[test]
fn the_stored_hot_list_reads_and_writes_the_same() {
    let stored = check("hot_list.v1.bin", &samples::hot_list().encode());
    assert_eq!(HotList::decode(&stored), Ok(samples::hot_list()));
}

#[test]
fn the_stored_snapshot_reads_and_writes_the_same() {
    let stored = check("snapshot.v2.bin", &samples::snapshot().encode());
    assert_eq!(ModelSnapshot::decode(&stored), Ok(samples::snapshot()));
}

#[test]
fn the_stored_pack_reads_and_writes_the_same() {
    let parts = samples::packed();
    let stored = check("pack.v1.bin", &parts.pack().encode());
    assert_eq!(Pack::decode(&stored), Ok(parts.pack()));
}

#[test]
fn a_snapshot_of_version_1_is_refused_by_its_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/snapshot.v1.bin");
    let error = DecodeError::UnknownVersion {
        found: 1,
        expected: 2,
    };
    assert_eq!(
        ModelSnapshot::decode(&std::fs::read(path).unwrap()),
        Err(error)
    );
}

#[test]
fn the_stored_tokens_read_and_write_the_same() {
    let cursor = samples::cursor(250);
    let stored = check("cursor.v1.txt", cursor.encode(&keys()).as_bytes());
    let token = String::from_utf8(stored).unwrap();
    assert_eq!(Cursor::decode(&token, &keys(), id_hash("u1")), Ok(cursor));

    let session = samples::session();
    let stored = check("session.v1.txt", session.encode(&keys()).as_bytes());
    let token = String::from_utf8(stored).unwrap();
    let read = Session::decode(&token, &keys(), id_hash("u1"), samples::NOW_MS);
    assert_eq!(read, Ok(session));
}
