//! Dead letters: which there are, mapping them again, dropping them.
//!
//! A replay must not bring back a row that is older than what is counted. A letter that is
//! there says that its row has not changed since; so the batch of a replay holds every
//! checkpoint of its source as it was when the letters were read: where the source has moved
//! meanwhile, nothing is applied and the letters are read again.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::config::Mapping;
use super::mapping::{self, BoundTable, Column, Mapped, TablePlan};
use super::value::OwnedValue;
use crate::ingest::rows::{DeadLetter, Move, RowBatch, RowChange, RowOp, TableId};
use crate::ingest::{Command, WriteError, Writer};
use crate::store::{Snapshot, Store, StoreError, read};

/// Letters that are read at a time.
const PAGE: usize = 500;
/// Times that a replay is tried again because its source moved on.
const ATTEMPTS_MAX: u32 = 200;
/// Letters that are described in a report.
const KEPT_MAX: usize = 100;
/// Most letters of one listing.
pub const LIST_MAX: usize = 10_000;

/// Why dead letters cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// Nothing was written.
    #[error("the store takes no writes; nothing more was changed")]
    Write(#[from] WriteError),
    /// The source moves on faster than letters can be replayed.
    #[error(
        "source {0} changes too fast to replay beside it; stop following it, replay, and follow again"
    )]
    Busy(String),
}

/// A choice of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Their numbers; empty = whatever the rest says.
    pub seq: Vec<u64>,
    /// Only of this source.
    pub source: Option<String>,
    /// Only of this table: `public.posts`, or the entry `public.posts->items`.
    pub table: Option<String>,
    /// Only those whose reason contains this.
    pub reason: Option<String>,
}

impl Selection {
    /// Whether the letter is meant.
    #[must_use]
    pub fn has(&self, number: u64, letter: &DeadLetter) -> bool {
        let is =
            |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|w| w == given);
        let entry = &letter.table;
        let table = entry.split("->").next().unwrap_or(entry);
        (self.seq.is_empty() || self.seq.contains(&number))
            && is(&self.source, &letter.source)
            && (is(&self.table, entry) || is(&self.table, table))
            && self
                .reason
                .as_deref()
                .is_none_or(|text| letter.reason.contains(text))
    }
}

/// A dead letter with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its number.
    pub seq: u64,
    /// The letter.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// The chosen letters from number `from` on, at most `limit`.
///
/// # Errors
///
/// The store cannot be read.
pub fn list(
    store: &dyn Store,
    selection: &Selection,
    from: u64,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let snapshot = store.read()?;
    let mut found = Vec::new();
    let mut next = Some(from);
    while let Some(from) = next.take() {
        let page = read::dead_letters(&*snapshot, from, PAGE)?;
        next = page
            .last()
            .filter(|_| page.len() == PAGE)
            .map(|(last, _)| last + 1);
        for (seq, letter) in page {
            if found.len() < limit.min(LIST_MAX) && selection.has(seq, &letter) {
                found.push(Listed { seq, letter });
            }
        }
        if found.len() >= limit.min(LIST_MAX) {
            break;
        }
    }
    Ok(found)
}

/// Forgets the chosen letters; returns how many.
///
/// # Errors
///
/// The store fails.
pub fn drop_letters(
    store: &dyn Store,
    writer: &Writer,
    selection: &Selection,
) -> Result<u64, LetterError> {
    let mut dropped = 0;
    let mut from = 0;
    loop {
        let page = list(store, selection, from, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(dropped);
        };
        from = last.seq + 1;
        let numbers = page.iter().map(|listed| listed.seq).collect();
        dropped += u64::from(writer.write(Command::DropDeadLetters(numbers))?.accepted);
    }
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Rows that count now.
    pub applied: u64,
    /// Rows that are filtered out or deleted by the mapping as it is now; nothing to count.
    pub removed: u64,
    /// Letters that stay, and why; at most the first hundred.
    pub kept: Vec<(u64, String)>,
    /// All letters that stay.
    pub kept_count: u64,
}

impl Replayed {
    fn keep(&mut self, seq: u64, reason: String) {
        self.kept_count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push((seq, reason));
        }
    }
}

