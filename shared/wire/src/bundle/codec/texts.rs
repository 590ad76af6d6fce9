//! Columns of ids and of texts.
//!
//! Texts: their lengths ([`super::ints`]), then all bytes. Ids: the class of each (number,
//! UUID, text), the numbers, the UUIDs, then the others as texts. Numbers are integers; of
//! UUIDs the two halves are (big-endian, as they are read), the first with its version moved
//! to the top, so that what versions fix takes no room, and times in front little.

use alloc::vec::Vec;

use edgewise_ranking::{Texts, id_hash};

use super::ints::{self, Len};
use super::part::{Parts, PartsWriter};
use crate::codec::{IdBuffer, IdText};
use crate::decode::DecodeError;

pub(super) fn write_texts(texts: &[&str], out: &mut PartsWriter<'_>) {
    let lens: Vec<u64> = texts.iter().map(|text| text.len() as u64).collect();
    ints::write(&lens, out);
    out.part(|bytes| {
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
        }
    });
}

pub(super) fn read_texts<'a>(
    what: &'static str,
    input: &mut Parts<'a>,
    len: Len,
    bytes_max: usize,
) -> Result<Vec<&'a str>, DecodeError> {
    let lens = ints::read::<u32>(what, input, len, bytes_max as u32)?;
    let total = lens.iter().map(|&len| len as usize).sum();
    let bytes = input.part(what, total)?;
    let mut rest = core::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8(what))?;
    let mut texts = Vec::with_capacity(lens.len());
    for len in lens {
        // Lengths may cut a character.
        let (text, after) = rest
            .split_at_checked(len as usize)
            .ok_or(DecodeError::NotUtf8(what))?;
        texts.push(text);
        rest = after;
    }
    Ok(texts)
}

pub(super) fn write_ids<'a>(ids: impl Iterator<Item = &'a str>, out: &mut PartsWriter<'_>) {
    let ids: Vec<IdText<'a>> = ids.map(IdText::of).collect();
    let classes: Vec<u64> = ids.iter().map(IdText::class).collect();
    let mut numbers = Vec::new();
    let mut uuids = Vec::new();
    let mut texts = Vec::new();
    for id in ids {
        match id {
            IdText::Number(number) => numbers.push(number),
            IdText::Uuid(uuid) => uuids.push(u128::from_be_bytes(uuid)),
            IdText::Text(text) => texts.push(text),
        }
    }
    ints::write(&classes, out);
    ints::write(&numbers, out);
    let firsts = uuids.iter().map(|uuid| version_first((uuid >> 64) as u64));
    ints::write(&firsts.collect::<Vec<_>>(), out);
    let seconds = uuids.iter().map(|&uuid| uuid as u64);
    ints::write(&seconds.collect::<Vec<_>>(), out);
    write_texts(&texts, out);
}

/// The ids and the XXH3-64 of each.
pub(super) fn read_ids(
    what: &'static str,
    input: &mut Parts<'_>,
    len: Len,
    bytes_max: usize,
) -> Result<(Texts, Vec<u64>), DecodeError> {
    let classes = ints::read::<u32>(what, input, len, IdText::TEXT as u32)?;
    let count = |class: u64| {
        let of_class = classes.iter().filter(|&&known| u64::from(known) == class);
        of_class.count()
    };
    let numbers = Len::Exactly(count(IdText::NUMBER));
    let mut numbers = ints::read::<u64>(what, input, numbers, u64::MAX)?.into_iter();
    let uuids = Len::Exactly(count(IdText::UUID));
    let firsts = ints::read::<u64>(what, input, uuids, u64::MAX)?;
    let seconds = ints::read::<u64>(what, input, uuids, u64::MAX)?;
    let mut uuids = firsts
        .into_iter()
        .zip(seconds)
        .map(|(first, second)| u128::from(version_in_place(first)) << 64 | u128::from(second));
    let texts = Len::Exactly(count(IdText::TEXT));
    let mut texts = read_texts(what, input, texts, bytes_max)?.into_iter();
    let mut ids = Texts::default();
    let mut hashes = Vec::with_capacity(classes.len());
    let mut buffer = IdBuffer::new();
    for class in classes {
        let truncated = DecodeError::Truncated(what);
        let value = match u64::from(class) {
            IdText::NUMBER => IdText::Number(numbers.next().ok_or(truncated)?),
            IdText::UUID => IdText::Uuid(uuids.next().ok_or(truncated)?.to_be_bytes()),
            _ => IdText::Text(texts.next().ok_or(truncated)?),
        };
        let text = value.text(&mut buffer);
        ids.push(text);
        hashes.push(id_hash(text));
    }
    Ok((ids, hashes))
}

/// 48 bits, 4 of the version, 12 bits: the version moves in front.
fn version_first(half: u64) -> u64 {
    (half >> 12 & 15) << 60 | half >> 16 << 12 | half & 0xfff
}

fn version_in_place(half: u64) -> u64 {
    (half >> 12 & 0xffff_ffff_ffff) << 16 | half >> 60 << 12 | half & 0xfff
}
