//! MovieLens-100K: a folder in RecBole's layout (`ml-100k.inter`, `ml-100k.item`; tab-separated
//! with typed headers) or GroupLens's own (`u.data`, `u.item`, `u.genre`).
//!
//! Films become items: kind `video`, tags = genres in lower case, title with its year,
//! `created_at` = the release date (of a year alone its 1 January; before 1970 or unknown: 0).
//! The set names no makers, so the author is `genre-` and the first genre: affinity is then to
//! genres, and the cap on items of one author spreads a page over them.
//!
//! A rating stands for an `impression` and a `view` (with the rating as `value`; there are no
//! durations, so it does not count for completion), and from 4 stars on for a `like`. Rows are
//! taken in the order of time; their ordinals are places in that order.

use std::path::Path;

use edgewise_wire::api::{Event, EventType, Item};

use super::lines::{Line, Lines};
use super::loader::Loader;
use super::{ImportError, source};
use crate::ingest::ImportRow;

const NEEDED: &str =
    "--format movielens reads a folder with ml-100k.inter and ml-100k.item, or u.data and u.item";
/// Ratings are sorted by time in memory: about 24 bytes each.
const ROWS_MAX: usize = 30_000_000;
const LIKE_FROM_STARS: f64 = 4.0;

/// Where each column is in the files of a layout.
struct Layout {
    ratings: &'static str,
    films: &'static str,
    /// Character between a film's fields.
    separator: char,
    has_header: bool,
}

const RECBOLE: Layout = Layout {
    ratings: "ml-100k.inter",
    films: "ml-100k.item",
    separator: '\t',
    has_header: true,
};

const GROUPLENS: Layout = Layout {
    ratings: "u.data",
    films: "u.item",
    separator: '|',
    has_header: false,
};

/// Genres in the order of `u.item`'s flags (the set's own `u.genre`).
const GENRES: [&str; 19] = [
    "unknown",
    "action",
    "adventure",
    "animation",
    "children's",
    "comedy",
    "crime",
    "documentary",
    "drama",
    "fantasy",
    "film-noir",
    "horror",
    "musical",
    "mystery",
    "romance",
    "sci-fi",
    "thriller",
    "war",
    "western",
];

/// Reads the folder into `loader`.
pub(super) fn read(folder: &Path, loader: &mut Loader<'_>) -> Result<(), ImportError> {
    source::folder(folder, NEEDED)?;
    let is_grouplens = folder.join(GROUPLENS.ratings).exists();
    let layout = if is_grouplens { GROUPLENS } else { RECBOLE };
    let (ratings, films) = (folder.join(layout.ratings), folder.join(layout.films));
    // Both are looked at before anything is written: a missing file or column stops at once.
    let (ratings_lines, rating_places) = open(
        &ratings,
        &layout,
        ["user_id", "item_id", "rating", "timestamp"],
    )?;
    let film_columns = ["item_id", "movie_title", "release_year", "class"];
    let (films_lines, film_places) = open(&films, &layout, film_columns)?;
    loader.begin(&films, source::hash(&films, NEEDED)?)?;
    read_films(films_lines, &film_places, &layout, loader)?;
    loader.begin(&ratings, source::hash(&ratings, NEEDED)?)?;
    let rows = read_ratings(ratings_lines, &rating_places, &ratings, loader)?;
    let total = rows.len() as u64;
    for (ordinal, rating) in (0..).zip(rows) {
        let line = rating.line;
        loader.row(
            line,
            ImportRow {
                ordinal,
                events: rating.events(),
            },
        )?;
        loader.progress(ordinal + 1, total);
    }
    Ok(())
}

