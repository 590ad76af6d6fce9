//! The command line: what can be asked of `edgewise` and which part answers.

pub mod replicate;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::replicate::command as following;
use crate::{commands, rank, serve, telemetry};
use replicate::{DeadLetterArgs, ReconcileArgs, ReplicateArgs};

/// Ranks personal feeds at the CDN edge: the origin and its tools.
#[derive(Debug, Parser)]
#[command(name = "edgewise", version, propagate_version = true)]
pub struct Cli {
    /// Configuration file (default: edgewise.toml in the working directory, where it exists).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory (default: data).
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, count events, build bundles, lists and the overlay.
    Serve(ServeArgs),
    /// Import a data set into the data directory.
    Import(ImportArgs),
    /// Follow an operator's database (PostgreSQL, MySQL, MariaDB, Kafka): every row counts once.
    Replicate(ReplicateArgs),
    /// List, replay or drop the rows that were refused.
    DeadLetter(DeadLetterArgs),
    /// Compare counts between a source and what was counted of it; repair rows.
    Reconcile(ReconcileArgs),
    /// Rank candidates given as JSON; prints JSON lines.
    Rank(RankArgs),
    /// Recount everything from the event log and compare.
    Verify,
    /// Write a consistent copy of the store.
    Backup {
        /// File the copy is written to; must not exist yet.
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
    },
    /// Put a backup in the place of an empty or missing data directory.
    Restore {
        /// A path that `backup` wrote.
        #[arg(long, value_name = "PATH")]
        from: PathBuf,
        /// Replace the data that is there.
        #[arg(long)]
        force: bool,
    },
    /// Export or delete what is stored of a user.
    User {
        /// What to do.
        #[command(subcommand)]
        action: UserAction,
    },
}

/// What can be done with a user's data.
#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Print all that is stored of the user as JSON.
    Export {
        /// The user's id.
        id: String,
    },
    /// Remove the user's histories, follows and affinities.
    Delete {
        /// The user's id.
        id: String,
    },
}

/// Options of `serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// Address of the public and internal routes (default: 127.0.0.1:8080).
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// Address of metrics, probes and admin routes (default: 127.0.0.1:9090).
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<std::net::SocketAddr>,
    /// Domain time at start, RFC 3339 or Unix ms: replays recorded traffic (default: now).
    #[arg(long, value_name = "T")]
    pub now: Option<String>,
    /// Domain seconds per wall second (default: 1).
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub speed: Option<f64>,
    /// Origin that browsers may call from; may be repeated; `*` allows every one.
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Follow every source of this mapping file beside serving (default: none).
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
}

/// Formats that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line: items, follows, events.
    Jsonl,
    /// KuaiRand: real short-video impressions.
    Kuairand,
    /// MovieLens-100K, RecBole's atomic files.
    Movielens,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What the files are.
    #[arg(long, value_enum)]
    pub format: Format,
    /// File or directory.
    pub path: PathBuf,
    /// Bad lines that are skipped before the import stops.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_bad: u64,
    /// Only events at or after this time (RFC 3339 or Unix ms), and no items or follows.
    #[arg(long, value_name = "T")]
    pub after: Option<String>,
    /// Only events before this time (RFC 3339 or Unix ms).
    #[arg(long, value_name = "T")]
    pub until: Option<String>,
    /// Write JSON lines to this file instead of importing: a recording to replay.
    #[arg(long, value_name = "FILE")]
    pub to_jsonl: Option<PathBuf>,
}

/// What computes a ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// This binary's own code.
    #[default]
    Native,
    /// The same code as the edge runs it: edge.wasm in wasmtime.
    Wasm,
}

