//! An operator at work: an origin that follows what a mapping file says, the commands of
//! `edgewise`, and what both of them say when something is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::said::has_words;
use super::{Counts, Dialect, Said, fixes};
use crate::http::{eventually, get};
use crate::places;
use crate::servers::Session;
use crate::stack::Origin;

/// How long anything may take to be noticed, tried again or caught up with.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ids of the rows that tell when a stream has caught up.
const MARKERS: u64 = 1_000_000_000;

/// How much of what was committed has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it, once a row that was written after it is there: a log keeps its order.
    InOrder,
    /// All of it after some rounds: tables are asked one after the other.
    ByRounds,
}

/// A mapping file, a data directory, and an origin on them.
pub struct Operator {
    dir: tempfile::TempDir,
    /// The mapping file.
    pub mapping: PathBuf,
    /// The origin; [`Operator::new`] does not start it.
    pub origin: Origin,
    /// What must appear nowhere.
    secrets: Vec<String>,
    markers: u64,
}

impl Operator {
    /// Writes the mapping file. `secrets` are passwords in it, which must appear nowhere.
    ///
    /// # Panics
    /// Where files cannot be written.
    #[must_use]
    pub fn new(mapping: &str, secrets: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("replicate.toml");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        let origin = Origin::stopped(&data, &["--mapping", &path.to_string_lossy()]);
        let operator = Self {
            dir,
            mapping: path,
            origin,
            secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
            markers: MARKERS,
        };
        operator.map(mapping);
        operator
    }

    /// Like [`Operator::new`], with the origin running.
    #[must_use]
    pub fn following(mapping: &str, secrets: &[&str]) -> Self {
        let mut operator = Self::new(mapping, secrets);
        operator.run();
        operator
    }

    /// Starts the origin (again) and waits until it has loaded its data: commands and routes
    /// are refused before.
    #[track_caller]
    pub fn run(&mut self) {
        self.origin.run();
        eventually("the origin has loaded", PATIENCE, || {
            let answer = self.origin.admin("GET", "/admin/v1/replicate", None);
            (answer.status == 200).then_some(())
        });
    }

