//! The service levels of the design: 100 users, feed 3 : filtered feed 1 : health 1.

use std::time::Duration;

use anyhow::Result;

use super::site::Site;
use crate::http_load::{self, Outcome};
use crate::table::Table;
use crate::workerd::edge;

/// Users, one connection each.
const USERS: usize = 100;
/// Time between an answer and the user's next request.
const PAUSE: Duration = Duration::from_millis(100);
/// Length of a run, s.
const SECONDS: f64 = 15.0;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let site = Site::start(USERS, &[])?;
    let worker = edge(site.dir.path(), &site.origin.url())?;

    let cold = load(&site.origin.address, 8, 3.0, Duration::ZERO, |user, n| {
        format!("/api/v1/feed?user=u{}", (user * 13 + n) % USERS)
    })?;
    row(
        table,
        "feed at the origin, bundles built on demand",
        &cold,
        "level: P95 < 100 ms",
    );
    let suggested = load(&site.origin.address, 8, 3.0, Duration::ZERO, |user, n| {
        format!(
            "/api/v1/discover/suggested-users?user=u{}",
            (user * 13 + n) % USERS
        )
    })?;
    row(
        table,
        "suggested users at the origin",
        &suggested,
        "level: P95 < 100 ms",
    );

    // One request a user warms the isolate; what is measured is a warm edge.
    load(&worker.address, USERS, 2.0, Duration::from_millis(500), mix)?;
    let feed = load(&worker.address, USERS, SECONDS, PAUSE, mix)?;
    let levels = "level: P50 < 10 ms, P95 < 30 ms, errors < 0.05 %";
    row(
        table,
        "edge, feed 3 : filtered feed 1 : health 1, 100 users",
        &feed,
        levels,
    );
    let trending = load(&worker.address, USERS, 5.0, PAUSE, |_, _| {
        String::from("/api/v1/hot/trending?window=24h")
    })?;
    row(
        table,
        "edge, trending hit, 100 users",
        &trending,
        "level: P95 < 20 ms",
    );
    let mib = site.origin.peak_mib()?;
    table.row(
        "peak memory after the load",
        format!("origin {mib:.0} MiB, workerd {:.0} MiB", worker.peak_mib()?),
        "level: < 2 GiB a process",
        "VmHWM",
    );
    Ok(())
}

fn mix(user: usize, n: usize) -> String {
    match (user + n) % 5 {
        0..3 => format!("/api/v1/feed?user=u{user}"),
        3 => format!("/api/v1/feed?user=u{user}&tag=topic{}", n % 10),
        _ => String::from("/healthz"),
    }
}

fn load(
    address: &str,
    connections: usize,
    seconds: f64,
    pause: Duration,
    path: impl Fn(usize, usize) -> String + Sync,
) -> Result<Outcome> {
    http_load::run(address, connections, seconds, pause, |user, n| {
        http_load::get(address, &path(user, n))
    })
}

fn row(table: &mut Table, what: &str, outcome: &Outcome, level: &str) {
    let latencies: Vec<String> = [50.0, 75.0, 90.0, 95.0, 99.0]
        .iter()
        .map(|&percent| format!("P{percent:.0} {:.1}", outcome.percentile(percent)))
        .collect();
    let answers = outcome.latencies_ms.len().max(1);
    table.row(
        what,
        format!(
            "{} ms; {:.0} requests/s; errors {:.3} %",
            latencies.join(", "),
            outcome.rate(),
            outcome.errors as f64 * 100.0 / answers as f64
        ),
        level,
        "closed loop, keep-alive, load on the same machine",
    );
}
