//! HTTP caching rule by rule: each row is a rule of an RFC, run in virtual time against the core.

#[path = "conformance/driver.rs"]
mod driver;
#[path = "conformance/private.rs"]
mod private;
#[path = "conformance/row.rs"]
mod row;
#[path = "conformance/rows.rs"]
mod rows;
