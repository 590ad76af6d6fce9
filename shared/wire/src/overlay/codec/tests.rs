use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{HotSum, Kind};
use proptest::prelude::*;

use crate::counters::Counters;
use crate::decode::DecodeError;
use crate::limits::{OVERLAY_ITEMS_MAX, PURGES_MAX, TOMBSTONES_MAX};
use crate::overlay::{DomainClock, Overlay, OverlayItem, Purge};
use crate::samples;

#[test]
fn a_changed_or_cut_overlay_is_refused() {
    let bytes = samples::overlay().encode();
    assert_eq!(Overlay::decode(&bytes), Ok(samples::overlay()));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(Overlay::decode(&flipped).is_err(), "byte {at}");
        assert!(Overlay::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn another_format_is_refused_by_its_magic() {
    let error = DecodeError::Magic { expected: "EWO1" };
    assert_eq!(Overlay::decode(&samples::bundle().encode()), Err(error));
}

#[test]
fn an_overlay_over_its_limits_is_cut_to_them() {
    let item = |n: usize| OverlayItem {
        id: format!("{n}"),
        ..OverlayItem::default()
    };
    let overlay = Overlay {
        items: (0..OVERLAY_ITEMS_MAX + 1).map(item).collect(),
        tombstones: (0..TOMBSTONES_MAX as u64 + 1).collect(),
        purges: (0..PURGES_MAX as u64 + 1)
            .map(|tag| Purge { tag, before_ms: 0 })
            .collect(),
        ..Overlay::default()
    };
    let read = Overlay::decode(&overlay.encode()).unwrap();
    assert_eq!(read.items, overlay.items[..OVERLAY_ITEMS_MAX]);
    assert_eq!(read.tombstones, overlay.tombstones[..TOMBSTONES_MAX]);
    assert_eq!(read.purges, overlay.purges[..PURGES_MAX]);
}

#[test]
fn the_fullest_overlay_there_can_be_is_within_its_own_limits() {
    let mut random = samples::Random(1);
    let mut text = || {
        (0..4)
            .map(|_| format!("{:016x}", random.next()))
            .collect::<String>()
    };
    let item = |_| OverlayItem {
        id: text(),
        author: text(),
        region: Some(text()),
        language: Some(text()),
        tags: (0..16).map(|_| text()).collect(),
        ..OverlayItem::default()
    };
    let items: Vec<OverlayItem> = (0..OVERLAY_ITEMS_MAX).map(item).collect();
    let overlay = Overlay {
        items,
        ..Overlay::default()
    };
    assert_eq!(
        Overlay::decode(&overlay.encode()).map(|read| read.items.len()),
        Ok(4_096)
    );
}

#[test]
fn a_clock_of_bad_speed_runs_like_the_wall() {
    for speed in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let clock = DomainClock {
            base_domain_ms: 10,
            base_wall_ms: 5,
            speed,
        };
        assert_eq!(clock.domain_ms(8), 13);
    }
    let clock = DomainClock {
        base_domain_ms: 10,
        base_wall_ms: 5,
        speed: 2.0,
    };
    assert_eq!(clock.domain_ms(8), 16);
    assert_eq!(
        DomainClock {
            speed: 1e300,
            ..clock
        }
        .domain_ms(i64::MAX),
        i64::MAX
    );
    assert_eq!(
        DomainClock {
            speed: -1e300,
            ..clock
        }
        .domain_ms(i64::MAX),
        i64::MIN + 10
    );
}

prop_compose! {
    fn item()(
        id in "[0-9]{1,4}|\\PC{1,12}",
        author in "\\PC{1,12}",
        times in any::<(i64, i64)>(),
        duration_ms in any::<u32>(),
        kind in 0_usize..4,
        region in prop::option::of("[a-f]{1,2}"),
        language in prop::option::of("[a-f]{1,2}"),
        tags in prop::collection::vec("[a-f]{1,2}", 0..5),
        is_new in any::<bool>(),
        counts in any::<[u32; 11]>(),
        sums in any::<[i32; 4]>(),
        hot_times in any::<[i64; 3]>(),
    ) -> OverlayItem {
        let mut counters = Counters { watch_ratio_sum: f64::from(sums[3]) / 7.0, ..Counters::default() };
        for (slot, count) in super::counts_mut(&mut counters).into_iter().zip(counts) {
            *slot = count;
        }
        let hot = [0, 1, 2].map(|window| HotSum {
            sum: f64::from(sums[window]) / 3.0,
            at_ms: hot_times[window],
        });
        OverlayItem {
            id,
            author,
            created_at_ms: times.0,
            duration_ms,
            kind: Kind::ALL[kind],
            region,
            language,
            tags,
            is_new,
            counters,
            hot,
            last_event_ms: times.1,
        }
    }
}

prop_compose! {
    fn any_overlay()(
        items in prop::collection::vec(item(), 0..12),
        position in any::<u64>(),
        times in any::<[i64; 3]>(),
        speed in any::<f64>(),
        tombstones in prop::collection::vec(any::<u64>(), 0..20),
        purges in prop::collection::vec(any::<(u64, i64)>(), 0..5),
    ) -> Overlay {
        let [made_at_ms, base_domain_ms, base_wall_ms] = times;
        Overlay {
            position,
            made_at_ms,
            clock: DomainClock { base_domain_ms, base_wall_ms, speed },
            items,
            tombstones,
            purges: purges.into_iter().map(|(tag, before_ms)| Purge { tag, before_ms }).collect(),
            ..samples::overlay()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_overlay_comes_back(overlay in any_overlay()) {
        prop_assert_eq!(Overlay::decode(&overlay.encode()), Ok(overlay));
    }

    #[test]
    fn any_payload_decodes_without_a_panic(
        overlay in any_overlay(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut payload = super::FORMAT.open(0, &overlay.encode()).unwrap().bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let _ = (Overlay::from_payload(&payload), Overlay::from_payload(&bytes));
        let _ = Overlay::decode(&bytes);
    }
}
