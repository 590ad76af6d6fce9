//! Named maxima of everything that comes from outside; docs/limits.md lists them.

/// Longest id (item, author, user, event, request), bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest tag, language or region, bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// Longest query string, bytes.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Largest feed page.
pub const FEED_LIMIT_MAX: u32 = 100;
/// Largest trending page; also the length of a hot list.
pub const HOT_LIMIT_MAX: u32 = 200;
/// Most similar items of an answer.
pub const SIMILAR_LIMIT_MAX: u32 = 100;
/// Most suggested users of an answer.
pub const SUGGESTED_LIMIT_MAX: u32 = 50;
/// Page size where `limit` is absent.
pub const LIMIT_DEFAULT: u32 = 20;
/// Most ids of one items request.
pub const ITEM_IDS_MAX: usize = 100;
/// Most ids in `exclude`.
pub const EXCLUDE_MAX: usize = 100;

/// Largest body of an events request, bytes.
pub const EVENTS_BYTES_MAX: usize = 256 * 1024;
/// Most events of one request.
pub const EVENTS_MAX: usize = 500;
/// Events older than this are refused, domain ms (48 h: the idempotency window).
pub const EVENT_AGE_MAX_MS: i64 = 48 * 3_600_000;
/// Events further in the future than this are refused, domain ms (5 min).
pub const EVENT_FUTURE_MAX_MS: i64 = 5 * 60_000;
/// Longest watch time and duration of an event, ms (7 days).
pub const WATCH_MS_MAX: u32 = 7 * 86_400_000;
/// Largest position of an event.
pub const POSITION_MAX: u32 = 100_000;

/// Largest body of an internal events request, bytes.
pub const INTERNAL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most events, and most served slots, of one internal request.
pub const INTERNAL_EVENTS_MAX: usize = 5_000;

/// Largest body of an items upsert, bytes.
pub const ITEMS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most items of one upsert.
pub const ITEMS_MAX: usize = 500;
/// Most tags of an item.
pub const TAGS_MAX: usize = 16;
/// Longest title, bytes.
pub const TITLE_BYTES_MAX: usize = 300;
/// Longest thumbnail (URL or data URI), bytes.
pub const THUMBNAIL_BYTES_MAX: usize = 4 * 1024;
/// Longest link, bytes.
pub const LINK_BYTES_MAX: usize = 2 * 1024;
/// Largest `created_at`, Unix ms (year 287396: still an exact double).
pub const CREATED_AT_MS_MAX: i64 = 9_000_000_000_000_000;

/// Largest encoded candidate bundle, bytes.
pub const BUNDLE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest decompressed candidate bundle, bytes.
pub const BUNDLE_RAW_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most candidates of a bundle.
pub const CANDIDATES_MAX: usize = 2_000;
/// Most distinct labels of a bundle.
pub const LABELS_MAX: usize = 8_192;
/// Most followed authors of a bundle.
pub const FOLLOWS_MAX: usize = 20_000;
/// Most hidden authors of a bundle.
pub const HIDDEN_AUTHORS_MAX: usize = 4_096;
/// Most removed items of a bundle.
pub const REMOVED_ITEMS_MAX: usize = 8_192;
/// Most applied event hashes of a bundle.
pub const APPLIED_EVENTS_MAX: usize = 64;

/// Largest encoded overlay, bytes.
pub const OVERLAY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest decompressed overlay, bytes.
pub const OVERLAY_RAW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most items of an overlay.
pub const OVERLAY_ITEMS_MAX: usize = 4_096;
/// Most tombstones of an overlay.
pub const TOMBSTONES_MAX: usize = 16_384;
/// Most purge epochs of an overlay.
pub const PURGES_MAX: usize = 1_024;

/// Largest encoded hot list, bytes.
pub const HOT_LIST_BYTES_MAX: usize = 64 * 1024;
/// Largest decompressed hot list, bytes.
pub const HOT_LIST_RAW_BYTES_MAX: usize = 128 * 1024;
/// Most items of a hot list.
pub const HOT_LIST_ITEMS_MAX: usize = 200;

/// Largest encoded model snapshot, bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest decompressed model snapshot, bytes.
pub const SNAPSHOT_RAW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most ranking configurations of a model snapshot.
pub const CONFIGS_MAX: usize = 32;
/// Largest JSON text of one ranking configuration, bytes.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;
/// Longest model version, bytes.
pub const MODEL_VERSION_BYTES_MAX: usize = 64;
/// Longest name of a model's head (an objective), bytes.
pub const HEAD_NAME_BYTES_MAX: usize = 64;

/// Largest pack for a device, bytes: its parts' limits and a little.
pub const PACK_BYTES_MAX: usize =
    BUNDLE_BYTES_MAX + OVERLAY_BYTES_MAX + SNAPSHOT_BYTES_MAX + 64 * 1024;

/// Largest model file of LightGBM or XGBoost, bytes.
pub const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most keys of a key ring.
pub const KEYS_MAX: usize = 8;
/// Longest key id, bytes.
pub const KEY_ID_BYTES_MAX: usize = 16;
/// Shortest secret, bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest secret, bytes.
pub const SECRET_BYTES_MAX: usize = 128;

/// Longest session token, characters.
pub const SESSION_CHARS_MAX: usize = 2_047;
/// Most interactions (likes, clicks, follows ...) of a session.
pub const SESSION_INTERACTIONS_MAX: usize = 32;
/// Most hides of a session.
pub const SESSION_HIDES_MAX: usize = 32;
/// Most tags of a session's entry.
pub const SESSION_TAGS_MAX: usize = 4;
/// A session's entry is forgotten after this, wall seconds.
pub const SESSION_AGE_MAX_S: u32 = 1_800;
/// A hide in a session expires after this, s: a bundle that does not know it may serve on
/// error for as long.
pub const SESSION_HIDE_AGE_MAX_S: u32 = 86_400;

/// Longest cursor token, characters.
pub const CURSOR_CHARS_MAX: usize = 4_096;
/// A cursor remembers at least this many of the last shown items.
pub const SHOWN_MIN: usize = 1_000;
/// Author hashes of a cursor (the default author window less one).
pub const RECENT_AUTHORS_MAX: usize = 19;

/// Longest JWT, characters.
pub const JWT_CHARS_MAX: usize = 4 * 1024;
/// Clock difference tolerated in `exp` and `nbf`, seconds.
pub const JWT_LEEWAY_S: i64 = 60;
