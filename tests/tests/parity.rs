//! Native and WASM agree bit for bit, on the `edge.wasm` that is deployed.

use std::fmt::Write;

use edgewise_tests::places;
use wasmtime::{Config, Engine, Instance, Memory, Module, Store, TypedFunc};

/// Random cases: rankings of 1 to 30 candidates.
const CASES: u64 = 100_000;

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
fn parity_100_000_random_cases() {
    let mut wasm = EdgeWasm::load();
    let mut random = Random(7);
    let mut odd = 0;
    for case in 0..CASES {
        let (json, is_odd) = random_case(&mut random);
        odd += u64::from(is_odd);
        let (here, there) = (native(&json), wasm.rank(&json));
        assert!(
            here.starts_with('{'),
            "case {case} is no ranking: {here} for {json}"
        );
        assert_eq!(here, there, "case {case}: {json}");
    }
    assert!(odd * 5 >= CASES, "only {odd} cases with odd numbers");
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

const FEATURES: [&str; 10] = [
    "likes",
    "comments",
    "shares",
    "impressions",
    "clicks",
    "timed_views",
    "watch_ratio_sum",
    "interactions",
    "deep_dot",
    "similarity",
];

/// Configurations other than the seed's: other weights by kind, other caps, more variety.
const CONFIGS: [&str; 3] = [
    r#"{"name":"a","version":2,"feed":{"freshness":1.5,"engagement":0.1,"affinity":0.0}}"#,
    r#"{"name":"b","version":1,"selection":{"author_max":1,"author_window":5,"variety_lambda":0.3}}"#,
    r#"{"name":"c","version":1,"selection":{"explore_every":2},"freshness_decay_per_hour":0.01}"#,
];

/// A ranking as JSON, and whether it really holds odd numbers or rows of equal score.
fn random_case(random: &mut Random) -> (String, bool) {
    let profile = ["feed", "video"][random.below(2) as usize];
    let selection = ["none", "diverse"][random.below(2) as usize];
    let now = 1_700_000_000_000 + random.below(100_000_000_000);
    let odd_case = random.below(3) == 0;
    let mut json = format!(
        r#"{{"query":{{"profile":"{profile}","selection":"{selection}","now_ms":{now},"seed":{},"position":{}}},"prior":{},"#,
        random.below(1 << 50),
        random.below(3) * 7,
        random.below(100) as f64 / 100.0
    );
    if random.below(4) == 0 {
        let _ = write!(json, r#""config":{},"#, CONFIGS[random.below(3) as usize]);
    }
    json.push_str(r#""candidates":["#);
    // One case in eight is a page with explore slots and variety, the others are small.
    let rows = if random.below(8) == 0 {
        12 + random.below(18)
    } else {
        1 + random.below(6)
    };
    let mut is_odd = false;
    let mut before = String::new();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // A tie: the facts of the row before under another id.
        let facts = if odd_case && row > 0 && random.below(4) == 0 {
            is_odd = true;
            before.clone()
        } else {
            facts(random, odd_case, now, &mut is_odd)
        };
        let _ = write!(json, r#"{comma}{{"id":"i{row}",{facts}}}"#);
        before = facts;
    }
    json.push_str("]}");
    (json, is_odd)
}

/// All fields of a candidate but its id.
fn facts(random: &mut Random, odd: bool, now: u64, is_odd: &mut bool) -> String {
    let created = match (odd, random.below(4)) {
        (true, 0) => now + 5_000_000,
        (true, 1) => now,
        _ => now - random.below(400_000_000),
    };
    let mut facts = format!(
        r#""author":"a{}","created_at_ms":{created},"sources":["{}"],"kind":"{}","tags":["t{}","t{}"]"#,
        random.below(4),
        ["follow", "trending", "explore"][random.below(3) as usize],
        ["video", "post", "image"][random.below(3) as usize],
        random.below(5),
        5 + random.below(3),
    );
    for name in FEATURES {
        let value = number(random, odd, is_odd);
        if !value.is_empty() {
            let _ = write!(facts, r#","{name}":{value}"#);
        }
    }
    facts
}

/// A feature's value in JSON; empty is missing.
fn number(random: &mut Random, odd: bool, is_odd: &mut bool) -> String {
    if !odd || random.below(2) == 0 {
        return (random.below(100_000) as f64 / 7.0).to_string();
    }
    *is_odd = true;
    match random.below(9) {
        0 => "\"NaN\"".to_owned(),
        1 => "\"Infinity\"".to_owned(),
        2 => "\"-Infinity\"".to_owned(),
        3 => "1e-45".to_owned(),
        4 => "1.1754942e-38".to_owned(),
        5 => "3.4028235e38".to_owned(),
        6 => "-1".to_owned(),
        7 => "null".to_owned(),
        _ => String::new(),
    }
}
