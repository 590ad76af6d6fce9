//! A seeded simulation of the apply loop: the real state machine between a simulated database
//! and a simulated store, under crashes, resends, lost acknowledgements and stalls.
//!
//! A seed is a schedule. What must hold after every step: nothing is acknowledged that is not
//! durable, and the remembered rows are exactly the database's rows at the stored position.
//! At the end the store has the database's rows, each counted once, and nothing is stuck.

mod chance;
mod consumer;
mod real;
mod row;
mod schedule;
mod seen;
mod source;
mod store;
mod tests;

/// A mistake that an implementation could make; each must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Acknowledges what was submitted, not what is durable.
    AcknowledgeAtSubmit,
    /// The store moves checkpoints without looking at what they were.
    SkipCompareAndSet,
    /// A position inside a transaction is taken for its end.
    ForgetOrdinals,
    /// The store counts every delivery of a row.
    ForgetRowMemory,
    /// Checkpoint and rows are two transactions, the checkpoint's first.
    CheckpointApart,
    /// After a reconnect the consumer goes on from where it was, not from what is stored.
    ResumeFromMemory,
    /// A redelivered message is applied again where it is delivered, at an older place.
    ForgetOverlap,
}

/// Every mutant.
pub(super) const MUTANTS: [Mutant; 7] = [
    Mutant::AcknowledgeAtSubmit,
    Mutant::SkipCompareAndSet,
    Mutant::ForgetOrdinals,
    Mutant::ForgetRowMemory,
    Mutant::CheckpointApart,
    Mutant::ResumeFromMemory,
    Mutant::ForgetOverlap,
];
