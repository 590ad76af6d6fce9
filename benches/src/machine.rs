//! What the numbers were measured on.

use std::process::Command;

use anyhow::Result;

/// Date, processor, cores, memory, kernel and toolchain, in a line.
pub(crate) fn describe() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let model = model.trim_start_matches(['\t', ':', ' ']);
    let cores = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or(0) / (1 << 20);
    let date = output("date", &["-u", "+%Y-%m-%d"])?;
    let rustc = output("rustc", &["--version"])?;
    let node = output("node", &["--version"])?;
    Ok(format!(
        "{date}; {model}, {cores} cores, {gib} GiB, loopback; {rustc}; Node {node}."
    ))
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
