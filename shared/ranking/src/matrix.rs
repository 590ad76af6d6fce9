//! Feature values as columns: what trees read.

use alloc::vec;
use alloc::vec::Vec;

use crate::feature::Feature;

/// Rows are padded to a multiple of this, so that evaluators never have a tail.
pub const LANES: usize = 16;

/// A column that the matrix does not hold.
const ABSENT: u16 = 0;

/// Values of some features for some rows, column by column. A missing value is NaN.
///
/// ```
/// use edgewise_ranking::Matrix;
/// let mut matrix = Matrix::new(2, &[7]);
/// matrix.column_mut(7)[..2].copy_from_slice(&[1.0, 2.0]);
/// assert_eq!(matrix.column(7)[1], 2.0);
/// assert!(matrix.column(3)[0].is_nan(), "not held: missing");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    rows: usize,
    /// Rows with padding.
    stride: usize,
    /// Feature to its place among the columns; [`ABSENT`] is the column of NaN.
    places: Vec<u16>,
    /// The column of NaN, then the held ones.
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of `rows` rows that holds the features `held` (indices of the feature
    /// table), all 0.
    #[must_use]
    pub fn new(rows: usize, held: &[u16]) -> Self {
        let stride = rows.next_multiple_of(LANES);
        let width = held.iter().copied().max().map_or(0, usize::from) + 1;
        let mut places = vec![ABSENT; width];
        let mut columns = 1;
        for &feature in held {
            let place = &mut places[usize::from(feature)];
            if *place == ABSENT {
                *place = columns;
                columns += 1;
            }
        }
        let mut values = vec![0.0; stride * usize::from(columns)];
        values[..stride].fill(f32::NAN);
        Self {
            rows,
            stride,
            places,
            values,
        }
    }

    /// Number of rows, without padding.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a column: the rows rounded up to a multiple of [`LANES`].
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The values of `feature`, padding included; all NaN where it is not held.
    #[must_use]
    pub fn column(&self, feature: u16) -> &[f32] {
        let start = self.place(feature) * self.stride;
        &self.values[start..start + self.stride]
    }

    /// The values of a stored feature, without padding.
    pub(crate) fn stored(&self, feature: Feature) -> &[f32] {
        &self.column(feature as u16)[..self.rows]
    }

    /// The values of `feature` to write; empty where it is not held.
    pub fn column_mut(&mut self, feature: u16) -> &mut [f32] {
        let (place, stride) = (self.place(feature), self.stride);
        if place == usize::from(ABSENT) {
            return &mut [];
        }
        &mut self.values[place * stride..][..stride]
    }

    fn place(&self, feature: u16) -> usize {
        usize::from(
            self.places
                .get(usize::from(feature))
                .copied()
                .unwrap_or(ABSENT),
        )
    }
}
