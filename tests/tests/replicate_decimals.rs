//! Expressions over decimals give what the database itself gives for the same SQL.

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{MariaDb, Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Operator, Rng};

const ROWS: u64 = 400;

/// What both calculate. `a`, `b` and `c` are decimals of different scales, `f` is a double.
const PIECES: [&str; 11] = [
    "a + b",
    "a - b * 3",
    "a * b",
    "-a",
    "a * 1.10 - 0.05",
    "case when a + b = c then 'y' else 'n' end",
    "case when a * 3 <> c then 'y' else 'n' end",
    "case when a between b and c then 'y' else 'n' end",
    "case when a in (0.70, b, 1.5) then 'y' else 'n' end",
    "case when a + b > f then 'y' else 'n' end",
    "case when a < 2 then 'y' else 'n' end",
];
/// What is rounded as PostgreSQL rounds it.
const QUOTIENTS: [&str; 3] = ["a / b", "c / 3", "1 / c"];
/// Which rows count.
const FILTER: &str = "a + b >= c";

/// `-12.34`, with so many digits after the point.
fn decimal(rng: &mut Rng, scale: usize) -> String {
    let digits = match rng.below(3) {
        0 => rng.below(40),
        1 => rng.below(10_000),
        _ => rng.below(1_000_000_000),
    };
    written(
        digits as i64 - if rng.below(3) == 0 { 900 } else { 0 },
        scale,
    )
}

fn written(mantissa: i64, scale: usize) -> String {
    let sign = if mantissa < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Rows of which half are within a hair of what the filter compares.
fn fill(session: &mut Session, schema: &str) {
    session.sql(schema);
    let mut rng = Rng::new(7);
    for id in 1..=ROWS {
        let (a, b) = (decimal(&mut rng, 2), decimal(&mut rng, 3));
        let other = decimal(&mut rng, 4);
        let c = match rng.below(4) {
            0 => format!("{a} + {b}"),
            1 => format!("{a} + {b} + 0.0001"),
            2 => format!("{a} * 3"),
            _ => other,
        };
        let seconds = written(rng.below(100_000_000) as i64, 3);
        session.sql(&format!(
            "insert into bills values ({id}, {a}, case when {b} = 0 then 1 else {b} end, \
             case when {c} = 0 then 7 else {c} end, {a} + {b}, {seconds})"
        ));
    }
}

#[track_caller]
fn agrees(session: &mut Session, url: &str, table: &str, pieces: &[&str]) {
    let title: Vec<String> = pieces.iter().map(|piece| format!("({piece})")).collect();
    let operator = Operator::following(
        &format!(
            "[[source]]\nname = \"bills\"\nurl = \"{url}\"\n[[source.table]]\ntable = \"{table}\"\n\
             to = \"items\"\nid = \"id\"\nauthor = \"id\"\ncreated_at = \"epoch_s(1795000000)\"\n\
             title = \"{}\"\nduration_ms = \"s * 1000\"\nwhere = \"{FILTER}\"\n",
            title.join(" || ' ' || ")
        ),
        &[],
    );
    operator.wait_streaming();
    // After the copy, by the stream.
    session.sql(&format!(
        "update bills set s = s + 0.001 where id <= {}",
        ROWS / 2
    ));
    session.sql("insert into bills values (1000000, 1, 1, 1, 1, 1)");
    let item = |id: &str| {
        operator
            .origin
            .admin("GET", &format!("/admin/v1/items/{id}"), None)
    };
    eventually(
        "the last row is there",
        std::time::Duration::from_secs(60),
        || (item("1000000").status == 200).then_some(()),
    );
    assert_eq!(
        operator.metric_sum("edgewise_replicate_dead_letters", "bills"),
        0.0
    );
    let expected = session.sql(&format!(
        "select id, case when {FILTER} then 1 else 0 end, round(s * 1000), concat_ws(' ', {}) \
         from bills where id <= {ROWS} order by id",
        title.join(", ")
    ));
    assert_eq!(expected.len() as u64, ROWS);
    let mut counted = 0;
    for row in &expected {
        let [id, counts, duration, title] = row.as_slice() else {
            panic!("{row:?}");
        };
        let answer = item(id);
        assert_eq!(
            answer.status == 200,
            counts == "1",
            "{row:?}: {}",
            answer.text
        );
        if counts == "1" {
            let found = answer.json();
            let found = found.get("item").unwrap_or(&found);
            assert_eq!(found["title"].as_str(), Some(title.as_str()), "row {id}");
            assert_eq!(found["duration_ms"].to_string(), *duration, "row {id}");
            counted += 1;
        }
    }
    assert!(counted > ROWS / 5 && counted < ROWS, "{counted}");
    // The count at the source asks the same.
    let said = operator.edgewise(&["reconcile", "--mapping", "replicate.toml"]);
    assert!(said.ok, "{}", said.all());
}

#[test]
fn decimals_are_calculated_with_as_postgresql_does() {
    let config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    server.sql("create database bills");
    let mut session = server.connect("bills");
    let schema = "create table bills (id bigint primary key, a numeric(14,2) not null, \
                  b numeric(16,3) not null, c numeric not null, f float8 not null, s numeric(12,3))";
    fill(&mut session, schema);
    let pieces: Vec<&str> = PIECES.into_iter().chain(QUOTIENTS).collect();
    agrees(&mut session, &server.url("bills"), "public.bills", &pieces);
}

#[test]
fn decimals_are_calculated_with_as_mariadb_does() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    server.sql("create database bills");
    let mut session = server.connect();
    session.sql("use bills");
    let schema = "create table bills (id bigint primary key, a decimal(14,2) not null, \
                  b decimal(16,3) not null, c decimal(20,4) not null, f double not null, s decimal(12,3))";
    fill(&mut session, schema);
    agrees(&mut session, &server.url("bills"), "bills.bills", &PIECES);
}
