//! A warm edge under workerd, beside a plain JavaScript Worker with the same answers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edgewise_ranking::Feature;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::HotList;
use serde_json::{Value, json};

use super::site::{Site, wall_ms};
use crate::http_load;
use crate::table::Table;
use crate::workerd::{ADMIN_TOKEN, Server, edge, root, worker};

const FEED: &str = "/api/v1/feed?user=u1&selection=none";
const TRENDING: &str = "/api/v1/hot/trending?window=24h";
/// Pairs of runs; the median of each side counts.
const PAIRS: usize = 5;
/// Length of one run, s.
const SECONDS: f64 = 2.0;
/// Connections: enough to keep one workerd thread busy.
const CONNECTIONS: usize = 16;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    // The replay clock all but stands still, so that both sides rank for the same moment.
    let now = wall_ms().to_string();
    let site = Site::start(20, &["--now", &now, "--speed", "0.000000001"])?;
    let ours = edge(site.dir.path(), &site.origin.url())?;
    warm(&ours)?;
    let peer = peer(&site, &ours)?;
    same_answers(&ours, &peer)?;
    let candidates = body(&ours, FEED)?["candidates"]
        .as_u64()
        .context("candidates")?;
    for (path, what) in [
        (
            FEED,
            format!("personal feed, {candidates} candidates ranked"),
        ),
        (TRENDING, String::from("trending list")),
    ] {
        measure(table, &what, path, &ours, &peer)?;
    }
    let diverse = single(&ours, "/api/v1/feed?user=u1")?;
    table.row(
        "personal feed with caps, variety and explore slots on workerd",
        format!("{:.0} requests/s, {:.0} CPU µs", diverse.0, diverse.1),
        "",
        "as above",
    );
    Ok(())
}

fn measure(table: &mut Table, what: &str, path: &str, ours: &Server, peer: &Server) -> Result<()> {
    let (mut our_rates, mut our_cpu, mut peer_rates, mut peer_cpu) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    for _ in 0..PAIRS {
        let (rate, cpu) = single(ours, path)?;
        our_rates.push(rate);
        our_cpu.push(cpu);
        let (rate, cpu) = single(peer, path)?;
        peer_rates.push(rate);
        peer_cpu.push(cpu);
    }
    let [our_rate, our_cpu, peer_rate, peer_cpu] =
        [our_rates, our_cpu, peer_rates, peer_cpu].map(median);
    table.row(
        format!("{what}, on workerd"),
        format!("{our_rate:.0} requests/s, {our_cpu:.0} CPU µs"),
        format!(
            "plain JS Worker, same bytes: {peer_rate:.0} requests/s, {peer_cpu:.0} CPU µs (ours {:.2} of its CPU)",
            our_cpu / peer_cpu
        ),
        format!("workerd itself, {CONNECTIONS} connections, median of {PAIRS} pairs of {SECONDS} s"),
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Requests a second and CPU µs a request.
fn single(server: &Server, path: &str) -> Result<(f64, f64)> {
    let cpu = server.cpu_s()?;
    let outcome = http_load::run(
        &server.address,
        CONNECTIONS,
        SECONDS,
        Duration::ZERO,
        |_, _| http_load::get(&server.address, path),
    )?;
    ensure!(outcome.errors == 0, "{} errors", outcome.errors);
    let cpu_us = (server.cpu_s()? - cpu) * 1e6 / outcome.latencies_ms.len() as f64;
    Ok((outcome.rate(), cpu_us))
}

fn body(server: &Server, path: &str) -> Result<Value> {
    let text = ureq::get(format!("{}{path}", server.url()))
        .call()?
        .body_mut()
        .read_to_string()?;
    Ok(serde_json::from_str(&text)?)
}

fn warm(ours: &Server) -> Result<()> {
    for _ in 0..50 {
        if body(ours, FEED)?["rung"] == "personal" && body(ours, TRENDING)?["rung"] == "hot" {
            std::thread::sleep(Duration::from_millis(1_500));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the edge did not warm up")
}

fn internal(site: &Site, path: &str) -> Result<Vec<u8>> {
    let url = format!("{}{path}", site.origin.url());
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    Ok(ureq::get(url)
        .header("authorization", bearer)
        .call()?
        .body_mut()
        .read_to_vec()?)
}

/// The plain JavaScript Worker, with the facts that the edge holds.
fn peer(site: &Site, ours: &Server) -> Result<Server> {
    let bundle = Bundle::decode(&internal(site, "/internal/v1/candidates/u1")?)?;
    let hot = HotList::decode(&internal(site, "/internal/v1/lists/hot?window=24h")?)?;
    let feed = body(ours, FEED)?;
    let trending = body(ours, TRENDING)?;
    let mut rest = feed.as_object().context("a feed")?.clone();
    rest.remove("request_id");
    rest.remove("items");
    let facts = json!({
        "now_ms": domain_ms(site)?,
        "candidates": candidates(&bundle),
        "rest": rest,
        "hot": hot.items.iter().map(|item| json!({
            "id": item.id, "author": item.author, "sum": item.hot.sum, "at_ms": item.hot.at_ms,
        })).collect::<Vec<_>>(),
        "half_life_minutes": 360.0,
        "generated_at": trending["generated_at"],
    });
    let folder = site.dir.path().join("peer-source");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("site.json"), facts.to_string())?;
    for file in ["peer", "libm"] {
        let source = root().join("benches/js").join(file).with_extension("mjs");
        fs::copy(source, folder.join(file).with_extension("js"))?;
    }
    worker(site.dir.path(), "peer", &folder, "peer.js", &[])
}

fn domain_ms(site: &Site) -> Result<i64> {
    let overlay =
        edgewise_wire::overlay::Overlay::decode(&internal(site, "/internal/v1/overlay")?)?;
    Ok(overlay.clock.domain_ms(wall_ms()))
}

fn candidates(bundle: &Bundle) -> Vec<Value> {
    let rows = &bundle.candidates;
    (0..rows.len())
        .map(|row| {
            let number = |feature| rows.feature(row, feature).unwrap_or(0.0);
            json!({
                "id": rows.ids.get(row),
                "author": rows.authors.get(rows.author[row] as usize),
                "created_at": rows.created_at_ms[row],
                "kind": rows.kind[row].name(),
                "sources": rows.sources[row].names().collect::<Vec<_>>(),
                "likes": number(Feature::Likes),
                "comments": number(Feature::Comments),
                "shares": number(Feature::Shares),
                "impressions": number(Feature::Impressions),
                "interactions": number(Feature::Interactions),
            })
        })
        .collect()
}

/// Both sides give the same bytes, request id and tokens aside.
fn same_answers(ours: &Server, peer: &Server) -> Result<()> {
    for path in [FEED, TRENDING] {
        let (mut here, mut there) = (body(ours, path)?, body(peer, path)?);
        for answer in [&mut here, &mut there] {
            for token in ["request_id", "next_cursor", "session"] {
                answer.as_object_mut().context("an object")?.remove(token);
            }
        }
        ensure!(here == there, "{path}: {here}\nbut the peer: {there}");
    }
    Ok(())
}
