//! Gradient-boosted trees: what they are, and evaluators laid out for speed.

mod ensemble;
mod forest;
#[cfg(test)]
mod laws;
mod naive;
#[cfg(test)]
mod random;
#[cfg(test)]
mod refusals;
mod sliced;

pub use ensemble::{
    CATEGORY_WORDS_MAX, Child, Ensemble, EnsembleError, FEATURES_MAX, LEAVES_MAX, LEAVES_TOTAL_MAX,
    Library, Link, Node, TREES_MAX, Test, Tree,
};
pub use forest::{Forest, Layout};
