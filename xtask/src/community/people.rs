//! Who lives here: people with tastes, some of them authors, and who follows whom.

use std::collections::BTreeSet;

use super::rng::{Rng, hash_text, mix, running_totals};
use super::topics::Topic;
use super::{AUTHORS, DAY_MS, PEOPLE};

/// A person: everybody watches, the first [`AUTHORS`] also post.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// User id and author id, and the name that the page shows.
    pub(crate) handle: String,
    /// Language of what they post and prefer.
    pub(crate) language: &'static str,
    /// Region label.
    pub(crate) region: &'static str,
    /// Interest in each topic, 0 to 1; two or three are strong.
    pub(crate) taste: Vec<f64>,
    /// Relative number of visits.
    pub(crate) activity: f64,
    /// Indexes of the authors they follow.
    pub(crate) follows: BTreeSet<usize>,
    /// What they post about, best first; empty where they do not post.
    pub(crate) posts_about: Vec<usize>,
    /// Relative popularity as an author (Zipf); 0 where they do not post.
    pub(crate) fame: f64,
}

/// That a person follows an author.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    /// Index of the follower.
    pub(crate) user: usize,
    /// Index of the followed.
    pub(crate) author: usize,
    /// Since when, Unix ms.
    pub(crate) ts_ms: i64,
}

/// (language, region, share)
const PLACES: [(&str, &str, f64); 6] = [
    ("en", "US", 0.30),
    ("en", "GB", 0.24),
    ("de", "DE", 0.16),
    ("de", "AT", 0.04),
    ("fr", "FR", 0.14),
    ("es", "ES", 0.12),
];

const FIRST_NAMES: [(&str, &str); 4] = [
    (
        "en",
        "ada alfie amara beth callum dara dev edie ellis fern finn grace hana isla ivo jonah june kai \
         kit leila luca mabel maya milo nadia nell noor olive omar otis petra priya quinn remy rosa \
         rowan sam sasha tess theo uma wren yusuf zadie",
    ),
    (
        "de",
        "anke ben clara emil finja frieda hannes ida jannis johanna jonas kaya klara lena lina linus \
         lotte mats merle mia mira nele nils oskar paula pia ronja selma sven theres till tom ute vera",
    ),
    (
        "fr",
        "adele alix anouk basile camille celeste clement elise eloi fanny gaspard ines jules juliette \
         leon lise louise lucie manon marius maud mila nino noe ombeline oscar romane rose simon zoe",
    ),
    (
        "es",
        "adrian alba alma carla carmen diego elena enzo gael hugo ines irene iker julia lara leo lola \
         lucas manu mara marta mateo nerea nico noa olga pablo raul rocio sara sergio vega",
    ),
];

const LAST_NAMES: [(&str, &str); 4] = [
    (
        "en",
        "adeyemi barlow brook chen clarke doyle ellis fox frost gray hale khan kerr lane lowe marsh \
         moss nash okafor park patel quill reed rivers shaw stone vale ward west wilde young",
    ),
    (
        "de",
        "adler bach berger brandt busch ebert falk frank gross hahn horn huber jung keller kern koch \
         krause lang lorenz maier pohl richter roth sauer seidel sommer stein vogel weber winter",
    ),
    (
        "fr",
        "arnaud aubert barre benoit blanc bonnet caron dumas fabre faure gauthier girard henry lambert \
         leroy lucas marchal morel noel olivier perrin picard renard rey robin roche roux vidal",
    ),
    (
        "es",
        "alonso bravo campos cano castro cruz diaz ferrer gil iglesias leon lozano marin mora navarro \
         ortega pardo pena prieto ramos rey rivas rubio santos serra soler soto torres vargas vidal",
    ),
];

/// The people, and the follows they bring from before the history begins.
pub(crate) fn people(topics: &[Topic], seed: u64, now_ms: i64) -> (Vec<Person>, Vec<Follow>) {
    let mut rng = Rng::stream(seed, 1);
    let mut handles = BTreeSet::new();
    let mut people: Vec<Person> = (0..PEOPLE)
        .map(|index| person(index, topics, &mut handles, &mut rng))
        .collect();
    let follows = follows(&mut people, topics.len(), now_ms, &mut rng);
    (people, follows)
}

fn person(index: usize, topics: &[Topic], handles: &mut BTreeSet<String>, rng: &mut Rng) -> Person {
    let place = rng.weighted(&running_totals(PLACES.iter().map(|place| place.2)));
    let (language, region, _) = PLACES[place];
    let taste = taste(topics.len(), rng);
    let is_author = index < AUTHORS;
    let mut posts_about: Vec<usize> = Vec::new();
    if is_author {
        // Authors go round the topics, so that every topic has well-known ones.
        posts_about.push(index % topics.len());
        posts_about.push(rng.below(topics.len()));
    }
    let second = posts_about
        .first()
        .map(|&topic| rng.pick(&topics[topic].handles).clone());
    let handle = handle(language, second.as_deref(), handles, rng);
    Person {
        handle,
        language,
        region,
        taste,
        activity: 0.15 + rng.exponential(1.0),
        follows: BTreeSet::new(),
        posts_about,
        fame: if is_author {
            1.0 / (index as f64 + 2.0)
        } else {
            0.0
        },
    }
}

