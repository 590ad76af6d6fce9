//! What requests for the same share: news of one fetch.

use std::sync::Arc;

use edgewise_cache::Stored;
use hyper::HeaderMap;
use tokio::sync::watch;

use super::failure::Failure;
use super::handle::Worker;
use super::live::Live;
use super::shard::Entry;
use crate::now::wall_ms;

/// A fetch that others may follow.
#[derive(Debug)]
pub(crate) struct Flight {
    news: watch::Sender<News>,
}

/// What is known of a fetch.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Nothing yet.
    Waiting,
    /// The head of an answer that may be shared; its body arrives.
    Head(Arc<Head>),
    /// What is stored still holds, freshened.
    Fresh(Entry),
    /// The answer may not be shared.
    Alone,
    /// The origin gave none.
    Failed(Failure),
    /// The leader died.
    Dead,
}

/// The head of an answer that is being stored.
#[derive(Debug)]
pub(crate) struct Head {
    /// What the cache knows of it.
    pub(crate) stored: Stored,
    /// Header fields, as they will be stored.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) live: Arc<Live>,
}

impl Flight {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            news: watch::Sender::new(News::Waiting),
        })
    }

    pub(crate) fn tell(&self, news: News) {
        self.news.send_replace(news);
    }

    /// The first news.
    pub(crate) async fn news(&self) -> News {
        let mut news = self.news.subscribe();
        let told = news.wait_for(|news| !matches!(news, News::Waiting)).await;
        told.map_or(News::Dead, |news| news.clone())
    }
}

/// The lead of a flight; followers learn when it is lost.
#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) worker: Arc<Worker>,
    /// The key of the store's part that knows the flight.
    pub(crate) key: String,
    pub(crate) flight_key: String,
    pub(crate) number: u64,
    pub(crate) flight: Arc<Flight>,
    pub(crate) told: bool,
}

impl Leading {
    pub(crate) fn tell(&mut self, news: News) {
        self.told = true;
        self.flight.tell(news);
    }

    /// Nobody may share the answer.
    pub(crate) fn release(&mut self) {
        let mut shard = self.worker.proxy.shards.of(&self.key);
        shard
            .flights
            .release(&self.flight_key, self.number, wall_ms());
        drop(shard);
        self.tell(News::Alone);
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        let mut shard = self.worker.proxy.shards.of(&self.key);
        shard.flights.land(&self.flight_key, self.number);
        drop(shard);
        if !self.told {
            self.flight.tell(News::Dead);
        }
    }
}
