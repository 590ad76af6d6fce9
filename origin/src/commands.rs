//! Commands on the data directory: by themselves, or through the server that has it open.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{Format, ImportArgs};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::ImportCommand;
use crate::import::{self, ImportOptions, Notice};
use crate::ingest::{Limits, Writer, WriterConfig};
use crate::serve::Running;
use crate::store::{RedbStore, Store, StoreError};
use crate::{backup as copies, time, user, verify as recount};

/// Opens the store for writing; makes it where it is missing.
pub(crate) fn open(config: &Config) -> Result<RedbStore, StoreError> {
    RedbStore::open_with(&config.serve.data, config.store.cache_mb << 20)
}

/// Opens a store that is there.
pub(crate) fn open_existing(config: &Config) -> Result<RedbStore, StoreError> {
    RedbStore::open_existing(&config.serve.data)
}

/// The store of the data directory, or the server that has it open.
pub(crate) enum Access {
    Store(RedbStore),
    Server(Running),
}

/// Opens the store, or finds the server where it is locked.
pub(crate) fn access(
    config: &Config,
    open: fn(&Config) -> Result<RedbStore, StoreError>,
) -> anyhow::Result<Access> {
    let data = &config.serve.data;
    match open(config) {
        Ok(store) => Ok(Access::Store(store)),
        Err(locked @ StoreError::Locked { .. }) => match Running::find(data) {
            Ok(running) => Ok(Access::Server(running)),
            Err(_) => Err(locked.into()),
        },
        Err(StoreError::Missing { path }) => {
            bail!(
                "there is no database at {}; name the data directory with --data",
                path.display()
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// `edgewise import`
///
/// # Errors
///
/// A sentence for the operator.
pub fn import(config: &Config, args: &ImportArgs) -> anyhow::Result<()> {
    let time_of = |flag: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(|text| {
            time::parse(text).with_context(|| {
                format!("{flag} `{text}` is no time; use RFC 3339 or Unix milliseconds")
            })
        });
        parsed.transpose()
    };
    let path = std::path::absolute(&args.path)?;
    let command = ImportCommand {
        format: args.format.name().to_owned(),
        path,
        max_bad: args.max_bad,
        after_ms: time_of("--after", &args.after)?,
        until_ms: time_of("--until", &args.until)?,
    };
    let options = command.options().context("the format is unknown")?;
    let mut progress = Progress::default();
    let mut notify = |notice: &Notice<'_>| progress.show(notice);
    if let Some(to) = &args.to_jsonl {
        return say(&convert(&options, to, &mut notify)?);
    }
    match access(config, open)? {
        Access::Store(store) => say(&import_into(config, store, &options, &mut notify)?),
        Access::Server(running) => {
            let body = serde_json::to_value(&command)?;
            let answer = ask(&running, "POST", "/admin/v1/import", Some(&body))?;
            for bad in answer["bad_lines"].as_array().into_iter().flatten() {
                eprintln!("skipped {}", bad.as_str().unwrap_or_default());
            }
            say(answer["summary"].as_str().unwrap_or("imported"))
        }
    }
}

/// Writes what would be imported to a new file, which appears under its name when it is whole.
fn convert(
    options: &ImportOptions,
    to: &Path,
    notify: &mut dyn FnMut(&Notice<'_>),
) -> anyhow::Result<String> {
    // Nothing that is there is written over: it could be the data set itself.
    ensure!(
        to.symlink_metadata().is_err(),
        "`{}` exists already; name a new file with --to-jsonl",
        to.display()
    );
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = std::fs::File::create_new(&part).with_context(|| {
        format!(
            "cannot write `{}`; check the folder, and remove what an earlier conversion left",
            part.display()
        )
    })?;
    let mut out = std::io::BufWriter::new(file);
    let converted = import::to_jsonl(options, &mut out, notify)
        .map_err(anyhow::Error::from)
        .and_then(|report| {
            out.flush()?;
            out.get_ref().sync_all()?;
            std::fs::rename(&part, to)?;
            Ok(report.to_string())
        });
    if converted.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    converted
}

fn import_into(
    config: &Config,
    store: RedbStore,
    options: &ImportOptions,
    notify: &mut dyn FnMut(&Notice<'_>),
) -> anyhow::Result<String> {
    let writer = start_writer(config, Arc::new(store))?;
    let report = import::run(options, &writer, notify);
    writer.stop();
    Ok(report?.to_string())
}

pub(crate) fn start_writer(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Writer> {
    let hot = config.ranking_config()?.hot;
    let config = WriterConfig {
        hot,
        limits: Limits::default(),
    };
    Ok(Writer::start(
        store,
        Clock::system(),
        &config,
        Arc::new(()),
    )?)
}

/// `edgewise verify`
///
/// # Errors
///
/// The store says something else than its log.
pub fn verify(config: &Config) -> anyhow::Result<()> {
    let report = match access(config, open_existing)? {
        Access::Store(mut store) => {
            store.check_integrity()?;
            serde_json::to_value(recount::verify(&store)?)?
        }
        Access::Server(running) => ask(&running, "POST", "/admin/v1/verify", None)?,
    };
    say(&serde_json::to_string_pretty(&report)?)?;
    ensure!(
        report["ok"] == true,
        "the store differs from its log in {} places; restore a backup",
        report["mismatch_count"]
    );
    Ok(())
}

/// `edgewise backup --to PATH`
///
/// # Errors
///
/// The copy exists or cannot be written.
pub fn backup(config: &Config, to: &Path) -> anyhow::Result<()> {
    let to = std::path::absolute(to)?;
    let copied = match access(config, open_existing)? {
        Access::Store(store) => {
            let copied = copies::backup(&store, &to)
                .context("no backup was written; name a new file with --to")?;
            serde_json::to_value(copied)?
        }
        Access::Server(running) => ask(
            &running,
            "POST",
            "/admin/v1/backup",
            Some(&json!({ "path": to })),
        )?,
    };
    say(&serde_json::to_string(&copied)?)
}

/// `edgewise restore --from PATH`
///
/// # Errors
///
/// The backup is no good, or the data directory holds data or is in use.
pub fn restore(config: &Config, from: &Path, force: bool) -> anyhow::Result<()> {
    let copied = copies::restore(from, &config.serve.data, force).context(
        "nothing was restored; name a good backup with --from and an empty directory with --data",
    )?;
    say(&serde_json::to_string(&copied)?)?;
    say_what_sources_need(config)
}

/// A source's server may have let go of what came after the backup.
fn say_what_sources_need(config: &Config) -> anyhow::Result<()> {
    let store = open_existing(config)?;
    let sources = crate::store::read::sources(&*store.read()?)?;
    if !sources.is_empty() {
        eprintln!(
            "sources {} go on from the backup's positions; one whose server has let go of what came \
             after (a PostgreSQL slot ahead of the store) is refused and needs `edgewise replicate \
             resync --source NAME`",
            sources.join(", ")
        );
    }
    Ok(())
}

/// `edgewise user export ID`
///
/// # Errors
///
/// The user is unknown.
pub fn user_export(config: &Config, id: &str) -> anyhow::Result<()> {
    let export = match access(config, open_existing)? {
        Access::Store(store) => user::export(&store, &Clock::system(), id)?
            .map(serde_json::to_value)
            .transpose()?
            .ok_or_else(|| unknown(id))?,
        Access::Server(running) => {
            let path = format!("/admin/v1/users/{}/export", encoded(id));
            ask(&running, "GET", &path, None)?
        }
    };
    say(&serde_json::to_string_pretty(&export)?)
}

/// `edgewise user delete ID`
///
/// # Errors
///
/// The user is unknown.
pub fn user_delete(config: &Config, id: &str) -> anyhow::Result<()> {
    match access(config, open_existing)? {
        Access::Store(store) => {
            let writer = start_writer(config, Arc::new(store))?;
            let known = user::delete(&writer, id);
            writer.stop();
            ensure!(known?, unknown(id));
        }
        Access::Server(running) => {
            ask(
                &running,
                "DELETE",
                &format!("/admin/v1/users/{}", encoded(id)),
                None,
            )?;
        }
    }
    say(&format!("deleted the personal data of {id}"))
}

fn unknown(id: &str) -> anyhow::Error {
    anyhow!("there is no user {id:?}; check the id, and the data directory named with --data")
}

/// Asks the running server; its problem documents become errors.
pub(crate) fn ask(
    running: &Running,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let url = format!("{}{path}", running.admin_url);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(&url)
        .header("authorization", format!("Bearer {}", running.token))
        .header("content-type", "application/json")
        .body(body.map(Value::to_string).unwrap_or_default())?;
    let mut response = agent.run(request).with_context(|| {
        format!(
            "the server at {} does not answer; is process {} stuck?",
            running.admin_url, running.pid
        )
    })?;
    let text = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_to_string()
        .context("the server's answer was cut off; try again")?;
    let value: Value = serde_json::from_str(&text).context("the server's answer is not JSON")?;
    if response.status().is_success() {
        return Ok(value);
    }
    let detail = value["detail"].as_str().unwrap_or("no reason was given");
    match value["allowed"].as_str() {
        _ if response.status() == 503 => bail!("{detail}; try again in a moment"),
        Some(allowed) => bail!("the server refused: {detail}; give {allowed}"),
        None => bail!("the server refused: {detail}; check the arguments"),
    }
}

/// An id as a segment of a path.
pub(crate) fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// One line to standard output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

impl Format {
    /// The name that the command line and the admin route take.
    fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Kuairand => "kuairand",
            Self::Movielens => "movielens",
        }
    }
}

/// A bar a file on a terminal, bad lines everywhere.
#[derive(Default)]
struct Progress {
    bar: Option<(PathBuf, ProgressBar)>,
}

impl Progress {
    fn show(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Bad(bad) => match &self.bar {
                Some((_, bar)) => bar.suspend(|| eprintln!("skipped {bad}")),
                None => eprintln!("skipped {bad}"),
            },
            Notice::Progress { file, done, total } => {
                if self.bar.as_ref().is_none_or(|(known, _)| known != file) {
                    let bar = ProgressBar::new(*total).with_message(name_of(file));
                    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}%") {
                        bar.set_style(style);
                    }
                    self.bar = Some((file.to_path_buf(), bar));
                }
                if let Some((_, bar)) = &self.bar {
                    bar.set_position(*done);
                }
            }
        }
    }
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_destroys_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let line = r#"{"event":{"id":"1","type":"like","user":"u","item":"i","ts":1700000000000}}"#;
        std::fs::write(path("in.jsonl"), format!("{line}\n")).unwrap();
        let convert = |from: &str, to: &str| {
            let options = ImportOptions::new(import::Format::Jsonl, &path(from));
            super::convert(&options, &path(to), &mut |_| {}).map_err(|error| error.to_string())
        };
        let kept = || std::fs::read_to_string(path("in.jsonl")).unwrap();

        let error = convert("in.jsonl", "in.jsonl").unwrap_err();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(kept(), format!("{line}\n"));

        assert!(convert("missing.jsonl", "out.jsonl").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        convert("in.jsonl", "out.jsonl").unwrap();
        assert!(path("out.jsonl").exists() && !path("out.jsonl.part").exists());
        assert_eq!(kept(), format!("{line}\n"));
    }

    #[test]
    fn only_regular_files_are_imported() {
        let options = ImportOptions::new(import::Format::Jsonl, Path::new("/dev/null"));
        let folder = tempfile::tempdir().unwrap();
        let error = convert(&options, &folder.path().join("out"), &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "/dev/null is not a regular file");
    }
}
