//! MovieLens-100K, fetched at run time: it may not be redistributed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::wheels;

/// The Python package that ships the data set, with the hash that pip checks.
const REQUIREMENT: &str =
    "recbole==1.2.1 --hash=sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407";
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
    wheels::unpack(
        "MovieLens-100K (or give its folder with --path)",
        REQUIREMENT,
        &download,
    )?;
    fs::rename(download.join(INSIDE), &place)?;
    fs::remove_dir_all(download)?;
    Ok(place)
}
