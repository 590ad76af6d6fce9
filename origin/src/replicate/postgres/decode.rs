//! Messages of PostgreSQL's logical decoding plug-in `pgoutput`, protocol 1, from bytes.
//!
//! Everything borrows from the message. Every length is checked against what is there, counts
//! are checked before anything is reserved, and what a message leaves over is an error: bytes
//! that were cut or mixed up on their way are refused, never guessed at.

/// Columns a table can have (`MaxTupleAttributeNumber` of PostgreSQL, rounded up).
pub const COLUMNS_MAX: usize = 2_048;
/// Tables one TRUNCATE can name before the message counts as corrupt.
pub const TRUNCATED_MAX: usize = 65_536;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends within a field.
    #[error("a pgoutput message ends within {0}")]
    Truncated(&'static str),
    /// A field says something impossible.
    #[error("a pgoutput message has an impossible {0}")]
    Invalid(&'static str),
    /// Bytes follow the last field.
    #[error("a pgoutput message has {0} bytes too many")]
    Trailing(usize),
    /// The first byte names no message of protocol 1.
    #[error("a pgoutput message of unknown kind 0x{0:02x}")]
    UnknownKind(u8),
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// A transaction begins.
    Begin {
        /// Where its commit record starts.
        final_lsn: u64,
        /// When it committed, microseconds since 2000-01-01.
        commit_time: i64,
        /// Its transaction id.
        xid: u32,
    },
    /// A transaction is complete.
    Commit {
        /// Where its commit record starts.
        lsn: u64,
        /// Where the commit record ends.
        end_lsn: u64,
        /// When it committed, microseconds since 2000-01-01.
        commit_time: i64,
    },
    /// Where the transaction came from; of no use here.
    Origin,
    /// A type that is not built in.
    Type {
        /// Its OID.
        oid: u32,
        /// Its name; a domain's base type.
        name: &'a [u8],
    },
    /// What a table looks like from here on.
    Relation(Relation<'a>),
    /// A row is new.
    Insert {
        /// The table's OID.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row changed.
    Update {
        /// The table's OID.
        relation: u32,
        /// What it was, where its key changed or the whole row is its identity.
        old: Option<Old<'a>>,
        /// What it is.
        new: Tuple<'a>,
    },
    /// A row is gone.
    Delete {
        /// The table's OID.
        relation: u32,
        /// What identifies it.
        old: Old<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// Their OIDs.
        relations: Vec<u32>,
    },
    /// Somebody's `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to a transaction.
        transactional: bool,
        /// Where it stands.
        lsn: u64,
        /// Whose it is.
        prefix: &'a [u8],
        /// What it says.
        content: &'a [u8],
    },
}

/// A table as it is from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation<'a> {
    /// Its OID.
    pub oid: u32,
    /// Its schema; empty = `pg_catalog`.
    pub schema: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// `d`, `n`, `f` or `i`.
    pub replica_identity: u8,
    /// Its published columns.
    pub columns: Vec<RelationColumn<'a>>,
}

/// A published column.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity.
    pub is_identity: bool,
    /// Its name.
    pub name: &'a [u8],
    /// Its type's OID.
    pub type_oid: u32,
}

/// What a row was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Old<'a> {
    /// Only the columns of the replica identity are meaningful; the others say NULL.
    Key(Tuple<'a>),
    /// The whole row.
    Row(Tuple<'a>),
}

impl<'a> Old<'a> {
    /// The columns.
    #[must_use]
    pub fn tuple(&self) -> Tuple<'a> {
        match *self {
            Self::Key(tuple) | Self::Row(tuple) => tuple,
        }
    }
}

