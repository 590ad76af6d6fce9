//! From a row to a fact.

use edgewise_wire::api::{EventType, Item};
use edgewise_wire::items;
use edgewise_wire::limits::{TAGS_MAX, TITLE_BYTES_MAX, WATCH_MS_MAX};

use super::column::Class;
use super::expression::{Const, Row, Truth, equal};
use super::field::{Slot, fields};
use super::plan::{Source, TypeCase};
use super::read::{Datum, Fault, id, is_gone, list, number, text, time};
use super::{BoundTable, Mapped, Violation};
use crate::ingest::rows::{EventFact, Fact, Id, ItemField, Kept};
use crate::replicate::config::Target;
use crate::replicate::value::Value;

/// What was cut to fit, so that it can be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The title was longer than 300 bytes.
    pub title_cut: bool,
    /// There were more than 16 tags.
    pub tags_cut: bool,
}

const WAS_NOT_SENT: &str = "reads a value that was not sent because it did not change; \
    make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), \
    binlog_row_image = FULL (MySQL, MariaDB)";

impl BoundTable {
    /// Maps a plan-ordered row and checks its contract.
    #[must_use]
    pub fn map(&self, row: &[Value<'_>]) -> Mapped {
        self.map_noting(row, &mut Notes::default())
    }

    /// Like [`BoundTable::map`], and says what was cut.
    #[must_use]
    pub fn map_noting(&self, row: &[Value<'_>], notes: &mut Notes) -> Mapped {
        if row.len() < self.bound.columns.len() {
            let reason = format!(
                "has {} of {} columns; the table changed: resync it",
                row.len(),
                self.bound.columns.len()
            );
            return Mapped::Refused(self.violation("row", None, &Fault::new("shape", reason)));
        }
        let row = self.row(row);
        match self.counts(&row) {
            Ok(true) => {}
            Ok(false) => return Mapped::Remove,
            Err(violation) => return Mapped::Refused(violation),
        }
        if let Err((column, fault)) = self.bound.rules.check(&row) {
            return Mapped::Refused(self.violation("", None, &fault.at(column)));
        }
        let mapped = match self.plan.target() {
            Target::Items => self.item(&row, notes),
            Target::Users => self.user(&row),
            Target::Follows => self.follow(&row),
            Target::Events => self.event(&row),
        };
        mapped.unwrap_or_else(Mapped::Refused)
    }

    /// Whether the row satisfies the filter and is not soft-deleted.
    fn counts(&self, row: &Row<'_, '_>) -> Result<bool, Violation> {
        if let Some(filter) = &self.plan.0.filter {
            match filter.condition(row) {
                Ok(Truth::True) => {}
                Ok(Truth::False | Truth::Null) => return Ok(false),
                Ok(Truth::Unchanged) => {
                    let fault = Fault::new("unchanged", WAS_NOT_SENT);
                    return Err(self.violation("where", None, &fault));
                }
                Err(fault) => return Err(self.violation("where", None, &fault)),
            }
        }
        match self.read(row, Slot::Deleted, |value, class| {
            Ok(Some(is_gone(value, class)))
        })? {
            Read::Known(gone) => Ok(!gone.unwrap_or(false)),
            Read::Unchanged => Err(self.unchanged(Slot::Deleted)),
        }
    }

    fn item(&self, row: &Row<'_, '_>, notes: &mut Notes) -> Result<Mapped, Violation> {
        let mut kept = Kept::default();
        let mut keep = |field: ItemField| kept.0 |= field as u16;
        let mut item = Item {
            id: self.need_id(row, Slot::Id)?.into_string(),
            ..Item::default()
        };
        match self.read(row, Slot::Author, id::id)? {
            Read::Known(Some(author)) => item.author = author.into_string(),
            Read::Known(None) => return Err(self.null(Slot::Author)),
            Read::Unchanged => keep(ItemField::Author),
        }
        match self.read(row, Slot::CreatedAt, time::ms)? {
            Read::Known(Some(ms)) => item.created_at_ms = ms,
            Read::Known(None) => return Err(self.null(Slot::CreatedAt)),
            Read::Unchanged => keep(ItemField::CreatedAt),
        }
        match self.read(row, Slot::Duration, |v, c| number::count(v, c, u32::MAX))? {
            Read::Known(duration) => item.duration_ms = duration,
            Read::Unchanged => keep(ItemField::Duration),
        }
        match self.tags(row)? {
            Read::Known(tags) => {
                let tags = tags.unwrap_or_default();
                notes.tags_cut = tags.len() > TAGS_MAX;
                item.tags = tags;
                item.tags.truncate(TAGS_MAX);
            }
            Read::Unchanged => keep(ItemField::Tags),
        }
        match self.read(row, Slot::Title, owned)? {
            Read::Known(title) => {
                item.title = title.unwrap_or_default();
                notes.title_cut = item.title.len() > TITLE_BYTES_MAX;
                item.title
                    .truncate(item.title.floor_char_boundary(TITLE_BYTES_MAX));
            }
            Read::Unchanged => keep(ItemField::Title),
        }
        let mut label = |name: Slot, field: ItemField| match self.read(row, name, owned)? {
            Read::Known(text) => Ok(text.filter(|text| !text.is_empty())),
            Read::Unchanged => {
                keep(field);
                Ok(None)
            }
        };
        item.kind = label(Slot::Kind, ItemField::Kind)?;
        item.region = label(Slot::Region, ItemField::Region)?;
        item.language = label(Slot::Language, ItemField::Language)?;
        item.thumbnail = label(Slot::Thumbnail, ItemField::Thumbnail)?;
        item.link = label(Slot::Link, ItemField::Link)?;
        self.check_item(&mut item, kept)?;
        Ok(if kept == Kept::default() {
            Mapped::Put(Fact::Item(Box::new(item)))
        } else {
            Mapped::Patch(Box::new(item), kept)
        })
    }

    /// The rules that the API has for items.
    fn check_item(&self, item: &mut Item, kept: Kept) -> Result<(), Violation> {
        let kept_author = kept.0 & ItemField::Author as u16 != 0;
        if kept_author {
            // It was checked when it was remembered.
            "kept".clone_into(&mut item.author);
        }
        let checked = items::check(item);
        if kept_author {
            item.author.clear();
        }
        let Err(error) = checked else { return Ok(()) };
        let found = match error.field {
            "kind" => item.kind.as_deref().unwrap_or(""),
            "region" => item.region.as_deref().unwrap_or(""),
            "language" => item.language.as_deref().unwrap_or(""),
            "thumbnail" => item.thumbnail.as_deref().unwrap_or(""),
            "link" => item.link.as_deref().unwrap_or(""),
            _ => "",
        };
        let remedy = match error.field {
            "kind" => "map it with case … when … then 'post' … end",
            _ => "correct the row, or map it with an expression such as case … else null end",
        };
        let shown = super::read::shown(found);
        let reason = format!("is {shown}, but must be {}; {remedy}", error.allowed);
        let column = fields(Target::Items)
            .iter()
            .find(|field| field.slot.name() == error.field)
            .and_then(|field| self.column_of(field.slot));
        Err(self.violation(error.field, column, &Fault::new("limit", reason)))
    }

    fn user(&self, row: &Row<'_, '_>) -> Result<Mapped, Violation> {
        let id = self.need_id(row, Slot::Id)?;
        Ok(Mapped::Put(Fact::User { id }))
    }

    fn follow(&self, row: &Row<'_, '_>) -> Result<Mapped, Violation> {
        Ok(Mapped::Put(Fact::Follow {
            user: self.need_id(row, Slot::User)?,
            author: self.need_id(row, Slot::Author)?,
            since_ms: self.known(row, Slot::Since, time::ms)?,
        }))
    }

    fn event(&self, row: &Row<'_, '_>) -> Result<Mapped, Violation> {
        let kind = self.event_type(row)?;
        let watched = |value: Value<'_>, class| number::count(value, class, WATCH_MS_MAX);
        let event = EventFact {
            kind,
            user: self.need_id(row, Slot::User)?,
            item: self.known(row, Slot::Item, id::id)?,
            author: self.known(row, Slot::Author, id::id)?,
            ts_ms: self
                .known(row, Slot::Ts, time::ms)?
                .ok_or_else(|| self.null(Slot::Ts))?,
            watch_ms: self.known(row, Slot::Watch, watched)?,
            duration_ms: self.known(row, Slot::Duration, watched)?,
            value: self.known(row, Slot::Value, number::real)?,
        };
        let named = match kind {
            EventType::Follow | EventType::Unfollow | EventType::Hide => {
                event.item.is_some() || event.author.is_some()
            }
            _ => event.item.is_some(),
        };
        if !named {
            return Err(self.null(Slot::Item));
        }
        Ok(Mapped::Put(Fact::Event(event)))
    }

    fn event_type(&self, row: &Row<'_, '_>) -> Result<EventType, Violation> {
        if let Some(Source::Type(case)) = self.source(Slot::Type) {
            return match case.find(row) {
                Ok(Read::Known(Some(kind))) => Ok(kind),
                Ok(Read::Known(None)) => Err(self.null(Slot::Type)),
                Ok(Read::Unchanged) => Err(self.unchanged(Slot::Type)),
                Err(fault) => Err(self.refusal(Slot::Type, &fault)),
            };
        }
        let kind = self.known(row, Slot::Type, |value, class| {
            let Some(name) = text(value, class)? else {
                return Ok(None);
            };
            EventType::from_name(&name).map(Some).ok_or_else(|| {
                let names = EventType::ALL.map(EventType::name).join(", ");
                let shown = super::read::shown(&name);
                Fault::new(
                    "one_of",
                    format!("is {shown}, but must be one of {names}; map it with case … end"),
                )
            })
        })?;
        kind.ok_or_else(|| self.null(Slot::Type))
    }

    fn tags(&self, row: &Row<'_, '_>) -> Result<Read<Vec<String>>, Violation> {
        let read = match self.source(Slot::Tags) {
            Some(Source::Expression(expression)) => match expression.eval(row) {
                Ok(Datum::List(tags)) => Read::Known(Some(tags)),
                _ => self.read(row, Slot::Tags, list::list)?,
            },
            _ => self.read(row, Slot::Tags, list::list)?,
        };
        Ok(match read {
            Read::Known(Some(mut tags)) => {
                let mut seen = Vec::with_capacity(tags.len());
                tags.retain(|tag| {
                    !seen.contains(tag) && {
                        seen.push(tag.clone());
                        true
                    }
                });
                Read::Known(Some(tags))
            }
            other => other,
        })
    }

    fn need_id(&self, row: &Row<'_, '_>, field: Slot) -> Result<Id, Violation> {
        self.known(row, field, id::id)?
            .ok_or_else(|| self.null(field))
    }

    /// A field that cannot be kept: unchanged refuses the row.
    fn known<T>(
        &self,
        row: &Row<'_, '_>,
        field: Slot,
        read: impl FnOnce(Value<'_>, Class) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Violation> {
        match self.read(row, field, read)? {
            Read::Known(value) => Ok(value),
            Read::Unchanged => Err(self.unchanged(field)),
        }
    }

    fn read<T>(
        &self,
        row: &Row<'_, '_>,
        field: Slot,
        read: impl FnOnce(Value<'_>, Class) -> Result<Option<T>, Fault>,
    ) -> Result<Read<T>, Violation> {
        let result = match self.source(field) {
            None => return Ok(Read::Known(None)),
            Some(Source::Column(column)) => match row.value(*column) {
                Value::Unchanged => return Ok(Read::Unchanged),
                value => read(value, row.class(*column)).map_err(|fault| fault.at(*column)),
            },
            Some(Source::Expression(expression)) => match expression.eval(row) {
                Ok(Datum::Unchanged) => return Ok(Read::Unchanged),
                Ok(Datum::Decimal(value)) => read(Value::Text(&value.to_string()), Class::Decimal),
                Ok(datum) => with_value(&datum, |value| read(value, Class::Unknown)),
                Err(fault) => Err(fault),
            },
            Some(Source::Type(_)) => return Ok(Read::Known(None)),
        };
        result
            .map(Read::Known)
            .map_err(|fault| self.refusal(field, &fault))
    }

    #[cold]
    fn null(&self, field: Slot) -> Violation {
        let reason =
            "is NULL, but every such row needs it; correct the row or filter it with `where`";
        self.refusal(field, &Fault::new("not_null", reason))
    }

    #[cold]
    fn unchanged(&self, field: Slot) -> Violation {
        self.refusal(field, &Fault::new("unchanged", WAS_NOT_SENT))
    }

    #[cold]
    fn refusal(&self, field: Slot, fault: &Fault) -> Violation {
        self.violation(field.name(), self.column_of(field), fault)
    }

    /// Names the column where the fault or the field has one, else the field.
    #[cold]
    pub(super) fn violation(&self, field: &str, column: Option<usize>, fault: &Fault) -> Violation {
        let column = fault.column.or(column);
        let name = column.and_then(|at| self.bound.columns.get(at));
        let column = name.map_or(field, String::as_str);
        let reason = match name {
            Some(_) if field.is_empty() => format!("column {column} {}", fault.reason),
            Some(_) if field != column => format!("{field} (column {column}) {}", fault.reason),
            _ => format!("{field} {}", fault.reason),
        };
        Violation {
            rule: fault.rule,
            column: column.to_owned(),
            reason,
        }
    }
}

/// What a field says: a value or NULL, or that it was not sent.
enum Read<T> {
    Known(Option<T>),
    Unchanged,
}

impl TypeCase {
    fn find(&self, row: &Row<'_, '_>) -> Result<Read<EventType>, Fault> {
        let Some(operand) = &self.operand else {
            return Ok(Read::Known(self.otherwise));
        };
        let value = operand.eval(row)?;
        if value == Datum::Unchanged {
            return Ok(Read::Unchanged);
        }
        for (when, then) in &self.arms {
            // What nearly every mapping compares, without making a value of the constant.
            let same = match (&value, when) {
                (Datum::Int(value), Const::Int(when)) => value == when,
                (Datum::Text(value), Const::Text(when)) => **value == **when,
                _ => equal(&value, &when.datum())? == Truth::True,
            };
            if same {
                return Ok(Read::Known(Some(*then)));
            }
        }
        Ok(Read::Known(self.otherwise))
    }
}

fn owned(value: Value<'_>, class: Class) -> Result<Option<String>, Fault> {
    Ok(text(value, class)?.map(std::borrow::Cow::into_owned))
}

/// What an expression made, as a source would deliver it.
fn with_value<T>(
    datum: &Datum<'_>,
    read: impl FnOnce(Value<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let written;
    read(match datum {
        Datum::Decimal(value) => {
            written = value.to_string();
            Value::Text(&written)
        }
        Datum::Null | Datum::Unchanged => Value::Null,
        Datum::Bool(value) => Value::Bool(*value),
        Datum::Float(value) => Value::Float(*value),
        Datum::Text(text) => Value::Text(text),
        Datum::Bytes(bytes) => Value::Bytes(bytes),
        Datum::Time(micros) => Value::Time(*micros),
        Datum::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => Value::Int(value),
            (_, Ok(value)) => Value::Uint(value),
            _ => {
                return Err(Fault::new(
                    "range",
                    format!("is {value}, which is out of range"),
                ));
            }
        },
        Datum::List(_) => return Err(Fault::new("type", "is a list, which only tags can be")),
    })
}
