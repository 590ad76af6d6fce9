//! A client that stays connected: statements go in and rows come out through pipes, so that a
//! thousand statements do not cost a thousand processes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Rows as text.
pub type Rows = Vec<Vec<String>>;

/// How NULL comes out.
pub const NULL: &str = "NULL";

/// How long a statement may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Lines that wait between the client and the test.
const LINES: usize = 1_024;
/// Longest statement that is written to the client while nobody reads its answer.
const PIPE_BYTES: usize = 32 * 1024;
/// Ends every answer.
const MARK: &str = "\u{2}done\u{2}";

/// How a client separates fields, says it is done, and says that something failed.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    /// `psql` with fields ended by 0x1f and rows by a zero byte.
    Psql,
    /// `mariadb --batch`: tabs, newlines, backslashes before special characters.
    MariaDb,
}

/// One connection to a server.
pub struct Session {
    dialect: Dialect,
    client: Child,
    input: ChildStdin,
    lines: Receiver<Vec<u8>>,
}

impl Session {
    /// Starts `client`; standard error joins standard output, so that errors keep their place.
    pub(super) fn start(dialect: Dialect, client: &Command) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"exec "$@" 2>&1"#, "client"])
            .arg(client.get_program())
            .args(client.get_args())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        for (name, value) in client.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        let mut client = shell.spawn().expect("the client can be started");
        let input = client.stdin.take().expect("it was piped");
        let output = client.stdout.take().expect("it was piped");
        let (sender, lines) = sync_channel(LINES);
        // Ends with the client's output, or when nobody listens any more.
        let name = "client output".to_owned();
        let reader = std::thread::Builder::new().name(name).spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match output.read_until(b'\n', &mut line) {
                    Ok(1..) if sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        });
        reader.expect("a thread can be started");
        Self {
            dialect,
            client,
            input,
            lines,
        }
    }

    /// Runs statements; their rows, or what the client says about the first that failed.
    ///
    /// # Errors
    /// A statement failed, or the server went away: then nothing works here any more.
    ///
    /// # Panics
    /// Where an answer takes 3 minutes.
    pub fn try_sql(&mut self, sql: &str) -> Result<Rows, String> {
        let sql = sql.trim();
        let end = if sql.ends_with(';') { "" } else { ";" };
        let long = (sql.len() > PIPE_BYTES).then(|| {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            write!(file, "{sql}{end}").expect("it can be written");
            file
        });
        let text = match (&long, self.dialect) {
            (None, _) => format!("{sql}{end}"),
            (Some(file), Dialect::Psql) => format!("\\i {}", file.path().display()),
            (Some(file), Dialect::MariaDb) => format!("source {}", file.path().display()),
        };
        let question = match self.dialect {
            Dialect::Psql => format!(
                "\\set LAST_ERROR_MESSAGE ''\n{text}\n\\echo '{MARK}' :LAST_ERROR_MESSAGE\n"
            ),
            Dialect::MariaDb => format!("{text}\nselect '{MARK}';\n"),
        };
        let written = self.input.write_all(question.as_bytes());
        let (answer, failed) = self.answer(sql)?;
        written.map_err(|error| format!("the client is gone: {error}"))?;
        if failed {
            return Err(answer.replace('\0', "\n"));
        }
        Ok(match self.dialect {
            Dialect::Psql => psql_rows(&answer),
            Dialect::MariaDb => batch_rows(&answer),
        })
    }

    /// Runs statements; their rows.
    ///
    /// # Panics
    /// Where one fails.
    #[track_caller]
    pub fn sql(&mut self, sql: &str) -> Rows {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// Everything up to the mark, and whether something failed.
    fn answer(&mut self, sql: &str) -> Result<(String, bool), String> {
        let mut answer = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => answer.extend_from_slice(&line),
                Err(RecvTimeoutError::Timeout) => panic!("no answer: {sql}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let said = String::from_utf8_lossy(&answer).into_owned();
                    return Err(format!("the client is gone: {said}"));
                }
            }
            // The mark stands in the last line; it alone is searched for it.
            let tail = answer.len() - line_length(&answer);
            let text = String::from_utf8_lossy(&answer[tail..]);
            let Some((before, after)) = text.split_once(MARK) else {
                continue;
            };
            let failed = !after.trim().is_empty();
            let before = before.to_owned();
            answer.truncate(tail);
            let answer = String::from_utf8_lossy(&answer).into_owned() + &before;
            let failed = match self.dialect {
                Dialect::Psql => failed,
                Dialect::MariaDb => answer.lines().any(|line| {
                    let rest = line.strip_prefix("ERROR ").unwrap_or_default();
                    rest.starts_with(|first: char| first.is_ascii_digit()) && rest.contains('(')
                }),
            };
            return Ok((answer, failed));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Length of the last line, its end included.
fn line_length(text: &[u8]) -> usize {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let start = body.iter().rposition(|&byte| byte == b'\n');
    text.len() - start.map_or(0, |at| at + 1)
}

fn psql_rows(answer: &str) -> Rows {
    let rows = answer.split_terminator('\0');
    rows.map(|row| row.split('\u{1f}').map(str::to_owned).collect())
        .collect()
}

fn batch_rows(answer: &str) -> Rows {
    let rows = answer.lines();
    rows.map(|row| row.split('\t').map(unescape).collect())
        .collect()
}

/// Undoes what `--batch` does to special characters.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.push(next);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('0') => text.push('\0'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_line_breaks_and_tabs() {
        assert_eq!(
            psql_rows("1\u{1f}a\nb\0\u{1f}\0"),
            [["1", "a\nb"], ["", ""]]
        );
        assert_eq!(psql_rows(""), Rows::new());
        assert_eq!(batch_rows("1\ta\\nb\\\\\n"), [["1", "a\nb\\"]]);
    }

    #[test]
    fn the_last_line_is_measured_with_its_end() {
        assert_eq!(line_length(b"ab\ncd\n"), 3);
        assert_eq!(line_length(b"cd"), 2);
        assert_eq!(line_length(b""), 0);
    }
}
