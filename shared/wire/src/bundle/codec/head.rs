//! The bundle's first column: what is one value for all candidates.

use super::directory::{Directory, column};
use super::part::PartsWriter;
use crate::bundle::Bundle;
use crate::decode::DecodeError;
use crate::limits::CANDIDATES_MAX;

const HEAD_BYTES: usize = 40;

pub(super) struct Head {
    pub(super) rows: usize,
    pub(super) completion_prior: f32,
    pub(super) made_at_ms: i64,
    pub(super) position: u64,
    pub(super) as_of_ms: i64,
    pub(super) sketch_scale: f32,
}

pub(super) fn write(bundle: &Bundle, rows: usize, out: &mut PartsWriter<'_>) {
    out.part(|bytes| {
        bytes.extend_from_slice(&(rows as u32).to_le_bytes());
        bytes.extend_from_slice(&bundle.completion_prior.to_bits().to_le_bytes());
        bytes.extend_from_slice(&bundle.made_at_ms.to_le_bytes());
        bytes.extend_from_slice(&bundle.position.to_le_bytes());
        bytes.extend_from_slice(&bundle.candidates.as_of_ms.to_le_bytes());
        bytes.extend_from_slice(&bundle.candidates.sketch.scale.to_bits().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    });
}

pub(super) fn read(columns: &Directory<'_>) -> Result<Head, DecodeError> {
    let mut column = columns
        .get(column::HEAD)
        .ok_or(DecodeError::MissingColumn("the head"))?;
    let words = column.part("the head", HEAD_BYTES)?.as_chunks::<8>().0;
    column.end()?;
    let &[rows_prior, made_at, position, as_of, scale] = words else {
        return Err(DecodeError::Truncated("the head"));
    };
    let [rows, prior] = halves(rows_prior);
    let [scale, reserved] = halves(scale);
    if reserved != 0 {
        return Err(DecodeError::OutOfRange("the head"));
    }
    if rows as usize > CANDIDATES_MAX {
        return Err(DecodeError::TooMany {
            what: "candidates",
            len: u64::from(rows),
            max: CANDIDATES_MAX,
        });
    }
    Ok(Head {
        rows: rows as usize,
        completion_prior: f32::from_bits(prior),
        made_at_ms: i64::from_le_bytes(made_at),
        position: u64::from_le_bytes(position),
        as_of_ms: i64::from_le_bytes(as_of),
        sketch_scale: f32::from_bits(scale),
    })
}

fn halves(bytes: [u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = bytes;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}
