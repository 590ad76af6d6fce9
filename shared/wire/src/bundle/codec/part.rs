//! Parts of a column: each begins at a multiple of 8 bytes, so that it can be cast.

use alloc::vec::Vec;

use bytemuck::AnyBitPattern;

use crate::decode::DecodeError;

/// Every part's length is filled up with zeros to a multiple of this.
const ALIGNMENT: usize = 8;

/// Writes a column's parts.
pub(super) struct PartsWriter<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> PartsWriter<'a> {
    /// Appends to `bytes`, whose length is a multiple of 8.
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Appends a part that `write` fills.
    pub(super) fn part(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.bytes);
        let len = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(len, 0);
    }
}

/// What is left to read of a column; `what` in its methods names it for errors.
#[derive(Clone)]
pub(super) struct Parts<'a> {
    bytes: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next part, of `len` bytes.
    pub(super) fn part(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let truncated = DecodeError::Truncated(what);
        let padded = len
            .checked_next_multiple_of(ALIGNMENT)
            .ok_or(truncated.clone())?;
        let (part, rest) = self.bytes.split_at_checked(padded).ok_or(truncated)?;
        self.bytes = rest;
        match part.split_at_checked(len) {
            Some((part, padding)) if padding.iter().all(|&byte| byte == 0) => Ok(part),
            _ => Err(DecodeError::OutOfRange(what)),
        }
    }

    /// The next part, of `N` bytes.
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let part = self.part(what, N)?;
        part.first_chunk()
            .copied()
            .ok_or(DecodeError::Truncated(what))
    }

    /// The first bytes of the next part.
    pub(super) fn peek<const N: usize>(&self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let next = self.bytes.first_chunk().copied();
        next.ok_or(DecodeError::Truncated(what))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }
}

/// The bytes as values of a fixed width, without a copy.
pub(super) fn cast<'a, T: AnyBitPattern>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<&'a [T], DecodeError> {
    bytemuck::try_cast_slice(bytes).map_err(|_| DecodeError::OutOfRange(what))
}