/// Maps the chosen letters of the mapping's sources again and counts those that fit now.
///
/// # Errors
///
/// The store fails, or the source moves on too fast.
pub fn replay(
    store: &dyn Store,
    writer: &Writer,
    mapping: &Mapping,
    selection: &Selection,
) -> Result<Replayed, LetterError> {
    let plans = Plans::of(mapping);
    let mut done = Replayed::default();
    let mut from = 0;
    let mut attempts = 0;
    loop {
        let page = list(store, selection, from, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(done);
        };
        let next = last.seq + 1;
        let source = page.first().map(|first| first.letter.source.clone());
        let source = source.unwrap_or_default();
        // One source a batch: its checkpoints guard it. The others come in their turn.
        let cut = page
            .iter()
            .position(|listed| listed.letter.source != source);
        let next = cut.map_or(next, |cut| page[cut].seq);
        let of_source = &page[..cut.unwrap_or(page.len())];
        match replay_page(store, writer, &plans, &source, of_source)? {
            Some(page_done) => {
                done.applied += page_done.applied;
                done.removed += page_done.removed;
                done.kept_count += page_done.kept_count;
                let room = KEPT_MAX - done.kept.len();
                done.kept.extend(page_done.kept.into_iter().take(room));
                from = next;
                attempts = 0;
            }
            None if attempts == ATTEMPTS_MAX => return Err(LetterError::Busy(source)),
            None => attempts += 1,
        }
    }
}

/// `None` where the source moved on between reading and writing.
fn replay_page(
    store: &dyn Store,
    writer: &Writer,
    plans: &Plans,
    source: &str,
    page: &[Listed],
) -> Result<Option<Replayed>, LetterError> {
    let mut done = Replayed::default();
    let mut batch = RowBatch {
        source: source.to_owned(),
        ..RowBatch::default()
    };
    {
        let snapshot = store.read()?;
        batch.moves = guards(&*snapshot, source)?;
        for listed in page {
            // Read again beside the checkpoints: only then does it say that its row stands.
            let Some(letter) = read::dead_letter(&*snapshot, listed.seq)? else {
                continue;
            };
            match plans.change(&letter) {
                Ok(change) => {
                    match change.op {
                        RowOp::Remove => done.removed += 1,
                        _ => done.applied += 1,
                    }
                    batch.changes.push(change);
                }
                Err(reason) => done.keep(listed.seq, reason),
            }
        }
    }
    if batch.changes.is_empty() {
        return Ok(Some(done));
    }
    let outcome = writer.write(Command::Rows(Box::new(batch)))?;
    Ok((!outcome.conflict).then_some(done))
}

/// Every checkpoint of the source, to stay as it is.
fn guards(snapshot: &dyn Snapshot, source: &str) -> Result<Vec<Move>, StoreError> {
    let stay = |(checkpoint, bytes): (String, Vec<u8>)| Move {
        checkpoint,
        from: Some(bytes.clone()),
        to: Some(bytes),
    };
    Ok(read::checkpoints(snapshot, source)?
        .into_iter()
        .map(stay)
        .collect())
}

/// The mapping's plans by source and entry.
struct Plans(HashMap<(String, String), Result<TablePlan, String>>);

impl Plans {
    fn of(mapping: &Mapping) -> Self {
        let of_source = |source: &super::config::SourceConfig| {
            let name = source.name.clone();
            let plans = source.tables.iter().map(move |table| {
                let plan = TablePlan::compile(table).map_err(|error| error.to_string());
                ((name.clone(), table.entry_name()), plan)
            });
            plans.collect::<Vec<_>>()
        };
        Self(mapping.sources.iter().flat_map(of_source).collect())
    }

    /// What the letter's row says with the mapping as it is now.
    fn change(&self, letter: &DeadLetter) -> Result<RowChange, String> {
        let place = (letter.source.clone(), letter.table.clone());
        let plan = match self.0.get(&place) {
            Some(plan) => plan.as_ref().map_err(Clone::clone)?,
            None => return Err(format!("{} is not in the mapping file", letter.table)),
        };
        let Some(key) = letter.row else {
            return Err("its key cannot be read".to_owned());
        };
        let bound = bound_to(plan, letter)?;
        let row = mapping::row_of_letter(&bound, &letter.columns).map_err(|e| e.to_string())?;
        let row: Vec<_> = row.iter().map(OwnedValue::as_value).collect();
        let op = match bound.map(&row) {
            Mapped::Put(fact) => RowOp::Put(fact),
            Mapped::Patch(item, kept) => RowOp::Patch(item, kept),
            Mapped::Remove => RowOp::Remove,
            Mapped::Refused(violation) => return Err(violation.reason),
        };
        Ok(RowChange {
            table: TableId(letter.table_id),
            key: key.row_key(),
            op,
        })
    }
}

/// The plan bound to the columns that the letter holds: names are known, types are not.
fn bound_to(plan: &TablePlan, letter: &DeadLetter) -> Result<BoundTable, String> {
    let columns: BTreeMap<String, serde_json::Value> = serde_json::from_str(&letter.columns)
        .map_err(|_| "its columns were too long to be kept whole".to_owned())?;
    let keys: Vec<&str> = letter
        .key
        .split_whitespace()
        .filter_map(|part| part.split_once('=').map(|(name, _)| name))
        .collect();
    let columns: Vec<Column> = columns
        .into_keys()
        .map(|name| Column {
            is_key: keys.contains(&name.as_str()),
            name,
            ..Column::default()
        })
        .collect();
    plan.bind(&columns).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })
}
