//! What commands say, and what in it helps.

use std::process::Output;

use serde_json::Value;

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    pub(super) fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            ok: output.status.success(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Both outputs.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.all()))
    }

    /// Standard output as JSON lines.
    ///
    /// # Panics
    /// Where a line is no JSON.
    #[must_use]
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// Asserts that it succeeded.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.ok, "{}", self.all());
        self
    }
}

/// The SQL of a report's findings of this severity: statements that end with `;`.
#[must_use]
pub fn fixes(report: &Value, severity: &str) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .filter(|finding| finding["severity"] == severity)
        .filter_map(|finding| finding["fix"].as_str())
        .flat_map(|fix| fix.split_inclusive(';').map(str::trim).map(str::to_owned))
        .filter(|statement| statement.ends_with(';'))
        .collect()
}

/// Whether `text` has every word, whatever its case; `this|that` are two of which one does.
pub(super) fn has_words(text: &str, words: &[&str]) -> Result<(), String> {
    let text = text.to_lowercase();
    for word in words {
        let mut any = word.split('|').map(str::to_lowercase);
        if !any.any(|word| text.contains(&word)) {
            return Err(format!("{word:?} is not in {text}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_found_whatever_their_case_and_one_of_several_suffices() {
        assert!(has_words("Slot s is LOST", &["slot s", "lost|gone"]).is_ok());
        assert!(has_words("Slot s is lost", &["resync"]).is_err());
    }

    #[test]
    fn fixes_are_statements() {
        let report = json!({ "findings": [
            { "severity": "error", "fix": "ALTER TABLE t ADD PRIMARY KEY (id);" },
            { "severity": "error", "fix": "check the host" },
            { "severity": "warning", "fix": "CREATE INDEX ON t (a);" },
        ]});
        assert_eq!(
            fixes(&report, "error"),
            ["ALTER TABLE t ADD PRIMARY KEY (id);"]
        );
    }
}
