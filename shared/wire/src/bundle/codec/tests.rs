use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::candidates::NewCandidate;
use edgewise_ranking::{Candidates, Feature, Kind, Sources};
use proptest::prelude::*;

use crate::bundle::Bundle;
use crate::decode::DecodeError;
use crate::limits::CANDIDATES_MAX;
use crate::samples::{self, realistic_bundle};

/// Equal to the bit: NaNs and zeros with a sign count.
#[track_caller]
fn assert_same(one: &Bundle, other: &Bundle) {
    let split = |bundle: &Bundle| {
        let mut bundle = bundle.clone();
        let mut bits: Vec<u32> = vec![bundle.completion_prior.to_bits()];
        bundle.completion_prior = 0.0;
        for column in &mut bundle.candidates.columns {
            bits.extend(column.drain(..).map(f32::to_bits));
        }
        (bits, bundle)
    };
    assert_eq!(split(one), split(other));
}

#[test]
fn nine_hundred_candidates_with_numeric_ids_fit_32_kb() {
    let bundle = realistic_bundle(900, false);
    let bytes = bundle.encode();
    assert_same(&Bundle::decode(&bytes).unwrap(), &bundle);
    std::println!("900 candidates, numeric ids: {} bytes", bytes.len());
    assert!(bytes.len() <= 32_000, "{} bytes", bytes.len());
}

#[test]
fn nine_hundred_candidates_with_uuids_fit_48_kb() {
    let bundle = realistic_bundle(900, true);
    let bytes = bundle.encode();
    assert_same(&Bundle::decode(&bytes).unwrap(), &bundle);
    std::println!("900 candidates, UUIDs: {} bytes", bytes.len());
    assert!(bytes.len() <= 48_000, "{} bytes", bytes.len());
}

#[test]
fn a_changed_or_cut_bundle_is_refused() {
    let bytes = samples::bundle().encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(Bundle::decode(&flipped).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Bundle::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Bundle::decode(&longer), Err(DecodeError::Checksum));
}

#[test]
fn what_follows_the_payload_is_refused() {
    let payload = super::FORMAT
        .open(super::schema_hash(), &samples::bundle().encode())
        .unwrap();
    let longer = [&payload[..], &[0, 0]].concat();
    assert_eq!(
        Bundle::from_payload(&longer),
        Err(DecodeError::TrailingBytes(2))
    );
    let sealed = super::FORMAT.seal(super::schema_hash(), &longer);
    assert_eq!(Bundle::decode(&sealed), Err(DecodeError::TrailingBytes(2)));
}

#[test]
fn texts_that_are_not_utf8_are_refused() {
    let payload = super::FORMAT
        .open(super::schema_hash(), &samples::bundle().encode())
        .unwrap();
    let at = payload
        .windows(4)
        .position(|bytes| bytes == b"anna")
        .unwrap();
    let mut broken = payload.clone();
    broken[at] = 0xff;
    assert_eq!(
        Bundle::from_payload(&broken),
        Err(DecodeError::NotUtf8("author ids"))
    );
}

#[test]
fn a_bundle_of_another_feature_table_is_refused() {
    let payload = super::FORMAT
        .open(super::schema_hash(), &samples::bundle().encode())
        .unwrap();
    let other = super::FORMAT.seal(1, &payload);
    let error = DecodeError::SchemaMismatch {
        found: 1,
        expected: super::schema_hash(),
    };
    assert_eq!(Bundle::decode(&other), Err(error));
}

#[test]
fn a_bundle_over_its_limits_is_cut_to_them() {
    let mut bundle = realistic_bundle(CANDIDATES_MAX + 10, false);
    bundle.follows = vec![1; crate::limits::FOLLOWS_MAX + 1];
    bundle.applied_events = vec![1; 65];
    let read = Bundle::decode(&bundle.encode()).unwrap();
    assert_eq!(read.candidates.len(), CANDIDATES_MAX);
    assert_eq!(read.candidates.tag_ends.len(), CANDIDATES_MAX);
    assert_eq!(read.follows.len(), crate::limits::FOLLOWS_MAX);
    assert_eq!(read.applied_events.len(), 64);
}

