//! Binary `edgewise`: parses the command line, runs the command, says what went wrong.

use std::process::ExitCode;

use clap::Parser;
use edgewise_origin::cli::{self, Cli};
use edgewise_origin::terminal;

fn main() -> ExitCode {
    // Clap answers usage errors itself, with exit code 2.
    let cli = Cli::parse();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if cli::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", terminal::lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
