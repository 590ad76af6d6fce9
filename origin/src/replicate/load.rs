//! Reads the mapping file, puts URLs of the environment and the command line over it, and
//! refuses what cannot be meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::config::{Mapping, Mode, SourceConfig, TableConfig};
use super::redact;

/// Largest mapping file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most sources of a mapping file.
pub const SOURCES_MAX: usize = 16;
/// Most mapped tables of a source.
pub const TABLES_MAX: usize = 256;
/// Longest name of a source.
const NAME_MAX: usize = 32;
/// What URLs begin with.
const SCHEMES: [&str; 5] = ["postgres", "postgresql", "mysql", "mariadb", "kafka"];

/// Why a mapping file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none.
    #[error(
        "there is no mapping file `{}`; name one with --mapping, or write one with \
         `edgewise replicate init --source URL`", path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the mapping file `{}` cannot be read; check its permissions", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has a key that means nothing.
    #[error("the mapping file `{}` is not valid: line {line}: {reason}; docs/mapping.md has every key", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// Why, without the line itself: it could hold a password.
        reason: String,
    },
    /// A source that is asked for is not in it.
    #[error("source {name}: it is not in the mapping file; name one of {known} with --source")]
    Unmapped {
        /// What was asked for.
        name: String,
        /// The sources that it has.
        known: String,
    },
    /// A value cannot be meant.
    #[error("{object}: {problem}; {remedy}")]
    Value {
        /// Source or table.
        object: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
}

impl LoadError {
    /// The source that was asked for by its name and that no mapping file has: the store may
    /// still have it.
    #[must_use]
    pub fn unmapped<'a>(&self, asked: Option<&'a str>) -> Option<&'a str> {
        let is_unmapped = matches!(self, Self::Unmapped { .. } | Self::Missing { .. });
        asked.filter(|name| is_unmapped && !name.contains("://"))
    }
}

fn value(
    object: impl Into<String>,
    problem: impl Into<String>,
    remedy: impl Into<String>,
) -> LoadError {
    LoadError::Value {
        object: object.into(),
        problem: problem.into(),
        remedy: remedy.into(),
    }
}

/// What goes over the mapping file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--source`: a name, or a URL for the one source there is.
    pub source: Option<String>,
    /// URLs by source, in the environment's upper case.
    pub urls: Urls,
}

/// URLs by source name in upper case; never printed.
#[derive(Clone, Default)]
pub struct Urls(pub BTreeMap<String, String>);

impl std::fmt::Debug for Urls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.0.iter().map(|(name, url)| (name, redact::url(url)));
        f.debug_map().entries(shown).finish()
    }
}

impl Urls {
    /// `EDGEWISE_SOURCE_<NAME>__URL` of the environment.
    pub fn of(environment: impl Iterator<Item = (String, String)>) -> Self {
        let named = environment.filter_map(|(name, url)| {
            let name = name.strip_prefix("EDGEWISE_SOURCE_")?;
            Some((name.strip_suffix("__URL")?.to_uppercase(), url))
        });
        Self(named.collect())
    }
}

/// Reads the mapping file at `path`.
///
/// # Errors
///
/// A sentence that names file, source or table and the remedy; no URL's password is in it.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Mapping, LoadError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing { path: path.into() },
        _ => LoadError::Unreadable {
            path: path.into(),
            source,
        },
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let problem = format!("it has {bytes} bytes, but may have {FILE_BYTES_MAX}");
        let object = format!("the mapping file `{}`", path.display());
        return Err(value(object, problem, "name a mapping file with --mapping"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mapping = parse(path, &text)?;
    Ok(Mapping {
        file: path.to_owned(),
        ..resolve(mapping, overrides)?
    })
}

fn parse(path: &Path, text: &str) -> Result<Mapping, LoadError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes().iter().take(start);
        LoadError::Invalid {
            path: path.into(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            reason: error.message().to_owned(),
        }
    })
}

/// Chooses sources, puts URLs over those of the file, and checks names and ranges.
///
/// # Errors
///
/// As [`load`].
pub fn resolve(mut mapping: Mapping, overrides: &Overrides) -> Result<Mapping, LoadError> {
    let known: Vec<String> = mapping.sources.iter().map(|s| s.name.clone()).collect();
    for source in &mapping.sources {
        let entries = source.tables.iter().map(TableConfig::entry_name);
        let mapped = mapping.mapped.entry(source.name.clone()).or_default();
        mapped.extend(entries);
    }
    for source in &mut mapping.sources {
        if let Some(url) = overrides.urls.0.get(&source.name.to_uppercase()) {
            source.url.clone_from(url);
        }
    }
    match overrides.source.as_deref() {
        Some(url) if url.contains("://") => choose_by_url(&mut mapping, url)?,
        Some(name) => {
            mapping.sources.retain(|source| source.name == name);
            if mapping.sources.is_empty() {
                return Err(LoadError::Unmapped {
                    name: name.to_owned(),
                    known: known.join(", "),
                });
            }
        }
        None => {}
    }
    validate(&mapping)?;
    Ok(mapping)
}

