//! The feed: one page of a bundle's candidates, ranked for this user at this moment.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{
    Candidates, Context, Model, Placement, Query, Ranking, RankingConfig, id_hash, rank,
};
use edgewise_wire::api::Rung;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::cursor::Cursor;
use edgewise_wire::keys::Keys;
use edgewise_wire::overlay::Overlay;
use edgewise_wire::params::FeedParams;
use edgewise_wire::served::ServedSlot;
use edgewise_wire::session::Session;

use crate::effects::{Effects, Recent};
use crate::page;
use crate::prepared::Prepared;
use crate::session::{SessionStatus, subject_of};

/// Everything a page depends on beside its candidates.
#[derive(Clone, Copy)]
pub struct FeedInput<'a> {
    /// The request's validated parameters.
    pub params: &'a FeedParams,
    /// Who asks; `None` for a segment.
    pub user: Option<&'a str>,
    /// The session, opened (see [`crate::session::open`]).
    pub session: &'a Session,
    /// What became of the session's token.
    pub session_status: SessionStatus,
    /// The cursor, decoded for this subject; `None` on the first page.
    pub cursor: Option<&'a Cursor>,
    /// What changed since the bundle was made.
    pub overlay: Option<&'a Overlay>,
    /// Weights, caps and windows.
    pub config: &'a RankingConfig,
    /// The model that scores.
    pub model: &'a Model,
    /// Sign cursor and session.
    pub keys: &'a Keys,
    /// Wall time, Unix ms: what of the session is too old.
    pub wall_ms: i64,
    /// Domain time, Unix ms: ages.
    pub domain_ms: i64,
    /// Random; seeds the explore draw and names the page in events.
    pub request_id: [u8; 16],
    /// How the candidates were come by.
    pub rung: Rung,
    /// The region the request comes from, where the host knows it; a `region` asked for
    /// goes before it.
    pub region: Option<&'a str>,
    /// Offset from UTC of the zone the request comes from, minutes; a `tz` asked for goes
    /// before it.
    pub utc_offset_minutes: i32,
}

/// An answered page.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedOutcome {
    /// The JSON body.
    pub body: Vec<u8>,
    /// Items on the page.
    pub items: u32,
    /// Candidates that were ranked.
    pub candidates: u32,
    /// Explore slots that were drawn: to be logged at the origin.
    pub served: Vec<ServedSlot>,
    /// Numbers that were bad and took their default.
    pub degradations: u32,
}

/// Answers one page. `prepared` is as it was afterwards, but for its merged view.
///
/// `score` of an item reads back to the exact `f64`; it is `null` where it is not finite.
#[must_use]
pub fn answer(prepared: &mut Prepared, input: &FeedInput<'_>) -> FeedOutcome {
    let mut session = input.session.clone();
    session.prune(input.wall_ms);
    let effects = Effects::of(&session, &prepared.facts);
    let mut widened = input
        .overlay
        .and_then(|overlay| prepared.widened(overlay, input.config, &effects.follows));
    let (facts, current) = prepared.parts(input.overlay, input.config);
    let candidates = widened.as_mut().unwrap_or(current);
    let saved = effects.apply(candidates);
    let outcome = page_of(facts, candidates, &session, &effects, input);
    if let Some(saved) = saved {
        saved.restore(candidates);
    }
    outcome
}

