//! The rules.

#![allow(clippy::too_many_lines, reason = "a table is as long as what it lists")]

use super::row::{Row, get, row};

#[path = "rows/ages.rs"]
mod ages;
#[path = "rows/asking.rs"]
mod asking;
#[path = "rows/lifetimes.rs"]
mod lifetimes;
#[path = "rows/selecting.rs"]
mod selecting;
#[path = "rows/storing.rs"]
mod storing;

/// Every rule.
pub(crate) fn all() -> Vec<Row> {
    [
        lifetimes::freshness(),
        ages::ages(),
        ages::targeted(),
        ages::stale(),
        storing::storing(),
        storing::secrets(),
        storing::invalidation(),
        asking::requests(),
        asking::validation(),
        selecting::conditions(),
        selecting::selecting(),
        selecting::parts(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row whose first answer has these fields and which is asked for again later.
fn later(
    rule: &'static str,
    source: &'static str,
    fields: &[(&'static str, &'static str)],
    after_s: i64,
    is_served: bool,
) -> Row {
    let mut first = get();
    first.answer = Some((200, fields.into()));
    let second = get().after(after_s);
    let second = if is_served {
        second.served()
    } else {
        second.forwarded()
    };
    row(rule, source, [first, second])
}
