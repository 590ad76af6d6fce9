//! Physical standbys, for tests of promotion.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::postgres::{Postgres, Stop, USER};
use crate::http::eventually;

impl Postgres {
    /// Starts a streaming standby of this server with the same configuration. `name` is that of
    /// its physical slot. Logical slots are not copied by themselves: [`Postgres::carry_slot`].
    ///
    /// # Panics
    /// Where the primary does not run or the copy fails.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        self.sql(&format!(
            "select pg_create_physical_replication_slot('{name}', true)"
        ));
        // The backup lasts as long as the session that began it: the one that is kept.
        self.sql("select pg_backup_start('standby', true)");
        let folder = Folder::new("standby");
        let from = self.folder.path().join("data");
        let data = folder.path().join("data");
        copy(&from, &data);
        copy(
            &from.join("global/pg_control"),
            &data.join("global/pg_control"),
        );
        let label = self.value("select labelfile from pg_backup_stop(false)");
        folder.write(&data.join("backup_label"), &label);
        folder.write(&data.join("standby.signal"), "");
        for file in ["postmaster.pid", "postmaster.opts"] {
            let _ = fs::remove_file(data.join(file));
        }
        for slot in fs::read_dir(data.join("pg_replslot")).expect("every cluster has it") {
            let _ = fs::remove_dir_all(slot.expect("it can be listed").path());
        }
        let (config, programs) = (self.config.clone(), self.programs.clone());
        let certificates = self.certificates.clone();
        let mut standby = Self::adopt(folder, config, programs, certificates);
        standby.configure();
        let password = Self::PASSWORD;
        let port = self.port;
        let primary = format!(
            "host=127.0.0.1 port={port} user={USER} password={password} dbname=postgres application_name={name}"
        );
        standby.set("primary_conninfo", &primary);
        standby.set("primary_slot_name", name);
        standby.set("hot_standby_feedback", "on");
        // What a slot needs that is copied later must still be there then.
        standby.set("wal_keep_size", "1GB");
        standby.run();
        standby
    }

    /// Copies a logical slot's state from the primary into this standby, as cluster managers do
    /// before PostgreSQL 17 and still may. Restarts the standby.
    ///
    /// # Panics
    /// Where there is no such slot.
    pub fn carry_slot(&mut self, primary: &Self, slot: &str) {
        // The state on disk is that of the last checkpoint.
        primary.sql("checkpoint");
        self.stop(Stop::Fast);
        let inside = Path::new("data/pg_replslot").join(slot);
        copy(
            &primary.folder.path().join(&inside),
            &self.folder.path().join(&inside),
        );
        self.run();
    }

    /// Waits until this standby has replayed what `primary` has written.
    ///
    /// # Panics
    /// Where it has not within 30 s.
    pub fn catch_up(&self, primary: &Self) {
        let written = primary.value("select pg_current_wal_lsn()");
        let question = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        eventually("the standby has caught up", Duration::from_secs(30), || {
            (self.value(&question) == "t").then_some(())
        });
    }

    /// Makes this standby a primary, on a new timeline.
    pub fn promote(&self) {
        self.sql("select pg_promote(true)");
        // Writes the new timeline into the control file, where SQL reads it.
        self.sql("checkpoint");
    }
}

/// Copies with owners and times. Files of a running server may vanish meanwhile; what has to be
/// there is needed by the start that follows.
fn copy(from: &Path, to: &Path) {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output();
    assert!(to.exists(), "nothing was copied: {output:?}");
}