fn page_of(
    facts: &Bundle,
    candidates: &Candidates,
    session: &Session,
    effects: &Effects,
    input: &FeedInput<'_>,
) -> FeedOutcome {
    let request_id = hex(input.request_id);
    let prior = f64::from(
        input
            .overlay
            .map_or(facts.completion_prior, |o| o.completion_prior),
    );
    let mut removed = Cow::Borrowed(facts.removed_items.as_slice());
    let excluded = input.params.exclude.iter().map(|id| id_hash(id));
    let unfollowed = effects.unfollowed_items(candidates);
    union(
        &mut removed,
        excluded
            .chain(unfollowed)
            .chain(effects.hidden_items.iter().copied()),
    );
    let mut hidden_authors = Cow::Borrowed(facts.hidden_authors.as_slice());
    union(&mut hidden_authors, effects.hidden_authors.iter().copied());
    let recent = Recent::of(session);
    let shown = input
        .cursor
        .map(|cursor| |hash: u64| cursor.shown.contains(hash));
    let query = Query {
        limit: input.params.limit,
        profile: input.params.profile,
        selection: input.params.selection,
        own_author: input.user.or(facts.user.as_deref()).map(id_hash),
        removed_items: &removed,
        hidden_authors: &hidden_authors,
        shown: shown.as_ref().map(|shown| shown as &dyn Fn(u64) -> bool),
        tag: input.params.tag.as_deref(),
        language: input.params.language.as_deref(),
        region: input.params.region.as_deref(),
        position: input.cursor.map_or(0, |cursor| cursor.position),
        recent_authors: input.cursor.map_or(&[], |cursor| &cursor.recent_authors),
        completion_prior: prior,
        context: Context {
            language: input.params.language.as_deref(),
            region: input.params.region.as_deref().or(input.region),
            utc_offset_minutes: input
                .params
                .utc_offset_minutes()
                .unwrap_or(input.utc_offset_minutes),
            session_authors: &recent.authors,
            session_tags: &recent.tags,
            vector: facts.user_vector,
        },
        admits: None,
    };
    let seed = id_hash(&request_id);
    let config = config_of(input);
    let ranking = rank(
        &query,
        candidates,
        input.model,
        &config,
        input.domain_ms,
        seed,
    );
    let page = page::Page {
        input,
        candidates,
        ranking: &ranking,
        query: &query,
        request_id: &request_id,
        made_at_ms: facts.made_at_ms,
        unfollows: &effects.unfollows,
        session,
        next_cursor: next_cursor(candidates, &ranking, input),
    };
    FeedOutcome {
        body: page.write().into_bytes(),
        items: u32::try_from(ranking.items.len()).unwrap_or(u32::MAX),
        candidates: ranking.eligible,
        served: served(candidates, &ranking, &request_id, input.domain_ms),
        degradations: ranking.degradations,
    }
}

/// The configuration that ranks. A hot list knows of its items only how hot they are, as the
/// formula reads it (see [`crate::hot::as_bundle`]): other heads have nothing to go by.
fn config_of<'a>(input: &FeedInput<'a>) -> Cow<'a, RankingConfig> {
    let is_hot_list = matches!(input.rung, Rung::Hot | Rung::HotStale);
    if is_hot_list && !input.config.blend.is_empty() {
        return Cow::Owned(RankingConfig {
            blend: Vec::new(),
            ..input.config.clone()
        });
    }
    Cow::Borrowed(input.config)
}

/// The cursor of the next page; `None` where this page took all there was.
fn next_cursor(
    candidates: &Candidates,
    ranking: &Ranking,
    input: &FeedInput<'_>,
) -> Option<String> {
    if ranking.eligible as usize <= ranking.items.len() {
        return None;
    }
    let mut cursor = input.cursor.cloned().unwrap_or_default();
    cursor.subject = subject_of(input.user);
    for ranked in &ranking.items {
        let row = ranked.row as usize;
        let author = candidates
            .author
            .get(row)
            .map_or(usize::MAX, |&author| author as usize);
        cursor.record(
            candidates.id_hashes.get(row).copied().unwrap_or(0),
            candidates.author_hashes.get(author).copied().unwrap_or(0),
        );
    }
    Some(cursor.encode(input.keys))
}

fn served(
    candidates: &Candidates,
    ranking: &Ranking,
    request_id: &str,
    at_ms: i64,
) -> Vec<ServedSlot> {
    let slots = ranking
        .items
        .iter()
        .filter_map(|ranked| match ranked.placement {
            Placement::Explore { propensity } => Some(ServedSlot {
                request_id: String::from(request_id),
                item: String::from(candidates.ids.get(ranked.row as usize)),
                position: ranked.position,
                propensity,
                at_ms,
            }),
            _ => None,
        });
    slots.collect()
}

/// Adds `more` to ascending hashes; copies them only where there is something to add.
fn union(hashes: &mut Cow<'_, [u64]>, more: impl Iterator<Item = u64>) {
    let mut more = more.peekable();
    if more.peek().is_some() {
        let hashes = hashes.to_mut();
        for hash in more {
            let at = hashes.partition_point(|&known| known < hash);
            hashes.insert(at, hash);
        }
    }
}

/// 32 lower-case hexadecimal digits.
fn hex(bytes: [u8; 16]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests;
