//! The harness behind `cargo xtask bench`: one table, with method and machine.

mod http_load;
mod machine;
mod sections;
mod table;
mod workerd;

use anyhow::Result;
use clap::Parser;

use crate::table::Table;

/// Measures Edgewise, beside peers where there are any.
#[derive(Parser)]
struct Options {
    /// Sections: ranking, bundle, edge, ingest, import, load; all where absent.
    sections: Vec<String>,
    /// Write the table into docs/performance.md.
    #[arg(long)]
    save: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let wanted = |name: &str| {
        options.sections.is_empty() || options.sections.iter().any(|section| section == name)
    };
    for section in &options.sections {
        if !sections::ALL.iter().any(|(name, _)| name == section) {
            let names: Vec<&str> = sections::ALL.iter().map(|(name, _)| *name).collect();
            anyhow::bail!("no section {section:?}: there are {}", names.join(", "));
        }
    }
    let mut table = Table::default();
    for (name, section) in sections::ALL {
        if wanted(name) {
            eprintln!("bench: {name}");
            section(&mut table)?;
        }
    }
    let text = format!("{}\n\n{}", machine::describe()?, table.to_markdown());
    println!("{text}");
    if options.save {
        table::save(&text)?;
    }
    Ok(())
}
