//! The first copy: chunks of tables, read side by side in one snapshot.
//!
//! Why a copy that was interrupted is exact although the rest is read in a later snapshot: the
//! slot stays, so the stream afterwards begins at its creation and repeats every change that the
//! later snapshot already shows. The store applies a row as the difference to what it remembers
//! of the same key, so a repeated change has no effect in the end, and the last change of every
//! row is the last that is applied. A row that left its chunk between two snapshots did so by a
//! change, which is in the stream. Only a row whose unchanged columns are not sent could be
//! unknown meanwhile: until the stream has passed the snapshot (`catch-up`), such rows are read
//! from the table again. The same holds for tables that are added or copied anew later.

mod plan;
mod sessions;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::plan::plan;
use self::sessions::run;
use self::shared::share;
use super::catalog::{File, Table};
use super::check::Catalogue;
use super::checkpoints::{self, CATCH_UP, CatchUp, Checkpoints, PLAN, STREAM, copied};
use super::chunks;
use super::client::Server;
use super::error::PgError;
use super::position::{self, Lsn};
use super::start::{Start, export};
use super::tables::{At, Entry, Quality, Signature, is_padded, measured, text_value, unpadded};
use crate::ingest::rows::{DeadLetter, RowChange, TableId};
use crate::replicate::config::Target;
use crate::replicate::mapping::{BoundTable, deliver};
use crate::replicate::status::Phase;
use crate::replicate::supervise::SourceContext;
use crate::replicate::value::Value;

/// An entry that is copied.
struct Source {
    id: TableId,
    name: String,
    target: Target,
    table: Table,
    bound: BoundTable,
    signature: Signature,
    quality: Quality,
}

/// Copies what is not copied yet, and stores where the stream begins.
///
/// # Errors
///
/// A session or the store failed: the next life goes on with what is left.
pub async fn copy(
    context: &SourceContext,
    server: &Arc<Server>,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    catalogue: &Catalogue,
    start: &mut Start,
) -> Result<(), PgError> {
    let mut sources = sources(entries, catalogue)?;
    let mut signatures = signatures(&sources);
    let mut catch_up = checkpoints.get::<CatchUp>(CATCH_UP)?.unwrap_or_default();
    if !sources.is_empty() && context.config.snapshot.enabled {
        context.status.phase(Phase::Copying);
        let exported = match start.snapshot.take() {
            Some(exported) => exported,
            None => {
                let (exported, end) = export(server, entries).await?;
                catch_up.until = catch_up.until.max(end);
                exported
            }
        };
        let plan = plan(context, server, checkpoints, &mut sources, &exported).await?;
        signatures = self::signatures(&sources);
        let shared = share(context, server, checkpoints, sources, plan)?;
        run(&shared, &exported).await?;
    }
    start.snapshot = None;
    finish(context, checkpoints, entries, signatures, catch_up, start).await
}

fn signatures(sources: &BTreeMap<String, Source>) -> Vec<(String, Signature)> {
    let signature = |source: &Source| (source.name.clone(), source.signature.clone());
    sources.values().map(signature).collect()
}

fn sources(entries: &[Entry], catalogue: &Catalogue) -> Result<BTreeMap<String, Source>, PgError> {
    let mut sources = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|e| e.signature.is_none() && e.stopped.is_none())
    {
        let table = catalogue.tables.get(&entry.table);
        let table = table.ok_or_else(|| PgError::Catalogue {
            object: format!("table {}", entry.table),
            problem: "it does not exist".to_owned(),
            fix: "correct `table` in the mapping (schema.name)".to_owned(),
        })?;
        let publication = catalogue.publication.as_ref();
        let published = publication.and_then(|p| p.tables.get(&entry.table));
        let (bound, signature) = entry.bind(table, published)?;
        let source = Source {
            id: entry.id,
            name: entry.name().to_owned(),
            target: entry.plan.target(),
            table: table.clone(),
            bound,
            signature,
            quality: entry.quality(),
        };
        sources.insert(source.name.clone(), source);
    }
    Ok(sources)
}

impl Source {
    /// Its rows are in these files.
    fn moved_to(&mut self, files: Vec<File>) {
        if let Some(identity) = &mut self.signature.identity {
            identity.files = files;
        }
    }

    fn map(
        &self,
        context: &SourceContext,
        line: &[u8],
        position: &str,
    ) -> Result<(RowChange, Option<DeadLetter>), PgError> {
        let fields: Vec<_> = chunks::fields(line).collect();
        if fields.len() != self.bound.columns().len() {
            return Err(PgError::Protocol(format!(
                "a copied row of table {} has {} columns instead of {}",
                self.table.name,
                fields.len(),
                self.bound.columns().len()
            )));
        }
        let values = fields
            .iter()
            .map(|field| field.as_deref().map_or(Value::Null, text_value));
        // The signature has the columns in the order in which they are read.
        let columns = self.signature.columns.iter();
        let value = |(value, (_, type_name)): (_, &(String, String))| {
            if is_padded(type_name) {
                unpadded(value)
            } else {
                value
            }
        };
        let row: Vec<_> = values.zip(columns).map(value).collect();
        let at = At {
            source: &context.config.name,
            position,
            now_ms: context.clock.wall_ms(),
            is_catching_up: false,
        };
        let mut quality = measured(&self.quality, at.source, &self.bound, at.now_ms);
        Ok(deliver(
            &self.bound,
            self.id,
            &row,
            at.position,
            quality.get(),
            at.now_ms,
        ))
    }
}

/// Stores in one transaction that the entries are copied, what they were, and where the stream
/// begins.
async fn finish(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    signatures: Vec<(String, Signature)>,
    catch_up: CatchUp,
    start: &Start,
) -> Result<(), PgError> {
    let is_first = checkpoints.bytes(STREAM).is_none();
    if signatures.is_empty() && !is_first {
        return Ok(());
    }
    let mut moves = Vec::new();
    for (name, signature) in signatures {
        let bytes = position::encode(&signature);
        moves.push(checkpoints.change(&copied(&name), Some(bytes)));
        if let Some(entry) = entries.iter_mut().find(|entry| entry.name() == name) {
            entry.signature = Some(signature);
        }
    }
    if catch_up.until > Lsn(0) {
        moves.push(checkpoints.change(CATCH_UP, Some(position::encode(&catch_up))));
    }
    if checkpoints.bytes(PLAN).is_some() {
        moves.push(checkpoints.change(PLAN, None));
    }
    let stream = is_first.then(|| start.position.clone());
    checkpoints::commit(context, checkpoints, moves, stream).await?;
    *checkpoints = Checkpoints::read(context)?;
    checkpoints::tidy(context, checkpoints, "copy/").await
}
