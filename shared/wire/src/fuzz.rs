//! What the fuzz targets call, and a test replays their corpus through.
//!
//! Each takes any bytes. Formats behind a checksum or a signature are also tried without
//! it: no fuzzer guesses those, and the reader behind them must be as safe.

use alloc::string::ToString;

use crate::bundle::Bundle;
use crate::cursor::{self, Cursor};
use crate::import;
use crate::keys::Keys;
use crate::lists::HotList;
use crate::model::ModelSnapshot;
use crate::overlay::Overlay;
use crate::pack::{Pack, PackedCandidates};
use crate::params::{FeedParams, HotParams, ItemsParams, SimilarParams, SuggestedParams, path_id};
use crate::session::{self, Session};
use crate::{events, internal, items, jwt};

/// A time that corpora were made for, Unix ms.
const NOW_MS: i64 = 1_700_000_000_000;

fn keys() -> Keys {
    Keys::from_secret("fuzz", &[7; 32]).expect("the key is valid")
}

/// Candidate bundles.
pub fn bundle(data: &[u8]) {
    for bundle in [Bundle::decode(data), Bundle::from_payload(data)]
        .into_iter()
        .flatten()
    {
        let again = Bundle::decode(&bundle.encode()).map(|bundle| bundle.encode());
        assert_eq!(again, Ok(bundle.encode()));
    }
}

/// Overlays.
pub fn overlay(data: &[u8]) {
    for overlay in [Overlay::decode(data), Overlay::from_payload(data)]
        .into_iter()
        .flatten()
    {
        let again = Overlay::decode(&overlay.encode()).map(|overlay| overlay.encode());
        assert_eq!(again, Ok(overlay.encode()));
        let _ = overlay.clock.domain_ms(NOW_MS);
    }
}

/// Hot lists.
pub fn hot_list(data: &[u8]) {
    for list in [HotList::decode(data), HotList::from_payload(data)]
        .into_iter()
        .flatten()
    {
        let again = HotList::decode(&list.encode()).map(|list| list.encode());
        assert_eq!(again, Ok(list.encode()));
    }
}

/// Model snapshots.
pub fn snapshot(data: &[u8]) {
    let _ = (
        ModelSnapshot::decode(data),
        ModelSnapshot::from_payload(data),
    );
}

/// Packs for devices, and the parts in them.
pub fn pack(data: &[u8]) {
    for pack in [Pack::decode(data), Pack::from_payload(data)]
        .into_iter()
        .flatten()
    {
        assert_eq!(Pack::decode(&pack.encode()), Ok(pack.clone()));
        match pack.candidates {
            PackedCandidates::Bundle(bytes) => bundle(bytes),
            PackedCandidates::HotList(bytes) => hot_list(bytes),
        }
        overlay(pack.overlay.unwrap_or_default());
        snapshot(pack.snapshot.unwrap_or_default());
    }
}

/// Cursor tokens.
pub fn cursor(data: &[u8]) {
    let token = core::str::from_utf8(data).unwrap_or("");
    let _ = Cursor::decode(token, &keys(), 0);
    if let Some(cursor) = cursor::from_payload(data) {
        let again = Cursor::decode(&cursor.encode(&keys()), &keys(), cursor.subject);
        assert_eq!(again, Ok(cursor));
    }
}

/// Session tokens.
pub fn session(data: &[u8]) {
    let token = core::str::from_utf8(data).unwrap_or("");
    let _ = Session::decode(token, &keys(), 0, NOW_MS);
    if let Some(mut session) = session::from_payload(data) {
        session.prune(NOW_MS);
        let token = session.encode(&keys());
        assert!(Session::decode(&token, &keys(), session.subject, NOW_MS).is_ok());
    }
}

/// JSON Web Tokens.
pub fn jwt(data: &[u8]) {
    let token = core::str::from_utf8(data).unwrap_or("");
    let _ = jwt::verify(token, &keys(), NOW_MS);
}

/// Query strings of every route.
pub fn params(data: &[u8]) {
    let query = core::str::from_utf8(data).unwrap_or("");
    if let Ok(params) = FeedParams::parse(query) {
        let canonical = FeedParams {
            cursor: None,
            session: None,
            ..params
        };
        assert_eq!(FeedParams::parse(&canonical.canonical()), Ok(canonical));
    }
    if let Ok(params) = HotParams::parse(query) {
        assert_eq!(HotParams::parse(&params.canonical()), Ok(params));
    }
    if let Ok(params) = SimilarParams::parse(query) {
        assert_eq!(SimilarParams::parse(&params.canonical()), Ok(params));
    }
    if let Ok(params) = SuggestedParams::parse(query) {
        assert_eq!(SuggestedParams::parse(&params.canonical()), Ok(params));
    }
    if let Ok(params) = ItemsParams::parse(query) {
        assert_eq!(ItemsParams::parse(&params.canonical()), Ok(params));
    }
    if let Err(problem) = path_id("item", query) {
        assert!(problem.to_string().contains("item"));
    }
}

/// Bodies of events, internal events and items.
pub fn events(data: &[u8]) {
    if let Ok(batch) = events::parse(data, None, NOW_MS) {
        assert!(!batch.events.is_empty() || !batch.rejected.is_empty());
        let events = batch.events.into_iter().map(|(_, event)| event).collect();
        let delivery = internal::Delivery {
            events,
            served: alloc::vec::Vec::new(),
        };
        let delivered = internal::parse(&delivery.to_json(), NOW_MS).map(|read| read.events.len());
        assert_eq!(delivered, Ok(delivery.events.len()));
    }
    let _ = (internal::parse(data, NOW_MS), items::parse(data));
}

/// Model files of LightGBM and XGBoost.
pub fn model_file(data: &[u8]) {
    // Names that begin with an underscore are unknown.
    let names = |name: &str| (!name.starts_with('_')).then_some(name.len() as u16);
    let readers = [
        import::import,
        import::lightgbm_text,
        import::lightgbm_json,
        import::xgboost_json,
        import::xgboost_ubjson,
    ];
    for imported in readers.into_iter().flat_map(|read| read(data, &names)) {
        let ensemble = &imported.ensemble;
        assert_eq!(ensemble.check(), Ok(()));
        assert_eq!(ensemble.features.len(), imported.features.len());
        // Every leaf and every name was written out: nothing is made by declaring it.
        let leaves: usize = ensemble.trees.iter().map(|tree| tree.leaves.len()).sum();
        assert!(leaves <= data.len() && ensemble.features.len() <= data.len());
    }
}

#[cfg(test)]
mod tests;
