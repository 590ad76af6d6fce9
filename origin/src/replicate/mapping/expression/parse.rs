//! SQL text to [`Expression`]; what is not supported is refused by its name and place.

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Spanned, TrimWhereField, UnaryOperator, Value as Literal,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::{
    Case, Comparison, Const, DEPTH_MAX, EXPRESSION_BYTES_MAX, Expression, Function, Operator,
    Pattern, TOKENS_MAX,
};
use crate::replicate::mapping::read::decimal::Decimal;

const SUPPORTED: &str = "there are columns, literals, || + - * / comparisons, and, or, not, is null, in, \
     between, like, case, coalesce, nullif, lower, upper, trim, left, substring, cast, epoch_ms, \
     epoch_s, split and ->> 'name'";

/// Gives columns their index in the plan.
pub(crate) trait Names {
    /// The index of the column; a quoted name is exact.
    fn column(&mut self, name: &str, quoted: bool) -> Result<usize, String>;
}

/// Compiles an expression.
///
/// # Errors
///
/// What is wrong and where, for people.
pub(crate) fn compile(text: &str, names: &mut dyn Names) -> Result<Expression, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("it is empty".to_owned());
    }
    if trimmed.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("it has more than {EXPRESSION_BYTES_MAX} bytes"));
    }
    // A bare name is a column also where SQL has a meaning for it, such as `user`.
    if is_name(trimmed) && !["null", "true", "false"].contains(&trimmed.to_lowercase().as_str()) {
        return names.column(trimmed, false).map(Expression::Column);
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, trimmed)
        .tokenize_with_location()
        .map_err(|error| error.to_string())?;
    let count = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .count();
    if count > TOKENS_MAX {
        return Err(format!("it has more than {TOKENS_MAX} words and signs"));
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let parsed = parser.parse_expr().map_err(|error| {
        let text = error.to_string();
        text.trim_start_matches("sql parser error: ").to_owned()
    })?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(format!(
            "{} is too much at Line: {}, Column: {}",
            rest.token, rest.span.start.line, rest.span.start.column
        ));
    }
    Compiler {
        text: trimmed,
        names,
    }
    .expression(&parsed, 0)
}

/// Whether a text is one unquoted identifier.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

struct Compiler<'a> {
    text: &'a str,
    names: &'a mut dyn Names,
}

type Compiled = Result<Expression, String>;