/// Two or three strong interests, one lukewarm, the rest close to nothing.
fn taste(topics: usize, rng: &mut Rng) -> Vec<f64> {
    let mut taste: Vec<f64> = (0..topics).map(|_| rng.range(0.0, 0.12)).collect();
    let strong = 2 + rng.below(2);
    for rank in 0..=strong {
        let topic = rng.below(topics);
        let level = if rank < strong {
            rng.range(0.75, 1.0)
        } else {
            rng.range(0.3, 0.5)
        };
        taste[topic] = taste[topic].max(level);
    }
    taste
}

fn handle(
    language: &str,
    second: Option<&str>,
    taken: &mut BTreeSet<String>,
    rng: &mut Rng,
) -> String {
    let first = name(&FIRST_NAMES, language, rng);
    let second = second.unwrap_or_else(|| name(&LAST_NAMES, language, rng));
    let mut handle = format!("{first}.{second}");
    while !taken.insert(handle.clone()) {
        handle = format!("{first}.{second}{}", 2 + rng.below(97));
    }
    handle
}

fn name(table: &[(&str, &'static str)], language: &str, rng: &mut Rng) -> &'static str {
    let names = table
        .iter()
        .find(|(of, _)| *of == language)
        .map_or("sam", |(_, names)| names);
    let count = names.split_whitespace().count();
    names
        .split_whitespace()
        .nth(rng.below(count))
        .unwrap_or("sam")
}

/// People follow authors of their topics; famous authors far more often (Zipf).
fn follows(people: &mut [Person], topics: usize, now_ms: i64, rng: &mut Rng) -> Vec<Follow> {
    let by_topic: Vec<Vec<usize>> = (0..topics)
        .map(|topic| {
            (0..AUTHORS)
                .filter(|&a| people[a].posts_about[0] == topic)
                .collect()
        })
        .collect();
    let fame: Vec<Vec<f64>> = by_topic
        .iter()
        .map(|authors| running_totals(authors.iter().map(|&a| people[a].fame)))
        .collect();
    let everybody = running_totals((0..AUTHORS).map(|a| people[a].fame));
    let mut follows = Vec::new();
    for (user, person) in people.iter_mut().enumerate() {
        let wanted = 3 + rng.exponential(9.0).min(60.0) as usize;
        let taste = running_totals(person.taste.iter().map(|level| level * level));
        for _ in 0..wanted {
            let author = if rng.chance(0.12) {
                rng.weighted(&everybody)
            } else {
                let topic = rng.weighted(&taste);
                by_topic[topic][rng.weighted(&fame[topic])]
            };
            if author != user && person.follows.insert(author) {
                let days_ago = rng.range(8.0, 400.0);
                let ts_ms = now_ms - (days_ago * DAY_MS as f64) as i64;
                follows.push(Follow {
                    user,
                    author,
                    ts_ms,
                });
            }
        }
    }
    follows.sort_by_key(|follow| (follow.ts_ms, follow.user, follow.author));
    follows
}

/// How much `user` cares for a post of these topics and tags by this author, 0 to 1.
///
/// `follows` lifts it, a foreign language that is not English lowers it, and every person has
/// tags that they like or dislike.
pub(crate) fn interest(
    person: &Person,
    topic: usize,
    tags: &[String],
    language: &str,
    follows: bool,
) -> f64 {
    let own = hash_text(&person.handle);
    let tag_liking: f64 = tags
        .iter()
        .map(|tag| (mix(own ^ hash_text(tag)) % 1000) as f64 / 1000.0 - 0.5)
        .sum::<f64>()
        / tags.len().max(1) as f64;
    let understood = language == person.language || language == "en";
    let level = person.taste.get(topic).copied().unwrap_or(0.0) + 0.3 * tag_liking;
    let level = level + if follows { 0.15 } else { 0.0 };
    (level * if understood { 1.0 } else { 0.35 }).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::community::topics;

    #[test]
    fn fame_is_zipf_and_follows_suit_tastes() {
        let topics = topics::all().expect("topics.json is valid");
        let (people, follows) = people(&topics, 5, 1_800_000_000_000);
        let mut followers = vec![0_usize; AUTHORS];
        let mut suited = 0;
        for follow in &follows {
            followers[follow.author] += 1;
            let topic = people[follow.author].posts_about[0];
            suited += usize::from(people[follow.user].taste[topic] > 0.25);
            assert_ne!(follow.user, follow.author);
        }
        assert!(
            suited * 4 > follows.len() * 3,
            "{suited} of {}",
            follows.len()
        );
        let top: usize = followers[..12].iter().sum();
        let tail: usize = followers[AUTHORS - 12..].iter().sum();
        assert!(top > 10 * tail, "{top} {tail}");
        let handles: BTreeSet<_> = people.iter().map(|person| &person.handle).collect();
        assert_eq!(handles.len(), PEOPLE);
        assert!(
            handles
                .iter()
                .all(|handle| handle.len() <= 64 && handle.is_ascii())
        );
    }
}
