//! Ranking natively, in V8 and in wasmtime, from the same code, beside LightGBM, lleaves and
//! ONNX Runtime on the same rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edgewise_workloads::input::Input;
use edgewise_workloads::{BATCHES, Work, Workload};
use serde_json::Value;

use super::training::{COLUMNS, Model, ROWS, output, personal_model, plain_model, python};
use super::wasmtime_us::wasmtime_us;
use super::{ROUNDS, native_us};
use crate::table::Table;
use crate::workerd::{node, root, target};

/// Rounds of everything, so that peers meet the same noise; medians count.
const REPEATS: usize = 3;
const METHOD: &str = "median of 3 runs of 60 rounds (peers 15) over 40 rotating batches, 1 thread, in turn; ours reads columns, peers rows, as each has them";

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let small = plain_model(folder.path(), 100, 31)?;
    let large = plain_model(folder.path(), 300, 63)?;
    let personal = personal_model(folder.path())?;
    trees(table, &small)?;
    beyond_32_leaves(table, &large)?;
    formula(table)?;
    for (rows, bar_us) in [(500, 800.0), (900, 1_400.0)] {
        whole_page(table, &personal, rows, bar_us)?;
    }
    loading(table, &small)?;
    module(table)
}

fn trees(table: &mut Table, model: &Model) -> Result<()> {
    let what = "trees 100 x 31, 30 features, 500 rows";
    let mut times = Times::default();
    for _ in 0..REPEATS {
        times.ours(Work::Trees, ROWS, model)?;
        let mut peers = python()?;
        peers.arg("time").arg(&model.rows);
        peers
            .args([COLUMNS.to_string(), ROWS.to_string()])
            .arg(&model.text);
        let answer: Value = serde_json::from_slice(&output(&mut peers)?)?;
        for (name, times) in &mut times.peers {
            times.extend(answer[*name].as_f64());
        }
    }
    let [native, v8, wasmtime] = times.medians();
    let [lightgbm, lleaves, onnx] = times.peer_medians()?;
    let met = native <= 160.0 && lightgbm / native >= 15.0 && lleaves / native >= 4.0;
    let bar = table.bar("160 µs, 15 x LightGBM, 4 x lleaves", met);
    table.row(
        format!("{what}, native"),
        format!("{native:.0} µs"),
        format!(
            "LightGBM 4.7 predict {lightgbm:.0} µs ({:.1} x), lleaves {lleaves:.0} µs ({:.1} x), ONNX Runtime {onnx:.0} µs ({:.1} x); {bar}",
            lightgbm / native,
            lleaves / native,
            onnx / native
        ),
        METHOD,
    );
    let fastest = lightgbm.min(lleaves).min(onnx);
    let met = v8 <= 320.0 && v8 < fastest && wasmtime < fastest;
    let bar = table.bar("320 µs in V8; faster than every native peer", met);
    table.row(
        format!("{what}, WASM"),
        format!("V8 {v8:.0} µs, wasmtime {wasmtime:.0} µs"),
        format!(
            "fastest native peer / V8 {:.1}, / wasmtime {:.1}; {bar}",
            fastest / v8,
            fastest / wasmtime
        ),
        METHOD,
    );
    Ok(())
}

fn beyond_32_leaves(table: &mut Table, model: &Model) -> Result<()> {
    let (mut ours, mut naive) = (Times::default(), Times::default());
    for _ in 0..REPEATS {
        ours.ours(Work::Trees, ROWS, model)?;
        naive.ours(Work::NaiveTrees, ROWS, model)?;
    }
    let [native, v8, wasmtime] = ours.medians();
    let [naive_native, naive_v8, _] = naive.medians();
    let bar = table.bar("3 x naive in V8", naive_v8 / v8 >= 3.0);
    table.row(
        "trees 300 x 63, 30 features, 500 rows",
        format!("V8 {v8:.0} µs, native {native:.0} µs, wasmtime {wasmtime:.0} µs"),
        format!(
            "naive traversal of the same crate: V8 {naive_v8:.0} µs ({:.1} x), native {naive_native:.0} µs ({:.1} x); {bar}",
            naive_v8 / v8,
            naive_native / native
        ),
        METHOD,
    );
    Ok(())
}

fn formula(table: &mut Table) -> Result<()> {
    for (work, what, bar_us) in [
        (
            Work::Score,
            "formula profile, 900 candidates, best 20 by score",
            Some(60.0),
        ),
        (
            Work::Rank,
            "formula profile, 900 candidates, page of 20 with caps, variety, explore slots",
            None,
        ),
    ] {
        let mut times = Times::default();
        for _ in 0..REPEATS {
            times.bundles(work, 900)?;
        }
        let [native, v8, wasmtime] = times.medians();
        let bar = match bar_us {
            Some(bar_us) => table.bar(&format!("{bar_us} µs in V8"), v8 <= bar_us),
            None => String::new(),
        };
        let result = format!("V8 {v8:.0} µs, native {native:.0} µs, wasmtime {wasmtime:.0} µs");
        table.row(what, result, bar, METHOD);
    }
    Ok(())
}

