//! Models that LightGBM trains for the benches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edgewise_ranking::Head;
use edgewise_ranking::feature::{index_of, schema_hash};
use edgewise_ranking::trees::Forest;
use edgewise_wire::import::import;
use edgewise_wire::model::ModelSnapshot;
use edgewise_workloads::input::Input;
use edgewise_workloads::trees::Trees;
use edgewise_workloads::{BATCHES, normal_rows, personal};

/// Rows of a batch of trees, as feeds have candidates.
pub(super) const ROWS: usize = 500;
/// Features of the plain models.
pub(super) const COLUMNS: usize = 30;

/// A trained model as workloads take it.
pub(super) struct Model {
    pub(super) input: Input,
    /// The input as a file.
    pub(super) path: PathBuf,
    /// LightGBM's text, and the rows it is timed on.
    pub(super) text: PathBuf,
    /// Little-endian, of all features.
    pub(super) rows: PathBuf,
}

/// Binary classification on normally distributed features.
pub(super) fn plain_model(folder: &Path, trees: usize, leaves: usize) -> Result<Model> {
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    let rows = normal_rows(BATCHES * ROWS, COLUMNS);
    let index = |name: &str| name.strip_prefix('c')?.parse().ok();
    train(
        folder,
        &format!("plain{trees}"),
        &rows,
        &names,
        trees,
        leaves,
        &index,
    )
}

/// A model of the feature table, for whole pages.
pub(super) fn personal_model(folder: &Path) -> Result<Model> {
    let names = personal::FEATURES.map(String::from);
    let rows = personal::rows(BATCHES, ROWS);
    train(folder, "personal", &rows, &names, 100, 31, &index_of)
}

fn train(
    folder: &Path,
    name: &str,
    values: &[f32],
    names: &[String],
    trees: usize,
    leaves: usize,
    index: &dyn Fn(&str) -> Option<u16>,
) -> Result<Model> {
    let file = |extension: &str| folder.join(format!("{name}.{extension}"));
    let (rows, text, expected) = (file("rows"), file("txt"), file("sums"));
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(&rows, bytes)?;
    let numbers = [names.len(), trees, leaves].map(|number| number.to_string());
    let mut train = python()?;
    train.arg("train").arg(&rows).args(numbers);
    train.arg(names.join(",")).arg(&text).arg(&expected);
    output(&mut train)?;
    let imported = import(&fs::read(&text)?, index).context("LightGBM's text")?;
    let forest = Forest::new(imported.ensemble)?;
    let snapshot = ModelSnapshot {
        version: name.to_owned(),
        schema_hash: schema_hash(),
        configs: Vec::new(),
        heads: vec![Head {
            name: "click".to_owned(),
            forest,
        }],
    };
    let input = Input {
        snapshot: snapshot.encode(),
        rows: selected(values, names, &imported.features),
    };
    let path = file("input");
    fs::write(&path, input.to_bytes())?;
    same_predictions(&input, &fs::read(expected)?)?;
    Ok(Model {
        input,
        path,
        text,
        rows,
    })
}

/// The columns of the features that the model reads, in its order.
fn selected(values: &[f32], names: &[String], used: &[String]) -> Vec<f32> {
    let columns: Vec<usize> = used
        .iter()
        .filter_map(|name| names.iter().position(|known| known == name))
        .collect();
    let rows = values.chunks_exact(names.len());
    rows.flat_map(|row| columns.iter().map(|&column| row[column]))
        .collect()
}

/// What is timed predicts what LightGBM predicts.
fn same_predictions(input: &Input, expected: &[u8]) -> Result<()> {
    let trees = Trees::new(input, ROWS, None);
    let (first, _) = expected.as_chunks::<8>();
    for (batch, expected) in first.chunks_exact(ROWS).enumerate() {
        let mut sums = Vec::new();
        trees.sums(batch, &mut sums);
        for (sum, expected) in sums.iter().zip(expected) {
            let expected = f64::from_le_bytes(*expected);
            ensure!(
                (sum - expected).abs() <= 1e-12,
                "{sum} is not LightGBM's {expected}"
            );
        }
    }
    Ok(())
}

/// `peers.py` with the Python that has the peers.
pub(super) fn python() -> Result<Command> {
    let python = std::env::var_os("EDGEWISE_PYTHON")
        .context("the peers need Python: run this by `cargo xtask bench`, which sets it up")?;
    let mut python = Command::new(python);
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/peers.py"));
    Ok(python)
}

/// What a command prints; an error with its errors where it fails.
pub(super) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(output.stdout)
}
