//! An origin and an edge on free ports of the loopback interface.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, eventually, get, try_send};
use crate::places;
pub use crate::servers::free_port;

/// Bearer token of `/internal` and `/admin` in tests.
pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789abcdef";
/// Token keys in tests: 32 bytes of base64url under the id `test`.
pub const TOKEN_KEYS: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Bytes of an origin's log that are shown where it does not answer.
const LOG_SHOWN: usize = 3_000;

/// A child process group that dies with this process.
pub struct Watched(Child);

impl Watched {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &Command, log: &Path) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log can be written");
        // When this process ends, `cat` sees the end of the pipe and the group is killed.
        let script = r#""$@" </dev/null & cat >/dev/null; kill -KILL 0"#;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        if let Some(dir) = command.get_current_dir() {
            shell.current_dir(dir);
        }
        shell
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a file handle"));
        Self(
            shell
                .stderr(out)
                .process_group(0)
                .spawn()
                .expect("sh can be started"),
        )
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`, `TERM`) to the whole group but the watcher;
    /// after `KILL`, returns when the processes are gone.
    ///
    /// # Panics
    /// Where nothing is there to be signalled.
    pub fn signal(&self, signal: &str) {
        if signal == "KILL" {
            self.end(signal);
        } else {
            self.send(signal);
        }
    }

    /// Sends a signal that ends the processes, and returns when they are gone.
    ///
    /// # Panics
    /// Where nothing is there to be signalled, or is still there after 30 s.
    pub fn end(&self, signal: &str) {
        let signalled = self.send(signal);
        eventually("the processes are gone", Duration::from_secs(30), || {
            // A zombie has no executable any more, and holds no lock.
            signalled
                .iter()
                .all(|exe| exe.read_link().is_err())
                .then_some(())
        });
    }

    fn send(&self, signal: &str) -> Vec<PathBuf> {
        let group = self.0.id().to_string();
        let listing = Command::new("ps")
            .args(["-eo", "pid=,pgid=,comm="])
            .output();
        let listing = String::from_utf8(listing.expect("ps runs").stdout).expect("ps prints text");
        let mut signalled = Vec::new();
        for line in listing.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [pid, pgid, name] = words[..] else {
                continue;
            };
            if pgid == group && !["sh", "cat"].contains(&name) {
                let kill = Command::new("kill")
                    .args([&format!("-{signal}"), pid])
                    .status();
                if kill.is_ok_and(|status| status.success()) {
                    signalled.push(PathBuf::from(format!("/proc/{pid}/exe")));
                }
            }
        }
        assert!(!signalled.is_empty(), "no process to signal");
        signalled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A running origin.
pub struct Origin {
    /// Its store.
    pub data: PathBuf,
    /// Its base URL.
    pub url: String,
    /// Its admin port's base URL.
    pub admin_url: String,
    arguments: Vec<String>,
    port: u16,
    admin_port: u16,
    process: Option<Watched>,
}

impl Origin {
    /// Starts an origin on the store in `data`, with further arguments of `serve`.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut origin = Self::stopped(data, arguments);
        origin.run();
        origin
    }

    /// One that does not run yet.
    #[must_use]
    pub fn stopped(data: &Path, arguments: &[&str]) -> Self {
        let (port, admin_port) = (free_port(), free_port());
        Self {
            data: data.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            admin_url: format!("http://127.0.0.1:{admin_port}"),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            port,
            admin_port,
            process: None,
        }
    }

    /// Starts the process (again), on the same ports, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not within 30 s.
    pub fn run(&mut self) {
        let mut serve = Command::new(places::edgewise());
        serve
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(&self.arguments);
        serve.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        serve.args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)]);
        serve.env("EDGEWISE_AUTH__TOKEN_KEYS", TOKEN_KEYS);
        serve.env("EDGEWISE_AUTH__ADMIN_TOKEN", ADMIN_TOKEN);
        serve.env("EDGEWISE_AUTH__PLAIN_USER", "allow");
        let url = format!("{}/livez", self.url);
        // A process that was killed may hold the database or the port a moment longer (its last
        // thread is still in a write): a supervisor starts the next one again, and so does this.
        for _ in 0..6 {
            self.process = None;
            self.process = Some(Watched::start(&serve, &self.data.join("origin.log")));
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                let answer = try_send("GET", &url, &[], None);
                if answer.is_ok_and(|answer| answer.status == 200) {
                    // It listens before it has loaded, and answers 503 until then.
                    eventually("the origin has loaded", Duration::from_secs(60), || {
                        let answer = self.admin("GET", "/admin/v1/stats", None);
                        (answer.status != 503).then_some(())
                    });
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let log = std::fs::read_to_string(self.data.join("origin.log")).unwrap_or_default();
        panic!(
            "the origin does not answer: {}",
            log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
        );
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal("KILL");
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("TERM");
        }
    }

    /// Sends a signal: `STOP` hangs it, `CONT` wakes it, `TERM` asks it to end.
    pub fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// A request with the admin token.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body.map(Value::to_string);
        let (url, body) = (format!("{}{path}", self.url), body.as_ref());
        try_send(method, &url, &headers, body.map(String::as_bytes))
            .unwrap_or_else(|error| panic!("{method} {url}: {error}\n{}", self.log_end()))
    }

    /// The last lines that it logged.
    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.data.join("origin.log")).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_SHOWN);
        let log = log.get(log.ceil_char_boundary(from)..);
        log.unwrap_or_default().to_owned()
    }

    /// Waits until its source has been copied and its changes are followed: a row committed
    /// afterwards comes after everything that was there before.
    ///
    /// # Panics
    /// Where that takes longer than `limit`.
    #[track_caller]
    pub fn streams(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.admin("GET", "/admin/v1/replicate", None);
            if answer.text.contains("streaming") {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the first copy is not done within {limit:?}: {}\n{}",
                answer.text,
                self.log_end()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Upserts items.
    ///
    /// # Panics
    /// Where the origin refuses them.
    #[track_caller]
    pub fn upsert(&self, items: &[Value]) {
        for some in items.chunks(500) {
            let answer = self.admin("PUT", "/admin/v1/items", Some(&json!({ "items": some })));
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(answer.json()["rejected"], json!([]), "{}", answer.text);
        }
    }
}

/// A running edge: the real Worker in workerd, under `wrangler dev`.
pub struct Edge {
    /// Its base URL.
    pub url: String,
    /// Its log.
    pub log: PathBuf,
    _process: Watched,
}

impl Edge {
    /// Starts an edge of the origin at `origin_url`; state goes into `dir`. Further
    /// variables are `NAME=value`.
    ///
    /// # Panics
    /// Where it does not answer within 60 s.
    #[must_use]
    pub fn start(dir: &Path, origin_url: &str, variables: &[&str]) -> Self {
        let port = free_port();
        let vars = dir.join("dev.vars");
        let mut text = format!(
            "EDGEWISE_TOKEN_KEYS={TOKEN_KEYS}\nEDGEWISE_ADMIN_TOKEN={ADMIN_TOKEN}\nEDGEWISE_ORIGIN={origin_url}\n"
        );
        for variable in variables {
            text.push_str(variable);
            text.push('\n');
        }
        std::fs::write(&vars, text).expect("dev.vars can be written");
        let mut wrangler = Command::new(places::node());
        wrangler.arg(places::root().join("node_modules/wrangler/bin/wrangler.js"));
        wrangler.args([
            "dev",
            "--local",
            "--ip",
            "127.0.0.1",
            "--inspector-port",
            "0",
        ]);
        wrangler.args([
            "--show-interactive-dev-session=false",
            "--port",
            &port.to_string(),
        ]);
        wrangler
            .arg("--env-file")
            .arg(&vars)
            .arg("--persist-to")
            .arg(dir.join("wrangler"));
        wrangler.current_dir(places::root());
        wrangler
            .env("WRANGLER_SEND_METRICS", "false")
            .env("EDGEWISE_BUILT", "1")
            .env("CI", "1");
        let log = dir.join("edge.log");
        let process = Watched::start(&wrangler, &log);
        let url = format!("http://127.0.0.1:{port}");
        eventually("the edge answers", Duration::from_secs(60), || {
            let livez = format!("{url}/livez");
            try_send("GET", &livez, &[], None)
                .ok()
                .filter(|answer| answer.status == 200)
        });
        Self {
            url,
            log,
            _process: process,
        }
    }

    /// `GET path`.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.url))
    }
}
