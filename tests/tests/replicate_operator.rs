//! What an operator types: `init`, `check`, `status`, following alone and beside a server,
//! `reconcile`, and what metrics say.

use std::time::Duration;

use edgewise_tests::http::{eventually, get};
use edgewise_tests::places;
use edgewise_tests::servers::{Auth, Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Counts, Dialect, Operator, Settled, fixes, mapping, together};
use edgewise_tests::stack::{Watched, free_port};

const PG: Dialect = Dialect::Postgres;
const ROWS: u64 = 600;

fn shop(server: &Postgres, name: &str) -> Session {
    server.sql(&format!("create database {name}"));
    let mut session = server.connect(name);
    session.sql("set time zone 'UTC'");
    PG.fill(&mut session, ROWS);
    session
}

fn shop_mapping(server: &Postgres, name: &str, options: &str) -> String {
    mapping(
        PG,
        &server.url(name),
        &format!("slot = \"{name}\"\n{options}"),
    )
}

/// What `init` writes for a shop of plain names is a mapping that can be followed.
fn init_writes_what_check_accepts(server: &Postgres) {
    let mut session = shop(server, "guessed");
    // One table a kind, as many shops have it: nobody can guess what numbers stand for.
    session.sql(
        "create table likes (id bigserial primary key, user_id bigint not null, post_id bigint not null, \
         created_at timestamptz not null default now()); drop table interactions",
    );
    let operator = Operator::new("", &[Postgres::PASSWORD]);
    std::fs::remove_file(&operator.mapping).unwrap();
    let url = server.url("guessed");
    let said = operator
        .edgewise(&["replicate", "init", "--source", &url])
        .succeeded();
    let text = std::fs::read_to_string(&operator.mapping)
        .unwrap_or_else(|error| panic!("{error}: {}", said.all()));
    assert!(
        !text.contains(Postgres::PASSWORD),
        "a password on disk: {text}"
    );
    for words in [
        "public.posts",
        "public.follows",
        "public.likes",
        "to = \"items\"",
        "to = \"follows\"",
        "to = \"events\"",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("name = "))
        .unwrap_or("\"main\"");
    let variable = format!(
        "EDGEWISE_SOURCE_{}__URL",
        name.trim_matches('"').to_uppercase()
    );
    let environment = [(variable.as_str(), url.as_str())];
    let said = operator.edgewise_with(&["replicate", "check", "--json"], &environment);
    let report = said.clone().succeeded().json();
    assert!(report["findings"].is_array(), "{}", said.all());
    let again = operator.edgewise(&["replicate", "init", "--source", &url]);
    assert!(
        !again.ok && again.all().contains("replicate.toml"),
        "it wrote over a file: {}",
        again.all()
    );
}

/// What is slow or unsafe is said before anything starts, with SQL that helps.
fn check_gives_sql_that_works(server: &Postgres) {
    let mut session = shop(server, "checked");
    session.sql("alter table posts add column changed timestamptz not null default now()");
    session.sql("alter table follows replica identity nothing");
    let stream = shop_mapping(server, "checked", "");
    let operator = Operator::new(&stream, &[Postgres::PASSWORD]);
    let report = operator.check_finds(&["public.follows", "replica identity"]);
    let sql = fixes(&report, "error").join(" ");
    assert!(
        sql.contains("follows") && sql.to_uppercase().contains("REPLICA IDENTITY"),
        "{sql}"
    );
    operator.apply_fixes(&mut session);
    let _ = operator.check_passes();
    let slots = "select count(*) from pg_replication_slots where slot_name = 'checked'";
    let publications = "select count(*) from pg_publication where pubname <> ''";
    let count = |session: &mut Session, sql: &str| session.sql(sql)[0][0].clone();
    assert_eq!(count(&mut session, slots), "0", "check makes nothing");
    assert_eq!(
        count(&mut session, publications),
        "0",
        "check makes nothing"
    );

    // Only posts have a watermark, and no index on it.
    let posts_only = {
        let start = stream.find("[[source.table]]").unwrap();
        let end = start + 1 + stream[start + 1..].find("[[source.table]]").unwrap();
        stream[..end].replace("slot = \"checked\"", "mode = \"poll\"")
    };
    operator.map(&posts_only.replace("\nto = ", "\nwatermark = \"changed\"\nto = "));
    let report = operator.check_finds(&["public.posts", "changed", "index"]);
    let sql = fixes(&report, "error");
    assert!(
        sql.iter()
            .any(|sql| sql.contains("INDEX") && sql.contains("changed")),
        "{report}"
    );
    for sql in sql {
        session.sql(&sql);
    }
    let report = operator.check_passes();
    assert!(!report.to_string().contains("CREATE INDEX"), "{report}");
    operator.map(&posts_only.replace("\nto = ", "\nwatermark = \"nowhere\"\nto = "));
    let _ = operator.check_finds(&["public.posts", "nowhere"]);
    for (from, to, words) in [
        (
            "title = \"title\"",
            "title = \"headline\"",
            vec!["public.posts", "headline"],
        ),
        ("public.posts", "public.articles", vec!["public.articles"]),
    ] {
        operator.map(&stream.replace(from, to));
        let _ = operator.check_finds(&words);
    }
}