/// Opens a file and finds its columns; GroupLens's files have no header and these in order.
fn open(
    path: &Path,
    layout: &Layout,
    columns: [&'static str; 4],
) -> Result<(Lines, [usize; 4]), ImportError> {
    let (mut lines, _) = Lines::open(path, NEEDED)?;
    if !layout.has_header {
        return Ok((lines, [0, 1, 2, 3]));
    }
    let header = match lines.next()? {
        Some((_, Line::Bytes(bytes))) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    // RecBole's headers are `name:type`.
    let name = |field: &str| field.split(':').next().unwrap_or("").to_owned();
    let found: Vec<String> = header.split('\t').map(name).collect();
    let mut places = [0; 4];
    for (place, column) in places.iter_mut().zip(columns) {
        let at = found.iter().position(|name| name == column);
        *place = at.ok_or_else(|| ImportError::MissingColumn {
            path: path.to_owned(),
            column,
            found: found.clone(),
        })?;
    }
    Ok((lines, places))
}

fn read_films(
    mut lines: Lines,
    places: &[usize; 4],
    layout: &Layout,
    loader: &mut Loader<'_>,
) -> Result<(), ImportError> {
    while let Some((number, line)) = lines.next()? {
        let film = match line {
            Line::TooLong => Err("the line is too long".to_owned()),
            Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
            Line::Bytes(bytes) => {
                let text = text(bytes);
                let fields: Vec<&str> = text.split(layout.separator).collect();
                match layout.has_header {
                    true => recbole_film(&fields, places),
                    false => grouplens_film(&fields),
                }
            }
        };
        match film {
            Ok(item) => loader.item(number, item)?,
            Err(reason) => loader.bad(number, reason)?,
        }
    }
    Ok(())
}

/// UTF-8, else Latin-1, which GroupLens's files are in.
fn text(bytes: &[u8]) -> String {
    let latin = || bytes.iter().map(|&byte| char::from(byte)).collect();
    std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned)
}

fn recbole_film(fields: &[&str], places: &[usize; 4]) -> Result<Item, String> {
    let [id, title, year, genres] = places.map(|place| fields.get(place).map(|field| field.trim()));
    let (Some(id), Some(title), Some(genres)) = (id, title, genres) else {
        return Err("the line is short".to_owned());
    };
    let genres = genres.split_whitespace().map(str::to_lowercase).collect();
    let year = year.filter(|year| !year.is_empty());
    let titled = match year {
        Some(year) if !title.contains(&format!("({year})")) => format!("{title} ({year})"),
        _ => title.to_owned(),
    };
    let released_ms = year.and_then(|year| date_ms(year.parse().ok()?, 1, 1));
    Ok(film(id, titled, released_ms, genres))
}

/// `id|title|release date|video release date|link|19 flags`
fn grouplens_film(fields: &[&str]) -> Result<Item, String> {
    let (Some(id), Some(title), Some(date), Some(flags)) = (
        fields.first(),
        fields.get(1),
        fields.get(2),
        fields.get(5..24),
    ) else {
        return Err(format!("the line has {} fields, not 24", fields.len()));
    };
    let genres = flags
        .iter()
        .zip(GENRES)
        .filter(|(flag, _)| flag.trim() == "1");
    let genres = genres.map(|(_, genre)| genre.to_owned()).collect();
    Ok(film(
        id.trim(),
        title.trim().to_owned(),
        day_month_year_ms(date.trim()),
        genres,
    ))
}

fn film(id: &str, title: String, released_ms: Option<i64>, mut genres: Vec<String>) -> Item {
    if genres.is_empty() {
        genres.push("unknown".to_owned());
    }
    let author = format!("genre-{}", genres.first().map_or("unknown", String::as_str));
    Item {
        id: id.to_owned(),
        author,
        created_at_ms: released_ms.unwrap_or(0),
        kind: Some("video".to_owned()),
        tags: genres,
        title,
        ..Item::default()
    }
}

/// A rating, ready to be sorted.
struct Rating {
    timestamp_s: i64,
    line: u64,
    user: u32,
    film: u32,
    stars: f32,
}

impl Rating {
    fn events(&self) -> Vec<Event> {
        let event = |kind: EventType| Event {
            id: format!("movielens-{}-{}", self.line, kind.name()),
            kind,
            user: self.user.to_string(),
            item: Some(self.film.to_string()),
            author: None,
            ts_ms: Some(self.timestamp_s * 1000),
            watch_ms: None,
            duration_ms: None,
            value: (kind == EventType::View).then_some(f64::from(self.stars)),
            request_id: None,
            position: None,
        };
        let liked = f64::from(self.stars) >= LIKE_FROM_STARS;
        let kinds = [EventType::Impression, EventType::View];
        kinds
            .into_iter()
            .chain(liked.then_some(EventType::Like))
            .map(event)
            .collect()
    }
}

/// All ratings in the order of time, those of one second in the file's.
fn read_ratings(
    mut lines: Lines,
    places: &[usize; 4],
    path: &Path,
    loader: &mut Loader<'_>,
) -> Result<Vec<Rating>, ImportError> {
    let mut rows = Vec::new();
    while let Some((line, bytes)) = lines.next()? {
        let rating = match bytes {
            Line::TooLong => Err("the line is too long".to_owned()),
            Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
            Line::Bytes(bytes) => rating(&text(bytes), places, line),
        };
        match rating {
            Ok(_) if rows.len() == ROWS_MAX => {
                return Err(ImportError::TooManyRows {
                    path: path.to_owned(),
                    max: ROWS_MAX,
                });
            }
            Ok(rating) => rows.push(rating),
            Err(reason) => loader.bad(line, reason)?,
        }
    }
    rows.sort_by_key(|rating: &Rating| (rating.timestamp_s, rating.line));
    Ok(rows)
}

fn rating(line: &str, places: &[usize; 4], number: u64) -> Result<Rating, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let names = ["user_id", "item_id", "rating", "timestamp"];
    let mut values = [""; 4];
    for ((value, place), name) in values.iter_mut().zip(places).zip(names) {
        *value = fields
            .get(*place)
            .map(|field| field.trim())
            .ok_or_else(|| format!("{name} is missing"))?;
    }
    let [user, film, stars, timestamp] = values;
    let wrong = |name: &str| format!("{name} is not a number in its range");
    // RecBole writes timestamps as floats.
    let timestamp_s = timestamp.parse().ok().and_then(super::columns::whole);
    let in_range = |at: &i64| (0..=9_000_000_000_000).contains(at);
    Ok(Rating {
        timestamp_s: timestamp_s
            .filter(in_range)
            .ok_or_else(|| wrong("timestamp"))?,
        line: number,
        user: user.parse().map_err(|_| wrong("user_id"))?,
        film: film.parse().map_err(|_| wrong("item_id"))?,
        stars: stars
            .parse()
            .ok()
            .filter(|stars: &f32| (0.0..=5.0).contains(stars))
            .ok_or_else(|| wrong("rating"))?,
    })
}

