//! From an entry of the mapping file to a plan.

use std::sync::Arc;

use edgewise_wire::api::EventType;

use super::expression::{Const, Expression, Names, compile};
use super::field::{Field, Kind, Slot, fields};
use super::{Column, MappingError};
use crate::replicate::config::{TableConfig, Target};
use crate::replicate::contract::ContractConfig;

/// Most columns that an entry reads.
pub const COLUMNS_MAX: usize = 64;
/// Longest name of a table or a column, bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// A mapped table, compiled from its configuration; cheap to clone.
#[derive(Clone, Debug)]
pub struct TablePlan(pub(super) Arc<Plan>);

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) target: Target,
    /// Names of `columns`, with how they were written and who reads them.
    pub(super) named: Named,
    pub(super) key: Vec<String>,
    pub(super) filter: Option<Expression>,
    /// By [`Slot`].
    pub(super) fields: [Option<(Kind, Source)>; Slot::COUNT],
    pub(super) watermark: Option<String>,
    pub(super) contract: ContractConfig,
}

/// Where a field's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Column(usize),
    Expression(Expression),
    /// An event's type that needs no text: a constant, or a case over constants.
    Type(TypeCase),
}

/// `case operand when constant then 'type' … else 'type' end`; without operand `otherwise`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TypeCase {
    pub(super) operand: Option<Expression>,
    pub(super) arms: Vec<(Const, EventType)>,
    pub(super) otherwise: Option<EventType>,
}

/// The columns that an entry reads.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) columns: Vec<String>,
    pub(super) quoted: Vec<bool>,
    pub(super) used_by: Vec<Vec<String>>,
    /// Who names columns now.
    user: String,
}

impl Names for Named {
    fn column(&mut self, name: &str, quoted: bool) -> Result<usize, String> {
        let same = |(known, exact): (&String, &bool)| known == name && *exact == quoted;
        let at = self.columns.iter().zip(&self.quoted).position(same);
        let at = match at {
            Some(at) => at,
            None if self.columns.len() >= COLUMNS_MAX => {
                return Err(format!("the entry reads more than {COLUMNS_MAX} columns"));
            }
            None if name.is_empty() || name.len() > NAME_BYTES_MAX => {
                return Err(format!("a column's name has 1 to {NAME_BYTES_MAX} bytes"));
            }
            None => {
                self.columns.push(name.to_owned());
                self.quoted.push(quoted);
                self.used_by.push(Vec::new());
                self.columns.len() - 1
            }
        };
        if let Some(users) = self.used_by.get_mut(at)
            && !users.contains(&self.user)
        {
            users.push(self.user.clone());
        }
        Ok(at)
    }
}

impl TablePlan {
    /// Compiles an entry.
    ///
    /// # Errors
    ///
    /// Names the first field or expression that is wrong.
    pub fn compile(table: &TableConfig) -> Result<Self, MappingError> {
        let table = &table.effective();
        let name = table.entry_name();
        if table.table.is_empty() || table.table.len() > NAME_BYTES_MAX {
            return Err(MappingError::Invalid {
                table: name,
                key: "table".to_owned(),
                given: format!("{:?}", table.table.chars().take(60).collect::<String>()),
                allowed: format!("a name of 1 to {NAME_BYTES_MAX} bytes, such as public.posts"),
            });
        }
        table.contract.check(&name)?;
        let mut builder = Builder {
            table: &name,
            named: Named::default(),
        };
        for column in &table.key {
            builder.plain("key", column)?;
        }
        let fields = builder.fields(table)?;
        let filter = match &table.filter {
            Some(text) => Some(builder.expression("where", text)?),
            None => None,
        };
        if let Some(column) = &table.watermark {
            builder.plain("watermark", column)?;
        }
        let contract = table.contract.clone();
        for column in contract.columns.keys() {
            builder.plain("contract.columns", column)?;
        }
        for column in &contract.unique {
            builder.plain("contract.unique", column)?;
        }
        if let Some(column) = &contract.skew_column {
            builder.plain("contract.skew_column", column)?;
        }
        Ok(Self(Arc::new(Plan {
            table: table.table.clone(),
            target: table.to,
            named: builder.named,
            key: table.key.clone(),
            filter,
            fields,
            watermark: table.watermark.clone(),
            contract,
            name,
        })))
    }

