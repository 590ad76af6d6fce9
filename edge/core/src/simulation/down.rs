//! Ten minutes without an origin, on requests by Zipf's law.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::origin::Mood;
use super::random::Random;
use super::world::{Ask, World};

/// Keys, the most wanted first.
const KEYS: usize = 500;
/// Of them those that most requests are for.
const HOT: usize = 20;
/// Between two requests, ms.
const EVERY_MS: i64 = 20;
/// Without an origin, ms.
const DOWN_MS: i64 = 10 * 60_000;

/// Draws from `0..KEYS` by Zipf's law with exponent 1.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let weights = (1..=KEYS).map(|rank| 1.0 / rank as f64);
        Self(
            weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or(0.0);
        let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        self.0.partition_point(|&sum| sum <= at).min(KEYS - 1)
    }
}

fn target(key: usize) -> String {
    match key % 4 {
        0 => format!("/api/v1/feed?user=user{key}&limit=5"),
        1 => format!("/api/v1/similar/item{key}"),
        2 => format!("/api/v1/hot/trending?tag=tag{key}"),
        _ => format!("/api/v1/items?ids=item{key}"),
    }
}

#[test]
fn ten_minutes_without_an_origin_cost_no_answer_that_was_stored() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let mut world = World::new(51);
        for key in 0..KEYS {
            world.ask(&Ask::get(target(key)));
        }
        world.origin.mood = mood;
        let zipf = Zipf::new();
        let mut random = Random::new(52);
        let until_ms = world.now_ms + DOWN_MS;
        let mut asked = Vec::new();
        while world.now_ms < until_ms {
            let key = zipf.draw(&mut random);
            asked.push((world.start(&Ask::get(target(key))), key));
            let next_ms = world.now_ms + EVERY_MS;
            world.run_until(next_ms);
        }
        world.run_until(i64::MAX);
        let mut blocked = 0;
        for answered in &world.answers {
            let Ok(place) = asked.binary_search_by_key(&answered.request, |(request, _)| *request)
            else {
                continue;
            };
            let (_, key) = asked[place];
            assert_eq!(answered.answer.status, 200, "{} with {mood:?}", target(key));
            blocked += usize::from(key < HOT && answered.waited_ms > 0);
        }
        assert!(asked.len() > 25_000, "{}", asked.len());
        assert_eq!(blocked, 0, "with {mood:?}");
    }
}
