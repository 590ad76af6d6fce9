//! Imports into a real store.

mod kuairand;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::{Format, ImportError, ImportOptions, ImportReport, Notice, run, to_jsonl};
use crate::clock::Clock;
use crate::ingest::{Changes, Limits, Subscriber, Writer, WriterConfig};
use crate::store::RedbStore;

/// Remembers the last counters of every item, and how many items were written and deleted.
#[derive(Default)]
struct Watcher(std::sync::Mutex<Seen>);

#[derive(Clone, Default)]
struct Seen {
    counters: std::collections::BTreeMap<String, Counters>,
    written: std::collections::BTreeSet<String>,
    deleted: std::collections::BTreeSet<String>,
    follows: std::collections::BTreeSet<(String, u64)>,
}

impl Subscriber for Watcher {
    fn committed(&self, changes: &Changes) {
        let mut seen = self.0.lock().unwrap();
        for item in &changes.items {
            seen.counters.insert(item.id.clone(), item.counters);
            if item.item.is_some() {
                seen.written.insert(item.id.clone());
            }
            if item.deleted_at_ms.is_some() {
                seen.deleted.insert(item.id.clone());
            }
        }
        for follow in &changes.follows {
            let pair = (follow.user.clone(), follow.author);
            match follow.follows {
                true => seen.follows.insert(pair),
                false => seen.follows.remove(&pair),
            };
        }
    }
}

