//! The proxy over real sockets, before an origin that does what a test says.

#[path = "proxy/hostile.rs"]
mod hostile;
#[path = "proxy/load.rs"]
mod load;
#[path = "../../../shared/cache/tests/conformance/row.rs"]
mod row;
#[path = "../../../shared/cache/tests/conformance/rows.rs"]
mod rows;
#[path = "proxy/rules.rs"]
mod rules;
#[path = "proxy/stack.rs"]
mod stack;
