//! `cargo xtask demo`: everything between a behaviour event and a ranked page, on this machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::processes::{self, Process};
use crate::{Dataset, DemoOptions, build, community, movielens, paths, setup};

/// How long a demo's data stays believable as "now"; older community data is made anew.
const COMMUNITY_MAX_AGE: Duration = Duration::from_secs(12 * 3600);
/// Seed of the generated community.
const SEED: u64 = 42;
/// How often the demo fires the Worker's cron trigger (`wrangler dev` never does).
const CRON_EVERY: Duration = Duration::from_secs(120);
/// KuaiRand: the replay starts here (2022-05-05 00:00 UTC+8); earlier rows are history.
const KUAIRAND_NOW_MS: i64 = 1_651_680_000_000;
/// Where a run leaves the replay clock for the next.
const REPLAY_CLOCK: &str = "replay-clock";
/// MovieLens-100K: shortly after its last rating (1998-04-23).
const MOVIELENS_NOW_MS: i64 = 893_290_000_000;

/// Runs the demo until Ctrl-C or `--seconds`.
pub(crate) fn run(options: &DemoOptions) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    for (name, port) in [
        ("--edge-port", options.edge_port),
        ("--origin-port", options.origin_port),
    ] {
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            bail!("port {port} is taken: choose another with {name}");
        }
    }
    let started = Instant::now();
    step("setting up and building (minutes the first time, seconds after)");
    setup::for_build()?;
    build::edge()?;
    build::origin()?;
    let data = Data::prepare(options)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    step("starting origin and edge");
    let mut origin = start_origin(options, &data)?;
    let clock_started = Instant::now();
    let origin_url = format!("http://127.0.0.1:{}", options.origin_port);
    let ready = format!("{origin_url}/readyz");
    processes::wait_ready(&ready, Duration::from_secs(60), || {
        alive(&mut origin, &data, &stop)
    })?;
    let mut edge = start_edge(options, &data)?;
    let edge_url = format!("http://127.0.0.1:{}", options.edge_port);
    let ready = format!("{edge_url}/readyz");
    processes::wait_ready(&ready, Duration::from_secs(60), || {
        alive(&mut edge, &data, &stop)
    })?;
    let traffic = data.traffic(&edge_url, &origin_url, options.speed, &stop)?;

    println!(
        "ready: edge {edge_url}  origin {origin_url}  ({:.1?})",
        started.elapsed()
    );
    println!("       {}; logs in {}", data.note, data.dir.display());
    println!("       Ctrl-C stops everything");
    if !options.no_open {
        open(&edge_url);
    }
    let end = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut next_note = Instant::now();
    let mut next_cron = Instant::now() + Duration::from_secs(5);
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
        origin
            .check()
            .and_then(|()| edge.check())
            .with_context(|| data.logs_hint())?;
        if Instant::now() >= next_cron {
            fire_cron(&edge_url);
            next_cron = Instant::now() + CRON_EVERY;
        }
        if Instant::now() >= next_note {
            data.remember(clock_started.elapsed(), options.speed)?;
            next_note = Instant::now() + Duration::from_secs(1);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Relaxed);
    println!("stopping");
    drop(traffic);
    drop(edge);
    drop(origin);
    Ok(())
}

fn clock(now_ms: i64, speed: f64) -> Vec<String> {
    vec![
        "--now".into(),
        now_ms.to_string(),
        "--speed".into(),
        speed.to_string(),
    ]
}

fn step(text: &str) {
    eprintln!("demo: {text}");
}

fn alive(process: &mut Process, data: &Data, stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        bail!("stopped while starting");
    }
    process.check().with_context(|| data.logs_hint())
}

/// The demo's data directory, filled.
struct Data {
    dir: PathBuf,
    dataset: Dataset,
    /// Arguments of `serve` that set the replay clock.
    clock: Vec<String>,
    note: String,
    admin_token: String,
    admin_port: u16,
    /// Where the replay clock starts, domain Unix ms.
    now_ms: i64,
    /// Rows to replay (KuaiRand), JSON lines.
    replay: Option<PathBuf>,
}

