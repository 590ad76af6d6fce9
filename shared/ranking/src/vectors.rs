//! Dot products in an order that does not depend on the machine.
//!
//! A sum of `f32` depends on the order of its terms. Here lane `k` of 16 sums the products
//! at `k`, `k + 16`, ... from left to right, then the upper half of the lanes is added to
//! the lower until one is left; that is what vectors of any width do quickly. Sums of `i8`
//! products are exact in any order.

use alloc::vec::Vec;

use crate::LANES;
use crate::simd::{Kernel, dispatch};

/// Most dimensions of an `i8` vector: the largest dot product, 2^14 each, still fits `i32`.
pub const I8_DIMENSIONS_MAX: usize = 1 << 16;

/// Replaces `dots` by the dot product of `query` with each row of `table`, whose rows are as
/// long as `query` and follow one another. What is left of a row at the end is ignored; an
/// empty query has no rows.
pub fn dots_f32(query: &[f32], table: &[f32], dots: &mut Vec<f32>) {
    dots.clear();
    if query.is_empty() {
        return;
    }
    dots.resize(table.len() / query.len(), 0.0);
    dispatch(F32 { query, table, dots });
}

/// Replaces `dots` by the dot products as [`dots_f32`] does, exactly. Empty where the query
/// is longer than [`I8_DIMENSIONS_MAX`].
pub fn dots_i8(query: &[i8], table: &[i8], dots: &mut Vec<i32>) {
    dots.clear();
    if query.is_empty() || query.len() > I8_DIMENSIONS_MAX {
        return;
    }
    dots.resize(table.len() / query.len(), 0);
    dispatch(I8 { query, table, dots });
}

struct F32<'a> {
    query: &'a [f32],
    table: &'a [f32],
    dots: &'a mut [f32],
}

impl Kernel for F32<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self.table.chunks_exact(self.query.len());
        for (row, dot) in rows.zip(self.dots) {
            *dot = dot_f32(self.query, row);
        }
    }
}

#[inline(always)]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    let mut sums = lanes::ZERO;
    for (a, b) in a.iter().zip(b) {
        sums = lanes::add_products(sums, a, b);
    }
    if !a_tail.is_empty() {
        // A sum that began with 0 is never -0, so adding 0 where the tail ends changes nothing.
        let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
        a[..a_tail.len()].copy_from_slice(a_tail);
        b[..b_tail.len()].copy_from_slice(b_tail);
        sums = lanes::add_products(sums, &a, &b);
    }
    let sum = lanes::total(sums);
    // The bits of a NaN that arithmetic makes differ from machine to machine.
    if sum.is_nan() { f32::NAN } else { sum }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod lanes {
    use super::LANES;

    pub(super) const ZERO: [f32; LANES] = [0.0; LANES];

    #[inline(always)]
    pub(super) fn add_products(
        mut sums: [f32; LANES],
        a: &[f32; LANES],
        b: &[f32; LANES],
    ) -> [f32; LANES] {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
        sums
    }

    #[inline(always)]
    pub(super) fn total(mut sums: [f32; LANES]) -> f32 {
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        sums[0]
    }
}

/// Spelled out: the compiler makes vectors of the portable code in some modules and not in
/// others, and then it takes twice the time.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use core::arch::wasm32::{
        f32x4, f32x4_add, f32x4_extract_lane, f32x4_mul, i32x4_shuffle, v128,
    };

    use super::LANES;

    pub(super) const ZERO: [v128; LANES / 4] = [f32x4(0.0, 0.0, 0.0, 0.0); LANES / 4];

    #[inline(always)]
    pub(super) fn add_products(
        mut sums: [v128; LANES / 4],
        a: &[f32; LANES],
        b: &[f32; LANES],
    ) -> [v128; LANES / 4] {
        let load = |[a, b, c, d]: [f32; 4]| f32x4(a, b, c, d);
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        for quarter in 0..LANES / 4 {
            let product = f32x4_mul(load(a[quarter]), load(b[quarter]));
            sums[quarter] = f32x4_add(sums[quarter], product);
        }
        sums
    }

    #[inline(always)]
    pub(super) fn total([a, b, c, d]: [v128; LANES / 4]) -> f32 {
        let four = f32x4_add(f32x4_add(a, c), f32x4_add(b, d));
        let two = f32x4_add(four, i32x4_shuffle::<2, 3, 2, 3>(four, four));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
}

struct I8<'a> {
    query: &'a [i8],
    table: &'a [i8],
    dots: &'a mut [i32],
}