struct Bench {
    writer: Writer,
    watcher: Arc<Watcher>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let store = Arc::new(RedbStore::in_memory().unwrap());
        let watcher = Arc::new(Watcher::default());
        let hot = edgewise_ranking::config::RankingConfig::default().hot;
        let config = WriterConfig {
            hot,
            limits: Limits::default(),
        };
        let subscriber = Arc::clone(&watcher) as Arc<dyn Subscriber>;
        let clock = Clock::manual(1_700_000_000_000);
        let writer = Writer::start(store, clock, &config, subscriber).unwrap();
        Self {
            writer,
            watcher,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn import(&self, format: Format, path: &Path) -> Result<ImportReport, ImportError> {
        self.import_with(&ImportOptions::new(format, path))
    }

    fn import_with(&self, options: &ImportOptions) -> Result<ImportReport, ImportError> {
        run(options, &self.writer, &mut |_| {})
    }

    fn seen(&self) -> Seen {
        self.watcher.0.lock().unwrap().clone()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.writer.stop();
    }
}

fn event(n: u32, kind: &str, item: &str) -> String {
    format!(
        r#"{{"event":{{"id":"e{n}","type":"{kind}","user":"u{}","item":"{item}","author":"a","ts_ms":{}}}}}"#,
        n % 7,
        1_600_000_000_000_i64 + i64::from(n)
    )
}

fn sample() -> String {
    let mut lines = vec![
        r#"{"item":{"id":"v","author":"a","created_at":1600000000000,"title":"V"}}"#.to_owned(),
        r#"{"item":{"id":"w","author":"b","created_at":1600000000000,"title":"W"}}"#.to_owned(),
        r#"{"follow":{"user":"u","author":"a"}}"#.to_owned(),
        r#"{"follow":{"user":"u","author":"b"}}"#.to_owned(),
        r#"{"unfollow":{"user":"u","author":"b"}}"#.to_owned(),
        String::new(),
    ];
    lines.extend((0..30).map(|n| event(n, "impression", "v")));
    lines.extend((30..40).map(|n| event(n, "like", "v")));
    lines.push(r#"{"delete_item":{"id":"w"}}"#.to_owned());
    lines.join("\n")
}

#[test]
fn json_lines_arrive_once() {
    let bench = Bench::new();
    let path = bench.file("data.jsonl", sample());
    let first = bench.import(Format::Jsonl, &path).unwrap();
    assert_eq!(
        (first.items, first.follows, first.deleted, first.bad),
        (2, 3, 1, 0)
    );
    assert_eq!((first.rows, first.accepted, first.duplicate), (40, 40, 0));
    assert_eq!(first.events.get(EventType::Like), 10);
    let seen = bench.seen();
    let counters = seen.counters["v"];
    assert_eq!((counters.impressions, counters.likes), (30, 10));
    assert!(seen.deleted.contains("w") && !seen.deleted.contains("v"));
    assert_eq!(seen.follows.len(), 1);
    let again = bench.import(Format::Jsonl, &path).unwrap();
    assert_eq!(
        (again.accepted, again.duplicate, again.events),
        (0, 40, first.events)
    );
    assert_eq!(bench.seen().counters["v"], counters);
    // Another file is another source, even where it says the same.
    let other = bench.file("other.jsonl", sample() + "\n\n");
    assert_eq!(bench.import(Format::Jsonl, &other).unwrap().accepted, 40);
}

#[test]
fn an_import_goes_on_where_it_was() {
    let bench = Bench::new();
    let path = bench.file("data.jsonl", sample());
    let early = ImportOptions {
        until_ms: Some(1_600_000_000_025),
        ..ImportOptions::new(Format::Jsonl, &path)
    };
    let report = bench.import_with(&early).unwrap();
    assert_eq!((report.accepted, report.out_of_range), (25, 15));
    let rest = bench.import(Format::Jsonl, &path).unwrap();
    assert_eq!((rest.accepted, rest.duplicate), (15, 25));
    let counters = bench.seen().counters["v"];
    assert_eq!((counters.impressions, counters.likes), (30, 10));
}

#[test]
fn bad_lines_are_named_and_skipped() {
    let bench = Bench::new();
    let mut text = format!("{}\nnot JSON\n", event(1, "like", "v")).into_bytes();
    text.extend(vec![b'x'; 2 << 20]);
    text.extend(format!("\n\n{}\n", event(2, "love", "v")).into_bytes());
    text.extend(b"\xff\xfe\n".iter());
    text.extend(format!("{}\n", event(3, "like", "v")).into_bytes());
    let path = bench.file("data.jsonl", &text);
    let mut told = Vec::new();
    let options = ImportOptions::new(Format::Jsonl, &path);
    let report = run(&options, &bench.writer, &mut |notice| {
        if let Notice::Bad(bad) = notice {
            told.push((bad.line, bad.reason.clone()));
            assert_eq!(bad.file, path);
        }
    })
    .unwrap();
    assert_eq!((report.accepted, report.bad), (2, 4));
    assert_eq!(
        told.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [2, 3, 5, 6]
    );
    assert!(told[1].1.contains("1048576 bytes"), "{}", told[1].1);
    assert!(told[2].1.contains("type"), "{}", told[2].1);
    assert_eq!(report.bad_lines.len(), 4);
}

#[test]
fn too_many_bad_lines_stop_and_say_what_was_imported() {
    let bench = Bench::new();
    let text = format!(
        "{}\n1\n2\n3\n{}\n",
        event(1, "like", "v"),
        event(2, "like", "v")
    );
    let path = bench.file("data.jsonl", text);
    let options = ImportOptions {
        max_bad: 2,
        ..ImportOptions::new(Format::Jsonl, &path)
    };
    let error = bench.import_with(&options).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("data.jsonl:4:") && text.contains("1 counted now"),
        "{text}"
    );
    let ImportError::TooManyBad { report, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((report.accepted, report.bad), (1, 3));
    assert_eq!(bench.seen().counters["v"].likes, 1);
    // With a higher limit the same file goes on behind what was counted.
    let options = ImportOptions {
        max_bad: 3,
        ..options
    };
    let report = bench.import_with(&options).unwrap();
    assert_eq!((report.accepted, report.duplicate), (1, 1));
    let none = ImportOptions {
        max_bad: 0,
        ..options
    };
    assert!(matches!(
        bench.import_with(&none),
        Err(ImportError::TooManyBad { .. })
    ));
}

#[test]
fn missing_files_and_columns_stop_at_once() {
    let bench = Bench::new();
    let folder = bench.folder.path().to_owned();
    let error = |format, path: &Path| bench.import(format, path).unwrap_err().to_string();
    let says = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{text:?} has no {part:?}");
        }
    };
    says(
        error(Format::Jsonl, &folder.join("no.jsonl")),
        &["no.jsonl is missing", "JSON lines"],
    );
    says(error(Format::Jsonl, &folder), &["is not a regular file"]);
    says(
        error(Format::Kuairand, &folder.join("no")),
        &["no is missing", "videos.csv"],
    );
    says(
        error(Format::Kuairand, &folder),
        &["impressions.parquet is missing"],
    );
    let file = bench.file("impressions.parquet", "PAR1 this is none PAR1");
    says(
        error(Format::Kuairand, &folder),
        &["impressions.parquet is not a Parquet file"],
    );
    says(error(Format::Kuairand, &file), &["is not a folder"]);
    says(
        error(Format::Movielens, &folder),
        &["ml-100k.inter is missing"],
    );
    bench.file(
        "ml-100k.inter",
        "user_id:token\titem_id:token\ttimestamp:float\n",
    );
    let missing = ["ml-100k.inter has no column rating", "timestamp"];
    says(error(Format::Movielens, &folder), &missing);
    bench.file(
        "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
    );
    says(
        error(Format::Movielens, &folder),
        &["ml-100k.item is missing"],
    );
    bench.file(
        "ml-100k.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\n",
    );
    says(
        error(Format::Movielens, &folder),
        &["ml-100k.item has no column class"],
    );
    assert!(bench.seen().counters.is_empty() && bench.seen().written.is_empty());
}

