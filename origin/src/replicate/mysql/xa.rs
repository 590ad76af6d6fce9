//! XA transactions: their rows stand in the binlog where they were prepared, and count where
//! `XA COMMIT` stands, which may be much later, or never.

use super::wire::{Cursor, Malformed};
use super::words::{Kind, Word};
use std::fmt;

/// Prepared transactions that may wait for their decision at once; a position holds them all.
pub(super) const PREPARED_MAX: usize = 1_024;

/// Bytes of each part of a name: a server takes no longer one.
const PART_BYTES_MAX: usize = 64;

/// The name of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Xid {
    format: u32,
    global: Vec<u8>,
    branch: Vec<u8>,
}

impl Xid {
    fn new(format: u32, global: &[u8], branch: &[u8]) -> Self {
        Self {
            format,
            global: global.to_vec(),
            branch: branch.to_vec(),
        }
    }

    /// Reads what follows `XA START`, `XA COMMIT` and their like in a statement of the binlog:
    /// `X'7834',X'62',7`, the last two of which may be missing.
    pub(super) fn of_words(words: &[Word]) -> Option<Self> {
        let mut parts = words.split(|word| word.is(","));
        let global = bytes(parts.next()?)?;
        let branch = parts.next().map_or(Some(Vec::new()), bytes)?;
        let format = match parts.next() {
            Some([number, ..]) => number.text.parse::<u64>().ok()? as u32,
            _ => 1,
        };
        (global.len() <= PART_BYTES_MAX && branch.len() <= PART_BYTES_MAX).then_some(Self {
            format,
            global,
            branch,
        })
    }

    /// Reads a row of `XA RECOVER`: format, two lengths, and both parts in one value.
    pub(super) fn of_recover(
        format: u64,
        global_bytes: usize,
        branch_bytes: usize,
        data: &[u8],
    ) -> Option<Self> {
        let (global, rest) = data.split_at_checked(global_bytes)?;
        Some(Self::new(format as u32, global, rest.get(..branch_bytes)?))
    }

    /// Reads the parts with their lengths, `width` bytes each, as events have them.
    fn of_event(cursor: &mut Cursor<'_>, width: usize) -> Result<Self, Malformed> {
        let format = cursor.little(4)? as u32;
        let (global, branch) = (
            cursor.little(width)? as usize,
            cursor.little(width)? as usize,
        );
        if global > PART_BYTES_MAX || branch > PART_BYTES_MAX {
            return Err(cursor.malformed());
        }
        Ok(Self::new(
            format,
            cursor.take(global)?,
            cursor.take(branch)?,
        ))
    }
}

/// As `XA COMMIT` takes it.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (global, branch) = (hex(&self.global), hex(&self.branch));
        write!(f, "X'{global}',X'{branch}',{}", self.format)
    }
}

/// `X'7834'`, or plain text between quotes.
fn bytes(words: &[Word]) -> Option<Vec<u8>> {
    match words {
        [x, text] if x.is("X") && text.kind == Kind::Text => unhex(&text.text),
        [text] if text.kind == Kind::Text => Some(text.text.clone().into_bytes()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| match pair {
        [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    });
    digits.collect()
}

/// An event that ends the rows of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepare {
    /// It is committed with this (`XA COMMIT … ONE PHASE` of MySQL).
    pub(super) is_commit: bool,
    /// Which one.
    pub(super) xid: Xid,
}

impl Prepare {
    /// Parses an XA_PREPARE event's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body, "XA PREPARE");
        let is_commit = cursor.u8()? != 0;
        let xid = Xid::of_event(&mut cursor, 4)?;
        Ok(Self { is_commit, xid })
    }
}

/// What MariaDB's GTID event says of the group that it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The group has the rows of this XA transaction and prepares it.
    pub(super) prepares: Option<Xid>,
    /// The group's `ALTER` only begins, or is given up: `binlog_alter_two_phase`.
    pub(super) is_no_alter: bool,
}

/// Flags of MariaDB's GTID event.
mod flag {
    pub(super) const GROUP_COMMIT_ID: u64 = 2;
    pub(super) const PREPARED_XA: u64 = 64;
    pub(super) const COMPLETED_XA: u64 = 128;
    /// Of the further flags.
    pub(super) const START_ALTER: u8 = 2;
    pub(super) const ROLLBACK_ALTER: u8 = 8;
}