/// Options of `rank`.
#[derive(Debug, Args)]
pub struct RankArgs {
    /// What computes.
    #[arg(long, value_enum, default_value_t)]
    pub engine: Engine,
    /// Path of edge.wasm (default: EDGEWISE_WASM, else beside the binary, else target/edge/edge.wasm).
    #[arg(long, value_name = "PATH")]
    pub wasm: Option<PathBuf>,
    /// Model file of LightGBM or XGBoost for a head of the configuration's blend (repeated).
    #[arg(long, value_name = "OBJECTIVE=PATH")]
    pub head: Vec<String>,
    /// JSON `{query, candidates, config?, prior?}`; `-` or nothing reads standard input.
    pub file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// A sentence that says what went wrong and what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::Rank(args) = &cli.command {
        return run_rank(args);
    }
    let mut config = Config::load(cli.config.as_deref(), environment())?;
    if let Some(data) = cli.data {
        config.serve.data = data;
    }
    match &cli.command {
        Command::Serve(args) => config.apply(args),
        Command::Replicate(args) => config.apply_replicate(args),
        _ => {}
    }
    config.validate()?;
    telemetry::init_logs(&config.log)?;
    match cli.command {
        Command::Serve(_) => serve::run(&config),
        Command::Import(args) => commands::import(&config, &args),
        Command::Replicate(args) => following::replicate(&config, &args),
        Command::DeadLetter(args) => following::dead_letter(&config, &args),
        Command::Reconcile(args) => following::reconcile(&config, &args),
        Command::Verify => commands::verify(&config),
        Command::Backup { to } => commands::backup(&config, &to),
        Command::Restore { from, force } => commands::restore(&config, &from, force),
        Command::User {
            action: UserAction::Export { id },
        } => commands::user_export(&config, &id),
        Command::User {
            action: UserAction::Delete { id },
        } => commands::user_delete(&config, &id),
        Command::Rank(_) => Ok(()),
    }
}

/// Whether the reader of standard output went away (`edgewise rank | head`): not an error.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The environment's variables that are UTF-8; others cannot be ours.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn run_rank(args: &RankArgs) -> anyhow::Result<()> {
    let input = read_input(args.file.as_deref())?;
    let input = rank::with_heads(input, &args.head)?;
    let output = match args.engine {
        Engine::Native => rank::native(&input)?,
        Engine::Wasm => rank::wasm(&input, args.wasm.as_deref())?,
    };
    let mut out = io::stdout().lock();
    out.write_all(output.as_bytes())?;
    if !output.is_empty() && !output.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn read_input(file: Option<&std::path::Path>) -> anyhow::Result<Vec<u8>> {
    let mut input = Vec::new();
    let limit = rank::MAX_INPUT_BYTES + 1;
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot open `{}`; check the path", path.display()))?;
            file.take(limit).read_to_end(&mut input)
        }
        None => io::stdin().lock().take(limit).read_to_end(&mut input),
    }
    .context("cannot read the input; give a readable JSON file")?;
    anyhow::ensure!(
        (input.len() as u64) < limit,
        "the input is over {} bytes; rank fewer candidates at a time",
        rank::MAX_INPUT_BYTES
    );
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_serve_go_over_the_configuration() {
        let line = [
            "edgewise",
            "serve",
            "--listen",
            "127.0.0.1:1",
            "--speed",
            "60",
            "--data",
            "d",
        ];
        let cli = Cli::try_parse_from(line.into_iter().chain(["--allow-origin", "*"]));
        let cli = cli.expect("valid");
        let Command::Serve(args) = &cli.command else {
            unreachable!("serve was asked")
        };
        let mut config = Config::default();
        config.apply(args);
        assert_eq!(config.serve.listen.port(), 1);
        assert_eq!(config.serve.allow_origins, ["*"]);
        assert!((config.clock.speed - 60.0).abs() < f64::EPSILON);
        assert_eq!(cli.data, Some(PathBuf::from("d")));
    }

    #[test]
    fn a_negative_speed_is_told_its_range() {
        let cli = Cli::try_parse_from(["edgewise", "serve", "--speed", "-1"]).expect("a number");
        let Command::Serve(args) = &cli.command else {
            unreachable!("serve was asked")
        };
        let mut config = Config::default();
        config.apply(args);
        let error = config.validate().expect_err("refused").to_string();
        assert!(error.contains("above 0"), "{error}");
    }

    #[test]
    fn sources_are_named_before_or_after_the_action() {
        use replicate::ReplicateAction;
        for line in [
            "edgewise replicate --source main check --json",
            "edgewise replicate check --source main --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let Command::Replicate(args) = cli.command else {
                unreachable!("replicate was asked")
            };
            assert_eq!(args.source.source.as_deref(), Some("main"));
            assert!(matches!(
                args.action,
                Some(ReplicateAction::Check { json: true })
            ));
        }
        for wrong in [
            "edgewise reconcile --repair id=7",
            "edgewise reconcile --table t --repair id=7 --repair-all",
            "edgewise dead-letter",
            "edgewise reconcile --by hour",
        ] {
            let error = Cli::try_parse_from(wrong.split(' ')).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn unknown_commands_are_usage_errors() {
        let error = Cli::try_parse_from(["edgewise", "train"]).expect_err("not a command yet");
        assert_eq!(error.exit_code(), 2);
    }
}