    /// The entry's name (`public.posts->items`).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The source's table (`public.posts`) or topic.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.0.table
    }

    /// What its rows are.
    #[must_use]
    pub fn target(&self) -> Target {
        self.0.target
    }

    /// The columns it names, those of a configured key included. A key from the catalogue is
    /// known once it is bound: [`BoundTable::columns`](super::BoundTable::columns).
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.0.named.columns
    }

    /// The configured key; empty where it is taken from the catalogue.
    #[must_use]
    pub fn key_columns(&self) -> &[String] {
        &self.0.key
    }

    /// The watermark column (`mode = "poll"`).
    #[must_use]
    pub fn watermark(&self) -> Option<&str> {
        self.0.watermark.as_deref()
    }

    /// The contract.
    #[must_use]
    pub fn contract(&self) -> &ContractConfig {
        &self.0.contract
    }

    /// Whether rows say the same by both: key, filter and fields are the same, however they are
    /// written.
    #[must_use]
    pub fn means_as(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        let columns = |plan: &Plan| (plan.named.columns.clone(), plan.named.quoted.clone());
        (&a.key, &a.filter, &a.fields) == (&b.key, &b.filter, &b.fields) && columns(a) == columns(b)
    }

    /// Fits the plan to the table as it is now.
    ///
    /// # Errors
    ///
    /// Every column that is missing, ambiguous or of a type that cannot be read.
    pub fn bind(&self, columns: &[Column]) -> Result<super::BoundTable, Vec<MappingError>> {
        super::bind::bind(self, columns)
    }
}

struct Builder<'a> {
    table: &'a str,
    named: Named,
}

impl Builder<'_> {
    /// A column by its bare name.
    fn plain(&mut self, user: &str, column: &str) -> Result<usize, MappingError> {
        user.clone_into(&mut self.named.user);
        self.named
            .column(column, false)
            .map_err(|reason| self.unreadable(user, column, reason))
    }

    fn expression(&mut self, user: &str, text: &str) -> Result<Expression, MappingError> {
        user.clone_into(&mut self.named.user);
        compile(text, &mut self.named).map_err(|reason| self.unreadable(user, text, reason))
    }

    fn unreadable(&self, field: &str, text: &str, reason: String) -> MappingError {
        MappingError::Expression {
            table: self.table.to_owned(),
            field: field.to_owned(),
            text: text.chars().take(200).collect(),
            reason,
        }
    }

    fn fields(
        &mut self,
        table: &TableConfig,
    ) -> Result<[Option<(Kind, Source)>; Slot::COUNT], MappingError> {
        let known = fields(table.to);
        if let Some(name) = table
            .fields
            .keys()
            .find(|name| !known.iter().any(|field| field.slot.name() == *name))
        {
            let fields: Vec<_> = known.iter().map(|field| field.slot.name()).collect();
            return Err(MappingError::UnknownField {
                table: self.table.to_owned(),
                field: name.clone(),
                target: table.to.name(),
                fields: fields.join(", "),
            });
        }
        let mut mapped = [const { None }; Slot::COUNT];
        for field in known {
            match table.fields.get(field.slot.name()) {
                Some(text) => {
                    let source = self.source(*field, text)?;
                    mapped[field.slot as usize] = Some((field.kind, source));
                }
                None if field.required => {
                    return Err(MappingError::MissingField {
                        table: self.table.to_owned(),
                        field: field.slot.name(),
                    });
                }
                None => {}
            }
        }
        Ok(mapped)
    }

    fn source(&mut self, field: Field, text: &str) -> Result<Source, MappingError> {
        let expression = match self.expression(field.slot.name(), text)? {
            Expression::Column(column) => return Ok(Source::Column(column)),
            expression => expression,
        };
        if field.kind != Kind::EventType {
            return Ok(Source::Expression(expression));
        }
        type_case(expression).map_err(|reason| self.unreadable(field.slot.name(), text, reason))
    }
}

/// Event types that are constants are looked up once, not for each row.
fn type_case(expression: Expression) -> Result<Source, String> {
    let case = match expression {
        Expression::Const(value) => {
            return Ok(Source::Type(TypeCase {
                operand: None,
                arms: Vec::new(),
                otherwise: Some(event_type(&value)?),
            }));
        }
        Expression::Case(case) => case,
        other => return Ok(Source::Expression(other)),
    };
    let constant = |expression: &Expression| match expression {
        Expression::Const(value) => Some(value.clone()),
        _ => None,
    };
    let mut arms = Vec::with_capacity(case.arms.len());
    let all_constant = case.operand.is_some()
        && case.otherwise.iter().all(|value| constant(value).is_some())
        && case.arms.iter().all(|(when, then)| {
            constant(when).is_some() && constant(then).is_some_and(|then| then != Const::Null)
        });
    if !all_constant {
        return Ok(Source::Expression(Expression::Case(case)));
    }
    for (when, then) in &case.arms {
        if let (Some(when), Some(then)) = (constant(when), constant(then)) {
            arms.push((when, event_type(&then)?));
        }
    }
    let otherwise = match case.otherwise.as_ref().and_then(constant) {
        None | Some(Const::Null) => None,
        Some(value) => Some(event_type(&value)?),
    };
    Ok(Source::Type(TypeCase {
        operand: case.operand,
        arms,
        otherwise,
    }))
}

fn event_type(value: &Const) -> Result<EventType, String> {
    let names = || EventType::ALL.map(EventType::name).join(", ");
    match value {
        Const::Text(name) => EventType::from_name(name)
            .ok_or_else(|| format!("{name:?} is no event type; there are {}", names())),
        _ => Err(format!(
            "an event type is one of {} in single quotes",
            names()
        )),
    }
}
