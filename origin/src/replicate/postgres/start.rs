//! The beginning of a connector's life: is this the server, is there a publication, whose slot.

use std::sync::Arc;
use std::time::Duration;

use pgwire_replication::QueryRow;
use tokio_postgres::Client;

use super::catalog;
use super::check::{self, Catalogue, sql_name};
use super::checkpoints::{self, Checkpoints, INTENT, Intent, SLOT, STREAM};
use super::client::{Replication, Server, answer};
use super::error::PgError;
use super::ident::ident;
use super::position::{self, Lsn, PgPosition, ServerState, SlotIdentity};
use super::publication;
use super::tables::Entry;
use crate::replicate::check::{Report, Severity};
use crate::replicate::supervise::SourceContext;

/// First server whose slots can survive a failover.
const FAILOVER_VERSION: i32 = 170_000;
/// While a slot's creation waits for other transactions, it says so this often.
const WAITING_EVERY: Duration = Duration::from_secs(10);

/// Where to begin.
pub struct Start {
    /// Where the stream begins.
    pub position: PgPosition,
    /// The snapshot of a slot that was just created, and the sessions that keep it.
    pub snapshot: Option<Exported>,
}

/// A snapshot that other sessions can take, as long as this lives.
pub struct Exported {
    /// Its name.
    pub name: String,
    /// A session in a transaction that holds the tables' locks and sees the snapshot.
    pub keeper: Client,
    /// The session that exported it, where it is not the keeper.
    _replication: Option<Replication>,
}