/// Status for people and for scripts, and every metric that is promised.
fn status_and_metrics(server: &Postgres) {
    const METRICS: [&str; 17] = [
        "edgewise_replicate_rows_total",
        "edgewise_replicate_lag_bytes",
        "edgewise_replicate_lag_seconds",
        "edgewise_replicate_oldest_unapplied_seconds",
        "edgewise_replicate_dead_letters",
        "edgewise_replicate_snapshot_rows",
        "edgewise_replicate_snapshot_chunks_done",
        "edgewise_replicate_snapshot_chunks_total",
        "edgewise_replicate_connected",
        "edgewise_replicate_slot_retained_bytes",
        "edgewise_replicate_slot_wal_status",
        "edgewise_replicate_batch_rows",
        "edgewise_replicate_commit_seconds",
        "edgewise_replicate_pool_size",
        "edgewise_contract_null_ratio",
        "edgewise_contract_quality_score",
        "edgewise_contract_freshness_seconds",
    ];
    let mut session = shop(server, "metrics");
    let text = shop_mapping(server, "metrics", "heartbeat_ms = 300");
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.catch_up(PG, &mut session);
    session.sql("insert into interactions select 8000, 1, 1, 3, -1, now(); delete from follows where user_id = 3");
    operator.catch_up(PG, &mut session);
    for name in METRICS {
        eventually(name, Duration::from_secs(20), || {
            (!operator.metric(name).is_empty()).then_some(())
        });
    }
    assert!(operator.metric_sum("edgewise_replicate_connected", "shop") > 0.0);
    let removed = operator.metric_sum("edgewise_replicate_rows_total", "operation=\"remove\"");
    assert!(removed >= 2.0, "{removed} removals");
    eventually("the violation is counted", Duration::from_secs(20), || {
        let violations = operator.metric_sum("edgewise_contract_violations_total", "interactions");
        (violations > 0.0).then_some(())
    });
    let said = operator
        .edgewise(&["replicate", "status", "--json"])
        .succeeded();
    let source = said.json()["sources"][0].clone();
    assert_eq!(
        (&source["source"], &source["phase"]),
        (&"shop".into(), &"streaming".into()),
        "{source}"
    );
    assert!(
        source["position"].is_string() && source["tables"].is_object(),
        "{source}"
    );
    assert_eq!(said.json()["dead_letters"], 1);
    let said = operator.edgewise(&["replicate", "status"]).succeeded();
    assert!(
        said.out.contains("streaming") && said.out.contains("dead-letter list"),
        "{}",
        said.all()
    );
    // Nobody runs: what is stored is still said.
    operator.origin.stop();
    let said = operator.edgewise(&["replicate", "status"]).succeeded();
    let stored = ["no source is followed", "1 refused rows"];
    assert!(
        stored.iter().all(|words| said.out.contains(words)),
        "{}",
        said.all()
    );
}

