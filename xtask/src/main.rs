//! The one front door: `cargo xtask demo | proxy | test | bench | check | build | setup`.

mod bench;
mod build;
mod check;
mod community;
mod demo;
mod movielens;
mod paths;
mod processes;
mod proxy;
mod python;
mod servers;
mod setup;
mod test;
mod wheels;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Edgewise: build it, see it, test it, measure it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up what is missing, build, start origin and edge with live traffic, open the page.
    Demo(DemoOptions),
    /// Run an edge as a caching reverse proxy for any origin, until Ctrl-C.
    Proxy(ProxyOptions),
    /// Run every test there is.
    Test(TestOptions),
    /// Measure, beside peers where there are any; prints a table a section.
    Bench(BenchOptions),
    /// Formatting, lints, dependency rules, documentation.
    Check,
    /// Build what runs: `edge` (edge.wasm, proxy.wasm, Worker, page), `origin`, or both.
    Build {
        /// What to build.
        #[arg(value_enum, default_value_t = Target::All)]
        target: Target,
    },
    /// Install what building and testing need (the others do this by themselves).
    Setup,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    Edge,
    Origin,
    All,
}

/// Options of `demo`.
#[derive(Args)]
struct DemoOptions {
    /// Port of the edge (the page).
    #[arg(long, default_value_t = 8787)]
    edge_port: u16,
    /// Port of the origin.
    #[arg(long, default_value_t = 8080)]
    origin_port: u16,
    /// Where the store lives; a new one is filled from the data set.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to show.
    #[arg(long, value_enum, default_value_t = Dataset::Community)]
    dataset: Dataset,
    /// Where the data set is (kuairand: its folder; ml-100k: fetched where absent).
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Speed of the replay clock (kuairand, ml-100k): domain seconds a second.
    #[arg(long, default_value_t = 60.0)]
    speed: f64,
    /// Stop by itself after so many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dataset {
    Community,
    Kuairand,
    #[value(name = "ml-100k")]
    Ml100k,
}

/// Options of `proxy`.
#[derive(Args)]
struct ProxyOptions {
    /// Which edge.
    #[arg(long, value_enum)]
    host: ProxyHost,
    /// Scheme and authority of the origin.
    #[arg(long, value_name = "URL")]
    origin: String,
    /// Port to listen on, at 127.0.0.1.
    #[arg(long, default_value_t = 8787)]
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProxyHost {
    /// `edgewise-edge --proxy`.
    Native,
    /// The Worker, under workerd.
    Worker,
}

/// Options of `test`.
#[derive(Args)]
struct TestOptions {
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// Only this package (repeatable).
    #[arg(long, short)]
    package: Vec<String>,
}

/// Options of `bench`.
#[derive(Args)]
struct BenchOptions {
    /// Only these sections: ranking, bundle, edge, ingest, rows, import, load, drain, memory, copy,
    /// mariadb, freshness, chaos (an hour); all but chaos where absent.
    sections: Vec<String>,
    /// Write the table into docs/performance.md.
    #[arg(long)]
    save: bool,
    /// Fail where a bar is missed.
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(options) => demo::run(&options),
        Command::Proxy(options) => proxy::run_proxy(&options),
        Command::Test(options) => test::run_tests(&options),
        Command::Bench(options) => bench::run_benches(&options),
        Command::Check => check::run_checks(),
        Command::Build { target } => {
            setup::for_build()?;
            if target != Target::Origin {
                build::edge()?;
            }
            if target != Target::Edge {
                build::origin()?;
            }
            Ok(())
        }
        Command::Setup => setup::everything(),
    }
}
