//! An origin, the proxy before it, and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewise_cache::Config;
use edgewise_cache::fields::{FieldLines, Fields};
use edgewise_edge::proxy::{Limits, Options, Server};

/// Nothing here waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that the origin got.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) line: String,
    pub(crate) fields: FieldLines,
}

/// What the origin does with a request, besides waiting as it likes.
pub(crate) enum Act {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and ends the connection.
    SendAndClose(Vec<u8>),
    /// Sends, waits until the function returns, sends, and waits for the next request.
    SendTwice(Vec<u8>, Box<dyn FnOnce() + Send>, Vec<u8>),
}

type Script = dyn Fn(&Told) -> Act + Send + Sync;

/// Origin and proxy.
pub(crate) struct Stack {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    _server: Server,
}

/// What a client got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: FieldLines,
    pub(crate) body: String,
    /// The body was as long as its framing said.
    pub(crate) whole: bool,
}

impl Stack {
    pub(crate) fn new(script: impl Fn(&Told) -> Act + Send + Sync + 'static) -> Self {
        Self::with(Config::default(), script)
    }

    pub(crate) fn with(
        cache: Config,
        script: impl Fn(&Told) -> Act + Send + Sync + 'static,
    ) -> Self {
        let limits = Limits {
            origin_budget: Duration::from_secs(10),
            ..Limits::default()
        };
        Self::within(limits, cache, script)
    }

    pub(crate) fn within(
        limits: Limits,
        cache: Config,
        script: impl Fn(&Told) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let origin = listener.local_addr().expect("bound");
        let told = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (Arc::clone(&told), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &log, &*script));
            }
        });
        let server = Server::start(Options {
            origin: format!("http://{origin}").parse().expect("a URL"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            threads: 2,
            preserve_host: false,
            memory_bytes: 64 << 20,
            cache,
            limits,
        });
        let server = server.expect("the proxy starts");
        Self {
            address: server.address(),
            told,
            _server: server,
        }
    }

    /// Requests that the origin got, in order.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no panic under the lock").clone()
    }

    /// Waits until the origin got so many requests.
    pub(crate) fn wait_for_told(&self, requests: usize) {
        while self.told().len() < requests {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn get(&self, target: &str) -> Got {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Sends bytes as they are and reads one answer.
    pub(crate) fn ask(&self, request: &str) -> Got {
        read(self.send(request), !request.starts_with("HEAD"))
    }

    pub(crate) fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // A proxy that refuses early may end the connection before all is written.
        let _ = stream.write_all(request.as_bytes());
        stream
    }
}

/// 200 with these field lines.
pub(crate) fn ok(lines: &str, body: &str) -> Vec<u8> {
    answer(200, lines, body)
}

pub(crate) fn answer(status: u16, lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\n{lines}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Told>>, script: &Script) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    while let Some((line, fields)) = head(&mut reader) {
        let length = number(&fields, "content-length").unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let told = Told { line, fields };
        log.lock()
            .expect("no panic under the lock")
            .push(told.clone());
        let sent = match script(&told) {
            Act::Send(bytes) => writer.write_all(&bytes),
            Act::SendAndClose(bytes) => {
                let _ = writer.write_all(&bytes);
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
            Act::SendTwice(first, wait, second) => {
                let _ = writer.write_all(&first);
                wait();
                writer.write_all(&second)
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn head(reader: &mut impl BufRead) -> Option<(String, FieldLines)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut fields = FieldLines::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let field = field.trim_end();
        if field.is_empty() {
            return Some((line.trim_end().to_owned(), fields));
        }
        let (name, value) = field.split_once(':')?;
        fields.push((name.to_owned(), value.trim().as_bytes().to_vec()));
    }
}

/// Reads one answer, interim ones left out.
pub(crate) fn read(stream: TcpStream, has_body: bool) -> Got {
    let mut reader = BufReader::new(stream);
    let (line, fields) = loop {
        let (line, fields) = head(&mut reader).expect("an answer");
        if !line.contains(" 1") || !line.starts_with("HTTP/1.1 1") {
            break (line, fields);
        }
    };
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.expect("a status");
    let (body, whole) = if !has_body || status == 304 || status == 204 {
        (Vec::new(), true)
    } else if fields.first("transfer-encoding").is_some() {
        chunked(&mut reader)
    } else {
        let length = number(&fields, "content-length").expect("a length");
        let mut body = Vec::new();
        let _ = reader.take(length as u64).read_to_end(&mut body);
        let whole = body.len() == length;
        (body, whole)
    };
    Got {
        status,
        fields,
        body: String::from_utf8_lossy(&body).into_owned(),
        whole,
    }
}

fn chunked(reader: &mut impl BufRead) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        if reader.read_line(&mut size).is_err() {
            return (body, false);
        }
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            return (body, false);
        };
        let mut chunk = vec![0; size + 2];
        if reader.read_exact(&mut chunk).is_err() {
            return (body, false);
        }
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn number(fields: &FieldLines, name: &str) -> Option<usize> {
    let value = fields.first(name)?;
    String::from_utf8_lossy(value).parse().ok()
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let value = self.fields.first(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let value = self.fields.first(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}
