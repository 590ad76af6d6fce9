//! Native and WASM agree bit for bit, on the `edge.wasm` that is deployed.

mod cases;

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use edgewise_tests::places;
use wasmtime::{Config, Engine, Instance, Memory, Module, Store, TypedFunc};

use cases::{Random, random_case};

/// Random cases: rankings of 1 to 30 candidates. `EDGEWISE_PARITY_CASES` asks for more.
const CASES: u64 = 50_000;
/// Cases that V8 is given at a time.
const CHUNK: usize = 1_000;

/// `edge.wasm` in wasmtime.
pub(crate) struct EdgeWasm {
    store: Store<()>,
    memory: Memory,
    input: TypedFunc<u32, u32>,
    rank: TypedFunc<u32, u32>,
    output: TypedFunc<(), u32>,
}

impl EdgeWasm {
    pub(crate) fn load() -> Self {
        let engine = Engine::new(&Config::new()).expect("wasmtime has an engine");
        let module = Module::from_file(&engine, places::edge_wasm()).expect("edge.wasm compiles");
        assert_eq!(module.imports().count(), 0, "edge.wasm imports nothing");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("edge.wasm instantiates");
        let memory = instance
            .get_memory(&mut store, "memory")
            .expect("it exports its memory");
        let input = instance
            .get_typed_func(&mut store, "edge_input")
            .expect("edge_input");
        let rank = instance
            .get_typed_func(&mut store, "edge_rank")
            .expect("edge_rank");
        let output = instance
            .get_typed_func(&mut store, "edge_output")
            .expect("edge_output");
        Self {
            store,
            memory,
            input,
            rank,
            output,
        }
    }

    pub(crate) fn rank(&mut self, json: &str) -> String {
        let length = u32::try_from(json.len()).expect("a small input");
        let at = self
            .input
            .call(&mut self.store, length)
            .expect("edge_input runs");
        self.memory
            .write(&mut self.store, at as usize, json.as_bytes())
            .expect("it fits");
        let length = self
            .rank
            .call(&mut self.store, length)
            .expect("edge_rank never traps");
        let at = self
            .output
            .call(&mut self.store, ())
            .expect("edge_output runs");
        let mut bytes = vec![0; length as usize];
        self.memory
            .read(&self.store, at as usize, &mut bytes)
            .expect("it is there");
        String::from_utf8(bytes).expect("the output is text")
    }
}

/// What the native library says, in the form of `edge_rank`.
pub(crate) fn native(json: &str) -> String {
    match edgewise_serving::rank_json::rank(json.as_bytes()) {
        Ok(lines) => lines,
        Err(error) => error.to_string(),
    }
}

#[test]
fn parity_golden() {
    let mut wasm = EdgeWasm::load();
    for case in golden() {
        assert_eq!(native(&case), wasm.rank(&case), "for {case}");
    }
}

#[test]
fn parity_of_random_cases_in_wasmtime_and_v8() {
    let asked = std::env::var("EDGEWISE_PARITY_CASES").ok();
    let cases = asked.map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let mut wasm = EdgeWasm::load();
    let mut v8 = V8::start();
    let mut random = Random(7);
    let (mut odd, mut ranked) = (0, 0);
    while ranked < cases {
        let chunk: Vec<String> = (0..CHUNK.min((cases - ranked) as usize))
            .map(|_| {
                let (json, is_odd) = random_case(&mut random);
                odd += u64::from(is_odd);
                json
            })
            .collect();
        // V8 works while this process does.
        v8.send(&chunk);
        let here: Vec<String> = chunk.iter().map(|json| native(json)).collect();
        for (json, here) in chunk.iter().zip(&here) {
            // A page whose only candidates were refused late is empty.
            assert!(
                here.is_empty() || here.starts_with('{'),
                "{here} for {json}"
            );
            assert_eq!(*here, wasm.rank(json), "wasmtime: {json}");
        }
        for ((json, here), there) in chunk.iter().zip(&here).zip(v8.receive(chunk.len())) {
            assert_eq!(*here, there, "V8: {json}");
        }
        ranked += chunk.len() as u64;
    }
    assert!(odd * 5 >= cases, "only {odd} cases with odd numbers");
}

/// `edge.wasm` in V8: a Node process that ranks what it is sent.
struct V8 {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl V8 {
    fn start() -> Self {
        let mut process = Command::new(places::node())
            .arg(places::root().join("tests/v8/rank.mjs"))
            .arg(places::edge_wasm())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            process,
            input,
            output,
        }
    }

    /// Sends texts, each behind its length.
    fn send(&mut self, texts: &[String]) {
        let mut bytes = Vec::new();
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        let total = u32::try_from(bytes.len()).expect("a chunk is small");
        self.input
            .write_all(&total.to_le_bytes())
            .expect("Node reads");
        self.input.write_all(&bytes).expect("Node reads");
        self.input.flush().expect("Node reads");
    }

    fn receive(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let mut len = [0; 4];
                self.output.read_exact(&mut len).expect("Node answers");
                let mut text = vec![0; u32::from_le_bytes(len) as usize];
                self.output.read_exact(&mut text).expect("Node answers");
                String::from_utf8(text).expect("the output is text")
            })
            .collect()
    }
}

impl Drop for V8 {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn parity_of_errors() {
    let mut wasm = EdgeWasm::load();
    for bad in [
        "",
        "{",
        "[]",
        "{\"query\":{}}",
        "{\"query\":{\"now_ms\":0},\"candidates\":[{}]}",
    ] {
        assert_eq!(native(bad), wasm.rank(bad), "for {bad}");
    }
}

/// Golden cases: kept in `tests/golden`, and also ranked inside workerd.
pub(crate) fn golden() -> Vec<String> {
    let mut random = Random(1);
    (0..60).map(|_| random_case(&mut random).0).collect()
}
