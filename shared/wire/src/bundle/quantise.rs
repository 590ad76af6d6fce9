//! Rounding of features: what a bundle keeps of a quantity that is smooth.

use edgewise_ranking::{Candidates, Feature};

use super::Bundle;

/// How values of a feature are rounded: to the nearest number that has so many bits after
/// its leading one, but not finer than a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounding {
    /// Bits after the leading one: the relative error is at most 2^-(bits + 1).
    pub(super) bits: i32,
    /// The finest step is 2^this: the absolute error of small values is at most half of it.
    pub(super) step: i32,
}

/// Large counts that no one is shown, and sums beside them.
const COUNT_BITS: i32 = 8;

impl Rounding {
    /// The feature's rounding; `None` where every bit counts: acts are shown to people and
    /// small, positions and interactions are small, and the dot product is the origin's.
    pub(super) const fn of(feature: Feature) -> Option<Self> {
        let (bits, step) = match feature {
            Feature::Impressions
            | Feature::Clicks
            | Feature::TimedViews
            | Feature::CompletedViews => (COUNT_BITS, 0),
            Feature::WatchRatioSum => (COUNT_BITS, -8),
            Feature::Hot1h | Feature::Hot24h | Feature::Hot7d => (6, -8),
            Feature::Similarity | Feature::RegionPopularity | Feature::LanguagePopularity => {
                (5, -10)
            }
            Feature::Duration => (7, -3),
            _ => return None,
        };
        Some(Self { bits, step })
    }

    /// The rounded value. A value that is bad, negative or not a whole count stays as it is,
    /// and so does one that would be rounded out of the feature's range.
    pub(super) fn round(self, feature: Feature, value: f32) -> f32 {
        let spec = feature.spec();
        // NaN is in no range; bits tell -0.0.
        let is_good = value > 0.0 && value >= spec.min && value <= spec.max;
        let is_whole = value as u64 as f32 == value;
        if !is_good || (self.step >= 0 && !is_whole) {
            return value;
        }
        let exponent = (value.to_bits() >> 23) as i32 - 127;
        let unit = power_of_two((exponent - self.bits).max(self.step));
        // A quotient by a power of two is exact, and at most 2^(bits + 1).
        let rounded = ((f64::from(value) / unit + 0.5) as u64) as f64 * unit;
        let rounded = rounded as f32;
        if rounded <= spec.max { rounded } else { value }
    }
}

/// 2^exponent, for exponents of `f32`.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1_023 + exponent) as u64) << 52)
}

/// The row's value of `feature` as a bundle keeps it; `None` where it was not given.
pub(super) fn quantised(candidates: &Candidates, row: usize, feature: Feature) -> Option<f32> {
    let value = candidates.feature(row, feature)?;
    Some(Rounding::of(feature).map_or(value, |rounding| rounding.round(feature, value)))
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
