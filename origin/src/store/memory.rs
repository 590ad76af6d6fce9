//! The row memory: what was counted of each mapped row, so that a change needs no old row.

use edgewise_wire::api::EventType;
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::keys;
use super::log::{EventOrigin, LogEvent};
use super::record::Record;
use super::table::Table;

/// Rows of a block.
pub const BLOCK_ROWS: usize = 1 << keys::BLOCK_BITS;

/// What was counted of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RememberedRow {
    /// An item; its facts are in [`Table::Items`].
    Item {
        /// XXH3-64 of the id.
        item: u64,
        /// XXH3-64 of the facts as the row gave them.
        facts: u64,
    },
    /// A user that exists.
    User {
        /// User number.
        user: u64,
    },
    /// A follow.
    Follow {
        /// User number.
        user: u64,
        /// XXH3-64 of the author's id.
        author: u64,
        /// Since when, as the row gave it.
        since_ms: Option<i64>,
    },
    /// A behaviour event.
    Event(RowEvent),
}

/// An event by a row: the fact in numbers and hashes, and what it did. A user's id is not in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowEvent {
    /// What happened.
    pub kind: EventType,
    /// User number.
    pub user: u64,
    /// Item hash.
    pub item: Option<u64>,
    /// Author hash, as the row named it.
    pub named: Option<u64>,
    /// Domain time, Unix ms, clamped.
    pub ts_ms: i64,
    /// Time watched, ms.
    pub watch_ms: Option<u32>,
    /// Duration, ms, as the row gave it.
    pub duration_ms: Option<u32>,
    /// Value of a purchase or a rating.
    pub value: Option<f64>,
    /// What it did.
    pub effect: RowEffect,
}

/// What an event did where it applied: what is taken back with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowEffect {
    /// Whom the interaction, follow or end of a follow was with.
    pub author: Option<u64>,
    /// The duration that a view was measured by, ms; 0 where it was not.
    pub duration_ms: u32,
    /// It added its weight to the hot sums; a like, share or follow held it then.
    pub is_hot: bool,
    /// Unlike and unfollow: what they took.
    pub taken: Option<Taken>,
}

/// A like or follow that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The hour it was made in.
    pub hour: u32,
    /// Its domain time, Unix ms, where it may hold the hot score.
    pub row_ms: Option<i64>,
}

const ITEM: u8 = 16;
const USER: u8 = 17;
const FOLLOW: u8 = 18;
const FOLLOW_SINCE: u8 = 19;

impl RememberedRow {
    /// Appends its bytes, at most 255.
    pub fn put(&self, out: &mut Encoder) {
        match self {
            Self::Item { item, facts } => {
                out.byte(ITEM).fixed(*item).fixed(*facts);
            }
            Self::User { user } => {
                out.byte(USER).uint(*user);
            }
            Self::Follow {
                user,
                author,
                since_ms,
            } => {
                out.byte(if since_ms.is_some() {
                    FOLLOW_SINCE
                } else {
                    FOLLOW
                });
                out.uint(*user).fixed(*author);
                if let Some(since_ms) = since_ms {
                    out.int(*since_ms);
                }
            }
            Self::Event(event) => event.put(out),
        }
    }

    /// Reads what [`RememberedRow::put`] appended; it ends where `bytes` do.
    ///
    /// # Errors
    /// Where it is no such row.
    pub fn take(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::part(table, bytes);
        let row = match input.byte()? {
            ITEM => Self::Item {
                item: input.fixed()?,
                facts: input.fixed()?,
            },
            USER => Self::User {
                user: input.uint()?,
            },
            tag @ (FOLLOW | FOLLOW_SINCE) => Self::Follow {
                user: input.uint()?,
                author: input.fixed()?,
                since_ms: if tag == FOLLOW_SINCE {
                    Some(input.int()?)
                } else {
                    None
                },
            },
            kind => Self::Event(RowEvent::take_kind(&mut input, kind)?),
        };
        input.finish()?;
        Ok(row)
    }

    /// A number to add up over rows: equal sums, equal rows.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut out = Encoder::default();
        self.put(&mut out);
        xxh3_64(&out.finish())
    }
}

/// A row with a hashed key.
impl Record for RememberedRow {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        self.put(out);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        Decoder::record(table, bytes, 1)?;
        Self::take(table, bytes.get(1..).unwrap_or_default())
    }
}

impl RowEvent {
    /// The event as the log has those that are no row's.
    #[must_use]
    pub fn logged(&self, table: u32) -> LogEvent {
        LogEvent {
            origin: EventOrigin::Table(table),
            kind: self.kind,
            user: self.user,
            item: self.item,
            author: self.named,
            ts_ms: self.ts_ms,
            watch_ms: self.watch_ms,
            duration_ms: self.duration_ms,
            value: self.value,
            request_id: None,
            position: None,
        }
    }

    /// The hour since 1970 it happened in.
    #[must_use]
    pub fn hour(&self) -> u32 {
        keys::hour_of(self.ts_ms)
    }

    /// Whether it is a view of at least 0.9 of the duration; `None` where it is not timed.
    #[must_use]
    pub fn is_completed(&self) -> Option<bool> {
        let duration_ms = u64::from(self.effect.duration_ms);
        if self.kind != EventType::View || duration_ms == 0 {
            return None;
        }
        Some(u64::from(self.watch_ms?) * 10 >= duration_ms * 9)
    }

