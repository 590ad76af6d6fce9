//! The module's interface as safe code: frames in, frames out.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::Config;
use crate::edge::Edge;
use crate::effect::Output;
use crate::{answer, frame};

/// Version of the interface.
pub const ABI_VERSION: u32 = 1;

/// Longest input a host may announce: a 256 KiB events body, or what a resume brings
/// (six effects of a few hundred KiB), with room.
pub const INPUT_MAX: usize = 64 << 20;

/// An isolate: the input and output buffers and the core between them.
#[derive(Default)]
pub struct Isolate {
    input: Vec<u8>,
    output: Vec<u8>,
    edge: Option<Edge>,
}

impl Isolate {
    /// An isolate before `init`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            edge: None,
        }
    }

    /// A buffer of at least `length` bytes for the next call's input; `None` over [`INPUT_MAX`].
    pub fn input(&mut self, length: usize) -> Option<&mut [u8]> {
        if length > INPUT_MAX {
            return None;
        }
        if self.input.len() < length {
            self.input.resize(length, 0);
        }
        Some(&mut self.input)
    }

    /// The last call's output.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Takes the configuration; the output is empty or says what is wrong with it.
    pub fn init(&mut self, length: usize) {
        self.output.clear();
        match Config::from_json(taken(&self.input, length)) {
            Ok(config) => self.edge = Some(Edge::new(config)),
            Err(error) => self.output.extend_from_slice(error.to_string().as_bytes()),
        }
    }

    /// Starts a request.
    pub fn start(&mut self, length: usize) {
        let output = match (
            frame::read_start(taken(&self.input, length)),
            &mut self.edge,
        ) {
            (None, _) => Output::finished(answer::bad_frame()),
            (Some(_), None) => Output::finished(answer::not_initialised()),
            (Some((request, body)), Some(edge)) => edge.start(&request, body),
        };
        frame::write_output(&output, &mut self.output);
        self.trim();
    }

    /// Resumes a request with the results of its effects.
    pub fn resume(&mut self, length: usize) {
        let output = match (
            frame::read_resume(taken(&self.input, length)),
            &mut self.edge,
        ) {
            (Some((handle, wall_ms, results)), Some(edge)) => {
                edge.resume(handle, wall_ms, &results)
            }
            _ => Output::ended(0),
        };
        frame::write_output(&output, &mut self.output);
        self.trim();
    }

    /// Ranks as `edgewise rank` does: JSON in, JSON lines (or an error sentence) out.
    pub fn rank(&mut self, length: usize) {
        let text = match edgewise_serving::rank_json::rank(taken(&self.input, length)) {
            Ok(lines) => lines,
            Err(error) => error.to_string(),
        };
        self.output.clear();
        self.output.extend_from_slice(text.as_bytes());
        self.trim();
    }

    /// A rare large input must not hold memory of the isolate for good.
    fn trim(&mut self) {
        const KEPT: usize = 1 << 20;
        if self.input.len() > KEPT {
            self.input = Vec::new();
        }
    }
}

fn taken(input: &[u8], length: usize) -> &[u8] {
    input.get(..length).unwrap_or(&[])
}
