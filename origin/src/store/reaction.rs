//! What a user did with an item beyond seeing it: what is left to take back.

use thin_vec::ThinVec;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::record::Record;
use super::table::Table;

/// Likes (or follows) of one user on one item that were not taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many were made in which hour, in the order they were made.
    pub by_hour: ThinVec<(u32, u32)>,
    /// Domain time of the one that the hot score holds, Unix ms.
    pub hot_at_ms: Option<i64>,
    /// Those by rows that may hold the hot score: domain times, ascending.
    pub rows_ms: ThinVec<i64>,
    /// The one that the hot score holds is by a row: the earliest of `rows_ms`.
    pub hot_by_row: bool,
    /// Rows of an undo that found nothing to take back: the next rows' likes are theirs.
    pub owed: u64,
}

impl Standing {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.by_hour.iter().map(|&(_, count)| count).sum()
    }

    /// Adds one that was made in `hour`.
    pub fn push(&mut self, hour: u32) {
        match self.by_hour.last_mut() {
            Some((last, count)) if *last == hour => *count += 1,
            _ => self.by_hour.push((hour, 1)),
        }
    }

    /// Removes one from the entry at `index` and returns its hour.
    pub fn remove(&mut self, index: usize) -> Option<u32> {
        let (hour, count) = self.by_hour.get_mut(index)?;
        let hour = *hour;
        *count -= 1;
        if *count == 0 {
            self.by_hour.remove(index);
            // What was apart because of it is one entry now.
            if let Some(before) = index.checked_sub(1)
                && let (Some(&(one, _)), Some(&(other, more))) =
                    (self.by_hour.get(before), self.by_hour.get(index))
                && one == other
            {
                self.by_hour[before].1 += more;
                self.by_hour.remove(index);
            }
        }
        Some(hour)
    }

    fn has_rows(&self) -> bool {
        !self.rows_ms.is_empty() || self.hot_by_row || self.owed > 0
    }

    fn put(&self, out: &mut Encoder, with_rows: bool) {
        out.uint(self.by_hour.len() as u64);
        for &(hour, count) in &self.by_hour {
            out.uint(u64::from(hour)).uint(u64::from(count));
        }
        out.byte(u8::from(self.hot_at_ms.is_some()));
        if let Some(at_ms) = self.hot_at_ms {
            out.int(at_ms);
        }
        if with_rows {
            put_times(out, &self.rows_ms);
            out.byte(u8::from(self.hot_by_row)).uint(self.owed);
        }
    }

    fn take(input: &mut Decoder<'_>, with_rows: bool) -> Result<Self, StoreError> {
        let mut by_hour = ThinVec::new();
        for _ in 0..input.uint()? {
            by_hour.push((input.uint32()?, input.uint32()?));
        }
        let hot_at_ms = if input.flag()? {
            Some(input.int()?)
        } else {
            None
        };
        let mut standing = Self {
            by_hour,
            hot_at_ms,
            ..Self::default()
        };
        if with_rows {
            standing.rows_ms = take_times(input)?;
            standing.hot_by_row = input.flag()?;
            standing.owed = input.uint()?;
        }
        Ok(standing)
    }
}

/// What a user did with an item beyond seeing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// Domain time of the newest, Unix ms.
    pub last_ms: i64,
    /// Bit set over `EventType`: which interactions happened at all.
    pub kinds: u16,
    /// The user's share counts in the hot score.
    pub shared: bool,
    /// Likes.
    pub likes: Standing,
    /// Follows that named the item.
    pub follows: Standing,
    /// Shares by rows that may count in the hot score, domain times, ascending: unless
    /// `shared`, the first does.
    pub shares_ms: ThinVec<i64>,
}

impl Record for Reaction {
    fn write(&self, out: &mut Encoder) {
        let with_rows =
            self.likes.has_rows() || self.follows.has_rows() || !self.shares_ms.is_empty();
        out.byte(if with_rows { 2 } else { 1 });
        out.int(self.last_ms)
            .uint(u64::from(self.kinds))
            .byte(u8::from(self.shared));
        self.likes.put(out, with_rows);
        self.follows.put(out, with_rows);
        if with_rows {
            put_times(out, &self.shares_ms);
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut input, version) = Decoder::versions(table, bytes, 2)?;
        let with_rows = version == 2;
        let record = Self {
            last_ms: input.int()?,
            kinds: input.uint32()? as u16,
            shared: input.flag()?,
            likes: Standing::take(&mut input, with_rows)?,
            follows: Standing::take(&mut input, with_rows)?,
            shares_ms: if with_rows {
                take_times(&mut input)?
            } else {
                ThinVec::new()
            },
        };
        input.finish()?;
        Ok(record)
    }
}

fn put_times(out: &mut Encoder, times: &[i64]) {
    out.uint(times.len() as u64);
    for &at_ms in times {
        out.int(at_ms);
    }
}

fn take_times(input: &mut Decoder<'_>) -> Result<ThinVec<i64>, StoreError> {
    let mut times = ThinVec::new();
    for _ in 0..input.uint()? {
        times.push(input.int()?);
    }
    Ok(times)
}