/// The one source there is gets the URL; of several the one that is there already.
fn choose_by_url(mapping: &mut Mapping, url: &str) -> Result<(), LoadError> {
    if mapping.sources.len() > 1 {
        let names: Vec<String> = mapping.sources.iter().map(|s| s.name.clone()).collect();
        mapping
            .sources
            .retain(|source| place(&source.url) == place(url));
        if mapping.sources.len() != 1 {
            let problem = format!(
                "--source is a URL, but the mapping file has {} sources, {} of them there",
                names.len(),
                mapping.sources.len()
            );
            let remedy = format!(
                "name one of {} with --source, and give its URL as EDGEWISE_SOURCE_<NAME>__URL",
                names.join(", ")
            );
            return Err(value("the mapping file", problem, remedy));
        }
    }
    for source in &mut mapping.sources {
        // The same without its password: that of the environment or the file is meant.
        if redact::without_password(&source.url) != url {
            url.clone_into(&mut source.url);
        }
    }
    Ok(())
}

fn validate(mapping: &Mapping) -> Result<(), LoadError> {
    let count = mapping.sources.len();
    if count > SOURCES_MAX || (count == 0 && mapping.kafka_out.is_none()) {
        let problem = format!("it has {count} entries [[source]]");
        let remedy =
            format!("write 1 to {SOURCES_MAX}, or let `edgewise replicate init` write one");
        return Err(value("the mapping file", problem, remedy));
    }
    let mut names = BTreeSet::new();
    for source in &mapping.sources {
        validate_source(source)?;
        if !names.insert(&source.name) {
            let object = format!("source {}", source.name);
            return Err(value(object, "two sources have this name", "rename one"));
        }
    }
    different_slots(&mapping.sources)
}

/// A slot has one reader: a second source would take its changes away or wait for ever.
fn different_slots(sources: &[SourceConfig]) -> Result<(), LoadError> {
    let mut slots = BTreeMap::new();
    for source in sources {
        if !source.url.starts_with("postgres") || source.mode == Mode::Poll {
            continue;
        }
        let slot = source.slot.clone();
        let slot = slot.unwrap_or_else(|| format!("edgewise_{}", source.name));
        let place = place(&source.url);
        let host = place.split('/').next().unwrap_or_default().to_owned();
        if let Some(other) = slots.insert((host, slot.clone()), &source.name) {
            let problem = format!("its slot {slot} is that of source {other} at the same server");
            let remedy = "give one of them another slot = \"…\"";
            return Err(value(format!("source {}", source.name), problem, remedy));
        }
    }
    Ok(())
}

/// Host, port and database of a URL.
fn place(url: &str) -> String {
    let shown = redact::url(url);
    let rest = shown.split_once("://").map_or("", |(_, rest)| rest);
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    place.split('?').next().unwrap_or_default().to_owned()
}

fn validate_source(source: &SourceConfig) -> Result<(), LoadError> {
    let name = &source.name;
    let object = || format!("source {name}");
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
        let problem = "its name is no good";
        return Err(value(
            format!("source {name:?}"),
            problem,
            "use 1 to 32 of a-z, 0-9 and _",
        ));
    }
    check_url(source)?;
    for (key, given, from, to) in [
        ("snapshot.parallel", source.snapshot.parallel as u64, 1, 16),
        (
            "snapshot.chunk_rows",
            source.snapshot.chunk_rows.into(),
            100,
            1_000_000,
        ),
        ("poll.every_ms", source.poll.every_ms, 10, 3_600_000),
        ("poll.page_rows", source.poll.page_rows.into(), 1, 100_000),
        ("heartbeat_ms", source.heartbeat_ms, 100, 600_000),
        ("connect_timeout_ms", source.connect_timeout_ms, 1, 600_000),
    ] {
        if !(from..=to).contains(&given) {
            let problem = format!("{key} is {given}");
            return Err(value(object(), problem, format!("give {from} to {to}")));
        }
    }
    let tables = source.tables.len();
    if !(1..=TABLES_MAX).contains(&tables) {
        let problem = format!("it has {tables} entries [[source.table]]");
        return Err(value(object(), problem, format!("write 1 to {TABLES_MAX}")));
    }
    let mut entries = BTreeSet::new();
    for table in &source.tables {
        if !entries.insert(table.entry_name()) {
            let object = format!("source {name}, table {}", table.table);
            let problem = format!("it is mapped to {} twice", table.to);
            return Err(value(
                object,
                problem,
                "remove one entry, or join them with a case expression",
            ));
        }
    }
    Ok(())
}

