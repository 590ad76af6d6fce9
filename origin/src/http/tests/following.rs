//! Admin routes of change data capture, on the real router and the real store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{NOW_MS, Site, item};
use crate::ingest::Command;
use crate::ingest::rows::{
    DeadLetter, Move, RowBatch, RowChanges, SourceCommand, StoredKey, TableId,
};
use crate::replicate::following::Following;
use crate::store::read;

const ENTRY: &str = "public.posts->items";

/// A site whose operator may follow sources, with a mapping file.
struct Operator {
    site: Site,
    folder: tempfile::TempDir,
}

impl Operator {
    fn new() -> Self {
        let site = Site::new();
        let origin = &site.origin;
        let (store, clock) = (Arc::clone(&origin.store), origin.clock.clone());
        let following = Following::new(store, origin.writer.clone(), clock);
        site.service.follows(Arc::new(following));
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { site, folder }
    }

    fn mapping(&self, filter: &str) -> PathBuf {
        let path = self.folder.path().join("replicate.toml");
        // Nobody listens on port 1.
        let text = format!(
            "[[source]]\nurl = \"postgres://app:s3cret@127.0.0.1:1/shop\"\nconnect_timeout_ms = 100\n\
             [[source.table]]\ntable = \"public.posts\"\nto = \"items\"\nid = \"id\"\n\
             author = \"author_id\"\ncreated_at = \"created_at\"\n{filter}"
        );
        std::fs::write(&path, text).expect("written");
        path
    }

    async fn private(&self, method: &str, path: &str, body: Value) -> super::Answer {
        self.site.private(method, path, body).await
    }

    async fn write(&self, command: Command) -> crate::ingest::Outcome {
        let reply = self.site.origin.writer.submit(command).expect("queued");
        reply.await.expect("answered").expect("committed")
    }

    /// Rows 1 to `count` of the table are refused.
    async fn refuse(&self, count: i64) {
        self.write(Command::Source(SourceCommand::Register {
            source: "main".to_owned(),
            tables: vec![ENTRY.to_owned()],
        }))
        .await;
        let letter = |n: i64| DeadLetter {
            source: "main".to_owned(),
            table: ENTRY.to_owned(),
            table_id: self.table().0,
            key: format!("id={n}"),
            row: Some(StoredKey::Int(n)),
            reason: format!("not_null: author_id of row {n} is NULL"),
            position: "0/16B3748".to_owned(),
            columns: json!({"id": n, "author_id": "a1", "created_at": "2026-01-01 00:00:00+00"})
                .to_string(),
            at_ms: NOW_MS,
        };
        let stream = Move {
            checkpoint: "stream".to_owned(),
            from: None,
            to: Some(vec![1]),
        };
        let batch = RowBatch {
            source: "main".to_owned(),
            moves: vec![stream],
            changes: RowChanges::default(),
            dead: (1..=count).map(letter).collect(),
        };
        assert_eq!(
            self.write(Command::Rows(Box::new(batch))).await.dead,
            count as u32
        );
    }

    fn table(&self) -> TableId {
        let snapshot = self.site.origin.store.read().expect("a snapshot");
        let tables = read::tables(&*snapshot, "main").expect("read");
        tables.first().expect("registered").0
    }

    /// Rows 1 to `count` count, as `mapping` says.
    async fn count(&self, count: i64, mapping: &PathBuf) {
        self.refuse(count).await;
        let body = json!({ "mapping": { "mapping": mapping } });
        let path = "/admin/v1/dead-letters/replay";
        let answer = self.private("POST", path, body).await;
        assert_eq!(answer.json()["applied"], json!(count));
    }

