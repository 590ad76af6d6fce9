//! The loaded origin: everything that serving needs, put together once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use edgewise_wire::keys::Keys;
use edgewise_wire::limits::EVENT_FUTURE_MAX_MS;
use metrics::gauge;

use crate::candidates::{Builder, Bundles};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::ingest::{Changes, ItemState, Limits, Subscriber, Writer, WriterConfig};
use crate::lists::engagement::Graph;
use crate::lists::hot::HotLists;
use crate::lists::similar::Similar;
use crate::lists::suggested::Suggested;
use crate::model::ServingModel;
use crate::overlay::{self, OverlayMaker};
use crate::purge::Purges;
use crate::store::purge::PurgeRecord;
use crate::store::{Store, StoreError, read};
use crate::telemetry;

/// Users whose bundles are warmed.
pub const WARM_USERS_MAX: usize = 100;
/// After a start, items created longer ago than this are not in the overlay as new, domain ms.
const NEWS_MS: i64 = 24 * 3_600_000;

/// Catalogue, lists and writer over one store.
pub struct Origin {
    /// Wall and domain time.
    pub clock: Clock,
    /// Transactions and snapshots.
    pub store: Arc<dyn Store>,
    /// The one way to change the store.
    pub writer: Writer,
    /// Items in memory.
    pub catalogue: Arc<Catalogue>,
    /// What changed lately.
    pub overlay: Arc<OverlayMaker>,
    /// Candidates by user and segment.
    pub bundles: Arc<Bundles>,
    /// Hot lists, made every 60 s.
    pub hot: ArcSwap<HotLists>,
    /// Neighbour tables, made every 300 s.
    pub similar: Arc<ArcSwap<Similar>>,
    /// Suggestion tables, made every 300 s.
    pub suggested: ArcSwap<Suggested>,
    /// The most active users, most active first.
    pub warm: ArcSwap<Vec<String>>,
    /// What scores.
    pub model: ServingModel,
    /// Sign and verify tokens.
    pub keys: Keys,
}

impl Origin {
    /// Loads the catalogue, starts the writer and makes every list once.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the writer's thread cannot be started.
    pub fn load(
        store: Arc<dyn Store>,
        clock: Clock,
        model: ServingModel,
        keys: Keys,
    ) -> Result<Self, StoreError> {
        let catalogue = Arc::new(Catalogue::default());
        load_catalogue(&*store, &catalogue, &clock)?;
        let purges = Arc::new(Purges::load(&*store)?);
        let overlay = Arc::new(OverlayMaker::new(
            Arc::clone(&catalogue),
            Arc::clone(&purges),
            clock.clone(),
            model.pointer(),
        ));
        let similar = Arc::new(ArcSwap::from_pointee(Similar::default()));
        let builder = Builder::new(
            Arc::clone(&catalogue),
            clock.clone(),
            Arc::clone(&model.config),
            Arc::clone(&similar),
            Arc::clone(&model.vectors),
        );
        let bundles = Arc::new(Bundles::new(builder, Arc::clone(&store), clock.clone()));
        let follower = Arc::new(Follower {
            catalogue: Arc::clone(&catalogue),
            overlay: Arc::clone(&overlay),
            bundles: Arc::clone(&bundles),
            purges,
        });
        let config = WriterConfig {
            hot: model.config.hot,
            limits: Limits::default(),
        };
        let writer = Writer::start(Arc::clone(&store), clock.clone(), &config, follower)?;
        let origin = Self {
            clock,
            store,
            writer,
            catalogue,
            overlay,
            bundles,
            hot: ArcSwap::default(),
            similar,
            suggested: ArcSwap::default(),
            warm: ArcSwap::default(),
            model,
            keys,
        };
        origin.make_hot_lists();
        origin.make_neighbours()?;
        Ok(origin)
    }

    /// Makes and publishes the hot lists.
    pub fn make_hot_lists(&self) {
        let (wall_ms, domain_ms) = (self.clock.wall_ms(), self.clock.domain_ms());
        let lists = HotLists::make(&self.catalogue, &self.model.config, domain_ms, wall_ms);
        gauge!(telemetry::HOT_LISTS).set(lists.len() as f64);
        self.hot.store(Arc::new(lists));
    }

