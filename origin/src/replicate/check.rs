//! What a check of a source found: for people on a terminal and as JSON.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Following cannot start, or would stop.
    Error,
    /// It works, but slower or less safely than it could.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `server`, `table public.posts`, `slot edgewise_main` ...
    pub object: String,
    /// What was found, a sentence.
    pub problem: String,
    /// What puts it right: SQL, or a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

/// What a check of one source found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In the order they were found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Something that keeps the source from being followed.
    pub fn error(
        &mut self,
        object: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Severity::Error, object, problem, Some(fix.into()));
    }

    /// Something that should be put right.
    pub fn warning(
        &mut self,
        object: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Severity::Warning, object, problem, Some(fix.into()));
    }

    /// Something good to know.
    pub fn info(&mut self, object: impl Into<String>, problem: impl Into<String>) {
        self.push(Severity::Info, object, problem, None);
    }

    /// Adds a finding.
    pub fn push(
        &mut self,
        severity: Severity,
        object: impl Into<String>,
        problem: impl Into<String>,
        fix: Option<String>,
    ) {
        self.findings.push(Finding {
            severity,
            object: object.into(),
            problem: problem.into(),
            fix: fix.filter(|fix| !fix.is_empty()),
        });
    }

    /// Adds what another report found.
    pub fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// How many findings there are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let of = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(of).count()
    }

    /// Whether anything keeps the source from being followed.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// For a terminal: the worst first, aligned, each fix on lines of its own so that it can be
/// copied.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        let width = |finding: &&Finding| finding.object.chars().count();
        let width = findings.iter().map(width).max().unwrap_or(0);
        for finding in findings {
            let Finding {
                severity,
                object,
                problem,
                fix,
            } = finding;
            writeln!(f, "{:<7}  {object:<width$}  {problem}", severity.word())?;
            for line in fix.iter().flat_map(|fix| fix.lines()) {
                writeln!(f, "{:<7}  {:<width$}  fix: {line}", "", "")?;
            }
        }
        f.write_str(&self.summary())
    }
}

impl Report {
    fn summary(&self) -> String {
        let mut text = String::new();
        let counts = [
            (Severity::Error, "error", "errors"),
            (Severity::Warning, "warning", "warnings"),
        ];
        for (severity, one, many) in counts {
            let count = self.count(severity);
            let separator = if text.is_empty() { "" } else { ", " };
            let noun = if count == 1 { one } else { many };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{count} {noun}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_is_aligned_and_its_fixes_can_be_copied() {
        let mut report = Report::default();
        report.info("server", "PostgreSQL 15.14");
        report.warning(
            "table public.likes",
            "it has no index on updated_at",
            "CREATE INDEX ON public.likes (updated_at);",
        );
        report.error(
            "server",
            "wal_level is replica, but must be logical",
            "ALTER SYSTEM SET wal_level = logical;\n-- then restart the server",
        );
        expect![[r"
            error    server              wal_level is replica, but must be logical
                                         fix: ALTER SYSTEM SET wal_level = logical;
                                         fix: -- then restart the server
            warning  table public.likes  it has no index on updated_at
                                         fix: CREATE INDEX ON public.likes (updated_at);
            info     server              PostgreSQL 15.14
            1 error, 1 warning"]]
        .assert_eq(&report.to_string());
        assert!(report.has_errors());
    }

    #[test]
    fn json_keeps_every_finding() {
        let mut report = Report::default();
        report.error("slot s", "it is in use by process 7", "");
        let json = serde_json::to_string(&report).expect("JSON");
        expect![[r#"{"findings":[{"severity":"error","object":"slot s","problem":"it is in use by process 7"}]}"#]]
            .assert_eq(&json);
        assert_eq!(serde_json::from_str::<Report>(&json).expect("back"), report);
    }
}
