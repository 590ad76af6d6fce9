//! The process over sockets, before an origin that is scripted.

mod edge;
mod events;
mod herd;
mod hostile;
mod http;
mod lifecycle;
mod origin;
mod proxy;
mod reading;
// The rules of RFC 9111, a row each: the same that `shared/cache` runs in virtual time.
#[path = "../../../../shared/cache/tests/conformance/row.rs"]
mod row;
#[path = "../../../../shared/cache/tests/conformance/rows.rs"]
mod rows;
