//! Every end-to-end test, in one binary: linking is slow.

mod bad_input;
mod browser;
mod client;
mod crash;
mod golden;
mod live;
mod outage;
mod parity;
mod purity;
mod rules;
mod servers;
mod site;
mod workerd;
