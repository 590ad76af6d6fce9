//! Schedules in numbers, and mistakes that they find.

use super::real::Real;
use super::schedule::World;
use super::seen::Seen;
use super::source::Protocol;
use super::store::Model;
use super::{MUTANTS, Mutant};

/// Set to a seed to run that one alone.
const SEED: &str = "EDGEWISE_SIMULATION_SEED";

fn run(seed: u64, protocol: Protocol, mutant: Option<Mutant>) -> Result<Seen, String> {
    let mut world = World::new(seed, protocol, mutant, Model::new(mutant));
    world.run()?;
    Ok(world.seen)
}

/// Runs `schedules` seeds and says how often what happened.
fn check(protocol: Protocol, schedules: u64) -> Seen {
    let seeds = match std::env::var(SEED) {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..schedules,
    };
    let mut all = Seen::default();
    for seed in seeds {
        match run(seed, protocol, None) {
            Ok(seen) => all.add(&seen),
            Err(error) => panic!("{protocol:?}, {SEED}={seed}: {error}"),
        }
    }
    all
}

/// Every kind of trouble happened often enough to mean something.
#[track_caller]
fn happened(counts: &[(&str, u64)], at_least: u64) {
    for (what, count) in counts {
        assert!(
            *count >= at_least || std::env::var(SEED).is_ok(),
            "{what}: {count} of {at_least}"
        );
    }
}

#[track_caller]
fn usual_trouble(seen: &Seen) {
    let counts = [
        ("conflicts", seen.conflicts),
        ("failed commits", seen.failed_commits),
        ("lost replies", seen.lost_replies),
        ("kills", seen.kills),
        ("disconnects", seen.disconnects),
        ("late commits", seen.late_commits),
        ("messages skipped", seen.skipped),
        ("backpressure", seen.full),
    ];
    happened(&counts, 1_000);
}

#[test]
fn postgres_counts_every_row_once_in_50_000_schedules() {
    let seen = check(Protocol::Postgres, 50_000);
    usual_trouble(&seen);
    let counts = [
        ("resumed inside a transaction", seen.resumed_inside),
        ("resumed copies", seen.resumed_copies),
        ("clears in steps", seen.clears_in_steps),
        ("lost acknowledgements", seen.lost_acknowledgements),
    ];
    happened(&counts, 1_000);
}

#[test]
fn binlog_counts_every_row_once_in_25_000_schedules() {
    let seen = check(Protocol::Binlog, 25_000);
    usual_trouble(&seen);
    let counts = [
        ("resumed inside an event", seen.resumed_inside),
        ("resumed copies", seen.resumed_copies),
        ("clears in steps", seen.clears_in_steps),
        ("second consumers", seen.second_consumers),
    ];
    happened(&counts, 1_000);
}

#[test]
fn kafka_counts_every_row_once_in_25_000_schedules() {
    let seen = check(Protocol::Kafka, 25_000);
    usual_trouble(&seen);
    happened(&[("second consumers", seen.second_consumers)], 1_000);
}

#[test]
fn the_real_store_counts_every_row_once_in_150_schedules() {
    for protocol in [Protocol::Postgres, Protocol::Binlog, Protocol::Kafka] {
        for seed in 0..50 {
            let mut world = World::new(seed, protocol, None, Real::new());
            if let Err(error) = world.run() {
                panic!("{protocol:?}, seed {seed}: {error}");
            }
        }
    }
}

#[test]
fn every_mutant_is_found() {
    let protocols = [Protocol::Postgres, Protocol::Binlog, Protocol::Kafka];
    for mutant in MUTANTS {
        let found = protocols.map(|protocol| {
            let fails = |seed: &u64| run(*seed, protocol, Some(mutant)).is_err();
            (0..300).filter(fails).count()
        });
        println!("{mutant:?} fails in {found:?} of 300 schedules of {protocols:?}");
        let least = found.into_iter().max().unwrap_or(0);
        assert!(
            least >= 5,
            "{mutant:?} is found in {found:?} schedules only"
        );
    }
}
