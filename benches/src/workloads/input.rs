//! What a workload is given besides its seed: a model and rows, in one file.

/// A model snapshot and rows of features.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// An encoded model snapshot; empty is none.
    pub snapshot: Vec<u8>,
    /// Rows of the model's features, row by row.
    pub rows: Vec<f32>,
}

impl Input {
    /// `u32` length of the snapshot, the snapshot, then the rows, all little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.snapshot.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.snapshot);
        bytes.extend(self.rows.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Reads what [`Input::to_bytes`] wrote; nothing of anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
            return Self::default();
        };
        let Some((snapshot, rows)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)
        else {
            return Self::default();
        };
        let rows = rows.chunks_exact(4);
        Self {
            snapshot: snapshot.to_vec(),
            rows: rows
                .map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]))
                .collect(),
        }
    }
}
