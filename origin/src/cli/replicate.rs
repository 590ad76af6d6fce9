//! Options of `replicate`, `dead-letter` and `reconcile`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The mapping file that is read from the working directory where `--mapping` names none.
pub const DEFAULT_MAPPING: &str = "replicate.toml";

/// Which sources a command is about.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// A source of the mapping file by name, or a URL that takes the place of its one source's
    /// (of several, of the one at that host and database): postgres://, mysql://, mariadb:// or
    /// kafka://. Give passwords in the environment
    /// (`EDGEWISE_SOURCE_<NAME>__URL`): command lines can be read by every user of a machine.
    #[arg(long, global = true, value_name = "URL|NAME")]
    pub source: Option<String>,
    /// Mapping file: which tables and columns are users, items, follows and events
    /// (default: replicate.mapping of the configuration, else replicate.toml).
    #[arg(long, global = true, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
}

const REPLICATE_EXAMPLES: &str = "\
Examples:
  edgewise replicate init --source postgres://app@db.example/shop     writes replicate.toml
  edgewise replicate check                                            says what is missing, changes nothing
  edgewise replicate                                                  copies, then follows until Ctrl-C
  edgewise replicate --source postgres://app@db.example/shop --mapping replicate.toml
  edgewise replicate status --json
  edgewise replicate resync --table public.posts --yes
  edgewise serve --mapping replicate.toml                             serves and follows in one process

A server that runs on the data directory is told to follow; then Ctrl-C ends only what is shown.";

/// Options of `replicate`.
#[derive(Debug, Args)]
#[command(after_help = REPLICATE_EXAMPLES)]
pub struct ReplicateArgs {
    /// Which sources.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Address of metrics and probes while this process follows by itself (default:
    /// 127.0.0.1:9090).
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// What else than to follow.
    #[command(subcommand)]
    pub action: Option<ReplicateAction>,
}

/// What can be done with a source besides following it.
#[derive(Debug, Subcommand)]
pub enum ReplicateAction {
    /// Connect, read the catalogue and report everything that is missing, with the SQL that
    /// would fix it. Changes nothing. Exits with 1 where following could not start.
    #[command(
        after_help = "Example:\n  edgewise replicate check --source main --mapping replicate.toml --json"
    )]
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a mapping file guessed from the source's catalogue, to read and correct.
    #[command(
        after_help = "Example:\n  edgewise replicate init --source mysql://app@db.example/shop --mapping replicate.toml"
    )]
    Init {
        /// Print it instead of writing the file.
        #[arg(long)]
        print: bool,
    },
    /// Say how each source does: phase, position, lag, stopped tables, dead letters.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget a source's positions and what was counted of its tables, and copy them anew.
    #[command(
        after_help = "Examples:\n  edgewise replicate resync                        says what it would do\n  edgewise replicate resync --source main --yes\n  edgewise replicate resync --table public.posts --yes"
    )]
    Resync {
        /// Only this table of the mapping.
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// Do it; without this, only say what would be done.
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Args)]
pub struct LetterArgs {
    /// Only of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only of this table, as the mapping names it.
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Only those whose reason contains this.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Options of `dead-letter`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  edgewise dead-letter list --table public.posts
  edgewise dead-letter replay --reason 'not_null'      after the mapping or the contract changed
  edgewise dead-letter drop 17 18
  edgewise dead-letter drop --all")]
pub struct DeadLetterArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: DeadLetterAction,
}

/// What can be done with refused rows.
#[derive(Debug, Subcommand)]
pub enum DeadLetterAction {
    /// Print refused rows with the reason of each.
    List {
        /// Which.
        #[command(flatten)]
        letters: LetterArgs,
        /// Most that are printed.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Begin at this number.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        from: u64,
        /// Print JSON lines with the rows' columns.
        #[arg(long)]
        json: bool,
    },
    /// Map refused rows again with the mapping as it is now; those that fit now count, the
    /// others stay.
    Replay {
        /// Which.
        #[command(flatten)]
        which: SelectArgs,
        /// Mapping file (default: replicate.mapping of the configuration, else replicate.toml).
        #[arg(long, value_name = "FILE")]
        mapping: Option<PathBuf>,
    },
    /// Forget refused rows.
    Drop {
        /// Which.
        #[command(flatten)]
        which: SelectArgs,
    },
}

/// A choice of dead letters that has to be made.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectArgs {
    /// Their numbers, as `list` prints them.
    #[arg(value_name = "SEQ")]
    pub seq: Vec<u64>,
    /// By property.
    #[command(flatten)]
    pub letters: LetterArgs,
    /// Every one.
    #[arg(long)]
    pub all: bool,
}

/// What counts are compared by.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One count a table.
    #[default]
    Table,
    /// A count a table and UTC day.
    Day,
    /// A count a table and item.
    Item,
}

/// Options of `reconcile`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  edgewise reconcile --by day
  edgewise reconcile --by item --export differences.csv
  edgewise reconcile --table public.likes --repair 'id=7' 'id=8'
  edgewise reconcile --repair-all

Exits with 1 where counts differ and were not repaired.")]
pub struct ReconcileArgs {
    /// Which source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What is counted by.
    #[arg(long, value_enum, default_value_t)]
    pub by: By,
    /// Only this table of the mapping.
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Write the differences to this new file: .json, else CSV.
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Read these rows again and count what they say now; keys such as 'id=7'. Needs --table.
    #[arg(long, value_name = "KEY", num_args = 1.., requires = "table", conflicts_with = "repair_all")]
    pub repair: Vec<String>,
    /// Compare every row of the tables that differ and repair each that does.
    #[arg(long)]
    pub repair_all: bool,
}