#[test]
fn the_fullest_bundle_there_can_be_is_within_its_own_limits() {
    let mut random = samples::Random(1);
    let mut text = || {
        (0..4)
            .map(|_| alloc::format!("{:016x}", random.next()))
            .collect::<String>()
    };
    let mut bundle = realistic_bundle(CANDIDATES_MAX, true);
    let candidates = &mut bundle.candidates;
    (candidates.ids, candidates.authors, candidates.labels) = Default::default();
    for row in 0..CANDIDATES_MAX {
        candidates.ids.push(&text());
        candidates.authors.push(&text());
        candidates.author[row] = row as u32;
    }
    for _ in 0..crate::limits::LABELS_MAX {
        candidates.labels.push(&text());
    }
    candidates.tags = (0..CANDIDATES_MAX * 16)
        .map(|at| (at % 8_192) as u16)
        .collect();
    candidates.tag_ends = (1..=CANDIDATES_MAX as u32).map(|row| row * 16).collect();
    for column in &mut candidates.columns {
        *column = (0..CANDIDATES_MAX)
            .map(|row| (row as f32).sqrt().sin())
            .collect();
    }
    let mut random = samples::Random(2);
    bundle.follows = (0..crate::limits::FOLLOWS_MAX)
        .map(|_| random.next() as u32)
        .collect();
    bundle.hidden_authors = (0..crate::limits::HIDDEN_AUTHORS_MAX)
        .map(|_| random.next())
        .collect();
    bundle.removed_items = (0..crate::limits::REMOVED_ITEMS_MAX)
        .map(|_| random.next())
        .collect();
    let read = Bundle::decode(&bundle.encode()).map(|read| read.candidates.len());
    assert_eq!(read, Ok(CANDIDATES_MAX));
}

#[test]
fn columns_that_do_not_fit_together_still_encode_to_something_readable() {
    let mut bundle = samples::bundle();
    bundle.candidates.present.pop();
    bundle.candidates.columns[0].clear();
    bundle.candidates.language[0] = 500;
    bundle.candidates.author[2] = 500;
    let read = Bundle::decode(&bundle.encode()).unwrap();
    assert_eq!(read.candidates.len(), 2);
    assert_eq!(read.candidates.language[0], edgewise_ranking::NO_LABEL);
}

prop_compose! {
    fn row()(
        id in "[0-9]{1,4}|\\PC{1,12}",
        author in "[0-9]|[a-c]",
        created_at_ms in any::<i64>(),
        sources in 0_u8..32,
        kind in 0_usize..4,
        labels in prop::collection::vec("[a-f]{1,2}", 0..6),
        features in prop::collection::vec(any::<Option<u32>>(), Feature::COUNT),
    ) -> (String, String, i64, u8, usize, Vec<String>, Vec<Option<u32>>) {
        (id, author, created_at_ms, sources, kind, labels, features)
    }
}

prop_compose! {
    fn any_bundle()(
        rows in prop::collection::vec(row(), 0..12),
        user in prop::option::of("\\PC{1,12}"),
        made_at_ms in any::<i64>(),
        position in any::<u64>(),
        prior in any::<u32>(),
        follows in prop::collection::vec(any::<u32>(), 0..20),
        hidden_authors in prop::collection::vec(any::<u64>(), 0..20),
        removed_items in prop::collection::vec(any::<u64>(), 0..20),
        applied_events in prop::collection::vec(any::<u32>(), 0..20),
    ) -> Bundle {
        let mut candidates = Candidates::default();
        for (id, author, created_at_ms, sources, kind, labels, given) in &rows {
            let mut features = [None; Feature::COUNT];
            for (slot, bits) in features.iter_mut().zip(given) {
                *slot = bits.map(f32::from_bits);
            }
            let tags: Vec<&str> = labels.iter().skip(2).map(String::as_str).collect();
            candidates.push(&NewCandidate {
                id,
                author,
                created_at_ms: *created_at_ms,
                sources: Sources(*sources),
                kind: Kind::ALL[*kind],
                language: labels.first().map(String::as_str),
                region: labels.get(1).map(String::as_str),
                tags: &tags,
                features,
            });
        }
        Bundle {
            user,
            made_at_ms,
            position,
            completion_prior: f32::from_bits(prior),
            follows,
            hidden_authors,
            removed_items,
            applied_events,
            candidates,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_bundle_comes_back_to_the_bit(bundle in any_bundle()) {
        assert_same(&Bundle::decode(&bundle.encode()).unwrap(), &bundle);
    }

    #[test]
    fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Bundle::decode(&bytes);
        let _ = Bundle::from_payload(&bytes);
    }

    #[test]
    fn a_changed_payload_decodes_without_a_panic(
        bundle in any_bundle(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut payload = super::FORMAT.open(super::schema_hash(), &bundle.encode()).unwrap();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(read) = Bundle::from_payload(&payload) {
            assert_same(&Bundle::decode(&read.encode()).unwrap(), &read);
        }
    }
}
