//! Takes the slot away from the server, before a source is copied anew.

use std::time::Duration;

use super::catalog;
use super::checkpoints::{SLOT, STREAM};
use super::client::Server;
use super::error::PgError;
use super::position::{self, Lsn, PgPosition, SlotIdentity};
use crate::replicate::config::SourceConfig;
use crate::store::{Store, read};

/// A follower that was just stopped may hold the slot for so many further looks.
const LOOKS_MAX: u32 = 10;
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Drops the source's slot where this store created it; says what became of it. `None` where the
/// store knows of no slot.
pub async fn drop_slot(config: &SourceConfig, store: &dyn Store) -> Option<String> {
    let (ours, position) = match ours(config, store) {
        Ok(known) => known?,
        Err(error) => {
            return Some(format!(
                "the slot was left alone: {}",
                super::error::chain(&error)
            ));
        }
    };
    let said = match drop_ours(config, &ours, position).await {
        Ok(said) => said,
        Err(error) => format!(
            "slot {slot} was not dropped ({error}); do it by hand: SELECT pg_drop_replication_slot('{slot}');",
            slot = ours.slot,
            error = super::error::chain(&error),
        ),
    };
    Some(said)
}

/// The slot that the store knows of, and where the store stands.
fn ours(config: &SourceConfig, store: &dyn Store) -> Result<Option<(SlotIdentity, Lsn)>, PgError> {
    let snapshot = store.read()?;
    let Some(bytes) = read::checkpoint(&*snapshot, &config.name, SLOT)? else {
        return Ok(None);
    };
    let identity: SlotIdentity = position::decode(SLOT, &bytes)?;
    let stored = read::checkpoint(&*snapshot, &config.name, STREAM)?;
    let stored = stored.map(|bytes| position::decode::<PgPosition>(STREAM, &bytes));
    let position = stored.transpose()?.map_or(identity.created, |at| at.lsn);
    Ok(Some((identity, position)))
}

/// The server does not tell when a slot was made: one that is ahead of the store is that of a
/// store that was restored, or of another that made it anew under the same name.
fn dropped_words(slot: &str, confirmed: Lsn, position: Lsn) -> String {
    if confirmed <= position {
        return format!("slot {slot} was dropped");
    }
    format!(
        "slot {slot} was dropped; it was at {confirmed}, ahead of this store at {position}: unless \
         a backup was restored, another data directory follows with it; give each its own `slot` \
         and resync that one too"
    )
}

async fn drop_ours(
    config: &SourceConfig,
    ours: &SlotIdentity,
    position: Lsn,
) -> Result<String, PgError> {
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
            return Ok(dropped_words(&ours.slot, slot.confirmed, position));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_may_be_anothers_is_said_to_be_gone_with_its_place() {
        let said = dropped_words("big", Lsn(5), Lsn(5));
        assert_eq!(said, "slot big was dropped");
        let said = dropped_words("big", Lsn(9), Lsn(5));
        assert!(
            said.contains("at 0/9, ahead of this store at 0/5"),
            "{said}"
        );
        assert!(said.contains("another data directory"), "{said}");
    }
}
