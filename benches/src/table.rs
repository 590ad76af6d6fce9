//! The one table that a run prints.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the table goes in docs/performance.md.
const MARKERS: (&str, &str) = ("<!-- bench -->", "<!-- /bench -->");

/// Rows of what, result, beside what, how.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
    missed: usize,
}

impl Table {
    /// Adds a row: what was measured, the result, the peer or bar beside it, how.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        result: impl Into<String>,
        beside: impl Into<String>,
        method: impl Into<String>,
    ) {
        let row = [what.into(), result.into(), beside.into(), method.into()];
        eprintln!("bench:   {}: {}", row[0], row[1]);
        self.rows.push(row);
    }

    /// What stands beside a result that has to reach `bar`.
    pub(crate) fn bar(&mut self, bar: &str, is_met: bool) -> String {
        if is_met {
            return format!("bar: {bar}");
        }
        self.missed += 1;
        format!("bar: {bar}, **missed**")
    }

    /// Bars that were not reached.
    pub(crate) fn missed(&self) -> usize {
        self.missed
    }

    /// The table in Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("| what | result | beside | method |\n|---|---|---|---|\n");
        for row in &self.rows {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        text
    }
}

/// Puts `text` between the markers of docs/performance.md.
pub(crate) fn save(text: &str) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("benches lie in the root")?;
    let path = root.join("docs/performance.md");
    let page = fs::read_to_string(&path).context("docs/performance.md is missing")?;
    let (before, rest) = page.split_once(MARKERS.0).context("no start marker")?;
    let (_, after) = rest.split_once(MARKERS.1).context("no end marker")?;
    fs::write(
        path,
        format!("{before}{}\n{text}\n{}{after}", MARKERS.0, MARKERS.1),
    )?;
    Ok(())
}