    /// Appends its bytes, at most 100.
    pub fn put(&self, out: &mut Encoder) {
        let effect = &self.effect;
        let is_named = effect.author == self.named;
        let is_given = effect.duration_ms == self.duration_ms.unwrap_or(0);
        let bits = [
            self.item.is_some(),
            self.named.is_some(),
            !is_named,
            !is_named && effect.author.is_some(),
            self.watch_ms.is_some(),
            self.duration_ms.is_some(),
            !is_given,
            effect.is_hot,
            self.value.is_some(),
            effect.taken.is_some(),
            effect.taken.is_some_and(|taken| taken.row_ms.is_some()),
        ];
        let mut set = 0_u16;
        for (bit, is_set) in bits.into_iter().enumerate() {
            set |= u16::from(is_set) << bit;
        }
        out.byte(self.kind as u8)
            .raw(&set.to_le_bytes())
            .uint(self.user)
            .int(self.ts_ms);
        let other = if is_named { None } else { effect.author };
        for hash in [self.item, self.named, other].into_iter().flatten() {
            out.fixed(hash);
        }
        let used = (!is_given).then_some(effect.duration_ms);
        for number in [self.watch_ms, self.duration_ms, used]
            .into_iter()
            .flatten()
        {
            out.uint(u64::from(number));
        }
        if let Some(value) = self.value {
            out.float(value);
        }
        if let Some(taken) = effect.taken {
            out.uint(u64::from(taken.hour));
            if let Some(row_ms) = taken.row_ms {
                out.int(row_ms);
            }
        }
    }

    /// Reads what [`RowEvent::put`] appended.
    ///
    /// # Errors
    /// Where it is no event.
    pub fn take(input: &mut Decoder<'_>) -> Result<Self, StoreError> {
        let kind = input.byte()?;
        Self::take_kind(input, kind)
    }

    fn take_kind(input: &mut Decoder<'_>, kind: u8) -> Result<Self, StoreError> {
        let kind = EventType::ALL.get(usize::from(kind)).copied();
        let kind = kind.ok_or_else(|| input.corrupt("unknown kind of row"))?;
        let set = u16::from_le_bytes(input.array()?);
        if set >> 11 != 0 {
            return Err(input.corrupt("unknown parts of a row"));
        }
        let has = |bit: u32| set >> bit & 1 == 1;
        let user = input.uint()?;
        let ts_ms = input.int()?;
        let mut hash = |bit: u32| has(bit).then(|| input.fixed()).transpose();
        let (item, named, other) = (hash(0)?, hash(1)?, hash(3)?);
        let mut number = |bit: u32| has(bit).then(|| input.uint32()).transpose();
        let (watch_ms, duration_ms, used) = (number(4)?, number(5)?, number(6)?);
        let value = has(8).then(|| input.float()).transpose()?;
        let mut taken = None;
        if has(9) {
            let hour = input.uint32()?;
            let row_ms = has(10).then(|| input.int()).transpose()?;
            taken = Some(Taken { hour, row_ms });
        }
        let effect = RowEffect {
            author: if has(2) { other } else { named },
            duration_ms: used.or(duration_ms).unwrap_or(0),
            is_hot: has(7),
            taken,
        };
        Ok(Self {
            kind,
            user,
            item,
            named,
            ts_ms,
            watch_ms,
            duration_ms,
            value,
            effect,
        })
    }
}

/// The rows of 64 neighbouring integer keys, as bytes: most are read and written whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowBlock {
    /// Bytes of each row; 0 where there is none.
    lens: [u8; BLOCK_ROWS],
    rows: Vec<u8>,
}

impl Default for RowBlock {
    fn default() -> Self {
        Self {
            lens: [0; BLOCK_ROWS],
            rows: Vec::new(),
        }
    }
}

impl RowBlock {
    /// The row in `slot`.
    ///
    /// # Errors
    /// Where it does not decode.
    pub fn get(&self, slot: usize) -> Result<Option<RememberedRow>, StoreError> {
        let (start, len) = self.place(slot);
        match self.rows.get(start..start + len) {
            Some(row) if len > 0 => RememberedRow::take(Table::Rows, row).map(Some),
            _ => Ok(None),
        }
    }

    /// Puts `row`, the bytes of a [`RememberedRow`], into `slot`; empty removes.
    pub fn set(&mut self, slot: usize, row: &[u8]) {
        let (start, len) = self.place(slot);
        if let Some(place) = self.lens.get_mut(slot) {
            *place = u8::try_from(row.len()).unwrap_or(0);
            if start == self.rows.len() {
                self.rows.extend_from_slice(row);
            } else {
                self.rows.splice(start..start + len, row.iter().copied());
            }
        }
    }

    /// Whether it holds no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Slots with a row, ascending.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..BLOCK_ROWS).filter(|&slot| self.lens.get(slot).is_some_and(|&len| len > 0))
    }

    fn place(&self, slot: usize) -> (usize, usize) {
        let before = self.lens.get(..slot).unwrap_or(&self.lens);
        let start = before.iter().map(|&len| usize::from(len)).sum();
        let len = self.lens.get(slot).map_or(0, |&len| usize::from(len));
        (start, len)
    }
}

impl Record for RowBlock {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        let mut set = 0_u64;
        for slot in self.slots() {
            set |= 1 << slot;
        }
        out.fixed(set);
        for &len in self.lens.iter().filter(|&&len| len > 0) {
            out.byte(len);
        }
        out.raw(&self.rows);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let set = input.fixed()?;
        let mut block = Self::default();
        let mut total = 0;
        for (slot, len) in block.lens.iter_mut().enumerate() {
            if set >> slot & 1 == 1 {
                *len = input.byte()?;
                if *len == 0 {
                    return Err(input.corrupt("an empty row in a block"));
                }
                total += usize::from(*len);
            }
        }
        block.rows = input.raw(total)?.to_vec();
        input.finish()?;
        Ok(block)
    }
}
