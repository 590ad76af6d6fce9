//! Ranking natively and in V8, from the same code.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use edgewise_workloads::{BATCHES, Work, Workload};

use super::{ROUNDS, native_us};
use crate::table::Table;
use crate::workerd::{node, target};

pub(crate) fn run(table: &mut Table) -> Result<()> {
    for (work, name) in [(Work::Rank, "page of 20"), (Work::Score, "score order")] {
        for rows in [200, 900] {
            compare(
                table,
                &format!("rank {rows} candidates, {name}"),
                work,
                rows,
            )?;
        }
    }
    Ok(())
}

/// One row: a workload natively and in V8, whose results must agree.
pub(super) fn compare(table: &mut Table, what: &str, work: Work, rows: usize) -> Result<()> {
    let workload = Workload::new(work, rows);
    let native = native_us(|index| workload.run(index));
    let wasm = target().join("wasm32-unknown-unknown/wasm/edgewise_workloads.wasm");
    let output = Command::new(node())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/js/v8.mjs"))
        .arg(wasm)
        .args([
            (work as u32).to_string(),
            rows.to_string(),
            ROUNDS.to_string(),
        ])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let v8 = answer["median_us"].as_f64().context("no median")?;
    let check = (0..BATCHES).fold(0, |sum, index| {
        sum ^ workload.run(index).wrapping_add(index as u64)
    });
    ensure!(
        answer["check"].as_str() == Some(check.to_string().as_str()),
        "V8 and native results differ for {what}"
    );
    table.row(
        what,
        format!("native {native:.1} µs, V8 {v8:.1} µs"),
        format!("V8 / native {:.2}, equal results", v8 / native),
        "median of 60 rounds over 40 rotating batches, 1 thread",
    );
    Ok(())
}
