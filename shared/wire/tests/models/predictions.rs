//! Imported models predict what the libraries that trained them predict.
//!
//! `tests/oracles/predict.py` trains models and writes them with rows and raw predictions; here
//! each is imported and evaluated, node by node and in the layout that a [`Forest`] chooses. `EDGEWISE_PYTHON` names an interpreter
//! with the packages of `tests/oracles/requirements.txt` (`cargo xtask setup` makes it, `cargo
//! xtask test` sets it); without it these tests say that they were skipped.
//! `EDGEWISE_MODELS` is how many models of each library are trained.

use std::fs;
use std::path::Path;
use std::process::Command;

use edgewise_ranking::Matrix;
use edgewise_ranking::trees::{Ensemble, Forest, Layout, Test};
use edgewise_wire::import::{Format, import};

/// Models of each library where `EDGEWISE_MODELS` does not say.
const MODELS: u32 = 1_000;
/// Largest difference to LightGBM, whose sums are `f64`, absolute and relative.
const TOLERANCE: f64 = 1e-12;
const ROWS: usize = 1_000;

/// The expected prediction of a row, by its bytes.
type Expected = fn(&[u8]) -> f64;

#[test]
fn predictions_are_lightgbms() {
    check("lightgbm", TOLERANCE, |bytes| {
        f64::from_le_bytes(bytes.try_into().unwrap())
    });
}

#[test]
fn predictions_are_xgboosts_to_the_bit() {
    check("xgboost", 0.0, |bytes| {
        f32::from_le_bytes(bytes.try_into().unwrap()).into()
    });
}

fn check(library: &str, tolerance: f64, expected: Expected) {
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
        let case = Case::read(&folder, seed, features.parse().unwrap(), expected);
        for format in formats.split(',') {
            case.check(
                &folder.join(format!("{seed}.{format}")),
                tolerance,
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
    assert!(totals.quick > 0);
    assert_eq!(totals.zero_tests > 0, library == "lightgbm");
}

#[derive(Debug, Default)]
struct Totals {
    models: u32,
    files: u32,
    predictions: u64,
    /// Beyond the tolerance.
    different: u64,
    /// Not equal to the bit.
    other_bits: u64,
    largest: f64,
    /// Files that are not evaluated node by node.
    quick: u32,
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
    matrix: Matrix,
    expected: Vec<f64>,
}

impl Case {
    fn read(folder: &Path, seed: &str, features: u16, expected: Expected) -> Self {
        let cells = fs::read(folder.join(format!("{seed}.rows"))).unwrap();
        let held: Vec<u16> = (0..features).collect();
        let mut matrix = Matrix::new(ROWS, &held);
        let rows = cells.chunks_exact(4 * usize::from(features));
        assert_eq!(rows.len(), ROWS);
        for (at, row) in rows.enumerate() {
            for (feature, cell) in (0..).zip(row.chunks_exact(4)) {
                matrix.column_mut(feature)[at] = f32::from_le_bytes(cell.try_into().unwrap());
            }
        }
        let bytes = fs::read(folder.join(format!("{seed}.expected"))).unwrap();
        let expected = bytes.chunks_exact(bytes.len() / ROWS).map(expected);
        Self {
            matrix,
            expected: expected.collect(),
        }
    }

    fn check(&self, file: &Path, tolerance: f64, totals: &mut Totals) {
        let bytes = fs::read(file).unwrap();
        // Names end with the column's number, whoever made them.
        let names = |name: &str| {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            digits.parse().ok()
        };
        let imported = import(&bytes, &names).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let format = match file.to_str().unwrap().split_once('.').unwrap().1 {
            "txt" => Format::LightGbmText,
            "dump.json" => Format::LightGbmJson,
            "json" => Format::XgBoostJson,
            _ => Format::XgBoostUbJson,
        };
        assert_eq!(imported.format, format);
        totals.count(&imported.ensemble);
        let chosen = Forest::new(imported.ensemble.clone()).unwrap();
        totals.quick += u32::from(chosen.layout() != Layout::Naive);
        let naive = Forest::with_layout(imported.ensemble, Layout::Naive).unwrap();
        let mut sums = Vec::new();
        for forest in [chosen, naive] {
            forest.sums(&self.matrix, &mut sums);
            for (row, (sum, expected)) in sums.iter().zip(&self.expected).enumerate() {
                let difference = (sum - expected).abs();
                totals.predictions += 1;
                totals.other_bits += u64::from(sum.to_bits() != expected.to_bits());
                totals.largest = totals.largest.max(difference);
                // Where nothing is tolerated, not even the sign of a zero.
                let same = difference <= tolerance * expected.abs().max(1.0)
                    && (tolerance > 0.0 || sum.to_bits() == expected.to_bits());
                if !same {
                    totals.different += 1;
                    println!(
                        "{file:?} {:?} row {row}: {sum:e} {expected:e}",
                        forest.layout()
                    );
                    assert!(totals.different < 10, "and so on");
                }
            }
        }
    }
}
