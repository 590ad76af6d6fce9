//! Where the connector stands in the binlog.

use super::gtid::GtidSet;
use super::xa::Undecided;
use crate::replicate::apply::Position;
use std::fmt;
use std::sync::Arc;

/// Which server's binlog a position belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `server_uuid` of MySQL; empty on MariaDB.
    pub(crate) uuid: String,
    /// `server_id`.
    pub(crate) server_id: u32,
}

/// A file of a server's binlog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Whose.
    pub(crate) identity: Identity,
    /// Its name.
    pub(crate) name: String,
    /// When the server began it, Unix seconds: tells it from a file of the same name of another
    /// server, or after RESET MASTER. 0 = not known yet.
    pub(crate) created: u32,
}

/// A place in the binlog: up to `offset` everything is applied, and of the transaction that
/// begins there `events` row events and `rows` rows of the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BinlogPosition {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Byte of the file at which a transaction begins.
    pub(crate) offset: u64,
    /// Row events of the transaction that are applied.
    pub(crate) events: u64,
    /// Rows of the next row event that are applied.
    pub(crate) rows: u64,
    /// Committed transactions, where MySQL numbers them.
    pub(crate) gtids: Option<Arc<GtidSet>>,
    /// XA transactions that began before this place.
    pub(crate) undecided: Arc<Undecided>,
}

/// First line of an encoded position, and of one that knows XA transactions.
const VERSION: &str = "1";
const VERSION_XA: &str = "2";

impl BinlogPosition {
    /// The place right after a committed transaction.
    pub(crate) fn committed(file: Arc<File>, offset: u64, gtids: Option<Arc<GtidSet>>) -> Self {
        Self {
            file,
            offset,
            events: 0,
            rows: 0,
            gtids,
            undecided: Arc::default(),
        }
    }

    /// Reads what [`Position::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut fields = text.split('\n');
        let has_xa = match fields.next()? {
            VERSION => false,
            VERSION_XA => true,
            _ => return None,
        };
        let identity = Identity {
            uuid: fields.next()?.to_owned(),
            server_id: fields.next()?.parse().ok()?,
        };
        let name = fields.next()?.to_owned();
        let created = fields.next()?.parse().ok()?;
        let offset = fields.next()?.parse().ok()?;
        let events = fields.next()?.parse().ok()?;
        let rows = fields.next()?.parse().ok()?;
        let gtids = match fields.next()? {
            "-" => None,
            text => Some(Arc::new(GtidSet::parse(text)?)),
        };
        let undecided = if has_xa {
            Arc::new(Undecided::decode(&mut fields)?)
        } else {
            Arc::default()
        };
        let file = Arc::new(File {
            identity,
            name,
            created,
        });
        fields.next().is_none().then_some(Self {
            file,
            offset,
            events,
            rows,
            gtids,
            undecided,
        })
    }

    /// Whether `other` is a later place of the same file.
    #[cfg(test)]
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        (self.offset, self.events, self.rows) < (other.offset, other.events, other.rows)
    }
}

impl Position for BinlogPosition {
    fn encode(&self) -> Vec<u8> {
        let Self {
            file,
            offset,
            events,
            rows,
            gtids,
            undecided,
        } = self;
        let File {
            identity: Identity { uuid, server_id },
            name,
            created,
        } = &**file;
        let gtids = gtids.as_ref().map_or("-".to_owned(), |set| set.to_string());
        let (version, undecided) = if undecided.is_empty() {
            (VERSION, String::new())
        } else {
            (VERSION_XA, format!("\n{}", undecided.encode()))
        };
        format!(
            "{version}\n{uuid}\n{server_id}\n{name}\n{created}\n{offset}\n{events}\n{rows}\n{gtids}{undecided}"
        )
        .into_bytes()
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.name, self.offset)?;
        if self.events > 0 || self.rows > 0 {
            write!(f, "+{}.{}", self.events, self.rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::mysql::xa;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_read(
            offset in 0u64..1 << 40, events in 0u64..99, rows in 0u64..99, created: u32,
            server_id: u32, last in 1u64..99, gtid: bool, prepared in 0u8..4,
        ) {
            let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned();
            let set = GtidSet::parse(&format!("{uuid}:1-{last}")).unwrap();
            let identity = Identity { uuid, server_id };
            let file = Arc::new(File { identity, name: "binlog.000007".into(), created });
            let gtids = gtid.then(|| Arc::new(set));
            let undecided = Arc::new(xa::some(prepared));
            let position = BinlogPosition { file, offset, events, rows, gtids, undecided };
            prop_assert_eq!(BinlogPosition::decode(&position.encode()), Some(position));
        }

        #[test]
        fn noise_is_no_position(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(BinlogPosition::decode(&bytes), None);
        }
    }

    #[test]
    fn people_see_file_and_offset() {
        let file = Arc::new(File {
            name: "binlog.000003".into(),
            ..File::default()
        });
        let committed = BinlogPosition::committed(file, 1_234, None);
        assert_eq!(committed.to_string(), "binlog.000003:1234");
        let inside = BinlogPosition {
            events: 2,
            rows: 7,
            ..committed.clone()
        };
        assert_eq!(inside.to_string(), "binlog.000003:1234+2.7");
        assert!(committed.is_before(&inside));
    }
}
