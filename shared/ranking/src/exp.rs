//! The exponential of many values at once, to the bit what `libm::exp` gives for each.
//!
//! The same operations in the same order (FreeBSD's `e_exp.c`: argument reduction by ln 2,
//! the Remez polynomial, a power of two), but without branches, so that compilers use the
//! lanes they have.

/// Beyond this magnitude results are not normal numbers or need care: one by one.
const COMMON_MAX: f64 = 700.0;

/// The first `f64` whose high word is 0x3fd62e43: above half of ln 2.
const HALF_LN2: f64 = f64::from_bits(0x3fd6_2e43_0000_0000);
/// The first `f64` whose high word is 0x3ff0a2b2: above one and a half of ln 2.
const ONE_AND_A_HALF_LN2: f64 = f64::from_bits(0x3ff0_a2b2_0000_0000);
/// The first `f64` whose high word is 0x3e300001: below, exp(x) is 1 + x.
const TINY: f64 = f64::from_bits(0x3e30_0001_0000_0000);

/// 2^52: from here on the lowest bits of an `f64` count integers.
const INTEGERS: f64 = 4_503_599_627_370_496.0;
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
const INVERSE_LN2: f64 = f64::from_bits(0x3ff7_1547_652b_82fe);
const P: [f64; 5] = [
    f64::from_bits(0x3fc5_5555_5555_553e),
    f64::from_bits(0xbf66_c16c_16be_bd93),
    f64::from_bits(0x3f11_566a_af25_de2c),
    f64::from_bits(0xbebb_bd41_c5d2_6bf1),
    f64::from_bits(0x3e66_3769_72be_a4d0),
];

/// Replaces every value by its exponential.
pub(crate) fn exp_all(values: &mut [f64]) {
    // NaN is not below.
    if values.iter().all(|value| value.abs() < COMMON_MAX) {
        for value in values {
            *value = common(*value);
        }
    } else {
        for value in values {
            *value = libm::exp(*value);
        }
    }
}

/// exp(x) for |x| below [`COMMON_MAX`].
#[inline(always)]
fn common(x: f64) -> f64 {
    let magnitude = x.abs();
    let far = floor(INVERSE_LN2 * magnitude + 0.5);
    let k = if magnitude >= ONE_AND_A_HALF_LN2 {
        far
    } else {
        1.0
    };
    let k = if magnitude >= HALF_LN2 { k } else { 0.0 };
    let k = if x < 0.0 { -k } else { k };
    let high = x - k * LN2_HIGH;
    let low = k * LN2_LOW;
    let reduced = high - low;
    let square = reduced * reduced;
    let c = reduced
        - square * (P[0] + square * (P[1] + square * (P[2] + square * (P[3] + square * P[4]))));
    let y = 1.0 + (reduced * c / (2.0 - c) - low + high);
    // Exact: the result is a normal number.
    let scaled = y * f64::from_bits((k + (INTEGERS + 1023.0)).to_bits() << 52);
    if magnitude >= TINY { scaled } else { 1.0 + x }
}

/// The largest integer not above `x`, 0..2^51, without leaving the lanes.
#[inline(always)]
fn floor(x: f64) -> f64 {
    let nearest = (x + INTEGERS) - INTEGERS;
    if nearest > x { nearest - 1.0 } else { nearest }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[track_caller]
    fn check(values: &[f64]) {
        let mut all = values.to_vec();
        exp_all(&mut all);
        for (&value, exp) in values.iter().zip(all) {
            let expected = libm::exp(value);
            assert!(
                exp.to_bits() == expected.to_bits(),
                "exp({value:e}) is {expected:e}, not {exp:e}"
            );
        }
    }

    #[test]
    fn it_is_libms_to_the_bit() {
        let mut state = 1_u64;
        let mut random = || {
            state = xxhash_rust::xxh3::xxh3_64(&state.to_le_bytes());
            state
        };
        for span in [1e-9, 1e-3, 0.3, 1.0, 1.1, 7.0, 100.0, 699.9] {
            let unit = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
            let values: Vec<f64> = (0..50_000)
                .map(|_| (2.0 * unit(random()) - 1.0) * span)
                .collect();
            check(&values);
        }
    }

    #[test]
    fn edges_and_odd_numbers_are_libms_too() {
        let mut near = Vec::new();
        for edge in [HALF_LN2, ONE_AND_A_HALF_LN2, TINY, 0.0, 1.0, 0.5, 699.999] {
            for step in 0..2_000_u64 {
                for bits in [edge.to_bits() + step, edge.to_bits().saturating_sub(step)] {
                    let value = f64::from_bits(bits);
                    near.extend([value, -value]);
                }
            }
        }
        near.retain(|value| value.abs() < COMMON_MAX);
        check(&near);
        for odd in [
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e9,
            -1e9,
            -745.2,
            709.9,
            f64::MIN_POSITIVE,
            -0.0,
        ] {
            check(&[odd, -0.5, 3.0]);
        }
        let mut nan = [f64::NAN, 1.0];
        exp_all(&mut nan);
        assert!(nan[0].is_nan());
    }
}
