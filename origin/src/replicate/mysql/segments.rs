//! How a table's first copy is laid out: ranges of its key.

use super::catalog::{ColumnInfo, Table, quote};
use super::client::Client;
use super::error::MysqlError;
use crate::replicate::supervise::SourceContext;
use serde::{Deserialize, Serialize};

/// Segments of a table at most; each has a checkpoint.
pub(super) const MAX_SEGMENTS: usize = 64;

/// Segments for each that is copied at once, so that an uneven one does not keep the others.
const SEGMENTS_PER_WORKER: usize = 4;

/// A range of keys: above `from` (not included), up to `to` (included).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// Ranges of equal width where the key is one integer, else one range.
pub(super) async fn segments(
    context: &SourceContext,
    client: &mut Client,
    table: &Table,
    key: &[ColumnInfo],
) -> Result<Vec<Segment>, MysqlError> {
    let [column] = key else {
        return Ok(vec![Segment::default()]);
    };
    if !column.is_integer() {
        return Ok(vec![Segment::default()]);
    }
    let column = quote(&column.name);
    let sql = format!(
        "SELECT MIN({column}), MAX({column}) FROM {}",
        table.name.quoted()
    );
    let row = client.row(&sql).await?;
    let ends = row.and_then(|row| {
        Some((
            row.maybe(0)?.parse::<i128>().ok()?,
            row.maybe(1)?.parse::<i128>().ok()?,
        ))
    });
    let Some((least, most)) = ends else {
        return Ok(vec![Segment::default()]);
    };
    let options = &context.config.snapshot;
    let pages = (most - least) / i128::from(options.chunk_rows.max(1)) + 1;
    let count = options.parallel.max(1) * SEGMENTS_PER_WORKER;
    let count = pages.min(count.min(MAX_SEGMENTS) as i128).max(1);
    Ok(split(least, most, count))
}

/// `count` ranges over `least..=most`; the first and the last are open, for rows that came since.
fn split(least: i128, most: i128, count: i128) -> Vec<Segment> {
    let width = (most - least) / count;
    let bound = |index: i128| (least + width * index).to_string();
    (0..count)
        .map(|index| Segment {
            from: (index > 0).then(|| bound(index)),
            to: (index + 1 < count).then(|| bound(index + 1)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_cover_every_key_once(
            least in any::<i64>(), span in 0i128..1 << 64, count in 1i128..64, key: i64,
        ) {
            let least = i128::from(least);
            let key = i128::from(key);
            let covering = split(least, least + span, count.min(span + 1)).into_iter().filter(|s| {
                let number = |text: &String| text.parse::<i128>().unwrap();
                s.from.as_ref().is_none_or(|from| key > number(from))
                    && s.to.as_ref().is_none_or(|to| key <= number(to))
            });
            prop_assert_eq!(covering.count(), 1);
        }
    }
}