    /// Reads who engaged with what and publishes similar items and suggested users.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn make_neighbours(&self) -> Result<(), StoreError> {
        let snapshot = self.store.read()?;
        let graph = Arc::new(Graph::read(&*snapshot)?);
        drop(snapshot);
        self.similar
            .store(Arc::new(Similar::make(&graph, &self.catalogue)));
        self.suggested
            .store(Arc::new(Suggested::make(graph, &self.catalogue)));
        Ok(())
    }

    /// Finds the most active users of yesterday and today and builds the bundles that are
    /// not fresh.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn warm_bundles(&self, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let today = crate::store::keys::day_of(self.clock.domain_ms());
        let snapshot = self.store.read()?;
        let from = today.saturating_sub(1);
        let users = read::active_users(&*snapshot, from, today, WARM_USERS_MAX)?;
        drop(snapshot);
        let users = Arc::new(users);
        self.warm.store(Arc::clone(&users));
        for user in users.iter() {
            if stop() {
                break;
            }
            self.bundles.user(user)?;
        }
        Ok(())
    }

    /// Makes anew the lists that `record` is about, so that what edges fetch after the purge was
    /// made after it was asked for.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn make_purged(&self, record: &PurgeRecord) -> Result<(), StoreError> {
        let is_of = |tag: &str, key: &str| {
            record.everything
                || record.tags.iter().any(|named| named == tag)
                || record.keys.iter().any(|named| named.starts_with(key))
        };
        if is_of("list:hot", "lists/hot") {
            self.make_hot_lists();
        }
        if is_of("list:similar", "similar/") || is_of("list:suggested", "suggested/") {
            self.make_neighbours()?;
        }
        Ok(())
    }

    /// Whether there is something to answer from.
    #[must_use]
    pub fn has_data(&self) -> bool {
        !self.catalogue.is_empty()
    }
}

/// Reads every item; `touched` times are reconstructed, so that an overlay after a restart
/// holds what the last one before it held.
fn load_catalogue(
    store: &dyn Store,
    catalogue: &Catalogue,
    clock: &Clock,
) -> Result<(), StoreError> {
    let snapshot = store.read()?;
    let (wall_ms, domain_ms) = (clock.wall_ms(), clock.domain_ms());
    let speed = clock.domain().speed;
    read::all_items(&*snapshot, &mut |state: ItemState| {
        let event_age_ms = (domain_ms.saturating_sub(state.last_event_ms)).max(0) as f64 / speed;
        // Events of a time that a replay has not reached are no news of now.
        let event_ms = if state.last_event_ms > domain_ms.saturating_add(EVENT_FUTURE_MAX_MS) {
            0
        } else {
            wall_ms.saturating_sub(event_age_ms as i64)
        };
        // A bulk import is no news: its items were there before any bundle was.
        let created_ms = state.item.as_ref().map_or(0, |item| item.created_at_ms);
        let is_news = created_ms >= domain_ms.saturating_sub(NEWS_MS);
        let written = state.first_written.filter(|_| is_news);
        let written_ms = written.map_or(0, |written| written.wall_ms);
        catalogue.load(&state, event_ms.max(written_ms).min(wall_ms));
    })?;
    catalogue.set_position(read::position(&*snapshot)?);
    catalogue.forget_touched(wall_ms - overlay::REACH_MS);
    gauge!(telemetry::CATALOGUE_ITEMS).set(catalogue.len() as f64);
    Ok(())
}

/// Brings memory up to each commit before the commit is answered.
struct Follower {
    catalogue: Arc<Catalogue>,
    overlay: Arc<OverlayMaker>,
    bundles: Arc<Bundles>,
    purges: Arc<Purges>,
}

impl Subscriber for Follower {
    fn committed(&self, changes: &Changes) {
        self.catalogue
            .apply(&changes.items, changes.position, changes.at.wall_ms);
        let wall_ms = changes.at.wall_ms;
        for item in changes.items.iter().filter(|item| item.item.is_some()) {
            // What is new is in no store yet.
            let first = item.first_written.map(|written| written.wall_ms);
            if first.is_some_and(|first_ms| first_ms < wall_ms) {
                self.purges.item_changed(&item.id, wall_ms);
            }
        }
        for user in &changes.deleted_users {
            self.purges.user_deleted(user, wall_ms);
        }
        for record in &changes.purges {
            self.purges.asked(record);
        }
        if !changes.purges.is_empty() {
            self.bundles.forget_all();
        }
        let has_deletion = changes
            .items
            .iter()
            .any(|item| item.deleted_at_ms.is_some());
        if has_deletion || !changes.deleted_users.is_empty() || !changes.purges.is_empty() {
            self.overlay.removal_committed();
        }
        let followers = changes.follows.iter().map(|change| &change.user);
        let hiders = changes.hides.iter().map(|(user, _)| user);
        let users = changes.users.iter().chain(&changes.deleted_users);
        self.bundles.forget(users.chain(followers).chain(hiders));
        gauge!(telemetry::LOG_POSITION).set(changes.position as f64);
        gauge!(telemetry::CATALOGUE_ITEMS).set(self.catalogue.len() as f64);
    }
}
