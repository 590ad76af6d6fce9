//! Why bytes are refused.

/// What is wrong with an encoded bundle, overlay, hot list, model snapshot or pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is larger than the format's limit.
    #[error("{len} bytes are more than the limit of {max}")]
    TooLarge {
        /// Bytes there are, or that the header claims.
        len: usize,
        /// Bytes there may be.
        max: usize,
    },
    /// It is something else.
    #[error("the magic is not {expected}")]
    Magic {
        /// The magic of the format.
        expected: &'static str,
    },
    /// Its version is not known here.
    #[error("version {found} is not known (this build reads {expected})")]
    UnknownVersion {
        /// The version it has.
        found: u8,
        /// The version this build reads.
        expected: u8,
    },
    /// Its feature table is another one.
    #[error("feature schema {found:016x} is not this build's {expected:016x}")]
    SchemaMismatch {
        /// The hash it has.
        found: u64,
        /// The hash of this build's feature table.
        expected: u64,
    },
    /// Its bytes were changed.
    #[error("the checksum does not match")]
    Checksum,
    /// It ends early.
    #[error("it ends within {0}")]
    Truncated(&'static str),
    /// It goes on after its end.
    #[error("{0} bytes follow its end")]
    TrailingBytes(usize),
    /// It does not decompress to what its header claims.
    #[error("it does not decompress to the size it claims")]
    Compression,
    /// It has a column that a reader must know, and this build does not.
    #[error("column {0} is required and not known to this build")]
    UnknownColumn(u8),
    /// It lacks a column.
    #[error("{0} is missing")]
    MissingColumn(&'static str),
    /// A list is longer than its limit.
    #[error("{what} has {len} entries, more than {max}")]
    TooMany {
        /// The list.
        what: &'static str,
        /// Entries it claims.
        len: u64,
        /// Entries it may have.
        max: usize,
    },
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A value is out of its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Trees are refused.
    #[error("trees are refused: {0}")]
    Trees(edgewise_ranking::trees::EnsembleError),
    /// A ranking configuration is refused.
    #[error("a ranking configuration is refused: {0}")]
    Config(alloc::string::String),
}
