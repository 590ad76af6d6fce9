//! The public lists: trending, similar items, suggested users, items.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use edgewise_cache::Lifetime;
use edgewise_ranking::id_hash;
use edgewise_serving::{
    hot, items as items_body, similar as similar_body, suggested as suggested_body,
};
use edgewise_wire::api::{Item, Rung};
use edgewise_wire::params::{HotParams, ItemsParams, SimilarParams, SuggestedParams, path_id};
use edgewise_wire::problem::Problem;
use serde::Serialize;

use super::answer::{self, Source};
use super::{Failure, Service, identity};
use crate::catalogue::Entry;
use crate::lists::hot::{Built, Filter};
use crate::lists::suggested::Suggestion;
use crate::origin::Origin;
use crate::store::read;

/// `GET /api/v1/hot/trending`
pub(super) async fn trending(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = HotParams::parse(query.as_deref().unwrap_or(""))?;
    let (body, age_ms, rung) = service
        .blocking(move |origin| {
            let overlay = origin.overlay.current();
            let built = hot_list(origin, &params);
            // Scores of the overlay's moment: the entity tag holds until list or overlay change.
            let overlay = &overlay.overlay;
            let domain_ms = overlay.clock.domain_ms(overlay.made_at_ms);
            let age_ms = (origin.clock.wall_ms() - built.list.generated_at_ms).max(0);
            let rung = rung_of(age_ms);
            let config = &origin.model.config;
            let body = hot::answer(&built.list, Some(overlay), &params, config, domain_ms, rung);
            Ok((body, age_ms, rung))
        })
        .await?;
    let source = Source {
        lifetime: Lifetime::HOT,
        age_ms: Some(age_ms),
        cache_tag: Some("list:hot"),
        rung: Some(rung),
    };
    Ok(answer::public(&headers, &source, body))
}

/// `GET /api/v1/similar/{item}`
pub(super) async fn similar(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = SimilarParams::parse(uri.query().unwrap_or(""))?;
    let item = path_id("item", last_segment(&uri))?;
    let tag = format!("list:similar,item:{}", header_safe(&item));
    let body = service
        .blocking(move |origin| {
            let stored = similar_stored(origin, &item)?;
            let overlay = origin.overlay.current();
            Ok(similar_body::answer(
                &stored,
                &params,
                Some(&overlay.overlay),
            )?)
        })
        .await?;
    let source = Source {
        lifetime: Lifetime::SIMILAR,
        age_ms: None,
        cache_tag: Some(&tag),
        rung: Some(Rung::Hot),
    };
    Ok(answer::public(&headers, &source, body))
}

/// `GET /api/v1/discover/suggested-users`
pub(super) async fn suggested(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = SuggestedParams::parse(query.as_deref().unwrap_or(""))?;
    let origin = service.origin()?;
    let subject = identity::subject(&headers, &origin.keys, origin.clock.wall_ms())?;
    let user = identity::agree(
        subject.as_deref(),
        params.user.as_deref(),
        service.plain_user,
    )?;
    let user = user
        .ok_or_else(|| Problem::parameter("user", "user is missing", "an id, or a signed token"))?;
    let body = service
        .blocking(move |origin| {
            let stored = suggested_stored(origin, &user)?;
            Ok(suggested_body::answer(&stored, &params)?)
        })
        .await?;
    let source = Source {
        lifetime: Lifetime::SUGGESTED,
        age_ms: None,
        cache_tag: None,
        rung: Some(Rung::Personal),
    };
    Ok(answer::public(&headers, &source, body))
}

/// `GET /api/v1/items`
pub(super) async fn items(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = ItemsParams::parse(query.as_deref().unwrap_or(""))?;
    let body = service
        .blocking(move |origin| {
            let stored = stored_items(origin, &params.ids)?;
            let find = |id: &str| stored.get(id).map(Vec::as_slice);
            let overlay = origin.overlay.current();
            Ok(items_body::answer(
                &params.ids,
                find,
                Some(&overlay.overlay),
            )?)
        })
        .await?;
    let source = Source {
        lifetime: Lifetime::ITEMS,
        age_ms: None,
        cache_tag: Some("list:items"),
        rung: Some(Rung::Hot),
    };
    Ok(answer::public(&headers, &source, body))
}

/// The hot list that the parameters name.
pub(super) fn hot_list(origin: &Origin, params: &HotParams) -> Arc<Built> {
    let filter = Filter::of(
        params.region.as_deref(),
        params.language.as_deref(),
        params.tag.as_deref(),
    );
    origin.hot.load().get(params.window, &filter)
}

/// Similar items as an edge stores them.
///
/// # Errors
///
/// 404 for an item that is not in the catalogue.
pub(super) fn similar_stored(origin: &Origin, item: &str) -> Result<Vec<u8>, Failure> {
    let entry = entry_of(origin, item)?;
    Ok(origin.similar.load().stored(&entry, &origin.catalogue))
}

#[derive(Serialize)]
struct SuggestedStored {
    items: Vec<Suggestion>,
}

/// Suggested users as an edge stores them.
///
/// # Errors
///
/// 503 where the store cannot be read.
pub(super) fn suggested_stored(origin: &Origin, user: &str) -> Result<Vec<u8>, Failure> {
    let snapshot = origin.store.read()?;
    let domain_ms = origin.clock.domain_ms();
    let items = origin
        .suggested
        .load()
        .suggest(&*snapshot, user, domain_ms)?;
    Ok(serde_json::to_vec(&SuggestedStored { items }).unwrap_or_default())
}

/// The objects of the items that exist, by id, as JSON.
///
/// # Errors
///
/// 503 where the store cannot be read.
pub(super) fn stored_items(
    origin: &Origin,
    ids: &[String],
) -> Result<HashMap<String, Vec<u8>>, Failure> {
    let snapshot = origin.store.read()?;
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        let state = read::item(&*snapshot, id)?;
        let alive = state.filter(|state| state.deleted_at_ms.is_none());
        if let Some(item) = alive.and_then(|state| state.item) {
            found.insert(id.clone(), object_of(&item));
        }
    }
    Ok(found)
}

fn object_of(item: &Item) -> Vec<u8> {
    serde_json::to_vec(item).unwrap_or_default()
}

/// The item in the catalogue.
///
/// # Errors
///
/// 404 where there is none.
fn entry_of(origin: &Origin, item: &str) -> Result<Arc<Entry>, Failure> {
    let entry = origin
        .catalogue
        .get(id_hash(item))
        .filter(|entry| entry.facts.id == item);
    entry.ok_or_else(|| Problem::not_found("there is no such item").into())
}

fn rung_of(age_ms: i64) -> Rung {
    if age_ms <= i64::from(Lifetime::HOT.stale_s) * 1_000 {
        Rung::Hot
    } else {
        Rung::HotStale
    }
}

/// The path's last segment, still percent-encoded.
pub(super) fn last_segment(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or("")
}

/// An id as part of a header: all but unreserved characters percent-encoded, as edges do.
fn header_safe(id: &str) -> String {
    let mut safe = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}
