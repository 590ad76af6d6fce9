//! A plan fitted to a table's columns.

use std::borrow::Cow;
use std::sync::Arc;

use super::column::Class;
use super::expression::{Expression, Row, Sql};
use super::field::{Slot, fields};
use super::plan::{COLUMNS_MAX, Named, Plan, Source};
use super::{Column, MappingError, TablePlan};
use crate::replicate::contract::Rules;
use crate::replicate::reconcile::sql::Dialect;
use crate::replicate::value::Value;

/// A plan bound to a table's columns; cheap to clone.
#[derive(Clone, Debug)]
pub struct BoundTable {
    pub(super) plan: TablePlan,
    pub(super) bound: Arc<Bound>,
}

#[derive(Debug)]
pub(super) struct Bound {
    /// Names in plan order; those of a key from the catalogue come last.
    pub(super) columns: Vec<String>,
    pub(super) sources: Vec<usize>,
    pub(super) classes: Vec<Class>,
    types: Vec<String>,
    /// Plan columns of the key, by name.
    pub(super) key: Vec<usize>,
    key_columns: Vec<String>,
    pub(super) rules: Rules,
}

/// A mapped column that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// Its type before.
    pub was: String,
    /// Its type now; `None` = it is gone.
    pub now: Option<String>,
}

impl std::fmt::Display for ColumnChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.now {
            Some(now) => write!(f, "column {} was {} and is {now}", self.column, self.was),
            None => write!(f, "column {} is gone", self.column),
        }
    }
}

impl BoundTable {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &TablePlan {
        &self.plan
    }

    /// Names of the columns it reads, in plan order, as the table spells them.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.bound.columns
    }

    /// Names of the key's columns.
    #[must_use]
    pub fn key_columns(&self) -> &[String] {
        &self.bound.key_columns
    }

    /// Plan index of the watermark column.
    #[must_use]
    pub fn watermark(&self) -> Option<usize> {
        let name = self.plan.watermark()?;
        let named = &self.plan.0.named;
        named.columns.iter().position(|column| column == name)
    }

    /// For each column it reads its index in what [`TablePlan::bind`] was given: values are
    /// delivered in this order.
    #[must_use]
    pub fn sources(&self) -> &[usize] {
        &self.bound.sources
    }

    /// The mapped columns that the table, as it is now, no longer has as they were. A type that
    /// is read the same (`varchar(20)` and `text`, `int` and `bigint`) is no change.
    #[must_use]
    pub fn changed(&self, now: &[Column]) -> Vec<ColumnChange> {
        let bound = &*self.bound;
        let was = bound.columns.iter().zip(&bound.types).zip(&bound.classes);
        was.filter_map(|((column, type_name), class)| {
            let found = now.iter().find(|candidate| candidate.name == *column);
            if found.is_some_and(|found| Class::of(&found.type_name) == *class) {
                return None;
            }
            Some(ColumnChange {
                column: column.clone(),
                was: type_name.clone(),
                now: found.map(|found| found.type_name.clone()),
            })
        })
        .collect()
    }

    fn in_sql(&self, dialect: Dialect) -> Sql<'_> {
        Sql {
            dialect,
            columns: &self.bound.columns,
            classes: &self.bound.classes,
        }
    }

    /// The rows that count, as conditions in SQL; `None` where they cannot be said in it.
    pub(crate) fn sql_conditions(&self, dialect: Dialect) -> Option<Vec<String>> {
        let sql = self.in_sql(dialect);
        let mut conditions = Vec::new();
        if let Some(filter) = &self.plan.0.filter {
            conditions.push(sql.condition(filter)?);
        }
        match self.source(Slot::Deleted) {
            None => {}
            Some(Source::Column(at)) => {
                conditions.push(sql.alive(&Expression::Column(*at))?);
            }
            Some(Source::Expression(expression)) => conditions.push(sql.alive(expression)?),
            Some(Source::Type(_)) => return None,
        }
        Some(conditions)
    }

    /// A field as what it is, in SQL; `None` where it is not mapped or cannot be said in it.
    pub(crate) fn sql_value(&self, field: Slot, dialect: Dialect) -> Option<String> {
        let expression = self.expression(field)?;
        let made = self.in_sql(dialect).value(expression.as_ref());
        made.map(|(sql, _)| sql)
    }

    /// A field as the text of an id, told apart by its bytes, in SQL; `None` as above.
    pub(crate) fn sql_id(&self, field: Slot, dialect: Dialect) -> Option<String> {
        let expression = self.expression(field)?;
        self.in_sql(dialect).id(expression.as_ref())
    }

    fn expression(&self, field: Slot) -> Option<Cow<'_, Expression>> {
        match self.source(field)? {
            Source::Column(at) => Some(Cow::Owned(Expression::Column(*at))),
            Source::Expression(expression) => Some(Cow::Borrowed(expression)),
            Source::Type(_) => None,
        }
    }

    /// Whether a plan column holds bytes that are no text.
    pub(crate) fn is_binary(&self, column: usize) -> bool {
        self.bound.classes.get(column) == Some(&Class::Bytes)
    }

    pub(super) fn row<'r, 'v>(&'r self, values: &'r [Value<'v>]) -> Row<'r, 'v> {
        Row {
            values,
            classes: &self.bound.classes,
        }
    }

    /// The plan column that a field is, where it is one as it stands.
    pub(crate) fn column_of(&self, field: Slot) -> Option<usize> {
        match self.source(field) {
            Some(Source::Column(column)) => Some(*column),
            _ => None,
        }
    }

    pub(super) fn source(&self, field: Slot) -> Option<&Source> {
        let (_, source) = self.plan.0.fields.get(field as usize)?.as_ref()?;
        Some(source)
    }

    /// Plan index of a column by its name in the mapping.
    pub(crate) fn index_of(&self, column: &str) -> Option<usize> {
        let named = &self.plan.0.named;
        named.columns.iter().position(|known| known == column)
    }

    /// Plan columns that only say whether the row is gone or counts: NULL is normal in them.
    pub(crate) fn is_optional(&self, column: usize) -> bool {
        let used_by = self.plan.0.named.used_by.get(column);
        used_by.is_none_or(|users| {
            users
                .iter()
                .all(|user| matches!(user.as_str(), "deleted" | "where" | "watermark" | "key"))
        })
    }
}