impl Kernel for I8<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self.table.chunks_exact(self.query.len());
        for (row, dot) in rows.zip(self.dots) {
            *dot = dot_i8(self.query, row);
        }
    }
}

#[inline(always)]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    let tail = a_tail.iter().zip(b_tail);
    dot_lanes(a, b) + tail.map(|(&a, &b)| product(a, b)).sum::<i32>()
}

/// As `i16`, which holds it: the compiler then multiplies and adds pairs at once.
#[inline(always)]
fn product(a: i8, b: i8) -> i32 {
    i32::from(i16::from(a) * i16::from(b))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn dot_lanes(a: &[[i8; LANES]], b: &[[i8; LANES]]) -> i32 {
    let products = a.as_flattened().iter().zip(b.as_flattened());
    products.map(|(&a, &b)| product(a, b)).sum()
}

/// The compiler does not find `i32x4.dot_i16x8_s`.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn dot_lanes(a: &[[i8; LANES]], b: &[[i8; LANES]]) -> i32 {
    use core::arch::wasm32::{
        i16x8_extend_high_i8x16, i16x8_extend_low_i8x16, i32x4_add, i32x4_dot_i16x8,
        i32x4_extract_lane, i32x4_splat, u64x2, v128,
    };
    let load = |lanes: &[i8; LANES]| -> v128 {
        let bytes = lanes.map(|lane| lane as u8);
        let (halves, _) = bytes.as_chunks();
        u64x2(u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1]))
    };
    let mut sums = i32x4_splat(0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (load(a), load(b));
        let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(a), i16x8_extend_low_i8x16(b));
        let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(a), i16x8_extend_high_i8x16(b));
        sums = i32x4_add(sums, i32x4_add(low, high));
    }
    i32x4_extract_lane::<0>(sums)
        + i32x4_extract_lane::<1>(sums)
        + i32x4_extract_lane::<2>(sums)
        + i32x4_extract_lane::<3>(sums)
}

/// A vector as `scale` times integers of -127..=127, symmetric around 0.
///
/// A finite value is off by at most `scale` / 2 (and a few roundings of `f32`); what is not
/// finite becomes 0. The scale is the largest magnitude / 127, and 0 for a vector of zeros
/// or of subnormal values too small to divide.
#[must_use]
pub fn quantise(values: &[f32]) -> (f32, Vec<i8>) {
    let finite = values.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let quantised = values.iter().map(|&value| {
        if scale > 0.0 && value.is_finite() {
            // The cast saturates, so rounding of the scale cannot overflow.
            libm::rintf(value / scale).clamp(-127.0, 127.0) as i8
        } else {
            0
        }
    });
    (scale, quantised.collect())
}

/// The cosine of the angle between two vectors of equal length, -1..=1; 0 where one is zero
/// or longer than [`I8_DIMENSIONS_MAX`], or the lengths differ.
///
/// The dot product and both squared norms are exact; only the norms' product, its square
/// root and the division round.
#[must_use]
pub fn cosine_i8(a: &[i8], b: &[i8]) -> f64 {
    if a.len() != b.len() || a.len() > I8_DIMENSIONS_MAX {
        return 0.0;
    }
    let norms = i64::from(dot_i8(a, a)) * i64::from(dot_i8(b, b));
    if norms == 0 {
        return 0.0;
    }
    // Rounding the product and the root can leave a quotient a bit above 1.
    (f64::from(dot_i8(a, b)) / libm::sqrt(norms as f64)).clamp(-1.0, 1.0)
}

