//! Rounding of features: what a bundle keeps of a quantity that is smooth.

use edgewise_ranking::{Candidates, Feature};

use super::Bundle;

/// The numbers that rounding leaves: those with so many bits after their leading one that
/// are multiples of a step, indexed from 0.0 up.
///
/// Below 2^(step + bits + 1) all multiples of the step are, and the index is the multiple; it
/// goes on with as many indices for each doubling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Bits after the leading one, 0 to 23: the relative error is at most 2^-(bits + 1).
    pub(super) bits: u32,
    /// The step is 2^this, -100 to 100: the absolute error of small values is at most half of
    /// it.
    pub(super) step: i32,
}

impl Grid {
    /// The feature's grid; `None` where every bit counts: acts are shown to people and small,
    /// positions and interactions are small, and the dot product is the origin's.
    pub(super) const fn of(feature: Feature) -> Option<Self> {
        let (bits, step) = match feature {
            Feature::Impressions | Feature::TimedViews => (7, 0),
            Feature::WatchRatioSum => (7, -7),
            Feature::Clicks | Feature::CompletedViews => (6, 0),
            Feature::Hot1h | Feature::Hot24h | Feature::Hot7d => (4, -4),
            Feature::Similarity | Feature::RegionPopularity | Feature::LanguagePopularity => {
                (4, -10)
            }
            Feature::Duration => (6, -3),
            _ => return None,
        };
        Some(Self { bits, step })
    }

    /// The rounded value. A value that is bad, negative or not a whole count stays as it is,
    /// and so does one that would be rounded out of the feature's range.
    fn round(self, feature: Feature, value: f32) -> f32 {
        let spec = feature.spec();
        // NaN is in no range.
        let is_good = value > 0.0 && value >= spec.min && value <= spec.max;
        let is_whole = value as u64 as f32 == value;
        if !is_good || (self.step >= 0 && !is_whole) {
            return value;
        }
        let exponent = (value.to_bits() >> 23) as i32 - 127;
        let unit = power_of_two((exponent - self.bits as i32).max(self.step));
        // A quotient by a power of two is exact, and at most 2^(bits + 1).
        let rounded = (f64::from(value) / unit + 0.5) as u64 as f64 * unit;
        let rounded = rounded as f32;
        if rounded <= spec.max { rounded } else { value }
    }

    /// The first index after the multiples of the step.
    const fn steps(self) -> u32 {
        2 << self.bits
    }

    /// What an index lacks to the shifted bits of its value, beyond the steps.
    const fn offset(self) -> u32 {
        ((126 + self.step + self.bits as i32) as u32) << self.bits
    }

    /// The largest index whose value has bits.
    pub(super) const fn index_max(self) -> u32 {
        (u32::MAX >> (23 - self.bits)).saturating_sub(self.offset())
    }

    /// The value at an index of at most [`Grid::index_max`].
    #[inline]
    pub(super) fn value(self, index: u32) -> f32 {
        if index < self.steps() {
            index as f32 * power_of_two(self.step) as f32
        } else {
            f32::from_bits((index + self.offset()) << (23 - self.bits))
        }
    }

    /// The value's index, where it is on the grid.
    pub(super) fn index(self, value: f32) -> Option<u32> {
        let multiple = f64::from(value) / power_of_two(self.step);
        let index = if multiple < f64::from(self.steps()) {
            multiple as u32
        } else {
            (value.to_bits() >> (23 - self.bits)).checked_sub(self.offset())?
        };
        let is_on = index <= self.index_max() && self.value(index).to_bits() == value.to_bits();
        is_on.then_some(index)
    }
}

/// 2^exponent, for exponents of `f32`.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1_023 + exponent) as u64) << 52)
}

/// The row's value of `feature` as a bundle keeps it; `None` where it was not given.
pub(super) fn quantised(candidates: &Candidates, row: usize, feature: Feature) -> Option<f32> {
    let value = candidates.feature(row, feature)?;
    Some(Grid::of(feature).map_or(value, |grid| grid.round(feature, value)))
}

impl Bundle {
    /// Rounds features to what the bundle's bytes keep of them, as the module says; values
    /// that were not given become 0. Who ranks a bundle that others decode calls it first, so
    /// that both rank the same bits. Once or often is the same.
    pub fn quantise(&mut self) {
        for feature in Feature::ALL {
            let rows = self.candidates.len();
            let values = (0..rows).map(|row| quantised(&self.candidates, row, feature));
            let values = values.map(Option::unwrap_or_default).collect();
            self.candidates.columns[feature as usize] = values;
        }
    }
}

#[cfg(test)]
mod tests;
