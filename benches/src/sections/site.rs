//! An origin with a small site in it.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::workerd::{Server, origin, target};

/// Items of the site.
const ITEMS: usize = 4_000;
/// Authors of the site.
const AUTHORS: usize = 300;

/// A running origin and its directory.
pub(crate) struct Site {
    /// The origin.
    pub(crate) origin: Server,
    /// Its store.
    pub(crate) dir: tempfile::TempDir,
}

impl Site {
    /// Imports a site of 4,000 items, `users` users who follow 60 authors each, and a day of
    /// events; starts an origin on it with further arguments of `serve`.
    pub(crate) fn start(users: usize, arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("site.jsonl");
        std::fs::write(&path, jsonl(users, wall_ms()))?;
        let output = Command::new(target().join("release/edgewise"))
            .args(["import", "--format", "jsonl", "--data"])
            .arg(dir.path())
            .arg(&path)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self {
            origin: origin(dir.path(), arguments)?,
            dir,
        })
    }
}

/// Wall time, Unix ms.
pub(crate) fn wall_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |elapsed| elapsed.as_millis() as i64)
}

fn jsonl(users: usize, now_ms: i64) -> String {
    let mut text = String::new();
    let mut state = 42_u64;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for item in 0..ITEMS {
        let created = now_ms - below(70 * 3_600_000) as i64;
        text.push_str(&format!(
            "{{\"item\":{{\"id\":\"{}\",\"author\":\"a{}\",\"created_at\":{created},\"kind\":\"video\",\"duration_ms\":30000,\"tags\":[\"topic{}\",\"topic{}\"],\"title\":\"Item {item}\"}}}}\n",
            100_000 + item * 7,
            below(AUTHORS),
            below(10),
            10 + below(10),
        ));
    }
    for user in 0..users {
        for _ in 0..60 {
            text.push_str(&format!(
                "{{\"follow\":{{\"user\":\"u{user}\",\"author\":\"a{}\",\"ts_ms\":{}}}}}\n",
                below(AUTHORS),
                now_ms - 86_400_000
            ));
        }
    }
    for event in 0..users * 200 {
        let kind = ["impression", "view", "click", "like", "impression"][below(5)];
        // Other people than the users: their feeds keep all candidates.
        text.push_str(&format!(
            "{{\"event\":{{\"id\":\"e{event}\",\"type\":\"{kind}\",\"user\":\"v{}\",\"item\":\"{}\",\"ts_ms\":{},\"watch_ms\":20000}}}}\n",
            below(1_000),
            100_000 + below(ITEMS) * 7,
            now_ms - below(86_000_000) as i64,
        ));
    }
    text
}
