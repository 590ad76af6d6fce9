//! `edgewise reconcile`: counts of a source beside what the store remembers of it, and repair.

mod count;
mod mysql;
mod position;
mod postgres;
mod repair;
mod source;
pub mod sql;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::count::{Counts, Differs, Group};
use self::position::Printed;
use self::source::{Source, SourceTable};
use super::config::{Mode, SourceConfig, TableConfig, Target};
use super::following::{FollowCommand, FollowError, Following};
use crate::cli::replicate::By;
use crate::ingest::WriteError;
use crate::ingest::rows::TableId;
use crate::store::{StoreError, read};

/// How long a comparison waits for the stream to pass the source's position.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Time between two looks at the stream.
const WAIT_EVERY: Duration = Duration::from_millis(100);
/// Differences that are described.
const DIFFERENCES_MAX: usize = 100_000;

/// Why nothing is compared or repaired.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store fails.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The store takes no writes.
    #[error("the store takes no writes; nothing more was repaired")]
    Write(#[from] WriteError),
    /// The source cannot be asked.
    #[error("source {source_name} cannot be asked: {reason}")]
    Connect {
        /// Its name.
        source_name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A statement failed.
    #[error("the source refused `{sql}`: {reason}; {remedy}")]
    Query {
        /// The statement.
        sql: String,
        /// What the server says.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Too many groups.
    #[error(
        "there are more than {} groups; compare by day or table, or one table with --table",
        count::GROUPS_MAX
    )]
    Groups,
    /// A table or key that cannot be worked on.
    #[error("table {table}: {reason}")]
    Table {
        /// The mapping's entry.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A part of the program failed.
    #[error("the work was cut off; the log has the cause")]
    CutOff,
}

/// What `POST /admin/v1/reconcile` takes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ReconcileCommand {
    /// Which source.
    pub sources: FollowCommand,
    /// What is counted by.
    #[serde(default)]
    pub by: By,
    /// Only this table.
    #[serde(default)]
    pub table: Option<String>,
    /// Read these rows again, such as `id=7`.
    #[serde(default)]
    pub repair: Vec<String>,
    /// Read every row of the tables that differ again.
    #[serde(default)]
    pub repair_all: bool,
}

/// A count that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The source.
    pub source: String,
    /// The mapping's entry.
    pub table: String,
    /// Day, item, `all`, or `none` for rows without one.
    pub group: String,
    /// Rows at the source.
    pub source_rows: u64,
    /// Rows that count here.
    pub store_rows: u64,
}

/// What was compared and repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// Rows at the source by table.
    pub tables: BTreeMap<String, u64>,
    /// What differs, and differed when it was looked at again.
    pub differences: Vec<Difference>,
    /// Dead letters by table, which explain rows that are missing here.
    pub dead_letters: BTreeMap<String, u64>,
    /// Rows that were read again and applied.
    pub repaired: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Compares, and repairs what is asked for.
///
/// # Errors
///
/// The source or the store cannot be asked.
pub async fn run(
    following: &Arc<Following>,
    command: ReconcileCommand,
) -> Result<Reconciled, FollowError> {
    let mut done = Reconciled::default();
    for config in command.sources.clone().load()?.sources {
        let config = following.with_login(config).await;
        let work = Work {
            following,
            command: &command,
            config: &config,
        };
        work.run(&mut done).await?;
    }
    Ok(done)
}

/// One source.
struct Work<'a> {
    following: &'a Arc<Following>,
    command: &'a ReconcileCommand,
    config: &'a SourceConfig,
}

/// A mapped table that is worked on.
struct Entry {
    id: TableId,
    config: TableConfig,
    table: SourceTable,
}

