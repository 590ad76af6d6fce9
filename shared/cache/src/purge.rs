//! Purges as epochs: what was asked for before one is stale or gone, so that a purge of any
//! number of objects costs the same.

use alloc::collections::BTreeMap;

/// Tags whose purges are remembered one by one; beyond, the oldest becomes a purge of everything.
pub const TAG_EPOCHS_MAX: usize = 4_096;

/// What purges made of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// Nothing.
    No,
    /// Stale since then, milliseconds since 1970.
    Soft(i64),
    /// Gone.
    Hard,
}

/// When what was purged last.
#[derive(Debug, Default)]
pub struct Epochs {
    all: Epoch,
    tags: BTreeMap<u64, Epoch>,
    /// The newest purge of all: what is newer need not look further.
    newest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    /// What was asked for before this is gone.
    hard: u64,
    /// What was asked for before this is stale, since `soft_ms`.
    soft: u64,
    soft_ms: i64,
}

impl Epochs {
    /// Nothing was ever purged.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            all: Epoch {
                hard: 0,
                soft: 0,
                soft_ms: 0,
            },
            tags: BTreeMap::new(),
            newest: 0,
        }
    }

    /// What purges made of an object with these tags that was asked for at `sequence`.
    #[must_use]
    pub fn of(&self, tags: &[u64], sequence: u64) -> Purged {
        if sequence >= self.newest {
            return Purged::No;
        }
        let mut out = self.all.of(sequence);
        for tag in tags {
            let epoch = self.tags.get(tag).map(|epoch| epoch.of(sequence));
            out = match (out, epoch.unwrap_or(Purged::No)) {
                (Purged::Hard, _) | (_, Purged::Hard) => return Purged::Hard,
                (Purged::Soft(a), Purged::Soft(b)) => Purged::Soft(a.min(b)),
                (Purged::Soft(at), Purged::No) | (Purged::No, Purged::Soft(at)) => Purged::Soft(at),
                (Purged::No, Purged::No) => Purged::No,
            };
        }
        out
    }

    /// Purges a tag.
    pub fn purge_tag(&mut self, tag: u64, soft: bool, sequence: u64, now_ms: i64) {
        self.newest = sequence;
        self.tags
            .entry(tag)
            .or_default()
            .set(soft, sequence, now_ms);
        if self.tags.len() > TAG_EPOCHS_MAX {
            let oldest = self
                .tags
                .iter()
                .min_by_key(|(_, epoch)| epoch.hard.max(epoch.soft))
                .map(|(tag, epoch)| (*tag, *epoch));
            if let Some((tag, epoch)) = oldest {
                self.tags.remove(&tag);
                self.all.hard = self.all.hard.max(epoch.hard);
                if epoch.soft > self.all.soft {
                    (self.all.soft, self.all.soft_ms) = (epoch.soft, epoch.soft_ms);
                }
            }
        }
    }

    /// Purges everything.
    pub fn purge_all(&mut self, soft: bool, sequence: u64, now_ms: i64) {
        self.newest = sequence;
        self.all.set(soft, sequence, now_ms);
    }
}

/// Keys that were forgotten lately, so that what was asked for before is not stored after.
#[derive(Debug, Default)]
pub struct Forgotten {
    keys: BTreeMap<u64, u64>,
    /// What was asked for before this may have been forgotten.
    floor: u64,
}

/// Forgotten keys that are remembered; beyond, what was asked for before the oldest of them is
/// not stored.
pub const FORGOTTEN_MAX: usize = 4_096;

impl Forgotten {
    /// Nothing was ever forgotten.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            floor: 0,
        }
    }

    /// A key, by its hash, is forgotten.
    pub fn note(&mut self, key: u64, sequence: u64) {
        self.keys.insert(key, sequence);
        if self.keys.len() > FORGOTTEN_MAX {
            // Half at once, so that the search for the oldest is rare.
            let mut ages: alloc::vec::Vec<u64> = self.keys.values().copied().collect();
            ages.sort_unstable();
            self.floor = ages.get(ages.len() / 2).copied().unwrap_or(sequence);
            let floor = self.floor;
            self.keys.retain(|_, sequence| *sequence > floor);
        }
    }

    /// Whether what was asked for at `sequence` is of before.
    #[must_use]
    pub fn is_before(&self, key: u64, sequence: u64) -> bool {
        sequence < self.floor || self.keys.get(&key).is_some_and(|at| sequence < *at)
    }
}

impl Epoch {
    fn set(&mut self, soft: bool, sequence: u64, now_ms: i64) {
        if soft {
            (self.soft, self.soft_ms) = (sequence, now_ms);
        } else {
            self.hard = sequence;
        }
    }

    const fn of(&self, sequence: u64) -> Purged {
        if sequence < self.hard {
            Purged::Hard
        } else if sequence < self.soft {
            Purged::Soft(self.soft_ms)
        } else {
            Purged::No
        }
    }
}