    /// Follows the mapping; returns how it does once its source was tried.
    async fn follow(&self, mapping: &PathBuf) -> Value {
        let body = json!({ "mapping": mapping });
        let answer = self.private("POST", "/admin/v1/replicate", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        for _ in 0..200 {
            let overview = self.private("GET", "/admin/v1/replicate", Value::Null);
            let overview = overview.await.json();
            if overview["sources"][0]["error"].is_string() {
                return overview;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the source was never tried");
    }

    /// What drifted from the mapping file as it is now.
    async fn drifts(&self, mapping: &PathBuf) -> Value {
        let body = json!({ "mapping": mapping });
        let path = "/admin/v1/replicate/drift";
        self.private("POST", path, body).await.json()
    }

    async fn letters(&self, query: &str) -> Vec<u64> {
        let path = format!("/admin/v1/dead-letters{query}");
        let answer = self.private("GET", &path, Value::Null).await;
        let json = answer.json();
        let letters = json["dead_letters"].as_array().expect("letters").iter();
        letters
            .map(|letter| letter["seq"].as_u64().expect("a number"))
            .collect()
    }
}

#[tokio::test]
async fn a_failing_source_is_told_and_takes_no_readiness_away() {
    let operator = Operator::new();
    operator.site.upsert(&[item(1, NOW_MS)]).await;
    let mapping = operator.mapping("");
    let body = json!({ "mapping": mapping });
    let answer = operator.private("POST", "/admin/v1/replicate", body).await;
    assert_eq!(answer.json(), json!({ "sources": ["main"] }));
    let mut text = String::new();
    for _ in 0..200 {
        let answer = operator
            .private("GET", "/admin/v1/replicate", Value::Null)
            .await;
        text = String::from_utf8(answer.body).expect("text");
        if text.contains("\"error\"") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(text.contains("\"error\""), "{text}");
    assert!(text.contains("app:***@127.0.0.1"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    operator.site.ok("/readyz").await;
}

#[tokio::test]
async fn mapping_files_that_are_no_good_are_refused_without_their_secrets() {
    let operator = Operator::new();
    let follow = |body: Value| operator.private("POST", "/admin/v1/replicate", body);
    follow(json!({ "mapping": "replicate.toml" }))
        .await
        .problem(400, "mapping");
    follow(json!({ "mapping": "/nowhere/replicate.toml" }))
        .await
        .problem(400, "mapping");
    follow(json!({ "mappnig": "/x" }))
        .await
        .problem(400, "body");
    let mapping = operator.mapping("to = \"users\"");
    let answer = follow(json!({ "mapping": mapping })).await;
    answer.problem(400, "mapping");
    let text = String::from_utf8(answer.body).expect("text");
    assert!(
        text.contains("line 10") && !text.contains("s3cret"),
        "{text}"
    );
    let unauthorised = operator
        .site
        .request("GET", "/admin/v1/replicate", &[], "")
        .await;
    assert_eq!(unauthorised.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn refused_rows_are_listed_replayed_and_dropped() {
    let operator = Operator::new();
    operator.refuse(4).await;
    assert_eq!(operator.letters("").await.len(), 4);
    assert_eq!(operator.letters("?limit=2").await.len(), 2);
    assert_eq!(
        operator
            .letters("?table=public.posts&reason=row%203")
            .await
            .len(),
        1
    );
    assert!(operator.letters("?source=other").await.is_empty());
    operator
        .private("GET", "/admin/v1/dead-letters?limit=0", Value::Null)
        .await
        .problem(400, "limit");

    let mapping = operator.mapping("where = \"id <> 2\"");
    let body = json!({ "mapping": { "mapping": mapping }, "letters": { "reason": "row" } });
    let answer = operator
        .private("POST", "/admin/v1/dead-letters/replay", body)
        .await;
    let done = answer.json();
    assert_eq!(
        (&done["applied"], &done["removed"]),
        (&json!(3), &json!(1)),
        "{done}"
    );
    assert!(
        operator.letters("").await.is_empty(),
        "what was replayed is no letter"
    );
    let shown = operator
        .private("GET", "/admin/v1/items/3", Value::Null)
        .await;
    assert_eq!(shown.json()["item"]["author"], "a1");
    let filtered = operator
        .private("GET", "/admin/v1/items/2", Value::Null)
        .await;
    assert_eq!(filtered.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rows_that_still_do_not_fit_stay_with_the_reason() {
    let operator = Operator::new();
    operator.refuse(2).await;
    let mapping = operator.mapping("[source.table.contract.columns.id]\nmin = 2");
    let body = json!({ "mapping": { "mapping": mapping } });
    let answer = operator
        .private("POST", "/admin/v1/dead-letters/replay", body)
        .await;
    let done = answer.json();
    assert_eq!(
        (&done["applied"], &done["kept_count"]),
        (&json!(1), &json!(1)),
        "{done}"
    );
    assert_eq!(operator.letters("").await.len(), 1);
    let body = json!({ "table": "public.posts" });
    let dropped = operator
        .private("POST", "/admin/v1/dead-letters/drop", body)
        .await;
    assert_eq!(dropped.json(), json!({ "dropped": 1 }));
}

#[tokio::test]
async fn a_resync_takes_back_what_was_counted_and_forgets_positions() {
    let operator = Operator::new();
    operator.refuse(2).await;
    let mapping = operator.mapping("");
    let body = json!({ "mapping": { "mapping": mapping } });
    operator
        .private("POST", "/admin/v1/dead-letters/replay", body)
        .await;
    let counted = |operator: &Operator| {
        let snapshot = operator.site.origin.store.read().expect("a snapshot");
        let checkpoints = read::checkpoints(&*snapshot, "main").expect("read").len();
        (
            read::tables(&*snapshot, "main").expect("read").len(),
            checkpoints,
        )
    };
    assert_eq!(counted(&operator), (1, 1));

    let resync = |table: Option<&str>| {
        let body = json!({ "mapping": mapping, "table": table });
        operator.private("POST", "/admin/v1/replicate/resync", body)
    };
    let answer = resync(Some("public.nothing")).await;
    answer.problem(400, "source");
    assert!(answer.json()["detail"].to_string().contains(ENTRY));
    let answer = resync(Some("public.posts")).await;
    assert_eq!(answer.json()["resynced"][0]["tables"], json!([ENTRY]));
    let state = counted(&operator);
    assert_eq!(state, (1, 1), "the stream goes on where it was");
    let shown = operator
        .private("GET", "/admin/v1/items/1", Value::Null)
        .await;
    assert!(shown.status == StatusCode::NOT_FOUND || !shown.json()["deleted_at"].is_null());
    resync(None).await;
    assert_eq!(counted(&operator).1, 0, "the positions are forgotten");
}

#[tokio::test]
async fn a_resync_that_was_cut_off_is_gone_on_with() {
    for (what, tables, checkpoints) in [("\"public.posts\"", 1, 1), ("null", 0, 0)] {
        let operator = Operator::new();
        operator.refuse(2).await;
        let body = json!({ "mapping": { "mapping": operator.mapping("") } });
        operator
            .private("POST", "/admin/v1/dead-letters/replay", body)
            .await;
        operator
            .write(Command::Rows(Box::new(RowBatch {
                source: "main".to_owned(),
                moves: vec![Move {
                    checkpoint: "resync".to_owned(),
                    from: None,
                    to: Some(what.as_bytes().to_vec()),
                }],
                ..RowBatch::default()
            })))
            .await;
        let origin = &operator.site.origin;
        let (store, writer) = (Arc::clone(&origin.store), origin.writer.clone());
        let finish = move || crate::replicate::resync::finish(&*store, &writer, "main");
        let done = tokio::task::spawn_blocking(finish).await;
        done.expect("no panic").expect("it is gone on with");
        let snapshot = origin.store.read().expect("a snapshot");
        let left = (
            read::tables(&*snapshot, "main").expect("read").len(),
            read::checkpoints(&*snapshot, "main").expect("read").len(),
        );
        assert_eq!(left, (tables, checkpoints), "{what}");
        let shown = operator
            .private("GET", "/admin/v1/items/1", Value::Null)
            .await;
        assert!(shown.status == StatusCode::NOT_FOUND || !shown.json()["deleted_at"].is_null());
    }
}

#[tokio::test]
async fn a_mapping_that_changed_is_said_until_the_table_is_counted_anew() {
    let operator = Operator::new();
    let mapping = operator.mapping("");
    let changed = |overview: &Value| overview["sources"][0]["tables"][ENTRY]["changed"].clone();
    // Nothing was read: a mapping that is corrected before is no change.
    operator
        .follow(&operator.mapping("where = \"wrong\""))
        .await;
    let overview = operator.follow(&operator.mapping("")).await;
    assert_eq!(changed(&overview), Value::Null, "{overview}");

    operator.count(2, &mapping).await;
    let overview = operator
        .follow(&operator.mapping("where = \"id <> 2\""))
        .await;
    let said = changed(&overview).to_string();
    for words in [
        "where was absent and is `id <> 2`",
        "resync --source main --table public.posts --yes",
    ] {
        assert!(said.contains(words), "{words} is not in {overview}");
    }
    // Rows of both are mixed: going back does not help.
    let overview = operator.follow(&operator.mapping("")).await;
    assert!(changed(&overview).is_string(), "{overview}");
    let drifts = operator.drifts(&mapping).await;
    assert_eq!(drifts[0]["table"], json!(ENTRY), "{drifts}");

    let mapping = operator.mapping("where = \"id  <>  2\"");
    let body = json!({ "mapping": mapping, "table": "public.posts" });
    let path = "/admin/v1/replicate/resync";
    let answer = operator.private("POST", path, body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let overview = operator.follow(&mapping).await;
    assert_eq!(changed(&overview), Value::Null, "{overview}");
    let copied = Move {
        checkpoint: format!("copied/{ENTRY}"),
        from: None,
        to: Some(vec![1]),
    };
    operator
        .write(Command::Rows(Box::new(RowBatch {
            source: "main".to_owned(),
            moves: vec![copied],
            ..RowBatch::default()
        })))
        .await;
    // How it is written makes no difference.
    let overview = operator
        .follow(&operator.mapping("where = \"(id<>2)\""))
        .await;
    assert_eq!(changed(&overview), Value::Null, "{overview}");
    assert_eq!(operator.drifts(&mapping).await, json!([]));
}

#[tokio::test]
async fn what_left_the_mapping_is_said_and_can_be_forgotten() {
    let operator = Operator::new();
    let mapping = operator.mapping("");
    operator.count(2, &mapping).await;
    let slot = json!({"system_id": "7", "timeline": 1, "slot": "the_slot", "created": "0/1"});
    operator
        .write(Command::Rows(Box::new(RowBatch {
            source: "main".to_owned(),
            moves: vec![Move {
                checkpoint: "slot".to_owned(),
                from: None,
                to: Some(slot.to_string().into_bytes()),
            }],
            ..RowBatch::default()
        })))
        .await;
    let resync = |body: Value| operator.private("POST", "/admin/v1/replicate/resync", body);
    let text = std::fs::read_to_string(&mapping).expect("read");

    // A table.
    let other = text.replace("public.posts", "public.articles");
    std::fs::write(&mapping, other).expect("written");
    let overview = operator.follow(&mapping).await;
    assert_eq!(overview["drifts"][0]["table"], json!(ENTRY), "{overview}");
    assert_eq!(operator.drifts(&mapping).await, overview["drifts"]);

    // All of the source: its name is another one now, and its rows would count twice.
    let other = text.replace("[[source]]", "[[source]]\nname = \"shop\"");
    std::fs::write(&mapping, other).expect("written");
    let overview = operator.follow(&mapping).await;
    let drift = overview["drifts"][0].to_string();
    for words in ["main", "the_slot", "resync --source main --yes"] {
        assert!(drift.contains(words), "{words} is not in {overview}");
    }
    let answer = resync(json!({ "mapping": mapping, "source": "nobody" })).await;
    answer.problem(400, "source");
    let answer = resync(json!({ "mapping": mapping, "source": "main" })).await;
    let done = answer.json()["resynced"][0].clone();
    assert_eq!(done["tables"][0], json!(ENTRY), "{done}");
    assert_eq!(operator.drifts(&mapping).await, json!([]));
    let shown = operator
        .private("GET", "/admin/v1/items/1", Value::Null)
        .await;
    assert!(shown.status == StatusCode::NOT_FOUND || !shown.json()["deleted_at"].is_null());
    let overview = operator
        .private("GET", "/admin/v1/replicate", Value::Null)
        .await
        .json();
    let names = overview["sources"].as_array().expect("sources").len();
    assert_eq!(
        (names, &overview["drifts"]),
        (1, &Value::Null),
        "{overview}"
    );
}

#[tokio::test]
async fn the_slot_of_a_source_whose_server_is_not_known_comes_with_the_sql_that_drops_it() {
    let operator = Operator::new();
    operator.count(1, &operator.mapping("")).await;
    let slot = json!({"system_id": "7", "timeline": 1, "slot": "the_slot", "created": "0/1"});
    operator
        .write(Command::Rows(Box::new(RowBatch {
            source: "main".to_owned(),
            moves: vec![Move {
                checkpoint: "slot".to_owned(),
                from: None,
                to: Some(slot.to_string().into_bytes()),
            }],
            ..RowBatch::default()
        })))
        .await;
    // Nobody needs a mapping file to get rid of what it had.
    let mapping = operator.folder.path().join("gone.toml");
    let body = json!({ "mapping": mapping, "source": "main" });
    let path = "/admin/v1/replicate/resync";
    let done = operator.private("POST", path, body).await.json();
    let said = done["resynced"][0]["slot"].to_string();
    assert!(
        said.contains("pg_drop_replication_slot('the_slot')"),
        "{done}"
    );
}
