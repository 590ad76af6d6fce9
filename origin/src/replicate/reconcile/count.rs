//! Counts by group, of the store and beside those of the source.

use std::collections::HashMap;
use std::ops::ControlFlow;

use edgewise_ranking::id_hash;

use super::ReconcileError;
use crate::cli::replicate::By;
use crate::ingest::rows::TableId;
use crate::store::memory::RememberedRow;
use crate::store::{Snapshot, read};

/// Most groups of a comparison; about 64 bytes each.
pub(super) const GROUPS_MAX: usize = 2_000_000;

const DAY_MS: i64 = 86_400_000;

/// What rows are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Group {
    /// The whole table.
    All,
    /// Rows without a day or item.
    None,
    /// Days since 1970, UTC.
    Day(i64),
    /// XXH3-64 of the item's id.
    Item(u64),
}

impl Group {
    /// The group that the source's SQL names.
    #[must_use]
    pub(super) fn of_source(by: By, text: Option<&str>) -> Self {
        match (by, text) {
            (By::Table, _) => Self::All,
            (_, None) => Self::None,
            (By::Day, Some(day)) => {
                crate::time::parse(day).map_or(Self::None, |ms| Self::Day(ms.div_euclid(DAY_MS)))
            }
            (By::Item, Some(id)) => Self::Item(id_hash(id)),
        }
    }

    /// The group for people; an item's id is looked up by the caller.
    #[must_use]
    pub(super) fn text(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::None => "none".to_owned(),
            Self::Day(day) => crate::time::date(day * DAY_MS),
            Self::Item(hash) => format!("{hash:016x}"),
        }
    }
}

/// What a source wrote, for people and to tell groups apart: what is not UTF-8 with its bytes as
/// `\xff`.
#[must_use]
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string())
}

/// Rows by group.
pub(super) type Counts = HashMap<Group, u64>;

/// Adds to a group.
///
/// # Errors
///
/// There are too many groups.
pub(super) fn add(counts: &mut Counts, group: Group, rows: u64) -> Result<(), ReconcileError> {
    *counts.entry(group).or_default() += rows;
    if counts.len() > GROUPS_MAX {
        return Err(ReconcileError::Groups);
    }
    Ok(())
}

/// Counts what the store remembers of a table.
///
/// # Errors
///
/// The store fails, or there are too many groups.
pub(super) fn of_store(
    snapshot: &dyn Snapshot,
    table: TableId,
    by: By,
    created: &HashMap<u64, i64>,
) -> Result<Counts, ReconcileError> {
    let mut counts = Counts::new();
    let mut result = Ok(());
    let day = |ms: i64| Group::Day(ms.div_euclid(DAY_MS));
    read::rows(snapshot, table, None, &mut |_, row| {
        let group = match (by, &row) {
            (By::Table, _) => Group::All,
            (By::Day, RememberedRow::Event(event)) => day(event.ts_ms),
            (By::Day, RememberedRow::Follow { since_ms, .. }) => since_ms.map_or(Group::None, day),
            (By::Day, RememberedRow::Item { item, .. }) => {
                created.get(item).copied().map_or(Group::None, day)
            }
            (By::Item, RememberedRow::Event(event)) => event.item.map_or(Group::None, Group::Item),
            (By::Item, RememberedRow::Item { item, .. }) => Group::Item(*item),
            (By::Day | By::Item, _) => Group::None,
        };
        result = add(&mut counts, group, 1);
        if result.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    result.map(|()| counts)
}

/// When each item was created, where days of items are compared.
///
/// # Errors
///
/// The store fails.
pub(super) fn created(snapshot: &dyn Snapshot) -> Result<HashMap<u64, i64>, ReconcileError> {
    let mut created = HashMap::new();
    read::all_items(snapshot, &mut |state| {
        if let Some(item) = &state.item {
            created.insert(state.hash, item.created_at_ms);
        }
    })?;
    Ok(created)
}

/// A group whose counts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Differs {
    /// The group.
    pub(super) group: Group,
    /// The item's id, where the source named it.
    pub(super) name: Option<String>,
    /// Rows that the source counts.
    pub(super) source: u64,
    /// Rows that the store remembers.
    pub(super) store: u64,
}

/// Groups in which the source's count is not between the store's before and after: a table
/// that changes while it is counted differs by what is under way, and that is no difference.
#[must_use]
pub(super) fn differences(before: &Counts, source: &Counts, after: &Counts) -> Vec<Differs> {
    let of = |counts: &Counts, group: &Group| counts.get(group).copied().unwrap_or(0);
    let mut groups: Vec<Group> = before
        .keys()
        .chain(source.keys())
        .chain(after.keys())
        .copied()
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let judged = groups.into_iter().filter_map(|group| {
        let (least, most) = {
            let (before, after) = (of(before, &group), of(after, &group));
            (before.min(after), before.max(after))
        };
        let given = of(source, &group);
        (!(least..=most).contains(&given)).then(|| Differs {
            group,
            name: None,
            source: given,
            store: of(after, &group),
        })
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_no_difference() {
        let counts = |pairs: &[(i64, u64)]| -> Counts {
            pairs
                .iter()
                .map(|&(day, rows)| (Group::Day(day), rows))
                .collect()
        };
        let before = counts(&[(1, 10), (2, 5), (3, 7), (5, 1)]);
        let after = counts(&[(1, 10), (2, 9), (3, 7), (4, 2), (5, 1)]);
        let source = counts(&[(1, 10), (2, 7), (3, 8), (4, 1), (6, 3)]);
        let found = differences(&before, &source, &after);
        let found: Vec<_> = found.iter().map(|d| (d.group, d.source, d.store)).collect();
        assert_eq!(
            found,
            [
                (Group::Day(3), 8, 7),
                (Group::Day(5), 0, 1),
                (Group::Day(6), 3, 0)
            ]
        );
    }

    #[test]
    fn a_group_reads_as_the_source_wrote_it() {
        let day = Group::of_source(By::Day, Some("2026-11-21"));
        assert_eq!(day.text(), "2026-11-21");
        assert_eq!(Group::of_source(By::Table, None), Group::All);
        assert_eq!(Group::of_source(By::Item, None), Group::None);
        assert_eq!(
            Group::of_source(By::Item, Some("7")),
            Group::Item(id_hash("7"))
        );
        assert_eq!(text(b"caf\xe9".to_vec()), r"caf\xe9");
        assert_eq!(text("café".into()), "café");
    }
}