impl Compiler<'_> {
    fn expression(&mut self, expr: &Expr, depth: usize) -> Compiled {
        if depth >= DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        let depth = depth + 1;
        match expr {
            Expr::Nested(inner) => self.expression(inner, depth),
            Expr::Identifier(name) => {
                let quoted = name.quote_style.is_some();
                self.names
                    .column(&name.value, quoted)
                    .map(Expression::Column)
            }
            Expr::Value(value) => self.literal(&value.value, expr).map(Expression::Const),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr, depth),
            Expr::UnaryOp { op, expr: inner } => match op {
                UnaryOperator::Not => Ok(Expression::Not(self.boxed(inner, depth)?)),
                UnaryOperator::Plus => self.expression(inner, depth),
                UnaryOperator::Minus => Ok(match self.expression(inner, depth)? {
                    Expression::Const(Const::Int(value)) => {
                        Expression::Const(Const::Int(value.saturating_neg()))
                    }
                    Expression::Const(Const::Decimal(value)) => {
                        Expression::Const(Const::Decimal(value.negated()))
                    }
                    value => Expression::Negate(Box::new(value)),
                }),
                _ => self.refuse(&format!("operator {op}"), expr),
            },
            Expr::IsNull(inner) => Ok(Expression::IsNull(self.boxed(inner, depth)?)),
            Expr::IsNotNull(inner) => Ok(not(Expression::IsNull(self.boxed(inner, depth)?), true)),
            Expr::IsTrue(inner) => Ok(Expression::Is(self.boxed(inner, depth)?, true)),
            Expr::IsFalse(inner) => Ok(Expression::Is(self.boxed(inner, depth)?, false)),
            Expr::IsNotTrue(inner) => {
                Ok(not(Expression::Is(self.boxed(inner, depth)?, true), true))
            }
            Expr::IsNotFalse(inner) => {
                Ok(not(Expression::Is(self.boxed(inner, depth)?, false), true))
            }
            Expr::InList {
                expr: value,
                list,
                negated,
            } => {
                let value = self.boxed(value, depth)?;
                Ok(not(Expression::In(value, self.all(list, depth)?), *negated))
            }
            Expr::Between {
                expr: value,
                negated,
                low,
                high,
            } => {
                let value = self.boxed(value, depth)?;
                let (low, high) = (self.boxed(low, depth)?, self.boxed(high, depth)?);
                Ok(not(Expression::Between(value, low, high), *negated))
            }
            _ => self.construct(expr, depth),
        }
    }

    fn construct(&mut self, expr: &Expr, depth: usize) -> Compiled {
        match expr {
            Expr::Like {
                negated,
                any: false,
                expr: value,
                pattern,
                escape_char: None,
            } => {
                let Expression::Const(Const::Text(pattern)) = self.expression(pattern, depth)?
                else {
                    return self.refuse("like with a pattern that is not a literal", expr);
                };
                let value = self.boxed(value, depth)?;
                Ok(not(
                    Expression::Like(value, Pattern::new(&pattern)),
                    *negated,
                ))
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                let operand = operand
                    .as_ref()
                    .map(|e| self.expression(e, depth))
                    .transpose()?;
                let mut arms = Vec::with_capacity(conditions.len());
                for arm in conditions {
                    let when = self.expression(&arm.condition, depth)?;
                    arms.push((when, self.expression(&arm.result, depth)?));
                }
                let otherwise = else_result
                    .as_ref()
                    .map(|e| self.expression(e, depth))
                    .transpose()?;
                Ok(Expression::Case(Box::new(Case {
                    operand,
                    arms,
                    otherwise,
                })))
            }
            Expr::Cast { .. } | Expr::Substring { .. } | Expr::Trim { .. } => {
                self.keyword_function(expr, depth)
            }
            Expr::Function(function) => self.function(function, expr, depth),
            Expr::CompoundIdentifier(parts) => {
                let last = parts.last().map_or("", |part| part.value.as_str());
                self.refuse(
                    &format!("a column with its table (write {last} alone)"),
                    expr,
                )
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                self.refuse("a subquery", expr)
            }
            other => self.refuse("this", other),
        }
    }

    /// Functions whose arguments have words between them.
    fn keyword_function(&mut self, expr: &Expr, depth: usize) -> Compiled {
        match expr {
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr: value,
                data_type,
                ..
            } => {
                let Some(function) = cast(data_type) else {
                    let what = format!("a cast to {data_type} (int, numeric, float and text are)");
                    return self.refuse(&what, expr);
                };
                Ok(Expression::Call(
                    function,
                    vec![self.expression(value, depth)?],
                ))
            }
            Expr::Substring {
                expr: value,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut args = vec![
                    self.expression(value, depth)?,
                    self.expression(from, depth)?,
                ];
                if let Some(len) = substring_for {
                    args.push(self.expression(len, depth)?);
                }
                Ok(Expression::Call(Function::Substring, args))
            }
            Expr::Trim {
                trim_where,
                trim_what: None,
                expr: value,
                trim_characters: None,
            } => {
                let function = match trim_where {
                    None | Some(TrimWhereField::Both) => Function::Trim,
                    Some(TrimWhereField::Leading) => Function::TrimStart,
                    Some(TrimWhereField::Trailing) => Function::TrimEnd,
                };
                Ok(Expression::Call(
                    function,
                    vec![self.expression(value, depth)?],
                ))
            }
            other => self.refuse("this form", other),
        }
    }

    fn binary(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        whole: &Expr,
        depth: usize,
    ) -> Compiled {
        if *op == BinaryOperator::LongArrow {
            let document = self.boxed(left, depth)?;
            return match self.expression(right, depth)? {
                Expression::Const(Const::Text(name)) => Ok(Expression::Json(document, name)),
                _ => self.refuse("->> with a name that is not a text literal", whole),
            };
        }
        let make: fn(Box<Expression>, Box<Expression>) -> Expression = match op {
            BinaryOperator::StringConcat => Expression::Concat,
            BinaryOperator::And => Expression::And,
            BinaryOperator::Or => Expression::Or,
            BinaryOperator::Plus => |a, b| Expression::Arithmetic(Operator::Add, a, b),
            BinaryOperator::Minus => |a, b| Expression::Arithmetic(Operator::Subtract, a, b),
            BinaryOperator::Multiply => |a, b| Expression::Arithmetic(Operator::Multiply, a, b),
            BinaryOperator::Divide => |a, b| Expression::Arithmetic(Operator::Divide, a, b),
            BinaryOperator::Eq => |a, b| Expression::Compare(Comparison::Equal, a, b),
            BinaryOperator::NotEq => |a, b| Expression::Compare(Comparison::Unequal, a, b),
            BinaryOperator::Lt => |a, b| Expression::Compare(Comparison::Less, a, b),
            BinaryOperator::LtEq => |a, b| Expression::Compare(Comparison::LessOrEqual, a, b),
            BinaryOperator::Gt => |a, b| Expression::Compare(Comparison::Greater, a, b),
            BinaryOperator::GtEq => |a, b| Expression::Compare(Comparison::GreaterOrEqual, a, b),
            _ => return self.refuse(&format!("operator {op}"), whole),
        };
        Ok(make(self.boxed(left, depth)?, self.boxed(right, depth)?))
    }

    fn function(
        &mut self,
        function: &sqlparser::ast::Function,
        whole: &Expr,
        depth: usize,
    ) -> Compiled {
        let name = function.name.to_string().to_lowercase();
        let list = match &function.args {
            // `user` and `current_date` parse as functions without parentheses.
            FunctionArguments::None => {
                return self.names.column(&name, false).map(Expression::Column);
            }
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_none()
                    && list.clauses.is_empty()
                    && function.over.is_none()
                    && function.filter.is_none() =>
            {
                list
            }
            _ => return self.refuse(&format!("this form of {name}"), whole),
        };
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => {
                    args.push(self.expression(arg, depth)?);
                }
                _ => return self.refuse(&format!("this argument of {name}"), whole),
            }
        }
        let (function, expected) = match name.as_str() {
            "coalesce" if !args.is_empty() => return Ok(Expression::Coalesce(args)),
            "nullif" => {
                return match <[Expression; 2]>::try_from(args) {
                    Ok([value, other]) => Ok(Expression::Nullif(value.into(), other.into())),
                    Err(_) => self.refuse("nullif with other than two arguments", whole),
                };
            }
            "lower" => (Function::Lower, 1..=1),
            "upper" => (Function::Upper, 1..=1),
            "trim" | "btrim" => (Function::Trim, 1..=1),
            "ltrim" => (Function::TrimStart, 1..=1),
            "rtrim" => (Function::TrimEnd, 1..=1),
            "left" => (Function::Left, 2..=2),
            "substring" | "substr" => (Function::Substring, 2..=3),
            "epoch_ms" => (Function::EpochMs, 1..=1),
            "epoch_s" => (Function::EpochS, 1..=1),
            "split" => (Function::Split, 2..=2),
            _ => return self.refuse(&format!("function {name}"), whole),
        };
        if !expected.contains(&args.len()) {
            return self.refuse(&format!("{name} with {} arguments", args.len()), whole);
        }
        if function == Function::Split
            && !matches!(args.get(1), Some(Expression::Const(Const::Text(s))) if !s.is_empty())
        {
            return self.refuse("split by anything but a text literal", whole);
        }
        Ok(Expression::Call(function, args))
    }

    fn literal(&self, value: &Literal, expr: &Expr) -> Result<Const, String> {
        Ok(match value {
            Literal::Null => Const::Null,
            Literal::Boolean(value) => Const::Bool(*value),
            Literal::SingleQuotedString(text) | Literal::EscapedStringLiteral(text) => {
                Const::Text(text.as_str().into())
            }
            Literal::Number(text, _) => match text.parse::<i128>() {
                Ok(value) => Const::Int(value),
                Err(_) => match Decimal::parse(text) {
                    Some(value) => Const::Decimal(value),
                    None => return Err(self.refusal("a number of more than 38 digits", expr)),
                },
            },
            _ => return Err(self.refusal("this literal", expr)),
        })
    }

    fn boxed(&mut self, expr: &Expr, depth: usize) -> Result<Box<Expression>, String> {
        self.expression(expr, depth).map(Box::new)
    }

    fn all(&mut self, list: &[Expr], depth: usize) -> Result<Vec<Expression>, String> {
        list.iter()
            .map(|expr| self.expression(expr, depth))
            .collect()
    }

    fn refuse(&self, what: &str, expr: &Expr) -> Compiled {
        Err(self.refusal(what, expr))
    }

    /// `function replace is not supported at Line: 1, Column: 5 (replace(a, …); there are …`.
    fn refusal(&self, what: &str, expr: &Expr) -> String {
        let start = expr.span().start;
        let line = usize::try_from(start.line.saturating_sub(1)).unwrap_or(0);
        let column = usize::try_from(start.column.saturating_sub(1)).unwrap_or(0);
        let found: String = self
            .text
            .lines()
            .nth(line)
            .unwrap_or("")
            .chars()
            .skip(column)
            .take(40)
            .collect();
        format!(
            "{what} is not supported at Line: {}, Column: {} ({found}); {SUPPORTED}",
            start.line, start.column
        )
    }
}

fn not(expression: Expression, negated: bool) -> Expression {
    if negated {
        Expression::Not(Box::new(expression))
    } else {
        expression
    }
}

/// The function of a cast. Lengths and precisions would cut and round, so they are refused.
fn cast(to: &DataType) -> Option<Function> {
    Some(match to {
        DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::SmallInt(None)
        | DataType::Int2(None)
        | DataType::Int4(None)
        | DataType::Int8(None)
        | DataType::Int64
        | DataType::Signed
        | DataType::Unsigned => Function::CastInt,
        DataType::Float(ExactNumberInfo::None)
        | DataType::Double(ExactNumberInfo::None)
        | DataType::Real
        | DataType::Float4
        | DataType::Float8
        | DataType::Float64
        | DataType::DoublePrecision => Function::CastFloat,
        DataType::Numeric(ExactNumberInfo::None) | DataType::Decimal(ExactNumberInfo::None) => {
            Function::CastDecimal
        }
        DataType::Text
        | DataType::Varchar(None)
        | DataType::Char(None)
        | DataType::CharacterVarying(None)
        | DataType::String(None) => Function::CastText,
        _ => return None,
    })
}