impl Data {
    fn prepare(options: &DemoOptions) -> Result<Self> {
        let dataset = options.dataset;
        let (name, note) = match dataset {
            Dataset::Community => ("community", "a generated community with live traffic"),
            Dataset::Kuairand => ("kuairand", "real short-video impressions, replayed"),
            Dataset::Ml100k => ("ml-100k", "MovieLens-100K ratings"),
        };
        let base = options
            .data
            .clone()
            .unwrap_or_else(|| paths::root().join("data").join(name));
        fs::create_dir_all(&base)
            .with_context(|| format!("cannot make the data directory {}", base.display()))?;
        let dir = fs::canonicalize(base)?;
        let marker = dir.join("demo-filled");
        if marker.exists() && dataset == Dataset::Community && older(&marker, COMMUNITY_MAX_AGE) {
            step("the generated community is stale: making it anew");
            empty(&dir)?;
        }
        let mut data = Self {
            clock: Vec::new(),
            note: note.to_owned(),
            admin_token: secret(&dir, "admin-token")?,
            admin_port: free_port()?,
            now_ms: 0,
            replay: None,
            dataset,
            dir,
        };
        data.write_dev_vars(options)?;
        let filled = marker.exists();
        match dataset {
            Dataset::Community => data.community(filled)?,
            Dataset::Kuairand => data.kuairand(options, filled)?,
            Dataset::Ml100k => data.movielens(options, filled)?,
        }
        if !filled {
            fs::write(marker, "")?;
        }
        let description = data.dir.join("demo.json");
        if description.exists() {
            fs::copy(description, paths::root().join("edge/page/dist/demo.json"))?;
        }
        Ok(data)
    }

    fn community(&mut self, filled: bool) -> Result<()> {
        if filled {
            return Ok(());
        }
        step("generating the community");
        let jsonl = community::generate(&self.dir, SEED, wall_ms())?;
        self.import(&["--format", "jsonl"], &jsonl)?;
        fs::remove_file(jsonl)?;
        Ok(())
    }

    fn kuairand(&mut self, options: &DemoOptions, filled: bool) -> Result<()> {
        let replay = self.dir.join("replay.jsonl");
        if !filled {
            let path = options
                .path
                .clone()
                .unwrap_or_else(|| paths::root().join("../shared/data/kuairand"));
            if !path.join("impressions.parquet").exists() {
                bail!(
                    "no impressions.parquet in {}: say where KuaiRand is with --path",
                    path.display()
                );
            }
            let now = KUAIRAND_NOW_MS.to_string();
            self.import(&["--format", "kuairand", "--until", &now], &path)?;
            // What an interrupted start left behind: a conversion never overwrites.
            for name in ["replay.jsonl", "replay.jsonl.part"] {
                let left = self.dir.join(name);
                if left.exists() {
                    fs::remove_file(left)?;
                }
            }
            let mut convert = Command::new(paths::edgewise());
            convert.args([
                "import",
                "--format",
                "kuairand",
                "--after",
                &now,
                "--to-jsonl",
            ]);
            convert.arg(&replay).arg(&path).arg("--data").arg(&self.dir);
            processes::run("convert the rows to replay", &mut convert)?;
            let text = r#"{"dataset":"kuairand","generated":false,"title":"KuaiRand","note":"Real short-video impressions (KuaiRand-Pure, CC BY-SA 4.0), replayed.","users":["1","10","100"]}"#;
            fs::write(
                self.dir.join("demo.json"),
                community::demo_users(text, &replay)?,
            )?;
        }
        self.replay = Some(replay);
        self.now_ms = self.resumed(KUAIRAND_NOW_MS);
        self.clock = clock(self.now_ms, options.speed);
        Ok(())
    }

    fn movielens(&mut self, options: &DemoOptions, filled: bool) -> Result<()> {
        if !filled {
            let path = match &options.path {
                Some(path) => path.clone(),
                None => movielens::fetch(&self.dir)?,
            };
            self.import(&["--format", "movielens"], &path)?;
            let text = r#"{"dataset":"ml-100k","generated":false,"title":"MovieLens-100K","note":"Ratings of 1997 and 1998 by GroupLens Research.","users":["1","13","196","305","405","655"]}"#;
            fs::write(self.dir.join("demo.json"), text)?;
        }
        self.now_ms = self.resumed(MOVIELENS_NOW_MS);
        self.clock = clock(self.now_ms, 1.0);
        Ok(())
    }

    fn import(&self, arguments: &[&str], path: &Path) -> Result<()> {
        step("importing");
        let mut import = Command::new(paths::edgewise());
        import
            .arg("import")
            .args(arguments)
            .arg(path)
            .arg("--data")
            .arg(&self.dir);
        processes::run("import the data set", &mut import)
    }

    /// Secrets and addresses for `wrangler dev`, readable by this user only.
    fn write_dev_vars(&self, options: &DemoOptions) -> Result<()> {
        let keys = secret(&self.dir, "token-key")?;
        let vars = format!(
            "EDGEWISE_TOKEN_KEYS=demo:{keys}\nEDGEWISE_ADMIN_TOKEN={}\nEDGEWISE_ORIGIN=http://127.0.0.1:{}\n",
            self.admin_token, options.origin_port,
        );
        write_private(&self.dir.join("dev.vars"), &vars)
    }

    fn token_keys(&self) -> Result<String> {
        Ok(format!("demo:{}", secret(&self.dir, "token-key")?))
    }

