//! Who is in a recording or a demo's description.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// People that the page offers, of a recording.
const DEMO_USERS: usize = 12;
/// Lines of a recording that are looked at to find its users.
const LINES_LOOKED_AT: usize = 50_000;

/// The description `text` with its users replaced by frequent ones of the recording.
///
/// # Errors
///
/// Where the text is not a JSON object or the recording cannot be read.
pub(crate) fn demo_users(text: &str, recording: &Path) -> Result<String> {
    let mut demo: Value = serde_json::from_str(text).context("the demo's description")?;
    ensure!(demo.is_object(), "the demo's description is not an object");
    let users = frequent_users(recording, DEMO_USERS)?;
    if !users.is_empty() {
        demo["users"] = json!(users);
    }
    Ok(format!("{demo:#}\n"))
}

/// The users with most events among the recording's first lines, most first.
pub(super) fn frequent_users(recording: &Path, count: usize) -> Result<Vec<String>> {
    let file = File::open(recording)
        .with_context(|| format!("cannot open the recording {}", recording.display()))?;
    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    for line in BufReader::new(file).lines().take(LINES_LOOKED_AT) {
        let line = line.with_context(|| format!("cannot read {}", recording.display()))?;
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(user) = value["event"]["user"].as_str() {
            *events.entry(user.to_owned()).or_default() += 1;
        }
    }
    let mut users: Vec<(String, usize)> = events.into_iter().collect();
    users.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    users.truncate(count);
    Ok(users.into_iter().map(|(user, _)| user).collect())
}

/// The users of `demo.json`: ids, or objects with an `id`.
pub(super) fn described_users(description: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(description)
        .with_context(|| format!("cannot read {}", description.display()))?;
    let demo: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON", description.display()))?;
    let users = demo["users"].as_array().into_iter().flatten();
    let id = |user: &Value| Some(user.as_str().or_else(|| user["id"].as_str())?.to_owned());
    Ok(users.filter_map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_from_descriptions_and_recordings() {
        let path = std::env::temp_dir().join(format!("edgewise-users-{}", std::process::id()));
        let event = |user: &str| json!({ "event": { "user": user } }).to_string();
        let lines = [
            event("a"),
            event("b"),
            event("b"),
            "not JSON".to_owned(),
            event("c"),
        ];
        std::fs::write(&path, lines.join("\n")).expect("written");
        assert_eq!(frequent_users(&path, 2).expect("read"), ["b", "a"]);
        let demo = demo_users(r#"{"title":"T","users":[]}"#, &path).expect("an object");
        std::fs::write(&path, &demo).expect("written");
        assert_eq!(described_users(&path).expect("read"), ["b", "a", "c"]);
        std::fs::write(&path, r#"{"users":[{"id":"x"},"y",3]}"#).expect("written");
        assert_eq!(described_users(&path).expect("read"), ["x", "y"]);
        std::fs::remove_file(&path).expect("removed");
        assert!(demo_users("[]", &path).is_err());
        assert!(frequent_users(&path, 2).is_err());
    }
}