#[test]
fn movielens_in_both_layouts() {
    let recbole = Bench::new();
    recbole.file(
        "ml-100k.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n\
         1\tToy Story\t1995\tAnimation Children's Comedy\nshort\n2\tGoldenEye\t1995\tAction\n",
    );
    recbole.file(
        "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
         196\t1\t5\t881250949\n186\t1\t3\t881250000\nx\t1\t3\t881250000\n196\t2\t4\t881250900\n",
    );
    let report = recbole
        .import(Format::Movielens, recbole.folder.path())
        .unwrap();
    assert_eq!((report.items, report.rows, report.bad), (2, 3, 2));
    assert_eq!(report.events.get(EventType::View), 3);
    assert_eq!(report.events.get(EventType::Like), 2);
    assert_eq!(report.bad_lines[0].line, 3);
    assert_eq!(report.bad_lines[1].line, 4);

    let grouplens = Bench::new();
    let flags = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0";
    grouplens.file(
        "u.item",
        format!("1|Toy Story (1995)|01-Jan-1995||http://x|{flags}\n"),
    );
    grouplens.file("u.data", "196\t1\t5\t881250949\n186\t1\t3\t881250000\n");
    let report = grouplens
        .import(Format::Movielens, grouplens.folder.path())
        .unwrap();
    assert_eq!((report.items, report.rows, report.bad), (1, 2, 0));
    let again = grouplens
        .import(Format::Movielens, grouplens.folder.path())
        .unwrap();
    assert_eq!((again.accepted, again.duplicate), (0, report.accepted));
    let likes = |bench: &Bench| bench.seen().counters["1"].likes;
    assert_eq!((likes(&recbole), likes(&grouplens)), (1, 1));
}

#[test]
fn a_conversion_imports_like_the_original() {
    let original = Bench::new();
    let path = original.file("data.jsonl", sample());
    original.import(Format::Jsonl, &path).unwrap();
    let options = ImportOptions::new(Format::Jsonl, &path);
    let mut lines = Vec::new();
    let report = to_jsonl(&options, &mut lines, &mut |_| {}).unwrap();
    assert_eq!((report.rows, report.accepted), (40, 0));
    let copy = Bench::new();
    let path = copy.file("copy.jsonl", &lines);
    assert_eq!(copy.import(Format::Jsonl, &path).unwrap().accepted, 40);
    assert_eq!(copy.seen().counters, original.seen().counters);
    assert_eq!(copy.seen().follows, original.seen().follows);
    assert_eq!(copy.seen().deleted, original.seen().deleted);
    // The part to replay has only events, and those from its time on.
    let after = ImportOptions {
        after_ms: Some(1_600_000_000_035),
        ..options
    };
    lines.clear();
    let report = to_jsonl(&after, &mut lines, &mut |_| {}).unwrap();
    assert_eq!((report.items, report.follows, report.rows), (0, 0, 5));
    assert_eq!(
        lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .count(),
        5
    );
}
