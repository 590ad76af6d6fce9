//! `replicate check | init | status | resync`.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use super::super::check::Report;
use super::super::config::{Mapping, SourceConfig};
use super::super::drift::{self, Drift};
use super::super::following::{Following, Overview, ResyncCommand};
use super::super::load::{self, Overrides, check_url};
use super::super::mapping::TablePlan;
use super::super::resync::{Resynced, affected};
use super::super::{connect, init as guessing, redact};
use super::{asked, mapping, mapping_path, overrides, overview_at, render, runtime};
use crate::cli::replicate::SourceArgs;
use crate::commands::{Access, access, ask, open_existing, say, start_writer};
use crate::config::Config;
use crate::store::{Store, read};
use crate::terminal::lines;

/// `edgewise replicate check`
pub(super) fn check(config: &Config, source: &SourceArgs, json: bool) -> anyhow::Result<()> {
    let mapping = mapping(config, source)?;
    let mut report = Report::default();
    let runtime = runtime()?;
    for source in &mapping.sources {
        report.merge(runtime.block_on(check_source(source)));
    }
    report.merge(drift::report(&drifts(config, source, &mapping)));
    if json {
        say(&serde_json::to_string_pretty(&report)?)?;
    } else {
        say(&lines(&report.to_string()))?;
    }
    ensure!(
        !report.has_errors(),
        "put the errors right before following: it would not start, would stop, would not count \
         exactly, or would burden the database"
    );
    Ok(())
}

/// What is counted although the mapping no longer says so; nothing where there is no store yet,
/// or one that cannot be asked: the check is of the source.
fn drifts(config: &Config, source: &SourceArgs, mapping: &Mapping) -> Vec<Drift> {
    let asking = || -> anyhow::Result<Vec<Drift>> {
        match access(config, open_existing)? {
            Access::Store(store) => Ok(drift::find(&store, mapping)?),
            Access::Server(running) => {
                let path = std::path::absolute(mapping_path(config, source))?;
                let body = serde_json::to_value(asked(&path, &overrides(source)))?;
                let route = "/admin/v1/replicate/drift";
                Ok(serde_json::from_value(ask(
                    &running,
                    "POST",
                    route,
                    Some(&body),
                )?)?)
            }
        }
    };
    asking().unwrap_or_default()
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
    // A file is no place for a password; the environment is.
    let text = guessing::guess(&asked.name, &redact::without_password(&url), &tables);
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

/// `edgewise replicate status`
pub(super) fn status(config: &Config, source: &SourceArgs, json: bool) -> anyhow::Result<()> {
    let overview = match access(config, open_existing)? {
        Access::Server(running) => overview_at(&running)?,
        Access::Store(store) => Overview {
            sources: Vec::new(),
            dead_letters: read::dead_letter_count(&*store.read()?)?,
            // Nobody needs a mapping file to look.
            drifts: match mapping(config, source) {
                Ok(mapping) => drift::find(&store, &mapping)?,
                Err(_) => Vec::new(),
            },
        },
    };
    if json {
        return say(&serde_json::to_string_pretty(&overview)?);
    }
    say(&lines(&render(&overview)))
}

/// `edgewise replicate resync`
pub(super) fn resync(
    config: &Config,
    source: &SourceArgs,
    table: Option<&str>,
    yes: bool,
) -> anyhow::Result<()> {
    let sources = match load::load(&mapping_path(config, source), &overrides(source)) {
        Ok(mapping) => mapping.sources,
        Err(error) => match error.unmapped(source.source.as_deref()) {
            Some(name) if !yes => return explain_unmapped(name, table),
            // The store knows.
            Some(_) => Vec::new(),
            None => return Err(error.into()),
        },
    };
    if !yes {
        return explain(&sources, table);
    }
    let is_mapped = !sources.is_empty();
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
            for source in &sources {
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
        say(&lines(&resynced.to_string()))?;
    }
    if !is_mapped {
        return say("nothing is copied anew: the mapping file does not have it");
    }
    say(
        "the next start of these sources copies their tables anew; one that a server follows has begun",
    )
}

fn explain_unmapped(source: &str, table: Option<&str>) -> anyhow::Result<()> {
    let tables = match table {
        Some(table) => format!("table {table}"),
        None => "every table".to_owned(),
    };
    say(&format!(
        "source {source} is not in the mapping file: what the rows of {tables} counted would be \
         taken back and forgotten, with their dead letters and the source's positions, and \
         nothing of it is copied anew. A slot at its server is dropped where \
         EDGEWISE_SOURCE_{}__URL says where that is; else the SQL that drops it is printed.",
        source.to_uppercase()
    ))?;
    bail!("nothing was changed; add --yes to do it")
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
