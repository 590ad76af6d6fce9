//! Fifty rounds of the chaos bench; `cargo xtask bench chaos` runs all of them.

use edgewise_tests::chaos::{Plan, run};
use edgewise_tests::servers::{MariaDb, Postgres, Version};
use edgewise_tests::shop::Database;

#[test]
fn postgres_counts_stay_exact_through_kills_restarts_and_cuts() {
    let Some(server) = Postgres::start(Version::Pg15) else {
        return;
    };
    let plan = Plan {
        seed: 1,
        kills: 35,
        restarts: 5,
        cuts: 10,
        rows: 30_000,
        compare_every: 13,
        copy_every: 1,
    };
    let done = run(&plan, Database::Postgres(server));
    assert_eq!((done.kills, done.restarts, done.cuts), (35, 5, 10));
    assert!(done.comparisons >= 4 && done.transactions > 500, "{done:?}");
    assert!(
        done.kills_in_copy > 0,
        "no first copy was interrupted: {done:?}"
    );
}

#[test]
fn mariadb_counts_stay_exact_through_kills_restarts_and_cuts() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let plan = Plan {
        seed: 2,
        kills: 8,
        restarts: 2,
        cuts: 4,
        rows: 20_000,
        compare_every: 7,
        copy_every: 1,
    };
    let done = run(&plan, Database::MariaDb(server));
    assert_eq!((done.kills, done.restarts, done.cuts), (8, 2, 4));
    assert!(done.comparisons >= 2 && done.transactions > 100, "{done:?}");
}
