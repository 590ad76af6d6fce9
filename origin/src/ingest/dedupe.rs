//! An event id, and a served place, counts once for 48 h: how long it is remembered, and how it is forgotten.

use std::ops::ControlFlow;

use super::Written;
use super::cells::Cells;
use crate::store::log::{EventOrigin, LogEntry, LogRecord};
use crate::store::record::{DedupeRecord, Record};
use crate::store::{Range, Snapshot, StoreError, Table, keys};

/// How long an event id is remembered, ms of wall **and** of domain time since its receipt:
/// 48 h, as old as events may be, and 10 minutes for clocks and queues.
pub const REMEMBERED_MS: i64 = (48 * 60 + 10) * 60_000;

/// Log records looked at in a commit, beside two for each event it counted.
const FORGOTTEN_MIN: u64 = 256;

/// Whether what was received at `then` no longer counts as a duplicate at `now`.
pub(crate) fn is_forgotten(then: Written, now: Written) -> bool {
    now.wall_ms.saturating_sub(then.wall_ms) > REMEMBERED_MS
        && now.domain_ms.saturating_sub(then.domain_ms) > REMEMBERED_MS
}

/// Removes forgotten ids in log order from record `from` on; returns where to go on.
/// The work is bounded: a commit that logs `counted` events and served places forgets at least
/// as many.
pub(super) fn forget(
    stored: &dyn Snapshot,
    dedupe: &mut Cells<16, DedupeRecord>,
    from: u64,
    now: Written,
    counted: u64,
) -> Result<u64, StoreError> {
    let most = FORGOTTEN_MIN + 2 * counted;
    let range = Range::between(
        &keys::number(from),
        &keys::number(from.saturating_add(most)),
    );
    let mut next = from;
    let mut old = Vec::new();
    stored.scan(Table::Log, &range, &mut |_, value| {
        if !is_forgotten(LogRecord::received(value)?, now) {
            return Ok(ControlFlow::Break(()));
        }
        let record = LogRecord::decode(Table::Log, value)?;
        match record.entry {
            LogEntry::Event(event) => {
                if let EventOrigin::Id { id, .. } = event.origin {
                    old.push((next, id));
                }
            }
            LogEntry::Served(served) => old.push((next, served.id())),
            _ => {}
        }
        next += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    for (seq, id) in old {
        let key = id.to_be_bytes();
        // The id may have counted again since.
        if dedupe
            .get(stored, key)?
            .is_some_and(|record| record.seq == seq)
        {
            dedupe.remove(stored, key)?;
        }
    }
    Ok(next)
}
