//! One run of a server: a child process that is signalled and waited for.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::folder::Folder;

/// How often a busy program is tried again.
const BUSY_TRIES: u32 = 100;

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at it.
const TICK: Duration = Duration::from_millis(5);

/// A running server process.
pub(super) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts `command` in the folder's `data`, its output appended to the folder's `log`.
    pub(super) fn start(folder: &Folder, command: &mut Command) -> Self {
        let log = folder.path().join("log");
        let out = File::options().create(true).append(true).open(log);
        let out = out.expect("the log can be written");
        let command = folder
            .confine(command)
            .current_dir(folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file handle"))
            .stderr(out)
            .process_group(0);
        // A program that was copied a moment ago is busy while a fork of another thread still
        // holds the copy open for writing.
        let mut child = command.spawn();
        for _ in 0..BUSY_TRIES {
            match &child {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    child = command.spawn();
                }
                _ => break,
            }
        }
        Self {
            child: child.expect("the server can be started"),
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready`; false where the process ended before.
    pub(super) fn wait_ready(&mut self, folder: &Folder, ready: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self) {
            if self.child.try_wait().expect("our own child").is_some() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the server is not ready: {}",
                last_words(folder.path())
            );
            std::thread::sleep(TICK);
        }
        true
    }

    /// Sends a signal to the process itself.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("ids are small");
        kill(Pid::from_raw(pid), signal).expect("our own child can be signalled");
    }

    /// Asks it to end and waits until it has, and whatever it left behind in the folder too.
    pub(super) fn stop(mut self, folder: &Folder, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "the server does not stop: {}",
                last_words(folder.path())
            );
            std::thread::sleep(TICK);
        };
        wait_empty(folder, deadline);
        status
    }

    /// `kill -9` of the process and all its children at once.
    pub(super) fn kill(mut self, folder: &Folder) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait_empty(folder, Instant::now() + PATIENCE);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The folder's guardian ends what this leaves.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGQUIT);
            let deadline = Instant::now() + Duration::from_secs(2);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(TICK);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Kills what is left in the folder and waits until it is gone.
fn wait_empty(folder: &Folder, deadline: Instant) {
    loop {
        let left = folder.processes();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        assert!(Instant::now() < deadline, "a process does not die");
        std::thread::sleep(TICK);
    }
}

/// The end of the server's log.
pub(super) fn last_words(folder: &Path) -> String {
    let log = std::fs::read(folder.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Runs a tool of the server to its end.
pub(super) fn run(folder: &Folder, command: &mut Command) {
    let output = folder.confine(command).stdin(Stdio::null()).output();
    let output = output.expect("the tool can be started");
    assert!(
        output.status.success(),
        "{:?} failed: {}{}",
        command.get_program(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
