//! Rounding of features: what a bundle keeps of a quantity that is smooth.
//!
//! | feature | exact up to | relative error beyond, at most |
//! |---|---|---|
//! | impressions, timed views | 256 | 2^-8 (0.4 %) |
//! | watch ratio sum | multiples of 1/128 up to 2 | 2^-8 |
//! | clicks, completed views | 128 | 2^-7 (0.8 %) |
//! | hot scores | multiples of 1/16 up to 2 | 2^-5 (3.1 %) |
//! | similarity, popularities | multiples of 1/1024 up to 1/32 | 2^-5 |
//! | duration | multiples of 1/8 s up to 16 s | 2^-7 |
//! | all others | every value | 0 |
//!
//! Likes, comments, shares, hides, follows and interactions stay exact: people see some of
//! them, most are small, and where they are large an exception costs a byte or two. Bad values
//! (not finite, negative, -0.0, out of the feature's range, counts that are not whole) stay as
//! they are, so that they are counted as bad wherever the bundle is ranked.
//!
//! **The score's error.** Let e = 2^-8, n = e / (1 - e) = 1/255, and a row have
//! `watch_ratio_sum` at most `timed_views`, as counted rows do. Engagement is log1p(a / m) with
//! exact a; m off by a factor of 1 ± e moves it by at most |ln(1 ± e)| <= n. Completion is
//! (w + P p) / (v + P), at most 1; w off by e w or half a step (2^-8) and v by e v move it by at
//! most 2 n + 2^-8 / P. So with the default configuration, weights and P = 10, the score of
//! profile `feed` is off by at most 0.4 n < 0.0016, that of `video` by at most
//! 0.25 n + 0.4 (2 n + 2^-8 / 10) < 0.0043. A test draws rows and compares.

use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, NO_LABEL};

use super::Bundle;
use crate::limits::LABELS_MAX;

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
        // From 2^23 on all are whole.
        let is_whole = value >= 8_388_608.0 || value as u32 as f32 == value;
        if !is_good || (self.step >= 0 && !is_whole) {
            return value;
        }
        let rounded = if value < power_of_two(self.step + self.bits as i32) as f32 {
            // Exact: both are products with powers of two.
            let multiple = (f64::from(value) * power_of_two(-self.step) + 0.5) as u32;
            f64::from(multiple) as f32 * power_of_two(self.step) as f32
        } else {
            // Half up; a carry goes on into the exponent, as it should.
            let unit = 1 << (23 - self.bits);
            f32::from_bits((value.to_bits() + unit / 2) & !(unit - 1))
        };
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
    fn value(self, index: u32) -> f32 {
        let mut value = [0.0];
        self.values(&[index], &mut value);
        value[0]
    }

    /// The values at `indices`. Both ways are computed and one is masked out: a branch would
    /// keep the loop from being vectorised.
    pub(super) fn values(self, indices: &[u32], values: &mut [f32]) {
        let (steps, offset, shift) = (self.steps(), self.offset(), 23 - self.bits);
        let step = power_of_two(self.step) as f32;
        for (value, &index) in values.iter_mut().zip(indices) {
            // Below 2^24: signed conversion is one instruction everywhere.
            let multiple = (index as i32 as f32 * step).to_bits();
            let scaled = index.wrapping_add(offset) << shift;
            let is_multiple = u32::from(index < steps).wrapping_neg();
            *value = f32::from_bits(multiple & is_multiple | scaled & !is_multiple);
        }
    }

    /// The value's index, where it is on the grid.
    pub(super) fn index(self, value: f32) -> Option<u32> {
        let multiple = f64::from(value) * power_of_two(-self.step);
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

/// The rows' values of `feature` as a bundle keeps them; `None` where it was not given.
pub(super) fn quantised(
    candidates: &Candidates,
    rows: usize,
    feature: Feature,
) -> Vec<Option<f32>> {
    let grid = Grid::of(feature);
    let mut kept = vec![None; rows];
    let values = candidates.columns[feature as usize].iter();
    for ((slot, &value), bits) in kept.iter_mut().zip(values).zip(&candidates.present) {
        if bits >> feature as u32 & 1 == 1 {
            *slot = Some(grid.map_or(value, |grid| grid.round(feature, value)));
        }
    }
    kept
}

impl Bundle {
    /// Rounds features to what the bundle's bytes keep of them, as the module says; values
    /// that were not given become 0, and labels beyond [`LABELS_MAX`] are no longer referred to. Who ranks a bundle that others decode calls it first, so
    /// that both rank the same bits. Once or often is the same.
    pub fn quantise(&mut self) {
        for feature in Feature::ALL {
            let values = quantised(&self.candidates, self.candidates.len(), feature);
            let values = values.into_iter().map(Option::unwrap_or_default).collect();
            self.candidates.columns[feature as usize] = values;
        }
        keep_labels(&mut self.candidates);
    }
}

/// Takes away what refers to labels that a bundle has no room for.
fn keep_labels(candidates: &mut Candidates) {
    if candidates.labels.len() <= LABELS_MAX {
        return;
    }
    let is_kept = |label: u16| usize::from(label) < LABELS_MAX;
    for label in candidates.language.iter_mut().chain(&mut candidates.region) {
        if !is_kept(*label) {
            *label = NO_LABEL;
        }
    }
    let mut tags = Vec::with_capacity(candidates.tags.len());
    let mut ends = Vec::with_capacity(candidates.tag_ends.len());
    for row in 0..candidates.tag_ends.len() {
        let of_row = candidates.tags_of(row).iter();
        tags.extend(of_row.copied().filter(|&tag| is_kept(tag)));
        ends.push(tags.len() as u32);
    }
    (candidates.tags, candidates.tag_ends) = (tags, ends);
}

#[cfg(test)]
mod tests;
