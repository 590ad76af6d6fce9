//! Workloads that run natively and, from the same code, in V8.
//!
//! Each workload has 40 batches that differ and are taken in turn, so that a branch
//! predictor cannot memorise one. As a `cdylib` the crate exports `prepare` and `run`.

pub mod input;
pub mod personal;
pub mod trees;

use edgewise_ranking::trees::Layout;
use edgewise_ranking::{
    Candidates, Feature, Kind, Model, NewCandidate, Query, RankingConfig, Sources, id_hash, rank,
};
use edgewise_wire::bundle::Bundle;

use crate::input::Input;
use crate::personal::Personal;
use crate::trees::Trees;

/// Batches that rotate.
pub const BATCHES: usize = 40;
/// Domain time of every workload, Unix ms.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// What a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Work {
    /// Rank candidates into a page of 20, selection included.
    Rank = 0,
    /// Rank candidates in pure score order.
    Score = 1,
    /// Encode a bundle.
    Encode = 2,
    /// Decode a bundle.
    Decode = 3,
    /// Evaluate the input's trees.
    Trees = 4,
    /// Evaluate the input's trees node by node.
    NaiveTrees = 5,
    /// Decode the input's model and lay its trees out.
    Load = 6,
    /// From a bundle's bytes to a page's JSON, with the input's model.
    Personal = 7,
}

impl Work {
    /// All works by number.
    pub const ALL: [Self; 8] = [
        Self::Rank,
        Self::Score,
        Self::Encode,
        Self::Decode,
        Self::Trees,
        Self::NaiveTrees,
        Self::Load,
        Self::Personal,
    ];
}

/// A prepared workload.
pub enum Workload {
    /// On bundles made from seeds.
    Bundles(Bundles),
    /// On the input's trees.
    Trees(Trees),
    /// Loading the input's trees.
    Load(Trees),
    /// On everything.
    Personal(Personal),
}

impl Workload {
    /// Forty batches of `rows` rows; `input` where the work needs a model.
    #[must_use]
    pub fn new(work: Work, rows: usize, input: &Input) -> Self {
        match work {
            Work::Rank | Work::Score | Work::Encode | Work::Decode => {
                Self::Bundles(Bundles::new(work, rows))
            }
            Work::Trees => Self::Trees(Trees::new(input, rows, None)),
            Work::NaiveTrees => Self::Trees(Trees::new(input, rows, Some(Layout::Naive))),
            Work::Load => Self::Load(Trees::new(input, rows, None)),
            Work::Personal => Self::Personal(Personal::new(input, rows)),
        }
    }

    /// Runs batch `index`; the result depends on all of the work.
    #[must_use]
    pub fn run(&self, index: usize) -> u64 {
        let index = index % BATCHES;
        match self {
            Self::Bundles(bundles) => bundles.run(index),
            Self::Trees(trees) => trees.run(index),
            Self::Load(trees) => trees.load(),
            Self::Personal(personal) => personal.run(index),
        }
    }
}

/// Rankings and encodings of bundles.
pub struct Bundles {
    work: Work,
    model: Model,
    config: RankingConfig,
    bundles: Vec<Bundle>,
    encoded: Vec<Vec<u8>>,
}

impl Bundles {
    /// Forty batches of `rows` candidates with numeric ids.
    #[must_use]
    pub fn new(work: Work, rows: usize) -> Self {
        let bundles: Vec<Bundle> = (0..BATCHES)
            .map(|batch| bundle(batch as u64, rows))
            .collect();
        let encoded = bundles.iter().map(Bundle::encode).collect();
        let model = Model::formula("formula-1");
        Self {
            work,
            model,
            config: RankingConfig::default(),
            bundles,
            encoded,
        }
    }

    /// Runs batch `index`; the result depends on all of the work.
    #[must_use]
    pub fn run(&self, index: usize) -> u64 {
        let index = index % BATCHES;
        match self.work {
            Work::Rank => self.rank(index, edgewise_ranking::Selection::Diverse),
            Work::Score => self.rank(index, edgewise_ranking::Selection::None),
            Work::Encode => self.bundles[index].encode().len() as u64,
            _ => {
                let decoded = Bundle::decode(&self.encoded[index]);
                decoded.map_or(0, |bundle| bundle.candidates.len() as u64)
            }
        }
    }

    /// Mean size of an encoded bundle, bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.encoded.iter().map(Vec::len).sum::<usize>() / BATCHES
    }

    fn rank(&self, index: usize, selection: edgewise_ranking::Selection) -> u64 {
        let bundle = &self.bundles[index];
        let query = Query {
            limit: 20,
            selection,
            ..Query::default()
        };
        let ranking = rank(
            &query,
            &bundle.candidates,
            &self.model,
            &self.config,
            NOW_MS,
            index as u64,
        );
        ranking.items.iter().fold(0, |sum, item| {
            sum.rotate_left(7) ^ item.score.to_bits() ^ u64::from(item.row)
        })
    }
}

