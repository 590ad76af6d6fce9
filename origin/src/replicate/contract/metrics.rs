//! Metrics of contracts. Labels `source` and `table`; `rule` or `column` where said.

use metrics::{Unit, describe_counter, describe_gauge};

/// Rows that were refused, by `rule`.
pub const VIOLATIONS_TOTAL: &str = "edgewise_contract_violations_total";
/// Share of NULLs by `column` in the last minutes' rows.
pub const NULL_RATIO: &str = "edgewise_contract_null_ratio";
/// Rows of the heaviest key over the mean rows of a key in the last minutes' rows.
pub const SKEW: &str = "edgewise_contract_skew";
/// 0 to 100.
pub const QUALITY_SCORE: &str = "edgewise_contract_quality_score";
/// Time since the last change.
pub const FRESHNESS_SECONDS: &str = "edgewise_contract_freshness_seconds";
/// Rows delivered in the last hour.
pub const ROWS_PER_HOUR: &str = "edgewise_contract_rows_per_hour";
/// 1 where the table breaks the contract's limit now, by `rule`: `freshness`, `null_ratio`,
/// `skew`, `unique`, `rows_per_hour`, `quality_score`; else 0.
pub const BREACHED: &str = "edgewise_contract_breached";
/// Titles and lists of tags that were cut to fit, by `field`: `title`, `tags`.
pub const CUT_TOTAL: &str = "edgewise_contract_cut_total";

/// Describes them to the recorder.
pub fn describe() {
    describe_counter!(VIOLATIONS_TOTAL, Unit::Count, "Rows refused, by rule");
    describe_counter!(CUT_TOTAL, Unit::Count, "Titles and tag lists cut to fit");
    describe_gauge!(
        NULL_RATIO,
        "Share of NULLs by column in the last minutes' rows"
    );
    describe_gauge!(SKEW, "Rows of the heaviest key over the mean rows of a key");
    describe_gauge!(QUALITY_SCORE, "Quality of a table's rows, 0 to 100");
    describe_gauge!(
        FRESHNESS_SECONDS,
        Unit::Seconds,
        "Time since a table last changed"
    );
    describe_gauge!(
        ROWS_PER_HOUR,
        Unit::Count,
        "Rows delivered in the last hour"
    );
    describe_gauge!(
        BREACHED,
        "1 where a table breaks a limit of its contract now"
    );
}
