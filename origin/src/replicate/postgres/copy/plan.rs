//! The plan of a copy: the chunks of its tables, those of an interrupted one first.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::super::catalog;
use super::super::checkpoints::{self, Checkpoints, Copied, CopyPlan, PLAN};
use super::super::chunks::{self, Chunk, Range};
use super::super::client::{Server, answer};
use super::super::error::PgError;
use super::super::ident::ident;
use super::super::position;
use super::super::start::Exported;
use super::Source;
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::supervise::SourceContext;

/// The chunks: those of an interrupted copy, and those of entries it does not know or whose rows
/// are elsewhere since: blocks of a file say nothing about the file that replaced it.
pub(super) async fn plan(
    context: &SourceContext,
    server: &Server,
    checkpoints: &mut Checkpoints,
    sources: &mut BTreeMap<String, Source>,
    exported: &Exported,
) -> Result<CopyPlan, PgError> {
    let before = checkpoints.get::<CopyPlan>(PLAN)?.unwrap_or_default();
    let mut plan = CopyPlan::default();
    for source in sources.values_mut() {
        let of_entry = |chunk: &&Chunk| chunk.entry == source.name;
        let chunks: Vec<Chunk> = before.chunks.iter().filter(of_entry).cloned().collect();
        // The table is locked now, so its files stay.
        let asking = catalog::files(server, &exported.keeper, source.table.oid);
        source.moved_to(answer(asking).await?);
        let was = before.tables.get(&source.name);
        let chunks = if chunks.is_empty() {
            cut(context, server, checkpoints, source, exported).await?
        } else if was.is_some_and(|was| was.files() == source.signature.files()) {
            chunks
        } else {
            tracing::warn!(
                table = source.name,
                "the table was rewritten or truncated while its first copy was interrupted: it is copied from the start"
            );
            clear(context, checkpoints, source).await?;
            cut(context, server, checkpoints, source, exported).await?
        };
        plan.chunks.extend(chunks);
        let signature = source.signature.clone();
        plan.tables.insert(source.name.clone(), signature);
    }
    if plan != before {
        let moved = checkpoints.change(PLAN, Some(position::encode(&plan)));
        checkpoints::commit(context, checkpoints, vec![moved], None).await?;
    }
    Ok(plan)
}

/// Cuts a table whose copy begins.
async fn cut(
    context: &SourceContext,
    server: &Server,
    checkpoints: &mut Checkpoints,
    source: &Source,
    exported: &Exported,
) -> Result<Vec<Chunk>, PgError> {
    // Chunks of an earlier plan of this entry say nothing about the new one.
    checkpoints::tidy(context, checkpoints, &format!("copy/{}/", source.name)).await?;
    let chunk_rows = context.config.snapshot.chunk_rows;
    let ranges = ranges(server, &exported.keeper, source, chunk_rows).await?;
    let chunk = |(number, range): (usize, Range)| Chunk {
        entry: source.name.clone(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        range,
    };
    Ok(ranges.into_iter().enumerate().map(chunk).collect())
}

/// Takes back what was copied of an entry: rows that are gone since may be among them.
async fn clear(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    source: &Source,
) -> Result<(), PgError> {
    let name = format!("copy/{}/cleared", source.name);
    let stored = checkpoints.bytes(&name).map(<[u8]>::to_vec);
    let config = ApplierConfig::new(&context.config.name, &name);
    let (writer, metrics) = (context.writer.clone(), context.metrics.clone());
    let mut applier = Applier::new(writer, config, stored, metrics);
    let cleared = Copied::default();
    applier.clear(source.id, cleared, None).await?;
    checkpoints.note(name, position::encode(&cleared));
    Ok(())
}

async fn ranges(
    server: &Server,
    keeper: &Client,
    source: &Source,
    chunk_rows: u32,
) -> Result<Vec<Range>, PgError> {
    let table = &source.table;
    let key = source.bound.key_columns();
    let is_integer = |name: &String| {
        let mut columns = table.columns.iter();
        columns.any(|c| &c.name == name && matches!(c.type_name.as_str(), "int2" | "int4" | "int8"))
    };
    // The primary key has an index, so both ends are found at once.
    if let [column] = key
        && is_integer(column)
        && table.primary_key.as_slice() == key
    {
        let name = ident(column);
        let from = chunks::from_clause(table);
        let sql = format!("SELECT min({name})::int8, max({name})::int8 FROM {from}");
        let asking = keeper.query_one(&sql, &[]);
        let row = answer(async { Ok(asking.await) }).await?;
        let ends = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        return match ends.map_err(|error| server.error(&error))? {
            (Some(min), Some(max)) => Ok(chunks::by_keys(column, min, max, table.rows, chunk_rows)),
            _ => Ok(vec![Range::All]),
        };
    }
    Ok(chunks::by_blocks(table.blocks, table.rows, chunk_rows))
}
