//! What is posted: the catalogue of the last 30 days, and posts that keep coming.

use serde_json::{Value, json};

use super::people::Person;
use super::rng::{Rng, running_totals};
use super::topics::Topic;
use super::{AUTHORS, DAY_MS, POSTS, picture};

/// A post: what the API calls an item, with what the simulation knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// Item id.
    pub(crate) id: String,
    /// Index of the author.
    pub(crate) author: usize,
    /// Index of the topic.
    pub(crate) topic: usize,
    /// The topic's tag and one to three of its tags.
    pub(crate) tags: Vec<String>,
    /// Language label.
    pub(crate) language: &'static str,
    /// Region label.
    pub(crate) region: &'static str,
    /// Unix ms.
    pub(crate) created_at_ms: i64,
    /// None for pictures.
    pub(crate) duration_ms: Option<u32>,
    /// How good it is, 0 to 1; nobody sees this number, only what it makes people do.
    pub(crate) quality: f64,
    title: String,
    thumbnail: String,
}

impl Post {
    /// A new post of `author`.
    pub(crate) fn new(
        id: String,
        author: usize,
        created_at_ms: i64,
        people: &[Person],
        topics: &[Topic],
        rng: &mut Rng,
    ) -> Self {
        let person = &people[author];
        let second = person.posts_about.len() > 1 && rng.chance(0.2);
        let topic = person
            .posts_about
            .get(usize::from(second))
            .copied()
            .unwrap_or(0);
        let about = &topics[topic];
        let mut tags = vec![about.slug.clone()];
        for _ in 0..1 + rng.below(3) {
            let tag = rng.pick(&about.tags);
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        // Some authors outside the English-speaking countries also post in English.
        let language = if rng.chance(0.2) {
            "en"
        } else {
            person.language
        };
        Self {
            id,
            author,
            topic,
            tags,
            language,
            region: person.region,
            created_at_ms,
            duration_ms: duration_ms(rng),
            quality: (0.5 + 0.2 * rng.normal()).clamp(0.05, 1.0),
            title: about.title(language, rng),
            thumbnail: picture::data_uri(&about.scene, &about.hues, rng),
        }
    }

    /// The item as the API takes it.
    pub(crate) fn to_json(&self, people: &[Person]) -> Value {
        let mut item = json!({
            "id": self.id,
            "author": people[self.author].handle,
            "created_at": self.created_at_ms,
            "kind": if self.duration_ms.is_some() { "video" } else { "image" },
            "tags": self.tags,
            "region": self.region,
            "language": self.language,
            "title": self.title,
            "thumbnail": self.thumbnail,
        });
        if let Some(duration_ms) = self.duration_ms {
            item["duration_ms"] = json!(duration_ms);
        }
        item
    }
}

/// Median 70 s, between 8 s and 20 min, whole seconds; one in twelve is a picture.
fn duration_ms(rng: &mut Rng) -> Option<u32> {
    if rng.chance(1.0 / 12.0) {
        return None;
    }
    let seconds = (70.0 * (0.9 * rng.normal()).exp()).clamp(8.0, 1200.0);
    Some(seconds as u32 * 1000)
}

/// Draws who posts next: popular authors post more, but everybody posts.
#[derive(Clone, Debug)]
pub(crate) struct Posters(Vec<f64>);

impl Posters {
    pub(crate) fn new(people: &[Person]) -> Self {
        Self(running_totals(
            people.iter().take(AUTHORS).map(|person| person.fame.sqrt()),
        ))
    }

    pub(crate) fn next(&self, rng: &mut Rng) -> usize {
        rng.weighted(&self.0)
    }
}

/// The catalogue, oldest first.
pub(crate) fn posts(people: &[Person], topics: &[Topic], seed: u64, now_ms: i64) -> Vec<Post> {
    let mut rng = Rng::stream(seed, 2);
    let posters = Posters::new(people);
    // A little denser towards now: a site that grows.
    let mut times: Vec<i64> = (0..POSTS)
        .map(|_| now_ms - (rng.unit().powf(1.15) * 30.0 * DAY_MS as f64) as i64)
        .collect();
    times.sort_unstable();
    let post = |(index, created_at_ms): (usize, i64)| {
        let author = posters.next(&mut rng);
        Post::new(
            format!("v{:05}", index + 1),
            author,
            created_at_ms,
            people,
            topics,
            &mut rng,
        )
    };
    times.into_iter().enumerate().map(post).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::community::World;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn items_keep_the_limits_of_the_api() {
        let world = World::new(11, NOW_MS).expect("topics.json is valid");
        assert_eq!(world.posts.len(), POSTS);
        for post in &world.posts {
            let item = post.to_json(&world.people);
            let thumbnail = item["thumbnail"].as_str().expect("a picture");
            assert!(thumbnail.len() <= 1536, "{} bytes", thumbnail.len());
            let title = item["title"].as_str().expect("a title");
            assert!((1..=300).contains(&title.len()));
            assert!((2..=16).contains(&post.tags.len()));
            assert!(post.created_at_ms <= NOW_MS);
            assert!(post.created_at_ms >= NOW_MS - 30 * DAY_MS);
        }
    }
}
