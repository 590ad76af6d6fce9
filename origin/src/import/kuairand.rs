//! KuaiRand-Pure (Gao et al., CIKM 2022): a folder with `impressions.parquet` and `videos.csv`.
//!
//! Videos become items: `id` = `video_id`, `author` = `author_id`, kind `video`, `duration_ms` =
//! `video_duration`, tags = `tag` (comma-separated numbers), `created_at` = `upload_dt` at 00:00
//! UTC, title "Video N" as the set has none, no language and no region. A video of type `AD` has
//! the tag `ad` besides. A video whose `visible_status` is not 0 was not public when the set was
//! made: it is written and deleted, so that its events count and no list shows it.
//!
//! A row of impressions is one exposure, exact duplicates included, and stands for these events
//! at its `time_ms`, in this order:
//!
//! | event | where |
//! |---|---|
//! | `impression` | every row |
//! | `view` | `play_time_ms` > 0: something was played; `watch_ms` = `play_time_ms`, `duration_ms` of the row (0: counts as a view and not for completion) |
//! | `click` | `is_click`: what the feed logged as a click, whether or not anything played |
//! | `like` `comment` `share` `hide` | `is_like` `is_comment` `is_forward` `is_hate` |
//! | `follow` | `is_follow`: the user follows the video's author from then on |
//!
//! `users.parquet` and `histories.parquet` may be there and are not read.

use std::collections::HashMap;
use std::path::Path;

use edgewise_wire::api::{Event, EventType, Item};
use edgewise_wire::limits::{CREATED_AT_MS_MAX, WATCH_MS_MAX};

use super::columns::{Table, whole};
use super::lines::{Line, Lines};
use super::loader::Loader;
use super::{ImportError, source};
use crate::ingest::ImportRow;

const NEEDED: &str = "--format kuairand reads a folder with impressions.parquet and videos.csv";

const COLUMNS: [&str; 11] = [
    "user_id",
    "video_id",
    "time_ms",
    "is_click",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "play_time_ms",
    "duration_ms",
];

const VIDEO_COLUMNS: [&str; 7] = [
    "video_id",
    "author_id",
    "video_type",
    "upload_dt",
    "visible_status",
    "video_duration",
    "tag",
];

/// Reads the folder into `loader`.
pub(super) fn read(folder: &Path, loader: &mut Loader<'_>) -> Result<(), ImportError> {
    source::folder(folder, NEEDED)?;
    let impressions = folder.join("impressions.parquet");
    let videos = folder.join("videos.csv");
    // Both are looked at before anything is written: a missing file or column stops at once.
    let table = Table::open(&impressions, NEEDED, &COLUMNS)?;
    let catalogue = Catalogue::open(&videos)?;
    loader.begin(&videos, source::hash(&videos, NEEDED)?)?;
    let authors = catalogue.read(loader)?;
    loader.begin(&impressions, source::hash(&impressions, NEEDED)?)?;
    table.for_each(&mut |ordinal, values| {
        match events(ordinal, values, &authors) {
            Ok(events) => loader.row(ordinal + 1, ImportRow { ordinal, events })?,
            Err(reason) => loader.bad(ordinal + 1, reason)?,
        }
        loader.progress(ordinal + 1, table.rows());
        Ok(())
    })
}

/// The events of a row of impressions.
fn events(
    ordinal: u64,
    values: &[Option<i64>],
    authors: &HashMap<i64, String>,
) -> Result<Vec<Event>, String> {
    let get = |at: usize| {
        let value = values.get(at).copied().flatten();
        value.ok_or_else(|| format!("{} is missing", COLUMNS.get(at).unwrap_or(&"a column")))
    };
    let bounded = |at: usize, max: i64| {
        let value = get(at)?;
        let name = COLUMNS.get(at).unwrap_or(&"a column");
        let inside = (0..=max).contains(&value);
        if inside {
            Ok(value)
        } else {
            Err(format!("{name} is {value}, not in 0..{max}"))
        }
    };
    let time_ms = bounded(2, CREATED_AT_MS_MAX)?;
    let (user, video) = (get(0)?, get(1)?);
    let millis = |at| bounded(at, i64::from(WATCH_MS_MAX)).map(|ms| u32::try_from(ms).ok());
    let (play_ms, duration_ms) = (millis(9)?, millis(10)?);
    let played = play_ms.is_some_and(|ms| ms > 0);
    let flag = |at| bounded(at, 1).map(|flag| flag == 1);
    let kinds = [
        (EventType::Impression, true),
        (EventType::View, played),
        (EventType::Click, flag(3)?),
        (EventType::Like, flag(4)?),
        (EventType::Follow, flag(5)?),
        (EventType::Comment, flag(6)?),
        (EventType::Share, flag(7)?),
        (EventType::Hide, flag(8)?),
    ];
    let author = authors.get(&video);
    if flag(5)? && author.is_none() {
        return Err(format!(
            "is_follow of video {video}, whose author videos.csv does not name"
        ));
    }
    let event = |kind: EventType| Event {
        id: format!("kuairand-{ordinal}-{}", kind.name()),
        kind,
        user: user.to_string(),
        item: Some(video.to_string()),
        // A hide that names an author would hide the author.
        author: (kind == EventType::Follow)
            .then(|| author.cloned())
            .flatten(),
        ts_ms: Some(time_ms),
        watch_ms: if kind == EventType::View {
            play_ms
        } else {
            None
        },
        duration_ms: if kind == EventType::View {
            duration_ms
        } else {
            None
        },
        value: None,
        request_id: None,
        position: None,
    };
    Ok(kinds
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(kind, _)| event(kind))
        .collect())
}

