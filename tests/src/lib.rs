//! What end-to-end tests start: a real origin, the real Worker under `wrangler dev`, and the
//! database servers and brokers that the origin follows.
//!
//! Everything that is started dies with the test process, however it ends: each child
//! runs under a watcher that holds the other end of a pipe.

pub mod chaos;
pub mod http;
pub mod places;
pub mod servers;
pub mod shop;
pub mod stack;

/// Whether to go on without `what`: says that the test was skipped, or fails under
/// `EDGEWISE_REQUIRE_ALL=1`.
///
/// # Panics
/// Where everything is required.
pub fn skip(what: &str) {
    assert!(
        std::env::var_os("EDGEWISE_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "missing and required: {what}"
    );
    eprintln!("skipped: {what}");
}
