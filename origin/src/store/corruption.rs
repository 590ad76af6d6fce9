//! Any bytes decode to a value or a named error.

use edgewise_ranking::HotSum;
use edgewise_ranking::config::HotConfig;
use edgewise_wire::api::{EventType, Item};
use edgewise_wire::counters::Counters;
use proptest::prelude::*;

use super::Encoder;
use super::activity::ActivityBlock;
use super::item::ItemRecord;
use super::log::{EventOrigin, LogEntry, LogEvent, LogRecord, ServedRecord};
use super::log::{FollowRow, RowLog};
use super::memory::{RememberedRow, RowBlock, RowEffect, RowEvent, Taken};
use super::reaction::{Reaction, Standing};
use super::record::{
    DayStats, DedupeRecord, Follow, Hide, ItemTotals, RecentEvents, Record, UserRecord,
};
use super::source::{CheckpointRecord, DeadCounts, SourceRecord};
use super::table::Table;
use crate::ingest::rows::{DeadLetter, StoredKey};
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
    one::<ActivityBlock>(bytes);
    one::<HotConfig>(bytes);
    one::<ItemRecord>(bytes);
    one::<LogRecord>(bytes);
    one::<Hide>(bytes);
    one::<SourceRecord>(bytes);
    one::<CheckpointRecord>(bytes);
    one::<DeadCounts>(bytes);
    one::<DeadLetter>(bytes);
    one::<RememberedRow>(bytes);
    one::<RowBlock>(bytes);
    if let Ok(block) = RowBlock::decode(Table::Log, bytes) {
        // A row in it may be damaged: that is an error of its own.
        for slot in 0..65 {
            let _ = block.get(slot);
        }
    }
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

fn row_event() -> RowEvent {
    let taken = Some(Taken {
        hour: 472_222,
        row_ms: Some(-1),
    });
    RowEvent {
        kind: EventType::View,
        user: 300,
        item: Some(1),
        named: Some(2),
        ts_ms: 1_700_000_000_000,
        watch_ms: Some(5),
        duration_ms: None,
        value: Some(-0.5),
        effect: RowEffect {
            author: Some(3),
            duration_ms: 10_000,
            is_hot: true,
            taken,
        },
    }
}

fn remembered_rows() -> Vec<RememberedRow> {
    let event = row_event();
    let bare = RowEvent {
        item: None,
        named: None,
        value: None,
        watch_ms: None,
        duration_ms: Some(7),
        effect: RowEffect {
            duration_ms: 7,
            ..RowEffect::default()
        },
        ..event
    };
    let follow = |since_ms| RememberedRow::Follow {
        user: 1,
        author: 2,
        since_ms,
    };
    vec![
        RememberedRow::Event(event),
        RememberedRow::Event(bare),
        RememberedRow::Item { item: 1, facts: 2 },
        RememberedRow::User { user: u64::MAX },
        follow(None),
        follow(Some(-9)),
    ]
}

fn dead_letter(row: Option<StoredKey>) -> DeadLetter {
    DeadLetter {
        source: "main".to_owned(),
        table: "public.posts->items".to_owned(),
        table_id: 7,
        key: "id=7".to_owned(),
        row,
        reason: "the author is NULL".to_owned(),
        position: "0/16B3748".to_owned(),
        columns: "{}".to_owned(),
        at_ms: 1_700_000_000_000,
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
        LogEntry::Rows {
            table: 7,
            changes: [false, true]
                .map(|is_over| RowLog {
                    is_over,
                    event: row_event(),
                })
                .to_vec(),
        },
        LogEntry::FollowRow {
            table: 7,
            row: FollowRow {
                user: 1,
                author: 2,
                since_ms: Some(3),
            },
            is_over: true,
        },
        LogEntry::ForgetRows {
            table: 7,
            rows: 2,
            sum: u64::MAX,
        },
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
        rows: 2,
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
        by_hour: vec![(1, 2), (3, 4)].into(),
        hot_at_ms: Some(5),
        rows_ms: vec![5, 6].into(),
        hot_by_row: true,
        owed: 1,
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
    samples.extend(row_samples());
    samples.extend([
        known.encode(),
        totals.encode(),
        reaction.encode(),
        recent.encode(),
    ]);
    samples
}

/// The same of what is kept of rows and sources.
fn row_samples() -> Vec<Vec<u8>> {
    fn back<R: Record + PartialEq + std::fmt::Debug>(record: &R) -> Vec<u8> {
        assert_eq!(R::decode(Table::Rows, &record.encode()).unwrap(), *record);
        record.encode()
    }
    let mut samples = Vec::new();
    let mut block = RowBlock::default();
    for (slot, row) in remembered_rows().iter().enumerate().rev() {
        let mut bytes = Encoder::default();
        row.put(&mut bytes);
        block.set(slot * 9, &bytes.finish());
        assert_eq!(block.get(slot * 9).unwrap().as_ref(), Some(row));
        samples.push(back(row));
    }
    block.set(18, &[]);
    assert_eq!(block.get(18).unwrap(), None);
    assert!(block.slots().eq([0, 9, 27, 36, 45]));
    samples.push(back(&block));
    let keys = [None, Some(StoredKey::Int(-7)), Some(StoredKey::Hash(1, 2))];
    samples.extend(keys.map(|key| back(&dead_letter(key))));
    samples.push(back(&SourceRecord {
        tables: vec![(1, "a".to_owned()), (9, "b".to_owned())],
    }));
    samples.push(back(&DeadCounts {
        next: 9,
        dropped: 1,
        tables: vec![(1, 2)],
    }));
    let mut activity = ActivityBlock::default();
    (*activity.count_mut(64), *activity.count_mut(127)) = (1, u32::MAX);
    assert!(activity.counts(1).eq([(64, 1), (127, u32::MAX)]));
    samples.push(back(&activity));
    samples.push(back(&Follow {
        rows: -2,
        ..Follow::default()
    }));
    samples.push(back(&Hide {
        at_ms: 1,
        called: true,
        rows: 3,
    }));
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
    fn damaged_records_never_panic(which: prop::sample::Index, at: prop::sample::Index, to: u8) {
        let mut samples = samples();
        let which = which.index(samples.len());
        let mut sample = samples.swap_remove(which);
        let at = at.index(sample.len());
        sample[at] = to;
        decode_all(&sample);
    }
}
