//! Sends a recording's events when they are due.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::api::Api;
use super::{Backoff, Shared, add};

/// Events are sent at this rhythm, not one by one.
const EVERY: Duration = Duration::from_millis(250);
/// The API's largest batch.
const MAX_BATCH: usize = 500;

/// A batch that nobody takes is left out, so that the rest still comes.
const MAX_TRIES: usize = 8;

/// A recording, at its place.
pub(super) struct Replayer {
    lines: Lines<BufReader<File>>,
    /// The first event that was not due yet.
    next: Option<(i64, Value)>,
    from_ms: i64,
    speed: f64,
}

impl Replayer {
    pub(super) fn open(path: &Path, from_ms: i64, speed: f64) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let lines = BufReader::new(file).lines();
        Ok(Self {
            lines,
            next: None,
            from_ms,
            speed,
        })
    }

    /// Until the recording ends or the traffic stops.
    pub(super) fn run(&mut self, shared: &Shared) {
        let api = Api::new(&shared.options.edge_url, None);
        let started = Instant::now();
        let mut backoff = Backoff::default();
        while shared.sleep(EVERY) {
            let elapsed_ms = started.elapsed().as_secs_f64() * 1000.0 * self.speed;
            let until_ms = self.from_ms.saturating_add(elapsed_ms as i64);
            let events = self.due(until_ms);
            if events.is_empty() {
                if self.next.is_none() {
                    return;
                }
                continue;
            }
            let body = json!({ "events": events });
            // An event's id counts once, so a batch that failed half way may be sent again.
            for _ in 0..MAX_TRIES {
                if !shared.sleep(backoff.after(send(shared, &api, &body))) {
                    return;
                }
                if backoff.is_clear() {
                    break;
                }
            }
        }
    }

    /// The next events up to a domain time, at most a batch.
    fn due(&mut self, until_ms: i64) -> Vec<Value> {
        let mut due = Vec::new();
        while due.len() < MAX_BATCH {
            match self.next.take().or_else(|| self.read()) {
                Some((ts_ms, event)) if ts_ms <= until_ms => due.push(event),
                later => {
                    self.next = later;
                    break;
                }
            }
        }
        due
    }

    /// The next line that is an event with a time.
    fn read(&mut self) -> Option<(i64, Value)> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            let mut line: Value = serde_json::from_str(&line).ok()?;
            let event = line["event"].take();
            Some((event["ts_ms"].as_i64()?, event))
        })
    }
}

fn send(shared: &Shared, api: &Api, body: &Value) -> bool {
    let answer = api.send("POST", "/api/v1/events", body);
    let tally = &shared.tally;
    add(
        if answer.is_ok() {
            &tally.answered
        } else {
            &tally.errors
        },
        1,
    );
    if let Ok(answer) = &answer {
        add(&tally.events, answer["accepted"].as_u64().unwrap_or(0));
    }
    answer.is_ok()
}