/// Refuses what cannot be followed before anything is changed.
///
/// # Errors
///
/// The first thing that does not do, with its remedy.
pub fn demand(catalogue: &Catalogue, server: &Server, entries: &[Entry]) -> Result<(), PgError> {
    let mut report = Report::default();
    check::settings(&catalogue.facts, server, &mut report);
    // A table that was copied and changed since stops alone; the stream knows when.
    let fresh = entries
        .iter()
        .filter(|entry| entry.stopped.is_none() && entry.signature.is_none());
    for entry in fresh {
        check::table(catalogue, &entry.plan, &mut report);
    }
    let live = entries.iter().filter(|entry| entry.stopped.is_none());
    let plans: Vec<_> = live.map(|entry| &entry.plan).collect();
    publication::check(catalogue, server, &plans, &mut report);
    let worst = report
        .findings
        .into_iter()
        .find(|finding| finding.severity == Severity::Error);
    match worst {
        Some(finding) => Err(PgError::Catalogue {
            object: finding.object,
            problem: finding.problem,
            fix: finding.fix.unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

/// Refuses another server than the one that is followed.
///
/// # Errors
///
/// It is another, or takes no replication session.
pub async fn same_server(server: &Server, checkpoints: &Checkpoints) -> Result<(), PgError> {
    let Some(known) = checkpoints.get::<SlotIdentity>(SLOT)? else {
        return Ok(());
    };
    let found = server.connect_replication(Lsn(0)).await?.system.system_id;
    if found == known.system_id {
        return Ok(());
    }
    Err(PgError::OtherServer {
        expected: known.system_id,
        found,
    })
}

/// Creates the publication, or adds the tables it lacks; whether there was anything to do.
///
/// # Errors
///
/// The user may not, or the publication vanished while it was followed.
pub async fn ensure_publication(
    server: &Server,
    client: &Client,
    catalogue: &Catalogue,
    checkpoints: &Checkpoints,
    entries: &[Entry],
) -> Result<bool, PgError> {
    let live = entries.iter().filter(|entry| entry.stopped.is_none());
    let Some(publication) = &catalogue.publication else {
        if checkpoints.bytes(SLOT).is_some() {
            return Err(PgError::PublicationGone {
                publication: server.publication.clone(),
            });
        }
        let mut names: Vec<String> = live.map(|entry| entry.table.clone()).collect();
        names.sort();
        names.dedup();
        let sql = publication::create(&server.publication, &names);
        alter(server, client, &sql).await?;
        tracing::info!(publication = %server.publication, tables = names.len(), "publication created");
        return Ok(true);
    };
    let mut missing = Vec::new();
    for entry in live.filter(|entry| !publication.tables.contains_key(&entry.table)) {
        let name = sql_name(&entry.table);
        if !missing.contains(&name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    let name = ident(&server.publication);
    let sql = format!("ALTER PUBLICATION {name} ADD TABLE {};", missing.join(", "));
    alter(server, client, &sql).await?;
    tracing::info!(publication = %server.publication, tables = missing.join(", "), "tables added to the publication");
    Ok(true)
}

async fn alter(server: &Server, client: &Client, sql: &str) -> Result<(), PgError> {
    client
        .batch_execute(sql)
        .await
        .map_err(|error| match server.error(&error) {
            PgError::Server { code, message } if code == "42501" => PgError::Catalogue {
                object: format!("publication {}", server.publication),
                problem: format!("the user may not change it: {message}"),
                fix: sql.to_owned(),
            },
            error => error,
        })
}

/// Where the stream begins: where the store stands, or a slot that is created now.
///
/// # Errors
///
/// The server is not the one that was followed, its slot is gone, lost, ahead or somebody
/// else's, or none can be created.
pub async fn begin(
    context: &SourceContext,
    server: &Server,
    client: &Client,
    checkpoints: &mut Checkpoints,
    entries: &[Entry],
) -> Result<Start, PgError> {
    let stored = match checkpoints.get::<PgPosition>(STREAM)? {
        Some(position) => Some(position),
        None => {
            let slot = checkpoints.get::<SlotIdentity>(SLOT)?;
            slot.map(|slot| PgPosition::beginning(Arc::new(slot)))
        }
    };
    let Some(stored) = stored else {
        return create(context, server, client, checkpoints, entries).await;
    };
    let mut replication = server.connect_replication(stored.lsn).await?;
    let position = answer(verify(server, client, &mut replication, &stored)).await?;
    Ok(Start {
        position,
        snapshot: None,
    })
}

/// Whether server and slot can continue from `stored`; returns it on the server's timeline.
///
/// # Errors
///
/// They cannot; the error names the way out.
pub async fn verify(
    server: &Server,
    client: &Client,
    replication: &mut Replication,
    stored: &PgPosition,
) -> Result<PgPosition, PgError> {
    let system = &replication.system;
    let mut state = ServerState {
        system_id: system.system_id.clone(),
        timeline: system.timeline,
        end: Lsn(system.xlogpos.as_u64()),
        history: None,
        confirmed: Lsn(0),
    };
    if stored.identity.slot != server.slot {
        return Err(PgError::SlotMissing {
            slot: stored.identity.slot.clone(),
            position: format!("{stored} (the mapping now says {})", server.slot),
        });
    }
    let is_other_timeline = state.timeline != stored.identity.timeline;
    if state.system_id == stored.identity.system_id && is_other_timeline && state.timeline > 1 {
        let history = replication.client.timeline_history(state.timeline).await;
        let place = server.place(&replication.host);
        state.history = Some(
            history
                .map_err(|error| PgError::from_wire(&error, &place))?
                .content
                .to_vec(),
        );
    }
    // Another server is said to be another before its slot is looked for.
    let identity = stored.continue_on(&state)?;
    let slot = catalog::slot(server, client)
        .await?
        .ok_or_else(|| PgError::SlotMissing {
            slot: server.slot.clone(),
            position: stored.to_string(),
        })?;
    if let Some(error) = check::unusable(&slot, server) {
        return Err(error);
    }
    state.confirmed = slot.confirmed;
    stored.continue_on(&state)?;
    if let Some(pid) = slot.active_pid {
        return Err(PgError::SlotBusy {
            slot: server.slot.clone(),
            pid,
        });
    }
    if is_other_timeline {
        tracing::warn!(
            slot = %server.slot, timeline = identity.timeline, before = stored.identity.timeline,
            "the server was promoted; it has the slot and everything that is applied, so it is followed"
        );
    }
    Ok(PgPosition {
        identity,
        ..stored.clone()
    })
}

/// Creates the slot and exports its snapshot.
async fn create(
    context: &SourceContext,
    server: &Server,
    client: &Client,
    checkpoints: &mut Checkpoints,
    entries: &[Entry],
) -> Result<Start, PgError> {
    let mut replication = server.connect_replication(Lsn(0)).await?;
    let system_id = replication.system.system_id.clone();
    answer(clear_way(server, client, checkpoints, &system_id)).await?;
    let intent = Intent {
        system_id: system_id.clone(),
        slot: server.slot.clone(),
        at: Lsn(replication.system.xlogpos.as_u64()),
    };
    let moved = checkpoints.change(INTENT, Some(position::encode(&intent)));
    checkpoints::commit(context, checkpoints, vec![moved], None).await?;
    // Before the slot exists, so that no table is rewritten between its snapshot and the copy:
    // a rewrite is not in the stream, and older snapshots see the table empty.
    let keeper = answer(keep_tables(server, entries)).await?;
    let facts = answer(catalog::facts(server, client)).await?;
    let options = if facts.version_num >= FAILOVER_VERSION && !facts.is_replica {
        "(SNAPSHOT 'export', FAILOVER true)"
    } else {
        "EXPORT_SNAPSHOT"
    };
    let sql = format!(
        "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {options}",
        server.slot
    );
    let rows = creating(server, client, &mut replication, &sql).await?;
    let [row] = rows.as_slice() else {
        return Err(PgError::Protocol(
            "CREATE_REPLICATION_SLOT gave no row".to_owned(),
        ));
    };
    let text = |index: usize| {
        let value = row.get(index).and_then(Option::as_ref);
        value
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    };
    let wrong = |()| PgError::Protocol(format!("a slot's position is {:?}", text(1)));
    let identity = SlotIdentity {
        system_id,
        timeline: replication.system.timeline,
        slot: server.slot.clone(),
        created: text(1).parse().map_err(wrong)?,
    };
    let moves = vec![
        checkpoints.change(SLOT, Some(position::encode(&identity))),
        checkpoints.change(INTENT, None),
    ];
    checkpoints::commit(context, checkpoints, moves, None).await?;
    tracing::info!(slot = %server.slot, position = %identity.created, "replication slot created");
    let name = text(2);
    let sql = format!("SET TRANSACTION SNAPSHOT '{}'", name.replace('\'', "''"));
    let taking = keeper.batch_execute(&sql);
    answer(async { taking.await.map_err(|error| server.error(&error)) }).await?;
    Ok(Start {
        position: PgPosition::beginning(Arc::new(identity)),
        snapshot: Some(Exported {
            name,
            keeper,
            _replication: Some(replication),
        }),
    })
}

/// Waits for the creation, which waits for every running transaction.
async fn creating(
    server: &Server,
    client: &Client,
    replication: &mut Replication,
    sql: &str,
) -> Result<Vec<QueryRow>, PgError> {
    let place = server.place(&replication.host);
    let mut creating = Box::pin(replication.client.simple_query(sql));
    loop {
        match tokio::time::timeout(WAITING_EVERY, &mut creating).await {
            Ok(rows) => return rows.map_err(|error| PgError::from_wire(&error, &place)),
            Err(_) => {
                // It may take as long as those transactions, but the server has to be there.
                let prepared = answer(catalog::prepared(server, client)).await?;
                tracing::warn!(
                    slot = %server.slot,
                    "the slot's creation waits for running transactions to end; see \
                     SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start"
                );
                if !prepared.is_empty() {
                    tracing::warn!(
                        slot = %server.slot, prepared = prepared.join(", "),
                        "it waits for prepared transactions too, which are in pg_prepared_xacts \
                         instead: end each in its database by COMMIT PREPARED or ROLLBACK PREPARED"
                    );
                }
            }
        }
    }
}

/// No slot of this name may exist; one that a life of ours created and never used is dropped.
async fn clear_way(
    server: &Server,
    client: &Client,
    checkpoints: &Checkpoints,
    system_id: &str,
) -> Result<(), PgError> {
    let Some(slot) = catalog::slot(server, client).await? else {
        return Ok(());
    };
    if let Some(error @ PgError::SlotForeign { .. }) = check::unusable(&slot, server) {
        return Err(error);
    }
    let foreign = |reason: &str| PgError::SlotForeign {
        slot: server.slot.clone(),
        reason: reason.to_owned(),
    };
    let intent = checkpoints.get::<Intent>(INTENT)?;
    let Some(intent) = intent.filter(|intent| intent.slot == server.slot) else {
        return Err(foreign("the store knows nothing of it"));
    };
    if intent.system_id != system_id || slot.confirmed < intent.at {
        return Err(foreign("it is not the one that was being created"));
    }
    if let Some(pid) = slot.active_pid {
        return Err(PgError::SlotBusy {
            slot: server.slot.clone(),
            pid,
        });
    }
    let dropped = client
        .execute("SELECT pg_drop_replication_slot($1)", &[&server.slot])
        .await;
    dropped.map_err(|error| server.error(&error))?;
    tracing::info!(slot = %server.slot, "a slot whose creation was interrupted was dropped");
    Ok(())
}

/// A session in a transaction that keeps the tables from being rewritten or dropped.
async fn keep_tables(server: &Server, entries: &[Entry]) -> Result<Client, PgError> {
    let keeper = server.connect().await?;
    let live = entries.iter().filter(|entry| entry.stopped.is_none());
    let mut names: Vec<String> = live.map(|entry| sql_name(&entry.table)).collect();
    names.sort();
    names.dedup();
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {} IN ACCESS SHARE MODE",
        names.join(", ")
    );
    keeper
        .batch_execute(&sql)
        .await
        .map_err(|error| server.error(&error))?;
    Ok(keeper)
}

/// A snapshot of now, for the rest of a copy that was interrupted or for tables that were added,
/// and where the server's log ended after it was taken.
///
/// # Errors
///
/// The session failed.
pub async fn export(server: &Server, entries: &[Entry]) -> Result<(Exported, Lsn), PgError> {
    let keeper = answer(keep_tables(server, entries)).await?;
    let sql = "SELECT pg_export_snapshot(), CASE WHEN pg_is_in_recovery()
        THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text";
    let asking = keeper.query_one(sql, &[]);
    let row = answer(async { Ok(asking.await) }).await?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get::<_, String>(1)?));
    let (name, end) = row
        .and_then(|row| read(&row))
        .map_err(|error| server.error(&error))?;
    let wrong = |()| PgError::Protocol(format!("the log's end is {end:?}"));
    let end = end.parse().map_err(wrong)?;
    Ok((
        Exported {
            name,
            keeper,
            _replication: None,
        },
        end,
    ))
}
