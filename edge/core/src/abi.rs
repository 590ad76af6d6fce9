//! The module's interface as safe code: frames in, frames out.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::Config;
use crate::edge::Edge;
use crate::effect::Output;
use crate::{answer, frame};

/// Version of the interface: counted up where an export or a frame changes its meaning, not
/// where one is added.
pub const ABI_VERSION: u32 = 1;

/// Longest input a host may announce: a 256 KiB events body, what a resume brings
/// (six effects of a few hundred KiB), or a pack (14 MiB at most), with room.
pub const INPUT_MAX: usize = 64 << 20;

/// An isolate: the input and output buffers and the core between them.
#[derive(Default)]
pub struct Isolate {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Id of the answer that the output is, 0 where it has none.
    repeated: u32,
    edge: Option<Edge>,
}

impl Isolate {
    /// An isolate before `init`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            repeated: 0,
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
        self.repeated = 0;
        let read = frame::read_start(taken(&self.input, length));
        match (read, &mut self.edge) {
            (Some((request, body)), Some(edge)) => {
                if let Some((id, frame)) = edge.repeat(&request) {
                    self.repeated = id;
                    self.output.clear();
                    self.output.extend_from_slice(frame);
                } else {
                    let output = edge.start(&request, body);
                    frame::write_output(&output, &mut self.output);
                    self.repeated = edge.keep(&request, &output, &self.output);
                }
            }
            (read, _) => {
                let answer = read.map_or_else(answer::bad_frame, |_| answer::not_initialised());
                frame::write_output(&Output::finished(answer), &mut self.output);
            }
        }
        self.trim();
    }

    /// Id of the last start's output, 0 where it has none: outputs of one id are the same bytes.
    #[must_use]
    pub fn repeated(&self) -> u32 {
        self.repeated
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

    /// Ranks a page of a pack as the edge does: JSON and pack in, the feed's JSON (or an error
    /// sentence, which never begins with `{`) out. Needs no `init`.
    pub fn feed(&mut self, length: usize) {
        self.output = match crate::device::page(taken(&self.input, length)) {
            Ok(body) => body,
            Err(error) => error.to_string().into_bytes(),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use edgewise_ranking::HotWindow;
    use edgewise_wire::lists::HotList;
    use edgewise_wire::overlay::Overlay;
    use proptest::prelude::*;
    use serde_json::Value;

    const CONFIG: &[u8] =
        br#"{"keys":"k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","plain_user":true}"#;

    fn call(isolate: &mut Isolate, input: &[u8], work: fn(&mut Isolate, usize)) -> Vec<u8> {
        let buffer = isolate.input(input.len()).expect("within the limit");
        buffer[..input.len()].copy_from_slice(input);
        work(isolate, input.len());
        isolate.output().to_vec()
    }

    fn ready() -> Isolate {
        let mut isolate = Isolate::new();
        assert_eq!(call(&mut isolate, CONFIG, Isolate::init), b"");
        isolate
    }

    fn start_frame(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let random = "0123456789abcdef0123456789abcdef";
        let header = format!("{method}\n{target}\n1700000000000\n{random}\n192.0.2.1\n\n\n");
        let mut frame = u32::try_from(header.len())
            .expect("short")
            .to_le_bytes()
            .to_vec();
        frame.extend_from_slice(header.as_bytes());
        frame.extend_from_slice(body);
        frame
    }

    /// Control and raw bytes of an output frame.
    fn read(output: &[u8]) -> (Value, &[u8]) {
        let (length, rest) = output.split_first_chunk::<4>().expect("a length");
        let (control, raw) = rest.split_at(u32::from_le_bytes(*length) as usize);
        (serde_json::from_slice(control).expect("JSON control"), raw)
    }

    #[test]
    fn a_bad_configuration_is_a_sentence() {
        let mut isolate = Isolate::new();
        for bad in ["", "{}", r#"{"keys":"x"}"#, r#"{"keys":1}"#] {
            let said = call(&mut isolate, bad.as_bytes(), Isolate::init);
            assert!(!said.is_empty(), "{bad}");
            assert!(String::from_utf8(said).is_ok());
        }
        let output = call(
            &mut isolate,
            &start_frame("GET", "/livez", b""),
            Isolate::start,
        );
        assert_eq!(read(&output).0["answer"]["status"], 503, "before init");
    }

    #[test]
    fn packs_are_handed_out_only_where_the_operator_agrees() {
        let status = |config: &str| {
            let mut isolate = Isolate::new();
            assert_eq!(call(&mut isolate, config.as_bytes(), Isolate::init), b"");
            let frame = start_frame("GET", "/api/v1/feed/offline", b"");
            read(&call(&mut isolate, &frame, Isolate::start)).0["answer"]["status"].clone()
        };
        let config = core::str::from_utf8(CONFIG).expect("text");
        assert_eq!(status(&config.replace('}', r#","offline":false}"#)), 404);
        assert_eq!(status(&config.replace('}', r#","offline":"deny"}"#)), 404);
        assert_ne!(status(config), 404, "it waits for candidates");
    }

    #[test]
    fn frames_go_in_and_out() {
        let mut isolate = ready();
        let output = call(
            &mut isolate,
            &start_frame("GET", "/livez", b""),
            Isolate::start,
        );
        let (control, raw) = read(&output);
        assert_eq!(
            (&control["answer"]["status"], &control["done"]),
            (&200.into(), &true.into())
        );
        assert_eq!(raw, b"ok");
        let output = call(
            &mut isolate,
            &start_frame("GET", "/app.js", b""),
            Isolate::start,
        );
        assert_eq!(read(&output).0["asset"], true);
        let output = call(
            &mut isolate,
            &start_frame("GET", "/api/v1/feed", b""),
            Isolate::start,
        );
        let (control, _) = read(&output);
        assert!(control["answer"].is_null());
        assert_eq!(control["effects"][0]["op"], "cache_get");
        let handle = u32::try_from(control["h"].as_u64().expect("a handle")).expect("a u32");
        let mut frame = handle.to_le_bytes().to_vec();
        frame.extend_from_slice(&1_700_000_000_001_u64.to_le_bytes());
        frame.extend_from_slice(&0_u32.to_le_bytes());
        let output = call(&mut isolate, &frame, Isolate::resume);
        let (control, _) = read(&output);
        assert_eq!(control["h"], handle, "results that are missing have failed");
        assert_eq!(control["effects"][0]["op"], "fetch");
    }

    /// Resumes with what an origin says until the request has its answer and ends.
    fn settle(isolate: &mut Isolate, mut control: Value) {
        while control["done"] == false {
            let effects = control["effects"].as_array().cloned().unwrap_or_default();
            let handle = u32::try_from(control["h"].as_u64().expect("a handle")).expect("a u32");
            let mut frame = handle.to_le_bytes().to_vec();
            frame.extend_from_slice(&1_700_000_000_000_u64.to_le_bytes());
            frame.extend_from_slice(&u32::try_from(effects.len()).expect("few").to_le_bytes());
            for effect in &effects {
                let (status, body) = match effect["path"].as_str() {
                    Some("/internal/v1/overlay") => (200, Overlay::default().encode()),
                    Some(path) if path.contains("24h") => (200, list()),
                    Some(_) => (404, Vec::new()),
                    None => (0, Vec::new()),
                };
                let id = u32::try_from(effect["id"].as_u64().expect("an id")).expect("a u32");
                for word in [id, status, 0, u32::try_from(body.len()).expect("short")] {
                    frame.extend_from_slice(&word.to_le_bytes());
                }
                frame.extend_from_slice(&body);
            }
            control = read(&call(isolate, &frame, Isolate::resume)).0;
        }
    }

    fn list() -> Vec<u8> {
        HotList {
            window: HotWindow::Day,
            region: None,
            language: None,
            tag: None,
            generated_at_ms: 1_700_000_000_000,
            items: Vec::new(),
        }
        .encode()
    }

    #[test]
    fn who_asks_the_same_gets_the_same_bytes_and_is_counted() {
        let mut isolate = Isolate::new();
        let config = core::str::from_utf8(CONFIG).expect("text");
        let config = config.replace('}', r#","rate_per_s":1,"rate_burst":5}"#);
        assert_eq!(call(&mut isolate, config.as_bytes(), Isolate::init), b"");
        let frame = start_frame("GET", "/api/v1/hot/trending?window=24h", b"");
        let cold = call(&mut isolate, &frame, Isolate::start);
        assert_eq!(isolate.repeated(), 0, "it waits");
        settle(&mut isolate, read(&cold).0);
        let first = call(&mut isolate, &frame, Isolate::start);
        let id = isolate.repeated();
        assert_eq!(read(&first).0["answer"]["status"], 200);
        assert_ne!(id, 0);
        for _ in 0..3 {
            assert_eq!(call(&mut isolate, &frame, Isolate::start), first);
            assert_eq!(isolate.repeated(), id);
        }
        let sixth = call(&mut isolate, &frame, Isolate::start);
        assert_eq!(read(&sixth).0["answer"]["status"], 429, "five are free");
        assert_eq!(isolate.repeated(), 0);
        let frame = start_frame("GET", "/healthz", b"");
        let health = call(&mut isolate, &frame, Isolate::start);
        assert_eq!(isolate.repeated(), 0);
        let stats: Value = serde_json::from_slice(read(&health).1).expect("JSON");
        assert_eq!(stats["counts"]["requests"], 7, "{stats}");
        assert_eq!(stats["counts"]["memory_hits"], 4, "{stats}");
    }

    #[test]
    fn what_is_no_request_is_answered() {
        let mut isolate = ready();
        for bad in [&b""[..], b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xff"] {
            let output = call(&mut isolate, bad, Isolate::start);
            assert_eq!(read(&output).0["answer"]["status"], 400);
            let output = call(&mut isolate, bad, Isolate::resume);
            assert_eq!(
                read(&output).0,
                serde_json::json!({"h": 0, "effects": [], "done": true})
            );
        }
        assert!(isolate.input(INPUT_MAX + 1).is_none());
        isolate.start(usize::MAX);
        assert_eq!(read(isolate.output()).0["answer"]["status"], 400);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn nothing_a_client_sends_panics(
            method in "(GET|POST|HEAD|OPTIONS|[A-Z]{0,6})",
            path in "/(api/v1/(feed|hot/trending|similar/[^\n]{0,9}|items|events))?",
            query in "(user|limit|cursor|session|ids|window|exclude|tag)?=?[^\n]{0,20}",
            body in proptest::collection::vec(any::<u8>(), 0..64),
            results in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut isolate = ready();
            let target = format!("{path}?{query}");
            let output = call(&mut isolate, &start_frame(&method, &target, &body), Isolate::start);
            let mut control = read(&output).0;
            let mut steps = 0;
            while control["done"] == false {
                steps += 1;
                prop_assert!(steps < 40);
                let mut frame = (control["h"].as_u64().unwrap_or(0) as u32).to_le_bytes().to_vec();
                frame.extend_from_slice(&(1_700_000_000_000_u64 + steps * 100).to_le_bytes());
                frame.extend_from_slice(&1_u32.to_le_bytes());
                for word in [1, 200, 0, results.len() as u32] {
                    frame.extend_from_slice(&word.to_le_bytes());
                }
                frame.extend_from_slice(&results);
                let output = call(&mut isolate, &frame, Isolate::resume);
                control = read(&output).0;
            }
        }
    }
}