/// A process that only follows; a server on the same data directory is refused meanwhile, and
/// one that is there already is told to follow.
fn alone_and_beside_a_server(server: &Postgres) {
    let mut session = shop(server, "alone");
    let text = shop_mapping(server, "alone", "");
    let mut operator = Operator::new(&text, &[Postgres::PASSWORD]);
    let admin = free_port();
    let follow = |operator: &Operator| {
        let mut command = std::process::Command::new(places::edgewise());
        command
            .args(["replicate", "--mapping"])
            .arg(&operator.mapping)
            // As people write it: the URL of the file's one source.
            .args(["--source", &server.url("alone")]);
        command.arg("--data").arg(&operator.origin.data);
        command.args(["--admin-listen", &format!("127.0.0.1:{admin}")]);
        Watched::start(&command, &operator.dir().join("follower.log"))
    };
    let follower = follow(&operator);
    let log = operator.dir().join("follower.log");
    let ready = format!("http://127.0.0.1:{admin}/readyz");
    eventually("the follower is ready", Duration::from_secs(20), || {
        let answer = edgewise_tests::http::try_send("GET", &ready, &[], None).ok()?;
        (answer.status == 200).then_some(())
    });
    let rows = |minimum: f64| {
        eventually("rows are applied", Duration::from_secs(30), || {
            let text = get(&format!("http://127.0.0.1:{admin}/metrics")).text;
            let lines = text
                .lines()
                .filter(|line| line.starts_with("edgewise_replicate_rows_total"));
            let sum: f64 = lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            (sum >= minimum).then_some(())
        });
    };
    rows(ROWS as f64 + 200.0);
    let said = operator.edgewise(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        !said.ok && said.all().contains("another edgewise process"),
        "{}",
        said.all()
    );
    let said = operator.edgewise(&["replicate", "status"]).succeeded();
    assert!(
        said.out.contains("streaming") || said.out.contains("copying"),
        "{}",
        said.all()
    );
    session.sql("delete from interactions where id % 3 = 0");
    // An end in good order applies what was read.
    follower.end("TERM");
    drop(follower);
    operator.origin = edgewise_tests::stack::Origin::stopped(&operator.origin.data, &[]);
    operator.run();
    let unasked = operator
        .origin
        .admin("GET", "/admin/v1/replicate", None)
        .json();
    assert_eq!(unasked["sources"], serde_json::json!([]), "{unasked}");
    let told = follow(&operator);
    eventually("the server follows", Duration::from_secs(20), || {
        operator.status().is_object().then_some(())
    });
    operator.catch_up(PG, &mut session);
    drop(told);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("follows shop from now on"), "{text}");
    assert!(!text.contains(Postgres::PASSWORD), "{text}");
    operator.origin.stop();
    let differences =
        Counts::of_database(PG, &mut session).differences(&Counts::of_store(&operator.origin.data));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A password that is only in the environment.
fn password_from_the_environment(server: &Postgres) {
    let mut session = shop(server, "hidden");
    let text =
        shop_mapping(server, "hidden", "").replace(&format!(":{}@", Postgres::PASSWORD), "@");
    assert!(!text.contains(Postgres::PASSWORD));
    let mut operator = Operator::new(&text, &[Postgres::PASSWORD]);
    let environment = [("EDGEWISE_SOURCE_SHOP__URL", server.url("hidden"))];
    let environment = environment
        .each_ref()
        .map(|(name, url)| (*name, url.as_str()));
    let said = operator.edgewise(&["replicate", "check"]);
    assert!(
        !said.ok && said.all().contains("password"),
        "{}",
        said.all()
    );
    let _ = operator
        .edgewise_with(&["replicate", "check"], &environment)
        .succeeded();
    operator.map(&shop_mapping(server, "hidden", ""));
    operator.run();
    operator.exact(PG, &mut session, Settled::InOrder);
}