pub(super) fn bind(plan: &TablePlan, now: &[Column]) -> Result<BoundTable, Vec<MappingError>> {
    let inner = &*plan.0;
    let mut binder = Binder {
        plan: inner,
        now,
        errors: Vec::new(),
        sources: Vec::new(),
    };
    for at in 0..inner.named.columns.len() {
        binder.column(at);
    }
    let key = binder.key();
    let Binder {
        errors, sources, ..
    } = binder;
    if !errors.is_empty() {
        return Err(errors);
    }
    let found: Vec<&Column> = sources.iter().filter_map(|at| now.get(*at)).collect();
    let classes: Vec<Class> = found.iter().map(|c| Class::of(&c.type_name)).collect();
    let mut errors = wrong_types(inner, &found, &classes);
    let rules = Rules::compile(inner.name.as_str(), &inner.contract, &inner.named.columns)
        .map_err(|error| errors.push(error))
        .unwrap_or_default();
    if !errors.is_empty() {
        return Err(errors);
    }
    let columns: Vec<String> = found.iter().map(|column| column.name.clone()).collect();
    let mut key = key;
    // The order in the catalogue or the file must not matter: the store remembers the key.
    key.sort_by(|a, b| columns.get(*a).cmp(&columns.get(*b)));
    key.dedup_by(|a, b| sources.get(*a) == sources.get(*b));
    let key_columns = key
        .iter()
        .filter_map(|at| columns.get(*at).cloned())
        .collect();
    let types = found
        .iter()
        .map(|column| column.type_name.clone())
        .collect();
    let bound = Bound {
        columns,
        sources,
        classes,
        types,
        key,
        key_columns,
        rules,
    };
    Ok(BoundTable {
        plan: plan.clone(),
        bound: Arc::new(bound),
    })
}

