//! What LightGBM's two formats have in common: tests, missing values, objectives.

pub(super) mod dump;
pub(super) mod text;

use edgewise_ranking::trees::{Link, Test};

use super::ImportError;
use super::build::round_down;

/// Values of at most this magnitude are zero to LightGBM (`kZeroThreshold`).
const ZERO_MAX: f32 = 1e-35;
/// What `dump_model` writes for infinity, the threshold between missing values and all others.
const INFINITY_DUMPED: f64 = 1e300;

/// What counts as missing at a split.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    /// Nothing: NaN counts as 0.
    None,
    /// NaN and zero.
    Zero,
    /// NaN.
    Nan,
}

/// The test of a numerical split.
///
/// LightGBM's `predict` reads values of magnitude up to 1e-35 as 0, so such a threshold moves
/// to the end of that range which decides alike.
fn at_most(threshold: f64, missing: Missing, default_left: bool) -> Test {
    let zero_max = f64::from(ZERO_MAX);
    let threshold_f32 = if threshold >= INFINITY_DUMPED {
        f32::INFINITY
    } else if (0.0..=zero_max).contains(&threshold) {
        ZERO_MAX
    } else if (-zero_max..0.0).contains(&threshold) {
        (-ZERO_MAX).next_down()
    } else {
        round_down(threshold)
    };
    Test::AtMost {
        threshold: threshold_f32,
        nan_left: match missing {
            Missing::None => threshold >= 0.0,
            Missing::Zero | Missing::Nan => default_left,
        },
        zero_left: (missing == Missing::Zero).then_some(default_left),
    }
}

/// From the objective as a model file says it, `binary sigmoid:1`, to its link.
fn link(objective: &str) -> Result<Link, ImportError> {
    let unsupported = || ImportError::unsupported("LightGBM's objective", objective);
    let mut words = objective.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    // Square roots of labels: the prediction is the sum's signed square.
    if words.clone().any(|word| word == "sqrt") {
        return Err(unsupported());
    }
    Ok(match name {
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
        | "rank_xendcg" | "custom" => Link::Identity,
        "binary" => Link::Logistic {
            scale: match words.find_map(|word| word.strip_prefix("sigmoid:")) {
                Some(scale) => scale.parse().map_err(|_| unsupported())?,
                None => 1.0,
            },
        },
        "cross_entropy" => Link::Logistic { scale: 1.0 },
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        _ => return Err(unsupported()),
    })
}

/// Refuses versions that are not known, and more outputs than one.
fn check_header(version: &str, classes: i64, trees_an_iteration: i64) -> Result<(), ImportError> {
    if !matches!(version, "v3" | "v4") {
        return Err(ImportError::unsupported(
            "LightGBM's model version",
            version,
        ));
    }
    if classes != 1 {
        return Err(ImportError::value(
            "num_class",
            &alloc::format!("{classes}"),
            "one output",
        ));
    }
    if trees_an_iteration != 1 {
        let found = alloc::format!("{trees_an_iteration}");
        return Err(ImportError::value(
            "num_tree_per_iteration",
            &found,
            "one output",
        ));
    }
    Ok(())
}
