//! The routes: each waits for what it needs and answers from memory.

pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod hot;
pub(crate) mod items;
pub(crate) mod listed;
pub(crate) mod probes;

use crate::context::Step;
use crate::effect::Answer;

/// A request on its way to its answer.
#[derive(Debug)]
pub(crate) enum Route {
    /// `/api/v1/feed` and `/api/v1/feed/offline`
    Feed(alloc::boxed::Box<feed::Feed>),
    /// `/api/v1/hot/trending`
    Hot(hot::Hot),
    /// `/api/v1/similar/{item}` and `/api/v1/discover/suggested-users`
    Listed(listed::Listed),
    /// `/api/v1/items`
    Items(items::Items),
    /// `POST /api/v1/events`
    Events(alloc::boxed::Box<events::Events>),
    /// `/readyz`
    Ready,
}

impl Route {
    /// Answers, or says by new jobs what it waits for. Called when no awaited job is left.
    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        match self {
            Self::Feed(feed) => feed.step(step),
            Self::Hot(hot) => hot.step(step),
            Self::Listed(listed) => listed.step(step),
            Self::Items(items) => items.step(step),
            Self::Events(events) => events.step(step),
            Self::Ready => probes::ready(step),
        }
    }
}
