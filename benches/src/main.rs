//! The harness behind `cargo xtask bench`: a table a section, with method and machine.

mod http_load;
mod machine;
mod peer_facts;
mod sections;
mod table;
mod workerd;

use anyhow::Result;
use clap::Parser;

use crate::table::Table;

/// Measures Edgewise, beside peers where there are any.
#[derive(Parser)]
struct Options {
    /// Sections: ranking, bundle, edge, cache, ingest, rows, import, load, drain, memory, copy,
    /// mariadb, freshness; all where absent. `chaos` (an hour) runs only where it is named.
    sections: Vec<String>,
    /// Write each section's table into docs/performance.md.
    #[arg(long)]
    save: bool,
    /// Fail where a bar is missed.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let named = |name: &str| options.sections.iter().any(|section| section == name);
    let known = || sections::ALL.iter().chain(&sections::LONG);
    for section in &options.sections {
        if !known().any(|(name, _)| name == section) {
            let names: Vec<&str> = known().map(|(name, _)| *name).collect();
            anyhow::bail!("no section {section:?}: there are {}", names.join(", "));
        }
    }
    let machine = machine::describe()?;
    let mut missed = 0;
    for (name, section) in known() {
        let is_long = sections::LONG.iter().any(|(long, _)| long == name);
        if named(name) || options.sections.is_empty() && !is_long {
            eprintln!("bench: {name}");
            let mut table = Table::default();
            section(&mut table)?;
            let text = format!("**{name}**, {machine}\n\n{}", table.to_markdown());
            println!("{text}");
            if options.save {
                table::save(name, &text)?;
            }
            missed += table.missed();
        }
    }
    if options.strict {
        anyhow::ensure!(missed == 0, "{missed} bars were missed");
    }
    Ok(())
}
