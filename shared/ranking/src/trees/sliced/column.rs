//! The thresholds of a feature: which of them a value is above.

use alloc::vec;
use alloc::vec::Vec;

use super::super::ensemble::Test;
use super::super::naive::ZERO_MAX;
use super::evaluate::{BYTES, Mask, or};

/// Buckets for a threshold: few hold more than one.
const BUCKETS: usize = 4;

/// Distinct tests of one feature that ask for a value of at most a threshold.
///
/// A value's bucket is a linear function of it; thresholds in buckets before are below it,
/// thresholds in buckets behind are above it, because rounding never swaps numbers. Those in
/// its own are searched in steps that halve: as many as the fullest bucket needs.
#[derive(Clone)]
pub(super) struct Column {
    /// Index into [`super::Ensemble::features`].
    pub(super) feature: u16,
    /// Whether these are the tests for which zero is missing.
    zero_is_missing: bool,
    /// Rising; then NaN, which no value is above, for steps that leave the last bucket.
    thresholds: Vec<f32>,
    /// By test, from the highest threshold: whether NaN and zero fail it where missing.
    missing: Vec<[bool; 2]>,
    /// By bucket: how many thresholds lie in those before.
    before: Vec<u16>,
    /// Steps of the search within a bucket.
    steps: u32,
    /// Where the first bucket lies.
    low: f32,
    /// Buckets for a difference of one.
    scale: f32,
}

impl Column {
    /// From tests whose thresholds fall.
    pub(super) fn new(feature: u16, tests: impl Iterator<Item = Test>) -> Self {
        let mut column = Self {
            feature,
            zero_is_missing: false,
            thresholds: Vec::new(),
            missing: Vec::new(),
            before: Vec::new(),
            steps: 0,
            low: 0.0,
            scale: 0.0,
        };
        for test in tests {
            if let Test::AtMost {
                threshold,
                nan_left,
                zero_left,
            } = test
            {
                column.zero_is_missing = zero_left.is_some();
                column.thresholds.push(threshold);
                column.missing.push([!nan_left, zero_left == Some(false)]);
            }
        }
        column.thresholds.reverse();
        column.fill_buckets();
        column
    }

    fn fill_buckets(&mut self) {
        let count = self.thresholds.len();
        self.before = vec![0; (count * BUCKETS).next_power_of_two()];
        let mut finite = self.thresholds.iter().filter(|number| number.is_finite());
        self.low = finite.next().copied().unwrap_or(0.0);
        let high = finite.next_back().copied().unwrap_or(self.low);
        let scale = self.last_bucket() / (high - self.low);
        // Where there is nothing to tell apart, one bucket holds all.
        self.scale = if scale.is_finite() { scale } else { 0.0 };
        for &threshold in &self.thresholds {
            let bucket = self.bucket(threshold) as usize;
            self.before[bucket] += 1;
        }
        let fullest = self.before.iter().copied().max().unwrap_or(0);
        self.steps = u16::BITS - fullest.leading_zeros();
        self.thresholds.resize(count + (1 << self.steps), f32::NAN);
        let mut sum = 0;
        for before in &mut self.before {
            sum += core::mem::replace(before, sum);
        }
    }

    fn last_bucket(&self) -> f32 {
        (self.before.len() - 1) as f32
    }

    /// The bucket of a value, the first for NaN. Vectors have no such conversion, but adding
    /// 2^23 to a number leaves it, rounded, in the low bits.
    #[inline(always)]
    fn bucket(&self, value: f32) -> u32 {
        let (last, place) = (self.last_bucket(), (value - self.low) * self.scale);
        let place = if place > 0.0 { place } else { 0.0 };
        let place = if place < last { place } else { last };
        (place + 8_388_608.0).to_bits() & 0x7F_FFFF
    }

    /// How many tests it has.
    pub(super) fn tests(&self) -> usize {
        self.missing.len()
    }

    /// Appends to `fails` which of a block of rows fail each test. `scratch` is all zero but
    /// for the first, which never counts, and left so.
    #[inline(always)]
    pub(super) fn answer(&self, values: &[f32], scratch: &mut [Mask], fails: &mut Vec<Mask>) {
        let (mut nan, mut zero) = ([0; BYTES], [0; BYTES]);
        for (bit, values) in values.chunks(BYTES).enumerate() {
            let mut lanes = [0.0; BYTES];
            if let Some(whole) = values.first_chunk() {
                lanes = *whole;
            } else {
                for (lane, &value) in lanes.iter_mut().zip(values) {
                    *lane = value;
                }
            }
            for lane in 0..BYTES {
                nan[lane] |= u8::from(lanes[lane].is_nan()) << bit;
            }
            if self.zero_is_missing {
                for lane in 0..BYTES {
                    let is_zero = lanes[lane].abs() <= ZERO_MAX;
                    zero[lane] |= u8::from(is_zero) << bit;
                    lanes[lane] = if is_zero { f32::NAN } else { lanes[lane] };
                }
            }
            let mut buckets = [0; BYTES];
            for lane in 0..BYTES {
                buckets[lane] = self.bucket(lanes[lane]);
            }
            let lanes = &lanes[..values.len().min(BYTES)];
            // Once more for each number of steps that is common.
            match self.steps {
                1 => self.mark(1, lanes, &buckets, bit, scratch),
                2 => self.mark(2, lanes, &buckets, bit, scratch),
                steps => self.mark(steps, lanes, &buckets, bit, scratch),
            }
        }
        let start = fails.len();
        let mut failing = [0; BYTES];
        let marks = &mut scratch[1..=self.tests()];
        fails.extend(marks.iter_mut().rev().map(|marked| {
            failing = or(failing, *marked);
            *marked = [0; BYTES];
            failing
        }));
        for (kind, missing) in [nan, zero].into_iter().enumerate() {
            if missing != [0; BYTES] {
                for (fails, sides) in fails[start..].iter_mut().zip(&self.missing) {
                    if sides[kind] {
                        *fails = or(*fails, missing);
                    }
                }
            }
        }
    }

    /// Marks each row at the number of thresholds that its value is above.
    #[inline(always)]
    fn mark(
        &self,
        steps: u32,
        lanes: &[f32],
        buckets: &[u32; BYTES],
        bit: usize,
        marks: &mut [Mask],
    ) {
        let (before, thresholds) = (self.before.as_slice(), self.thresholds.as_slice());
        for (lane, (&value, &bucket)) in lanes.iter().zip(buckets).enumerate() {
            let mut place = usize::from(before[bucket as usize]);
            for step in (0..steps).rev() {
                let is_above = value > thresholds[place + (1 << step) - 1];
                place += usize::from(is_above) << step;
            }
            marks[place][lane] |= 1 << bit;
        }
    }
}
