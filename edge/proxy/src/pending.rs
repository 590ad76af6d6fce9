//! Requests to the origin that are under way.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::sync::Arc;

use edgewise_cache::fields::FieldLines;
use edgewise_cache::{Forward, Object, Request, Stored};

use crate::bodies::Held;
use crate::message::Asking;

/// Requests under way at once; beyond, the oldest is given up. A host whose client leaves may
/// never come back to one.
pub const PENDING_MAX: usize = 1_024;

/// One that takes longer is given up: the runtime may have ended it, milliseconds.
const PENDING_LIFE_MS: i64 = 120_000;

/// A refresh that takes longer does not hold back the next, milliseconds.
const REFRESH_MAX_MS: i64 = 10_000;

/// A stored answer as it is kept here.
#[derive(Debug)]
pub(crate) struct Payload {
    /// Header fields ready to be sent.
    pub(crate) fields: FieldLines,
    /// The body, at the host's.
    pub(crate) body: Rc<Held>,
}

pub(crate) type Entry = Arc<Object<Payload>>;

/// A request under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) asking: Asking,
    /// Fields for the origin, without the cache's own condition.
    pub(crate) sent: FieldLines,
    pub(crate) forward: Forward,
    /// What is stored for it.
    pub(crate) object: Option<Entry>,
    /// The store's clock when it was asked for.
    pub(crate) sequence: u64,
    pub(crate) validated: bool,
    /// The client has its answer already.
    pub(crate) background: bool,
    /// The answer whose body is arriving: what the cache knows of it, and its fields.
    pub(crate) arriving: Option<(Stored, FieldLines)>,
}

impl Pending {
    /// The request as the origin got it.
    pub(crate) fn asked(&self) -> Request<'_, FieldLines> {
        Request {
            method: &self.asking.method,
            key: &self.asking.key,
            fields: &self.sent,
        }
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(crate) struct AllPending {
    requests: BTreeMap<u32, Pending>,
    last: u32,
}

impl AllPending {
    /// The number that it has from now on.
    pub(crate) fn insert(&mut self, pending: Pending) -> u32 {
        let dead_ms = pending.asking.now_ms.saturating_sub(PENDING_LIFE_MS);
        while let Some((_, oldest)) = self.requests.first_key_value()
            && (oldest.asking.now_ms < dead_ms || self.requests.len() >= PENDING_MAX)
        {
            self.requests.pop_first();
        }
        self.last = self.last.wrapping_add(1);
        self.requests.insert(self.last, pending);
        self.last
    }

    pub(crate) fn take(&mut self, id: u32) -> Option<Pending> {
        self.requests.remove(&id)
    }

    pub(crate) fn put_back(&mut self, id: u32, pending: Pending) {
        self.requests.insert(id, pending);
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Pending> {
        self.requests.get_mut(&id)
    }

    /// Whether what is stored is being refreshed already.
    pub(crate) fn is_refreshing(&self, object: &Entry, now_ms: i64) -> bool {
        self.requests.values().any(|pending| {
            let same = pending.object.as_ref();
            pending.background
                && same.is_some_and(|other| Arc::ptr_eq(other, object))
                && now_ms.saturating_sub(pending.asking.now_ms) < REFRESH_MAX_MS
        })
    }
}
