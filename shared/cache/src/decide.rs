//! What to do with a request, given what is stored (RFC 9111 sections 4 and 5.2.1).

use crate::conditional;
use crate::config::Config;
use crate::directives::RequestDirectives;
use crate::fields::Fields;
use crate::message::Request;
use crate::range::{self, Part};
use crate::storable::Stored;
use crate::xfetch;

/// What is stored for a request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The response that the request selects.
    pub stored: &'a Stored,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// When it was purged softly, milliseconds since 1970: stale from then on.
    pub purged_ms: Option<i64>,
}

/// What a store has for a key.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// Responses that other requests select.
    OtherVariants,
    /// One that this request selects.
    One(Candidate<'a>),
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from what is stored.
    Serve(Serve),
    /// Ask the origin.
    Forward(Forward),
    /// Answer 504: the client wants nothing that has to be fetched.
    GatewayTimeout,
}

/// An answer from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serve {
    /// What of it.
    pub answer: Answer,
    /// `Age`, seconds.
    pub age_s: i64,
    /// What is left of its lifetime, seconds; negative once stale.
    pub ttl_s: i64,
    /// It is stale.
    pub stale: bool,
    /// Fetch a newer one meanwhile, without waiting.
    pub refresh: bool,
}

/// The form of an answer from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it.
    Whole,
    /// 304: the client has it.
    NotModified,
    /// 206: bytes `first..=last`.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// 416: the range is past the end.
    Unsatisfiable,
}

/// A request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Why, in the words of RFC 9211.
    pub reason: Reason,
    /// Ask whether what is stored still holds.
    pub validate: bool,
    /// Other requests for the same may wait for this one's answer.
    pub share: bool,
    /// The stored answer may stand in if the origin fails.
    pub stale_if_error: bool,
    /// The origin itself allowed that, so that it is not waited for long.
    pub impatient: bool,
}

/// Why a request goes to the origin (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Configured not to handle it.
    Bypass,
    /// Its method.
    Method,
    /// Nothing is stored under its key.
    UriMiss,
    /// What is stored under its key answers other requests.
    VaryMiss,
    /// Its own directives.
    Request,
    /// What is stored is stale.
    Stale,
    /// It asks for a part that is not stored.
    Partial,
}

/// Decides. `random` is uniform in 0..1.
#[must_use]
pub fn decide<F: Fields + ?Sized>(
    config: &Config,
    request: &Request<'_, F>,
    found: Found<'_>,
    now_ms: i64,
    random: f64,
) -> Decision {
    if !request.is_cacheable() {
        return Decision::Forward(Forward::alone(Reason::Method));
    }
    if request.is_for_the_origin() {
        return Decision::Forward(Forward::alone(Reason::Bypass));
    }
    let wanted = RequestDirectives::of(request.fields);
    let decision = match found {
        Found::Nothing => Decision::Forward(miss(request, &wanted, Reason::UriMiss)),
        Found::OtherVariants => Decision::Forward(miss(request, &wanted, Reason::VaryMiss)),
        Found::One(candidate) => with(config, request, &wanted, candidate, now_ms, random),
    };
    match decision {
        // Section 5.2.1.7.
        Decision::Forward(_) if wanted.only_if_cached => Decision::GatewayTimeout,
        decision => decision,
    }
}

impl Forward {
    /// A request that nothing stored has to do with.
    #[must_use]
    pub const fn alone(reason: Reason) -> Self {
        Self {
            reason,
            validate: false,
            share: false,
            stale_if_error: false,
            impatient: false,
        }
    }
}

/// A request that gets the same answer as others of its key may share one.
fn may_share<F: Fields + ?Sized>(request: &Request<'_, F>, wanted: &RequestDirectives) -> bool {
    request.method == "GET" && !wanted.no_store && !request.fields.has("authorization")
}

fn miss<F: Fields + ?Sized>(
    request: &Request<'_, F>,
    wanted: &RequestDirectives,
    reason: Reason,
) -> Forward {
    // A part is fetched as a part: the whole may be large.
    let partial = request.fields.has("range");
    Forward {
        share: !partial && may_share(request, wanted),
        ..Forward::alone(if partial { Reason::Partial } else { reason })
    }
}

fn with<F: Fields + ?Sized>(
    config: &Config,
    request: &Request<'_, F>,
    wanted: &RequestDirectives,
    candidate: Candidate<'_>,
    now_ms: i64,
    random: f64,
) -> Decision {
    let terms = &candidate.stored.terms;
    let age_ms = terms.age_ms(now_ms);
    let purged_for_ms = candidate.purged_ms.map_or(i64::MIN, |purged_ms| {
        now_ms.saturating_sub(purged_ms).max(0) + 1
    });
    let stale_for_ms = terms.stale_for_ms(now_ms).max(purged_for_ms);
    let stale = stale_for_ms > 0;
    let within = |window_ms: i64| stale_for_ms <= window_ms;
    let stale_if_error = !terms.no_cache && within(terms.stale_if_error_ms);
    let forward = |reason| {
        Decision::Forward(Forward {
            reason,
            validate: request.method == "GET",
            share: may_share(request, wanted),
            stale_if_error,
            impatient: stale_if_error && stale && terms.stale_if_error_explicit,
        })
    };
    let serve = |refresh| {
        Decision::Serve(serve(
            request,
            candidate.stored,
            candidate.body_bytes,
            now_ms,
            stale,
            refresh,
        ))
    };
    if config.client_reload {
        let too_old = wanted.max_age_s.is_some_and(|max_s| age_ms > ms(max_s));
        let too_short = wanted
            .min_fresh_s
            .is_some_and(|min_s| stale_for_ms.saturating_add(ms(min_s)) > 0);
        if wanted.no_cache || too_old || too_short {
            return forward(Reason::Request);
        }
    }
    if terms.no_cache {
        return forward(Reason::Stale);
    }
    if !stale {
        let refresh = request.method == "GET"
            && xfetch::is_due(terms, now_ms, config.early_refresh_beta, random);
        return serve(refresh);
    }
    if within(terms.stale_while_revalidate_ms) {
        return serve(true);
    }
    let accepted = wanted.max_stale_s.is_some_and(|max_s| within(ms(max_s)));
    if accepted && !terms.must_revalidate && candidate.purged_ms.is_none() {
        return serve(false);
    }
    forward(Reason::Stale)
}

/// The answer that a stored response gives to a request.
#[must_use]
pub fn serve<F: Fields + ?Sized>(
    request: &Request<'_, F>,
    stored: &Stored,
    body_bytes: u64,
    now_ms: i64,
    stale: bool,
    refresh: bool,
) -> Serve {
    Serve {
        answer: answer(request, stored, body_bytes, now_ms.div_euclid(1_000)),
        age_s: stored.terms.age_ms(now_ms) / 1_000,
        ttl_s: stored.terms.ttl_s(now_ms),
        stale,
        refresh,
    }
}

fn answer<F: Fields + ?Sized>(
    request: &Request<'_, F>,
    stored: &Stored,
    body_bytes: u64,
    now_s: i64,
) -> Answer {
    if conditional::is_not_modified(request.fields, stored, now_s) {
        return Answer::NotModified;
    }
    let partial = request.method == "GET"
        && stored.status == 200
        && request.fields.has("range")
        && conditional::if_range_holds(request.fields, stored, now_s);
    if !partial {
        return Answer::Whole;
    }
    match range::part(request.fields, body_bytes) {
        Part::Whole => Answer::Whole,
        Part::Bytes { first, last } => Answer::Part { first, last },
        Part::Unsatisfiable => Answer::Unsatisfiable,
    }
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
