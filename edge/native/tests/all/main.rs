//! The process over sockets, before an origin that is scripted.

mod edge;
mod events;
mod herd;
mod hostile;
mod http;
mod lifecycle;
mod origin;
mod reading;
