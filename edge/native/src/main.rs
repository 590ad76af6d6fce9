//! `edgewise-edge`: the edge as a process of its own, for operators without Cloudflare.

use std::process::ExitCode;

fn main() -> ExitCode {
    edgewise_edge::cli::run()
}
