//! Who had how many events on a day.

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::record::Record;
use super::table::Table;

/// Users whose numbers differ in these lowest bits only share a block.
const NEIGHBOUR_BITS: u32 = 6;
const NEIGHBOURS: usize = 1 << NEIGHBOUR_BITS;

/// How many events 64 neighbouring users had on a day; most who come that day come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityBlock([u32; NEIGHBOURS]);

impl Default for ActivityBlock {
    fn default() -> Self {
        Self([0; NEIGHBOURS])
    }
}

impl ActivityBlock {
    /// The block that a user number is in.
    #[must_use]
    pub const fn of(user: u64) -> u64 {
        user >> NEIGHBOUR_BITS
    }

    /// The count of a user who is in this block.
    pub fn count_mut(&mut self, user: u64) -> &mut u32 {
        &mut self.0[user as usize % NEIGHBOURS]
    }

    /// Users of the block with the number `block` that had an event, with their counts.
    pub fn counts(&self, block: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let first = block << NEIGHBOUR_BITS;
        let counts = self.0.iter().enumerate();
        counts
            .filter(|&(_, &count)| count > 0)
            .map(move |(user, &count)| (first | user as u64, count))
    }
}

impl Record for ActivityBlock {
    fn write(&self, out: &mut Encoder) {
        let mut set = 0_u64;
        for (user, &count) in self.0.iter().enumerate() {
            set |= u64::from(count > 0) << user;
        }
        out.byte(1).fixed(set);
        for &count in self.0.iter().filter(|&&count| count > 0) {
            out.uint(u64::from(count));
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let set = input.fixed()?;
        let mut block = Self::default();
        for (user, count) in block.0.iter_mut().enumerate() {
            if set >> user & 1 == 1 {
                *count = input.uint32()?;
                if *count == 0 {
                    return Err(input.corrupt("a user without an event in a block"));
                }
            }
        }
        input.finish()?;
        Ok(block)
    }
}
