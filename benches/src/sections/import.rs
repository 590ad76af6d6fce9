//! Import of the KuaiRand excerpt.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::table::Table;
use crate::workerd::{root, target};

/// Rows of the excerpt.
const ROWS: f64 = 185_061.0;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let data = std::env::var_os("EDGEWISE_KUAIRAND")
        .map_or_else(|| root().join("../shared/data/kuairand"), PathBuf::from);
    if !data.join("impressions.parquet").exists() {
        eprintln!("skipped: no KuaiRand excerpt (say where with EDGEWISE_KUAIRAND)");
        return Ok(());
    }
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let dir = tempfile::tempdir()?;
        let started = Instant::now();
        let output = Command::new(target().join("release/edgewise"))
            .args(["import", "--format", "kuairand", "--data"])
            .arg(dir.path())
            .arg(&data)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let bar = table.bar("30 s", seconds[1] < 30.0);
    table.row(
        "import of 185,061 KuaiRand rows",
        format!("{:.1} s, {:.0} rows/s", seconds[1], ROWS / seconds[1]),
        bar,
        "median of 3, a fresh store each, durable",
    );
    Ok(())
}
