//! Named maxima of the host (docs/limits.md).

use std::time::Duration;

/// Threads that answer requests.
pub(crate) const WORKERS_MAX: usize = 256;
/// Connections that wait for a worker to accept them, in the kernel.
pub(crate) const BACKLOG: i32 = 4_096;
/// Bytes of a request's line and headers that are waited for; what came with the last of them
/// is read too, so at most twice as many.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;
/// Request headers.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a request body that are read; the last one tells the core it was too large.
pub(crate) const BODY_BYTES_MAX: usize = (256 << 10) + 1;
/// A body that takes longer is given up.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bodies that are read at the same time, so that they hold 128 MiB at most.
pub(crate) const BODIES_MAX: usize = 512;
/// A client that takes none of its answer for this long is cut off.
pub(crate) const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A store that does not answer counts as absent.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_millis(500);

/// Answers of the origin longer than this are not taken.
pub(crate) const ORIGIN_ANSWER_BYTES_MAX: usize = edgewise_edge_core::limits::VALUE_MAX_BYTES;
/// Requests to the origin at the same time.
pub(crate) const ORIGIN_REQUESTS_MAX: usize = 256;
/// Idle connections to the origin that are kept.
pub(crate) const ORIGIN_IDLE_MAX: usize = 64;
/// ... for this long.
pub(crate) const ORIGIN_IDLE: Duration = Duration::from_secs(30);
/// A connection to the origin is given up after this.
pub(crate) const ORIGIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What nobody waits for (events, warming) is given up after this.
pub(crate) const ORIGIN_BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests to the origin that others may join.
pub(crate) const FLIGHTS_MAX: usize = 4_096;
/// A shared request goes on this long, though whoever began it may wait less.
pub(crate) const FLIGHT_MIN: Duration = Duration::from_secs(2);
/// An answer can be joined for this long after it came: whoever looked in the cache just
/// before it was put there asks the origin just after.
pub(crate) const FLIGHT_LINGER: Duration = Duration::from_millis(25);
/// Leaders that one request follows before it gives up.
pub(crate) const FLIGHT_LEADERS_MAX: usize = 4;

/// Clients whose events are counted; two that share a slot share a rate.
pub(crate) const LIMITER_SLOTS: usize = 65_536;
/// Events requests a client may make in a minute, and at once.
pub(crate) const LIMITER_PER_MINUTE: u32 = 6_000;

/// Writes to the key-value store that wait, bytes; beyond, a write is given up.
pub(crate) const KV_PENDING_BYTES_MAX: usize = 64 << 20;
/// Writes to the key-value store that wait.
pub(crate) const KV_PENDING_MAX: usize = 1_024;
/// Writes of one transaction.
pub(crate) const KV_GROUP_MAX: usize = 128;
/// Old values removed in one transaction.
pub(crate) const KV_REMOVED_MAX: usize = 1_024;
/// A crash loses at most this much of what the key-value store was given.
pub(crate) const KV_SYNC_EVERY: Duration = Duration::from_secs(5);
/// Threads of a worker that read the key-value store.
pub(crate) const KV_READERS_MAX: usize = 8;
/// Page cache of the key-value store.
pub(crate) const KV_PAGE_CACHE_BYTES: usize = 32 << 20;

/// Parcels that wait to be written to the spool.
pub(crate) const SPOOL_PENDING_MAX: usize = 4_096;
/// Parcels of one transaction of the spool: one fsync for all.
pub(crate) const SPOOL_GROUP_MAX: usize = 512;
/// Page cache of the spool.
pub(crate) const SPOOL_PAGE_CACHE_BYTES: usize = 8 << 20;
/// Parcels of one request to the origin.
pub(crate) const DELIVERY_PARCELS_MAX: usize = 1_000;
/// First wait after the origin did not take a delivery; doubled up to [`DELIVERY_BACKOFF_MAX`].
pub(crate) const DELIVERY_BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait between two deliveries.
pub(crate) const DELIVERY_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A parcel that the origin refuses this often is a dead letter.
pub(crate) const REFUSALS_MAX: u8 = 3;
/// Bytes of the file of dead letters; beyond, they are counted and dropped.
pub(crate) const DEAD_LETTERS_BYTES_MAX: u64 = 64 << 20;

/// Files of `--assets`.
pub(crate) const ASSETS_MAX: usize = 2_000;
/// Bytes of all of them.
pub(crate) const ASSETS_BYTES_MAX: u64 = 64 << 20;
/// Folders within folders.
pub(crate) const ASSETS_DEPTH_MAX: usize = 8;

/// Bundles are warmed this often.
pub(crate) const WARM_EVERY: Duration = Duration::from_secs(120);
/// Bundles warmed at a time.
pub(crate) const WARM_USERS_MAX: usize = 100;
/// How long a warmed bundle may serve on error, s.
pub(crate) const WARM_TTL_S: u32 = 86_400;

/// Zones whose offset a worker remembers.
pub(crate) const ZONES_MAX: usize = 600;
/// ... for this long: offsets change with the season.
pub(crate) const ZONE_LIFETIME_MS: i64 = 15 * 60_000;
/// Addresses of `X-Forwarded-For` that are looked at.
pub(crate) const FORWARDED_MAX: usize = 16;
/// Bytes of a secret's file.
pub(crate) const SECRET_BYTES_MAX: u64 = 16 << 10;
