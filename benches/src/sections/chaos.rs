//! A thousand crashes: exactness, not speed.

use std::time::Instant;

use anyhow::Result;
use edgewise_tests::chaos::{Plan, run as run_chaos};
use edgewise_tests::servers::{Postgres, PostgresConfig, Version};
use edgewise_tests::shop::Database;

use crate::table::Table;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let seed = std::env::var("EDGEWISE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let config = PostgresConfig::new(Version::Pg15);
    let Some(server) = Postgres::start_with(config) else {
        return Ok(());
    };
    let plan = Plan {
        seed,
        kills: 1_000,
        restarts: 200,
        cuts: 200,
        rows: 60_000,
        compare_every: 40,
        copy_every: 2,
    };
    let started = Instant::now();
    let done = run_chaos(&plan, Database::Postgres(server));
    table.row(
        format!(
            "{} kills, {} server restarts, {} cut or stalled connections (seed {seed})",
            done.kills, done.restarts, done.cuts
        ),
        format!(
            "{} comparisons of every aggregate with SQL, all equal; {} kills during first copies; {} transactions",
            done.comparisons, done.kills_in_copy, done.transactions
        ),
        "bar: all equal",
        format!(
            "PostgreSQL 15 behind a fault proxy, 3 writers, {:.0} min",
            started.elapsed().as_secs_f64() / 60.0
        ),
    );
    Ok(())
}
