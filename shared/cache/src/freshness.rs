//! How old a response is and how long it may be used (RFC 9111 section 4.2, RFC 5861).

use crate::config::Config;
use crate::date;
use crate::directives::{ResponseDirectives, delta_seconds};
use crate::fields::{Fields, list};
use crate::message::{Exchange, Response};

/// How long, and under which terms, a stored response may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When its head came, milliseconds since 1970.
    pub response_time_ms: i64,
    /// How old it was then, milliseconds.
    pub initial_age_ms: i64,
    /// Up to this age it is fresh, milliseconds.
    pub lifetime_ms: i64,
    /// So long after that it is served while it is refreshed, milliseconds.
    pub stale_while_revalidate_ms: i64,
    /// So long after its lifetime it is served where the origin fails, milliseconds.
    pub stale_if_error_ms: i64,
    /// The origin said so itself: what is waited for is worth less than this answer.
    pub stale_if_error_explicit: bool,
    /// It is asked about before every use.
    pub no_cache: bool,
    /// Once stale it is never used without asking.
    pub must_revalidate: bool,
    /// What it cost to get, milliseconds.
    pub fetch_ms: i64,
}

impl Terms {
    /// The terms of a response. `targeted` says that `directives` are from a targeted field.
    #[must_use]
    pub fn of<F: Fields + ?Sized>(
        config: &Config,
        response: &Response<'_, F>,
        directives: &ResponseDirectives,
        targeted: bool,
        exchange: Exchange,
    ) -> Self {
        let must_revalidate = directives.must_revalidate
            || directives.proxy_revalidate
            || directives.s_maxage_s.is_some();
        // What must be asked about may not be served stale (sections 5.2.2.2 and 5.2.2.10).
        let window = |seconds: Option<u32>, default_s: u32| {
            let closed = must_revalidate || directives.no_cache;
            if closed {
                0
            } else {
                ms(seconds.unwrap_or(default_s))
            }
        };
        Self {
            response_time_ms: exchange.response_time_ms,
            initial_age_ms: initial_age_ms(response.fields, exchange),
            lifetime_ms: lifetime_ms(config, response, directives, targeted, exchange),
            stale_while_revalidate_ms: window(directives.stale_while_revalidate_s, 0),
            stale_if_error_ms: window(directives.stale_if_error_s, config.stale_if_error_s),
            stale_if_error_explicit: directives.stale_if_error_s.is_some(),
            no_cache: directives.no_cache,
            must_revalidate,
            fetch_ms: exchange
                .response_time_ms
                .saturating_sub(exchange.request_time_ms)
                .max(0),
        }
    }

    /// How old it is (section 4.2.3), milliseconds.
    #[must_use]
    pub const fn age_ms(&self, now_ms: i64) -> i64 {
        let resident_ms = now_ms.saturating_sub(self.response_time_ms);
        let resident_ms = if resident_ms > 0 { resident_ms } else { 0 };
        self.initial_age_ms.saturating_add(resident_ms)
    }

    /// How long it has been stale, milliseconds; 0 or less while it is fresh.
    #[must_use]
    pub const fn stale_for_ms(&self, now_ms: i64) -> i64 {
        // Fresh is "lifetime > age": at its very end it is stale.
        self.age_ms(now_ms)
            .saturating_sub(self.lifetime_ms)
            .saturating_add(1)
    }

    /// What is left of its lifetime, seconds; negative once stale.
    #[must_use]
    pub const fn ttl_s(&self, now_ms: i64) -> i64 {
        self.lifetime_ms
            .saturating_sub(self.age_ms(now_ms))
            .div_euclid(1_000)
    }
}

/// Section 4.2.3. An `Age` that is no number is ignored; of several the first counts
/// (section 5.1).
fn initial_age_ms<F: Fields + ?Sized>(fields: &F, exchange: Exchange) -> i64 {
    let now_s = exchange.response_time_ms.div_euclid(1_000);
    let apparent_s = fields
        .first("date")
        .and_then(|date| date::parse(date, now_s))
        .map_or(0, |date_s| now_s.saturating_sub(date_s).max(0));
    let age_s = list(fields, "age").next().and_then(delta_seconds);
    let delay_ms = exchange
        .response_time_ms
        .saturating_sub(exchange.request_time_ms)
        .max(0);
    let corrected_ms = ms(age_s.unwrap_or(0)).saturating_add(delay_ms);
    corrected_ms.max(apparent_s.saturating_mul(1_000))
}

/// Section 4.2.1: `s-maxage`, `max-age`, `Expires`, else a guess.
fn lifetime_ms<F: Fields + ?Sized>(
    config: &Config,
    response: &Response<'_, F>,
    directives: &ResponseDirectives,
    targeted: bool,
    exchange: Exchange,
) -> i64 {
    if let Some(seconds) = directives.s_maxage_s.or(directives.max_age_s) {
        return ms(seconds);
    }
    let now_s = exchange.response_time_ms.div_euclid(1_000);
    let date_s = response
        .fields
        .first("date")
        .and_then(|date| date::parse(date, now_s))
        .unwrap_or(now_s);
    if !targeted && let Some(expires) = response.fields.first("expires") {
        // A bad date is in the past (section 5.3).
        return date::parse(expires, now_s)
            .map_or(0, |expires_s| expires_s.saturating_sub(date_s).max(0))
            .saturating_mul(1_000);
    }
    guess_ms(config, response, directives, date_s, now_s)
}

/// Section 4.2.2: a share of the time since the last change; for what is not there, a short
/// time of the operator's.
fn guess_ms<F: Fields + ?Sized>(
    config: &Config,
    response: &Response<'_, F>,
    directives: &ResponseDirectives,
    date_s: i64,
    now_s: i64,
) -> i64 {
    if !is_heuristic(response.status) && !directives.public {
        return 0;
    }
    let changed_s = response
        .fields
        .first("last-modified")
        .and_then(|date| date::parse(date, now_s));
    match changed_s {
        Some(changed_s) => date_s
            .saturating_sub(changed_s)
            .max(0)
            .saturating_mul(1_000 / HEURISTIC_DIVISOR)
            .min(ms(config.heuristic_max_s)),
        None if matches!(response.status, 404 | 410) => ms(config.negative_s),
        None => 0,
    }
}

/// A tenth of the time since the last change (section 4.2.2).
const HEURISTIC_DIVISOR: i64 = 10;

/// Whether a lifetime may be guessed for the status (RFC 9110 section 15.1), 206 left out: it is
/// not stored.
#[must_use]
pub const fn is_heuristic(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
