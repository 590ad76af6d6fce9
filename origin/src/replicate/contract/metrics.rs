//! Metrics of contracts. Labels `source` and `table`; `rule`, `column` or `field` where said.

use metrics::{Unit, describe_counter, describe_gauge};

pub use crate::replicate::metrics::{
    CONTRACT_FRESHNESS_SECONDS as FRESHNESS_SECONDS, CONTRACT_NULL_RATIO as NULL_RATIO,
    CONTRACT_QUALITY_SCORE as QUALITY_SCORE, CONTRACT_ROWS_PER_HOUR as ROWS_PER_HOUR,
    CONTRACT_SKEW as SKEW, CONTRACT_VIOLATIONS_TOTAL as VIOLATIONS_TOTAL,
};

/// 1 where the table breaks the contract's limit now, by `rule`: `freshness`, `null_ratio`,
/// `skew`, `unique`, `rows_per_hour`, `quality_score`; else 0.
pub const BREACHED: &str = "edgewise_contract_breached";
/// Titles and lists of tags that were cut to fit, by `field`: `title`, `tags`.
pub const CUT_TOTAL: &str = "edgewise_contract_cut_total";

/// Describes those that are of contracts alone.
pub fn describe() {
    describe_counter!(
        CUT_TOTAL,
        Unit::Count,
        "Titles and lists of tags cut to fit"
    );
    describe_gauge!(
        BREACHED,
        "1 where a table breaks a limit of its contract now"
    );
}
