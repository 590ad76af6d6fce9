//! A Python of the project's own, with the libraries that tests and benches compare with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::processes::run_quietly;
use crate::{paths, setup};

/// What is installed, with the hashes that pip checks.
const REQUIREMENTS: &str = "tests/oracles/requirements.txt";
/// Imported to see that what was installed works.
const IMPORTS: &str = "import lightgbm, lleaves, numpy, onnxmltools, onnxruntime, xgboost";

/// Where it is made.
fn folder() -> PathBuf {
    paths::target().join("tools/python")
}

/// The interpreter, if [`install`] has been able to make it; tests and
/// benches find it as `EDGEWISE_PYTHON`.
pub(crate) fn interpreter() -> Option<PathBuf> {
    let python = folder().join("bin/python");
    (python.exists() && stamp().exists()).then_some(python)
}

/// What was installed last.
fn stamp() -> PathBuf {
    folder().join("requirements.txt")
}

/// Makes the environment where it is missing or was made of other requirements.
pub(crate) fn install() -> Result<()> {
    let requirements = paths::root().join(REQUIREMENTS);
    let wanted = fs::read(&requirements).with_context(|| format!("{REQUIREMENTS} is missing"))?;
    if interpreter().is_some() && fs::read(stamp())? == wanted {
        return Ok(());
    }
    eprintln!("setup: installing Python libraries (about two minutes the first time)");
    if !setup::in_path("python3") {
        bail!("python3 is not installed");
    }
    let made = make();
    // Debian's python3 comes without what makes environments.
    made.or_else(|_| {
        setup::apt_update()?;
        setup::apt_install("python3-venv", &["python3-venv"])?;
        make()
    })?;
    let python = folder().join("bin/python");
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args(["--no-input", "--retries", "2", "--only-binary", ":all:"]);
    pip.args(["--require-hashes", "--requirement"])
        .arg(&requirements);
    run_quietly("install the Python libraries with pip", &mut pip)?;
    let mut import = Command::new(&python);
    run_quietly("import the Python libraries", import.args(["-c", IMPORTS]))?;
    // Last: what is stamped is whole.
    fs::write(stamp(), wanted)?;
    Ok(())
}

fn make() -> Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folder());
    run_quietly("make a Python environment", &mut venv)
}
