//! A workload in wasmtime.

use std::time::Instant;

use anyhow::{Result, anyhow};
use edgewise_workloads::input::Input;
use edgewise_workloads::{BATCHES, Work};
use wasmtime::{Config, Engine, Instance, Module, Store, TypedFunc};

use super::ROUNDS;
use super::ranking::workloads;

/// Median over rounds of the mean over 40 rotating batches, µs; the digest of the results.
pub(super) fn wasmtime_us(work: Work, rows: usize, input: &Input) -> Result<(f64, u64)> {
    timed(work, rows, input).map_err(|error| anyhow!("wasmtime: {error:#}"))
}

fn timed(work: Work, rows: usize, input: &Input) -> wasmtime::Result<(f64, u64)> {
    let engine = Engine::new(&Config::new())?;
    let module = Module::from_file(&engine, workloads())?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let bytes = input.to_bytes();
    let length = u32::try_from(bytes.len())?;
    let buffer: TypedFunc<u32, u32> = instance.get_typed_func(&mut store, "input")?;
    let at = buffer.call(&mut store, length)?;
    let memory = instance.get_memory(&mut store, "memory");
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    memory.write(&mut store, at as usize, &bytes)?;
    let prepare: TypedFunc<(u32, u32), ()> = instance.get_typed_func(&mut store, "prepare")?;
    prepare.call(&mut store, (work as u32, u32::try_from(rows)?))?;
    let run: TypedFunc<u32, u64> = instance.get_typed_func(&mut store, "run")?;
    let indices = 0..BATCHES as u32;
    let mut means = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for index in indices.clone() {
            run.call(&mut store, index)?;
        }
        means.push(started.elapsed().as_secs_f64() * 1e6 / BATCHES as f64);
    }
    means.sort_by(f64::total_cmp);
    let mut check = 0;
    for index in indices {
        check ^= run.call(&mut store, index)?.wrapping_add(u64::from(index));
    }
    Ok((means[ROUNDS / 2], check))
}
