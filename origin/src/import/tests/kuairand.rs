//! Imports of KuaiRand: made-up rows and the real excerpt.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::Bench;
use crate::import::Format;

/// A Parquet file of this schema with these values a column, in two row groups.
fn parquet(path: &Path, schema: &str, columns: &[&[Option<i64>]]) {
    use parquet::data_type::Int64Type;
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    for half in (0..2).filter(|_| !columns.is_empty()) {
        let mut group = writer.next_row_group().unwrap();
        for column in columns {
            let (first, second) = column.split_at(column.len() / 2);
            let part = if half == 0 { first } else { second };
            let values: Vec<i64> = part.iter().copied().flatten().collect();
            let levels: Vec<i16> = part
                .iter()
                .map(|value| i16::from(value.is_some()))
                .collect();
            let mut writer = group.next_column().unwrap().unwrap();
            let typed = writer.typed::<Int64Type>();
            typed.write_batch(&values, Some(&levels), None).unwrap();
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

const KUAIRAND_SCHEMA: &str = "message rows {
    optional int64 user_id; optional int64 video_id; optional int64 time_ms;
    optional int64 is_click; optional int64 is_like; optional int64 is_follow;
    optional int64 is_comment; optional int64 is_forward; optional int64 is_hate;
    optional int64 play_time_ms; optional int64 duration_ms; }";

#[test]
fn kuairand_rows_with_nulls_and_missing_columns() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let videos = "video_id,author_id,video_type,upload_dt,visible_status,video_duration,tag\n\
         5,a,AD,2022-04-10,0.0,9233.0,\"3,12\"\n6,b,NORMAL,2022-04-10,2.0,,\n\
         7,c,NORMAL,yesterday,0.0,,\nshort\n";
    bench.file("videos.csv", videos);
    let one = [Some(1); 4];
    let zero = [Some(0); 4];
    // An exposure, the same again, one without a time, one of a video that is not public.
    let columns: [&[Option<i64>]; 11] = [
        &one,
        &[Some(5), Some(5), Some(5), Some(6)],
        &[Some(1000), Some(1000), None, Some(2000)],
        &one,
        &zero,
        &[Some(1), Some(1), Some(0), Some(0)],
        &zero,
        &zero,
        &zero,
        &[Some(9000), Some(9000), Some(1), Some(0)],
        &[Some(9233), Some(9233), Some(1), Some(0)],
    ];
    parquet(
        &folder.join("impressions.parquet"),
        KUAIRAND_SCHEMA,
        &columns,
    );
    let report = bench.import(Format::Kuairand, folder).unwrap();
    assert_eq!(
        (report.items, report.deleted, report.rows, report.bad),
        (2, 1, 3, 3),
        "{report}"
    );
    let lines: Vec<_> = report.bad_lines.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("videos.csv:4: upload_dt"), "{lines:?}");
    assert!(lines[1].contains("videos.csv:5: "), "{lines:?}");
    assert!(
        lines[2].contains("impressions.parquet:3: time_ms is missing"),
        "{lines:?}"
    );
    let seen = bench.seen();
    let counters = seen.counters["5"];
    assert_eq!(
        (
            counters.impressions,
            counters.completed_views,
            counters.clicks
        ),
        (2, 2, 2)
    );
    assert_eq!(
        (seen.counters["6"].impressions, seen.counters["6"].views),
        (1, 0)
    );
    assert!(seen.deleted.contains("6") && seen.follows.len() == 1);

    let without = KUAIRAND_SCHEMA.replace("optional int64 is_hate;", "");
    parquet(
        &folder.join("impressions.parquet"),
        &without,
        &columns[..10],
    );
    let error = bench
        .import(Format::Kuairand, folder)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has no column is_hate; it has user_id, video_id"),
        "{error}"
    );
    let text = KUAIRAND_SCHEMA.replace("int64 user_id", "binary user_id");
    parquet(&folder.join("impressions.parquet"), &text, &[]);
    let error = bench
        .import(Format::Kuairand, folder)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("user_id") && error.contains("not a number"),
        "{error}"
    );
    bench.file("videos.csv", "video_id,author_id\n");
    parquet(
        &folder.join("impressions.parquet"),
        KUAIRAND_SCHEMA,
        &columns,
    );
    let error = bench
        .import(Format::Kuairand, folder)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("videos.csv has no column video_type"),
        "{error}"
    );
}

/// What the excerpt of KuaiRand-Pure holds, counted independently of this importer.
#[test]
fn kuairand_counts_match_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/kuairand");
    if !folder.join("impressions.parquet").exists() {
        let required = std::env::var("EDGEWISE_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "the KuaiRand excerpt is not at {}",
            folder.display()
        );
        println!(
            "skipped: the KuaiRand excerpt is not at {}",
            folder.display()
        );
        return;
    }
    let bench = Bench::new();
    let report = bench.import(Format::Kuairand, &folder).unwrap();
    assert_eq!(
        (report.items, report.rows, report.bad),
        (7_583, 185_061, 0),
        "{report}"
    );
    assert_eq!(report.events.total(), report.accepted);
    assert_eq!(report.duplicate, 0);
    let seen = bench.seen();
    let sum = |of: fn(&Counters) -> u32| -> u64 {
        seen.counters
            .values()
            .map(|counters| u64::from(of(counters)))
            .sum()
    };
    for (kind, in_file, counted) in [
        (
            EventType::Impression,
            185_061,
            Some(sum(|counters| counters.impressions)),
        ),
        (
            EventType::View,
            166_933,
            Some(sum(|counters| counters.views)),
        ),
        (
            EventType::Click,
            81_878,
            Some(sum(|counters| counters.clicks)),
        ),
        (EventType::Like, 3_184, Some(sum(|counters| counters.likes))),
        (
            EventType::Comment,
            471,
            Some(sum(|counters| counters.comments)),
        ),
        (EventType::Share, 145, Some(sum(|counters| counters.shares))),
        (EventType::Hide, 157, Some(sum(|counters| counters.hides))),
        // Whoever follows an author twice follows once.
        (EventType::Follow, 248, None),
    ] {
        assert_eq!(report.events.get(kind), in_file, "{}", kind.name());
        assert!(
            counted.is_none_or(|counted| counted == in_file),
            "{}: {counted:?}",
            kind.name()
        );
    }
    assert_eq!(sum(|counters| counters.completed_views), 32_563);
    assert_eq!(seen.written.len(), 7_583);
    let again = bench.import(Format::Kuairand, &folder).unwrap();
    assert_eq!(
        (again.accepted, again.duplicate, again.events),
        (0, 438_077, report.events)
    );
    println!("{report}");
}
