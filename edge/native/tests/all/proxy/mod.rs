//! The proxy over real sockets, before an origin that does what a test says.

mod hostile;
mod load;
mod rules;
mod stack;
