//! Short vectors of items, one byte a dimension: what travels of an item's vector.

use alloc::vec::Vec;

/// Dimensions of a sketch. Fixed, so that sketches of any bundle compare.
pub const SKETCH_DIMS: usize = 8;

/// Sketches of candidates, row by row. A value is the byte times `scale`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketches {
    /// Above 0 and finite where there are sketches.
    pub scale: f32,
    /// [`SKETCH_DIMS`] a row; empty where no row has a sketch. All zero is "none".
    pub values: Vec<[i8; SKETCH_DIMS]>,
}

/// The user's vector in the space of the sketches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserVector {
    /// A value is the byte times this.
    pub scale: f32,
    /// One byte a dimension.
    pub values: [i8; SKETCH_DIMS],
}

impl Sketches {
    /// The row's sketch; `None` where it has none.
    #[must_use]
    pub fn of(&self, row: usize) -> Option<&[i8; SKETCH_DIMS]> {
        self.values
            .get(row)
            .filter(|sketch| sketch.iter().any(|&byte| byte != 0))
    }

    /// Dot product of the row's sketch and the user's vector; `None` where either is
    /// missing. Exact in integers, scaled once.
    #[must_use]
    pub fn dot(&self, row: usize, user: &UserVector) -> Option<f32> {
        let sketch = self.of(row)?;
        if user.values == [0; SKETCH_DIMS] {
            return None;
        }
        let scaled =
            f64::from(dot(sketch, &user.values)) * (f64::from(self.scale) * f64::from(user.scale));
        Some(scaled as f32).filter(|dot| dot.is_finite())
    }
}

/// At most 8 * 2^14: exact.
#[inline]
pub(crate) fn dot(a: &[i8; SKETCH_DIMS], b: &[i8; SKETCH_DIMS]) -> i32 {
    let mut sum = 0;
    for at in 0..SKETCH_DIMS {
        sum += i32::from(a[at]) * i32::from(b[at]);
    }
    sum
}
