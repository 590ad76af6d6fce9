//! Every end-to-end test, in one binary: linking is slow.

mod bad_input;
mod browser;
mod chaos;
mod client;
mod crash;
mod golden;
mod live;
mod outage;
mod parity;
mod purity;
mod replicate;
mod replicate_altered;
mod replicate_altered_mariadb;
mod replicate_bad_mariadb;
mod replicate_bad_rows;
mod replicate_bad_source;
mod replicate_kafka;
mod replicate_operator;
mod replicate_poll;
mod replicate_recovery;
mod replicate_recovery_mariadb;
mod replicate_xa;
mod rules;
mod servers;
mod site;
mod workerd;
