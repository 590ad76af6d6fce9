//! Models that LightGBM and XGBoost trained, read from the files those libraries write.
//!
//! | format | how it is written | reader |
//! |---|---|---|
//! | LightGBM text, v3 and v4 | `Booster.save_model` | [`lightgbm_text()`] |
//! | LightGBM JSON | `Booster.dump_model`, as JSON | [`lightgbm_json()`] |
//! | XGBoost JSON | `Booster.save_model("model.json")` | [`xgboost_json()`] |
//! | XGBoost UBJSON | `Booster.save_model("model.ubj")` | [`xgboost_ubjson()`] |
//!
//! What comes out predicts what the library predicts, to the bit for XGBoost. Models of several
//! outputs, linear trees, DART and linear boosters of XGBoost and unknown objectives are refused
//! by name. Memory is at most a small multiple of the file's size, whatever the file declares;
//! nothing recurses.

mod build;
mod error;
mod event;
mod json;
mod lightgbm;
mod log;
mod names;
#[cfg(test)]
mod tests;
mod ubjson;
mod xgboost;

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::trees::Ensemble;

pub use self::error::ImportError;
use self::event::{Event, Events};
use self::json::Json;
use self::ubjson::UbJson;
use crate::limits::IMPORT_BYTES_MAX;

/// Which library wrote a model file, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LightGBM's `model.txt`.
    LightGbmText,
    /// LightGBM's `dump_model` as JSON.
    LightGbmJson,
    /// XGBoost's `model.json`.
    XgBoostJson,
    /// XGBoost's `model.ubj`.
    XgBoostUbJson,
}

/// A model file's trees and what else it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The trees; [`Ensemble::check`] has accepted them.
    pub ensemble: Ensemble,
    /// The file's format.
    pub format: Format,
    /// What it was trained for, as the file says it: `binary sigmoid:1`, `reg:squarederror`.
    pub objective: String,
    /// Names of the features that nodes read, in the order of [`Ensemble::features`].
    pub features: Vec<String>,
}

/// From the name of a feature in the model file to its index in the feature table.
pub type Names<'n> = &'n dyn Fn(&str) -> Option<u16>;

/// Reads a model file of any of the formats, which its content tells.
///
/// # Errors
///
/// Whatever is wrong is named: another format, a broken file, what is not supported, more than
/// the limits, and features that a split reads and `names` does not know.
pub fn import(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    match format_of(bytes)? {
        Format::LightGbmText => lightgbm_text(bytes, names),
        Format::LightGbmJson => lightgbm_json(bytes, names),
        Format::XgBoostJson => xgboost_json(bytes, names),
        Format::XgBoostUbJson => xgboost_ubjson(bytes, names),
    }
}

/// Reads what LightGBM's `save_model` wrote.
///
/// # Errors
///
/// As [`import`].
pub fn lightgbm_text(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    lightgbm::text::read(bounded(bytes)?, names)
}

/// Reads what LightGBM's `dump_model` gave, as JSON.
///
/// # Errors
///
/// As [`import`].
pub fn lightgbm_json(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    lightgbm::dump::read(Json::new(bounded(bytes)?), names)
}

/// Reads what XGBoost's `save_model` wrote as JSON.
///
/// # Errors
///
/// As [`import`].
pub fn xgboost_json(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    xgboost::read(Json::new(bounded(bytes)?), Format::XgBoostJson, names)
}

/// Reads what XGBoost's `save_model` wrote as UBJSON, its default.
///
/// # Errors
///
/// As [`import`].
pub fn xgboost_ubjson(bytes: &[u8], names: Names<'_>) -> Result<Imported, ImportError> {
    xgboost::read(UbJson::new(bounded(bytes)?), Format::XgBoostUbJson, names)
}

fn bounded(bytes: &[u8]) -> Result<&[u8], ImportError> {
    if bytes.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::TooLarge {
            len: bytes.len(),
            max: IMPORT_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// Tells the format by the first bytes, and the libraries' JSON apart by a key of theirs.
fn format_of(bytes: &[u8]) -> Result<Format, ImportError> {
    let bytes = bounded(bytes)?;
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"tree\n") || text.starts_with(b"tree\r\n") {
        return Ok(Format::LightGbmText);
    }
    if !text.starts_with(b"{") {
        return Err(ImportError::UnknownFormat);
    }
    // In UBJSON a key follows the brace with the type of its length: a letter, never JSON.
    if text.get(1).is_some_and(u8::is_ascii_alphabetic) {
        return Ok(Format::XgBoostUbJson);
    }
    let mut json = Json::new(bytes);
    json.next()?;
    loop {
        match json.next()? {
            Event::Key(key) if key == "learner" => return Ok(Format::XgBoostJson),
            Event::Key(key) if key == "tree_info" => return Ok(Format::LightGbmJson),
            Event::Key(_) => json.skip()?,
            _ => return Err(ImportError::UnknownFormat),
        }
    }
}
