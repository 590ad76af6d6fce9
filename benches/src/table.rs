//! The table that a run prints, and its sections in docs/performance.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What stands over every section's rows.
const HEAD: &str = "| what | result | beside | method |\n|---|---|---|---|\n";

/// Before it sections are added that docs/performance.md did not have.
const AFTER_SECTIONS: &str = "## Reading it";

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
        let mut text = String::from(HEAD);
        for row in &self.rows {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        text
    }
}

/// Puts `text` where docs/performance.md has the section's last run; other sections stay.
pub(crate) fn save(section: &str, text: &str) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("benches lie in the root")?;
    let path = root.join("docs/performance.md");
    let page = fs::read_to_string(&path).context("docs/performance.md is missing")?;
    fs::write(path, replaced(&page, section, text)?)?;
    Ok(())
}

/// The page with the section's block replaced, or added after the last one.
fn replaced(page: &str, section: &str, text: &str) -> Result<String> {
    let (start, end) = (
        format!("<!-- bench {section} -->"),
        format!("<!-- /bench {section} -->"),
    );
    let block = format!("{start}\n{text}\n{end}");
    if let Some((before, rest)) = page.split_once(&start) {
        let (_, after) = rest.split_once(&end).context("a section has no end")?;
        return Ok(format!("{before}{block}{after}"));
    }
    let (before, after) = page
        .split_once(AFTER_SECTIONS)
        .with_context(|| format!("docs/performance.md has no {AFTER_SECTIONS:?}"))?;
    Ok(format!("{before}{block}\n\n{AFTER_SECTIONS}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_last_run() {
        let page = "a\n## Reading it\nb";
        let page = replaced(page, "x", "1").expect("added");
        let page = replaced(&page, "y", "2").expect("added");
        let page = replaced(&page, "x", "3").expect("replaced");
        assert_eq!(
            page,
            "a\n<!-- bench x -->\n3\n<!-- /bench x -->\n\n\
             <!-- bench y -->\n2\n<!-- /bench y -->\n\n## Reading it\nb"
        );
        assert!(replaced("<!-- bench x -->", "x", "1").is_err());
        assert!(replaced("no place", "x", "1").is_err());
    }
}
