//! Rows of an operator's database a second into durable aggregates: the writer alone, no source.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use edgewise_origin::clock::Clock;
use edgewise_origin::config::StoreConfig;
use edgewise_origin::ingest::rows::{
    EventFact, Fact, Move, RowBatch, RowChange, RowKey, RowOp, SourceCommand, TableId,
};
use edgewise_origin::ingest::{Command, Limits, Writer, WriterConfig};
use edgewise_origin::store::RedbStore;
use edgewise_ranking::RankingConfig;
use edgewise_wire::api::{EventType, Item};

use crate::table::Table;

/// Rows of a batch, rows in all, and the exponent of Zipf's law for users and items.
const SHAPES: [(usize, usize, f64); 4] = [
    (1_000, 200_000, 1.0),
    (20_000, 1_000_000, 1.0),
    (200_000, 2_000_000, 1.0),
    (200_000, 2_000_000, 0.5),
];
const USERS: usize = 10_000;
const ITEMS: usize = 2_000;
/// 2026-01-01 00:00 UTC.
const START_MS: i64 = 1_767_225_600_000;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    for (batch_rows, rows, exponent) in SHAPES {
        let measured = measure(batch_rows, rows, exponent)?;
        table.row(
            format!("durable rows, batches of {batch_rows}, Zipf({exponent})"),
            format!(
                "{:.0} rows/s, {:.2} CPU µs a row, {:.0} MiB resident",
                rows as f64 / measured.elapsed_s,
                measured.cpu_s * 1e6 / rows as f64,
                measured.resident_mib
            ),
            "level: 300,000 rows/s on one core",
            format!("{rows} event rows of {USERS} users on {ITEMS} items, sequential keys, every batch flushed"),
        );
    }
    Ok(())
}

struct Measured {
    elapsed_s: f64,
    cpu_s: f64,
    resident_mib: f64,
}

fn measure(batch_rows: usize, rows: usize, exponent: f64) -> Result<Measured> {
    let directory = tempfile::tempdir()?;
    let cache_bytes = StoreConfig::default().cache_mb << 20;
    let store = Arc::new(RedbStore::open_with(directory.path(), cache_bytes)?);
    let config = WriterConfig {
        hot: RankingConfig::default().hot,
        limits: Limits::default(),
    };
    let writer = Writer::start(store, Clock::system(), &config, Arc::new(()))?;
    prepare(&writer)?;
    let mut draw = Draw::new(exponent);
    let mut position = None;
    let (mut elapsed_s, mut cpu_s) = (0.0, 0.0);
    for start in (0..rows).step_by(batch_rows) {
        let to = Some(start.to_le_bytes().to_vec());
        let moves = vec![Move {
            checkpoint: "stream".to_owned(),
            from: position,
            to: to.clone(),
        }];
        position = to;
        let batch = RowBatch {
            source: "bench".to_owned(),
            moves,
            changes: (start..start + batch_rows).map(|n| draw.row(n)).collect(),
            dead: Vec::new(),
        };
        let (started, cpu) = (Instant::now(), cpu_now_s()?);
        let outcome = writer.write(Command::Rows(Box::new(batch)))?;
        elapsed_s += started.elapsed().as_secs_f64();
        cpu_s += cpu_now_s()? - cpu;
        anyhow::ensure!(outcome.accepted as usize == batch_rows, "{outcome:?}");
    }
    let resident_mib = resident_mib()?;
    writer.stop();
    Ok(Measured {
        elapsed_s,
        cpu_s,
        resident_mib,
    })
}

fn prepare(writer: &Writer) -> Result<()> {
    writer.write(Command::Source(SourceCommand::Register {
        source: "bench".to_owned(),
        tables: vec!["events".to_owned()],
    }))?;
    let items = (0..ITEMS).map(|number| Item {
        id: format!("item-{number}"),
        author: format!("author-{}", number % 300),
        created_at_ms: START_MS,
        duration_ms: Some(20_000),
        title: format!("Item {number}"),
        ..Item::default()
    });
    writer.write(Command::UpsertItems(items.collect()))?;
    Ok(())
}

/// Draws rows with Zipf-distributed users and items, the same in every run.
struct Draw {
    state: u64,
    users: Vec<f64>,
    items: Vec<f64>,
}

impl Draw {
    fn new(exponent: f64) -> Self {
        Self {
            state: 7,
            users: zipf(USERS, exponent),
            items: zipf(ITEMS, exponent),
        }
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn row(&mut self, number: usize) -> RowChange {
        const KINDS: [EventType; 10] = [
            EventType::Impression,
            EventType::Impression,
            EventType::Impression,
            EventType::Impression,
            EventType::View,
            EventType::View,
            EventType::View,
            EventType::Click,
            EventType::Click,
            EventType::Like,
        ];
        let kind = KINDS[(self.next() % 10) as usize];
        let (user, item) = (self.unit(), self.unit());
        let user = self.users.partition_point(|&below| below < user);
        let item = self.items.partition_point(|&below| below < item);
        let watch_ms = (self.next() % 25_000) as u32;
        let event = EventFact {
            kind,
            user: format!("user-{user}").into(),
            item: Some(format!("item-{item}").into()),
            author: None,
            // 100 rows a second.
            ts_ms: START_MS + number as i64 * 10,
            watch_ms: (kind == EventType::View).then_some(watch_ms),
            duration_ms: None,
            value: None,
        };
        RowChange {
            table: TableId(1),
            key: RowKey::Int(number as i64),
            op: RowOp::Put(Fact::Event(event)),
        }
    }
}

/// The distribution function of Zipf's law.
fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut below: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    for value in &mut below {
        *value /= sum;
    }
    // Rounding must not leave a draw above the last.
    below.pop();
    below
}

/// CPU time of this process, s, in ticks of 10 ms.
fn cpu_now_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat
        .rsplit_once(')')
        .context("no name in /proc/self/stat")?;
    let ticks = fields.1.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next());
    Ok(kib.context("no VmHWM")?.parse::<f64>()? / 1024.0)
}