/// Whether the url names something that can be followed.
///
/// # Errors
///
/// It does not; the password is not in the sentence.
pub fn check_url(source: &SourceConfig) -> Result<(), LoadError> {
    let name = &source.name;
    let scheme = source.url.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        let problem = match source.url.as_str() {
            "" => "it has no url".to_owned(),
            url => format!("its url is {:?}", redact::url(url)),
        };
        let remedy = format!(
            "set url, or EDGEWISE_SOURCE_{}__URL, to postgres://, mysql://, mariadb:// or kafka:// and a host",
            name.to_uppercase()
        );
        return Err(value(format!("source {name}"), problem, remedy));
    }
    if redact::has_unescaped_login(&source.url) {
        let problem = "its url cannot be read: the user or the password has an @, /, ? or #";
        let remedy = "percent-encode it: @ is %40, / is %2F, ? is %3F, # is %23, % is %25";
        return Err(value(format!("source {name}"), problem, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[source]]
        name = "main"
        url = "postgres://app:s3cret@db/shop"
        [[source.table]]
        table = "public.users"
        to = "users"
        id = "id"
        [[source]]
        name = "bus"
        url = "kafka://b:9092"
        [[source.table]]
        table = "events"
        to = "users"
        id = "id"
    "#;

    fn loaded(
        text: &str,
        source: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Mapping, String> {
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let overrides = Overrides {
            source: source.map(str::to_owned),
            urls: Urls::of(environment),
        };
        parse(Path::new("replicate.toml"), text)
            .and_then(|mapping| resolve(mapping, &overrides))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_is_chosen_by_name_and_its_url_by_the_environment() {
        let all = loaded(FILE, None, &[]).unwrap();
        assert_eq!(all.sources.len(), 2);
        let env = [
            ("EDGEWISE_SOURCE_MAIN__URL", "postgres://x:y@z/shop"),
            ("HOME", "/"),
        ];
        let one = loaded(FILE, Some("main"), &env).unwrap();
        assert_eq!(one.sources.len(), 1);
        assert_eq!(one.sources[0].url, "postgres://x:y@z/shop");
        let error = loaded(FILE, Some("mian"), &[]).unwrap_err();
        assert!(
            error.contains("source mian") && error.contains("main, bus"),
            "{error}"
        );
        let error = loaded(FILE, Some("mysql://d"), &[]).unwrap_err();
        assert!(error.contains("2 sources"), "{error}");
        let (one, _) = FILE.rsplit_once("[[source]]").unwrap();
        let one = loaded(one, Some("mysql://d"), &[]).unwrap();
        assert_eq!(one.sources[0].url, "mysql://d");
        // Of several the one that is there.
        let one = loaded(FILE, Some("postgres://me:pw@db/shop?sslmode=require"), &[]).unwrap();
        let [source] = one.sources.as_slice() else {
            panic!("{one:?}");
        };
        assert_eq!(source.url, "postgres://me:pw@db/shop?sslmode=require");
        // A URL without its password does not take it away.
        let one = loaded(FILE, Some("postgres://app@db/shop"), &[]).unwrap();
        assert_eq!(one.sources[0].url, "postgres://app:s3cret@db/shop");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is() {
        for (from, to, says) in [
            ("\"main\"", "\"Main\"", "a-z"),
            ("\"bus\"", "\"main\"", "two sources"),
            ("kafka://", "redis://", "postgres://"),
            (
                "postgres://app:s3cret@db/shop",
                "db:s3cret@x",
                "EDGEWISE_SOURCE_MAIN__URL",
            ),
            ("app:s3cret@db", "app:s3cret/s3cret@db", "%2F"),
            ("app:s3cret@db", "app:s3cret@s3cret@db", "%40"),
            ("url = \"postgres", "url == \"postgres", "line 4"),
            ("to = \"users\"", "to = \"usres\"", "usres"),
            ("name = \"main\"", "slto = 's'", "slto"),
            ("name = \"main\"", "heartbeat_ms = 1", "100 to 600000"),
            (
                "name = \"main\"",
                "url = \"postgres://a:s3cret@b/c\"",
                "duplicate key",
            ),
        ] {
            assert!(FILE.contains(from), "{from}");
            let error = loaded(&FILE.replacen(from, to, 1), None, &[]).unwrap_err();
            assert!(error.contains(says), "{from}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_slot_has_one_source() {
        let two = |second: &str| {
            let text = format!(
                "{FILE}\n[[source]]\nname = \"two\"\nslot = \"edgewise_main\"\nurl = \"{second}\"\n\
                 [[source.table]]\ntable = \"t\"\nto = \"users\"\nid = \"id\""
            );
            loaded(&text, None, &[])
        };
        let error = two("postgres://other:pw@db/other").unwrap_err();
        for words in ["two", "edgewise_main", "source main"] {
            assert!(error.contains(words), "{words} is not in {error}");
        }
        assert!(two("postgres://app@elsewhere/shop").is_ok());
        assert!(two("mysql://app@db/shop").is_ok());
    }

    #[test]
    fn passwords_are_not_in_debug_output() {
        let urls = Urls::of(
            [(
                "EDGEWISE_SOURCE_MAIN__URL".to_owned(),
                "mysql://a:s3cret@b".to_owned(),
            )]
            .into_iter(),
        );
        let overrides = Overrides { source: None, urls };
        assert!(!format!("{overrides:?}").contains("s3cret"));
        let mapping = loaded(FILE, None, &[]).unwrap();
        assert!(!format!("{mapping:?}").contains("s3cret"), "{mapping:?}");
    }
}