/// A bundle as a busy site would have it: Zipf-like counters, some hundred authors.
#[must_use]
pub fn bundle(seed: u64, rows: usize) -> Bundle {
    let mut random = SplitMix(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let tags: Vec<String> = (0..40).map(|tag| format!("topic{tag}")).collect();
    let mut candidates = Candidates::default();
    for row in 0..rows {
        let picked = [random.below(40) as usize, random.below(40) as usize];
        let id = (10_000_000 + seed * 100_000 + row as u64 * 37).to_string();
        let author = random.below(300).to_string();
        candidates.push(&NewCandidate {
            id: &id,
            author: &author,
            created_at_ms: NOW_MS - random.below(72 * 3_600_000) as i64,
            sources: Sources(1 << random.below(5)),
            kind: Kind::Video,
            language: Some(["en", "de", "fr"][random.below(3) as usize]),
            region: Some(["US", "DE", "FR"][random.below(3) as usize]),
            tags: &[&tags[picked[0]], &tags[picked[1]]],
            features: features(&mut random, row),
            sketch: std::array::from_fn(|_| random.below(256) as u8 as i8),
        });
    }
    candidates.as_of_ms = NOW_MS;
    candidates.sketch.scale = 1.0 / 256.0;
    let mut follows: Vec<u32> = (0..100).map(|_| random.below(1 << 32) as u32).collect();
    follows.sort_unstable();
    Bundle {
        user: Some(format!("user{seed}")),
        made_at_ms: NOW_MS,
        position: 1,
        completion_prior: 0.5,
        follows,
        hidden_authors: vec![id_hash("hidden")],
        user_vector: Some(edgewise_ranking::UserVector {
            scale: 1.0 / 256.0,
            values: [64, -32, 16, 8, -4, 2, 1, 0],
        }),
        removed_items: Vec::new(),
        applied_events: Vec::new(),
        candidates,
    }
}

/// Every stored feature but the dot product, which the sketches give; a similarity on a
/// ninth of the rows.
fn features(random: &mut SplitMix, row: usize) -> [Option<f32>; Feature::COUNT] {
    let mut features = [None; Feature::COUNT];
    let mut set = |feature: Feature, value: f32| features[feature as usize] = Some(value);
    let impressions = (50_000.0 / (1.0 + random.unit() * 400.0)) as f32;
    let likes = (impressions * random.unit() as f32 * 0.1).floor();
    let views = (impressions * (0.4 + 0.4 * random.unit() as f32)).floor();
    let ratio = random.unit() as f32;
    set(Feature::Impressions, impressions.floor());
    set(Feature::Likes, likes);
    set(
        Feature::Comments,
        (likes * 0.4 * random.unit() as f32).floor(),
    );
    set(
        Feature::Shares,
        (likes * 0.2 * random.unit() as f32).floor(),
    );
    let clicks = impressions * (0.1 + 0.4 * random.unit() as f32);
    set(Feature::Clicks, clicks.floor());
    set(Feature::TimedViews, views);
    set(Feature::WatchRatioSum, views * (0.1 + 0.8 * ratio));
    set(Feature::CompletedViews, (views * ratio * 0.6).floor());
    set(Feature::Interactions, random.below(5) as f32);
    let hides = impressions * random.unit() as f32 * 0.01;
    set(Feature::Hides, hides.floor());
    set(
        Feature::Follows,
        (likes * 0.1 * random.unit() as f32).floor(),
    );
    let week = likes * 1.5 * random.unit() as f32;
    let day = week * random.unit() as f32;
    set(Feature::Hot7d, week);
    set(Feature::Hot24h, day);
    set(Feature::Hot1h, day * random.unit() as f32 * 0.3);
    // The hottest of a region and of a language.
    set(Feature::RegionPopularity, (day / 4_000.0).min(1.0));
    set(Feature::LanguagePopularity, (day / 2_500.0).min(1.0));
    set(
        Feature::Duration,
        (5_000 + random.below(115_000)) as f32 / 1_000.0,
    );
    set(Feature::SourcePosition, (1 + row / 5) as f32);
    if row.is_multiple_of(9) {
        set(Feature::Similarity, random.unit() as f32);
    }
    features
}

/// Rows of independent, normally distributed features, row by row.
#[must_use]
pub fn normal_rows(rows: usize, columns: usize) -> Vec<f32> {
    let mut random = SplitMix(7);
    // The sum of twelve uniform values: near enough for what trees split.
    let mut normal = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    (0..rows * columns).map(|_| normal() as f32).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same sequence natively and in WASM.
struct SplitMix(u64);

impl SplitMix {
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

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The exports that `benches/js/v8.mjs` calls.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "an export needs an unmangled name")]
mod exports {
    use super::{Input, Work, Workload};
    use std::cell::RefCell;

    thread_local! {
        static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        static WORKLOAD: RefCell<Option<Workload>> = const { RefCell::new(None) };
    }

    #[unsafe(no_mangle)]
    extern "C" fn input(len: u32) -> *mut u8 {
        INPUT.with_borrow_mut(|input| {
            input.resize(len as usize, 0);
            input.as_mut_ptr()
        })
    }

    #[unsafe(no_mangle)]
    extern "C" fn prepare(work: u32, rows: u32) {
        let work = Work::ALL[work as usize];
        let input = INPUT.with_borrow(|input| Input::from_bytes(input));
        WORKLOAD.set(Some(Workload::new(work, rows as usize, &input)));
    }

    #[unsafe(no_mangle)]
    extern "C" fn run(index: u32) -> u64 {
        WORKLOAD.with_borrow(|workload| {
            workload
                .as_ref()
                .map_or(0, |workload| workload.run(index as usize))
        })
    }
}
