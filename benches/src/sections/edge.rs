//! A warm edge under workerd, beside a plain JavaScript Worker with the same answers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edgewise_serving::Prepared;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::HotList;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::Overlay;
use edgewise_workloads::personal;
use serde_json::{Number, Value, json};

use super::site::{Site, wall_ms};
use super::training::{Model, personal_model};
use crate::http_load;
use crate::peer_facts::feed_facts;
use crate::table::Table;
use crate::workerd::{ADMIN_TOKEN, Server, edge, root, worker};

const FEED: &str = "/api/v1/feed";
const USER: &str = "u1";
const TRENDING: &str = "/api/v1/hot/trending?window=24h";
/// Pages of the feed that are compared, each with its own explore draws.
const PAGES: usize = 40;
/// Pairs of runs; the median of each side counts.
const PAIRS: usize = 5;
/// Length of one run, s.
const SECONDS: f64 = 2.0;
/// Connections: enough to keep one workerd thread busy.
const CONNECTIONS: usize = 16;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let model = personal_model(folder.path())?;
    let config = configuration(folder.path(), &model)?;
    // The replay clock all but stands still, so that both sides rank for the same moment.
    let now = wall_ms().to_string();
    let site = Site::start(
        20,
        &["--config", &config, "--now", &now, "--speed", "0.000000001"],
    )?;
    let ours = edge(site.dir.path(), &site.origin.url())?;
    warm(&ours)?;
    let peer = peer(&site, &ours, &model, "bit_rows")?;
    same_answers(&ours, &peer)?;
    let quickscorer = self::peer(&site, &ours, &model, "quickscorer")?;
    same_answers(&ours, &quickscorer)?;
    let candidates = body(&ours, &feed())?["candidates"]
        .as_u64()
        .context("candidates")?;
    let pair = measure(&feed(), &ours, &peer)?;
    let met = pair.ratio() >= 3.0 && pair.our_cpu <= 1_200.0;
    let bar = table.bar("3 x requests/s, 1.2 ms CPU", met);
    let what = format!(
        "personal feed on workerd, warm, {candidates} candidates: features, trees 100 x 31, blend, selection with MMR, 20 items as JSON"
    );
    pair.row(table, what, &format!("; {bar}"));
    let pair = measure(&feed(), &ours, &quickscorer)?;
    let what = "the same, beside a JS Worker whose trees are a QuickScorer a row at a time";
    pair.row(table, what.to_owned(), "");
    let pair = measure(TRENDING, &ours, &peer)?;
    let bar = table.bar("1.15 of its CPU", pair.our_cpu <= 1.15 * pair.peer_cpu);
    pair.row(
        table,
        String::from("trending list on workerd, warm"),
        &format!("; {bar}"),
    );
    Ok(())
}

fn feed() -> String {
    format!("{FEED}?user={USER}")
}

/// Writes the origin's configuration: the bench's ranking configuration and its model.
fn configuration(folder: &Path, model: &Model) -> Result<String> {
    let ranking = folder.join("ranking.json");
    fs::write(&ranking, personal::config().to_json())?;
    let path = folder.join("edgewise.toml");
    let [config, click] = [&ranking, &model.text].map(|path| path.display());
    let text = format!("[ranking]\nconfig = '{config}'\n[ranking.heads]\nclick = '{click}'\n");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Medians of both sides: requests a second and CPU µs a request.
struct Pair {
    our_rate: f64,
    our_cpu: f64,
    peer_rate: f64,
    peer_cpu: f64,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.our_rate / self.peer_rate
    }

    fn row(&self, table: &mut Table, what: String, bar: &str) {
        let Self {
            our_rate,
            our_cpu,
            peer_rate,
            peer_cpu,
        } = self;
        table.row(
            what,
            format!("{our_rate:.0} requests/s, {our_cpu:.0} CPU µs"),
            format!(
                "plain JS Worker, same bytes: {peer_rate:.0} requests/s, {peer_cpu:.0} CPU µs (ours {:.2} x requests/s){bar}",
                self.ratio()
            ),
            format!("workerd itself, {CONNECTIONS} connections, median of {PAIRS} pairs of {SECONDS} s"),
        );
    }
}

fn measure(path: &str, ours: &Server, peer: &Server) -> Result<Pair> {
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
    Ok(Pair {
        our_rate,
        our_cpu,
        peer_rate,
        peer_cpu,
    })
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
        let page = body(ours, &feed())?;
        let has_trees = page["model"]
            .as_str()
            .is_some_and(|model| model.starts_with("trees-"));
        let is_personal = page["rung"] == "personal" && page.get("fallback").is_none();
        if is_personal && has_trees && body(ours, TRENDING)?["rung"] == "hot" {
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
///
/// `trees` names how it evaluates them: `bit_rows`, our algorithm, or `quickscorer`.
fn peer(site: &Site, ours: &Server, model: &Model, trees: &str) -> Result<Server> {
    let path = format!("/internal/v1/candidates/{USER}");
    let mut bundle = Bundle::decode(&internal(site, &path)?)?;
    let hot = HotList::decode(&internal(site, "/internal/v1/lists/hot?window=24h")?)?;
    let overlay = Overlay::decode(&internal(site, "/internal/v1/overlay")?)?;
    let heads = ModelSnapshot::decode(&model.input.snapshot)?.heads;
    let mut answer = body(ours, &feed())?;
    answer.as_object_mut().context("a feed")?.remove("items");
    let config = personal::config();
    let prior = overlay.completion_prior;
    // The edge has merged the overlay before it is warm; the peer is given the result.
    bundle.candidates = Prepared::new(bundle.clone())
        .current(Some(&overlay), &config)
        .clone();
    let mut feed = feed_facts(&bundle, &heads, &config, Some(USER), prior);
    feed["trees"] = trees.into();
    let facts = json!({
        "now_ms": answer["now_ms"],
        "feed": feed,
        "answer": answer,
        "hot": hot.items.iter().map(|item| json!({
            "id": item.id, "author": item.author, "sum": item.hot.sum, "at_ms": item.hot.at_ms,
        })).collect::<Vec<_>>(),
        "half_life_minutes": 360.0,
        "generated_at": body(ours, TRENDING)?["generated_at"],
    });
    let folder = site.dir.path().join(format!("{trees}-source"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("site.json"), facts.to_string())?;
    for file in fs::read_dir(root().join("benches/js/peer"))? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    worker(site.dir.path(), trees, &folder, "worker.mjs", &[])
}

/// Both sides give the same answers, tokens aside: every field, item, place and score.
fn same_answers(ours: &Server, peer: &Server) -> Result<()> {
    for _ in 0..PAGES {
        let here = body(ours, &feed())?;
        let request = here["request_id"].as_str().context("a request id")?;
        same(here.clone(), body(peer, &format!("{FEED}/{request}"))?)?;
    }
    same(body(ours, TRENDING)?, body(peer, TRENDING)?)
}

fn same(mut here: Value, mut there: Value) -> Result<()> {
    for answer in [&mut here, &mut there] {
        for token in ["next_cursor", "session"] {
            answer.as_object_mut().context("an object")?.remove(token);
        }
        as_floats(answer);
    }
    ensure!(here == there, "{here}\nbut the peer: {there}");
    Ok(())
}

/// Makes floats of all numbers: JavaScript writes 1.0 as 1.
fn as_floats(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(as_floats),
        Value::Object(fields) => fields.values_mut().for_each(as_floats),
        _ => {}
    }
}
