//! Internal routes: what edges fetch. Everything carries an entity tag.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use edgewise_wire::params::{HotParams, ItemsParams, path_id};
use edgewise_wire::problem::Problem;
use edgewise_wire::query::percent_decode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::lists::{hot_list, last_segment, similar_stored, stored_items, suggested_stored};
use super::{Failure, Service, answer};
use crate::candidates::Segment;

/// `GET /internal/v1/candidates/{user}`
pub(super) async fn candidates(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let user = path_id("user", last_segment(&uri))?;
    let cached = service
        .blocking(move |origin| Ok(origin.bundles.user(&user)?))
        .await?;
    Ok(answer::internal(
        &headers,
        &cached.etag,
        cached.bytes.clone(),
    ))
}

/// `GET /internal/v1/pools/{segment}`
pub(super) async fn pool(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let name = percent_decode(last_segment(&uri), false).ok();
    let segment = name
        .as_deref()
        .and_then(Segment::from_name)
        .ok_or_else(|| {
            let detail = "this is no segment";
            Problem::parameter("segment", detail, "all, region=<label> or language=<label>")
        })?;
    let cached = service
        .blocking(move |origin| Ok(origin.bundles.segment(&segment)))
        .await?;
    Ok(answer::internal(
        &headers,
        &cached.etag,
        cached.bytes.clone(),
    ))
}

/// `GET /internal/v1/overlay`
pub(super) async fn overlay(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let built = service
        .blocking(|origin| Ok(origin.overlay.current()))
        .await?;
    Ok(answer::internal(&headers, &built.etag, built.bytes.clone()))
}

/// `GET /internal/v1/lists/hot`
pub(super) async fn hot(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = HotParams::parse(query.as_deref().unwrap_or(""))?;
    let built = service
        .blocking(move |origin| Ok(hot_list(origin, &params)))
        .await?;
    Ok(answer::internal(&headers, &built.etag, built.bytes.clone()))
}

/// `GET /internal/v1/similar/{item}`
pub(super) async fn similar(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let item = path_id("item", last_segment(&uri))?;
    let body = service
        .blocking(move |origin| similar_stored(origin, &item))
        .await?;
    Ok(answer::internal_json(&headers, body))
}

/// `GET /internal/v1/suggested/{user}`
pub(super) async fn suggested(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let user = path_id("user", last_segment(&uri))?;
    let body = service
        .blocking(move |origin| suggested_stored(origin, &user))
        .await?;
    Ok(answer::internal_json(&headers, body))
}

/// `GET /internal/v1/items?ids=`: `{id: item or null}`
pub(super) async fn items(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = ItemsParams::parse(query.as_deref().unwrap_or(""))?;
    let body = service
        .blocking(move |origin| {
            let stored = stored_items(origin, &params.ids)?;
            let object = |id: &String| {
                let text = stored
                    .get(id)
                    .and_then(|item| std::str::from_utf8(item).ok());
                text.and_then(|text| RawValue::from_string(text.to_owned()).ok())
            };
            let map: BTreeMap<&str, Option<Box<RawValue>>> = params
                .ids
                .iter()
                .map(|id| (id.as_str(), object(id)))
                .collect();
            Ok(serde_json::to_vec(&map).unwrap_or_default())
        })
        .await?;
    Ok(answer::internal_json(&headers, body))
}

#[derive(Serialize)]
struct Warm<'a> {
    users: &'a [String],
}

/// `GET /internal/v1/warm`: the most active users.
pub(super) async fn warm(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    std::future::ready(()).await;
    let users = service.origin()?.warm.load_full();
    Ok(answer::value(StatusCode::OK, &Warm { users: &users }))
}

#[derive(Serialize)]
struct Pointer<'a> {
    stable: &'a str,
    canary: Option<&'a str>,
    canary_permille: u16,
}

/// `GET /internal/v1/model`: which model serves.
pub(super) async fn model(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    std::future::ready(()).await;
    let pointer = service.origin()?.model.pointer();
    let pointer = Pointer {
        stable: &pointer.stable,
        canary: pointer.canary.as_deref(),
        canary_permille: pointer.canary_permille,
    };
    Ok(answer::internal_json(
        &headers,
        serde_json::to_vec(&pointer).unwrap_or_default(),
    ))
}

/// `GET /internal/v1/models/{version}`: an immutable snapshot.
pub(super) async fn snapshot(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    std::future::ready(()).await;
    let model = &service.origin()?.model;
    let version = path_id("version", last_segment(&uri))?;
    if version != model.model.version {
        return Err(Problem::not_found("there is no such model").into());
    }
    let etag = edgewise_cache::etag(xxhash_rust::xxh3::xxh3_64(&model.snapshot));
    Ok(answer::internal(&headers, &etag, model.snapshot.clone()))
}
