//! One file a section of the table.

mod bundle;
mod cache;
mod chaos;
mod drain;
mod edge;
mod freshness;
mod import;
mod ingest;
mod load;
mod ranking;
mod rows;
mod site;
mod training;
mod wasmtime_us;

use std::time::Instant;

use anyhow::Result;

use crate::table::Table;

type Section = fn(&mut Table) -> Result<()>;

/// Sections by name, in the order of the table.
pub(crate) const ALL: [(&str, Section); 13] = [
    ("ranking", ranking::run),
    ("bundle", bundle::run),
    ("edge", edge::run),
    ("cache", cache::run),
    ("ingest", ingest::run),
    ("rows", rows::run),
    ("import", import::run),
    ("load", load::run),
    ("drain", drain::postgres),
    ("memory", drain::memory),
    ("copy", drain::first_copy),
    ("mariadb", drain::mariadb),
    ("freshness", freshness::run),
];

/// Sections that take so long that they are run only where they are named.
pub(crate) const LONG: [(&str, Section); 1] = [("chaos", chaos::run)];

/// Rounds of 40 batches; the median round counts.
const ROUNDS: usize = 60;

/// Median over rounds of the mean over 40 rotating batches, µs.
fn native_us(mut run: impl FnMut(usize) -> u64) -> f64 {
    use edgewise_workloads::BATCHES;
    for index in 0..400 {
        std::hint::black_box(run(index));
    }
    let mut means: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for index in 0..BATCHES {
                std::hint::black_box(run(index));
            }
            started.elapsed().as_secs_f64() * 1e6 / BATCHES as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means[means.len() / 2]
}
