//! What is counted although the mapping file no longer says so: rows of sources and tables that
//! left it, and rows that were mapped otherwise than it says now.
//!
//! Nothing is taken back by itself: a mapping file that is edited by mistake must not cost a
//! copy of every table. It is said loudly instead, with the command that puts it right.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::check::Report;
use super::config::{Format, Mapped, Mapping, TableConfig, Target};
use super::mapping::TablePlan;
use super::postgres::checkpoints::SLOT;
use super::postgres::position::SlotIdentity;
use crate::ingest::rows::TableId;
use crate::store::{Snapshot, Store, StoreError, read};
use crate::terminal::shell_word;

/// Mappings of an entry that are remembered: enough to know that rows of several are mixed.
const TOLD_MAX: usize = 4;
/// Characters of an expression that are shown.
const SHOWN_MAX: usize = 80;
/// Changed keys of an entry that are shown.
const CHANGES_MAX: usize = 3;

/// Something that is counted and that the mapping file says nothing, or something else, about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The source.
    pub source: String,
    /// The mapping's entry; absent where all of the source is meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    /// What is wrong, a sentence.
    pub problem: String,
    /// What puts it right.
    pub remedy: String,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            source,
            table,
            problem,
            remedy,
        } = self;
        match table {
            Some(table) => write!(f, "{source}  {table}: {problem}\n  remedy: {remedy}"),
            None => write!(f, "{source}: {problem}\n  remedy: {remedy}"),
        }
    }
}

/// Findings for `edgewise replicate check`.
#[must_use]
pub fn report(drifts: &[Drift]) -> Report {
    let mut report = Report::default();
    for drift in drifts {
        let object = match &drift.table {
            Some(table) => format!("table {table} of source {}", drift.source),
            None => format!("source {}", drift.source),
        };
        report.error(object, drift.problem.clone(), drift.remedy.clone());
    }
    report
}

/// All that drifted from `mapping`. Off the async threads.
///
/// # Errors
///
/// The store cannot be read.
pub fn find(store: &dyn Store, mapping: &Mapping) -> Result<Vec<Drift>, StoreError> {
    let snapshot = store.read()?;
    // One that comes from no file says nothing of what else is mapped.
    let mut found = match mapping.file.as_os_str().is_empty() {
        true => Vec::new(),
        false => unmapped(&*snapshot, &mapping.mapped)?,
    };
    for source in &mapping.sources {
        let known = read::tables(&*snapshot, &source.name)?;
        for table in &source.tables {
            let entry = table.entry_name();
            let Some((id, _)) = known.iter().find(|(_, name)| *name == entry) else {
                continue;
            };
            let told = told(&*snapshot, &source.name, *id, &entry)?;
            if let Some(change) = change(&told, table) {
                let remedy = remedy(&source.name, &table.table);
                found.push(Drift {
                    source: source.name.clone(),
                    table: Some(entry),
                    problem: change,
                    remedy,
                });
            }
        }
    }
    Ok(found)
}

/// Sources and tables whose rows count and that are not in `mapped`.
///
/// # Errors
///
/// The store cannot be read.
pub fn unmapped(snapshot: &dyn Snapshot, mapped: &Mapped) -> Result<Vec<Drift>, StoreError> {
    let mut found = Vec::new();
    for source in read::sources(snapshot)? {
        let Some(entries) = mapped.get(&source) else {
            found.push(source_left(snapshot, source)?);
            continue;
        };
        for (id, entry) in read::tables(snapshot, &source)? {
            if !entries.contains(&entry) && has_rows(snapshot, id)? {
                found.push(Drift {
                    remedy: format!(
                        "edgewise replicate resync --source {} --table {} --yes takes \
                         back what they counted; or map it again",
                        shell_word(&source),
                        shell_word(&entry)
                    ),
                    problem: "its rows still count, but the mapping file does not have it any more"
                        .to_owned(),
                    source: source.clone(),
                    table: Some(entry),
                });
            }
        }
    }
    Ok(found)
}

fn source_left(snapshot: &dyn Snapshot, source: String) -> Result<Drift, StoreError> {
    let mut counting = 0;
    for (id, _) in read::tables(snapshot, &source)? {
        counting += u32::from(has_rows(snapshot, id)?);
    }
    let counts = match counting {
        0 => "nothing of it counts".to_owned(),
        tables => format!("the rows of {tables} of its tables still count"),
    };
    let slot = slot_of(snapshot, &source)?.map(|slot| {
        format!(", and its slot {slot} may keep WAL at its server until it is dropped")
    });
    Ok(Drift {
        table: None,
        problem: format!(
            "the store has it, but the mapping file does not: {counts}{}",
            slot.unwrap_or_default()
        ),
        remedy: format!(
            "edgewise replicate resync --source {} --yes forgets it; or give it its name back in \
             the mapping file",
            shell_word(&source)
        ),
        source,
    })
}

/// The slot that a source had at a PostgreSQL server.
///
/// # Errors
///
/// The store cannot be read.
pub fn slot_of(snapshot: &dyn Snapshot, source: &str) -> Result<Option<String>, StoreError> {
    let stored = read::checkpoint(snapshot, source, SLOT)?;
    let slot = stored.and_then(|bytes| serde_json::from_slice::<SlotIdentity>(&bytes).ok());
    Ok(slot.map(|identity| identity.slot))
}

