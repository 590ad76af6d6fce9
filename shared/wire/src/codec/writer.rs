//! Writes a payload.

use alloc::vec::Vec;

use super::id_text::IdText;
use super::{SIGN, ints};

/// A payload that is being written.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Bytes as they are, without their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn varint(&mut self, value: u64) {
        push_varint(&mut self.bytes, value);
    }

    pub(crate) fn len(&mut self, len: usize) {
        self.varint(len as u64);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Length, then bytes.
    pub(crate) fn text(&mut self, text: &str) {
        self.len(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A flag, then the text where there is one.
    pub(crate) fn optional_text(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// A column of integers in the shortest of four ways; nothing where it is empty.
    pub(crate) fn ints(&mut self, values: &[u64]) {
        let (Some(&first), Some(&min), Some(&max)) =
            (values.first(), values.iter().min(), values.iter().max())
        else {
            return;
        };
        if min == max {
            self.byte(ints::CONSTANT);
            return self.varint(first);
        }
        let varint: usize = values.iter().map(|&value| varint_bytes(value)).sum();
        let delta: usize = deltas(values).map(varint_bytes).sum();
        let width = u64::BITS - (max - min).leading_zeros();
        let packed = varint_bytes(min) + 1 + (values.len() * width as usize).div_ceil(8);
        if packed <= varint && packed <= delta {
            self.byte(ints::PACKED);
            self.varint(min);
            self.packed(values.iter().map(|value| value - min), width);
        } else if varint <= delta {
            self.byte(ints::VARINT);
            values.iter().for_each(|&value| self.varint(value));
        } else {
            self.byte(ints::DELTA);
            deltas(values).for_each(|value| self.varint(value));
        }
    }

    /// A column of signed integers, in the order of their values.
    pub(crate) fn signed(&mut self, values: &[i64]) {
        let values: Vec<u64> = values.iter().map(|&value| value as u64 ^ SIGN).collect();
        self.ints(&values);
    }

    /// A column of `f64`, exact to the bit, in eight planes of bytes.
    pub(crate) fn f64s(&mut self, values: &[f64]) {
        for shift in [56, 48, 40, 32, 24, 16, 8, 0] {
            self.bytes
                .extend(values.iter().map(|value| (value.to_bits() >> shift) as u8));
        }
    }

    /// A column of texts: lengths, then all bytes.
    pub(crate) fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str> + Clone) {
        let lens: Vec<u64> = texts.clone().map(|text| text.len() as u64).collect();
        self.ints(&lens);
        texts.for_each(|text| self.bytes.extend_from_slice(text.as_bytes()));
    }

    /// A column of ids: classes, numbers as integers, UUIDs as 16 bytes, then the others.
    pub(crate) fn ids<'a>(&mut self, ids: impl Iterator<Item = &'a str>) {
        let ids: Vec<IdText<'a>> = ids.map(IdText::of).collect();
        let classes: Vec<u64> = ids.iter().map(IdText::class).collect();
        let mut numbers = Vec::new();
        let mut uuids = Vec::new();
        let mut texts = Vec::new();
        for id in ids {
            match id {
                IdText::Number(number) => numbers.push(number),
                IdText::Uuid(uuid) => uuids.extend_from_slice(&uuid),
                IdText::Text(text) => texts.push(text),
            }
        }
        self.ints(&classes);
        self.ints(&numbers);
        self.bytes.extend_from_slice(&uuids);
        self.texts(texts.into_iter());
    }

    fn packed(&mut self, values: impl Iterator<Item = u64>, width: u32) {
        self.byte(width as u8);
        let mut pending = 0_u128;
        let mut bits = 0;
        for value in values {
            pending |= u128::from(value) << bits;
            bits += width;
            while bits >= 8 {
                self.bytes.push(pending as u8);
                pending >>= 8;
                bits -= 8;
            }
        }
        if bits > 0 {
            self.bytes.push(pending as u8);
        }
    }
}

/// Zigzag of the wrapping differences: small for neighbours in either direction.
fn deltas(values: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let befores = core::iter::once(0).chain(values.iter().copied());
    values.iter().zip(befores).map(|(&value, before)| {
        let delta = value.wrapping_sub(before) as i64;
        (delta << 1 ^ delta >> 63) as u64
    })
}

fn varint_bytes(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).max(1).div_ceil(7) as usize
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