/// Rows that changed while nobody looked: found by day, table and item, written out, repaired.
fn reconcile_repairs(server: &Postgres) {
    let mut session = shop(server, "reconciled");
    let text = shop_mapping(server, "reconciled", "");
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.catch_up(PG, &mut session);
    let reconcile = |operator: &Operator, more: &[&str]| {
        let fixed = [
            "reconcile",
            "--source",
            "shop",
            "--mapping",
            "replicate.toml",
        ];
        operator.edgewise(&[fixed.as_slice(), more].concat())
    };
    for by in ["table", "day", "item"] {
        let _ = reconcile(&operator, &["--by", by]).succeeded();
    }
    let counted = "(select post_id, count(*) as n, count(*) filter (where id in (7, 8, 9)) as gone \
                   from interactions group by post_id) as c";
    let hidden_items = session.sql(&format!(
        "select post_id, n - gone, n from {counted} where gone > 0"
    ));
    assert_eq!(hidden_items.len(), 3);
    // Replication is told to look away.
    let mut hidden = |sql: &str| {
        session.sql("alter publication edgewise_shop set (publish = 'insert')");
        session.sql(sql);
        let all = "insert, update, delete, truncate";
        session.sql(&format!(
            "alter publication edgewise_shop set (publish = '{all}')"
        ));
    };
    hidden("delete from interactions where id in (7, 8, 9)");
    operator.catch_up(PG, &mut session);
    let said = reconcile(&operator, &["--by", "item", "--export", "differences.csv"]);
    assert!(!said.ok, "{}", said.all());
    let export = std::fs::read_to_string(operator.dir().join("differences.csv")).unwrap();
    let mut lines: Vec<&str> = export.lines().collect();
    assert_eq!(lines.remove(0), "source,table,group,source_rows,store_rows");
    let mut expected: Vec<String> = hidden_items
        .iter()
        .map(|row| {
            format!(
                "shop,public.interactions->events,{},{},{}",
                row[0], row[1], row[2]
            )
        })
        .collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let said = reconcile(
        &operator,
        &["--table", "public.interactions", "--repair", "id=7", "id=8"],
    );
    let said = said.succeeded();
    assert!(
        said.out.contains("2 rows were read again"),
        "{}",
        said.all()
    );
    assert!(!reconcile(&operator, &["--by", "table"]).ok, "one is left");
    let _ = reconcile(&operator, &["--repair-all"]).succeeded();
    let _ = reconcile(&operator, &["--by", "item"]).succeeded();
    operator.exact(PG, &mut session, Settled::InOrder);
    // What was refused is all that differs: that is said, with the way out.
    session.sql("insert into interactions values (9000, 1, 1, 3, -5, now())");
    operator.catch_up(PG, &mut session);
    for how in [["--by", "table"].as_slice(), &["--repair-all"]] {
        let said = reconcile(&operator, how);
        let ways = [
            "dead-letter list --table public.interactions",
            "were refused",
        ];
        let says_all = ways.iter().all(|words| said.all().contains(words));
        assert!(!said.ok && says_all, "{}", said.all());
    }
    session.sql("update interactions set watch_ms = 5 where id = 9000");
    operator.catch_up(PG, &mut session);
    let _ = reconcile(&operator, &["--by", "table"]).succeeded();
}

/// A mapping file that changes: a source with another name, a table that left, another `where`.
/// Each is said at start, by `status` and by `check`, and what is said puts it right.
fn a_mapping_that_changes_is_said(server: &Postgres) {
    let mut session = shop(server, "drifted");
    let text = shop_mapping(server, "drifted", "");
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.catch_up(PG, &mut session);
    operator.origin.stop();

    let named = text
        .replace("name = \"shop\"", "name = \"renamed\"")
        .replace("slot = \"drifted\"", "slot = \"drifted_2\"");
    operator.map(&named);
    let said = operator.edgewise(&["replicate", "status"]).succeeded();
    assert!(
        said.out.contains("resync --source shop --yes"),
        "{}",
        said.all()
    );
    operator.run();
    eventually("the log says it", Duration::from_secs(20), || {
        let log = operator.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("ERROR") || line.contains("error"));
        let mut lines = lines.filter(|line| line.contains("resync --source shop --yes"));
        lines.next().map(drop)
    });
    let _ = operator.check_finds(&["shop", "drifted", "resync --source shop --yes"]);
    let said = operator.edgewise(&["replicate", "status"]).succeeded();
    assert!(
        said.out.contains("resync --source shop --yes"),
        "{}",
        said.all()
    );
    let resync = ["replicate", "resync", "--source", "shop"];
    let said = operator.edgewise(&resync);
    assert!(
        !said.ok && said.out.contains("not in the mapping file"),
        "{}",
        said.all()
    );
    let said = operator.edgewise(&[resync.as_slice(), &["--yes"]].concat());
    let said = said.succeeded().out;
    let sql = "SELECT pg_drop_replication_slot('drifted');";
    assert!(said.contains(sql), "{said}");
    session.sql(sql);
    let _ = operator.check_passes();
    operator.exact(PG, &mut session, Settled::InOrder);

    // A table left, and `where` is another.
    let (others, events) = named.rsplit_once("[[source.table]]").unwrap();
    operator.map(&others.replace("\nid = \"id\"", "\nid = \"id\"\nwhere = \"id <> 5\""));
    operator.follow();
    operator.says(&[
        "where was absent and is `id <> 5`",
        "resync --source renamed --table",
    ]);
    let _ = operator.check_finds(&["public.posts->items", "resync --source renamed --table"]);
    let _ = operator.check_finds(&["public.interactions->events", "does not have it"]);
    operator.map(&format!("{others}[[source.table]]{events}"));
    operator.follow();
    let _ = operator.check_finds(&["public.posts->items"]);
    operator.resync(Some("public.posts"));
    operator.exact(PG, &mut session, Settled::InOrder);
    let _ = operator.check_passes();
}

