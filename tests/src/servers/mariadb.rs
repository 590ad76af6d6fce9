//! A private MariaDB server.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::Signal;

use super::daemon::{self, Daemon, last_words};
use super::folder::Folder;
use super::free_port;
use super::postgres::Stop;
use super::session::{Dialect, Rows, Session};
use super::tls::{Certificates, Tls};
use crate::{places, skip};

/// How often a start is tried where a server of before still holds the port.
const STARTS: usize = 20;

/// What a server is like.
#[derive(Clone, Debug, Default)]
pub struct MariaDbConfig {
    /// Encryption.
    pub tls: Tls,
    /// Further arguments of `mariadbd`, after those that make a replication source of it
    /// (`--binlog-row-metadata=FULL`, `--skip-log-bin`, `--binlog-format=STATEMENT`).
    pub arguments: Vec<String>,
}

/// A running MariaDB server with a row binlog.
pub struct MariaDb {
    // Declared in the order in which they have to go: client, server, folder.
    session: Mutex<Option<Session>>,
    daemon: Option<Daemon>,
    folder: Folder,
    config: MariaDbConfig,
    program: PathBuf,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// Its certificates, where it speaks TLS.
    pub certificates: Option<Certificates>,
}

impl MariaDb {
    /// Who replicates: may read everything and follow the binlog.
    pub const USER: &'static str = "edgewise";
    /// Their password.
    pub const PASSWORD: &'static str = "test-password";

    /// Starts a new server with a row binlog of full images.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(MariaDbConfig::default())
    }

    /// Starts a new server; where it is not installed, says so.
    #[must_use]
    pub fn start_with(config: MariaDbConfig) -> Option<Self> {
        let program = places::program("mariadbd", &[PathBuf::from("/usr/sbin")]);
        let install = places::program("mariadb-install-db", &[]);
        let (Some(program), Some(install)) = (program, install.filter(|_| client().is_some()))
        else {
            skip("no MariaDB (`cargo xtask setup` installs it)");
            return None;
        };
        let folder = Folder::new("mariadb");
        let data = folder.subfolder("data");
        let mut install = Command::new(install);
        install.arg("--no-defaults").arg("--datadir").arg(&data);
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        // A server that starts removes what others have in a folder that they share.
        install.env("TMPDIR", folder.subfolder("tmp"));
        daemon::run(&folder, &mut install);
        let certificates = match config.tls {
            Tls::Off => None,
            Tls::Offered | Tls::Required => Some(Certificates::make(&folder)?),
        };
        let mut server = Self {
            session: Mutex::new(None),
            daemon: None,
            folder,
            config,
            program,
            port: free_port(),
            certificates,
        };
        server.run();
        let (user, password) = (Self::USER, Self::PASSWORD);
        server.sql(&format!(
            "create user {user}@'%' identified by '{password}';
             grant select, reload, replication slave, replication client on *.* to {user}@'%';
             create database app character set utf8mb4"
        ));
        Some(server)
    }

    /// `mysql://…` of a database; there is one called `app`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// The same behind another port: a [`super::FaultProxy`]'s.
    #[must_use]
    pub fn url_at(&self, port: u16, database: &str) -> String {
        let (user, password) = (Self::USER, Self::PASSWORD);
        format!("mysql://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Where data and log are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Runs statements as root on the connection that is kept for it.
    ///
    /// # Panics
    /// Where one fails.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> Rows {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// Runs statements as root, connecting (again) where needed.
    ///
    /// # Errors
    /// What the server says.
    pub fn try_sql(&self, sql: &str) -> Result<Rows, String> {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get_or_insert_with(|| self.connect());
        let answer = session.try_sql(sql);
        // 2002, 2006, 2013: no server, gone away, lost.
        let gone = [
            "the client is gone",
            "ERROR 2002",
            "ERROR 2006",
            "ERROR 2013",
        ];
        if answer
            .as_ref()
            .is_err_and(|error| gone.iter().any(|sign| error.contains(sign)))
        {
            *kept = None;
        }
        answer
    }

    /// A further connection as root, for statements that run at the same time.
    #[must_use]
    pub fn connect(&self) -> Session {
        let mut client = Command::new(client().expect("looked for at the start"));
        client.args([
            "--no-defaults",
            "--batch",
            "--skip-column-names",
            "--unbuffered",
        ]);
        client.args([
            "--force",
            "--skip-reconnect",
            "--default-character-set=utf8mb4",
        ]);
        client.args(["--user=root", "--socket"]).arg(self.socket());
        Session::start(Dialect::MariaDb, &client)
    }

    /// Gives the next start other arguments of [`MariaDbConfig::arguments`].
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.config.arguments = arguments.iter().map(|&one| one.to_owned()).collect();
    }

    /// Stops and starts it on the same port.
    pub fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.run();
    }

    /// Stops it, if it runs; it knows no difference between [`Stop::Immediate`] and
    /// [`Stop::Kill`].
    ///
    /// # Panics
    /// Where it does not stop within 30 s.
    pub fn stop(&mut self, how: Stop) {
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match how {
            Stop::Fast => drop(daemon.stop(&self.folder, Signal::SIGTERM)),
            Stop::Immediate | Stop::Kill => daemon.kill(&self.folder),
        }
    }

    /// Starts it (again) and waits until it accepts connections.
    ///
    /// # Panics
    /// Where it does not within 30 s.
    pub fn run(&mut self) {
        for _ in 0..STARTS {
            self.daemon = None;
            let mut daemon = Daemon::start(&self.folder, &mut self.command());
            let address = ("127.0.0.1", self.port);
            if daemon.wait_ready(&self.folder, |_| TcpStream::connect(address).is_ok()) {
                self.daemon = Some(daemon);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("MariaDB ends: {}", last_words(self.folder.path()));
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn command(&self) -> Command {
        let mut server = Command::new(&self.program);
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        server.arg("--no-defaults");
        server.arg(option("tmpdir", &self.folder.path().join("tmp")));
        server.arg(option("datadir", &self.folder.path().join("data")));
        server.arg(option("socket", &self.socket()));
        server.arg(option("pid-file", &self.folder.path().join("pid")));
        server.args(["--bind-address=127.0.0.1", &format!("--port={}", self.port)]);
        server.args(["--skip-name-resolve", "--innodb-buffer-pool-size=128M"]);
        server.args([
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
        ]);
        server.args([
            "--server-id=7",
            "--gtid-strict-mode=1",
            "--log-slave-updates",
        ]);
        server.arg("--innodb-flush-log-at-trx-commit=1");
        if let Some(certificates) = &self.certificates {
            server.arg(option("ssl-ca", &certificates.authority));
            server.arg(option("ssl-cert", &certificates.certificate));
            server.arg(option("ssl-key", &certificates.key));
        }
        if self.config.tls == Tls::Required {
            server.arg("--require-secure-transport=1");
        }
        server.args(&self.config.arguments);
        server
    }
}

fn client() -> Option<PathBuf> {
    places::program("mariadb", &[])
}