/// `01-Jan-1995`
fn day_month_year_ms(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?.to_lowercase(), parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)?;
    date_ms(
        year.parse().ok()?,
        u32::try_from(month).ok()? + 1,
        day.parse().ok()?,
    )
}

/// Unix ms of 00:00 UTC of a date of the Gregorian calendar from 1970 on.
///
/// Days from the civil date after Hinnant, "chrono-compatible low-level date algorithms".
pub(super) fn date_ms(year: i64, month: u32, day: u32) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=longest).contains(&day) {
        return None;
    }
    let shifted_year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (shifted_year / 400, shifted_year % 400);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_of_both_layouts() {
        let fields = ["1", "Toy Story", "1995", "Animation Children's Comedy"];
        let item = recbole_film(&fields, &[0, 1, 2, 3]).unwrap();
        assert_eq!(
            (item.title.as_str(), item.author.as_str()),
            ("Toy Story (1995)", "genre-animation")
        );
        assert_eq!(item.tags, ["animation", "children's", "comedy"]);
        assert_eq!(item.created_at_ms, 788_918_400_000);
        let line = "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0";
        let other = grouplens_film(&line.split('|').collect::<Vec<_>>()).unwrap();
        assert_eq!(other, item);
        assert!(grouplens_film(&["1", "x"]).is_err());
        let old = recbole_film(&["2", "Old", "1931", ""], &[0, 1, 2, 3]).unwrap();
        assert_eq!(
            (old.created_at_ms, old.author.as_str()),
            (0, "genre-unknown")
        );
        assert_eq!(text(b"Caf\xe9"), "Café");
    }

    #[test]
    fn ratings_and_their_events() {
        let places = [0, 1, 2, 3];
        let four = rating("196\t242\t4\t881250949", &places, 9)
            .unwrap()
            .events();
        let names: Vec<_> = four.iter().map(|event| event.kind.name()).collect();
        assert_eq!(names, ["impression", "view", "like"]);
        assert_eq!(
            (four[1].value, four[0].ts_ms),
            (Some(4.0), Some(881_250_949_000))
        );
        assert_eq!(
            rating("196\t242\t3.0\t881250949.0", &places, 9)
                .unwrap()
                .events()
                .len(),
            2
        );
        for (line, reason) in [
            ("196\t242\t3", "timestamp is missing"),
            ("x\t242\t3\t1", "user_id"),
            ("1\t2\tNaN\t1", "rating"),
            ("1\t2\t6\t1", "rating"),
            ("1\t2\t3\t-5", "timestamp"),
        ] {
            let error = rating(line, &places, 9).err().unwrap();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