/// 1 / (1 + exp(-`sum`)): the probability for log odds.
#[must_use]
pub fn logistic(sum: f64) -> f64 {
    if sum.is_nan() {
        return f64::NAN;
    }
    1.0 / (1.0 + libm::exp(-sum))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// The documented order, term by term.
    fn in_order(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = vec![0.0_f32; LANES];
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            lanes[at % LANES] += a * b;
        }
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            for (lane, upper) in lanes.iter_mut().zip(upper) {
                *lane += upper;
            }
        }
        if lanes[0].is_nan() {
            f32::NAN
        } else {
            lanes[0]
        }
    }

    fn float() -> impl Strategy<Value = f32> {
        prop_oneof![9 => -2.0..2.0_f32, 1 => any::<u32>().prop_map(f32::from_bits)]
    }

    proptest! {
        #[test]
        fn lanes_give_the_bits_of_the_documented_order(
            query in prop::collection::vec(float(), 1..70),
            rows in prop::collection::vec(float(), 0..700),
        ) {
            let mut dots = vec![7.0];
            dots_f32(&query, &rows, &mut dots);
            let expected: Vec<u32> = rows
                .chunks_exact(query.len())
                .map(|row| in_order(&query, row).to_bits())
                .collect();
            let dots: Vec<u32> = dots.iter().map(|dot| dot.to_bits()).collect();
            prop_assert_eq!(dots, expected);
        }

        #[test]
        fn integers_are_exact(
            query in prop::collection::vec(any::<i8>(), 1..70),
            rows in prop::collection::vec(any::<i8>(), 0..700),
        ) {
            let mut dots = vec![7];
            dots_i8(&query, &rows, &mut dots);
            let exact = |row: &[i8]| -> i64 {
                row.iter().zip(&query).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
            };
            let expected: Vec<i64> = rows.chunks_exact(query.len()).map(exact).collect();
            prop_assert_eq!(dots.into_iter().map(i64::from).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn quantised_values_are_off_by_half_a_step(
            values in prop::collection::vec(float(), 0..70),
        ) {
            let (scale, quantised) = quantise(&values);
            prop_assert_eq!(quantised.len(), values.len());
            prop_assert!(scale.is_finite() && scale >= 0.0);
            for (&value, &step) in values.iter().zip(&quantised) {
                if !value.is_finite() {
                    prop_assert_eq!(step, 0);
                } else if scale >= f32::MIN_POSITIVE {
                    let off = (f64::from(step) * f64::from(scale) - f64::from(value)).abs();
                    prop_assert!(off <= f64::from(scale) * 0.5001, "{} by {}", value, off);
                }
            }
        }

        #[test]
        fn cosines_have_a_range_and_no_order(
            a in prop::collection::vec(any::<i8>(), 33),
            b in prop::collection::vec(any::<i8>(), 33),
        ) {
            let cosine = cosine_i8(&a, &b);
            prop_assert!((-1.0..=1.0).contains(&cosine));
            prop_assert_eq!(cosine.to_bits(), cosine_i8(&b, &a).to_bits());
        }
    }

    #[test]
    fn the_longest_integers_do_not_overflow() {
        let longest = vec![-128; I8_DIMENSIONS_MAX];
        let mut dots = Vec::new();
        dots_i8(&longest, &longest, &mut dots);
        assert_eq!(dots, [1 << 30]);
        assert_eq!(cosine_i8(&longest, &longest), 1.0);
        let longer = vec![-128; I8_DIMENSIONS_MAX + 1];
        dots_i8(&longer, &longer, &mut dots);
        assert!(dots.is_empty());
        assert_eq!(cosine_i8(&longer, &longer), 0.0);
    }

    #[test]
    fn an_empty_query_has_no_rows() {
        let mut dots = vec![7.0];
        dots_f32(&[], &[1.0, 2.0], &mut dots);
        assert!(dots.is_empty());
        let mut dots = vec![7];
        dots_i8(&[], &[1, 2], &mut dots);
        assert!(dots.is_empty());
    }

    #[test]
    fn quantising_keeps_ends_and_drops_what_is_not_finite() {
        let (scale, quantised) = quantise(&[254.0, -254.0, 3.0, f32::NAN, f32::INFINITY, 0.0]);
        assert_eq!(
            (scale, quantised.as_slice()),
            (2.0, &[127, -127, 2, 0, 0, 0][..])
        );
        assert_eq!(quantise(&[0.0, f32::NAN]), (0.0, vec![0, 0]));
        assert_eq!(quantise(&[f32::MAX, f32::MIN]).1, [127, -127]);
        assert_eq!(quantise(&[1e-45]), (0.0, vec![0]));
    }

    #[test]
    fn cosines_of_known_angles() {
        assert_eq!(cosine_i8(&[3, 4], &[3, 4]), 1.0);
        assert_eq!(cosine_i8(&[3, 4], &[-3, -4]), -1.0);
        assert_eq!(cosine_i8(&[3, 4], &[4, -3]), 0.0);
        assert_eq!(cosine_i8(&[1, 0], &[3, 4]), 0.6);
        assert_eq!(cosine_i8(&[0, 0], &[3, 4]), 0.0);
        assert_eq!(cosine_i8(&[3], &[3, 4]), 0.0);
    }

    #[test]
    fn log_odds_become_probabilities() {
        assert_eq!(logistic(0.0), 0.5);
        assert_eq!(logistic(f64::INFINITY), 1.0);
        assert_eq!(logistic(f64::NEG_INFINITY), 0.0);
        assert!((logistic(2.0) - 0.880_797_077_977_882_3).abs() < 1e-15);
        assert_eq!(logistic(-f64::NAN).to_bits(), f64::NAN.to_bits());
    }
}