/// `videos.csv`, opened, with the place of each column.
struct Catalogue {
    lines: Lines,
    total_bytes: u64,
    places: [usize; VIDEO_COLUMNS.len()],
}

impl Catalogue {
    fn open(path: &Path) -> Result<Self, ImportError> {
        let (mut lines, total_bytes) = Lines::open(path, NEEDED)?;
        let header = match lines.next()? {
            Some((_, Line::Bytes(bytes))) => fields(bytes).unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut places = [0; VIDEO_COLUMNS.len()];
        for (place, column) in places.iter_mut().zip(VIDEO_COLUMNS) {
            let found = header.iter().position(|name| name == column);
            *place = found.ok_or_else(|| ImportError::MissingColumn {
                path: path.to_owned(),
                column,
                found: header.clone(),
            })?;
        }
        Ok(Self {
            lines,
            total_bytes,
            places,
        })
    }

    /// Loads the items; returns the author of each video.
    fn read(mut self, loader: &mut Loader<'_>) -> Result<HashMap<i64, String>, ImportError> {
        let mut authors = HashMap::new();
        while let Some((number, line)) = self.lines.next()? {
            let video = match line {
                Line::TooLong => Err("the line is too long".to_owned()),
                Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
                Line::Bytes(bytes) => fields(bytes).and_then(|row| video(&row, &self.places)),
            };
            match video {
                Err(reason) => loader.bad(number, reason)?,
                Ok((id, is_visible, item)) => {
                    authors.insert(id, item.author.clone());
                    loader.item(number, item)?;
                    if !is_visible {
                        loader.delete(id.to_string())?;
                    }
                }
            }
            loader.progress(self.lines.done_bytes(), self.total_bytes);
        }
        Ok(authors)
    }
}

/// Fields of a CSV line (RFC 4180, but no line ends inside quotes: no column has them).
fn fields(line: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line);
    let mut record = csv::StringRecord::new();
    let any = reader
        .read_record(&mut record)
        .map_err(|_| "not UTF-8".to_owned())?;
    if any {
        Ok(record.iter().map(str::to_owned).collect())
    } else {
        Ok(Vec::new())
    }
}

/// A video's id, whether it is public, and its item.
fn video(row: &[String], places: &[usize]) -> Result<(i64, bool, Item), String> {
    let get = |column: usize| {
        let value = places.get(column).and_then(|place| row.get(*place));
        let name = VIDEO_COLUMNS.get(column).unwrap_or(&"a column");
        value
            .map(String::as_str)
            .ok_or_else(|| format!("{name} is missing: the line is short"))
    };
    let id: i64 = get(0)?
        .parse()
        .map_err(|_| "video_id is not a whole number".to_owned())?;
    let created_at_ms =
        midnight_ms(get(3)?).ok_or_else(|| "upload_dt is not a date YYYY-MM-DD".to_owned())?;
    let duration_ms = match get(5)? {
        "" => None,
        text => {
            let ms = text
                .parse()
                .ok()
                .and_then(whole)
                .and_then(|ms| u32::try_from(ms).ok());
            Some(ms.ok_or_else(|| "video_duration is not whole milliseconds".to_owned())?)
        }
    };
    let tags = get(6)?
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty());
    let ad = (get(2)? == "AD").then_some("ad");
    let is_visible = get(4)?.parse::<f64>().is_ok_and(|status| status == 0.0);
    let item = Item {
        id: id.to_string(),
        author: get(1)?.to_owned(),
        created_at_ms,
        kind: Some("video".to_owned()),
        duration_ms: duration_ms.filter(|ms| *ms > 0),
        tags: tags.chain(ad).map(str::to_owned).collect(),
        title: format!("Video {id}"),
        ..Item::default()
    };
    Ok((id, is_visible, item))
}

/// Unix ms of 00:00 UTC of a date `YYYY-MM-DD` from 1970 on.
fn midnight_ms(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || date.len() != 10 {
        return None;
    }
    super::movielens::date_ms(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(midnight_ms("1970-01-01"), Some(0));
        assert_eq!(midnight_ms("2022-04-10"), Some(1_649_548_800_000));
        assert_eq!(midnight_ms("2020-02-29"), Some(1_582_934_400_000));
        for bad in [
            "",
            "2022-4-10",
            "2022-13-01",
            "2021-02-29",
            "2022-04-1x",
            "2022-04-10-1",
        ] {
            assert_eq!(midnight_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_row_is_its_events() {
        let authors = HashMap::from([(5, "a".to_owned())]);
        let mut row: Vec<Option<i64>> = [1, 5, 1000, 1, 1, 1, 1, 1, 1, 300, 0].map(Some).to_vec();
        let all = events(7, &row, &authors).unwrap();
        let names: Vec<_> = all.iter().map(|event| event.kind.name()).collect();
        let expected = [
            "impression",
            "view",
            "click",
            "like",
            "follow",
            "comment",
            "share",
            "hide",
        ];
        assert_eq!(names, expected);
        assert_eq!((all[1].watch_ms, all[1].duration_ms), (Some(300), Some(0)));
        assert_eq!(
            (all[4].author.as_deref(), all[7].author.as_deref()),
            (Some("a"), None)
        );
        assert!(all.iter().all(|event| event.ts_ms == Some(1000)));
        row[9] = Some(0);
        assert!(
            events(7, &row, &authors)
                .unwrap()
                .iter()
                .all(|e| e.kind != EventType::View)
        );
        for (at, value, reason) in [
            (2, None, "time_ms is missing"),
            (4, Some(2), "is_like is 2"),
            (9, Some(-1), "play_time_ms is -1"),
            (1, Some(6), "is_follow of video 6"),
        ] {
            let mut bad = row.clone();
            bad[at] = value;
            let error = events(7, &bad, &authors).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