fn whole_page(table: &mut Table, model: &Model, rows: usize, bar_us: f64) -> Result<()> {
    let mut times = Times::default();
    for _ in 0..REPEATS {
        times.ours(Work::Personal, rows, model)?;
    }
    let [native, v8, wasmtime] = times.medians();
    let bar = table.bar(&format!("{bar_us} µs in V8"), v8 <= bar_us);
    table.row(
        format!("whole personal ranking, {rows} candidates: decompress, decode, features, trees 100 x 31, blend, selection with MMR, 20 items as JSON"),
        format!("V8 {v8:.0} µs, native {native:.0} µs, wasmtime {wasmtime:.0} µs"),
        bar,
        METHOD,
    );
    Ok(())
}

fn loading(table: &mut Table, model: &Model) -> Result<()> {
    let mut times = Times::default();
    for _ in 0..REPEATS {
        times.ours(Work::Load, ROWS, model)?;
    }
    let [native, v8, _] = times.medians();
    let bytes = model.input.snapshot.len();
    let bar = table.bar("120 KB, 3 ms in V8", bytes < 120_000 && v8 < 3_000.0);
    table.row(
        "model of 100 x 31: snapshot, loaded (decoded and laid out)",
        format!(
            "{:.1} KB, V8 {:.2} ms, native {:.2} ms",
            bytes as f64 / 1e3,
            v8 / 1e3,
            native / 1e3
        ),
        bar,
        METHOD,
    );
    Ok(())
}

fn module(table: &mut Table) -> Result<()> {
    let wasm = fs::read(root().join("edge/worker/build/edge.wasm")).context("edge.wasm")?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &wasm)?;
    let gzip = gzip.finish()?.len();
    let bar = table.bar(
        "250 KB, 95 KB gzip",
        wasm.len() <= 250_000 && gzip <= 95_000,
    );
    table.row(
        "edge.wasm",
        format!(
            "{:.1} KB, {:.1} KB gzip",
            wasm.len() as f64 / 1e3,
            gzip as f64 / 1e3
        ),
        bar,
        "after wasm-opt; gzip -9",
    );
    Ok(())
}

/// Times of a workload by engine, µs.
#[derive(Default)]
struct Times {
    native: Vec<f64>,
    v8: Vec<f64>,
    wasmtime: Vec<f64>,
    peers: [(&'static str, Vec<f64>); 3],
}

impl Times {
    fn ours(&mut self, work: Work, rows: usize, model: &Model) -> Result<()> {
        self.peers = ["lightgbm", "lleaves", "onnxruntime"].map(|name| {
            (
                name,
                self.peers
                    .iter()
                    .find(|peer| peer.0 == name)
                    .map_or_else(Vec::new, |peer| peer.1.clone()),
            )
        });
        self.engines(work, rows, &model.input, Some(&model.path))
    }

    fn bundles(&mut self, work: Work, rows: usize) -> Result<()> {
        self.engines(work, rows, &Input::default(), None)
    }

    /// One run of each engine, whose results must agree.
    fn engines(
        &mut self,
        work: Work,
        rows: usize,
        input: &Input,
        path: Option<&Path>,
    ) -> Result<()> {
        let workload = Workload::new(work, rows, input);
        self.native.push(native_us(|index| workload.run(index)));
        let check = (0..BATCHES).fold(0, |sum, index| {
            sum ^ workload.run(index).wrapping_add(index as u64)
        });
        let (v8, there) = v8_us(work, rows, path)?;
        ensure!(there == check, "V8 and native results differ for {work:?}");
        self.v8.push(v8);
        let (wasmtime, there) = wasmtime_us(work, rows, input)?;
        ensure!(
            there == check,
            "wasmtime and native results differ for {work:?}"
        );
        self.wasmtime.push(wasmtime);
        Ok(())
    }

    fn medians(&self) -> [f64; 3] {
        [&self.native, &self.v8, &self.wasmtime].map(|times| median(times))
    }

    fn peer_medians(&self) -> Result<[f64; 3]> {
        for (name, times) in &self.peers {
            ensure!(!times.is_empty(), "{name} was not timed");
        }
        Ok([0, 1, 2].map(|peer| median(&self.peers[peer].1)))
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// One run in V8: µs and the digest of the results.
pub(super) fn v8_us(work: Work, rows: usize, input: Option<&Path>) -> Result<(f64, u64)> {
    let mut v8 = Command::new(node());
    v8.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/js/v8.mjs"))
        .arg(workloads());
    v8.args([
        (work as u32).to_string(),
        rows.to_string(),
        ROUNDS.to_string(),
    ]);
    v8.args(input);
    let answer: Value = serde_json::from_slice(&output(&mut v8)?)?;
    let check = answer["check"].as_str().context("no check")?.parse()?;
    Ok((answer["median_us"].as_f64().context("no median")?, check))
}

/// The workloads built for WASM.
pub(super) fn workloads() -> PathBuf {
    target().join("wasm32-unknown-unknown/wasm/edgewise_workloads.wasm")
}

/// One row: a workload on bundles natively and in V8.
pub(super) fn compare(table: &mut Table, what: &str, work: Work, rows: usize) -> Result<()> {
    let mut times = Times::default();
    times.bundles(work, rows)?;
    let [native, v8, _] = times.medians();
    table.row(
        what,
        format!("native {native:.1} µs, V8 {v8:.1} µs"),
        format!("V8 / native {:.2}, equal results", v8 / native),
        "median of 60 rounds over 40 rotating batches, 1 thread",
    );
    Ok(())
}
