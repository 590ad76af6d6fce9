//! Bytes of binlog events, read without ever indexing: what is cut short is an error.

/// An event that does not hold what its kind must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the binlog event is cut short or malformed in its {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A cursor over an event's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte; `part` names what is read, for errors.
    pub(crate) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { rest: bytes, part }
    }

    /// Whether everything is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at this place.
    pub(crate) fn malformed(&self) -> Malformed {
        Malformed(self.part)
    }

    /// The next `count` bytes.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Malformed(self.part))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed(self.part))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// An integer of `bytes` (1 to 8) bytes, least significant first.
    #[inline]
    pub(crate) fn little(&mut self, bytes: usize) -> Result<u64, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// An integer of `bytes` (1 to 8) bytes, most significant first.
    #[inline]
    pub(crate) fn big(&mut self, bytes: usize) -> Result<u64, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A length-encoded integer.
    pub(crate) fn packed(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            byte @ 0..=0xfa => Ok(u64::from(byte)),
            0xfc => self.little(2),
            0xfd => self.little(3),
            0xfe => self.little(8),
            _ => Err(Malformed(self.part)),
        }
    }

    /// A length-encoded integer that counts things in this event.
    pub(crate) fn packed_len(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.packed()?).map_err(|_| Malformed(self.part))
    }

    /// Text of one length byte, as UTF-8 with replacements (names of schemas and tables).
    pub(crate) fn short_text(&mut self) -> Result<String, Malformed> {
        let len = usize::from(self.u8()?);
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }
}

/// Whether bit `index` of a bitmap, least significant bit first, is set.
#[inline]
pub(crate) fn bit(map: &[u8], index: usize) -> bool {
    map.get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_are_read() {
        let mut cursor = Cursor::new(&[1, 2, 3, 1, 2, 3, 0xfb, 0xfc, 1, 1], "test");
        assert_eq!(cursor.little(3), Ok(0x03_02_01));
        assert_eq!(cursor.big(3), Ok(0x01_02_03));
        assert_eq!(cursor.packed(), Err(Malformed("test")), "0xfb is no length");
        assert_eq!(cursor.packed(), Ok(0x0101));
        assert!(cursor.is_empty());
        assert_eq!(cursor.u8(), Err(Malformed("test")));
    }

    #[test]
    fn bits_beyond_the_map_are_unset() {
        assert!(bit(&[0b10], 1));
        assert!(!bit(&[0b10], 0));
        assert!(!bit(&[0xff], 8));
    }
}
