//! Where a life starts: the stored position, or a consistent one of now; the tables as they
//! were there.

use super::catalog::{self, TableName};
use super::client::{Client, Target};
use super::error::MysqlError;
use super::gtid::GtidSet;
use super::position::{BinlogPosition, File, Identity};
use super::tables::Tables;
use super::{STREAM, dump, stopped_checkpoint, stream, undecided};
use crate::ingest::rows::Move;
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::mapping::Column;
use crate::replicate::supervise::{SourceContext, SourceError};
use crate::store::read;
use std::sync::Arc;
use std::time::Duration;

/// How long commits in flight may take to become visible after their binlog position is, where
/// the server gives no consistent pair (MySQL without GTIDs and without BACKUP_ADMIN).
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// What a life starts with.
pub(super) struct Started {
    /// Moves the stream's checkpoint.
    pub(super) applier: Applier<BinlogPosition>,
    /// The tables, bound to their columns as of the position.
    pub(super) tables: Tables,
    /// Where the stream goes on.
    pub(super) position: BinlogPosition,
}

/// Finds the position and the tables; `None` where it is told to stop.
pub(super) async fn start(
    context: &SourceContext,
    target: &Target,
    client: &mut Client,
) -> Result<Option<Started>, SourceError> {
    let name = &context.config.name;
    let stored = checkpoint(context, STREAM)?;
    let config = ApplierConfig::new(name, STREAM);
    let metrics = Arc::clone(&context.metrics);
    let mut applier = Applier::new(context.writer.clone(), config, stored.clone(), metrics);
    let identity = stream::identity(client).await?;
    let is_first = stored.is_none();
    let position = match stored {
        Some(bytes) => resume(&bytes, client, identity).await?,
        None => {
            let now = now(target, client, identity).await?;
            let Some(undecided) = undecided::settle(context, target, client).await? else {
                return Ok(None);
            };
            BinlogPosition {
                undecided: Arc::new(undecided),
                ..now
            }
        }
    };
    let tables = tables(context, target, client, &mut applier).await?;
    if is_first {
        // What would fail after hours of copying fails now.
        dump::probe(context, target, &position).await?;
        tracing::info!(source = name, %position, "following starts here");
        applier.advance(position.clone(), None).await?;
    }
    applier.flush().await?;
    context.status.position(&position.to_string());
    Ok(Some(Started {
        applier,
        tables,
        position,
    }))
}

/// A checkpoint of the source.
pub(super) fn checkpoint(
    context: &SourceContext,
    name: &str,
) -> Result<Option<Vec<u8>>, SourceError> {
    let snapshot = context.store.read()?;
    Ok(read::checkpoint(&*snapshot, &context.config.name, name)?)
}

/// The mapped tables with their columns as of the stored position; those that stopped are not
/// followed.
async fn tables(
    context: &SourceContext,
    target: &Target,
    client: &mut Client,
    applier: &mut Applier<BinlogPosition>,
) -> Result<Tables, SourceError> {
    let mut tables = Tables::default();
    for (id, plan) in &context.tables {
        let table = TableName::parse(plan.table(), target.database.as_deref())?;
        tables.add(table, *id, plan.clone());
    }
    let now_ms = context.clock.wall_ms();
    for table in &mut tables.followed {
        for entry in &mut table.entries {
            let stopped = checkpoint(context, &stopped_checkpoint(entry.plan.name()))?;
            let reason = stopped.map(|reason| String::from_utf8_lossy(&reason).into_owned());
            if let Some(reason) = &reason {
                context.status.table_stopped(entry.plan.name(), reason);
            } else {
                context.status.table_follows(entry.plan.name());
            }
            entry.stopped = reason;
        }
        let stored = checkpoint(context, &table.schema_checkpoint())?;
        match stored.as_deref().map(serde_json::from_slice) {
            Some(Ok(columns)) => table.known = columns,
            _ => match catalog::read(client, &table.name).await? {
                Some(read) => table.learn(&read),
                None if table.entries.iter().all(|entry| entry.stopped.is_some()) => continue,
                None => return Err(missing(&table.name).into()),
            },
        }
        table.stored.clone_from(&stored);
        // The mapping may name what a statement has added since.
        if table.is_in_doubt()
            && let Some(read) = catalog::read(client, &table.name).await?
        {
            table.refresh(&read);
        }
        let described: Vec<Column> = table.known.iter().map(|info| info.to_column()).collect();
        for entry in &mut table.entries {
            let bound = entry.bind(&described, &table.known, &context.config.name, now_ms);
            if let Err(Some(problem)) = bound {
                return Err(MysqlError::Table {
                    table: table.name.to_string(),
                    problem,
                    remedy: "correct the mapping; `edgewise replicate check` names everything"
                        .to_owned(),
                }
                .into());
            }
        }
        let now = table.encode();
        if stored.as_ref() != Some(&now) {
            table.stored = Some(now.clone());
            let checkpoint = table.schema_checkpoint();
            applier
                .also(Move {
                    checkpoint,
                    from: stored,
                    to: Some(now),
                })
                .await;
        }
    }
    Ok(tables)
}

/// The error for a mapped table that is not there.
pub(crate) fn missing(table: &TableName) -> MysqlError {
    MysqlError::Table {
        table: table.to_string(),
        problem: "it does not exist, or this user may not see it".to_owned(),
        remedy: format!(
            "correct its name in the mapping, or GRANT SELECT ON {} TO the user",
            table.quoted()
        ),
    }
}

