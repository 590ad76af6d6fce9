//! Events a second into the durable store, over HTTP.

use std::time::Duration;

use anyhow::Result;

use crate::http_load;
use crate::table::Table;
use crate::workerd::{ADMIN_TOKEN, Server, origin};

/// How long each shape of load runs, s.
const SECONDS: f64 = 6.0;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    for (connections, batch) in [(1, 500), (16, 50), (64, 1)] {
        let dir = tempfile::tempdir()?;
        let server = origin(dir.path(), &[])?;
        shape(table, &server, connections, batch)?;
    }
    Ok(())
}

fn shape(table: &mut Table, server: &Server, connections: usize, batch: usize) -> Result<()> {
    let cpu = server.cpu_s()?;
    let outcome = http_load::run(
        &server.address,
        connections,
        SECONDS,
        Duration::ZERO,
        |connection, n| {
            let body = events(connection, n, batch);
            http_load::post(&server.address, "/internal/v1/events", ADMIN_TOKEN, &body)
        },
    )?;
    let events = (outcome.latencies_ms.len() * batch) as f64;
    let cpu_us = (server.cpu_s()? - cpu) * 1e6 / events;
    table.row(
        format!("durable ingest, {connections} connections x {batch} events"),
        format!(
            "{:.0} events/s, {cpu_us:.1} CPU µs an event, P95 {:.1} ms, {} errors",
            events / outcome.elapsed.as_secs_f64(),
            outcome.percentile(95.0),
            outcome.errors
        ),
        "level: 1,000 events/s on one core",
        "POST /internal/v1/events, every answer after its commit was flushed",
    );
    Ok(())
}

/// A mix of events of many users on many items, ids never repeated.
fn events(connection: usize, n: usize, batch: usize) -> String {
    const KINDS: [&str; 8] = [
        "impression",
        "impression",
        "impression",
        "view",
        "view",
        "click",
        "like",
        "comment",
    ];
    let rows: Vec<String> = (0..batch)
        .map(|row| {
            let k = (n * batch + row).wrapping_mul(2_654_435_761) ^ connection;
            format!(
                r#"{{"id":"{connection}-{n}-{row}","type":"{}","user":"u{}","item":"i{}","watch_ms":9000,"duration_ms":10000}}"#,
                KINDS[k % 8],
                k / 8 % 5_000,
                k / 40_000 % 2_000,
            )
        })
        .collect();
    format!(r#"{{"events":[{}]}}"#, rows.join(","))
}
