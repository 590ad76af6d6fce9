//! Failing commits, full queues and killed processes: what was answered is counted, once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use edgewise_ranking::RankingConfig;
use edgewise_wire::api::{Event, EventType};

use super::testing::{NOW_MS, Rig, event};
use super::{
    Changes, Command, EventSource, Limits, SubmitError, Subscriber, WriteError, Writer,
    WriterConfig,
};
use crate::clock::Clock;
use crate::store::{RedbStore, Store, read};
use crate::verify::verify;

fn likes(store: &dyn Store, id: &str) -> u32 {
    let item = read::item(&*store.read().unwrap(), id).unwrap();
    item.map_or(0, |item| item.counters.likes)
}

#[test]
fn a_failed_commit_is_tried_again_and_counts_once() {
    let rig = Rig::new();
    rig.store.fail_before.store(1, Ordering::Relaxed);
    rig.store.fail_after.store(1, Ordering::Relaxed);
    let outcome = rig.events(vec![event("1", EventType::Like, "u", "i")]);
    assert_eq!(outcome.accepted + outcome.duplicate, 1);
    assert_eq!(likes(&*rig.store, "i"), 1);
    assert!(rig.writer.is_running());
    rig.check();
}

#[test]
fn a_disk_that_stays_full_stops_the_writer_and_loses_nothing() {
    let mut rig = Rig::new();
    rig.events(vec![event("1", EventType::Like, "u", "i")]);
    rig.store.fail_before.store(3, Ordering::Relaxed);
    let like = || vec![event("2", EventType::Like, "v", "i")];
    let command = Command::Events {
        events: like(),
        source: EventSource::Edge,
    };
    assert!(matches!(
        rig.writer.write(command),
        Err(WriteError::Store(_))
    ));
    assert_eq!(likes(&*rig.store, "i"), 1);
    rig.writer.stop();
    assert!(!rig.writer.is_running());
    let refused = rig.writer.submit(Command::DeleteUser("u".to_owned()));
    assert_eq!(refused.unwrap_err(), SubmitError::Stopped);
    rig.restart();
    assert_eq!(rig.events(like()).accepted, 1);
    assert_eq!(likes(&*rig.store, "i"), 2);
    rig.check();
}

/// Holds up the writer until the test lets go.
struct Gate(Mutex<()>);

impl Subscriber for Gate {
    fn committed(&self, _changes: &Changes) {
        drop(self.0.lock().unwrap());
    }
}

#[test]
fn a_full_queue_says_so_and_stopping_commits_what_waits() {
    let store: Arc<dyn Store> = Arc::new(RedbStore::in_memory().unwrap());
    let limits = Limits {
        queue_commands: 2,
        ..Limits::default()
    };
    let hot = RankingConfig::default().hot;
    let config = WriterConfig { hot, limits };
    let gate = Arc::new(Gate(Mutex::new(())));
    let clock = Clock::manual(NOW_MS);
    let held = gate.0.lock().unwrap();
    let subscriber = Arc::clone(&gate) as _;
    let writer = Writer::start(Arc::clone(&store), clock, &config, subscriber).unwrap();
    let submit = |n: u32| {
        let events = vec![event(&n.to_string(), EventType::Like, &n.to_string(), "i")];
        writer.submit(Command::Events {
            events,
            source: EventSource::Public,
        })
    };
    let mut replies = Vec::new();
    let mut n = 0;
    let refused = loop {
        n += 1;
        match submit(n) {
            Ok(reply) => replies.push(reply),
            Err(error) => break error,
        }
        // Once the writer waits at the gate with the first, two more fit.
        assert!(n < 1_000);
    };
    assert_eq!(refused, SubmitError::Overloaded);
    drop(held);
    writer.stop();
    let accepted = replies.len() as u32;
    for reply in replies {
        assert_eq!(reply.blocking_recv().unwrap().unwrap().accepted, 1);
    }
    let state = read::item(&*store.read().unwrap(), "i").unwrap().unwrap();
    assert_eq!(state.counters.likes, accepted);
}

/// Names the directory a killed process works in.
const CHILD_DIRECTORY: &str = "EDGEWISE_TEST_CHILD_DIRECTORY";
/// Names its first event.
const CHILD_FROM: &str = "EDGEWISE_TEST_CHILD_FROM";
/// Events that each of its commands brings.
const CHILD_BATCH: u64 = 3;

fn child_events(from: u64) -> Vec<Event> {
    let like = |n: u64| event(&n.to_string(), EventType::Like, &format!("u{n}"), "i");
    (from..from + CHILD_BATCH).map(like).collect()
}

/// The process that the next test kills; alone it has nothing to do.
#[test]
fn child_writes_until_it_is_killed() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else {
        return;
    };
    let mut from: u64 = std::env::var(CHILD_FROM).unwrap().parse().unwrap();
    let rig = Rig::on(RedbStore::open(Path::new(&directory)).unwrap());
    loop {
        rig.events(child_events(from));
        from += CHILD_BATCH;
        println!("answered {from}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_killed_process_has_counted_what_it_answered_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut answered = 0;
    for kill in 1..=6 {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("{module}::child_writes_until_it_is_killed"),
                "--nocapture",
            ])
            .env(CHILD_DIRECTORY, directory.path())
            .env(CHILD_FROM, answered.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut replies = 0;
        for line in lines {
            if let Some(upto) = line.strip_prefix("answered ") {
                answered = upto.parse::<u64>().unwrap();
                replies += 1;
                if replies == 3 * kill {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let report = verify(&store).unwrap();
        assert!(report.ok, "{:#?}", report.mismatches);
        // The last command may have been committed and not answered, never a part of it.
        let likes = u64::from(likes(&store, "i"));
        assert_eq!(likes, report.events);
        assert!(
            likes == answered || likes == answered + CHILD_BATCH,
            "{likes}, {answered}"
        );
        // The client sends what was not answered again.
        let rig = Rig::on(store);
        let outcome = rig.events(child_events(answered));
        assert_eq!(u64::from(outcome.accepted + outcome.duplicate), CHILD_BATCH);
        answered += CHILD_BATCH;
        assert_eq!(rig.check().events, answered);
        rig.writer.stop();
    }
}
