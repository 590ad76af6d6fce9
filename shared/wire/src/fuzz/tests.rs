//! Replays the fuzz corpus on stable, and writes its seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec::Vec;

use super::{NOW_MS, keys};
use crate::golden::writes;
use crate::jwt;
use crate::samples;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target)
}

/// Runs all of a target's corpus; seeds are written first where that is asked for.
#[track_caller]
fn replay(target: &str, run: fn(&[u8]), seeds: &[&[u8]]) {
    let folder = folder(target);
    if writes() {
        fs::create_dir_all(&folder).unwrap();
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(std::format!("seed-{index}")), seed).unwrap();
        }
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    assert!(entries.len() >= seeds.len(), "{target} has lost seeds");
    for entry in entries {
        let data = fs::read(&entry).unwrap();
        run(&data);
        // And its neighbours: each byte changed, each prefix.
        for at in 0..data.len().min(400) {
            let mut changed = data.clone();
            changed[at] = changed[at].wrapping_add(1 + at as u8 % 255);
            run(&changed);
            run(&data[..at]);
        }
    }
}

/// The decompressed payload of an encoding: what fuzzing starts from behind the checksum.
fn payload(encoded: &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(encoded[13..17].try_into().unwrap());
    lz4_flex::block::decompress(&encoded[17..encoded.len() - 8], len as usize).unwrap()
}

#[test]
fn bundle_corpus() {
    let small = samples::bundle().encode();
    let larger = samples::realistic_bundle(12, true).encode();
    let empty = crate::Bundle::default().encode();
    let seeds = [
        &small[..],
        &payload(&small),
        &payload(&larger),
        &payload(&empty),
    ];
    replay("bundle", super::bundle, &seeds);
}

#[test]
fn overlay_corpus() {
    let small = samples::overlay().encode();
    let empty = crate::Overlay::default().encode();
    replay(
        "overlay",
        super::overlay,
        &[&small, &payload(&small), &payload(&empty)],
    );
}

#[test]
fn hot_list_corpus() {
    let small = samples::hot_list().encode();
    replay("hot_list", super::hot_list, &[&small, &payload(&small)]);
}

#[test]
fn snapshot_corpus() {
    let small = samples::snapshot().encode();
    replay("snapshot", super::snapshot, &[&small, &payload(&small)]);
}

#[test]
fn pack_corpus() {
    let parts = samples::packed();
    let whole = parts.pack().encode();
    let payload = &whole[5..whole.len() - 8];
    let bare = crate::Pack {
        overlay: None,
        snapshot: None,
        cursor: None,
        user: None,
        ..parts.pack()
    };
    let bare = bare.encode();
    replay("pack", super::pack, &[&whole, payload, &bare]);
}

#[test]
fn cursor_corpus() {
    let token = samples::cursor(30).encode(&keys());
    let payload = samples::cursor(210).to_payload();
    replay("cursor", super::cursor, &[token.as_bytes(), &payload]);
}

#[test]
fn session_corpus() {
    let token = samples::session().encode(&keys());
    let payload = samples::session().to_payload();
    replay("session", super::session, &[token.as_bytes(), &payload]);
}

#[test]
fn jwt_corpus() {
    let signed = jwt::sign("anna", NOW_MS / 1_000 + 60, &keys());
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.".to_string();
    replay("jwt", super::jwt, &[signed.as_bytes(), unsigned.as_bytes()]);
}

#[test]
fn params_corpus() {
    let feed = "user=anna&limit=50&cursor=c&session=s&profile=video&tag=a+b&language=de\
                &exclude=1,2%2C3&selection=none&explain=1&tz=Europe%2FBrussels";
    let hot = "window=7d&limit=200&region=BE";
    let broken = "ids=a,b&limit=101&tag=%ff&user=&window=2h&%zz";
    replay(
        "params",
        super::params,
        &[feed.as_bytes(), hot.as_bytes(), broken.as_bytes()],
    );
}

#[test]
fn events_corpus() {
    let batch: &[u8] =
        br#"{"session":"s","events":[{"id":"e1","type":"like","user":"u","item":"i"},
        {"id":"e2","type":"view","user":"u","item":"i","watch_ms":900,"duration_ms":1000,
        "ts_ms":1700000000000,"position":3,"request_id":"r","value":1.5}]}"#;
    let half: &[u8] = br#"[{"id":"","type":"hide"},5,{"id":"e","type":"follow","user":"u",
        "author":"a","value":1e999}]"#;
    let items: &[u8] = br#"{"items":[{"id":"i","author":"a","created_at":5,"tags":["x"],
        "link":"https://example.org"}]}"#;
    let delivery: &[u8] = br#"{"events":[],"served":[{"request_id":"r","item":"i","position":10,
        "propensity":0.5,"at_ms":5}]}"#;
    replay("events", super::events, &[batch, half, items, delivery]);
}

#[test]
fn model_file_corpus() {
    let seeds: [&[u8]; 5] = [
        include_bytes!("../../golden/models/lightgbm.txt"),
        include_bytes!("../../golden/models/lightgbm-rf.txt"),
        include_bytes!("../../golden/models/lightgbm.json"),
        include_bytes!("../../golden/models/xgboost.json"),
        include_bytes!("../../golden/models/xgboost.ubj"),
    ];
    replay("model_file", super::model_file, &seeds);
}
