//! How far behind a source is said to be while one change of it takes long.

use edgewise_tests::servers::{Postgres, PostgresConfig, Version};
use edgewise_tests::shop::{Dialect, Operator, Settled, mapping};

const PG: Dialect = Dialect::Postgres;
const EVENTS: u64 = 200_000;

/// Thousands of rows are taken back by one statement, in many commits.
#[test]
fn a_large_truncation_is_behind_until_its_last_row_is_taken_back() {
    let config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    server.sql("create database lag");
    let mut session = server.connect("lag");
    session.sql("set time zone 'UTC'");
    PG.fill(&mut session, EVENTS);
    let mut operator = Operator::following(&mapping(PG, &server.url("lag"), ""), &[]);
    operator.catch_up(PG, &mut session);
    let taken_back =
        |operator: &Operator| operator.metric_sum("edgewise_replicate_cleared_rows_total", "shop");
    session.sql("truncate interactions");
    // The gauges are set every second.
    let (mut oldest, mut lag, mut bytes, mut said) = (0.0_f64, 0.0_f64, 0.0_f64, 0);
    operator.wait("the rows are taken back", |status| {
        let of = |name| operator.metric_sum(name, "shop");
        if taken_back(&operator) > 0.0 {
            oldest = oldest.max(of("edgewise_replicate_oldest_unapplied_seconds"));
            lag = lag.max(of("edgewise_replicate_lag_seconds"));
            bytes = bytes.max(of("edgewise_replicate_lag_bytes"));
            said = said.max(status["lag_bytes"].as_u64().unwrap_or(0));
        }
        (taken_back(&operator) >= EVENTS as f64).then_some(())
    });
    assert!(oldest > 0.0 && lag > 0.0, "oldest {oldest} s, lag {lag} s");
    assert!(
        bytes > 0.0 && said > 0,
        "{bytes} bytes, {said} in the status"
    );
    operator.catch_up(PG, &mut session);
    assert_eq!(taken_back(&operator), EVENTS as f64);
    operator.exact(PG, &mut session, Settled::InOrder);
}
