//! The binary formats' common parts: the frame, and columns of numbers and texts.

pub(crate) mod frame;
mod id_text;
mod reader;
mod writer;

pub(crate) use id_text::{IdBuffer, IdText};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Ways to write a column of integers; the writer takes the shortest.
mod ints {
    /// One varint for all.
    pub(super) const CONSTANT: u8 = 0;
    /// A varint each.
    pub(super) const VARINT: u8 = 1;
    /// Frame of reference: the smallest as a varint, `u8` width, then the differences as
    /// `width` bits each, lowest first.
    pub(super) const PACKED: u8 = 2;
    /// Zigzag varint of the difference to the one before (from 0): for sorted columns.
    pub(super) const DELTA: u8 = 3;
}

/// `i64` to `u64` in the same order.
const SIGN: u64 = 1 << 63;

#[cfg(test)]
mod tests;
