//! Takes the slot away from the server, before a source is copied anew.

use std::time::Duration;

use super::catalog;
use super::checkpoints::SLOT;
use super::client::Server;
use super::error::PgError;
use super::position::{self, Lsn, SlotIdentity};
use crate::replicate::config::SourceConfig;
use crate::store::{Store, read};

/// A follower that was just stopped may hold the slot for so many further looks.
const LOOKS_MAX: u32 = 10;
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Drops the source's slot where this store created it; says what became of it. `None` where the
/// store knows of no slot.
pub async fn drop_slot(config: &SourceConfig, store: &dyn Store) -> Option<String> {
    let ours = match ours(config, store) {
        Ok(identity) => identity?,
        Err(error) => {
            return Some(format!(
                "the slot was left alone: {}",
                super::error::chain(&error)
            ));
        }
    };
    let said = match drop_ours(config, &ours).await {
        Ok(said) => said,
        Err(error) => format!(
            "slot {slot} was not dropped ({error}); do it by hand: SELECT pg_drop_replication_slot('{slot}');",
            slot = ours.slot,
            error = super::error::chain(&error),
        ),
    };
    Some(said)
}

fn ours(config: &SourceConfig, store: &dyn Store) -> Result<Option<SlotIdentity>, PgError> {
    let snapshot = store.read()?;
    let bytes = read::checkpoint(&*snapshot, &config.name, SLOT)?;
    bytes
        .map(|bytes| position::decode(SLOT, &bytes))
        .transpose()
}

async fn drop_ours(config: &SourceConfig, ours: &SlotIdentity) -> Result<String, PgError> {
    let config = SourceConfig {
        slot: Some(ours.slot.clone()),
        ..config.clone()
    };
    let server = Server::new(&config)?;
    let found = server.connect_replication(Lsn(0)).await?.system.system_id;
    if found != ours.system_id {
        let expected = ours.system_id.clone();
        return Err(PgError::OtherServer { expected, found });
    }
    let client = server.connect().await?;
    for _ in 0..LOOKS_MAX {
        let Some(slot) = catalog::slot(&server, &client).await? else {
            return Ok(format!("slot {} was gone already", ours.slot));
        };
        if slot.active_pid.is_none() {
            let dropped = client
                .execute("SELECT pg_drop_replication_slot($1)", &[&ours.slot])
                .await;
            dropped.map_err(|error| server.error(&error))?;
            return Ok(format!("slot {} was dropped", ours.slot));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    let pid = catalog::slot(&server, &client)
        .await?
        .and_then(|slot| slot.active_pid);
    Err(PgError::SlotBusy {
        slot: ours.slot.clone(),
        pid: pid.unwrap_or_default(),
    })
}
