//! A client that sends exactly the bytes a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for anything, so that a test fails and does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.expect("a status"),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The first header `name` (lower case), or empty.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
        self.head.split("\r\n").find_map(value).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Ids of `items`, in order.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let items = body["items"].as_array();
        let items = items.unwrap_or_else(|| panic!("no items in {body}"));
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends bytes and reads until the other side closes.
#[track_caller]
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    Answer::read(&exchange(address, bytes))
}

/// The status, or 0 where the connection was reset: the kernel does that where something was
/// never read, and may drop the answer with it.
#[track_caller]
pub(crate) fn status_or_reset(address: SocketAddr, bytes: &[u8]) -> u16 {
    match exchange(address, bytes) {
        nothing if nothing.is_empty() => 0,
        answer => Answer::read(&answer).status,
    }
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // It may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, target: &str) -> Answer {
    get_with(address, target, "")
}

/// `headers`: lines that each end in CRLF.
#[track_caller]
pub(crate) fn get_with(address: SocketAddr, target: &str, headers: &str) -> Answer {
    let text = format!("GET {target} HTTP/1.1\r\nhost: e\r\nconnection: close\r\n{headers}\r\n");
    raw(address, text.as_bytes())
}

#[track_caller]
pub(crate) fn post(address: SocketAddr, target: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!(
        "POST {target} HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    raw(address, text.as_bytes())
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
