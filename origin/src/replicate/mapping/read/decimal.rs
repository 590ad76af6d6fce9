//! Exact decimals: what `numeric` and `decimal` columns hold and SQL calculates with.

use std::cmp::Ordering;
use std::fmt;

use super::{Fault, shown};

/// Digits of a decimal at most: those that an `i128` holds.
pub(crate) const DIGITS_MAX: u32 = 38;
/// Digits after the point at most.
const SCALE_MAX: u32 = 2 * DIGITS_MAX;

/// Significant digits of a quotient at least, as PostgreSQL's (`NUMERIC_MIN_SIG_DIGITS`).
const QUOTIENT_DIGITS_MIN: i32 = 16;
/// Decimal digits of PostgreSQL's own digits, which the scale of a quotient goes by.
const GROUP: i32 = 4;

/// `mantissa / 10^scale`. The scale says how many digits after the point are written, as in SQL:
/// `0.70` is not written `0.7`, but equals it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    mantissa: i128,
    scale: u32,
}

impl From<i128> for Decimal {
    fn from(mantissa: i128) -> Self {
        Self { mantissa, scale: 0 }
    }
}

impl Decimal {
    /// `[+-]digits[.digits][e[+-]digits]`; `None` where it is written otherwise or has more than
    /// [`DIGITS_MAX`] digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Zeros at the end may be more than fit.
        Self::of_digits(whole, fraction, exponent)
            .or_else(|| Self::of_digits(whole, fraction.trim_end_matches('0'), exponent))
    }

    fn of_digits(whole: &str, fraction: &str, exponent: i32) -> Option<Self> {
        let (is_negative, whole) = match whole.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, whole.strip_prefix('+').unwrap_or(whole)),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut mantissa = 0_i128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = i128::from(byte.wrapping_sub(b'0'));
            if digit > 9 {
                return None;
            }
            mantissa = mantissa.checked_mul(10)?.checked_add(digit)?;
        }
        if is_negative {
            mantissa = -mantissa;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let Ok(scale) = u32::try_from(scale) else {
            let mantissa = mantissa.checked_mul(power(scale.unsigned_abs())?)?;
            return Some(Self::from(mantissa));
        };
        (scale <= SCALE_MAX).then_some(Self { mantissa, scale })
    }

    /// A decimal from text.
    ///
    /// # Errors
    ///
    /// The text is no number, or has more digits than are calculated with.
    pub(crate) fn of_text(text: &str) -> Result<Self, Fault> {
        if let Some(value) = Self::parse(text) {
            return Ok(value);
        }
        super::number::float(text)?;
        Err(Fault::new(
            "range",
            format!(
                "is {}, but a decimal of an expression has at most {DIGITS_MAX} digits; compare \
                 it as text (cast(column as text)), or round it at the source",
                shown(text)
            ),
        ))
    }

    /// A double as PostgreSQL makes it a decimal: its 15 first digits.
    pub(crate) fn of_float(value: f64) -> Result<Self, Fault> {
        let text = format!("{value:.14e}");
        let value = Self::parse(&text).ok_or_else(too_long)?;
        Ok(value.plain())
    }

    /// The nearest double.
    pub(crate) fn float(self) -> f64 {
        // Both are exact doubles, so the quotient is rounded once.
        if self.mantissa.unsigned_abs() < 1 << 53 && self.scale <= 22 {
            let scale = i32::try_from(self.scale).unwrap_or(0);
            return self.mantissa as f64 / 10_f64.powi(scale);
        }
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The nearest whole number, halves away from zero.
    pub(crate) fn round(self) -> i128 {
        match power(self.scale) {
            Some(unit) => rounded(self.mantissa, unit),
            None => 0,
        }
    }

    /// The whole number that it is.
    pub(crate) fn whole(self) -> Option<i128> {
        let plain = self.plain();
        (plain.scale == 0).then_some(plain.mantissa)
    }

    pub(crate) fn negated(self) -> Self {
        Self {
            mantissa: -self.mantissa,
            ..self
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(crate) fn add(self, other: Self) -> Result<Self, Fault> {
        self.plain_too(other, |a, b| {
            let (a, b, scale) = a.aligned(b)?;
            let mantissa = a.checked_add(b)?;
            Some(Self { mantissa, scale })
        })
    }

    pub(crate) fn subtract(self, other: Self) -> Result<Self, Fault> {
        self.plain_too(other, |a, b| {
            let (a, b, scale) = a.aligned(b)?;
            let mantissa = a.checked_sub(b)?;
            Some(Self { mantissa, scale })
        })
    }

    pub(crate) fn multiply(self, other: Self) -> Result<Self, Fault> {
        self.plain_too(other, |a, b| {
            let mantissa = a.mantissa.checked_mul(b.mantissa)?;
            let scale = a.scale + b.scale;
            (scale <= SCALE_MAX).then_some(Self { mantissa, scale })
        })
    }

    /// The quotient as PostgreSQL rounds it: at least 16 significant digits, halves away from
    /// zero. `other` is not zero.
    pub(crate) fn divide(self, other: Self) -> Result<Self, Fault> {
        let scale = quotient_scale(self, other);
        if scale > SCALE_MAX {
            return Err(too_long());
        }
        let divisor = other.mantissa.unsigned_abs();
        // Digit by digit, as on paper: the dividend with all its zeros may not fit. Where the
        // divisor has more digits after the point, its zeros are the dividend's.
        let mut quotient = self.mantissa.unsigned_abs() / divisor;
        let mut rest = self.mantissa.unsigned_abs() % divisor;
        for _ in 0..scale + other.scale - self.scale {
            let tenfold = rest.checked_mul(10).ok_or_else(too_long)?;
            let digit = tenfold / divisor;
            quotient = quotient
                .checked_mul(10)
                .and_then(|quotient| quotient.checked_add(digit))
                .ok_or_else(too_long)?;
            rest = tenfold % divisor;
        }
        if rest >= divisor - rest {
            quotient = quotient.checked_add(1).ok_or_else(too_long)?;
        }
        let mantissa = i128::try_from(quotient).map_err(|_| too_long())?;
        let is_negative = (self.mantissa < 0) != (other.mantissa < 0);
        let mantissa = if is_negative { -mantissa } else { mantissa };
        Ok(Self { mantissa, scale })
    }

    /// The order of the values, exact however far they are apart.
    pub(crate) fn order(self, other: Self) -> Ordering {
        if let Some((a, b, _)) = self.aligned(other) {
            return a.cmp(&b);
        }
        let (a, b) = (self.plain(), other.plain());
        if let Some((a, b, _)) = a.aligned(b) {
            return a.cmp(&b);
        }
        // The one with fewer digits after the point is too large for the other's.
        if a.scale < b.scale {
            a.mantissa.cmp(&0)
        } else {
            0.cmp(&b.mantissa)
        }
    }

    /// Calculates, where it does not fit once more without the zeros at the ends.
    fn plain_too(
        self,
        other: Self,
        calculate: impl Fn(Self, Self) -> Option<Self>,
    ) -> Result<Self, Fault> {
        calculate(self, other)
            .or_else(|| calculate(self.plain(), other.plain()))
            .ok_or_else(too_long)
    }

    /// Both mantissas at the larger scale.
    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        let at = |value: Self| match value.mantissa {
            0 => Some(0),
            mantissa => mantissa.checked_mul(power(scale - value.scale)?),
        };
        Some((at(self)?, at(other)?, scale))
    }

    /// Without zeros at the end.
    fn plain(mut self) -> Self {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }

    /// The first of PostgreSQL's digits of base 10,000, and its weight.
    fn head(self) -> (i32, u128) {
        let digits = self.mantissa.unsigned_abs();
        if digits == 0 {
            return (0, 0);
        }
        let scale = i32::try_from(self.scale).unwrap_or(0);
        let len = i32::try_from(digits.ilog10()).unwrap_or(0);
        // The power of ten of the first digit, and of the last of its group of four.
        let weight = (len - scale).div_euclid(GROUP);
        let last = weight * GROUP + scale;
        let places = power(last.unsigned_abs()).map_or(1, i128::unsigned_abs);
        let first = if last >= 0 {
            digits / places
        } else {
            digits * places
        };
        (weight, first)
    }
}

/// Digits after the point of a quotient, as PostgreSQL chooses them (`select_div_scale`).
fn quotient_scale(a: Decimal, b: Decimal) -> u32 {
    let ((weight_a, first_a), (weight_b, first_b)) = (a.head(), b.head());
    let mut weight = weight_a - weight_b;
    if first_a <= first_b {
        weight -= 1;
    }
    let scale = QUOTIENT_DIGITS_MIN - weight * GROUP;
    u32::try_from(scale).unwrap_or(0).max(a.scale).max(b.scale)
}

fn power(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// `value / unit`, halves away from zero.
fn rounded(value: i128, unit: i128) -> i128 {
    let (whole, rest) = (value / unit, (value % unit).abs());
    if rest >= unit - rest {
        whole + value.signum()
    } else {
        whole
    }
}

fn too_long() -> Fault {
    Fault::new(
        "range",
        format!("a calculation has more than {DIGITS_MAX} digits"),
    )
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a decimal")
    }

    #[test]
    fn what_is_written_is_kept_and_what_is_equal_equals() {
        for text in ["0", "-0.05", "0.70", "12345678901234567890.123456789", "7"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        for (text, expected) in [
            ("+1.5e3", "1500"),
            ("1.5e-3", "0.0015"),
            (".5", "0.5"),
            ("5.", "5"),
            (&format!("1.{}", "0".repeat(200)), "1"),
        ] {
            assert_eq!(decimal(text).to_string(), expected);
        }
        for text in ["", ".", "-", "1.2.3", "NaN", "1e", "0x1", &"9".repeat(40)] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert!(decimal("0.7").order(decimal("0.700")).is_eq());
        assert!(decimal("1e-40").order(decimal("0")).is_gt());
        assert!(decimal("0").order(decimal("-1e-40")).is_gt());
        assert_eq!(decimal("0").subtract(decimal("1e-40")).unwrap().scale, 40);
        assert_eq!(decimal("-2.5").round(), -3);
        assert_eq!(decimal("64900.000").whole(), Some(64_900));
        assert_eq!(decimal("0.1").float(), 0.1);
        assert_eq!(Decimal::of_float(0.1).unwrap().to_string(), "0.1");
    }

    #[test]
    fn quotients_are_as_postgresql_writes_them() {
        for (a, b, quotient) in [
            ("1", "3", "0.33333333333333333333"),
            ("10", "3", "3.3333333333333333"),
            ("2", "3", "0.66666666666666666667"),
            ("-2", "3", "-0.66666666666666666667"),
            ("100.00", "7", "14.2857142857142857"),
            ("1", "12345678", "0.000000081000006642000545"),
            ("0", "7.5", "0.00000000000000000000"),
            ("6", "2", "3.0000000000000000"),
        ] {
            let found = decimal(a).divide(decimal(b)).unwrap();
            assert_eq!(found.to_string(), quotient, "{a} / {b}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_still_compared() {
        let (large, small) = (decimal(&"9".repeat(38)), decimal("0.00000000000000000001"));
        for sum in [
            large.add(small),
            large.subtract(small),
            large.multiply(large),
        ] {
            assert_eq!(sum.unwrap_err().rule, "range");
        }
        assert!(large.order(small).is_gt() && small.order(large).is_lt());
        let negative = Decimal::from(0).subtract(large).unwrap();
        assert!(negative.order(small).is_lt() && small.order(negative).is_gt());
        assert!(
            Decimal::of_text(&"9".repeat(60))
                .unwrap_err()
                .reason
                .contains("38 digits")
        );
    }

    proptest! {
        #[test]
        fn sums_and_products_undo_and_order_is_that_of_the_difference(
            a in -1_000_000_000_i64..1_000_000_000, s in 0_u32..9,
            b in -1_000_000_000_i64..1_000_000_000, t in 0_u32..9,
        ) {
            let a = Decimal { mantissa: a.into(), scale: s };
            let b = Decimal { mantissa: b.into(), scale: t };
            let back = a.add(b).unwrap().subtract(b).unwrap();
            prop_assert!(back.order(a).is_eq());
            prop_assert_eq!(decimal(&a.to_string()), a);
            let difference = a.subtract(b).unwrap();
            prop_assert_eq!(a.order(b), difference.mantissa.cmp(&0));
            if !b.is_zero() {
                let quotient = a.multiply(b).unwrap().divide(b).unwrap();
                prop_assert!(quotient.order(a).is_eq(), "{} of {} and {}", quotient, a, b);
            }
        }
    }
}
