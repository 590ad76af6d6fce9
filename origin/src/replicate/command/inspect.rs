//! `replicate check | init | status | resync`.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use super::super::check::Report;
use super::super::config::SourceConfig;
use super::super::following::{Following, Overview, ResyncCommand};
use super::super::load::{Overrides, check_url};
use super::super::mapping::TablePlan;
use super::super::resync::{Resynced, affected};
use super::super::{connect, init as guessing};
use super::{asked, mapping, mapping_path, overrides, overview_at, render, runtime};
use crate::cli::replicate::SourceArgs;
use crate::commands::{Access, access, ask, open_existing, say, start_writer};
use crate::config::Config;
use crate::store::{Store, read};

/// `edgewise replicate check`
pub(super) fn check(config: &Config, source: &SourceArgs, json: bool) -> anyhow::Result<()> {
    let mapping = mapping(config, source)?;
    let mut report = Report::default();
    let runtime = runtime()?;
    for source in &mapping.sources {
        report.merge(runtime.block_on(check_source(source)));
    }
    if json {
        say(&serde_json::to_string_pretty(&report)?)?;
    } else {
        say(&report.to_string())?;
    }
    ensure!(!report.has_errors(), "following could not start");
    Ok(())
}

/// First what the mapping file alone tells, then what the source does.
async fn check_source(source: &SourceConfig) -> Report {
    let mut report = Report::default();
    let mut plans = Vec::new();
    for table in &source.tables {
        match TablePlan::compile(table) {
            Ok(plan) => plans.push(plan),
            Err(error) => {
                let object = format!("table {}", table.entry_name());
                report.error(object, error.to_string(), "correct the mapping file");
            }
        }
    }
    report.merge(connect::check(source, &plans).await);
    report
}

/// `edgewise replicate init`
pub(super) fn init(config: &Config, source: &SourceArgs, print: bool) -> anyhow::Result<()> {
    let Overrides { source: url, urls } = overrides(source);
    let url = url.filter(|url| url.contains("://"));
    let url = url.or_else(|| urls.0.get("MAIN").cloned()).context(
        "say where the database is: --source URL, or EDGEWISE_SOURCE_MAIN__URL with its password",
    )?;
    let secret = urls.0.get("MAIN").filter(|_| !print || url.is_empty());
    let asked = SourceConfig {
        url: secret.cloned().unwrap_or_else(|| url.clone()),
        ..SourceConfig::default()
    };
    check_url(&asked)?;
    let path = mapping_path(config, source);
    ensure!(
        print || path.symlink_metadata().is_err(),
        "`{}` exists already; name a new file with --mapping, or look with --print",
        path.display()
    );
    let tables = runtime()?.block_on(connect::describe(&asked))?;
    let text = guessing::guess(&asked.name, &without_password(&url), &tables);
    if print {
        return say(text.trim_end());
    }
    let mut file = std::fs::File::create_new(&path)
        .with_context(|| format!("cannot write `{}`; check the folder", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    say(&format!(
        "wrote {}; read it, then run `edgewise replicate check`",
        path.display()
    ))
}

/// A file is no place for a password; the environment is.
fn without_password(url: &str) -> String {
    super::super::redact::url(url).replacen(":***@", "@", 1)
}

/// `edgewise replicate status`
pub(super) fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let overview = match access(config, open_existing)? {
        Access::Server(running) => overview_at(&running)?,
        Access::Store(store) => Overview {
            sources: Vec::new(),
            dead_letters: read::dead_letter_count(&*store.read()?)?,
        },
    };
    if json {
        return say(&serde_json::to_string_pretty(&overview)?);
    }
    say(&render(&overview))
}

/// `edgewise replicate resync`
pub(super) fn resync(
    config: &Config,
    source: &SourceArgs,
    table: Option<&str>,
    yes: bool,
) -> anyhow::Result<()> {
    let mapping = mapping(config, source)?;
    if !yes {
        return explain(&mapping.sources, table);
    }
    let path = std::path::absolute(mapping_path(config, source))?;
    let command = ResyncCommand {
        sources: asked(&path, &overrides(source)),
        table: table.map(str::to_owned),
    };
    let done = match access(config, open_existing)? {
        Access::Server(running) => {
            let body = serde_json::to_value(&command)?;
            let path = "/admin/v1/replicate/resync";
            let mut answer = ask(&running, "POST", path, Some(&body))?;
            serde_json::from_value::<Vec<Resynced>>(answer["resynced"].take())
                .context("the server's answer is of another version")?
        }
        Access::Store(store) => {
            let store: Arc<dyn Store> = Arc::new(store);
            for source in &mapping.sources {
                affected(&*store, &source.name, table)?;
            }
            let writer = start_writer(config, Arc::clone(&store))?;
            let following = Following::new(store, writer.clone(), config.domain_clock()?);
            let done = runtime()?.block_on(following.resync(command));
            writer.stop();
            done?
        }
    };
    for resynced in &done {
        say(&resynced.to_string())?;
    }
    say(
        "the next start of these sources copies their tables anew; one that a server follows has begun",
    )
}

fn explain(sources: &[SourceConfig], table: Option<&str>) -> anyhow::Result<()> {
    for source in sources {
        let tables = match table {
            Some(table) => format!("table {table}"),
            None => "every mapped table".to_owned(),
        };
        say(&format!(
            "source {}: what the rows of {tables} counted would be taken back and forgotten, with \
             their dead letters; then they are copied anew. Until the copy is done their counts \
             are too low. Events sent to the API stay.",
            source.name
        ))?;
        if table.is_none() && source.url.starts_with("postgres") {
            let slot = source
                .slot
                .clone()
                .unwrap_or_else(|| format!("edgewise_{}", source.name));
            say(&format!(
                "the slot {slot} would be dropped where it is ours, and made anew"
            ))?;
        }
    }
    bail!("nothing was changed; add --yes to do it")
}
