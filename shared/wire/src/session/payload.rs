//! The session's payload: entries as flags and hashes, tags through a table.
//!
//! Layout: `u64` subject, `u32` newest `at_s`, `u8` tags in the table, the table as `u32`s,
//! `u8` entries, then per entry: `u8` kind, `u8` flags (1 item, 2 author, 4 event; bits 4..7
//! number of tags), varint seconds before the newest, and what the flags name.

use alloc::vec::Vec;

use edgewise_ranking::sort::sort;

use super::{Session, SessionEntry};
use crate::api::EventType;
use crate::limits::{SESSION_HIDES_MAX, SESSION_INTERACTIONS_MAX, SESSION_TAGS_MAX};

const HAS_ITEM: u8 = 1;
const HAS_AUTHOR: u8 = 2;
const HAS_EVENT: u8 = 4;
const TAGS_SHIFT: u32 = 4;

impl Session {
    pub(crate) fn to_payload(&self) -> Vec<u8> {
        let newest = self
            .entries
            .iter()
            .map(|entry| entry.at_s)
            .max()
            .unwrap_or(0);
        let mut table: Vec<u32> = self
            .entries
            .iter()
            .flat_map(|entry| entry.tags.iter().copied())
            .collect();
        sort(&mut table);
        table.dedup();
        table.truncate(usize::from(u8::MAX));
        let mut out = Vec::new();
        out.extend_from_slice(&self.subject.to_le_bytes());
        out.extend_from_slice(&newest.to_le_bytes());
        out.push(table.len() as u8);
        for tag in &table {
            out.extend_from_slice(&tag.to_le_bytes());
        }
        out.push(u8::try_from(self.entries.len()).unwrap_or(u8::MAX));
        for entry in self.entries.iter().take(usize::from(u8::MAX)) {
            encode_entry(entry, newest, &table, &mut out);
        }
        out
    }

    pub(super) fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut input = Input(payload);
        let subject = u64::from_le_bytes(input.take()?);
        let newest = u32::from_le_bytes(input.take()?);
        let [tags] = input.take()?;
        let mut table = Vec::with_capacity(usize::from(tags));
        for _ in 0..tags {
            table.push(u32::from_le_bytes(input.take()?));
        }
        let [count] = input.take()?;
        if usize::from(count) > SESSION_HIDES_MAX + SESSION_INTERACTIONS_MAX {
            return None;
        }
        let mut entries = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            entries.push(decode_entry(&mut input, newest, &table)?);
        }
        input.0.is_empty().then_some(Self { subject, entries })
    }
}

fn encode_entry(entry: &SessionEntry, newest: u32, table: &[u32], out: &mut Vec<u8>) {
    let indices: Vec<u8> = entry
        .tags
        .iter()
        .take(SESSION_TAGS_MAX)
        .filter_map(|tag| u8::try_from(table.binary_search(tag).ok()?).ok())
        .collect();
    let set = |flag: u8, given: bool| if given { flag } else { 0 };
    let flags = set(HAS_ITEM, entry.item != 0)
        | set(HAS_AUTHOR, entry.author != 0)
        | set(HAS_EVENT, entry.event != 0)
        | ((indices.len() as u8) << TAGS_SHIFT);
    out.push(entry.kind as u8);
    out.push(flags);
    let mut age = newest - entry.at_s;
    while age >= 0x80 {
        out.push(age as u8 | 0x80);
        age >>= 7;
    }
    out.push(age as u8);
    if entry.item != 0 {
        out.extend_from_slice(&entry.item.to_le_bytes());
    }
    if entry.author != 0 {
        out.extend_from_slice(&entry.author.to_le_bytes());
    }
    if entry.event != 0 {
        out.extend_from_slice(&entry.event.to_le_bytes());
    }
    out.extend_from_slice(&indices);
}

fn decode_entry(input: &mut Input<'_>, newest: u32, table: &[u32]) -> Option<SessionEntry> {
    let [kind, flags] = input.take()?;
    let kind = EventType::ALL.get(usize::from(kind)).copied()?;
    let tag_count = usize::from(flags >> TAGS_SHIFT);
    if tag_count > SESSION_TAGS_MAX || flags & 8 != 0 {
        return None;
    }
    let at_s = newest.checked_sub(input.varint()?)?;
    let item = if flags & HAS_ITEM != 0 {
        u64::from_le_bytes(input.take()?)
    } else {
        0
    };
    let author = if flags & HAS_AUTHOR != 0 {
        u64::from_le_bytes(input.take()?)
    } else {
        0
    };
    let event = if flags & HAS_EVENT != 0 {
        u32::from_le_bytes(input.take()?)
    } else {
        0
    };
    let mut tags = Vec::with_capacity(tag_count);
    for _ in 0..tag_count {
        let [index] = input.take()?;
        tags.push(*table.get(usize::from(index))?);
    }
    Some(SessionEntry {
        kind,
        event,
        item,
        author,
        tags,
        at_s,
    })
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }
}
