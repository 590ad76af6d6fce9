//! The week before now: who saw, watched and liked what, consistent with their tastes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::behaviour::{Reaction, react};
use super::people::{Person, interest};
use super::posts::Post;
use super::rng::{Rng, running_totals};
use super::{AUTHORS, DAY_MS, HISTORY_DAYS, VISITS};

/// One event of the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happening {
    /// Unix ms.
    pub(crate) ts_ms: i64,
    /// Index of the person.
    pub(crate) user: usize,
    /// Index of the post.
    pub(crate) post: usize,
    /// The event's type as the API names it.
    pub(crate) kind: &'static str,
    /// Time watched, of a view of a video.
    pub(crate) watch_ms: Option<u32>,
}

impl Happening {
    /// The event as the API takes it; `number` makes its id.
    pub(crate) fn to_json(self, number: usize, people: &[Person], posts: &[Post]) -> Value {
        let post = &posts[self.post];
        let mut event = json!({
            "id": format!("h{number:06}"),
            "type": self.kind,
            "user": people[self.user].handle,
            "item": post.id,
            "ts_ms": self.ts_ms,
        });
        if let (Some(watch_ms), Some(duration_ms)) = (self.watch_ms, post.duration_ms) {
            event["watch_ms"] = json!(watch_ms);
            event["duration_ms"] = json!(duration_ms);
        }
        if self.kind == "follow" {
            event["author"] = json!(people[post.author].handle);
        }
        event
    }
}

/// Everything that happened, oldest first. Makes `people` follow whom they followed.
pub(crate) fn history(
    people: &mut [Person],
    posts: &[Post],
    seed: u64,
    now_ms: i64,
) -> Vec<Happening> {
    let mut rng = Rng::stream(seed, 3);
    let shelves = Shelves::new(people, posts);
    let mut visits = visits(people, now_ms, &mut rng);
    visits.sort_unstable();
    let mut seen = BTreeSet::new();
    let mut liked = vec![0; 64];
    let mut happenings = Vec::new();
    for (start_ms, user) in visits {
        let mut ts_ms = start_ms;
        for _ in 0..7 + rng.below(15) {
            let Some(post) = shelves.pick(&people[user], posts, &liked, ts_ms, &mut rng) else {
                continue;
            };
            if ts_ms >= now_ms || posts[post].author == user || !seen.insert((user, post)) {
                continue;
            }
            let author = posts[post].author;
            let reaction = reaction(&people[user], &posts[post], &mut rng);
            record(
                reaction,
                &posts[post],
                (user, post),
                &mut ts_ms,
                &mut happenings,
                &mut rng,
            );
            if reaction.follow {
                people[user].follows.insert(author);
            }
            if reaction.like {
                let slot = rng.below(liked.len());
                liked[slot] = post;
            }
            if reaction.hide && rng.chance(0.3) {
                break;
            }
        }
    }
    happenings.retain(|happening| happening.ts_ms <= now_ms);
    // Visits overlap in time; the log does not.
    happenings.sort_by_key(|happening| happening.ts_ms);
    happenings
}

/// Starts of visits: busier people come more often, evenings are busier than nights.
fn visits(people: &[Person], now_ms: i64, rng: &mut Rng) -> Vec<(i64, usize)> {
    let activity = running_totals(people.iter().map(|person| person.activity));
    let mut visits = Vec::with_capacity(VISITS);
    while visits.len() < VISITS {
        let ago_ms = (rng.unit() * (HISTORY_DAYS * DAY_MS) as f64) as i64;
        let ts_ms = now_ms - ago_ms;
        let hour = (ts_ms.rem_euclid(DAY_MS) / 3_600_000) as f64;
        let busy = 0.62 - 0.38 * ((hour - 2.0) * std::f64::consts::TAU / 24.0).cos();
        // The last hours are never quiet, whenever somebody looks.
        if ago_ms < DAY_MS / 8 || rng.chance(busy) {
            visits.push((ts_ms, rng.weighted(&activity)));
        }
    }
    visits
}

/// What this person does with this post.
pub(crate) fn reaction(person: &Person, post: &Post, rng: &mut Rng) -> Reaction {
    let follows = person.follows.contains(&post.author);
    let interest = interest(person, post.topic, &post.tags, post.language, follows);
    let mut reaction = react(interest, post.quality, rng);
    reaction.follow &= !follows;
    reaction
}

fn record(
    reaction: Reaction,
    post: &Post,
    (user, index): (usize, usize),
    ts_ms: &mut i64,
    happenings: &mut Vec<Happening>,
    rng: &mut Rng,
) {
    let mut add = |kind, watch_ms, ts_ms: i64| {
        happenings.push(Happening {
            ts_ms,
            user,
            post: index,
            kind,
            watch_ms,
        });
    };
    add("impression", None, *ts_ms);
    *ts_ms += 600 + rng.below(1500) as i64;
    if let Some(watched) = reaction.watched {
        let watch_ms = post
            .duration_ms
            .map(|duration| (f64::from(duration) * watched) as u32);
        // Nobody sits through twenty minutes between two other videos of a feed.
        let spent_ms = watch_ms.unwrap_or(3000).min(180_000);
        *ts_ms += i64::from(spent_ms);
        add("view", watch_ms, *ts_ms);
    }
    let acts = [
        ("click", reaction.click),
        ("like", reaction.like),
        ("comment", reaction.comment),
        ("share", reaction.share),
        ("follow", reaction.follow),
        ("hide", reaction.hide),
    ];
    for (kind, done) in acts {
        if done {
            *ts_ms += 300 + rng.below(2500) as i64;
            add(kind, None, *ts_ms);
        }
    }
    if reaction.like && rng.chance(0.02) {
        add("unlike", None, *ts_ms + 4000);
    }
}

/// Posts by topic and by author, oldest first, to find what somebody would be shown.
struct Shelves {
    all: Vec<usize>,
    by_topic: Vec<Vec<usize>>,
    by_author: Vec<Vec<usize>>,
}

impl Shelves {
    fn new(people: &[Person], posts: &[Post]) -> Self {
        let topics = people.first().map_or(0, |person| person.taste.len());
        let mut by_topic = vec![Vec::new(); topics];
        let mut by_author = vec![Vec::new(); AUTHORS];
        for (index, post) in posts.iter().enumerate() {
            by_topic[post.topic].push(index);
            by_author[post.author].push(index);
        }
        Self {
            all: (0..posts.len()).collect(),
            by_topic,
            by_author,
        }
    }

    /// A third from authors they follow, a good third of their topics, some that others just
    /// liked, and some at random: a feed before anybody ranked it.
    fn pick(
        &self,
        person: &Person,
        posts: &[Post],
        liked: &[usize],
        ts_ms: i64,
        rng: &mut Rng,
    ) -> Option<usize> {
        let (shelf, depth) = match rng.unit() {
            draw if draw < 0.33 && !person.follows.is_empty() => {
                let author = person.follows.iter().nth(rng.below(person.follows.len()))?;
                (&self.by_author[*author], 2.5)
            }
            draw if draw < 0.70 => {
                let taste = running_totals(person.taste.iter().copied());
                (&self.by_topic[rng.weighted(&taste)], 40.0)
            }
            draw if draw < 0.80 => {
                let post = *rng.pick(liked);
                return (posts[post].created_at_ms <= ts_ms).then_some(post);
            }
            _ => (&self.all, 500.0),
        };
        let newest = shelf.partition_point(|&post| posts[post].created_at_ms <= ts_ms);
        let back = rng.exponential(depth) as usize;
        shelf.get(newest.checked_sub(1 + back)?).copied()
    }
}
