//! What the store knows of the source: its checkpoints, and how they move.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chunks::Chunk;
use super::error::PgError;
use super::position::{self, Lsn, PgPosition};
use super::tables::Signature;
use crate::ingest::rows::Move;
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::supervise::SourceContext;

/// Where the store stands in the log ([`PgPosition`]).
pub const STREAM: &str = "stream";
/// The slot that was created ([`SlotIdentity`](position::SlotIdentity)).
pub const SLOT: &str = "slot";
/// A slot that is about to be created ([`Intent`]).
pub const INTENT: &str = "slot-intent";
/// The chunks of a copy that is not complete ([`CopyPlan`]).
pub const PLAN: &str = "copy-plan";
/// Up to where the stream repeats what a copy has seen ([`CatchUp`]).
pub const CATCH_UP: &str = "catch-up";
/// Moves of one batch that only tidies up.
const TIDY_MAX: usize = 500;

/// The checkpoint of a table that is copied ([`Signature`]).
#[must_use]
pub fn copied(entry: &str) -> String {
    format!("copied/{entry}")
}

/// The checkpoint of a table that is not followed any more (the reason).
#[must_use]
pub fn stopped(entry: &str) -> String {
    format!("stopped/{entry}")
}

/// Said before a slot is created, so that one that nobody knows of can be told to be ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The cluster.
    pub system_id: String,
    /// The slot.
    pub slot: String,
    /// Where the server's log ended when no such slot existed.
    pub at: Lsn,
}

/// Chunks of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPlan {
    /// In the order in which they are read.
    pub chunks: Vec<Chunk>,
    /// What the tables were when they were cut, by entry.
    #[serde(default)]
    pub tables: BTreeMap<String, Signature>,
}

/// How far a chunk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Rows so far.
    pub rows: u64,
    /// Whether that is all.
    pub is_done: bool,
}

impl crate::replicate::apply::Position for Copied {
    fn encode(&self) -> Vec<u8> {
        position::encode(self)
    }
}

/// Until the stream is past this point, rows may be missing here that it speaks of, because a
/// copy after the slot's creation no longer met them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// The end of the server's log when the copy's snapshot was taken.
    pub until: Lsn,
}

/// The source's checkpoints as they are in the store.
pub struct Checkpoints(BTreeMap<String, Vec<u8>>);

impl Checkpoints {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn read(context: &SourceContext) -> Result<Self, PgError> {
        let snapshot = context.store.read()?;
        let found = crate::store::read::checkpoints(&*snapshot, &context.config.name)?;
        Ok(Self(found.into_iter().collect()))
    }

    /// A checkpoint's bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// What a checkpoint says.
    ///
    /// # Errors
    ///
    /// It is not what this version writes.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, PgError> {
        let bytes = self.bytes(name);
        bytes.map(|bytes| position::decode(name, bytes)).transpose()
    }

    /// The names under a prefix.
    pub fn names(&self, prefix: &str) -> impl Iterator<Item = &String> {
        self.0.keys().filter(move |name| name.starts_with(prefix))
    }

    /// The move of a checkpoint, which counts as done from now on.
    pub fn change(&mut self, name: &str, to: Option<Vec<u8>>) -> Move {
        let from = match &to {
            Some(bytes) => self.0.insert(name.to_owned(), bytes.clone()),
            None => self.0.remove(name),
        };
        Move {
            checkpoint: name.to_owned(),
            from,
            to,
        }
    }

    /// A chunk was copied by somebody else's applier.
    pub fn note(&mut self, name: String, bytes: Vec<u8>) {
        self.0.insert(name, bytes);
    }
}

/// Stores moves in one transaction, and the stream's position where there is one to store.
///
/// # Errors
///
/// The store does not take them.
pub async fn commit(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    moves: Vec<Move>,
    stream: Option<PgPosition>,
) -> Result<(), PgError> {
    let stored = checkpoints.bytes(STREAM).map(<[u8]>::to_vec);
    let config = ApplierConfig::new(&context.config.name, STREAM);
    let mut applier = Applier::new(
        context.writer.clone(),
        config,
        stored,
        context.metrics.clone(),
    );
    for further in moves {
        applier.also(further).await;
    }
    if let Some(position) = stream {
        checkpoints.note(STREAM.to_owned(), position::encode(&position));
        applier.advance(position, None).await?;
    }
    Ok(applier.flush().await?)
}

/// Removes checkpoints that say nothing any more.
///
/// # Errors
///
/// The store does not take it.
pub async fn tidy(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    prefix: &str,
) -> Result<(), PgError> {
    let names: Vec<String> = checkpoints.names(prefix).cloned().collect();
    for names in names.chunks(TIDY_MAX) {
        let moves = names
            .iter()
            .map(|name| checkpoints.change(name, None))
            .collect();
        commit(context, checkpoints, moves, None).await?;
    }
    Ok(())
}
