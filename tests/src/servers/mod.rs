//! Real servers for end-to-end tests and benches: PostgreSQL, MariaDB, a Kafka-protocol broker,
//! and a proxy that breaks connections between them and the origin.
//!
//! Each runs in a folder of its own, on a free port of the loopback interface. It dies, and its
//! folder goes, with the value that stands for it or with the test process, however that ends
//! ([`Folder`]). `start` says that the server is missing ([`crate::skip`]) and returns `None`
//! where it is not installed; `cargo xtask setup` installs all of them.

mod daemon;
mod folder;
mod kafka;
mod mariadb;
mod postgres;
mod proxy;
mod session;
mod standby;
mod tls;
mod topics;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use folder::Folder;
pub use kafka::Kafka;
pub use mariadb::{MariaDb, MariaDbConfig};
pub use postgres::{Auth, Postgres, PostgresConfig, Stop, Version};
pub use proxy::{Counts, FaultProxy};
pub use session::{NULL, Rows, Session};
pub use tls::{Certificates, Tls};
pub use topics::{Message, Topics};

use crate::places;

/// Lowest port that servers get. The range lies below the ephemeral one, so that no outgoing
/// connection takes the port of a server that is being restarted.
const FIRST_PORT: u16 = 15_000;
/// How many ports there are to choose from.
const PORTS: u16 = 16_000;

/// A free port of the loopback interface that this process has not given out before.
///
/// # Panics
/// Where none is free.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |since| since.subsec_nanos());
    // Processes start at different places, so that they do not race for the same ports.
    let start = (nanos / 1_000).wrapping_add(std::process::id().wrapping_mul(7_919));
    for step in 0..u32::from(PORTS) {
        let offset = start.wrapping_add(step) % u32::from(PORTS);
        let port = FIRST_PORT + u16::try_from(offset).expect("below the number of ports");
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port from {FIRST_PORT} on");
}

/// `promtool`, which checks Prometheus rules; where there is none, says so.
#[must_use]
pub fn promtool() -> Option<PathBuf> {
    let found = places::program("promtool", &[places::tools().join("prometheus/usr/bin")]);
    if found.is_none() {
        crate::skip("no promtool (`cargo xtask setup` installs it): rules were not checked");
    }
    found
}

/// `pg_recvlogical` of PostgreSQL 15: the raw drain of a slot.
#[must_use]
pub fn pg_recvlogical() -> Option<PathBuf> {
    places::program("pg_recvlogical", &[postgres::debian(15)])
}
