//! Who the visitors are and what they make of an item.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::super::World;
use super::super::behaviour::{Reaction, react};
use super::super::history::reaction;
use super::super::posts::Post;
use super::super::rng::{Rng, hash_text, mix, running_totals};
use super::Players;

/// Nobody has watched it yet, so its duration is a guess (ms).
const UNKNOWN_DURATION_MS: u32 = 30_000;

/// The people of a run.
#[derive(Debug)]
pub(super) enum Crowd {
    Community {
        world: Arc<World>,
        /// Running totals of how often people come.
        activity: Vec<f64>,
        /// Index of a post in the world, by id.
        posts: BTreeMap<String, usize>,
    },
    Users {
        users: Vec<String>,
        seed: u64,
    },
}

/// What a visitor does with an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    pub(super) reaction: Reaction,
    /// Of what was watched; None for pictures.
    pub(super) duration_ms: Option<u32>,
}

impl Crowd {
    pub(super) fn new(players: Players, seed: u64) -> Result<Self> {
        match players {
            Players::Users(users) => {
                ensure!(!users.is_empty(), "live traffic needs at least one user");
                Ok(Self::Users { users, seed })
            }
            Players::Community(world) => {
                let activity = running_totals(world.people.iter().map(|person| person.activity));
                let by_id = |(index, post): (usize, &Post)| (post.id.clone(), index);
                let posts = world.posts.iter().enumerate().map(by_id).collect();
                Ok(Self::Community {
                    world,
                    activity,
                    posts,
                })
            }
        }
    }

    /// The community, where that is who plays.
    pub(super) fn world(&self) -> Option<&World> {
        match self {
            Self::Community { world, .. } => Some(world),
            Self::Users { .. } => None,
        }
    }

    /// Index of who comes next.
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        match self {
            Self::Community { activity, .. } => rng.weighted(activity),
            Self::Users { users, .. } => rng.below(users.len()),
        }
    }

    /// User id of a person.
    pub(super) fn user(&self, person: usize) -> &str {
        match self {
            Self::Community { world, .. } => &world.people[person].handle,
            Self::Users { users, .. } => &users[person],
        }
    }

    /// What `person` does with an item; `new_post` is the item's post where it is of this run.
    pub(super) fn respond(
        &self,
        person: usize,
        item: &str,
        author: &str,
        new_post: Option<&Post>,
        rng: &mut Rng,
    ) -> Response {
        match self {
            Self::Community { world, posts, .. } => {
                let known = posts.get(item).map(|&index| &world.posts[index]);
                match new_post.or(known) {
                    Some(post) => Response {
                        reaction: reaction(&world.people[person], post, rng),
                        duration_ms: post.duration_ms,
                    },
                    // Somebody else's upload: curiosity, no opinion.
                    None => Response {
                        reaction: react(0.4, 0.5, rng),
                        duration_ms: Some(UNKNOWN_DURATION_MS),
                    },
                }
            }
            Self::Users { users, seed } => {
                // Half of the liking is for the author, half for the item: a made-up taste
                // that stays the same for the whole run and every run of this seed.
                let user = hash_text(&users[person]) ^ mix(*seed);
                let liking = |of: &str| (mix(user ^ hash_text(of)) % 1000) as f64 / 1000.0;
                let interest = 0.5 * liking(author).powi(2) + 0.5 * liking(item).powi(2);
                let duration_ms = Some(UNKNOWN_DURATION_MS);
                Response {
                    reaction: react(interest, 0.5, rng),
                    duration_ms,
                }
            }
        }
    }
}
