//! `edgewise dead-letter list | replay | drop`.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::super::dead_letter::{self, Listed, Replayed, Selection};
use super::super::following::ReplayCommand;
use super::super::load::{Overrides, Urls};
use super::{asked, mapping_path};
use crate::cli::environment;
use crate::cli::replicate::{DeadLetterAction, DeadLetterArgs, LetterArgs, SelectArgs, SourceArgs};
use crate::commands::{Access, access, ask, encoded, open_existing, say, start_writer};
use crate::config::Config;
use crate::store::Store;
use crate::terminal::line;

pub(super) fn run(config: &Config, args: &DeadLetterArgs) -> anyhow::Result<()> {
    match &args.action {
        DeadLetterAction::List {
            letters,
            limit,
            from,
            json,
        } => {
            let found = list(config, &selection(letters, &[]), *from, *limit)?;
            print(&found, *json)
        }
        DeadLetterAction::Replay { which, mapping } => {
            let source = SourceArgs {
                source: None,
                mapping: mapping.clone(),
            };
            replay(config, &source, &chosen(which)?)
        }
        DeadLetterAction::Drop { which } => drop_letters(config, &chosen(which)?),
    }
}

fn selection(letters: &LetterArgs, seq: &[u64]) -> Selection {
    Selection {
        seq: seq.to_vec(),
        source: letters.source.clone(),
        table: letters.table.clone(),
        reason: letters.reason.clone(),
    }
}

/// Everything only where it is asked for.
fn chosen(which: &SelectArgs) -> anyhow::Result<Selection> {
    let selection = selection(&which.letters, &which.seq);
    ensure!(
        which.all != (selection != Selection::default()),
        "say which: numbers, --source, --table or --reason; or --all alone for every one"
    );
    Ok(selection)
}

fn list(
    config: &Config,
    selection: &Selection,
    from: u64,
    limit: usize,
) -> anyhow::Result<Vec<Listed>> {
    match access(config, open_existing)? {
        Access::Store(store) => Ok(dead_letter::list(&store, selection, from, limit)?),
        Access::Server(running) => {
            let mut path = format!("/admin/v1/dead-letters?from={from}&limit={limit}");
            for (name, text) in [
                ("source", &selection.source),
                ("table", &selection.table),
                ("reason", &selection.reason),
            ] {
                if let Some(text) = text {
                    path.push_str(&format!("&{name}={}", encoded(text)));
                }
            }
            let mut answer = ask(&running, "GET", &path, None)?;
            serde_json::from_value(answer["dead_letters"].take())
                .context("the server's answer is of another version")
        }
    }
}

fn print(found: &[Listed], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for listed in found {
        let letter = &listed.letter;
        if json {
            writeln!(out, "{}", serde_json::to_string(listed)?)?;
        } else {
            writeln!(
                out,
                "{}  {}  {}  {}  {}  at {}",
                listed.seq,
                crate::time::format(letter.at_ms),
                line(&letter.table),
                line(&letter.key),
                line(&letter.reason),
                line(&letter.position)
            )?;
        }
    }
    if found.is_empty() && !json {
        writeln!(out, "no refused rows")?;
    }
    Ok(())
}

fn replay(config: &Config, source: &SourceArgs, letters: &Selection) -> anyhow::Result<()> {
    let overrides = Overrides {
        source: None,
        urls: Urls::of(environment()),
    };
    let path = std::path::absolute(mapping_path(config, source))?;
    let command = asked(&path, &overrides);
    let done = match access(config, open_existing)? {
        Access::Store(store) => {
            let mapping = command.load()?;
            let store: Arc<dyn Store> = Arc::new(store);
            let writer = start_writer(config, Arc::clone(&store))?;
            let done = dead_letter::replay(&*store, &writer, &mapping, letters);
            writer.stop();
            done?
        }
        Access::Server(running) => {
            let body = serde_json::to_value(ReplayCommand {
                mapping: command,
                letters: letters.clone(),
            })?;
            let answer = ask(
                &running,
                "POST",
                "/admin/v1/dead-letters/replay",
                Some(&body),
            )?;
            serde_json::from_value::<Replayed>(answer)
                .context("the server's answer is of another version")?
        }
    };
    for (seq, reason) in &done.kept {
        say(&format!("{seq} stays: {}", line(reason)))?;
    }
    say(&format!(
        "{} rows count now, {} have nothing to count, {} stay refused",
        done.applied, done.removed, done.kept_count
    ))
}

fn drop_letters(config: &Config, letters: &Selection) -> anyhow::Result<()> {
    let dropped = match access(config, open_existing)? {
        Access::Store(store) => {
            let store: Arc<dyn Store> = Arc::new(store);
            let writer = start_writer(config, Arc::clone(&store))?;
            let dropped = dead_letter::drop_letters(&*store, &writer, letters);
            writer.stop();
            Value::from(dropped?)
        }
        Access::Server(running) => {
            let body = serde_json::to_value(letters)?;
            let path = "/admin/v1/dead-letters/drop";
            ask(&running, "POST", path, Some(&body))?["dropped"].take()
        }
    };
    say(&format!("{dropped} dead letters dropped"))
}
