//! What operators ask: is it alive, ready, healthy, and which build is it.

use edgewise_wire::problem::Problem;
use lz4_flex::block::decompress_size_prepended;
use serde::Serialize;

use crate::abi::ABI_VERSION;
use crate::answer;
use crate::context::Step;
use crate::effect::Answer;
use crate::state::State;
use crate::stats::Stats;

/// `/livez`: the core runs.
pub(crate) fn live() -> Answer {
    Answer::new(200)
        .header("cache-control", "no-store")
        .body("text/plain", b"ok".to_vec())
}

/// `/readyz`: there is something to answer from.
pub(crate) fn ready(step: &mut Step<'_>) -> Option<Answer> {
    let has_data = |state: &State| state.overlay.current.is_some() || state.memory.len() > 0;
    if !has_data(step.state) && step.await_overlay(step.state.config.origin_cold_budget_ms) {
        return None;
    }
    Some(if has_data(step.state) {
        live()
    } else {
        answer::problem(&Problem::unavailable("this edge has no data yet", 1))
    })
}

/// `/healthz`: the isolate's state.
pub(crate) fn health(state: &State, wall_ms: i64) -> Answer {
    #[derive(Serialize)]
    struct Health<'a> {
        status: &'static str,
        overlay_age_ms: Option<i64>,
        overlay_position: Option<u64>,
        origin: &'static str,
        model: &'a str,
        entries: usize,
        bytes: usize,
        served_waiting: usize,
        served_dropped: u64,
        counts: Stats,
    }
    let overlay = state.overlay.current.as_ref();
    let model = state
        .models
        .serving(overlay.map(|overlay| &overlay.model), None);
    let health = Health {
        status: "ok",
        overlay_age_ms: state.overlay.age_ms(wall_ms),
        overlay_position: overlay.map(|overlay| overlay.position),
        origin: state.breaker.name(wall_ms),
        model: &model.model.version,
        entries: state.memory.len(),
        bytes: state.memory.bytes(),
        served_waiting: state.served.len(),
        served_dropped: state.served.dropped,
        counts: state.stats,
    };
    answer::json(serde_json::to_vec(&health).unwrap_or_default())
}

/// `/version`: package, interface and what the host named at init.
pub(crate) fn version(state: &State) -> Answer {
    #[derive(Serialize)]
    struct Version<'a> {
        name: &'static str,
        version: &'static str,
        abi: u32,
        build: &'a str,
    }
    let version = Version {
        name: "edgewise-edge",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        build: &state.config.build,
    };
    answer::json(serde_json::to_vec(&version).unwrap_or_default())
}

/// `edgewise_wire::OPENAPI` as `build.rs` compressed it.
const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.lz4"));

/// `/openapi.json`.
pub(crate) fn openapi() -> Answer {
    let document = decompress_size_prepended(OPENAPI).unwrap_or_default();
    Answer::new(200)
        .header("cache-control", "public, max-age=300")
        .body("application/json", document)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_openapi_document_is_the_one_of_the_origin() {
        let answer = super::openapi();
        assert_eq!(answer.body, edgewise_wire::OPENAPI.as_bytes());
    }
}
