//! Random rankings as the JSON of `edgewise rank`: odd numbers, ties, models, vectors.

use std::fmt::Write;

use edgewise_ranking::feature::{TABLE, WIDTH, schema_hash};
use edgewise_ranking::trees::{Child, Ensemble, Forest, Library, Link, Node, Test, Tree};
use edgewise_ranking::{Feature, Head};
use edgewise_wire::model::ModelSnapshot;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Configurations other than the seed's: other weights by kind, other caps, more variety.
const CONFIGS: [&str; 3] = [
    r#"{"name":"a","version":2,"feed":{"freshness":1.5,"engagement":0.1,"affinity":0.0}}"#,
    r#"{"name":"b","version":1,"selection":{"author_max":1,"author_window":5,"variety_lambda":0.3}}"#,
    r#"{"name":"c","version":1,"selection":{"explore_every":2},"freshness_decay_per_hour":0.01}"#,
];

/// Configurations that blend the heads `click` and `like`.
const BLENDS: [&str; 4] = [
    r#"{"name":"d","blend":[{"head":"click"},{"head":"formula","weight":0.2,"normalise":"min_max"}]}"#,
    r#"{"name":"e","blend":[{"head":"like","weight":2.5,"by_kind":{"post":-1},"normalise":"sum"},{"head":"vectors"}],"selection":{"variety_vectors":0.6}}"#,
    r#"{"name":"f","blend":[{"head":"click","normalise":"min_max"},{"head":"like","normalise":"min_max"}],"selection":{"variety_vectors":1,"explore_every":3}}"#,
    r#"{"name":"g","blend":[{"head":"no such head"},{"head":"click"}]}"#,
];

