use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::candidates::NewCandidate;
use edgewise_ranking::sketch::SKETCH_DIMS;
use edgewise_ranking::{Candidates, Feature, Kind, Sources, UserVector};
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
        bits.push(bundle.candidates.sketch.scale.to_bits());
        bundle.candidates.sketch.scale = 0.0;
        if let Some(vector) = &mut bundle.user_vector {
            bits.push(vector.scale.to_bits());
            vector.scale = 0.0;
        }
        for column in &mut bundle.candidates.columns {
            bits.extend(column.drain(..).map(f32::to_bits));
        }
        (bits, bundle)
    };
    assert_eq!(split(one), split(other));
}

pub(super) fn payload_of(bundle: &Bundle) -> Vec<u8> {
    let payload = super::FORMAT.open(super::schema_hash(), &bundle.encode());
    payload.unwrap().bytes().to_vec()
}

/// Encodes to at most `bytes_max` bytes, and back to the same.
#[track_caller]
fn check_size(uuids: bool, bytes_max: usize) {
    let mut bundle = realistic_bundle(900, uuids);
    let bytes = bundle.encode();
    bundle.quantise();
    assert_same(&Bundle::decode(&bytes).unwrap(), &bundle);
    std::println!("900 candidates, UUIDs {uuids}: {} bytes", bytes.len());
    assert!(bytes.len() <= bytes_max, "{} bytes", bytes.len());
}

#[test]
fn nine_hundred_candidates_with_numeric_ids_fit_32_kb() {
    check_size(false, 32_000);
}

#[test]
fn nine_hundred_candidates_with_uuids_fit_48_kb() {
    check_size(true, 48_000);
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
    let payload = payload_of(&samples::bundle());
    let longer = [&payload[..], &[0; 8]].concat();
    assert_eq!(
        Bundle::from_payload(&longer),
        Err(DecodeError::TrailingBytes(8))
    );
    let sealed = super::FORMAT.seal(super::schema_hash(), &longer);
    assert_eq!(Bundle::decode(&sealed), Err(DecodeError::TrailingBytes(8)));
}

#[test]
fn texts_that_are_not_utf8_are_refused() {
    let payload = payload_of(&samples::bundle());
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
    let payload = payload_of(&samples::bundle());
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

type Row = (
    String,
    String,
    i64,
    u8,
    usize,
    Vec<String>,
    Vec<Option<u32>>,
    [i8; SKETCH_DIMS],
);

/// A feature's bits: any, or those of a number that a site would have.
fn bits() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        any::<Option<u32>>(),
        (0_u32..100_000).prop_map(|count| Some((count as f32).to_bits())),
        (0.0_f32..1e6).prop_map(|value| Some(value.to_bits())),
        (0.0_f32..1.0).prop_map(|value| Some(value.to_bits())),
    ]
}

prop_compose! {
    fn row()(
        id in "[0-9]{1,4}|\\PC{1,12}",
        author in "[0-9]|[a-c]",
        created_at_ms in any::<i64>(),
        sources in 0_u8..32,
        kind in 0_usize..4,
        labels in prop::collection::vec("[a-f]{1,2}", 0..6),
        features in prop::collection::vec(bits(), Feature::COUNT),
        sketch in prop_oneof![Just([0; SKETCH_DIMS]), any::<[i8; SKETCH_DIMS]>()],
    ) -> Row {
        (id, author, created_at_ms, sources, kind, labels, features, sketch)
    }
}

prop_compose! {
    fn any_bundle()(
        rows in prop::collection::vec(row(), 0..12),
        user in prop::option::of("\\PC{1,12}"),
        made_at_ms in any::<i64>(),
        position in any::<u64>(),
        prior in any::<u32>(),
        as_of_ms in any::<i64>(),
        scale in any::<u32>(),
        vector in prop::option::of((any::<u32>(), any::<[i8; SKETCH_DIMS]>())),
        hashes in prop::collection::vec(any::<u32>(), 0..20),
        removed in prop::collection::vec(any::<u64>(), 0..20),
    ) -> Bundle {
        let mut candidates = Candidates::default();
        for (id, author, created_at_ms, sources, kind, labels, given, sketch) in &rows {
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
                sketch: *sketch,
            });
        }
        (candidates.as_of_ms, candidates.sketch.scale) = (as_of_ms, f32::from_bits(scale));
        Bundle {
            user,
            made_at_ms,
            position,
            completion_prior: f32::from_bits(prior),
            user_vector: vector.map(|(scale, values)| UserVector {
                scale: f32::from_bits(scale),
                values,
            }),
            follows: hashes.iter().rev().copied().collect(),
            hidden_authors: removed.iter().rev().copied().collect(),
            removed_items: removed,
            applied_events: hashes,
            candidates,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_bundle_comes_back_as_it_was_quantised(bundle in any_bundle()) {
        let bytes = bundle.encode();
        let mut quantised = bundle;
        quantised.quantise();
        assert_same(&Bundle::decode(&bytes).unwrap(), &quantised);
        prop_assert_eq!(quantised.encode(), bytes);
        let once = quantised.clone();
        quantised.quantise();
        assert_same(&quantised, &once);
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
        let mut payload = payload_of(&bundle);
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(read) = Bundle::from_payload(&payload) {
            let again = Bundle::decode(&read.encode()).unwrap();
            let mut quantised = read;
            quantised.quantise();
            assert_same(&again, &quantised);
        }
    }
}
