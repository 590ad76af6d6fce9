//! Store and decisions in one: what a host asks and tells.
//!
//! A host looks up ([`Cache::lookup`]), does what the decision says, tells what the origin
//! answered ([`receive`](crate::receive())) and stores the answer when its body is whole
//! ([`Cache::store`]). Time is an argument throughout.

use alloc::string::String;
use alloc::sync::Arc;

use crate::config::Config;
use crate::decide::{Candidate, Decision, Found, decide};
use crate::fields::{Fields, FieldsMut};
use crate::message::{Exchange, Request, Response};
use crate::storable::{Stored, storable};
use crate::store::{Object, Selected, Store};

/// A cache: configuration and store. `P` is the host's payload: header fields and body.
#[derive(Debug)]
pub struct Cache<P> {
    config: Config,
    store: Store<P>,
}

/// What to do with a request, and what is stored for it.
#[derive(Clone, Debug)]
pub struct Lookup<P> {
    /// What to do.
    pub decision: Decision,
    /// What is stored for the request.
    pub object: Option<Arc<Object<P>>>,
    /// The store's clock now: to be given back with the answer.
    pub sequence: u64,
}

/// What to store.
#[derive(Debug)]
pub struct Entry<P> {
    /// The object.
    pub object: Arc<Object<P>>,
    /// Bytes that its header fields take.
    pub fields_bytes: u64,
    /// The store's clock when it was asked for.
    pub sequence: u64,
}

impl<P> Cache<P> {
    /// An empty cache of at most `bytes_max` bytes.
    #[must_use]
    pub const fn new(config: Config, bytes_max: u64) -> Self {
        Self {
            config,
            store: Store::new(bytes_max),
        }
    }

    /// How it decides.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What is stored.
    #[must_use]
    pub const fn contents(&self) -> &Store<P> {
        &self.store
    }

    /// What is stored, to purge.
    pub const fn contents_mut(&mut self) -> &mut Store<P> {
        &mut self.store
    }

    /// What to do with a request. `random` is uniform in 0..1.
    pub fn lookup<F: Fields + ?Sized>(
        &mut self,
        request: &Request<'_, F>,
        now_ms: i64,
        random: f64,
    ) -> Lookup<P> {
        let selected = if request.is_cacheable() {
            self.store.select(request.key, request.fields)
        } else {
            Selected::Nothing
        };
        let found = match &selected {
            Selected::Nothing => Found::Nothing,
            Selected::OtherVariants => Found::OtherVariants,
            Selected::One(object, purged_ms) => Found::One(Candidate {
                stored: &object.stored,
                body_bytes: object.body_bytes,
                purged_ms: *purged_ms,
            }),
        };
        let decision = decide(&self.config, request, found, now_ms, random);
        Lookup {
            decision,
            object: match selected {
                Selected::One(object, _) => Some(object),
                _ => None,
            },
            sequence: self.store.sequence(),
        }
    }

    /// Stores an answer whose body is whole; whether it is stored now.
    pub fn store<F: Fields + ?Sized>(&mut self, request: &Request<'_, F>, entry: Entry<P>) -> bool {
        let Entry {
            object,
            fields_bytes,
            sequence,
        } = entry;
        self.store
            .insert(request.key, request.fields, object, fields_bytes, sequence)
    }

    /// Takes away what is stored for a request: the origin's newer answer may not be stored.
    pub fn forget_variant<F: Fields + ?Sized>(&mut self, request: &Request<'_, F>) {
        self.store.forget_variant(request.key, request.fields);
    }

    /// Takes away every variant of these keys.
    pub fn forget(&mut self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            self.store.forget(&key);
        }
    }
}

/// What the cache knows of a stored response after its fields were freshened (`fields` are the
/// ones [`freshen`](crate::update::freshen) made, and lose those that may not be stored); `None` where these say that it may not be
/// stored any longer.
#[must_use]
pub fn freshened<Q: Fields + ?Sized, R: FieldsMut>(
    config: &Config,
    request: &Request<'_, Q>,
    before: &Stored,
    fields: &mut R,
    exchange: Exchange,
) -> Option<Stored> {
    let response = Response {
        status: before.status,
        fields: &*fields,
    };
    // HEAD freshens what GET stored.
    let request = Request {
        method: "GET",
        ..*request
    };
    let mut after = storable(config, &request, &response, exchange).ok()?;
    // Fields that were left out when it was stored stay known.
    after.withheld.extend_from_slice(&before.withheld);
    after.withheld.sort_unstable();
    after.withheld.dedup();
    // The newer fields may name others than the older ones did.
    for name in &after.withheld {
        fields.remove_field(name);
    }
    Some(after)
}
