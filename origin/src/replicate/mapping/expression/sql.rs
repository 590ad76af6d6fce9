//! An expression as SQL that a server understands as the mapping does: names as the table spells
//! them, text compared by its bytes, whole numbers without overflow, and NULL where the mapping
//! refuses a row, which counts in neither.

use super::{Case, Comparison, Const, Expression, Function, Operator};
use crate::replicate::mapping::column::Class;
use crate::replicate::mapping::read::truth_of_text;
use crate::replicate::reconcile::sql::{Dialect, literal, name};

/// Text that is a whole number, and a number.
const WHOLE: &str = "'^ *[+-]?[0-9]+ *$'";
const NUMBER: &str = "'^ *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)? *$'";

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Null,
    Bool,
    Whole,
    Real,
    Text,
    Time,
    Bytes,
    Other,
}

/// The table as it is now: its columns in plan order.
pub(crate) struct Sql<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) columns: &'a [String],
    pub(crate) classes: &'a [Class],
}

/// SQL with what its value is; `None` where there is no SQL for it.
type Made = Option<(String, Sort)>;

impl Sql<'_> {
    /// The value.
    pub(crate) fn value(&self, expression: &Expression) -> Made {
        match expression {
            Expression::Const(value) => Some(constant(value)),
            Expression::Column(at) => self.column(*at),
            Expression::Concat(a, b) => {
                let (a, b) = (self.text(a)?, self.text(b)?);
                Some((
                    self.pick(format!("({a} || {b})"), format!("concat({a}, {b})")),
                    Sort::Text,
                ))
            }
            Expression::Arithmetic(operator, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                Some(self.arithmetic(*operator, a, b))
            }
            Expression::Negate(value) => {
                let zero = ("0".to_owned(), Sort::Whole);
                Some(self.arithmetic(Operator::Subtract, zero, self.value(value)?))
            }
            Expression::Case(case) => self.case(case),
            Expression::Coalesce(values) => {
                let values: Option<Vec<_>> = values.iter().map(|v| self.value(v)).collect();
                let values = values?;
                let sort = sort_of(values.iter().map(|(_, sort)| *sort));
                let texts: Vec<_> = values.into_iter().map(|(sql, _)| sql).collect();
                Some((format!("coalesce({})", texts.join(", ")), sort))
            }
            Expression::Nullif(value, other) => {
                let (value, other) = (self.value(value)?, self.value(other)?);
                let same = self.compare(Comparison::Equal, &value, &other);
                let (sql, sort) = value;
                Some((format!("(CASE WHEN {same} THEN NULL ELSE {sql} END)"), sort))
            }
            Expression::Call(function, args) => self.call(*function, args),
            Expression::Json(document, member) => {
                let (document, _) = self.value(document)?;
                let member = literal(member);
                let path = literal(&format!("$.{}", name(member.trim_matches('\''))));
                Some((
                    self.pick(
                        format!("(({document})::jsonb ->> {member})"),
                        format!("nullif(json_unquote(json_extract({document}, {path})), 'null')"),
                    ),
                    Sort::Text,
                ))
            }
            condition => Some((self.condition(condition)?, Sort::Bool)),
        }
    }

    /// The value as a condition.
    pub(crate) fn condition(&self, expression: &Expression) -> Option<String> {
        Some(match expression {
            Expression::And(a, b) => format!("({} AND {})", self.condition(a)?, self.condition(b)?),
            Expression::Or(a, b) => format!("({} OR {})", self.condition(a)?, self.condition(b)?),
            Expression::Not(value) => format!("(NOT {})", self.condition(value)?),
            Expression::IsNull(value) => format!("({} IS NULL)", self.value(value)?.0),
            Expression::Is(value, wanted) => {
                let wanted = if *wanted { "TRUE" } else { "FALSE" };
                format!("({} IS {wanted})", self.condition(value)?)
            }
            Expression::Compare(comparison, a, b) => {
                self.compare(*comparison, &self.value(a)?, &self.value(b)?)
            }
            Expression::In(value, list) => {
                let value = self.value(value)?;
                let mut terms = Vec::with_capacity(list.len());
                for candidate in list {
                    terms.push(self.compare(Comparison::Equal, &value, &self.value(candidate)?));
                }
                format!("({})", terms.join(" OR "))
            }
            Expression::Between(value, low, high) => {
                let value = self.value(value)?;
                let above = self.compare(Comparison::GreaterOrEqual, &value, &self.value(low)?);
                let below = self.compare(Comparison::LessOrEqual, &value, &self.value(high)?);
                format!("({above} AND {below})")
            }
            Expression::Like(value, pattern) => {
                let value = self.text(value)?;
                let pattern = literal(&pattern.escaped('|'));
                self.pick(
                    format!("({value} COLLATE \"C\" LIKE {pattern} ESCAPE '|')"),
                    format!(
                        "(convert({value} USING utf8mb4) COLLATE utf8mb4_bin LIKE {pattern} ESCAPE '|')"
                    ),
                )
            }
            other => {
                let made = self.value(other)?;
                self.truth(&made)
            }
        })
    }

    /// The value as text.
    pub(crate) fn text(&self, expression: &Expression) -> Option<String> {
        Some(self.as_text(&self.value(expression)?))
    }

    /// The value as the text of an id: bytes are their hexadecimal digits, and no collation makes
    /// one of two ids.
    pub(crate) fn id(&self, expression: &Expression) -> Option<String> {
        let made = self.value(expression)?;
        Some(match made.1 {
            Sort::Bytes => self.pick(
                format!("encode({}, 'hex')", made.0),
                format!("lower(hex({}))", made.0),
            ),
            Sort::Text | Sort::Other => self.bytes(&made),
            _ => self.as_text(&made),
        })
    }

    /// Whether the value marks no row as gone.
    pub(crate) fn alive(&self, expression: &Expression) -> Option<String> {
        let (sql, sort) = self.value(expression)?;
        let kept = match sort {
            Sort::Null => "TRUE".to_owned(),
            Sort::Bool => format!("({sql} IS FALSE)"),
            Sort::Whole | Sort::Real => format!("({sql} = 0)"),
            Sort::Time => {
                let text = self.as_text(&(sql.clone(), sort));
                format!("({text} LIKE '0000-00-00%')")
            }
            Sort::Text | Sort::Bytes | Sort::Other => {
                let text = self.as_text(&(sql.clone(), sort));
                format!("({text} IN ('', 'f', 'false', '0', '0.0'))")
            }
        };
        Some(format!("({sql} IS NULL OR {kept})"))
    }

    fn pick(&self, postgres: String, mysql: String) -> String {
        match self.dialect {
            Dialect::Postgres => postgres,
            Dialect::Mysql => mysql,
        }
    }

    pub(crate) fn column(&self, at: usize) -> Made {
        let sort = match self.classes.get(at)? {
            Class::Bool => Sort::Bool,
            Class::Integer => Sort::Whole,
            Class::Decimal | Class::Float => Sort::Real,
            Class::Text => Sort::Text,
            Class::Time | Class::Since(_) => Sort::Time,
            Class::Bytes => Sort::Bytes,
            Class::Unknown | Class::Json | Class::Array => Sort::Other,
        };
        let column = name(self.columns.get(at)?);
        if (self.dialect, sort) == (Dialect::Mysql, Sort::Bool) {
            // `bit(1)` is no truth value there.
            return Some((format!("({column} <> 0)"), sort));
        }
        Some((column, sort))
    }

    fn as_text(&self, (sql, sort): &(String, Sort)) -> String {
        if *sort == Sort::Text && sql.starts_with('\'') {
            return sql.clone();
        }
        self.pick(format!("({sql})::text"), format!("cast(({sql}) AS char)"))
    }

    /// Text by its bytes, whatever the collation.
    fn bytes(&self, made: &(String, Sort)) -> String {
        let text = self.as_text(made);
        self.pick(
            format!("{text} COLLATE \"C\""),
            format!("cast(convert({text} USING utf8mb4) AS binary)"),
        )
    }

    /// A number of any size; text that is none is NULL.
    fn number(&self, (sql, sort): &(String, Sort)) -> String {
        let cast = |sql: &str| self.pick(format!("({sql})::numeric"), format!("({sql} + 0)"));
        match sort {
            Sort::Whole => self.pick(
                format!("({sql})::numeric"),
                format!("cast({sql} AS decimal(65))"),
            ),
            Sort::Bool => format!("(CASE WHEN {sql} THEN 1 WHEN NOT {sql} THEN 0 END)"),
            Sort::Real | Sort::Null => sql.clone(),
            Sort::Text | Sort::Time | Sort::Bytes | Sort::Other => {
                let text = self.as_text(&(sql.clone(), *sort));
                let matches = self.pick("~".to_owned(), "REGEXP".to_owned());
                format!(
                    "(CASE WHEN {text} {matches} {NUMBER} THEN {} END)",
                    cast(&text)
                )
            }
        }
    }

    fn arithmetic(
        &self,
        operator: Operator,
        a: (String, Sort),
        b: (String, Sort),
    ) -> (String, Sort) {
        let is_whole = a.1 == Sort::Whole && b.1 == Sort::Whole;
        let (a, b) = (self.number(&a), self.number(&b));
        let sign = match operator {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => {
                let by = format!("nullif({b}, 0)");
                let sql = match (is_whole, self.dialect) {
                    (true, Dialect::Postgres) => format!("div({a}, {by})"),
                    (true, Dialect::Mysql) => format!("({a} DIV {by})"),
                    (false, _) => format!("({a} / {by})"),
                };
                return (sql, if is_whole { Sort::Whole } else { Sort::Real });
            }
        };
        let sort = if is_whole { Sort::Whole } else { Sort::Real };
        (format!("({a} {sign} {b})"), sort)
    }

    fn compare(&self, comparison: Comparison, a: &(String, Sort), b: &(String, Sort)) -> String {
        let sign = match comparison {
            Comparison::Equal => "=",
            Comparison::Unequal => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        };
        let numeric = |sort: Sort| matches!(sort, Sort::Whole | Sort::Real);
        let (a, b) = match (a.1, b.1) {
            (Sort::Text, Sort::Text) => (self.bytes(a), self.bytes(b)),
            (Sort::Bool, Sort::Text) => (a.0.clone(), self.truth(b)),
            (Sort::Text, Sort::Bool) => (self.truth(a), b.0.clone()),
            (Sort::Bool, other) if numeric(other) => (self.number(a), b.0.clone()),
            (other, Sort::Bool) if numeric(other) => (a.0.clone(), self.number(b)),
            (Sort::Text, other) if numeric(other) => (self.number(a), b.0.clone()),
            (other, Sort::Text) if numeric(other) => (a.0.clone(), self.number(b)),
            _ => (a.0.clone(), b.0.clone()),
        };
        format!("({a} {sign} {b})")
    }

    fn truth(&self, made: &(String, Sort)) -> String {
        let (sql, sort) = made;
        match sort {
            Sort::Null => self.pick("NULL::boolean".to_owned(), "NULL".to_owned()),
            Sort::Bool => sql.clone(),
            Sort::Whole | Sort::Real => format!("({sql} <> 0)"),
            Sort::Text | Sort::Time | Sort::Bytes | Sort::Other => {
                // A literal is known here.
                let inner = sql
                    .strip_prefix('\'')
                    .and_then(|sql| sql.strip_suffix('\''));
                if let Some(Ok(truth)) = inner.map(truth_of_text) {
                    return if truth { "TRUE" } else { "FALSE" }.to_owned();
                }
                let text = format!("lower({})", self.as_text(made));
                format!(
                    "(CASE WHEN {text} IN ('t', 'true', '1', 'yes', 'y', 'on') THEN TRUE \
                     WHEN {text} IN ('f', 'false', '0', 'no', 'n', 'off') THEN FALSE END)"
                )
            }
        }
    }

    fn case(&self, case: &Case) -> Made {
        let operand = match &case.operand {
            Some(operand) => Some(self.value(operand)?),
            None => None,
        };
        let mut sql = "(CASE".to_owned();
        let mut sorts = Vec::new();
        for (when, then) in &case.arms {
            let holds = match &operand {
                Some(operand) => self.compare(Comparison::Equal, operand, &self.value(when)?),
                None => self.condition(when)?,
            };
            let (then, sort) = self.value(then)?;
            sorts.push(sort);
            sql = format!("{sql} WHEN {holds} THEN {then}");
        }
        if let Some(otherwise) = &case.otherwise {
            let (otherwise, sort) = self.value(otherwise)?;
            sorts.push(sort);
            sql = format!("{sql} ELSE {otherwise}");
        }
        Some((format!("{sql} END)"), sort_of(sorts.into_iter())))
    }

    fn call(&self, function: Function, args: &[Expression]) -> Made {
        let first = self.value(args.first()?)?;
        let count = |at: usize| -> Option<String> {
            let (sql, _) = self.value(args.get(at)?)?;
            Some(self.pick(format!("({sql})::int"), sql))
        };
        let text = || self.as_text(&first);
        let made = match function {
            Function::Lower => (format!("lower({})", text()), Sort::Text),
            Function::Upper => (format!("upper({})", text()), Sort::Text),
            Function::Trim => (format!("trim(BOTH ' ' FROM {})", text()), Sort::Text),
            Function::TrimStart => (format!("trim(LEADING ' ' FROM {})", text()), Sort::Text),
            Function::TrimEnd => (format!("trim(TRAILING ' ' FROM {})", text()), Sort::Text),
            Function::Left => (format!("left({}, {})", text(), count(1)?), Sort::Text),
            Function::Substring => {
                let len = match args.get(2) {
                    Some(_) => format!(", {}", count(2)?),
                    None => String::new(),
                };
                let sql = format!("substring({}, {}{len})", text(), count(1)?);
                (sql, Sort::Text)
            }
            Function::CastInt => (self.cast_int(&first), Sort::Whole),
            Function::CastFloat => (self.float(&first), Sort::Real),
            Function::CastDecimal => (self.decimal(&first), Sort::Real),
            Function::CastText => (text(), Sort::Text),
            Function::EpochMs => (self.moment(&first, "1000.0"), Sort::Time),
            Function::EpochS => (self.moment(&first, "1.0"), Sort::Time),
            Function::Split => return None,
        };
        Some(made)
    }

    fn float(&self, made: &(String, Sort)) -> String {
        let number = self.number(made);
        self.pick(format!("({number})::float8"), format!("({number} + 0e0)"))
    }

    fn decimal(&self, made: &(String, Sort)) -> String {
        let number = self.number(made);
        // What is exact already keeps its digits; MySQL has no decimal of any scale.
        self.pick(format!("({number})::numeric"), number)
    }

    fn cast_int(&self, made: &(String, Sort)) -> String {
        match made.1 {
            Sort::Text | Sort::Time | Sort::Bytes | Sort::Other => {
                let text = self.as_text(made);
                self.pick(
                    format!("(CASE WHEN {text} ~ {WHOLE} THEN ({text})::numeric END)"),
                    format!(
                        "(CASE WHEN {text} REGEXP {WHOLE} THEN cast({text} AS decimal(65)) END)"
                    ),
                )
            }
            Sort::Real => self.pick(
                format!("round(({})::numeric)", made.0),
                format!("round({})", made.0),
            ),
            Sort::Null | Sort::Bool | Sort::Whole => self.number(made),
        }
    }

    /// So many units since 1970 as a moment, where there is such a one.
    fn moment(&self, made: &(String, Sort), units: &str) -> String {
        if made.1 == Sort::Time {
            return made.0.clone();
        }
        let seconds = format!("({} / {units})", self.number(made));
        let time = self.pick(
            format!("to_timestamp({seconds})"),
            format!("date_add('1970-01-01', INTERVAL floor({seconds}) SECOND)"),
        );
        // The last second of the year 9999.
        format!("(CASE WHEN {seconds} BETWEEN 0 AND 253402300799 THEN {time} END)")
    }
}

fn constant(value: &Const) -> (String, Sort) {
    match value {
        Const::Null => ("NULL".to_owned(), Sort::Null),
        Const::Bool(true) => ("TRUE".to_owned(), Sort::Bool),
        Const::Bool(false) => ("FALSE".to_owned(), Sort::Bool),
        Const::Int(value) if *value < 0 => (format!("({value})"), Sort::Whole),
        Const::Int(value) => (value.to_string(), Sort::Whole),
        Const::Decimal(value) => (format!("({value})"), Sort::Real),
        Const::Text(text) => (literal(text), Sort::Text),
    }
}

/// What one of several values is: as the first that is not NULL.
fn sort_of(mut sorts: impl Iterator<Item = Sort>) -> Sort {
    sorts.find(|sort| *sort != Sort::Null).unwrap_or(Sort::Null)
}
