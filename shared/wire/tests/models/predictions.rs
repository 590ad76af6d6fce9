//! Imported models predict what the libraries that trained them predict.
//!
//! `tests/oracles/predict.py` trains models and writes them with rows and raw predictions; here
//! each is imported and evaluated as plainly as can be. `EDGEWISE_PYTHON` names an interpreter
//! with the packages of `tests/oracles/requirements.txt` (`cargo xtask setup` makes it, `cargo
//! xtask test` sets it); without it these tests say that they were skipped.
//! `EDGEWISE_MODELS` is how many models of each library are trained.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgewise_ranking::trees::{Ensemble, Test};
use edgewise_wire::import::{Format, import};

use crate::evaluate::{lightgbm_sum, xgboost_sum};

/// Models of each library where `EDGEWISE_MODELS` does not say.
const MODELS: u32 = 1_000;
/// Largest difference to LightGBM, whose sums are `f64`, absolute and relative.
const TOLERANCE: f64 = 1e-12;
const ROWS: usize = 1_000;

/// Gives the difference of a row's prediction to the expected one, and whether it will do.
type Compare = fn(&Ensemble, &[f32], &[u8]) -> (f64, bool);

#[test]
fn predictions_are_lightgbms() {
    check("lightgbm", |ensemble, row, expected| {
        let expected = f64::from_le_bytes(expected.try_into().unwrap());
        let sum = lightgbm_sum(ensemble, row);
        let difference = (sum - expected).abs();
        (
            difference,
            difference <= TOLERANCE * expected.abs().max(1.0),
        )
    });
}

#[test]
fn predictions_are_xgboosts_to_the_bit() {
    check("xgboost", |ensemble, row, expected| {
        let expected = f32::from_le_bytes(expected.try_into().unwrap());
        let sum = xgboost_sum(ensemble, row);
        let difference = f64::from((sum - expected).abs());
        (difference, sum.to_bits() == expected.to_bits())
    });
}

fn check(library: &str, compare: Compare) {
    let Some(python) = std::env::var_os("EDGEWISE_PYTHON") else {
        assert!(
            std::env::var_os("EDGEWISE_REQUIRE_ALL").is_none_or(|value| value != "1"),
            "EDGEWISE_PYTHON is not set: run `cargo xtask test`"
        );
        println!("skipped: no EDGEWISE_PYTHON to ask {library} with");
        return;
    };
    let models: u32 = std::env::var("EDGEWISE_MODELS")
        .map_or(MODELS, |count| count.parse().expect("a number of models"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("predictions-{library}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/predict.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&folder)
        .args([library, "0", &models.to_string()])
        .output()
        .expect("EDGEWISE_PYTHON runs");
    // LightGBM speaks of models that it fails to train, too.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "predict.py failed: {told}");

    let mut totals = Totals::default();
    for line in fs::read_to_string(folder.join("models.tsv"))
        .unwrap()
        .lines()
    {
        let [seed, features, formats] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("models.tsv: {line}");
        };
        let case = Case::read(&folder, seed, features.parse().unwrap());
        for format in formats.split(',') {
            case.check(
                &folder.join(format!("{seed}.{format}")),
                compare,
                &mut totals,
            );
        }
        totals.models += 1;
    }
    fs::remove_dir_all(&folder).unwrap();
    println!("{library}: {totals:?}");
    assert_eq!(totals.models, models);
    assert_eq!(totals.different, 0, "{library}: {totals:?}");
    // Nothing that the script is to try has gone missing.
    assert!(totals.single_leaves > 0 && totals.categorical > 0 && totals.leaves > 100);
    assert_eq!(totals.zero_tests > 0, library == "lightgbm");
}

#[derive(Debug, Default)]
struct Totals {
    models: u32,
    files: u32,
    predictions: u64,
    different: u64,
    largest: f64,
    /// Leaves of the largest tree.
    leaves: usize,
    /// Files with a tree of one leaf, a categorical split, a test of zeros.
    single_leaves: u32,
    categorical: u32,
    zero_tests: u32,
}

impl Totals {
    fn count(&mut self, ensemble: &Ensemble) {
        let tests = || {
            ensemble
                .trees
                .iter()
                .flat_map(|tree| &tree.nodes)
                .map(|node| node.test)
        };
        let leaves = ensemble.trees.iter().map(|tree| tree.leaves.len());
        self.leaves = self.leaves.max(leaves.max().unwrap_or_default());
        self.files += 1;
        self.single_leaves += u32::from(ensemble.trees.iter().any(|tree| tree.nodes.is_empty()));
        self.categorical += u32::from(tests().any(|test| matches!(test, Test::OneOf { .. })));
        self.zero_tests += u32::from(tests().any(|test| {
            matches!(
                test,
                Test::AtMost {
                    zero_left: Some(_),
                    ..
                }
            )
        }));
    }
}

/// Rows and what the library predicts for them.
struct Case {
    rows: Vec<Vec<f32>>,
    expected: Vec<u8>,
}

impl Case {
    fn read(folder: &Path, seed: &str, features: usize) -> Self {
        let cells: Vec<f32> = fs::read(folder.join(format!("{seed}.rows")))
            .unwrap()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let case = Self {
            rows: cells.chunks_exact(features).map(<[f32]>::to_vec).collect(),
            expected: fs::read(folder.join(format!("{seed}.expected"))).unwrap(),
        };
        assert_eq!(case.rows.len(), ROWS);
        case
    }

    fn check(&self, file: &PathBuf, compare: Compare, totals: &mut Totals) {
        let bytes = fs::read(file).unwrap();
        // Names end with the column's number, whoever made them.
        let names = |name: &str| {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            digits.parse().ok()
        };
        let imported = import(&bytes, &names).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let extension = file.to_str().unwrap().split_once('.').unwrap().1;
        let format = match extension {
            "txt" => Format::LightGbmText,
            "dump.json" => Format::LightGbmJson,
            "json" => Format::XgBoostJson,
            _ => Format::XgBoostUbJson,
        };
        assert_eq!(imported.format, format);
        totals.count(&imported.ensemble);
        for (row, expected) in self
            .rows
            .iter()
            .zip(self.expected.chunks_exact(self.expected.len() / ROWS))
        {
            let (difference, same) = compare(&imported.ensemble, row, expected);
            totals.predictions += 1;
            totals.largest = totals.largest.max(difference);
            if !same {
                totals.different += 1;
                if totals.different < 10 {
                    println!("{file:?} {} {row:?}: {difference:e}", imported.objective);
                }
            }
        }
    }
}