impl Work<'_> {
    async fn run(&self, done: &mut Reconciled) -> Result<(), ReconcileError> {
        let known = self.tables()?;
        let mut source = Source::connect(self.config).await?;
        let mut entries = Vec::with_capacity(known.len());
        for (id, config) in known {
            let table = source.table(&config).await?;
            entries.push(Entry { id, config, table });
        }
        if !self.command.repair.is_empty() {
            for entry in &entries {
                self.repair_keys(&mut source, entry, done).await?;
            }
            return Ok(());
        }
        for entry in &entries {
            let name = entry.config.entry_name();
            let mut differing = self.compare(&mut source, entry, done).await?;
            if !differing.is_empty() {
                // What was under way when it was counted is gone when it is counted again.
                let again = self.compare(&mut source, entry, done).await?;
                differing = again
                    .into_iter()
                    .filter(|second| differing.iter().any(|first| first.group == second.group))
                    .collect();
            }
            if differing.is_empty() {
                continue;
            }
            if self.command.repair_all {
                done.repaired += self.repair_table(&mut source, entry, done).await?;
                differing = self.compare(&mut source, entry, done).await?;
            }
            self.describe(&name, differing, done)?;
            let counts = read::dead_counts(&*self.following.store.read()?)?;
            if counts.of(entry.id.0) > 0 {
                done.dead_letters.insert(name, counts.of(entry.id.0));
            }
        }
        Ok(())
    }

    /// The mapped tables that the store knows.
    fn tables(&self) -> Result<Vec<(TableId, TableConfig)>, ReconcileError> {
        let known = read::tables(&*self.following.store.read()?, &self.config.name)?;
        let wanted = self.command.table.as_deref();
        let mut found = Vec::new();
        for table in &self.config.tables {
            let entry = table.entry_name();
            if wanted.is_some_and(|wanted| wanted != table.table && wanted != entry) {
                continue;
            }
            match known.iter().find(|(_, name)| *name == entry) {
                Some((id, _)) => found.push((*id, table.clone())),
                None => {
                    return Err(ReconcileError::Table {
                        table: entry,
                        reason: "it was never followed; run `edgewise replicate` first".to_owned(),
                    });
                }
            }
        }
        if found.is_empty() {
            let table = wanted.unwrap_or("any").to_owned();
            let reason = "it is not in the mapping file; name one that is with --table";
            return Err(ReconcileError::Table {
                table,
                reason: reason.to_owned(),
            });
        }
        Ok(found)
    }

    async fn compare(
        &self,
        source: &mut Source,
        entry: &Entry,
        done: &mut Reconciled,
    ) -> Result<Vec<Differs>, ReconcileError> {
        let SourceTable { name, bound, .. } = &entry.table;
        let (entry, id, to) = (bound.plan().name(), entry.id, bound.plan().target());
        let counts = |by: By| sql::counts(bound, name, by, source.dialect());
        let (by, statement) = match counts(self.command.by) {
            Some(statement) => (self.command.by, statement),
            None => {
                // Users have neither day nor item: nothing to say.
                if to != Target::Users {
                    let by = format!("{:?}", self.command.by).to_lowercase();
                    let text = format!("{entry} has no {by} in SQL and is compared as a whole");
                    note(done, text);
                }
                let whole = counts(By::Table).ok_or_else(|| ReconcileError::Table {
                    table: entry.to_owned(),
                    reason: "its `where` or `deleted` cannot be said in SQL; write it without \
                             split()"
                        .to_owned(),
                })?;
                (By::Table, whole)
            }
        };
        let before = self.of_store(id, to, by).await?;
        let mut counts = Counts::new();
        let mut names = HashMap::new();
        let mut total = 0;
        let mut add = |row: source::Row| {
            let mut fields = row.into_iter();
            let (text, rows) = (fields.next().flatten(), fields.next().flatten());
            let rows = rows.as_deref().map(String::from_utf8_lossy);
            let rows: u64 = rows.and_then(|rows| rows.parse().ok()).unwrap_or(0);
            total += rows;
            let text = text.map(count::text);
            let group = Group::of_source(by, text.as_deref());
            // The store may not know an item that it counts nothing for.
            if let (Group::Item(_), Some(text)) = (group, text)
                && before.get(&group) != Some(&rows)
                && names.len() < DIFFERENCES_MAX
            {
                names.insert(group, text);
            }
            count::add(&mut counts, group, rows)
        };
        source.each(&statement, &mut add).await?;
        done.tables.insert(entry.to_owned(), total);
        self.wait_past(source, done).await?;
        let after = self.of_store(id, to, by).await?;
        let mut differing = count::differences(&before, &counts, &after);
        for differs in &mut differing {
            differs.name = names.remove(&differs.group);
        }
        Ok(differing)
    }

    async fn of_store(&self, id: TableId, to: Target, by: By) -> Result<Counts, ReconcileError> {
        let store = Arc::clone(&self.following.store);
        let counting = move || {
            let snapshot = store.read()?;
            let created = match (by, to) {
                (By::Day, Target::Items) => count::created(&*snapshot)?,
                _ => HashMap::new(),
            };
            count::of_store(&*snapshot, id, by, &created)
        };
        let counted = tokio::task::spawn_blocking(counting).await;
        counted.map_err(|_| ReconcileError::CutOff)?
    }

    /// Waits until what the source has committed by now is counted here.
    async fn wait_past(
        &self,
        source: &mut Source,
        done: &mut Reconciled,
    ) -> Result<(), ReconcileError> {
        let name = &self.config.name;
        if self.config.mode == Mode::Poll {
            // Watermarks are no positions.
            let text = format!("source {name} is polled; what it has not read yet is listed too");
            note(done, text);
            return Ok(());
        }
        let mut now = None;
        for statement in source.dialect().position() {
            let rows = source.all(statement).await.unwrap_or_default();
            let text = rows.into_iter().flatten().flatten().take(2);
            let text: Vec<String> = text.map(count::text).collect();
            now = now.or_else(|| Printed::find(&text.join(":")));
        }
        let Some(now) = now else {
            let text =
                format!("source {name} does not say its position; changes under way may be listed");
            note(done, text);
            return Ok(());
        };
        let waiting = async {
            loop {
                let status = self.following.status_of(name).await;
                let Some(status) = status else {
                    return false;
                };
                let at = status.position.as_deref().and_then(Printed::find);
                if at.is_some_and(|at| at.is_past(&now)) {
                    return true;
                }
                tokio::time::sleep(WAIT_EVERY).await;
            }
        };
        match tokio::time::timeout(WAIT_MAX, waiting).await {
            Ok(true) => {}
            Ok(false) => note(
                done,
                format!(
                    "source {name} is not followed now; what it has not read yet is listed too"
                ),
            ),
            Err(_) => note(
                done,
                format!("source {name} is behind; what it has not read yet is listed too"),
            ),
        }
        Ok(())
    }

    fn describe(
        &self,
        entry: &str,
        differing: Vec<Differs>,
        done: &mut Reconciled,
    ) -> Result<(), ReconcileError> {
        let mut names: HashMap<u64, String> = HashMap::new();
        let unnamed = differing.iter().filter(|differs| differs.name.is_none());
        let wanted: HashSet<Group> = unnamed
            .map(|differs| differs.group)
            .filter(|group| matches!(group, Group::Item(_)))
            .collect();
        if !wanted.is_empty() {
            read::all_items(&*self.following.store.read()?, &mut |state| {
                if wanted.contains(&Group::Item(state.hash)) {
                    names.insert(state.hash, state.id);
                }
            })?;
        }
        for differs in differing {
            if done.differences.len() >= DIFFERENCES_MAX {
                note(
                    done,
                    format!("more than {DIFFERENCES_MAX} differences; the rest is left out"),
                );
                break;
            }
            let known = match differs.group {
                Group::Item(hash) => names.remove(&hash),
                _ => None,
            };
            let name = differs.name.or(known);
            done.differences.push(Difference {
                source: self.config.name.clone(),
                table: entry.to_owned(),
                group: name.unwrap_or_else(|| differs.group.text()),
                source_rows: differs.source,
                store_rows: differs.store,
            });
        }
        Ok(())
    }
}

fn note(done: &mut Reconciled, text: String) {
    if !done.notes.contains(&text) {
        done.notes.push(text);
    }
}
