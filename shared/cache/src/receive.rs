//! What to do with an answer of the origin (RFC 9111 sections 3, 4.3.3 to 4.3.5).

use alloc::boxed::Box;

use crate::config::Config;
use crate::decide::{Forward, Reason};
use crate::fields::Fields;
use crate::message::{Exchange, Request, Response, is_origin_error};
use crate::storable::{Refusal, Stored, storable};

/// What to do with an answer of the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Store it once its body is whole, and answer with it.
    Store {
        /// What the cache has to know of it.
        stored: Box<Stored>,
        /// Requests that wait for the same may have it too, as it arrives.
        shareable: bool,
    },
    /// What is stored still holds: lay the answer's fields over it (`update::freshen`), store
    /// that with what `Cache::freshened` makes of it, and answer with it.
    Freshen,
    /// The origin fails and what is stored stands in.
    ServeStale,
    /// Pass it on and store nothing.
    Pass(Refusal),
}

/// Decides. `forward` is what [`crate::decide()`] said of the request and `validated` whether the
/// request carried the cache's own condition.
#[must_use]
pub fn receive<Q: Fields + ?Sized, R: Fields + ?Sized>(
    config: &Config,
    request: &Request<'_, Q>,
    response: &Response<'_, R>,
    exchange: Exchange,
    forward: &Forward,
    validated: bool,
) -> Received {
    if response.status == 304 {
        return if validated {
            Received::Freshen
        } else {
            Received::Pass(Refusal::Conditional)
        };
    }
    // Nothing in the key tells such a request from others.
    if forward.reason == Reason::Bypass {
        return Received::Pass(Refusal::Method);
    }
    // Section 4.3.3: an error does not replace what still may be used.
    if forward.stale_if_error && is_origin_error(response.status) {
        return Received::ServeStale;
    }
    match storable(config, request, response, exchange) {
        Ok(_) if is_too_large(config, response) => Received::Pass(Refusal::Size),
        Ok(stored) => {
            let terms = &stored.terms;
            let now_ms = exchange.response_time_ms;
            let fresh = terms.stale_for_ms(now_ms) <= terms.stale_while_revalidate_ms;
            let shareable = forward.share && fresh && !terms.no_cache;
            Received::Store {
                stored: Box::new(stored),
                shareable,
            }
        }
        Err(refusal) => Received::Pass(refusal),
    }
}

fn is_too_large<R: Fields + ?Sized>(config: &Config, response: &Response<'_, R>) -> bool {
    response
        .fields
        .first("content-length")
        .and_then(|value| core::str::from_utf8(value).ok()?.parse().ok())
        .is_some_and(|bytes: u64| bytes > config.object_bytes_max)
}