impl Group {
    /// Parses a MariaDB GTID event's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body, "gtid");
        // Number and domain.
        cursor.take(12)?;
        let flags = cursor.little(1)?;
        if flags & flag::GROUP_COMMIT_ID != 0 {
            cursor.take(8)?;
        }
        let mut group = Self::default();
        if flags & (flag::PREPARED_XA | flag::COMPLETED_XA) != 0 {
            let xid = Xid::of_event(&mut cursor, 1)?;
            group.prepares = (flags & flag::PREPARED_XA != 0).then_some(xid);
        }
        // Zeros follow where there are no further flags.
        let further = cursor.u8().unwrap_or(0);
        group.is_no_alter = further & (flag::START_ALTER | flag::ROLLBACK_ALTER) != 0;
        Ok(group)
    }
}

/// A place of the binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file's name.
    pub(crate) file: String,
    /// Byte of the file.
    pub(crate) offset: u64,
}

impl Place {
    /// Whether this is before `other` in the same server's binlog, whose files are numbered.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let number = |name: &str| {
            name.rsplit_once('.')
                .and_then(|(_, n)| n.parse::<u64>().ok())
        };
        (number(&self.file), self.offset) < (number(&other.file), other.offset)
    }

    fn encode(&self) -> String {
        format!("{} {}", self.offset, self.file)
    }

    fn decode(text: &str) -> Option<Self> {
        let (offset, file) = text.split_once(' ')?;
        Some(Self {
            file: file.to_owned(),
            offset: offset.parse().ok()?,
        })
    }
}

/// What is known at a position of XA transactions that began before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undecided {
    /// Prepared and neither committed nor rolled back, with where their groups begin.
    prepared: Vec<(Xid, Place)>,
    /// Decisions before this place about others need nothing: the first copies, which began
    /// after it, have what was committed.
    copied: Option<Place>,
}

impl Undecided {
    /// Where first copies begin after this place.
    pub(super) fn copied_after(place: Place) -> Self {
        Self {
            prepared: Vec::new(),
            copied: Some(place),
        }
    }

    /// Whether there is nothing to know.
    pub(crate) fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.copied.is_none()
    }

    /// How many wait for their decision.
    pub(super) fn len(&self) -> usize {
        self.prepared.len()
    }

    /// Adds one that is prepared. A name may be used again once it is decided.
    pub(super) fn add(&mut self, xid: Xid, place: Place) {
        self.remove(&xid);
        self.prepared.push((xid, place));
    }

    /// Where a prepared one begins.
    pub(super) fn place(&self, xid: &Xid) -> Option<&Place> {
        let mut prepared = self.prepared.iter();
        let (_, place) = prepared.find(|(known, _)| known == xid)?;
        Some(place)
    }

    /// Forgets one that is decided.
    pub(super) fn remove(&mut self, xid: &Xid) {
        self.prepared.retain(|(known, _)| known != xid);
    }

    /// Whether what is decided here is in the first copies.
    pub(super) fn is_copied(&self, place: &Place) -> bool {
        let copied = self.copied.as_ref();
        copied.is_some_and(|copied| place.is_before(copied))
    }

    /// Whether the stream, which is here, has left behind what the first copies have.
    pub(super) fn is_past_copies(&self, place: &Place) -> bool {
        self.copied.is_some() && !self.is_copied(place)
    }

    /// Forgets the place of the first copies.
    pub(super) fn pass_copies(&mut self) {
        self.copied = None;
    }

    /// As lines of a stored position.
    pub(crate) fn encode(&self) -> String {
        let copied = self.copied.as_ref().map_or("-".to_owned(), Place::encode);
        let lines = self.prepared.iter().map(|(xid, place)| {
            let (global, branch) = (hex(&xid.global), hex(&xid.branch));
            // A part may be empty.
            format!("{} x{global} x{branch} {}", xid.format, place.encode())
        });
        let lines: Vec<String> = std::iter::once(copied).chain(lines).collect();
        lines.join("\n")
    }

    /// Reads what [`Undecided::encode`] wrote.
    pub(crate) fn decode<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let copied = match lines.next()? {
            "-" => None,
            place => Some(Place::decode(place)?),
        };
        let part = |text: &str| unhex(text.strip_prefix('x')?);
        let prepared = lines.map(|line| {
            let mut fields = line.splitn(4, ' ');
            let xid = Xid {
                format: fields.next()?.parse().ok()?,
                global: part(fields.next()?)?,
                branch: part(fields.next()?)?,
            };
            Some((xid, Place::decode(fields.next()?)?))
        });
        Some(Self {
            prepared: prepared.collect::<Option<_>>()?,
            copied,
        })
    }
}

