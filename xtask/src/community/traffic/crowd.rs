//! Who the visitors are and what they make of an item.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::super::World;
use super::super::behaviour::{Reaction, react};
use super::super::history::reaction;
use super::super::posts::Post;
use super::super::rng::{Rng, running_totals};
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
    /// They only look: what real people think of real items is not made up.
    Users(Vec<String>),
}

/// What a visitor does with an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    pub(super) reaction: Reaction,
    /// Of what was watched; None for pictures.
    pub(super) duration_ms: Option<u32>,
}

impl Crowd {
    pub(super) fn new(players: Players) -> Result<Self> {
        match players {
            Players::Users(users) => {
                ensure!(!users.is_empty(), "live traffic needs at least one user");
                Ok(Self::Users(users))
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
            Self::Users(_) => None,
        }
    }

    /// Index of who comes next.
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        match self {
            Self::Community { activity, .. } => rng.weighted(activity),
            Self::Users(users) => rng.below(users.len()),
        }
    }

    /// User id of a person.
    pub(super) fn user(&self, person: usize) -> &str {
        match self {
            Self::Community { world, .. } => &world.people[person].handle,
            Self::Users(users) => &users[person],
        }
    }

    /// What `person` does with an item; `new_post` is the item's post where it is of this run.
    ///
    /// None where this crowd only looks.
    pub(super) fn respond(
        &self,
        person: usize,
        item: &str,
        new_post: Option<&Post>,
        rng: &mut Rng,
    ) -> Option<Response> {
        let Self::Community { world, posts, .. } = self else {
            return None;
        };
        let known = posts.get(item).map(|&index| &world.posts[index]);
        Some(match new_post.or(known) {
            Some(post) => Response {
                reaction: reaction(&world.people[person], post, rng),
                duration_ms: post.duration_ms,
            },
            // Somebody else's upload: curiosity, no opinion.
            None => Response {
                reaction: react(0.4, 0.5, rng),
                duration_ms: Some(UNKNOWN_DURATION_MS),
            },
        })
    }
}
