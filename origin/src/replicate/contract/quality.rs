//! What is measured of a table, against its contract.

use std::collections::{BTreeMap, VecDeque};

use metrics::{counter, gauge};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::ContractConfig;
use super::metrics as names;
use super::sketch::Repeats;
use super::window::{Hour, Windows};
use crate::ingest::rows::RowKey;
use crate::replicate::config::Target;
use crate::replicate::mapping::{BoundTable, Mapped, Notes, Slot, Violation};
use crate::replicate::value::Value;

/// Violations described in a report: the last ones.
const SAMPLES_MAX: usize = 20;
/// Longest reason of a sample, characters.
const SAMPLE_CHARS_MAX: usize = 300;
/// Different rules and columns that are counted apart; the others count together.
const RULES_MAX: usize = 128;
/// Rows from which on null ratios are judged.
const NULL_ROWS_MIN: u64 = 20;
/// Rows from which on the skew is judged: among few rows one key is soon heavy.
const SKEW_ROWS_MIN: u64 = 1_000;
/// Values that came with one key only, of those of a `unique` column, at least.
const UNIQUENESS_MIN: f64 = 0.999;
const HOUR_MS: i64 = 3_600_000;

/// Measures of a table against its contract, in bounded memory (a few 100 KiB at most).
#[derive(Clone, Debug)]
pub struct TableQuality {
    source: String,
    table: String,
    contract: ContractConfig,
    /// Plan columns whose NULLs are judged: name and limit, below 1.
    judged: Vec<(usize, String, f64)>,
    /// Plan column of the skew's key.
    skew: Option<usize>,
    unique: Vec<(usize, String, Repeats)>,
    windows: Windows,
    hour: Hour,
    started_ms: i64,
    changed_ms: i64,
    rows_total: u64,
    removed_total: u64,
    violations: BTreeMap<(&'static str, String), u64>,
    samples: VecDeque<Sample>,
    cut: Cuts,
    published: Published,
}

/// Titles and tag lists that were cut.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    titles: u64,
    tags: u64,
}

/// What counters have been told.
#[derive(Clone, Debug, Default)]
struct Published {
    rules: BTreeMap<&'static str, u64>,
    cut: Cuts,
}

#[derive(Clone, Debug, Serialize)]
struct Sample {
    rule: &'static str,
    column: String,
    key: String,
    reason: String,
    at_ms: i64,
}

impl TableQuality {
    /// Nothing measured yet; `now_ms` is wall time. The table counts as changed now.
    #[must_use]
    pub fn new(source: &str, bound: &BoundTable, now_ms: i64) -> Self {
        let contract = bound.plan().contract().clone();
        let mut quality = Self {
            source: source.to_owned(),
            table: bound.plan().name().to_owned(),
            contract,
            judged: Vec::new(),
            skew: None,
            unique: Vec::new(),
            windows: Windows::default(),
            hour: Hour::new(now_ms),
            started_ms: now_ms,
            changed_ms: now_ms,
            rows_total: 0,
            removed_total: 0,
            violations: BTreeMap::new(),
            samples: VecDeque::new(),
            cut: Cuts::default(),
            published: Published::default(),
        };
        quality.rebind(bound);
        quality
    }