#[cfg(test)]
pub(super) fn some(count: u8) -> Undecided {
    let mut undecided = Undecided::default();
    for number in 0..count {
        let place = Place {
            file: "binlog.000003".to_owned(),
            offset: u64::from(number) * 100,
        };
        undecided.add(Xid::new(7, &[number, 0, b' ', b'\n'], &[]), place.clone());
        undecided.copied = Some(place);
    }
    undecided
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::mysql::words::{Escapes, Words};

    fn xid(text: &str) -> Option<String> {
        let words: Vec<Word> = Words::of(text, Escapes::Backslash).collect();
        Xid::of_words(&words).map(|xid| xid.to_string())
    }

    #[test]
    fn names_are_read_as_servers_write_them() {
        for text in ["X'7834',X'62',7", "X'00ff41',X'',1"] {
            assert_eq!(xid(text).as_deref(), Some(text));
        }
        assert_eq!(xid("'x4'").as_deref(), Some("X'7834',X'',1"));
        for text in ["", "X'7'", "x4", "X'zz'", "X'61',b"] {
            assert_eq!(xid(text), None, "{text}");
        }
    }

    #[test]
    fn events_name_their_transaction() {
        // From a MariaDB 10.11 server: xa prepare 'x4','b',7.
        let body = [0, 7, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'x', b'4', b'b'];
        let prepare = Prepare::parse(&body).expect("it is whole");
        assert!(!prepare.is_commit);
        assert_eq!(prepare.xid.to_string(), "X'7834',X'62',7");
        for cut in 0..body.len() {
            assert!(Prepare::parse(&body[..cut]).is_err(), "{cut}");
        }
        let head = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let name = [7, 0, 0, 0, 2, 1, b'x', b'4', b'b'];
        let prepared = Group::parse(&[&head[..], &[64], &name].concat()).expect("it is whole");
        assert_eq!(prepared.prepares, Some(prepare.xid));
        let commit_id = [3; 8];
        let grouped = [&head[..], &[64 | 2], &commit_id, &name].concat();
        assert_eq!(Group::parse(&grouped), Ok(prepared));
        let completed = Group::parse(&[&head[..], &[128], &name].concat()).expect("it is whole");
        assert_eq!(completed, Group::default());
    }

    #[test]
    fn an_alter_counts_where_it_is_committed() {
        let head = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let is_no_alter = |further: &[u8]| {
            let body = [&head[..], &[8], further].concat();
            Group::parse(&body).expect("it is whole").is_no_alter
        };
        assert!(is_no_alter(&[2]), "it begins");
        assert!(is_no_alter(&[8, 0, 0, 0, 0, 0, 0, 0, 9]), "it is given up");
        assert!(!is_no_alter(&[4, 0, 0, 0, 0, 0, 0, 0, 9]));
        assert!(!is_no_alter(&[0; 6]));
        assert!(!is_no_alter(&[]));
    }

    #[test]
    fn places_are_ordered_as_files_are_numbered() {
        let place = |file: &str, offset| Place {
            file: file.to_owned(),
            offset,
        };
        let early = place("binlog.999999", 500);
        assert!(early.is_before(&place("binlog.1000000", 4)));
        assert!(!early.is_before(&early));
        let undecided = Undecided::copied_after(early.clone());
        assert!(undecided.is_copied(&place("binlog.999999", 499)));
        assert!(undecided.is_past_copies(&early));
        assert!(!Undecided::default().is_copied(&place("binlog.000001", 4)));
    }
}