/// Whether the server can continue from a stored position; what to continue from.
async fn resume(
    bytes: &[u8],
    client: &mut Client,
    identity: Identity,
) -> Result<BinlogPosition, MysqlError> {
    let lost = |position: String, reason: String| MysqlError::Lost { position, reason };
    let Some(position) = BinlogPosition::decode(bytes) else {
        let reason = "the stored position is not one of this version".to_owned();
        return Err(lost("(unreadable)".to_owned(), reason));
    };
    let text = position.to_string();
    if let Some(set) = &position.gtids {
        // Any server of the topology that has these transactions can go on.
        let executed = executed(client).await?;
        let has = format!("SELECT GTID_SUBSET('{set}', '{executed}')");
        if client.row(&has).await?.and_then(|row| row.number(0)) != Some(1) {
            let reason = "this server does not have the transactions that are applied".to_owned();
            return Err(lost(text, reason));
        }
        if position.file.identity == identity {
            return Ok(position);
        }
        tracing::warn!(
            host = client.target.host,
            "following another server of the topology by GTID"
        );
        let file = Arc::new(File {
            identity,
            name: String::new(),
            created: 0,
        });
        // Where undecided XA transactions began is a place of the other server's files: their
        // end will stop the tables.
        return Ok(BinlogPosition::committed(
            file,
            position.offset,
            position.gtids,
        ));
    }
    if position.file.identity != identity {
        let reason = format!(
            "the server is another one (server_id {}{}) than the one it was taken from",
            identity.server_id,
            if identity.uuid.is_empty() {
                String::new()
            } else {
                format!(", {}", identity.uuid)
            },
        );
        return Err(lost(text, reason));
    }
    let logs = client.rows("SHOW BINARY LOGS", Vec::new()).await?;
    let log = logs.iter().find(|row| row.text(0) == position.file.name);
    match log.map(|row| row.number(1)) {
        None => {
            let oldest = logs.first().map(|row| row.text(0)).unwrap_or_default();
            Err(lost(
                text,
                format!("the file was purged; the oldest one is {oldest}"),
            ))
        }
        Some(Some(size)) if size < position.offset => Err(lost(
            text,
            format!("the file has only {size} bytes: the server was restored or reset"),
        )),
        Some(_) => Ok(position),
    }
}

async fn executed(client: &mut Client) -> Result<String, MysqlError> {
    let row = client.row("SELECT @@GLOBAL.gtid_executed").await?;
    Ok(row
        .map(|row| row.text(0).replace(['\n', ' '], ""))
        .unwrap_or_default())
}

/// A position such that everything before it is visible to whoever reads from now on.
async fn now(
    target: &Target,
    client: &mut Client,
    identity: Identity,
) -> Result<BinlogPosition, MysqlError> {
    if client
        .variable("gtid_mode")
        .await?
        .is_some_and(|mode| mode.eq_ignore_ascii_case("on"))
    {
        // First the place: what is committed in between is read again, not passed over.
        let (name, offset) = master_status(target, client).await?;
        // Executed transactions are visible ones.
        let executed = executed(client).await?;
        let set = GtidSet::parse(&executed).ok_or_else(|| MysqlError::Setting {
            host: target.host.clone(),
            problem: "gtid_executed has tagged or too many GTIDs".to_owned(),
            remedy: "commit without tags, or follow a server without them".to_owned(),
        })?;
        let file = Arc::new(File {
            identity,
            name,
            created: 0,
        });
        return Ok(BinlogPosition::committed(file, offset, Some(Arc::new(set))));
    }
    let (name, offset) = if identity.uuid.is_empty() {
        consistent(target, client).await?
    } else if let Some(pair) = log_status(client).await {
        pair
    } else {
        let pair = master_status(target, client).await?;
        tokio::time::sleep(SETTLE).await;
        pair
    };
    let file = Arc::new(File {
        identity,
        name,
        created: 0,
    });
    Ok(BinlogPosition::committed(file, offset, None))
}

/// MariaDB gives the position of a consistent snapshot.
async fn consistent(target: &Target, client: &mut Client) -> Result<(String, u64), MysqlError> {
    client
        .run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    client
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    let rows = client
        .rows("SHOW STATUS LIKE 'binlog_snapshot_%'", Vec::new())
        .await?;
    client.run("COMMIT").await?;
    let value = |name: &str| {
        rows.iter()
            .find(|row| row.text(0).eq_ignore_ascii_case(name))
            .map(|row| row.text(1))
    };
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    match (
        file,
        value("binlog_snapshot_position").and_then(|offset| offset.parse().ok()),
    ) {
        (Some(file), Some(offset)) => Ok((file, offset)),
        _ => master_status(target, client).await,
    }
}

/// MySQL's consistent position, for those who may read it.
async fn log_status(client: &mut Client) -> Option<(String, u64)> {
    let sql = "SELECT JSON_UNQUOTE(JSON_EXTRACT(LOCAL, '$.binary_log_file')), \
               JSON_EXTRACT(LOCAL, '$.binary_log_position') FROM performance_schema.log_status";
    let row = client.row(sql).await.ok()??;
    Some((
        row.maybe(0).filter(|file| !file.is_empty())?,
        row.number(1)?,
    ))
}

/// The end of the binlog.
pub(super) async fn master_status(
    target: &Target,
    client: &mut Client,
) -> Result<(String, u64), MysqlError> {
    let mut row = client.row("SHOW MASTER STATUS").await;
    if matches!(&row, Err(MysqlError::Server { code: 1064, .. })) {
        // MySQL 8.4 has it under its new name only.
        row = client.row("SHOW BINARY LOG STATUS").await;
    }
    let row = row?.ok_or_else(|| MysqlError::Setting {
        host: target.host.clone(),
        problem: "log_bin is off".to_owned(),
        remedy: super::check::LOG_BIN_FIX.to_owned(),
    })?;
    Ok((row.text(0), row.number(1).unwrap_or(4)))
}
