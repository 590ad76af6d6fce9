//! Which route a request is for, and everything that can be refused before it waits.

use edgewise_wire::params::{
    FeedParams, HotParams, ItemsParams, SimilarParams, SuggestedParams, path_id,
};
use edgewise_wire::problem::Problem;

use crate::answer;
use crate::cors::Cors;
use crate::effect::Answer;
use crate::identity;
use crate::limits::client_key;
use crate::request::Request;
use crate::routes::events::Events;
use crate::routes::feed::{Feed, Form};
use crate::routes::hot::Hot;
use crate::routes::items::Items;
use crate::routes::listed::Listed;
use crate::routes::{Route, probes};
use crate::state::State;

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";

/// What becomes of a request.
pub(crate) enum Routed {
    /// It waits for something, or can be answered from memory.
    Route(Route),
    /// It is answered.
    Answer(Answer),
    /// The host has a file for it, or not.
    Asset,
}

/// The public routes.
#[derive(Clone, Copy)]
enum Path<'a> {
    Feed(Form),
    Hot,
    Similar(&'a str),
    Suggested,
    Items,
    Events,
    Live,
    Ready,
    Health,
    Version,
    OpenApi,
    /// Nothing, or nothing that is for the public.
    Unknown,
    Asset,
}

fn path_of(path: &str) -> Path<'_> {
    match path {
        "/api/v1/feed" => Path::Feed(Form::Page),
        "/api/v1/feed/offline" => Path::Feed(Form::Pack),
        "/api/v1/hot/trending" => Path::Hot,
        "/api/v1/discover/suggested-users" => Path::Suggested,
        "/api/v1/items" => Path::Items,
        "/api/v1/events" => Path::Events,
        "/livez" => Path::Live,
        "/readyz" => Path::Ready,
        "/healthz" => Path::Health,
        "/version" => Path::Version,
        "/openapi.json" => Path::OpenApi,
        _ => match path.strip_prefix("/api/v1/similar/") {
            Some(item) if !item.is_empty() && !item.contains('/') => Path::Similar(item),
            _ if is_within(path, &["/api", "/internal", "/admin", "/metrics"]) => Path::Unknown,
            _ => Path::Asset,
        },
    }
}

fn is_within(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Finds the route.
pub(crate) fn route(state: &mut State, request: &Request<'_>, cors: &Cors, body: &[u8]) -> Routed {
    let path = path_of(request.path);
    let methods = if matches!(path, Path::Events) {
        WRITE
    } else {
        READ
    };
    let is_read = matches!(request.method, "GET" | "HEAD");
    match (path, request.method) {
        (Path::Feed(Form::Pack), _) if !state.config.offline => {
            return Routed::Answer(answer::problem(&Problem::not_found(
                "this edge hands out no packs",
            )));
        }
        (Path::Unknown, _) => {
            return Routed::Answer(answer::problem(&Problem::not_found(
                "there is no such route",
            )));
        }
        (Path::Asset, _) if is_read => return Routed::Asset,
        (_, "OPTIONS") => return Routed::Answer(cors.preflight(methods)),
        (Path::Events, "POST") => {}
        (Path::Events, _) => return Routed::Answer(answer::method_not_allowed(WRITE)),
        _ if !is_read => return Routed::Answer(answer::method_not_allowed(READ)),
        _ => {}
    }
    match begin(state, request, path, body) {
        Ok(routed) => routed,
        Err(problem) => Routed::Answer(answer::problem(&problem)),
    }
}

fn begin(
    state: &mut State,
    request: &Request<'_>,
    path: Path<'_>,
    body: &[u8],
) -> Result<Routed, Problem> {
    let wall_ms = request.wall_ms;
    let (authorization, query) = (request.header("authorization"), request.query);
    let subject = |state: &State| identity::subject(authorization, &state.config, wall_ms);
    let route = match path {
        Path::Feed(form) => {
            let params = FeedParams::parse(query)?;
            let subject = subject(state)?;
            let user = identity::agree(subject.as_deref(), params.user.as_deref(), &state.config)?;
            limit(state, request, subject.as_deref())?;
            let feed = Feed::new(form, params, user, request, &state.config)?;
            Route::Feed(feed)
        }
        Path::Suggested => {
            let params = SuggestedParams::parse(query)?;
            let subject = subject(state)?;
            let user = identity::agree(subject.as_deref(), params.user.as_deref(), &state.config)?;
            limit(state, request, subject.as_deref())?;
            let user = user.ok_or_else(|| {
                Problem::parameter("user", "user is missing", "an id, or a signed token")
            })?;
            Route::Listed(Listed::suggested(user, params))
        }
        Path::Hot => {
            let params = HotParams::parse(query)?;
            limit(state, request, None)?;
            Route::Hot(Hot::new(params))
        }
        Path::Similar(item) => {
            let params = SimilarParams::parse(query)?;
            limit(state, request, None)?;
            Route::Listed(Listed::similar(path_id("item", item)?, params))
        }
        Path::Items => {
            let params = ItemsParams::parse(query)?;
            limit(state, request, None)?;
            Route::Items(Items::new(params))
        }
        Path::Events => Route::Events(Events::new(request, subject(state)?, body)?),
        Path::Ready => Route::Ready,
        Path::Live => return Ok(Routed::Answer(probes::live())),
        Path::Health => return Ok(Routed::Answer(probes::health(state, wall_ms))),
        Path::Version => return Ok(Routed::Answer(probes::version(state))),
        Path::OpenApi => return Ok(Routed::Answer(probes::openapi())),
        Path::Unknown | Path::Asset => return Ok(Routed::Asset),
    };
    Ok(Routed::Route(route))
}

/// Whom a request counts for: the signed subject, else the address. The plain `user`
/// parameter is anybody's claim: it neither escapes a limit nor uses up somebody else's.
pub(crate) fn limit(
    state: &mut State,
    request: &Request<'_>,
    subject: Option<&str>,
) -> Result<(), Problem> {
    if state.buckets.is_off() {
        return Ok(());
    }
    let client = client_key(subject, request.client_ip);
    state
        .buckets
        .take(&client, request.wall_ms)
        .map_err(Problem::rate_limited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_paths_are_nobodys() {
        for path in [
            "/internal",
            "/internal/v1/overlay",
            "/admin/v1/items",
            "/metrics",
            "/api/v2",
        ] {
            assert!(matches!(path_of(path), Path::Unknown), "{path}");
        }
        for path in ["/", "/assets/a.js", "/internals", "/metrics.html"] {
            assert!(matches!(path_of(path), Path::Asset), "{path}");
        }
        assert!(matches!(path_of("/api/v1/similar/"), Path::Unknown));
        assert!(matches!(
            path_of("/api/v1/similar/a%2Fb"),
            Path::Similar("a%2Fb")
        ));
    }
}
