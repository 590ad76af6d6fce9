//! How an event changes state.
