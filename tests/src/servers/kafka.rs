//! A private Kafka-protocol broker (Tansu), in memory.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::{self, Daemon, last_words};
use super::folder::Folder;
use super::free_port;
use crate::{places, skip};

/// How often a start is tried where a broker of before still holds the port.
const STARTS: usize = 20;

/// A running broker. It keeps everything in memory: a restart empties it.
pub struct Kafka {
    daemon: Option<Daemon>,
    folder: Folder,
    program: PathBuf,
    advertised: u16,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
}

impl Kafka {
    /// Starts a broker; where there is none, says so.
    #[must_use]
    pub fn start() -> Option<Self> {
        let port = free_port();
        Self::start_at(port, port)
    }

    /// Starts a broker on `port` that sends its clients to the port `advertised`: that of a
    /// [`super::FaultProxy`] before it.
    #[must_use]
    pub fn start_at(port: u16, advertised: u16) -> Option<Self> {
        let Some(program) = places::program("tansu", &[places::tools().join("kafka")]) else {
            skip("no Kafka-protocol broker (`cargo xtask setup` fetches it)");
            return None;
        };
        let folder = Folder::new("kafka");
        let _ = folder.subfolder("data");
        // The server's account may not be let into the repository.
        let own = folder.path().join("tansu");
        std::fs::copy(program, &own).expect("the broker can be copied");
        let mut kafka = Self {
            daemon: None,
            folder,
            program: own,
            advertised,
            port,
        };
        kafka.run();
        Some(kafka)
    }

    /// `host:port`, as `bootstrap.servers` wants it: the advertised address.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.advertised)
    }

    /// Where its log is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// Where the broker refuses.
    pub fn topic(&self, name: &str, partitions: u32) {
        self.topics(&["create", "--partitions", &partitions.to_string(), name]);
    }

    /// Deletes a topic.
    ///
    /// # Panics
    /// Where the broker refuses.
    pub fn delete_topic(&self, name: &str) {
        self.topics(&["delete", name]);
    }

    fn topics(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.program);
        command.arg("topic").args(arguments).arg("--broker");
        command.arg(format!("tcp://127.0.0.1:{}", self.port));
        daemon::run(&self.folder, &mut command);
    }

    /// Kills it, if it runs; what it held is lost.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill(&self.folder);
        }
    }

    /// Starts it (again), empty, and waits until it accepts connections.
    ///
    /// # Panics
    /// Where it does not within 30 s.
    pub fn run(&mut self) {
        for _ in 0..STARTS {
            self.daemon = None;
            let mut broker = Command::new(&self.program);
            let address = |port: u16| format!("tcp://127.0.0.1:{port}");
            broker.args(["broker", "--storage-engine", "memory://tansu/"]);
            broker.args(["--listener-url", &address(self.port)]);
            broker.args(["--advertised-listener-url", &address(self.advertised)]);
            let mut daemon = Daemon::start(&self.folder, &mut broker);
            let address = ("127.0.0.1", self.port);
            if daemon.wait_ready(&self.folder, |_| TcpStream::connect(address).is_ok()) {
                self.daemon = Some(daemon);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the broker ends: {}", last_words(self.folder.path()));
    }
}