fn has_rows(snapshot: &dyn Snapshot, table: TableId) -> Result<bool, StoreError> {
    let mut found = false;
    read::rows(snapshot, table, None, &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn remedy(source: &str, table: &str) -> String {
    format!(
        "edgewise replicate resync --source {} --table {} --yes counts every row as it is mapped \
         now",
        shell_word(source),
        shell_word(table)
    )
}

/// The checkpoint that holds how an entry's rows were mapped.
#[must_use]
pub fn checkpoint(entry: &str) -> String {
    format!("mapping/{entry}")
}

/// What an entry says about the meaning of rows. Its watermark and its contract are not in it:
/// they say which rows are asked for and refused, not what one counts as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    #[serde(default)]
    key: Vec<String>,
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    fields: BTreeMap<String, String>,
}

impl Told {
    fn of(table: &TableConfig) -> Self {
        let table = table.effective();
        Self {
            key: table.key,
            filter: table.filter,
            fields: table.fields,
        }
    }

    fn plan(&self, to: Target) -> Option<TablePlan> {
        let table = TableConfig {
            table: "t".to_owned(),
            to,
            format: Format::default(),
            key: self.key.clone(),
            filter: self.filter.clone(),
            watermark: None,
            contract: super::contract::ContractConfig::default(),
            fields: self.fields.clone(),
        };
        TablePlan::compile(&table).ok()
    }

    /// How an expression is written makes no difference.
    fn means_as(&self, other: &Self, to: Target) -> bool {
        self == other
            || match (self.plan(to), other.plan(to)) {
                (Some(one), Some(other)) => one.means_as(&other),
                _ => false,
            }
    }

    /// `where was a = 1 and is a = 2`, for each key that differs.
    fn differences(&self, now: &Self) -> Vec<String> {
        let shown = |text: Option<&String>| match text {
            Some(text) if text.chars().count() > SHOWN_MAX => {
                let cut: String = text.chars().take(SHOWN_MAX).collect();
                format!("`{cut}…`")
            }
            Some(text) => format!("`{text}`"),
            None => "absent".to_owned(),
        };
        let (was_key, now_key) = (self.key.join(", "), now.key.join(", "));
        let key = (!self.key.is_empty()).then_some(&was_key);
        let mut pairs = vec![
            ("key", key, (!now.key.is_empty()).then_some(&now_key)),
            ("where", self.filter.as_ref(), now.filter.as_ref()),
        ];
        let mut names: Vec<&String> = self.fields.keys().chain(now.fields.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let fields = names
            .into_iter()
            .map(|name| (name.as_str(), self.fields.get(name), now.fields.get(name)));
        pairs.extend(fields);
        pairs
            .into_iter()
            .filter(|(_, was, is)| was != is)
            .map(|(name, was, is)| format!("{name} was {} and is {}", shown(was), shown(is)))
            .collect()
    }
}

/// How rows of an entry were mapped, oldest first; nothing where none was read yet: then a
/// mapping that was corrected is no change.
fn told(
    snapshot: &dyn Snapshot,
    source: &str,
    id: TableId,
    entry: &str,
) -> Result<Vec<Told>, StoreError> {
    let Some(stored) = read::checkpoint(snapshot, source, &checkpoint(entry))? else {
        return Ok(Vec::new());
    };
    if !has_begun(snapshot, source, id, entry)? {
        return Ok(Vec::new());
    }
    // What cannot be read is of another version, and says nothing.
    Ok(serde_json::from_slice(&stored).unwrap_or_default())
}

/// Whether any row of an entry was read: one that was filtered out leaves no row behind.
fn has_begun(
    snapshot: &dyn Snapshot,
    source: &str,
    id: TableId,
    entry: &str,
) -> Result<bool, StoreError> {
    if has_rows(snapshot, id)? {
        return Ok(true);
    }
    let places = ["copied", "copy", "poll"].map(|place| format!("{place}/{entry}"));
    let is_place = |name: &str| {
        let of_topics = name == super::kafka::CHECKPOINT;
        of_topics || places.iter().any(|place| name.starts_with(place.as_str()))
    };
    let checkpoints = read::checkpoints(snapshot, source)?;
    Ok(checkpoints.iter().any(|(name, _)| is_place(name)))
}

fn change(told: &[Told], table: &TableConfig) -> Option<String> {
    let now = Told::of(table);
    let was = told.iter().find(|was| !was.means_as(&now, table.to))?;
    let mut differences = was.differences(&now);
    let more = differences.len().saturating_sub(CHANGES_MAX);
    differences.truncate(CHANGES_MAX);
    if more > 0 {
        differences.push(format!("{more} more"));
    }
    Some(format!(
        "its mapping changed ({}): rows from before count as they were mapped then, until they \
         change",
        differences.join(", ")
    ))
}

/// What is to be remembered of an entry from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The checkpoint now.
    pub from: Option<Vec<u8>>,
    /// What it becomes, where that is something else.
    pub to: Option<Vec<u8>>,
    /// How the mapping changed, with what to do, where it did.
    pub change: Option<(String, String)>,
}

/// Compares an entry with how its rows were mapped before.
///
/// # Errors
///
/// The store cannot be read.
pub fn remember(
    snapshot: &dyn Snapshot,
    source: &str,
    id: TableId,
    table: &TableConfig,
) -> Result<Remembered, StoreError> {
    let entry = table.entry_name();
    let from = read::checkpoint(snapshot, source, &checkpoint(&entry))?;
    let mut told = told(snapshot, source, id, &entry)?;
    let change = change(&told, table).map(|how| (how, remedy(source, &table.table)));
    let now = Told::of(table);
    // A mapping that changes and changes back has mixed rows all the same.
    if told.len() < TOLD_MAX && !told.iter().any(|was| was.means_as(&now, table.to)) {
        told.push(now);
    }
    let to = serde_json::to_vec(&told).expect("texts serialise");
    let to = Some(to).filter(|to| from.as_ref() != Some(to));
    Ok(Remembered { from, to, change })
}