    /// The table's columns changed: what is measured by column starts anew.
    pub fn rebind(&mut self, bound: &BoundTable) {
        let contract = &self.contract;
        let of = |column: &String| bound.index_of(column);
        self.judged = (0..)
            .zip(bound.columns())
            .filter(|(at, _)| !bound.is_optional(*at))
            .map(|(at, name)| {
                let mut rules = contract.columns.iter();
                let rules = rules.find(|(column, _)| of(column) == Some(at));
                let limit = rules.and_then(|(_, rules)| rules.max_null_ratio);
                (at, name.clone(), limit.unwrap_or(contract.max_null_ratio))
            })
            // Where NULL is always fine it says nothing.
            .filter(|(_, _, limit)| *limit < 1.0)
            .collect();
        self.skew = match &contract.skew_column {
            Some(column) => of(column),
            None => match bound.plan().target() {
                Target::Items => bound.column_of(Slot::Author),
                Target::Follows | Target::Events => bound.column_of(Slot::User),
                Target::Users => None,
            },
        };
        let unique = contract.unique.iter();
        self.unique = unique
            .filter_map(|column| Some((of(column)?, column.clone(), Repeats::default())))
            .collect();
        self.windows = Windows::default();
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// When the table last changed, as a former run remembered it, wall ms.
    pub fn resume(&mut self, changed_ms: i64) {
        if self.rows_total == 0 && self.removed_total == 0 {
            self.changed_ms = changed_ms.min(self.started_ms);
        }
    }

    /// When the table last changed, wall ms.
    #[must_use]
    pub fn changed_ms(&self) -> i64 {
        self.changed_ms
    }

    /// A row was deleted at the source, or the table truncated.
    pub fn deleted(&mut self, at_ms: i64) {
        self.removed_total += 1;
        self.changed_ms = self.changed_ms.max(at_ms);
    }

    /// Measures a delivered row.
    pub(crate) fn observe(
        &mut self,
        bound: &BoundTable,
        row: &[Value<'_>],
        key: Option<RowKey>,
        mapped: &Mapped,
        notes: Notes,
        at_ms: i64,
    ) {
        self.changed_ms = self.changed_ms.max(at_ms);
        self.hour.add(at_ms);
        if let Mapped::Remove = mapped {
            self.removed_total += 1;
            return;
        }
        self.rows_total += 1;
        self.cut.titles += u64::from(notes.title_cut);
        self.cut.tags += u64::from(notes.tags_cut);
        let window = self.windows.at(at_ms);
        window.rows += 1;
        if window.nulls.len() < row.len() {
            window.nulls.resize(row.len(), 0);
        }
        for (nulls, value) in window.nulls.iter_mut().zip(row) {
            *nulls += u64::from(*value == Value::Null);
        }
        if let Some(hash) = self.skew.and_then(|at| row.get(at)).and_then(hash) {
            window.key(hash);
        }
        if let Mapped::Refused(violation) = mapped {
            window.refused += 1;
            self.violated(violation, bound, row, at_ms);
        }
        if !self.unique.is_empty() {
            self.repeated(bound, row, key, at_ms);
        }
    }

    fn violated(
        &mut self,
        violation: &Violation,
        bound: &BoundTable,
        row: &[Value<'_>],
        at_ms: i64,
    ) {
        let mut place = (violation.rule, violation.column.clone());
        if self.violations.len() >= RULES_MAX && !self.violations.contains_key(&place) {
            place = (violation.rule, "others".to_owned());
        }
        *self.violations.entry(place).or_insert(0) += 1;
        self.sample(Sample {
            rule: violation.rule,
            column: violation.column.clone(),
            key: bound.key_text(row),
            reason: violation.reason.chars().take(SAMPLE_CHARS_MAX).collect(),
            at_ms,
        });
    }

    fn sample(&mut self, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Counts values that came with another key before; a row is never refused for it.
    fn repeated(&mut self, bound: &BoundTable, row: &[Value<'_>], key: Option<RowKey>, at_ms: i64) {
        let key = match key {
            Some(RowKey::Int(key)) => key as u64,
            Some(RowKey::Hash(key)) => key as u64,
            None => return,
        };
        let mut found = Vec::new();
        for (at, column, repeats) in &mut self.unique {
            if let Some(value) = row.get(*at).and_then(hash)
                && repeats.add(value, key)
            {
                found.push(column.clone());
            }
        }
        for column in found {
            self.sample(Sample {
                rule: "unique",
                reason: format!("{column} has a value that another row had"),
                column,
                key: bound.key_text(row),
                at_ms,
            });
        }
    }

    fn null_ratio(&self, column: usize) -> f64 {
        ratio(self.windows.nulls(column), self.windows.rows())
    }

    /// The smallest share of values that are unique, over the `unique` columns.
    fn uniqueness(&self) -> f64 {
        let shares = self
            .unique
            .iter()
            .map(|(_, _, repeats)| repeats.uniqueness());
        shares.fold(1.0, f64::min)
    }

    fn freshness_s(&self, now_ms: i64) -> f64 {
        (now_ms.saturating_sub(self.changed_ms)).max(0) as f64 / 1_000.0
    }

    /// The measures at wall time `now_ms`.
    fn measures(&self, now_ms: i64) -> Measures {
        let nulls: Vec<f64> = self
            .judged
            .iter()
            .map(|(at, _, _)| self.null_ratio(*at))
            .collect();
        let completeness = 1.0 - nulls.iter().sum::<f64>() / nulls.len().max(1) as f64;
        let validity = 1.0 - ratio(self.windows.refused(), self.windows.rows());
        let uniqueness = self.uniqueness();
        let freshness_s = self.freshness_s(now_ms);
        let freshness = (self.contract.freshness_s as f64 / freshness_s.max(1e-3)).min(1.0);
        let quality =
            100.0 * (0.3 * completeness + 0.3 * validity + 0.2 * uniqueness + 0.2 * freshness);
        let mut measures = Measures {
            completeness,
            validity,
            uniqueness,
            freshness,
            freshness_s,
            quality_score: quality,
            skew: self.windows.skew(SKEW_ROWS_MIN),
            rows_per_hour: self.hour.rows(now_ms),
            null_ratio: (self.judged.iter().zip(nulls))
                .map(|((_, column, _), ratio)| (column.clone(), ratio))
                .collect(),
            breached: Vec::new(),
        };
        measures.breached = self.breached(&measures, now_ms);
        measures
    }

    /// The rules of the table that do not hold.
    fn breached(&self, measures: &Measures, now_ms: i64) -> Vec<&'static str> {
        let contract = &self.contract;
        let volume = contract.rows_per_hour;
        let nulls = self.windows.rows() >= NULL_ROWS_MIN
            && (self.judged.iter()).any(|(at, _, limit)| self.null_ratio(*at) > *limit);
        let whole_hour = now_ms.saturating_sub(self.started_ms) >= HOUR_MS;
        let few = whole_hour && volume.min.is_some_and(|min| measures.rows_per_hour < min);
        let many = volume.max.is_some_and(|max| measures.rows_per_hour > max);
        let rules = [
            (
                "freshness",
                measures.freshness_s > contract.freshness_s as f64,
            ),
            ("null_ratio", nulls),
            ("skew", measures.skew > contract.max_skew),
            ("unique", measures.uniqueness < UNIQUENESS_MIN),
            ("rows_per_hour", few || many),
            (
                "quality_score",
                measures.quality_score < contract.min_quality,
            ),
        ];
        let broken = rules.into_iter().filter(|(_, broken)| *broken);
        broken.map(|(rule, _)| rule).collect()
    }

    /// Measures, breaches, violations and samples at wall time `now_ms`, for status.
    #[must_use]
    pub fn report(&self, now_ms: i64) -> serde_json::Value {
        let violations: BTreeMap<String, u64> = self
            .violations
            .iter()
            .map(|((rule, column), count)| (format!("{rule} {column}"), *count))
            .collect();
        serde_json::json!({
            "table": self.table,
            "rows": self.rows_total,
            "removed": self.removed_total,
            "changed_ms": self.changed_ms,
            "measures": self.measures(now_ms),
            "violations": violations,
            "titles_cut": self.cut.titles,
            "tags_cut": self.cut.tags,
            "samples": self.samples,
        })
    }

    /// Writes the contract's gauges and counters; to be called every few seconds, also while
    /// the table is silent.
    pub fn publish(&mut self, now_ms: i64) {
        let measures = self.measures(now_ms);
        let labels = [
            ("source", self.source.clone()),
            ("table", self.table.clone()),
        ];
        let with = |name: &'static str, value: &str| {
            let [source, table] = labels.clone();
            [source, table, (name, value.to_owned())]
        };
        gauge!(names::SKEW, &labels).set(measures.skew);
        gauge!(names::QUALITY_SCORE, &labels).set(measures.quality_score);
        gauge!(names::FRESHNESS_SECONDS, &labels).set(measures.freshness_s);
        gauge!(names::ROWS_PER_HOUR, &labels).set(measures.rows_per_hour as f64);
        for (column, ratio) in &measures.null_ratio {
            gauge!(names::NULL_RATIO, &with("column", column)).set(*ratio);
        }
        for rule in RULES {
            let broken = measures.breached.contains(&rule);
            gauge!(names::BREACHED, &with("rule", rule)).set(f64::from(u8::from(broken)));
        }
        let mut rules: BTreeMap<&'static str, u64> = BTreeMap::new();
        for ((rule, _), count) in &self.violations {
            *rules.entry(rule).or_insert(0) += count;
        }
        for (rule, count) in &rules {
            let told = self.published.rules.get(rule).copied().unwrap_or(0);
            counter!(names::VIOLATIONS_TOTAL, &with("rule", rule)).increment(count - told);
        }
        let told = self.published.cut;
        counter!(names::CUT_TOTAL, &with("field", "title"))
            .increment(self.cut.titles - told.titles);
        counter!(names::CUT_TOTAL, &with("field", "tags")).increment(self.cut.tags - told.tags);
        self.published = Published {
            rules,
            cut: self.cut,
        };
    }
}

/// The rules of a table.
const RULES: [&str; 6] = [
    "freshness",
    "null_ratio",
    "skew",
    "unique",
    "rows_per_hour",
    "quality_score",
];

#[derive(Clone, Debug, Serialize)]
struct Measures {
    completeness: f64,
    validity: f64,
    uniqueness: f64,
    freshness: f64,
    freshness_s: f64,
    quality_score: f64,
    skew: f64,
    rows_per_hour: u64,
    null_ratio: BTreeMap<String, f64>,
    breached: Vec<&'static str>,
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A value's hash; NULL and what was not sent have none.
fn hash(value: &Value<'_>) -> Option<u64> {
    Some(match value {
        Value::Null | Value::Unchanged => return None,
        Value::Text(text) => xxh3_64(text.as_bytes()),
        Value::Bytes(bytes) => xxh3_64(bytes),
        Value::Int(value) | Value::Time(value) => xxh3_64(&value.to_le_bytes()),
        Value::Uint(value) => xxh3_64(&value.to_le_bytes()),
        Value::Float(value) => xxh3_64(&value.to_bits().to_le_bytes()),
        Value::Bool(value) => xxh3_64(&[u8::from(*value)]),
    })
}