/// A column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    /// NULL.
    Null,
    /// A stored-apart value that did not change and was not sent.
    Unchanged,
    /// The text of the value, in the server's encoding.
    Text(&'a [u8]),
    /// The value's binary form; never asked for.
    Binary(&'a [u8]),
}

/// The columns of a row: already checked, read by [`Tuple::iter`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// How many columns it has.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// Its columns in order.
    pub fn iter(&self) -> impl Iterator<Item = Datum<'a>> + use<'a> {
        let mut reader = Reader(self.bytes);
        // The bytes were read the same way when the tuple was made.
        (0..self.columns).map_while(move |_| reader.datum().ok())
    }
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly one message of protocol 1.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let message = match reader.u8("its kind")? {
            b'B' => Self::Begin {
                final_lsn: reader.u64("a position")?,
                commit_time: reader.i64("a time")?,
                xid: reader.u32("a transaction id")?,
            },
            b'C' => {
                reader.u8("flags")?;
                Self::Commit {
                    lsn: reader.u64("a position")?,
                    end_lsn: reader.u64("a position")?,
                    commit_time: reader.i64("a time")?,
                }
            }
            b'O' => {
                reader.u64("a position")?;
                reader.text("an origin's name")?;
                Self::Origin
            }
            b'Y' => {
                let oid = reader.u32("a type's id")?;
                reader.text("a type's schema")?;
                let name = reader.text("a type's name")?;
                Self::Type { oid, name }
            }
            b'R' => Self::Relation(reader.relation()?),
            b'I' => {
                let relation = reader.u32("a table's id")?;
                if reader.u8("a tuple's kind")? != b'N' {
                    return Err(DecodeError::Invalid("tuple kind"));
                }
                let new = reader.tuple()?;
                Self::Insert { relation, new }
            }
            b'U' => reader.update()?,
            b'D' => {
                let relation = reader.u32("a table's id")?;
                let kind = reader.u8("a tuple's kind")?;
                let old = reader.old(kind)?;
                Self::Delete { relation, old }
            }
            b'T' => reader.truncate()?,
            b'M' => reader.logical()?,
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        match reader.0.len() {
            0 => Ok(message),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .0
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated(what))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .0
            .split_first_chunk()
            .ok_or(DecodeError::Truncated(what))?;
        self.0 = tail;
        Ok(*head)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(|[byte]| byte)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// Bytes up to a zero.
    fn text(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or(DecodeError::Truncated(what))?, what)?;
        self.u8(what)?;
        Ok(text)
    }

    /// Bytes preceded by their number.
    fn sized(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.u32(what)?).map_err(|_| DecodeError::Invalid(what))?;
        self.take(len, what)
    }

    fn relation(&mut self) -> Result<Relation<'a>, DecodeError> {
        let oid = self.u32("a table's id")?;
        let schema = self.text("a schema's name")?;
        let name = self.text("a table's name")?;
        let replica_identity = self.u8("a replica identity")?;
        let count = usize::from(self.u16("a number of columns")?);
        if count > COLUMNS_MAX {
            return Err(DecodeError::Invalid("number of columns"));
        }
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let flags = self.u8("a column's flags")?;
            let name = self.text("a column's name")?;
            let type_oid = self.u32("a column's type")?;
            self.u32("a column's type modifier")?;
            columns.push(RelationColumn {
                is_identity: flags & 1 == 1,
                name,
                type_oid,
            });
        }
        Ok(Relation {
            oid,
            schema,
            name,
            replica_identity,
            columns,
        })
    }

    fn datum(&mut self) -> Result<Datum<'a>, DecodeError> {
        match self.u8("a column's kind")? {
            b'n' => Ok(Datum::Null),
            b'u' => Ok(Datum::Unchanged),
            b't' => Ok(Datum::Text(self.sized("a column's text")?)),
            b'b' => Ok(Datum::Binary(self.sized("a column's value")?)),
            _ => Err(DecodeError::Invalid("column kind")),
        }
    }

    fn tuple(&mut self) -> Result<Tuple<'a>, DecodeError> {
        let columns = self.u16("a number of columns")?;
        if usize::from(columns) > COLUMNS_MAX {
            return Err(DecodeError::Invalid("number of columns"));
        }
        let start = self.0;
        for _ in 0..columns {
            self.datum()?;
        }
        let len = start.len() - self.0.len();
        let bytes = start.get(..len).unwrap_or_default();
        Ok(Tuple { columns, bytes })
    }

    fn old(&mut self, kind: u8) -> Result<Old<'a>, DecodeError> {
        match kind {
            b'K' => Ok(Old::Key(self.tuple()?)),
            b'O' => Ok(Old::Row(self.tuple()?)),
            _ => Err(DecodeError::Invalid("tuple kind")),
        }
    }

    fn update(&mut self) -> Result<Message<'a>, DecodeError> {
        let relation = self.u32("a table's id")?;
        let mut kind = self.u8("a tuple's kind")?;
        let mut old = None;
        if kind != b'N' {
            old = Some(self.old(kind)?);
            kind = self.u8("a tuple's kind")?;
        }
        if kind != b'N' {
            return Err(DecodeError::Invalid("tuple kind"));
        }
        let new = self.tuple()?;
        Ok(Message::Update { relation, old, new })
    }

    fn truncate(&mut self) -> Result<Message<'a>, DecodeError> {
        let count = self.u32("a number of tables")? as usize;
        self.u8("flags")?;
        if count > TRUNCATED_MAX || count > self.0.len() / 4 {
            return Err(DecodeError::Invalid("number of tables"));
        }
        let relations = (0..count).map(|_| self.u32("a table's id"));
        let relations = relations.collect::<Result<_, _>>()?;
        Ok(Message::Truncate { relations })
    }

    fn logical(&mut self) -> Result<Message<'a>, DecodeError> {
        let flags = self.u8("flags")?;
        let lsn = self.u64("a position")?;
        let prefix = self.text("a message's prefix")?;
        let content = self.sized("a message's content")?;
        Ok(Message::Logical {
            transactional: flags & 1 == 1,
            lsn,
            prefix,
            content,
        })
    }
}

/// What the fuzz target calls: any bytes are a message whose rows can be read, or an error.
pub fn fuzz(data: &[u8]) {
    let rows: [Option<Tuple<'_>>; 2] = match Message::decode(data) {
        Ok(Message::Insert { new, .. }) => [Some(new), None],
        Ok(Message::Update { old, new, .. }) => [Some(new), old.map(|old| old.tuple())],
        Ok(Message::Delete { old, .. }) => [Some(old.tuple()), None],
        _ => [None, None],
    };
    for row in rows.into_iter().flatten() {
        assert_eq!(row.iter().count(), row.len());
    }
}
