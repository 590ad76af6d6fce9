//! `edgewise rank`: candidates given as JSON, ranked natively or by `edge.wasm`, so that anyone
//! can check a formula to the bit.

use std::path::Path;

use anyhow::Context;
use edgewise_ranking::feature::schema_hash;
use edgewise_wire::model::ModelSnapshot;

/// Largest input, bytes.
pub const MAX_INPUT_BYTES: u64 = 64 << 20;

/// The input with the trees of `heads` (`OBJECTIVE=PATH`) as its model.
///
/// # Errors
///
/// An argument is not of that form, a file is no model, or the input is no JSON object.
pub fn with_heads(input: Vec<u8>, heads: &[String]) -> anyhow::Result<Vec<u8>> {
    if heads.is_empty() {
        return Ok(input);
    }
    let read = |argument: &String| {
        let (name, path) = argument
            .split_once('=')
            .with_context(|| format!("--head {argument} is not OBJECTIVE=PATH"))?;
        Ok(crate::config::head(name, Path::new(path))?)
    };
    let heads = heads.iter().map(read).collect::<anyhow::Result<_>>()?;
    let snapshot = ModelSnapshot {
        schema_hash: schema_hash(),
        heads,
        ..ModelSnapshot::default()
    };
    let mut input: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&input).context("the input is no JSON object; correct the input")?;
    input.insert("model".to_owned(), snapshot.to_base64().into());
    Ok(serde_json::to_vec(&input)?)
}

/// Ranks with this binary's own code.
///
/// # Errors
///
/// The input is not `{query, candidates, config?, prior?}`.
pub fn native(input: &[u8]) -> anyhow::Result<String> {
    edgewise_serving::rank_json::rank(input)
        .map_err(|error| anyhow::anyhow!("{error}; correct the input"))
}

/// Ranks with `edge.wasm`, as an edge does.
///
/// # Errors
///
/// As [`native`], and where the module cannot be found, loaded or run within its limits.
#[cfg(not(feature = "wasm-engine"))]
pub fn wasm(_input: &[u8], _path: Option<&std::path::Path>) -> anyhow::Result<String> {
    anyhow::bail!("this build has no wasm engine; build with `--features wasm-engine`")
}

#[cfg(feature = "wasm-engine")]
pub use engine::wasm;

#[cfg(feature = "wasm-engine")]
mod engine {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;
    use std::time::Duration;

    use anyhow::{Context, anyhow, bail, ensure};
    use wasmtime::{Config, Engine, Instance, Module, Store, StoreLimits, StoreLimitsBuilder};

    /// Interface version that this host speaks.
    const ABI: u32 = 1;
    /// Memory of the module, bytes.
    const MEMORY_MAX: usize = 512 << 20;
    /// Instructions: minutes of work, so only a loop without end reaches it.
    const FUEL: u64 = 200_000_000_000;
    /// Wall time of the call.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Ranks with `edge.wasm`, as an edge does.
    ///
    /// # Errors
    ///
    /// As [`super::native`], and where the module cannot be found, loaded or run within its
    /// limits.
    pub fn wasm(input: &[u8], path: Option<&Path>) -> anyhow::Result<String> {
        let path = find(path)?;
        let mut config = Config::new();
        config.consume_fuel(true).epoch_interruption(true);
        let engine = Engine::new(&config).map_err(|error| anyhow!("wasmtime: {error}"))?;
        let module = Module::from_file(&engine, &path).map_err(|error| {
            anyhow!(
                "`{}` is not a module: {error:#}; build it again",
                path.display()
            )
        })?;
        let limits = StoreLimitsBuilder::new()
            .memory_size(MEMORY_MAX)
            .instances(1)
            .build();
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        store
            .set_fuel(FUEL)
            .map_err(|error| anyhow!("wasmtime: {error}"))?;
        store.set_epoch_deadline(1);
        let (done, over) = mpsc::channel::<()>();
        let watchdog = std::thread::Builder::new()
            .name("edgewise-deadline".to_owned())
            .spawn({
                let engine = engine.clone();
                move || {
                    if over.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                        engine.increment_epoch();
                    }
                }
            })?;
        let output = run(&mut store, &module, input);
        drop(done);
        let _ = watchdog.join();
        let text = String::from_utf8(output?).context("edge.wasm's answer is not UTF-8")?;
        // Lines of JSON, or one sentence.
        ensure!(
            text.is_empty() || text.starts_with('{'),
            "{text}; correct the input"
        );
        Ok(text)
    }

    fn run(
        store: &mut Store<StoreLimits>,
        module: &Module,
        input: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let trap = |error: wasmtime::Error| {
            anyhow!("edge.wasm stopped: {error:#}; rank fewer candidates, or build it again")
        };
        let instance = Instance::new(&mut *store, module, &[]).map_err(trap)?;
        let abi = instance
            .get_typed_func::<(), u32>(&mut *store, "edge_abi")
            .map_err(trap)?;
        let found = abi.call(&mut *store, ()).map_err(trap)?;
        ensure!(
            found == ABI,
            "edge.wasm speaks interface {found}, not {ABI}; build it again"
        );
        let memory = instance
            .get_memory(&mut *store, "memory")
            .context("edge.wasm exports no memory; build it again")?;
        let length = u32::try_from(input.len()).context("the input is too large")?;
        let buffer = instance
            .get_typed_func::<u32, u32>(&mut *store, "edge_input")
            .map_err(trap)?;
        let at = buffer.call(&mut *store, length).map_err(trap)?;
        memory
            .write(&mut *store, at as usize, input)
            .context("edge.wasm took no input")?;
        let rank = instance
            .get_typed_func::<u32, u32>(&mut *store, "edge_rank")
            .map_err(trap)?;
        let length = rank.call(&mut *store, length).map_err(trap)? as usize;
        let output = instance
            .get_typed_func::<(), u32>(&mut *store, "edge_output")
            .map_err(trap)?;
        let at = output.call(&mut *store, ()).map_err(trap)? as usize;
        let bytes = memory.data(&*store).get(at..at.saturating_add(length));
        Ok(bytes
            .context("edge.wasm's answer is outside its memory")?
            .to_vec())
    }

    /// The module: as told, as `EDGEWISE_WASM` says, beside the binary, or as built here.
    fn find(path: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(path) = path {
            return Ok(path.to_owned());
        }
        if let Some(path) = std::env::var_os("EDGEWISE_WASM") {
            return Ok(path.into());
        }
        let beside = std::env::current_exe()
            .ok()
            .and_then(|binary| Some(binary.parent()?.join("edge.wasm")));
        let built = ["target/edge/edge.wasm", "edge/worker/build/edge.wasm"].map(PathBuf::from);
        match beside.into_iter().chain(built).find(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => bail!(
                "edge.wasm is not here; build it with `cargo xtask build edge`, or name it with --wasm"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "wasm-engine")]
    use std::path::Path;

    #[test]
    fn bad_input_is_a_sentence_with_a_remedy() {
        let error = native(b"{}").expect_err("no candidates").to_string();
        assert!(
            error.contains("candidates") && error.contains("correct"),
            "{error}"
        );
    }

    #[cfg(feature = "wasm-engine")]
    #[test]
    fn a_missing_module_is_named() {
        let error = wasm(b"{}", Some(Path::new("/nowhere/edge.wasm"))).expect_err("missing");
        assert!(error.to_string().contains("/nowhere/edge.wasm"), "{error}");
    }
}
