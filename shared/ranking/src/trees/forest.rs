//! An ensemble laid out once for many rankings.

use alloc::vec::Vec;
use core::fmt;

use crate::Matrix;
use crate::vectors::logistic;

use super::ensemble::{Ensemble, EnsembleError, Link};
use super::naive;
use super::sliced::Sliced;

/// Rows that are evaluated one by one in any layout: a block of rows would cost more.
const FEW_ROWS: usize = 1;

/// How the trees of a [`Forest`] lie in memory. Every layout gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Node by node from the root, a row at a time: obvious, what tests compare with, and
    /// quick enough for a row or two.
    Naive,
    /// Distinct tests first, then from node to node with a bit for each of 256 rows.
    BitSliced,
}

/// A checked [`Ensemble`] in the layout that evaluates it fastest.
///
/// ```
/// use edgewise_ranking::Matrix;
/// use edgewise_ranking::trees::{Child, Ensemble, Forest, Node, Test, Tree};
/// let test = Test::AtMost { threshold: 0.5, nan_left: false, zero_left: None };
/// let root = Node { feature: 0, test, left: Child::Leaf(0), right: Child::Leaf(1) };
/// let stump = Tree { nodes: vec![root], leaves: vec![-1.0, 1.0] };
/// let forest = Forest::new(Ensemble {
///     features: vec![7],
///     trees: vec![stump],
///     ..Ensemble::default()
/// })?;
///
/// let mut matrix = Matrix::new(3, &[7]);
/// matrix.column_mut(7)[..3].copy_from_slice(&[0.0, 1.0, f32::NAN]);
/// let mut sums = Vec::new();
/// forest.sums(&matrix, &mut sums);
/// assert_eq!(sums, [-1.0, 1.0, 1.0]);
/// # Ok::<(), edgewise_ranking::trees::EnsembleError>(())
/// ```
#[derive(Clone)]
pub struct Forest {
    ensemble: Ensemble,
    /// `None`: the naive layout is the ensemble itself.
    sliced: Option<Sliced>,
}

impl Forest {
    /// Checks `ensemble` and lays it out.
    ///
    /// # Errors
    /// What [`Ensemble::check`] finds.
    pub fn new(ensemble: Ensemble) -> Result<Self, EnsembleError> {
        ensemble.check()?;
        Ok(Self::laid_out(ensemble, Layout::BitSliced))
    }

    /// Checks `ensemble` and lays it out as `layout`, for tests and benches.
    ///
    /// # Errors
    /// What [`Ensemble::check`] finds.
    pub fn with_layout(ensemble: Ensemble, layout: Layout) -> Result<Self, EnsembleError> {
        ensemble.check()?;
        Ok(Self::laid_out(ensemble, layout))
    }

    fn laid_out(ensemble: Ensemble, layout: Layout) -> Self {
        let sliced = match layout {
            Layout::Naive => None,
            Layout::BitSliced => Some(Sliced::new(&ensemble)),
        };
        Self { ensemble, sliced }
    }

    /// The layout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        match self.sliced {
            None => Layout::Naive,
            Some(_) => Layout::BitSliced,
        }
    }

    /// What was laid out.
    #[must_use]
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Indices of the feature table that the trees read: what a [`Matrix`] should hold.
    #[must_use]
    pub fn features(&self) -> &[u16] {
        &self.ensemble.features
    }

    /// Replaces `sums` by the raw sum (margin) of each row of `matrix`.
    pub fn sums(&self, matrix: &Matrix, sums: &mut Vec<f64>) {
        match &self.sliced {
            Some(sliced) if matrix.rows() > FEW_ROWS => sliced.sums(&self.ensemble, matrix, sums),
            _ => naive::sums(&self.ensemble, matrix, sums),
        }
        if self.ensemble.average && !self.ensemble.trees.is_empty() {
            let trees = self.ensemble.trees.len() as f64;
            for sum in sums {
                *sum /= trees;
            }
        }
    }

    /// The prediction for a raw sum.
    #[must_use]
    pub fn link(&self, sum: f64) -> f64 {
        self.ensemble.link.apply(sum)
    }
}

impl Link {
    /// The prediction for a raw sum.
    #[must_use]
    pub fn apply(self, sum: f64) -> f64 {
        let prediction = match self {
            Self::Identity => sum,
            Self::Logistic { scale } => logistic(scale * sum),
            Self::Exp => libm::exp(sum),
        };
        // The bits of a NaN that arithmetic makes differ from machine to machine.
        if prediction.is_nan() {
            f64::NAN
        } else {
            prediction
        }
    }
}

/// The layout follows from the ensemble, so equal ensembles in equal layouts are equal.
impl PartialEq for Forest {
    fn eq(&self, other: &Self) -> bool {
        self.layout() == other.layout() && self.ensemble == other.ensemble
    }
}

/// A summary: thousands of nodes help nobody.
impl fmt::Debug for Forest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forest")
            .field("layout", &self.layout())
            .field("library", &self.ensemble.library)
            .field("features", &self.ensemble.features.len())
            .field("trees", &self.ensemble.trees.len())
            .field("link", &self.ensemble.link)
            .finish_non_exhaustive()
    }
}
