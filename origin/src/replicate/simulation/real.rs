//! The real store under the same schedules.

use super::row::{Rows, key_of, name, slots_of};
use super::store::{Ledger, aggregates};
use crate::ingest::Command;
use crate::ingest::rows::{RowBatch, SourceCommand};
use crate::ingest::testing::Rig;
use crate::replicate::apply::machine::Finished;
use crate::store::read;

/// The source of every batch.
const SOURCE: &str = "simulated";

pub(super) struct Real(Rig);

impl Real {
    pub(super) fn new() -> Self {
        let rig = Rig::new();
        let tables = ["views->events", "posts->items"]
            .map(str::to_owned)
            .to_vec();
        let source = SOURCE.to_owned();
        rig.write(Command::Source(SourceCommand::Register { source, tables }));
        let numbered = read::tables(&*rig.read(), SOURCE).unwrap();
        for (table, (id, _)) in numbered.iter().enumerate() {
            let (expected, _) = key_of(slots_of(table).start);
            assert_eq!(*id, expected);
        }
        Self(rig)
    }

    fn differences(&self, rows: &Rows) -> Vec<String> {
        let snapshot = self.0.read();
        let mut differences = Vec::new();
        let events = slots_of(0);
        let mut counted = [None; super::row::SLOTS];
        counted[events.clone()].copy_from_slice(&rows[events]);
        for (item, (count, _)) in aggregates(&counted).into_iter().enumerate() {
            let stored = read::item(&*snapshot, &name(b'i', item)).unwrap();
            let views = stored.map_or(0, |stored| stored.counters.views);
            if i64::from(views) != count {
                differences.push(format!("item {item}: {views} views, SQL says {count}"));
            }
        }
        for slot in slots_of(1) {
            let stored = read::item(&*snapshot, &name(b'p', slot)).unwrap();
            let stored = stored
                .filter(|stored| stored.deleted_at_ms.is_none())
                .and_then(|stored| stored.item)
                .map(|item| (item.title.clone(), item.duration_ms));
            let row = rows[slot];
            let row = row.map(|row| (name(b't', row.title as usize).to_string(), Some(row.value)));
            if stored != row {
                differences.push(format!("post {slot}: {stored:?}, the source has {row:?}"));
            }
        }
        differences
    }
}

impl Ledger for Real {
    fn commit(&mut self, batch: &RowBatch) -> (Finished, u32) {
        let outcome = self.0.write(Command::Rows(Box::new(batch.clone())));
        let how = match (outcome.conflict, outcome.more) {
            (true, _) => Finished::Conflict,
            (false, true) => Finished::More,
            (false, false) => Finished::Durable,
        };
        (how, outcome.dead)
    }

    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        read::checkpoint(&*self.0.read(), SOURCE, name).unwrap()
    }

    fn hash(&self) -> Option<u64> {
        None
    }

    fn compare(&self, rows: &Rows) -> Result<(), String> {
        self.0.check();
        let differences = self.differences(rows);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences.join("\n"))
        }
    }
}
