//! A closed-loop HTTP/1.1 load: keep-alive connections, one thread each, latencies kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a load run saw.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Latencies of all answers, ms, ascending.
    pub(crate) latencies_ms: Vec<f64>,
    /// Answers with a status of 500 or above, and failed connections.
    pub(crate) errors: u64,
    /// How long it ran.
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// The latency at `percent`, ms.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let last = self.latencies_ms.len().saturating_sub(1);
        let index = (self.latencies_ms.len() as f64 * percent / 100.0) as usize;
        self.latencies_ms
            .get(index.min(last))
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies_ms.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// The head and body of a `GET`.
pub(crate) fn get(address: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")
}

/// The head of a `GET` with a bearer token.
pub(crate) fn get_as(address: &str, path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n")
}

/// The status of one request on a connection of its own.
pub(crate) fn status(address: &str, request: &str) -> Result<u16> {
    exchange(address, &mut None, request)
}

/// The head and body of a `POST` of JSON with a bearer token.
pub(crate) fn post(address: &str, path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Runs `connections` threads for `seconds`; each sends `request(connection, n)` to
/// `host:port`, n = 0, 1, ..., and waits `pause` between an answer and the next request.
pub(crate) fn run(
    address: &str,
    connections: usize,
    seconds: f64,
    pause: Duration,
    request: impl Fn(usize, usize) -> String + Sync,
) -> Result<Outcome> {
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|connection| {
                let (stop, request) = (&stop, &request);
                scope.spawn(move || one(address, connection, pause, stop, request))
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join())
            .collect::<Vec<_>>()
    });
    let mut outcome = Outcome {
        elapsed: started.elapsed(),
        ..Outcome::default()
    };
    for part in parts {
        let Ok((latencies, errors)) = part else {
            bail!("a load thread panicked")
        };
        outcome.latencies_ms.extend(latencies);
        outcome.errors += errors;
    }
    outcome.latencies_ms.sort_by(f64::total_cmp);
    Ok(outcome)
}

fn one(
    address: &str,
    connection: usize,
    pause: Duration,
    stop: &AtomicBool,
    request: &(impl Fn(usize, usize) -> String + Sync),
) -> (Vec<f64>, u64) {
    let mut latencies = Vec::with_capacity(10_000);
    let mut errors = 0;
    let mut stream = None;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = request(connection, n);
        let started = Instant::now();
        match exchange(address, &mut stream, &request) {
            Ok(status) => {
                latencies.push(started.elapsed().as_secs_f64() * 1e3);
                errors += u64::from(status >= 500);
            }
            Err(_) => {
                stream = None;
                errors += 1;
            }
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    (latencies, errors)
}

fn exchange(
    address: &str,
    stream: &mut Option<BufReader<TcpStream>>,
    request: &str,
) -> Result<u16> {
    if stream.is_none() {
        let fresh = TcpStream::connect(address)?;
        fresh.set_nodelay(true)?;
        fresh.set_read_timeout(Some(Duration::from_secs(10)))?;
        *stream = Some(BufReader::with_capacity(64 << 10, fresh));
    }
    let reader = stream.as_mut().context("just connected")?;
    reader.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status: u16 = status.context("no status line")?;
    let (mut length, mut chunked) = (0_usize, false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the connection closed in the head");
        }
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
    }
    if chunked {
        skip_chunks(reader)?;
    } else {
        skip(reader, length)?;
    }
    Ok(status)
}

fn skip_chunks(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)?;
        skip(reader, size + 2)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn skip(reader: &mut BufReader<TcpStream>, length: usize) -> Result<()> {
    let skipped = std::io::copy(&mut reader.take(length as u64), &mut std::io::sink())?;
    if skipped < length as u64 {
        bail!("the connection closed in the body");
    }
    Ok(())
}
