//! Whether a response may be stored by a shared cache (RFC 9111 section 3).

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{Config, SetCookie};
use crate::date;
use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::fields::Fields;
use crate::freshness::{Terms, is_heuristic};
use crate::message::{Exchange, Request, Response};
use crate::{tags, targeted, vary};

/// What the cache knows of a stored response; its header fields and body are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The status code.
    pub status: u16,
    /// How long, and under which terms, it may be used.
    pub terms: Terms,
    /// Which requests select it.
    pub selecting: vary::Selecting,
    /// `ETag`, as it came.
    pub etag: Option<Vec<u8>>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<Vec<u8>>,
    /// What `If-Modified-Since` is compared with, seconds since 1970: `Last-Modified`, else
    /// `Date`, else when it came (RFC 9111 section 4.3.2).
    pub modified_s: i64,
    /// Tags it is purged by, hashed.
    pub tags: Vec<u64>,
    /// Fields that are not stored though they came, in lower case.
    pub withheld: Vec<String>,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only answers to GET are (and to POST under the name that `Content-Location` gives).
    Method,
    /// `no-store` of the response or the request.
    NoStore,
    /// `private`.
    Private,
    /// The request had `Authorization` and the response does not say that others may see it.
    Authorization,
    /// `Set-Cookie`, and the response does not say that others may see it.
    SetCookie,
    /// `Vary: *`, or more names than a `Vary` may have.
    Vary,
    /// The status is not understood, not final, or a part of an answer.
    Status,
    /// Nothing says for how long, and nothing could be asked about.
    Freshness,
    /// The body is too large.
    Size,
    /// It answers a condition of the client's.
    Conditional,
}

impl Refusal {
    /// A token for the `detail` of `Cache-Status`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Status => "status",
            Self::Freshness => "no-freshness",
            Self::Size => "too-large",
            Self::Conditional => "conditional",
        }
    }
}

/// What is to be kept of a response.
///
/// # Errors
/// Why nothing may be kept.
pub fn storable<Q: Fields + ?Sized, R: Fields + ?Sized>(
    config: &Config,
    request: &Request<'_, Q>,
    response: &Response<'_, R>,
    exchange: Exchange,
) -> Result<Stored, Refusal> {
    let (mut directives, targeted) = targeted::directives(response.fields);
    let terms = Terms::of(config, response, &directives, targeted, exchange);
    status_allows(response.status, &directives)?;
    directives_allow(request, response, &directives)?;
    set_cookie_allows(config, response, &mut directives, targeted)?;
    let selecting = vary::Selecting::of(request.fields, response.fields).ok_or(Refusal::Vary)?;
    let explicit = directives.max_age_s.is_some()
        || directives.s_maxage_s.is_some()
        || (!targeted && response.fields.has("expires"));
    match request.method {
        "GET" => {}
        "POST" if explicit && response.status == 200 => {}
        _ => return Err(Refusal::Method),
    }
    let etag = response.fields.first("etag").map(Vec::from);
    let last_modified = response.fields.first("last-modified").map(Vec::from);
    let may_be_stored = explicit || is_heuristic(response.status) || directives.public;
    let is_useful = terms.lifetime_ms > 0
        || etag.is_some()
        || last_modified.is_some()
        || terms.stale_while_revalidate_ms > 0
        || terms.stale_if_error_explicit;
    if !may_be_stored || !is_useful {
        return Err(Refusal::Freshness);
    }
    let now_s = exchange.response_time_ms.div_euclid(1_000);
    let modified_s = last_modified
        .as_deref()
        .or_else(|| response.fields.first("date"))
        .and_then(|date| date::parse(date, now_s))
        .unwrap_or(now_s);
    Ok(Stored {
        status: response.status,
        terms,
        selecting,
        etag,
        last_modified,
        modified_s,
        tags: tags::of(response.fields),
        withheld: directives.withheld,
    })
}

/// A final status that is whole. Unknown ones may be stored (section 3) unless the response says
/// `must-understand`.
fn status_allows(status: u16, directives: &ResponseDirectives) -> Result<(), Refusal> {
    // Whoever sends such conditions, ranges or sizes must not decide what the others get.
    let of_its_asker = matches!(status, 206 | 304 | 412 | 413 | 414 | 416 | 431);
    let whole = (200..=599).contains(&status) && !of_its_asker;
    if !whole || (directives.must_understand && !is_understood(status)) {
        return Err(Refusal::Status);
    }
    Ok(())
}

/// Statuses whose caching rules are known here (RFC 9110 section 15).
const fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=204 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505
    )
}

fn directives_allow<Q: Fields + ?Sized, R: Fields + ?Sized>(
    request: &Request<'_, Q>,
    response: &Response<'_, R>,
    directives: &ResponseDirectives,
) -> Result<(), Refusal> {
    // `must-understand` makes `no-store` a word to caches that do not know the status
    // (section 5.2.2.3).
    let no_store = directives.no_store && !directives.must_understand;
    if no_store || RequestDirectives::of(request.fields).no_store {
        return Err(Refusal::NoStore);
    }
    if directives.private {
        return Err(Refusal::Private);
    }
    // Section 3.5.
    let for_others =
        directives.public || directives.must_revalidate || directives.s_maxage_s.is_some();
    if request.fields.has("authorization") && !for_others {
        return Err(Refusal::Authorization);
    }
    // A 401 or 407 challenge is about who asked.
    if matches!(response.status, 401 | 407) && !directives.public {
        return Err(Refusal::Authorization);
    }
    Ok(())
}

fn set_cookie_allows<R: Fields + ?Sized>(
    config: &Config,
    response: &Response<'_, R>,
    directives: &mut ResponseDirectives,
    targeted: bool,
) -> Result<(), Refusal> {
    let named = directives.withheld.iter().any(|name| name == "set-cookie");
    if !response.fields.has("set-cookie") || named {
        return Ok(());
    }
    match config.set_cookie {
        SetCookie::Store => Ok(()),
        SetCookie::Strip => {
            directives.withheld.push(String::from("set-cookie"));
            Ok(())
        }
        SetCookie::Refuse if directives.public || directives.s_maxage_s.is_some() || targeted => {
            Ok(())
        }
        SetCookie::Refuse => Err(Refusal::SetCookie),
    }
}
