//! `edgewise replicate`, `dead-letter` and `reconcile`: by themselves, or through the process
//! that has the store open.

mod alone;
mod compare;
mod inspect;
mod letters;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::config::Mapping;
use super::following::{FollowCommand, Overview};
use super::load::{self, Overrides, Urls};
use super::status::Phase;
use crate::cli::environment;
use crate::cli::replicate::{
    DEFAULT_MAPPING, DeadLetterArgs, ReconcileArgs, ReplicateAction, ReplicateArgs, SourceArgs,
};
use crate::commands::{Access, access, ask, open, say};
use crate::config::Config;
use crate::serve::Running;
use crate::terminal::lines;

/// Time between two looks at a server that follows.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// `edgewise replicate …`
///
/// # Errors
///
/// A sentence for the operator.
pub fn replicate(config: &Config, args: &ReplicateArgs) -> anyhow::Result<()> {
    match &args.action {
        None => follow(config, &args.source),
        Some(ReplicateAction::Check { json }) => inspect::check(config, &args.source, *json),
        Some(ReplicateAction::Init { print }) => inspect::init(config, &args.source, *print),
        Some(ReplicateAction::Status { json }) => inspect::status(config, &args.source, *json),
        Some(ReplicateAction::Resync { table, yes }) => {
            inspect::resync(config, &args.source, table.as_deref(), *yes)
        }
    }
}

/// `edgewise dead-letter …`
///
/// # Errors
///
/// A sentence for the operator.
pub fn dead_letter(config: &Config, args: &DeadLetterArgs) -> anyhow::Result<()> {
    letters::run(config, args)
}

/// `edgewise reconcile …`
///
/// # Errors
///
/// A sentence for the operator.
pub fn reconcile(config: &Config, args: &ReconcileArgs) -> anyhow::Result<()> {
    compare::run(config, args)
}

/// Where the mapping file is.
fn mapping_path(config: &Config, source: &SourceArgs) -> PathBuf {
    let configured = || config.replicate.mapping.clone();
    let named = source.mapping.clone().or_else(configured);
    named.unwrap_or_else(|| PathBuf::from(DEFAULT_MAPPING))
}

/// What goes over the mapping file.
fn overrides(source: &SourceArgs) -> Overrides {
    Overrides {
        source: source.source.clone(),
        urls: Urls::of(environment()),
    }
}

fn mapping(config: &Config, source: &SourceArgs) -> anyhow::Result<Mapping> {
    Ok(load::load(
        &mapping_path(config, source),
        &overrides(source),
    )?)
}

/// One runtime of a command that connects.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("edgewise-replicate")
        .enable_all()
        .build()
        .context("the system gives no more threads")
}

/// Follows in this process, or tells the one that has the store open to follow.
fn follow(config: &Config, source: &SourceArgs) -> anyhow::Result<()> {
    // Refused here, where the operator looks, even if a server is to read it.
    let mapping = mapping(config, source)?;
    match access(config, open)? {
        Access::Store(store) => alone::run(config, store, mapping),
        Access::Server(running) => {
            let path = std::path::absolute(mapping_path(config, source))?;
            follow_at(&running, &path, &overrides(source))
        }
    }
}

/// What a server is told about the mapping.
fn asked(mapping: &Path, overrides: &Overrides) -> FollowCommand {
    FollowCommand {
        mapping: mapping.to_owned(),
        source: overrides.source.clone(),
        urls: overrides.urls.0.clone(),
    }
}

/// Tells a server to follow and shows how it does until interrupted; the server goes on.
fn follow_at(running: &Running, mapping: &Path, overrides: &Overrides) -> anyhow::Result<()> {
    let body = serde_json::to_value(asked(mapping, overrides))?;
    let answer = ask(running, "POST", "/admin/v1/replicate", Some(&body))?;
    let names: Vec<&str> = answer["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();
    say(&format!(
        "process {} follows {} from now on; Ctrl-C ends only what is shown here",
        running.pid,
        names.join(", ")
    ))?;
    let mut shown = String::new();
    loop {
        let overview = overview_at(running)?;
        let now = render(&overview);
        if now != shown {
            say(&lines(&now))?;
            shown = now;
        }
        let mut asked = overview
            .sources
            .iter()
            .filter(|source| names.contains(&source.source.as_str()))
            .peekable();
        if asked.peek().is_some() && asked.all(|source| source.phase == Phase::Failed) {
            bail!("nothing is followed any more; do what the remedy says, then start again");
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn overview_at(running: &Running) -> anyhow::Result<Overview> {
    let answer = ask(running, "GET", "/admin/v1/replicate", None)?;
    serde_json::from_value(answer).context("the server's answer is of another version")
}

/// An overview for people.
fn render(overview: &Overview) -> String {
    let mut lines: Vec<String> = overview.sources.iter().map(ToString::to_string).collect();
    if overview.sources.is_empty() {
        lines.push("no source is followed".to_owned());
    }
    lines.extend(overview.drifts.iter().map(ToString::to_string));
    if overview.dead_letters > 0 {
        let letters = overview.dead_letters;
        lines.push(format!(
            "{letters} refused rows; `edgewise dead-letter list` says why"
        ));
    }
    lines.join("\n")
}