    /// Where files of the test may go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes another mapping.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn map(&self, mapping: &str) {
        std::fs::write(&self.mapping, mapping).expect("the mapping can be written");
    }

    /// Runs `edgewise` on the data directory.
    #[track_caller]
    #[must_use]
    pub fn edgewise(&self, arguments: &[&str]) -> Said {
        self.edgewise_with(arguments, &[])
    }

    /// Runs `edgewise` on the data directory, with further variables in its environment.
    ///
    /// # Panics
    /// Where it cannot be started, or says a secret.
    #[track_caller]
    #[must_use]
    pub fn edgewise_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = Command::new(places::edgewise());
        command.args(arguments).arg("--data").arg(&self.origin.data);
        command.current_dir(self.dir.path());
        command.envs(environment.iter().copied());
        let said = Said::new(&command.output().expect("edgewise can be started"));
        self.keeps_secrets(&said.all());
        said
    }

    /// `edgewise replicate check`: asserts that it finds an error with all these words (a word
    /// may be `this|or that`), and a way out; returns its findings.
    ///
    /// # Panics
    /// Where it finds none.
    #[track_caller]
    #[must_use]
    pub fn check_finds(&self, words: &[&str]) -> Value {
        let said = self.edgewise(&["replicate", "check", "--json"]);
        assert!(!said.ok, "check is content: {}", said.all());
        let report = said.json();
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let errors = findings
            .iter()
            .filter(|finding| finding["severity"] == "error");
        let found = errors
            .clone()
            .any(|finding| has_words(&finding.to_string(), words).is_ok());
        assert!(found, "check does not say {words:?}: {}", said.out);
        for finding in errors {
            // The way out is in the fix, or after the semicolon of the problem.
            let has_fix = finding["fix"].as_str().is_some_and(|fix| !fix.is_empty());
            let says_it = finding["problem"]
                .as_str()
                .is_some_and(|text| text.contains("; "));
            assert!(has_fix || says_it, "no way out: {finding}");
        }
        report
    }

    /// Asserts that `edgewise replicate check` finds no error; returns its findings.
    ///
    /// # Panics
    /// Where it does.
    #[track_caller]
    #[must_use]
    pub fn check_passes(&self) -> Value {
        let said = self.edgewise(&["replicate", "check", "--json"]);
        said.succeeded().json()
    }

    /// Runs the SQL that `edgewise replicate check` gives for each error, until there is none.
    /// Returns the statements.
    ///
    /// # Panics
    /// Where that does not help.
    #[track_caller]
    pub fn apply_fixes(&self, session: &mut Session) -> Vec<String> {
        let mut applied = Vec::new();
        for _ in 0..4 {
            let said = self.edgewise(&["replicate", "check", "--json"]);
            if said.ok {
                return applied;
            }
            for sql in fixes(&said.json(), "error") {
                session.sql(&sql);
                applied.push(sql);
            }
        }
        let said = self.edgewise(&["replicate", "check"]);
        panic!("{applied:?} did not help: {}", said.all());
    }

    /// How the source does, by the running origin.
    ///
    /// # Panics
    /// Where it follows none.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Value {
        let answer = self.origin.admin("GET", "/admin/v1/replicate", None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.keeps_secrets(&answer.text);
        answer.json()["sources"][0].clone()
    }

    /// Waits until the source's status is as wanted.
    ///
    /// # Panics
    /// Where it never is.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(found) = wanted(&status) {
                return found;
            }
            last.clone_from(&status);
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}: {last}\n{}",
                self.last_words()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the source is streaming (or polling).
    #[track_caller]
    pub fn wait_streaming(&self) {
        self.wait("streaming", |status| {
            (status["phase"] == "streaming").then_some(())
        });
    }

    /// Waits until the running origin says what is wrong (with the source or with one of its
    /// tables), in its status and its log, in all these words; it goes on serving meanwhile.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        self.wait(&format!("an error in the words {words:?}"), |status| {
            let said = format!(
                "{} {} {}",
                status["error"], status["remedy"], status["tables"]
            );
            has_words(&said, words).ok()
        });
        let live = get(&format!("{}/livez", self.origin.url));
        assert_eq!(live.status, 200, "the origin serves");
        eventually("the log says it too", PATIENCE, || {
            has_words(&self.log(), words).ok()
        });
    }

    /// Waits until a table has stopped for a reason in these words, while the source goes on.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn table_stops(&self, entry: &str, words: &[&str]) {
        self.wait(&format!("{entry} stops in the words {words:?}"), |status| {
            let stopped = status["tables"][entry]["stopped"].as_str()?;
            has_words(stopped, words).ok()
        });
        self.wait_streaming();
    }

    /// Tells the running origin to follow what the mapping file says now, as
    /// `edgewise replicate` does.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn follow(&self) {
        let body = json!({ "mapping": self.mapping });
        let answer = self
            .origin
            .admin("POST", "/admin/v1/replicate", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// `edgewise replicate resync --yes`, of one table or all.
    #[track_caller]
    pub fn resync(&self, table: Option<&str>) {
        let mut arguments = vec![
            "replicate",
            "resync",
            "--yes",
            "--mapping",
            "replicate.toml",
        ];
        if let Some(table) = table {
            arguments.extend(["--table", table]);
        }
        let _ = self.edgewise(&arguments).succeeded();
    }

    /// Waits until everything is applied that `session` committed before.
    ///
    /// # Panics
    /// Where it never is.
    #[track_caller]
    pub fn catch_up(&mut self, dialect: Dialect, session: &mut Session) {
        // Rows of a first copy come in no order.
        self.wait_streaming();
        self.markers += 1;
        let (marker, created) = (self.markers, dialect.moment("0"));
        session.sql(&format!(
            "insert into posts (id, author_id, title, created_at) values ({marker}, 1, 'marker', {created})"
        ));
        let path = format!("/admin/v1/items/{marker}");
        self.wait("caught up", |_| {
            (self.origin.admin("GET", &path, None).status == 200).then_some(())
        });
    }

    /// Compares every aggregate with what the database computes; the origin is stopped for it,
    /// in good order, and runs again afterwards. Returns what was counted.
    ///
    /// # Panics
    /// Where anything differs.
    #[track_caller]
    pub fn exact(&mut self, dialect: Dialect, session: &mut Session, settled: Settled) -> Counts {
        let tries = if settled == Settled::ByRounds { 8 } else { 1 };
        for attempt in 1..=tries {
            self.catch_up(dialect, session);
            self.origin.stop();
            let expected = Counts::of_database(dialect, session);
            let found = Counts::of_store(&self.origin.data);
            let differences = expected.differences(&found);
            assert!(
                attempt < tries || differences.is_empty(),
                "{}\n{}",
                differences.join("\n"),
                self.last_words()
            );
            self.run();
            if differences.is_empty() {
                self.keeps_secrets(&self.log());
                return found;
            }
        }
        unreachable!("the last try asserts");
    }

    /// The origin's log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.origin.data.join("origin.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of the origin's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// The lines of a metric.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> Vec<String> {
        let text = get(&format!("{}/metrics", self.origin.admin_url)).text;
        let of = |line: &&str| {
            let rest = line.strip_prefix(name);
            // A histogram's lines go on with `_bucket`, `_sum` and `_count`.
            rest.is_some_and(|rest| name.ends_with('{') || rest.starts_with(['{', ' ', '_']))
        };
        text.lines().filter(of).map(str::to_owned).collect()
    }

    /// The sum of a metric's lines that contain `label`.
    #[must_use]
    #[track_caller]
    pub fn metric_sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.metric(name);
        let of = lines.iter().filter(|line| line.contains(label));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    #[track_caller]
    fn keeps_secrets(&self, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret), "a password is shown: {text}");
        }
    }
}
