//! Min-max scaling: heads before they are blended, scores before variety weighs them.

/// Maps values to (value - low) / span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    /// 0 maps every finite value to 0.
    span: f64,
}

impl Scale {
    /// Every value as it is.
    pub(crate) const UNCHANGED: Self = Self {
        low: 0.0,
        span: 1.0,
    };

    /// From 0 to 1 over all finite `values`, whatever their order; all to 0 where they are
    /// equal, or where their span is no finite number.
    pub(crate) fn min_max(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = if value < low { value } else { low };
            high = if value > high { value } else { high };
        }
        let span = high - low;
        let usable = span.is_finite() && span > 0.0;
        Self {
            low: if usable { low } else { 0.0 },
            span: if usable { span } else { 0.0 },
        }
    }

    /// The value on the scale. What is not finite stays so, also among equals: its score sinks.
    #[inline]
    pub(crate) fn of(self, value: f64) -> f64 {
        if self.span > 0.0 || !value.is_finite() {
            (value - self.low) / self.span
        } else {
            0.0
        }
    }

    /// The value on the scale; 0 for what is not finite.
    #[inline]
    pub(crate) fn of_finite(self, value: f64) -> f64 {
        if value.is_finite() {
            self.of(value)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_are_left_out_of_the_scale() {
        let values = [2.0, f64::NEG_INFINITY, 6.0, f64::NAN];
        let scale = Scale::min_max(values.into_iter());
        let scaled = [6.0, 4.0, 2.0].map(|value| scale.of(value));
        assert_eq!(scaled, [1.0, 0.5, 0.0]);
        assert_eq!(scale.of(f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(scale.of(f64::NAN).is_nan());
        assert_eq!(scale.of_finite(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn equal_values_and_none_are_zero() {
        assert_eq!(Scale::min_max([2.0].into_iter()).of(2.0), 0.0);
        assert_eq!(Scale::min_max([].into_iter()).of(2.0), 0.0);
        let widest = Scale::min_max([f64::MAX, f64::MIN].into_iter());
        assert_eq!(widest.of(f64::MAX), 0.0);
    }
}
