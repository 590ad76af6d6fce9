//! Trees alone: rows of features in, sums out.

use edgewise_ranking::Matrix;
use edgewise_ranking::trees::{Ensemble, Forest, Layout};
use edgewise_wire::model::ModelSnapshot;

use crate::BATCHES;
use crate::input::Input;

/// A model and batches of rows for it.
pub struct Trees {
    snapshot: Vec<u8>,
    forest: Forest,
    batches: Vec<Matrix>,
}

impl Trees {
    /// Forty batches of `rows` rows from the input; the model in `layout`, or in the one that
    /// is chosen for it.
    ///
    /// # Panics
    ///
    /// Where the input is no model or has too few rows.
    #[must_use]
    pub fn new(input: &Input, rows: usize, layout: Option<Layout>) -> Self {
        let ensemble = ensemble(&input.snapshot);
        let features = ensemble.features.clone();
        let width = features.len();
        let batches = input.rows.chunks_exact(rows * width).take(BATCHES);
        let batches = batches.map(|values| {
            let mut matrix = Matrix::new(rows, &features);
            for (column, &feature) in features.iter().enumerate() {
                let cells = matrix.column_mut(feature).iter_mut();
                for (cell, row) in cells.zip(values.chunks_exact(width)) {
                    *cell = row[column];
                }
            }
            matrix
        });
        let batches: Vec<Matrix> = batches.collect();
        assert_eq!(batches.len(), BATCHES, "the input has too few rows");
        let forest = match layout {
            None => Forest::new(ensemble),
            Some(layout) => Forest::with_layout(ensemble, layout),
        };
        Self {
            snapshot: input.snapshot.clone(),
            forest: forest.expect("the model is valid"),
            batches,
        }
    }

    /// Sums of batch `index`.
    pub fn sums(&self, index: usize, sums: &mut Vec<f64>) {
        self.forest.sums(&self.batches[index], sums);
    }

    /// Evaluates batch `index`; the result depends on every bit.
    #[must_use]
    pub fn run(&self, index: usize) -> u64 {
        let mut sums = Vec::new();
        self.sums(index, &mut sums);
        let bits = sums.iter().map(|sum| sum.to_bits());
        bits.fold(0, |digest: u64, bits| digest.rotate_left(7) ^ bits)
    }

    /// Decodes the snapshot and lays the trees out, as an edge does once a model.
    #[must_use]
    pub fn load(&self) -> u64 {
        ModelSnapshot::decode(&self.snapshot).map_or(0, |model| model.heads.len() as u64)
    }
}

fn ensemble(snapshot: &[u8]) -> Ensemble {
    let model = ModelSnapshot::decode(snapshot).expect("a snapshot");
    let head = model.heads.into_iter().next().expect("a head");
    head.forest.ensemble().clone()
}
