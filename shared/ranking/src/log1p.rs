//! ln(1 + x) of many values at once, to the bit what `libm::log1p` gives for each.
//!
//! FreeBSD's `s_log1p.c` reduces its argument only from sqrt(2) - 1 on. Rates of acts are
//! below it nearly always, and there what is left has no branch, so that compilers use the
//! lanes they have.

/// The first `f64` whose high word is 0x3fda827a: sqrt(2) - 1. Logarithms of what is below
/// are below it too.
const REDUCED_MIN: f64 = f64::from_bits(0x3fda_827a_0000_0000);

const LG: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];

/// Replaces every value by ln(1 + value).
pub(crate) fn log1p_all(values: &mut [f64]) {
    for value in &mut *values {
        *value = if is_common(*value) {
            common(*value)
        } else {
            *value
        };
    }
    for value in values {
        // What was not common is as it was, and what was is still in the same range.
        if !is_common(*value) {
            *value = libm::log1p(*value);
        }
    }
}

/// NaN is in no range.
#[inline(always)]
fn is_common(x: f64) -> bool {
    (0.0..REDUCED_MIN).contains(&x)
}

/// log1p(x) for what [`is_common`].
#[inline(always)]
fn common(x: f64) -> f64 {
    let half_square = 0.5 * x * x;
    let s = x / (2.0 + x);
    let z = s * s;
    let w = z * z;
    let even = w * (LG[1] + w * (LG[3] + w * LG[5]));
    let odd = z * (LG[0] + w * (LG[2] + w * (LG[4] + w * LG[6])));
    // The zero is what a correction would be; it makes +0.0 of -0.0.
    s * (half_square + (odd + even)) + 0.0 - half_square + x
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[track_caller]
    fn check(values: &[f64]) {
        let mut all = values.to_vec();
        log1p_all(&mut all);
        for (&value, log) in values.iter().zip(all) {
            let expected = libm::log1p(value);
            assert!(
                log.to_bits() == expected.to_bits() || log.is_nan() && expected.is_nan(),
                "log1p({value:e}) is {expected:e}, not {log:e}"
            );
        }
    }

    #[test]
    fn it_is_libms_to_the_bit() {
        let mut state = 1_u64;
        let mut unit = || {
            state = xxhash_rust::xxh3::xxh3_64(&state.to_le_bytes());
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for span in [1e-300, 1e-16, 1e-9, 1e-3, 0.1, 0.4142, 0.5, 3.0, 1e12] {
            let values: Vec<f64> = (0..50_000).map(|_| unit() * span).collect();
            check(&values);
        }
    }

    #[test]
    fn edges_and_odd_numbers_are_libms_too() {
        let mut near = Vec::new();
        for edge in [REDUCED_MIN, f64::EPSILON / 2.0, 0.0, f64::MIN_POSITIVE, 1.0] {
            for step in 0..2_000_u64 {
                near.push(f64::from_bits(edge.to_bits() + step));
                near.push(f64::from_bits(edge.to_bits().saturating_sub(step)));
            }
        }
        check(&near);
        check(&[
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -0.2,
            -1.0,
            -2.0,
            f64::MAX,
            5e-324,
        ]);
    }
}