struct Binder<'a> {
    plan: &'a Plan,
    now: &'a [Column],
    errors: Vec<MappingError>,
    sources: Vec<usize>,
}

impl Binder<'_> {
    /// Finds a plan column: by its exact name, else, unquoted, by its only name without case.
    fn column(&mut self, at: usize) {
        let named = &self.plan.named;
        let (Some(name), Some(quoted)) = (named.columns.get(at), named.quoted.get(at)) else {
            return;
        };
        let alike: Vec<usize> = (0..)
            .zip(self.now)
            .filter(|(_, column)| column.name.to_lowercase() == name.to_lowercase())
            .map(|(index, _)| index)
            .collect();
        let exact = self.now.iter().position(|column| column.name == *name);
        match (exact, alike.as_slice()) {
            (Some(index), _) => self.sources.push(index),
            (None, [index]) if !quoted => self.sources.push(*index),
            (None, [_, _, ..]) if !quoted => {
                let names = alike.iter().filter_map(|index| self.now.get(*index));
                let names: Vec<_> = names.map(|column| format!("\"{}\"", column.name)).collect();
                self.errors.push(MappingError::AmbiguousColumn {
                    table: self.plan.name.clone(),
                    column: name.clone(),
                    used_by: used_by(named, at),
                    candidates: names.join(" or "),
                });
            }
            _ => self.errors.push(MappingError::NoColumn {
                table: self.plan.name.clone(),
                column: name.clone(),
                used_by: used_by(named, at),
                nearest: nearest(name, self.now),
            }),
        }
    }

    /// The plan columns of the key; adds those that the catalogue says and no field reads.
    fn key(&mut self) -> Vec<usize> {
        if !self.plan.key.is_empty() {
            let names = self.plan.named.columns.iter();
            let index = |key: &String| names.clone().position(|column| column == key);
            return self.plan.key.iter().filter_map(index).collect();
        }
        if !self.errors.is_empty() {
            return Vec::new();
        }
        let mut key = Vec::new();
        for (index, column) in (0..).zip(self.now) {
            if !column.is_key {
                continue;
            }
            let known = self.sources.iter().position(|source| *source == index);
            key.push(known.unwrap_or(self.sources.len()));
            if known.is_none() {
                self.sources.push(index);
            }
        }
        if key.is_empty() || self.sources.len() > 2 * COLUMNS_MAX {
            self.errors.push(MappingError::NoKey {
                table: self.plan.name.clone(),
            });
        }
        key
    }
}

fn used_by(named: &Named, at: usize) -> String {
    named
        .used_by
        .get(at)
        .map(|users| users.join(", "))
        .unwrap_or_default()
}

/// Fields whose column can never be one.
fn wrong_types(plan: &Plan, found: &[&Column], classes: &[Class]) -> Vec<MappingError> {
    let mut errors = Vec::new();
    for field in fields(plan.target) {
        let Some((kind, Source::Column(at))) = &plan.fields[field.slot as usize] else {
            continue;
        };
        let (Some(column), Some(class)) = (found.get(*at), classes.get(*at)) else {
            continue;
        };
        if let Some(remedy) = kind.refuses(*class, &column.name) {
            errors.push(MappingError::WrongType {
                table: plan.name.clone(),
                field: field.slot.name(),
                column: column.name.clone(),
                found: format!("{}, which is {}", column.type_name, class.name()),
                remedy,
            });
        }
    }
    errors
}

/// The column whose name differs least, where it differs by a few letters.
fn nearest(name: &str, columns: &[Column]) -> Option<String> {
    let name = name.to_lowercase();
    columns
        .iter()
        .filter(|column| column.name.len() <= 64 && name.len() <= 64)
        .map(|column| (distance(&name, &column.name.to_lowercase()), column))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, column)| column.name.clone())
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cost) in b.iter().zip(costs.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *cost;
            left = replaced.min(left + 1).min(*cost + 1);
            *cost = left;
        }
        if let Some(first) = costs.first_mut() {
            *first = i + 1;
        }
    }
    costs.last().copied().unwrap_or(0)
}