    fn traffic(
        &self,
        edge: &str,
        origin: &str,
        speed: f64,
        stop: &Arc<AtomicBool>,
    ) -> Result<community::Traffic> {
        let description = self.dir.join("demo.json");
        let stop = Arc::clone(stop);
        match (self.dataset, &self.replay) {
            (Dataset::Kuairand, Some(replay)) => {
                community::Traffic::replay(edge, replay, self.now_ms, speed, stop)
            }
            (Dataset::Community, _) => {
                community::Traffic::start(edge, origin, &self.admin_token, SEED, wall_ms(), stop)
            }
            _ => community::Traffic::readers(edge, &description, stop),
        }
    }

    /// Where the last run's replay clock stood; `first_ms` on the first run. Time that went
    /// back would refuse what was counted already, and rank by events that are still to come.
    fn resumed(&self, first_ms: i64) -> i64 {
        let stood = fs::read_to_string(self.dir.join(REPLAY_CLOCK)).ok();
        stood
            .and_then(|text| text.trim().parse().ok())
            .map_or(first_ms, |at: i64| at.max(first_ms))
    }

    /// Remembers where the replay clock stands after `elapsed`.
    fn remember(&self, elapsed: Duration, speed: f64) -> Result<()> {
        if self.clock.is_empty() {
            return Ok(());
        }
        let speed = if self.replay.is_some() { speed } else { 1.0 };
        let at_ms = self.now_ms + (elapsed.as_secs_f64() * 1e3 * speed) as i64;
        Ok(fs::write(self.dir.join(REPLAY_CLOCK), at_ms.to_string())?)
    }

    fn logs_hint(&self) -> String {
        format!("see {0}/origin.log and {0}/edge.log", self.dir.display())
    }
}

fn start_origin(options: &DemoOptions, data: &Data) -> Result<Process> {
    let mut serve = Command::new(paths::edgewise());
    serve
        .arg("serve")
        .arg("--data")
        .arg(&data.dir)
        .args(&data.clock);
    serve.args(["--listen", &format!("127.0.0.1:{}", options.origin_port)]);
    serve.args(["--admin-listen", &format!("127.0.0.1:{}", data.admin_port)]);
    serve.env("EDGEWISE_AUTH__TOKEN_KEYS", data.token_keys()?);
    serve.env("EDGEWISE_AUTH__ADMIN_TOKEN", &data.admin_token);
    serve.env("EDGEWISE_AUTH__PLAIN_USER", "allow");
    Process::start("the origin", serve, &data.dir.join("origin.log"))
}

fn start_edge(options: &DemoOptions, data: &Data) -> Result<Process> {
    let mut wrangler = Command::new(paths::node_tool("node"));
    wrangler.arg(paths::root().join("node_modules/wrangler/bin/wrangler.js"));
    wrangler.args([
        "dev",
        "--local",
        "--ip",
        "127.0.0.1",
        "--show-interactive-dev-session=false",
    ]);
    wrangler.args([
        "--port",
        &options.edge_port.to_string(),
        "--inspector-port",
        "0",
    ]);
    wrangler.arg("--env-file").arg(data.dir.join("dev.vars"));
    wrangler.arg("--persist-to").arg(data.dir.join("wrangler"));
    wrangler.current_dir(paths::root());
    wrangler
        .env("WRANGLER_SEND_METRICS", "false")
        .env("EDGEWISE_BUILT", "1")
        .env("CI", "1");
    wrangler.env("PATH", path_with_node()?);
    Process::start("the edge", wrangler, &data.dir.join("edge.log"))
}

/// `PATH` with the pinned Node first.
pub(crate) fn path_with_node() -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = paths::root().join("node_modules/.bin");
    Ok(std::env::join_paths(
        std::iter::once(first).chain(std::env::split_paths(&path)),
    )?)
}

fn fire_cron(edge_url: &str) {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
    let agent: ureq::Agent = config.build().into();
    let url = format!("{edge_url}/cdn-cgi/handler/scheduled");
    std::thread::spawn(move || agent.get(url).call().map(|_| ()));
}

fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let quiet = std::process::Stdio::null;
    let _ = Command::new(opener)
        .arg(url)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
}

fn wall_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}

fn older(path: &Path, limit: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > limit))
}

/// Removes what a demo wrote into `dir`, nothing else.
fn empty(dir: &Path) -> Result<()> {
    for name in [
        "edgewise.redb",
        "demo-filled",
        "demo.json",
        "replay.jsonl",
        REPLAY_CLOCK,
        "serve.json",
    ] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    let wrangler = dir.join("wrangler");
    if wrangler.exists() {
        fs::remove_dir_all(wrangler)?;
    }
    Ok(())
}

/// A secret of this demo, made on first use: 32 random bytes in base64url.
fn secret(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(format!("demo-{name}"));
    if let Ok(known) = fs::read_to_string(&path) {
        return Ok(known);
    }
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 43];
    rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut bytes)?;
    let mut text: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect();
    // 43 base64url digits hold 258 bits: the last two must be zero.
    text.pop();
    text.push('A');
    write_private(&path, &text)?;
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
