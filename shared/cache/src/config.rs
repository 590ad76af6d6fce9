//! What an operator decides about the cache.

/// What becomes of answers with `Set-Cookie`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// Stored only where the origin says `public`, `s-maxage` or speaks to shared caches in a
    /// targeted field.
    #[default]
    Refuse,
    /// Stored without the cookie.
    Strip,
    /// Stored as any other, which is what RFC 9111 allows.
    Store,
}

/// How the cache decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// What becomes of answers with `Set-Cookie`.
    pub set_cookie: SetCookie,
    /// How long a stale answer may stand in for a failing origin where the origin does not say,
    /// seconds; 0 is not at all.
    pub stale_if_error_s: u32,
    /// How long a 404 or 410 is kept where the origin does not say, seconds.
    pub negative_s: u32,
    /// The longest lifetime that is guessed, seconds.
    pub heuristic_max_s: u32,
    /// How eager early refreshes are; 0 switches them off, 1 is the optimum of the paper.
    pub early_refresh_beta: f64,
    /// Clients may ask for a newer answer (`no-cache`, `max-age`) than is stored.
    pub client_reload: bool,
    /// The largest body that is stored, bytes.
    pub object_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            set_cookie: SetCookie::Refuse,
            stale_if_error_s: 86_400,
            negative_s: 2,
            heuristic_max_s: 86_400,
            early_refresh_beta: 1.0,
            client_reload: true,
            object_bytes_max: OBJECT_BYTES_MAX,
        }
    }
}

/// The largest body that is stored, bytes, where nothing else is set.
pub const OBJECT_BYTES_MAX: u64 = 16 << 20;
