//! Any bytes decode to a value or a named error.

use edgewise_ranking::HotSum;
use edgewise_ranking::config::HotConfig;
use edgewise_wire::api::{EventType, Item};
use edgewise_wire::counters::Counters;
use proptest::prelude::*;

use super::item::ItemRecord;
use super::log::{EventOrigin, LogEntry, LogEvent, LogRecord, ServedRecord};
use super::record::{
    DayStats, DedupeRecord, Follow, ItemTotals, Reaction, RecentEvents, Record, Standing,
    UserRecord,
};
use super::table::Table;
use crate::ingest::{EventSource, Written};

/// Decodes `bytes` as every kind of record; what decodes must encode and decode to itself.
fn decode_all(bytes: &[u8]) {
    fn one<R: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        match R::decode(Table::Log, bytes) {
            Ok(record) => {
                let again = record.encode();
                // Two encodings of one value are possible (long varints), two values are not;
                // NaN is not equal to itself, so bytes are compared.
                let decoded = R::decode(Table::Log, &again).unwrap();
                assert_eq!(decoded.encode(), again);
            }
            Err(error) => assert!(error.to_string().starts_with("a record of table log")),
        }
    }
    one::<u64>(bytes);
    one::<i64>(bytes);
    one::<String>(bytes);
    one::<DedupeRecord>(bytes);
    one::<ItemTotals>(bytes);
    one::<Counters>(bytes);
    one::<UserRecord>(bytes);
    one::<RecentEvents>(bytes);
    one::<Follow>(bytes);
    one::<Reaction>(bytes);
    one::<DayStats>(bytes);
    one::<HotConfig>(bytes);
    one::<ItemRecord>(bytes);
    one::<LogRecord>(bytes);
}

fn item() -> Item {
    Item {
        id: "item".to_owned(),
        author: "author".to_owned(),
        created_at_ms: -5,
        kind: Some("video".to_owned()),
        duration_ms: Some(0),
        tags: vec!["one".to_owned(), "two".to_owned()],
        region: Some("DE".to_owned()),
        language: None,
        title: "Title".to_owned(),
        thumbnail: Some("data:,".to_owned()),
        link: None,
    }
}

fn log_entries() -> Vec<LogEntry> {
    let event = LogEvent {
        origin: EventOrigin::Id {
            source: EventSource::Edge,
            id: u128::MAX / 3,
            short: 7,
        },
        kind: EventType::Purchase,
        user: 300,
        item: Some(1),
        author: Some(2),
        ts_ms: 5,
        watch_ms: Some(6),
        duration_ms: Some(u32::MAX),
        value: Some(9.99),
        request_id: Some("page".to_owned()),
        position: Some(3),
    };
    let row = EventOrigin::Row {
        file: 1,
        ordinal: 2,
    };
    let bare = LogEvent {
        origin: row,
        item: None,
        author: None,
        value: None,
        ..event.clone()
    };
    let served = ServedRecord {
        request_id: "page".to_owned(),
        user: Some(1),
        item: 2,
        position: 3,
        propensity: 0.25,
    };
    vec![
        LogEntry::Event(event),
        LogEntry::Event(bare),
        LogEntry::UpsertItem(Box::new(item())),
        LogEntry::DeleteItem(1),
        LogEntry::AddFollow { user: 1, author: 2 },
        LogEntry::RemoveFollow { user: 1, author: 2 },
        LogEntry::DeleteUser(1),
        LogEntry::Served(served),
    ]
}

/// Bytes of records of every shape, each of which was seen to come back.
fn samples() -> Vec<Vec<u8>> {
    let at = Written {
        wall_ms: 1_700_000_000_000,
        domain_ms: -3,
    };
    let mut samples = Vec::new();
    for entry in log_entries() {
        let record = LogRecord { at, entry };
        assert_eq!(
            LogRecord::decode(Table::Log, &record.encode()).unwrap(),
            record
        );
        samples.push(record.encode());
    }
    let known = ItemRecord {
        id: item().id,
        item: Some(item()),
        first_written: at,
        deleted_at_ms: Some(1),
    };
    assert_eq!(
        ItemRecord::decode(Table::Items, &known.encode()).unwrap(),
        known
    );
    let counters = Counters {
        likes: 3,
        watch_ratio_sum: 0.5,
        ..Counters::default()
    };
    let hot = HotSum { sum: 1.5, at_ms: 9 };
    let totals = ItemTotals {
        counters,
        hot: [hot; 3],
        last_event_ms: 4,
    };
    assert_eq!(
        ItemTotals::decode(Table::Totals, &totals.encode()).unwrap(),
        totals
    );
    let standing = Standing {
        by_hour: vec![(1, 2), (3, 4)],
        hot_at_ms: Some(5),
    };
    let reaction = Reaction {
        kinds: 9,
        likes: standing,
        ..Reaction::default()
    };
    assert_eq!(
        Reaction::decode(Table::Reactions, &reaction.encode()).unwrap(),
        reaction
    );
    let recent = RecentEvents {
        last_event_ms: 1,
        applied: vec![1, 2, 3],
    };
    assert_eq!(
        RecentEvents::decode(Table::Recent, &recent.encode()).unwrap(),
        recent
    );
    samples.extend([
        known.encode(),
        totals.encode(),
        reaction.encode(),
        recent.encode(),
    ]);
    samples
}

#[test]
fn records_come_back_and_every_cut_is_an_error_or_a_value() {
    for sample in samples() {
        for end in 0..=sample.len() {
            decode_all(&sample[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        decode_all(&bytes);
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        decode_all(&bytes);
    }

    #[test]
    fn damaged_records_never_panic(which in 0..12_usize, at: prop::sample::Index, to: u8) {
        let mut sample = samples().swap_remove(which);
        let at = at.index(sample.len());
        sample[at] = to;
        decode_all(&sample);
    }
}