/// A ranking as JSON, and whether it really holds odd numbers or rows of equal score.
pub(crate) fn random_case(random: &mut Random) -> (String, bool) {
    let profile = ["feed", "video"][random.below(2) as usize];
    let selection = ["none", "diverse"][random.below(2) as usize];
    let now = match random.below(200) {
        0 => 0,
        1 => 9_000_000_000_000_000,
        _ => 1_700_000_000_000 + random.below(100_000_000_000),
    };
    let odd_case = random.one_in(3);
    let mut json = format!(
        r#"{{"query":{{"profile":"{profile}","selection":"{selection}","now_ms":{now},"seed":{},"position":{}"#,
        random.below(1 << 50),
        random.below(3) * 7,
    );
    if random.one_in(6) {
        json.push_str(r#","late":["i0","i3"]"#);
    }
    context(random, &mut json);
    let prior = match random.below(50) {
        0 => "\"NaN\"".to_owned(),
        1 => "-7".to_owned(),
        _ => (random.below(100) as f64 / 100.0).to_string(),
    };
    let _ = write!(json, r#"}},"prior":{prior},"#);
    match random.below(4) {
        0 => {
            let _ = write!(json, r#""config":{},"#, CONFIGS[random.below(3) as usize]);
        }
        1 | 2 => {
            let blend = BLENDS[random.below(4) as usize];
            let _ = write!(json, r#""config":{blend},"model":"{}","#, model(random));
        }
        _ => {}
    }
    if random.one_in(2) {
        let as_of = now.saturating_sub(random.below(100_000_000));
        let _ = write!(json, r#""as_of_ms":{as_of},"sketch_scale":0.03,"#);
    }
    json.push_str(r#""candidates":["#);
    // One case in eight is a page with explore slots and variety, the others are small.
    let rows = if random.one_in(8) {
        12 + random.below(18)
    } else {
        1 + random.below(6)
    };
    let mut is_odd = false;
    let mut before = String::new();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // A tie: the facts of the row before under another id.
        let facts = if odd_case && row > 0 && random.one_in(4) {
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

/// What features read of the user and the moment.
fn context(random: &mut Random, json: &mut String) {
    if random.one_in(2) {
        return;
    }
    let _ = write!(
        json,
        r#","utc_offset_minutes":{},"user_language":"{}","session_tags":["t{}"],"session_authors":{{"a{}":{}}}"#,
        random.below(1_600) as i64 - 720,
        ["de", "en"][random.below(2) as usize],
        random.below(8),
        random.below(4),
        random.below(9),
    );
    if random.one_in(2) {
        let vector = bytes(random);
        let _ = write!(json, r#","user_vector":{{"scale":0.01,"values":{vector}}}"#);
    }
}

/// A sketch in JSON.
fn bytes(random: &mut Random) -> String {
    let bytes: Vec<String> = (0..8)
        .map(|_| (random.below(255) as i64 - 127).to_string())
        .collect();
    format!("[{}]", bytes.join(","))
}

/// All fields of a candidate but its id.
fn facts(random: &mut Random, odd: bool, now: u64, is_odd: &mut bool) -> String {
    let created = match (odd, random.below(4)) {
        (true, 0) => now + 5_000_000,
        (true, 1) => now,
        _ => now.saturating_sub(random.below(400_000_000)),
    };
    let mut facts = format!(
        r#""author":"a{}","created_at_ms":{created},"sources":["{}"],"kind":"{}","language":"{}","tags":["t{}","t{}"]"#,
        random.below(4),
        ["follow", "trending", "explore"][random.below(3) as usize],
        ["video", "post", "image"][random.below(3) as usize],
        ["de", "en", "fr"][random.below(3) as usize],
        random.below(5),
        5 + random.below(3),
    );
    if random.one_in(3) {
        let _ = write!(facts, r#","sketch":{}"#, bytes(random));
    }
    for feature in Feature::ALL {
        let value = number(random, odd, is_odd);
        if !value.is_empty() {
            let _ = write!(facts, r#","{}":{value}"#, feature.name());
        }
    }
    facts
}

/// A feature's value in JSON; empty is missing.
fn number(random: &mut Random, odd: bool, is_odd: &mut bool) -> String {
    if !odd || random.one_in(2) {
        return match random.below(4) {
            0 => String::new(),
            1 => (random.below(100) as f64 / 100.0).to_string(),
            _ => (random.below(100_000) as f64 / 7.0).to_string(),
        };
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

/// Two heads of a few small trees and now and then one with more leaves than a mask has bits.
fn model(random: &mut Random) -> String {
    let heads = ["click", "like"].map(|name| Head {
        name: name.to_owned(),
        forest: Forest::new(ensemble(random)).expect("random trees are valid"),
    });
    let snapshot = ModelSnapshot {
        version: "random".to_owned(),
        schema_hash: schema_hash(),
        configs: Vec::new(),
        heads: heads.into(),
    };
    snapshot.to_base64()
}

fn ensemble(random: &mut Random) -> Ensemble {
    let library = if random.one_in(2) {
        Library::LightGbm
    } else {
        Library::XgBoost
    };
    let leaves = if random.one_in(10) {
        70
    } else {
        2 + random.below(9)
    };
    let trees = 1 + random.below(5);
    Ensemble {
        library,
        features: (0..WIDTH as u16).collect(),
        trees: (0..trees).map(|_| tree(random, leaves)).collect(),
        categories: vec![random.next() as u32, random.next() as u32],
        base: f64::from(random.below(100) as f32 / 37.0),
        average: library == Library::LightGbm && random.one_in(5),
        link: [Link::Identity, Link::Logistic { scale: 1.5 }, Link::Exp][random.below(3) as usize],
    }
}

/// A tree that grew by splitting a random leaf again and again.
fn tree(random: &mut Random, leaves: u64) -> Tree {
    let mut tree = Tree {
        nodes: Vec::new(),
        leaves: Vec::new(),
    };
    // Leaf 0 is where the next split goes; children are fixed up as leaves become nodes.
    for _ in 1..leaves {
        let at = tree.nodes.len() as u16;
        let split = random.below(u64::from(at) + 1) as u16;
        for node in &mut tree.nodes {
            for child in [&mut node.left, &mut node.right] {
                if *child == Child::Leaf(split) {
                    *child = Child::Node(at);
                }
            }
        }
        tree.nodes.push(Node {
            feature: random.below(WIDTH as u64) as u16,
            test: test(random),
            left: Child::Leaf(split),
            right: Child::Leaf(at + 1),
        });
    }
    // Mantissas of every length: sums depend on their order and their type.
    let leaf = |_| f64::from((random.next() >> 40) as f32 / 7e6 - 1.1);
    tree.leaves = (0..leaves).map(leaf).collect();
    tree
}

fn test(random: &mut Random) -> Test {
    let nan_left = random.one_in(2);
    if random.one_in(5) {
        return Test::OneOf {
            first: random.below(2) as u32,
            words: 1,
            nan_left,
        };
    }
    Test::AtMost {
        threshold: match random.below(4) {
            0 => 0.0,
            1 => random.below(100) as f32 / 100.0,
            2 => random.below(40_000) as f32 / 7.0,
            _ => random.below(30) as f32,
        },
        nan_left,
        zero_left: random.one_in(5).then(|| random.one_in(2)),
    }
}

#[test]
fn every_feature_has_a_row() {
    assert_eq!(TABLE.len(), WIDTH);
}
