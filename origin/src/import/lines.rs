//! Lines of a text file, with a limit on each: a line that is too long is never held whole.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use super::ImportError;
use super::source;

/// Longest line, without its end.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// Reads a file line by line.
pub(super) struct Lines<R = BufReader<File>> {
    reader: R,
    path: PathBuf,
    line: Vec<u8>,
    number: u64,
    done_bytes: u64,
}

/// A line: its bytes, or that it is too long.
pub(super) enum Line<'a> {
    /// The bytes without the line's end.
    Bytes(&'a [u8]),
    /// More than [`LINE_BYTES_MAX`].
    TooLong,
}

impl Lines {
    /// Opens a file and says how many bytes it has.
    pub(super) fn open(path: &Path, needed: &'static str) -> Result<(Self, u64), ImportError> {
        let file = source::open(path, needed)?;
        let total_bytes = file.metadata().map_err(source::io(path))?.len();
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok((Self::new(reader, path), total_bytes))
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, path: &Path) -> Self {
        Self {
            reader,
            path: path.to_owned(),
            line: Vec::new(),
            number: 0,
            done_bytes: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// The next line with its 1-based number; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>, ImportError> {
        self.line.clear();
        let (mut too_long, mut any) = (false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(source::io(&self.path)(error)),
            };
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let piece = buffer
                .get(..end.unwrap_or(buffer.len()))
                .unwrap_or_default();
            too_long |= self.line.len() + piece.len() > LINE_BYTES_MAX;
            if !too_long {
                self.line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            self.done_bytes += used as u64;
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if too_long {
            return Ok(Some((self.number, Line::TooLong)));
        }
        let mut line = self.line.as_slice();
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some((
            self.number,
            Line::Bytes(line.strip_suffix(b"\r").unwrap_or(line)),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        // A buffer of 7 bytes, so that lines span it.
        let reader = BufReader::with_capacity(7, bytes);
        let mut lines = Lines::new(reader, Path::new("test"));
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push(match line {
                Line::Bytes(bytes) => (number, Some(bytes.to_vec())),
                Line::TooLong => (number, None),
            });
        }
        assert_eq!(lines.done_bytes(), bytes.len() as u64);
        all
    }

    #[test]
    fn lines_of_every_ending() {
        let line = |number, text: &str| (number, Some(text.as_bytes().to_vec()));
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n"), [line(1, "")]);
        assert_eq!(
            read(b"\xef\xbb\xbfa longer line\r\n\nlast"),
            [line(1, "a longer line"), line(2, ""), line(3, "last")]
        );
    }

    #[test]
    fn a_long_line_is_passed_over() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        bytes.push(b'\n');
        bytes.extend(vec![b'y'; LINE_BYTES_MAX + 1]);
        bytes.extend_from_slice(b"\nz");
        let lines = read(&bytes);
        assert_eq!(lines[0].1.as_ref().map(Vec::len), Some(LINE_BYTES_MAX));
        assert_eq!(lines[1], (2, None));
        assert_eq!(lines[2], (3, Some(b"z".to_vec())));
    }
}
