//! The process under test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::eventually;
use crate::origin::{Origin, TOKEN};

/// Signs the tests' tokens.
pub(crate) const KEYS: &str = "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(crate) struct Edge {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// The command with its secrets, before a test's own options.
pub(crate) fn command(origin: &Origin) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgewise-edge"));
    command
        .env_clear()
        .env("EDGEWISE_ADMIN_TOKEN", TOKEN)
        .env("EDGEWISE_TOKEN_KEYS", KEYS)
        .args(["--origin", &origin.url(), "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--threads", "2"]);
    command
}

impl Edge {
    /// Starts it; `options` are added to those of [`command`] and `--plain-user allow`.
    pub(crate) fn start(origin: &Origin, options: &[&str]) -> Self {
        let mut options = options.to_vec();
        if !options.contains(&"--plain-user") {
            options.extend(["--plain-user", "allow"]);
        }
        let mut child = command(origin)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().expect("unpoisoned").push(line);
            }
        });
        let said = |field: &str| {
            let mut found = None;
            eventually(field, || {
                let lines = log.lock().expect("unpoisoned");
                found = lines.iter().find_map(|line| {
                    let value = line.split(field).nth(1)?.split(' ').next()?;
                    value.parse().ok()
                });
                found.is_some()
            });
            found.expect("it was said")
        };
        let (admin, address) = (said(" admin="), said(" listen="));
        Self {
            child,
            log,
            address,
            admin,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("unpoisoned").join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Stops it as a supervisor does.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.wait().success(), "{}", self.log());
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