/// Names with capitals, and expressions that fail for a row in SQL where the mapping only refuses
/// it: compared all the same.
fn reconcile_asks_what_the_mapping_means(server: &Postgres) {
    let mut session = shop(server, "odd");
    session.sql(
        "create table \"Odd\" (\"Id\" int primary key, \"Title\" text, \"Maker\" int, \"At\" timestamptz default now()); \
         insert into \"Odd\" select i, case when i % 7 = 0 then 'x' else 'Title ' || i end, i % 5 from generate_series(1, 100) i",
    );
    let text = format!(
        r#"[[source]]
name = "shop"
url = "{}"
slot = "odd"
[[source.table]]
table = "public.Odd"
to = "items"
id = '"Id"'
author = "Maker"
title = "Title"
created_at = "at"
where = "Title <> 'x' and 10 / maker > 1 and maker * 2000000000 > 5"
"#,
        server.url("odd")
    );
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.wait_streaming();
    let list = ["dead-letter", "list", "--json"];
    eventually("the rows by 0 are refused", Duration::from_secs(20), || {
        let letters = operator.edgewise(&list).json_lines();
        (letters.len() == 18).then_some(())
    });
    for by in ["table", "day", "item"] {
        let said = operator.edgewise(&["reconcile", "--by", by]).succeeded();
        assert!(
            said.out.contains("68 rows, no difference"),
            "{}",
            said.all()
        );
    }
    let repair = ["reconcile", "--table", "public.Odd", "--repair", "Id=10"];
    let said = operator.edgewise(&repair);
    assert!(
        said.all().contains("division by zero") && !said.all().contains("1 rows were read"),
        "{}",
        said.all()
    );
    operator.origin.stop();
}

/// A polled watermark that no clock reaches does not hide what comes after it.
fn a_watermark_of_infinity_is_refused(server: &Postgres) {
    let mut session = shop(server, "infinite");
    session.sql(
        "alter table posts add column changed timestamptz not null default clock_timestamp(); \
         create index on posts (changed); update posts set changed = 'infinity' where id = 7; \
         update posts set changed = now() + interval '20 hours' where id = 8",
    );
    let text = shop_mapping(server, "infinite", "");
    let start = text.find("[[source.table]]").unwrap();
    let end = start + 1 + text[start + 1..].find("[[source.table]]").unwrap();
    let options = "mode = \"poll\"\npoll = { every_ms = 100 }";
    let text = text[..end]
        .replace("slot = \"infinite\"", options)
        .replace("\nto = ", "\nwatermark = \"changed\"\nto = ");
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.catch_up(PG, &mut session);
    let list = ["dead-letter", "list", "--json"];
    eventually("the row is refused", Duration::from_secs(30), || {
        let letters = operator.edgewise(&list).json_lines();
        let is_late = |letter: &serde_json::Value| {
            letter.to_string().contains("id=7") && letter.to_string().contains("infinity")
        };
        letters.iter().any(is_late).then_some(())
    });
    operator.origin.stop();
    operator.run();
    operator.catch_up(PG, &mut session);
    session.sql("update posts set changed = clock_timestamp() where id = 7");
    eventually("corrected rows count", Duration::from_secs(30), || {
        let known = |id: u32| {
            let path = format!("/admin/v1/items/{id}");
            operator.origin.admin("GET", &path, None).status == 200
        };
        ([7, 8].into_iter().all(known) && operator.edgewise(&list).json_lines().is_empty())
            .then_some(())
    });
    operator.origin.stop();
}

#[test]
fn operators_get_answers_they_can_act_on() {
    let mut config = PostgresConfig::new(Version::Pg18).with("fsync", "off");
    config.auth = Auth::Scram;
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    let server = &server;
    together(vec![
        (
            "password from the environment",
            Box::new(|| password_from_the_environment(server)),
        ),
        ("init", Box::new(|| init_writes_what_check_accepts(server))),
        ("check", Box::new(|| check_gives_sql_that_works(server))),
        (
            "status and metrics",
            Box::new(|| status_and_metrics(server)),
        ),
        ("reconcile", Box::new(|| reconcile_repairs(server))),
        ("alone", Box::new(|| alone_and_beside_a_server(server))),
        (
            "a mapping that changes",
            Box::new(|| a_mapping_that_changes_is_said(server)),
        ),
        (
            "reconcile of odd names",
            Box::new(|| reconcile_asks_what_the_mapping_means(server)),
        ),
        (
            "a watermark of infinity",
            Box::new(|| a_watermark_of_infinity_is_refused(server)),
        ),
    ]);
}
