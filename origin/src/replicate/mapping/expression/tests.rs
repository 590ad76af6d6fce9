//! A line an expression: over the row `a = 7, t = 'Text', n = NULL, u = unchanged, f = 2.5,
//! b = true, at = a time, j = JSON, d = 0.70 and w = 7 as numeric, huge = 10^60 as numeric`.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::replicate::mapping::read::Datum;

const COLUMNS: [(&str, Value<'static>, Class); 12] = [
    ("a", Value::Text("7"), Class::Integer),
    ("t", Value::Text("Text"), Class::Text),
    ("n", Value::Null, Class::Text),
    ("u", Value::Unchanged, Class::Text),
    ("f", Value::Float(2.5), Class::Float),
    ("b", Value::Text("t"), Class::Bool),
    ("at", Value::Text("2026-11-21 13:40:00+00"), Class::Time),
    (
        "j",
        Value::Text(r#"{"a": 5, "s": "x", "o": {"p": 1}, "z": null}"#),
        Class::Json,
    ),
    ("user", Value::Text("ann"), Class::Text),
    ("d", Value::Text("0.70"), Class::Decimal),
    ("w", Value::Text("7"), Class::Decimal),
    ("huge", Value::Text("1e60"), Class::Decimal),
];

struct Known;

impl Names for Known {
    fn column(&mut self, name: &str, quoted: bool) -> Result<usize, String> {
        let found = COLUMNS.iter().position(|(column, _, _)| {
            *column == name || !quoted && column.eq_ignore_ascii_case(name)
        });
        found.ok_or_else(|| format!("no column {name}"))
    }
}

fn evaluate(text: &str) -> Result<String, String> {
    let expression = compile(text, &mut Known)?;
    let values = COLUMNS.map(|(_, value, _)| value);
    let classes = COLUMNS.map(|(_, _, class)| class);
    let row = Row {
        values: &values,
        classes: &classes,
    };
    match expression.eval(&row) {
        Ok(Datum::Text(text)) => Ok(format!("'{text}'")),
        Ok(Datum::Int(value)) => Ok(value.to_string()),
        Ok(Datum::Decimal(value)) => Ok(value.to_string()),
        Ok(Datum::Float(value)) => Ok(format!("{value:?}")),
        Ok(Datum::Bool(value)) => Ok(value.to_string()),
        Ok(other) => Ok(format!("{other:?}")),
        Err(fault) => Ok(format!("{}: {}", fault.rule, fault.reason)),
    }
}

#[track_caller]
fn check(cases: &str, expect: Expect) {
    let results: Vec<String> = cases
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| match evaluate(line) {
            Ok(value) => format!("{line} => {value}\n"),
            Err(reason) => format!(
                "{line} !! {}\n",
                reason.split("; there are").next().unwrap()
            ),
        })
        .collect();
    expect.assert_eq(&results.concat());
}

#[test]
fn values_and_operators() {
    check(
        r#"
        a
        "a"
        `t`
        A
        user
        'it''s'
        -3
        - a
        a + 1
        a - 10 * 2
        (a - 10) * 2
        a / 2
        -7 / 2
        a / 2.0
        f * 2
        a / 0
        1 / nullif(a - 7, 0)
        170141183460469231731687303715884105727 + 1
        t || '-' || a
        t || n
        b || '-' || cast(b as text)
        b::text = 'true'
        t || 5 || true
        t + 1
        at + 1
        "#,
        expect![[r#"
            a => 7
            "a" => 7
            `t` => 'Text'
            A => 7
            user => 'ann'
            'it''s' => 'it's'
            -3 => -3
            - a => -7
            a + 1 => 8
            a - 10 * 2 => -13
            (a - 10) * 2 => -6
            a / 2 => 3
            -7 / 2 => -3
            a / 2.0 => 3.5000000000000000
            f * 2 => 5.0
            a / 0 => expression: a division by zero; write nullif(divisor, 0) to get NULL instead
            1 / nullif(a - 7, 0) => Null
            170141183460469231731687303715884105727 + 1 => range: a calculation is out of range
            t || '-' || a => 'Text-7'
            t || n => Null
            b || '-' || cast(b as text) => 'true-true'
            b::text = 'true' => true
            t || 5 || true => 'Text5true'
            t + 1 => type: is "Text", which is not a number
            at + 1 => expression: a time cannot be calculated with
        "#]],
    );
}

#[test]
fn decimals_are_exact_but_with_doubles() {
    check(
        "
        d + 0.1
        d + 0.1 >= 0.8
        d = 0.7
        d * 1000
        d - 1
        d / 3
        w / 2
        a / 2
        d + f
        cast(d as float) + 0.1
        cast(w as numeric) / 2
        cast(f as numeric)
        cast('0.10' as numeric)
        cast(d + 0.8 as int)
        cast(0 - d - 0.8 as int)
        0.1 + 0.2 = 0.3
        12345678901234567890.12 < 12345678901234567890.13
        d in (0.1, 0.700)
        d between 0.69 and 0.7
        d || ' ' || (d + 0)
        -d
        d / 0.0
        epoch_s(0.0015)
        huge > 1
        huge::text = '1e60'
        ",
        expect![[r#"
            d + 0.1 => 0.80
            d + 0.1 >= 0.8 => true
            d = 0.7 => true
            d * 1000 => 700.00
            d - 1 => -0.30
            d / 3 => 0.23333333333333333333
            w / 2 => 3.5000000000000000
            a / 2 => 3
            d + f => 3.2
            cast(d as float) + 0.1 => 0.7999999999999999
            cast(w as numeric) / 2 => 3.5000000000000000
            cast(f as numeric) => 2.5
            cast('0.10' as numeric) => 0.10
            cast(d + 0.8 as int) => 2
            cast(0 - d - 0.8 as int) => -2
            0.1 + 0.2 = 0.3 => true
            12345678901234567890.12 < 12345678901234567890.13 => true
            d in (0.1, 0.700) => true
            d between 0.69 and 0.7 => true
            d || ' ' || (d + 0) => '0.70 0.70'
            -d => -0.70
            d / 0.0 => expression: a division by zero; write nullif(divisor, 0) to get NULL instead
            epoch_s(0.0015) => Time(1500)
            huge > 1 => range: is "1e60", but a decimal of an expression has at most 38 digits; compare it as text (cast(column as text)), or round it at the source
            huge::text = '1e60' => true
        "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a line a case")]
fn conditions_have_three_values_and_unchanged() {
    check(
        "
        a = 7
        a = '7'
        a <> 7
        a < 10
        f >= 2.5
        t = 'text'
        n = 1
        u = 'x'
        n = u
        n is null
        n is not null
        u is null
        not n is null
        b
        not b
        b = true
        b = 1
        b is true
        n = 1 is not true
        true and n = 1
        false and n = 1
        true or n = 1
        false and u = 'x'
        true or u = 'x'
        true and u = 'x'
        n = 1 and u = 'x'
        a in (1, 7)
        a not in (1, 2)
        a in (1, null)
        a in (7, null)
        a in (1, u)
        a in (7, u)
        a between 1 and 7
        a not between 1 and 7
        a between 8 and n
        t like 'T%'
        t like '%x_'
        t like 't%'
        t not like '%q%'
        t like 'T_x%t'
        t like '%'
        'a%b' like 'a\\%b'
        n like '%'
        at > '2026-11-21'
        at < '2026-11-21 13:40:00.000001'
        at = '2026-11-21T14:40:00+01'
        at > 5
        t and true
        ",
        expect![[r#"
            a = 7 => true
            a = '7' => true
            a <> 7 => false
            a < 10 => true
            f >= 2.5 => true
            t = 'text' => false
            n = 1 => Null
            u = 'x' => Unchanged
            n = u => Null
            n is null => true
            n is not null => false
            u is null => Unchanged
            not n is null => false
            b => true
            not b => false
            b = true => true
            b = 1 => true
            b is true => true
            n = 1 is not true => true
            true and n = 1 => Null
            false and n = 1 => false
            true or n = 1 => true
            false and u = 'x' => false
            true or u = 'x' => true
            true and u = 'x' => Unchanged
            n = 1 and u = 'x' => Unchanged
            a in (1, 7) => true
            a not in (1, 2) => true
            a in (1, null) => Null
            a in (7, null) => true
            a in (1, u) => Unchanged
            a in (7, u) => true
            a between 1 and 7 => true
            a not between 1 and 7 => false
            a between 8 and n => false
            t like 'T%' => true
            t like '%x_' => true
            t like 't%' => false
            t not like '%q%' => true
            t like 'T_x%t' => true
            t like '%' => true
            'a%b' like 'a\%b' => true
            n like '%' => Null
            at > '2026-11-21' => true
            at < '2026-11-21 13:40:00.000001' => true
            at = '2026-11-21T14:40:00+01' => true
            at > 5 => expression: a time cannot be compared with a number
            t and true => type: is "Text", which is not a truth value
        "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a line a case")]
fn case_and_functions() {
    check(
        r#"
        case a when 1 then 'like' when 7 then 'view' end
        case a when '7' then 'view' end
        case a when 1 then 'like' end
        case when a > 5 then 'many' else 'few' end
        case when n = 1 then 'x' else 'y' end
        case when u = 1 then 'x' else 'y' end
        case u when 1 then 'x' else 'y' end
        coalesce(n, t)
        coalesce(n, u, t)
        coalesce(t, u)
        coalesce(n, null)
        nullif(t, 'Text')
        nullif(t, 'x')
        nullif(u, 'x')
        lower(t)
        upper(t || 'ß')
        lower(u)
        lower(n)
        trim('  x ')
        trim(leading from '  x ')
        ltrim('  x ')
        substring(t, 2)
        substring(t from 2 for 2)
        substring('日本語', 2, 1)
        substring(t, 0, 2)
        substring(t, 99999999999, 5)
        substring(t, 2, -1)
        left(t, 2)
        left(t, 99)
        cast('12' as int)
        cast(2.5 as int)
        cast(-2.5 as int)
        cast(t as int)
        cast(f as text)
        cast(a as text) || 'x'
        a::text
        cast('1.5' as float)
        cast(at as int)
        epoch_ms(a)
        epoch_s(1700000000)
        epoch_s('1700000000.5')
        epoch_ms(at)
        epoch_s(9999999999999999)
        epoch_ms(n)
        split('a, b,,c', ',')
        split(n, ',')
        j ->> 'a'
        j ->> 's'
        j ->> 'o'
        j ->> 'z'
        j ->> 'q'
        t ->> 'q'
        (j ->> 'o') ->> 'p'
        "#,
        expect![[r#"
            case a when 1 then 'like' when 7 then 'view' end => 'view'
            case a when '7' then 'view' end => 'view'
            case a when 1 then 'like' end => Null
            case when a > 5 then 'many' else 'few' end => 'many'
            case when n = 1 then 'x' else 'y' end => 'y'
            case when u = 1 then 'x' else 'y' end => Unchanged
            case u when 1 then 'x' else 'y' end => Unchanged
            coalesce(n, t) => 'Text'
            coalesce(n, u, t) => Unchanged
            coalesce(t, u) => 'Text'
            coalesce(n, null) => Null
            nullif(t, 'Text') => Null
            nullif(t, 'x') => 'Text'
            nullif(u, 'x') => Unchanged
            lower(t) => 'text'
            upper(t || 'ß') => 'TEXTSS'
            lower(u) => Unchanged
            lower(n) => Null
            trim('  x ') => 'x'
            trim(leading from '  x ') !! Expected: ), found: '  x ' at Line: 1, Column: 19
            ltrim('  x ') => 'x '
            substring(t, 2) => 'ext'
            substring(t from 2 for 2) => 'ex'
            substring('日本語', 2, 1) => '本'
            substring(t, 0, 2) => 'T'
            substring(t, 99999999999, 5) => ''
            substring(t, 2, -1) => expression: substring needs a length of 0 or more
            left(t, 2) => 'Te'
            left(t, 99) => 'Text'
            cast('12' as int) => 12
            cast(2.5 as int) => 3
            cast(-2.5 as int) => -3
            cast(t as int) => type: "Text" is not a whole number
            cast(f as text) => '2.5'
            cast(a as text) || 'x' => '7x'
            a::text => '7'
            cast('1.5' as float) => 1.5
            cast(at as int) => expression: a time cannot become int
            epoch_ms(a) => Time(7000)
            epoch_s(1700000000) => Time(1700000000000000)
            epoch_s('1700000000.5') => Time(1700000000500000)
            epoch_ms(at) => Time(1795268400000000)
            epoch_s(9999999999999999) => range: 9999999999999999000000 µs since 1970 is out of range
            epoch_ms(n) => Null
            split('a, b,,c', ',') => List(["a", "b", "c"])
            split(n, ',') => Null
            j ->> 'a' => '5'
            j ->> 's' => 'x'
            j ->> 'o' => '{"p":1}'
            j ->> 'z' => Null
            j ->> 'q' => Null
            t ->> 'q' => type: is not JSON: expected value at line 1 column 1
            (j ->> 'o') ->> 'p' => '1'
        "#]],
    );
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    check(
        "
        regexp_replace(t, 'a', 'b')
        a + sqrt(a)
        (select 1)
        a in (select 1)
        exists (select 1)
        t.a
        a % 2
        t ~ 'x'
        t ilike 'x'
        t like n
        cast(a as date)
        cast(a as varchar(3))
        j -> 'a'
        j ->> a
        split(t, n)
        lower(a, t)
        count(*)
        lower(distinct t)
        row_number() over (order by a)
        interval '1 day'
        timestamp '2026-01-01'
        array[1, 2]
        :a
        ?
        a b
        a +
        'open
        case a when 1
        missing
        lower(missing)
        1e999
        ",
        expect![[r#"
            regexp_replace(t, 'a', 'b') !! function regexp_replace is not supported at Line: 1, Column: 1 (regexp_replace(t, 'a', 'b'))
            a + sqrt(a) !! function sqrt is not supported at Line: 1, Column: 5 (sqrt(a))
            (select 1) !! a subquery is not supported at Line: 1, Column: 2 (select 1))
            a in (select 1) !! a subquery is not supported at Line: 1, Column: 1 (a in (select 1))
            exists (select 1) !! a subquery is not supported at Line: 1, Column: 9 (select 1))
            t.a !! a column with its table (write a alone) is not supported at Line: 1, Column: 1 (t.a)
            a % 2 !! operator % is not supported at Line: 1, Column: 1 (a % 2)
            t ~ 'x' !! operator ~ is not supported at Line: 1, Column: 1 (t ~ 'x')
            t ilike 'x' !! this is not supported at Line: 1, Column: 1 (t ilike 'x')
            t like n !! like with a pattern that is not a literal is not supported at Line: 1, Column: 1 (t like n)
            cast(a as date) !! a cast to DATE (int, numeric, float and text are) is not supported at Line: 1, Column: 6 (a as date))
            cast(a as varchar(3)) !! a cast to VARCHAR(3) (int, numeric, float and text are) is not supported at Line: 1, Column: 6 (a as varchar(3)))
            j -> 'a' !! operator -> is not supported at Line: 1, Column: 1 (j -> 'a')
            j ->> a !! ->> with a name that is not a text literal is not supported at Line: 1, Column: 1 (j ->> a)
            split(t, n) !! split by anything but a text literal is not supported at Line: 1, Column: 1 (split(t, n))
            lower(a, t) !! lower with 2 arguments is not supported at Line: 1, Column: 1 (lower(a, t))
            count(*) !! this argument of count is not supported at Line: 1, Column: 1 (count(*))
            lower(distinct t) !! this form of lower is not supported at Line: 1, Column: 1 (lower(distinct t))
            row_number() over (order by a) !! this form of row_number is not supported at Line: 1, Column: 1 (row_number() over (order by a))
            interval '1 day' !! this is not supported at Line: 1, Column: 10 ('1 day')
            timestamp '2026-01-01' !! this is not supported at Line: 1, Column: 11 ('2026-01-01')
            array[1, 2] !! this is not supported at Line: 1, Column: 7 (1, 2])
            :a !! this literal is not supported at Line: 1, Column: 1 (:a)
            ? !! this literal is not supported at Line: 1, Column: 1 (?)
            a b !! b is too much at Line: 1, Column: 3
            a + !! Expected: an expression, found: EOF
            'open !! Unterminated string literal at Line: 1, Column: 1
            case a when 1 !! a is too much at Line: 1, Column: 6
            missing !! no column missing
            lower(missing) !! no column missing
            1e999 !! a number of more than 38 digits is not supported at Line: 1, Column: 1 (1e999)
        "#]],
    );
    assert_eq!(compile("", &mut Known), Err("it is empty".to_owned()));
}

#[test]
fn size_and_depth_are_bounded() {
    let long = format!("'{}'", "x".repeat(EXPRESSION_BYTES_MAX));
    let deep = format!("{}a{}", "(".repeat(1_000), ")".repeat(1_000));
    let chain = vec!["a"; 700].join("+");
    let nested = vec!["a"; 100].join("+");
    for text in [long, deep, chain, nested, "not ".repeat(1_000) + "b"] {
        let reason = compile(&text, &mut Known).unwrap_err();
        assert!(
            reason.contains("more than") || reason.contains("recursion"),
            "{reason}"
        );
    }
    // Sixteen doublings of a text of 64 KiB would be 4 GiB.
    let big = "x".repeat(65_536);
    let mut expression = Expression::Column(0);
    for _ in 0..16 {
        expression = Expression::Concat(expression.clone().into(), expression.into());
    }
    let (values, classes) = ([Value::Text(&big)], [Class::Text]);
    let fault = expression
        .eval(&Row {
            values: &values,
            classes: &classes,
        })
        .unwrap_err();
    assert_eq!(fault.rule, "limit");
}

/// Texts made of what expressions are made of.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "t",
        "n",
        "u",
        "j",
        "at",
        "b",
        "(",
        ")",
        ",",
        "'x'",
        "1",
        "2.5",
        "+",
        "-",
        "*",
        "/",
        "||",
        "=",
        "<",
        "and",
        "or",
        "not",
        "is",
        "null",
        "in",
        "between",
        "like",
        "case",
        "when",
        "then",
        "else",
        "end",
        "coalesce",
        "nullif",
        "lower",
        "cast",
        "as",
        "int",
        "text",
        "epoch_ms",
        "split",
        "->>",
        "::",
        "left",
        "substring",
        "from",
        "for",
        "trim",
        "'",
        "\"",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text in "\\PC{0,80}") {
        let _ = evaluate(&text);
    }

    #[test]
    fn any_words_are_compiled_or_refused(text in words()) {
        let _ = evaluate(&text);
    }

    #[test]
    fn like_finds_what_was_put_in(head in "[a-c]{0,5}", middle in "[a-c]{0,5}", tail in "[a-c]{0,5}") {
        let text = format!("{head}{middle}{tail}");
        for pattern in [format!("{head}%"), format!("%{tail}"), format!("%{middle}%"),
            format!("{head}%{tail}"), "_".repeat(text.len()), text.clone()] {
            prop_assert!(Pattern::new(&pattern).matches(&text), "{text} like {pattern}");
        }
        let longer = format!("{}_", "_".repeat(text.len()));
        prop_assert!(!Pattern::new(&longer).matches(&text));
    }
}
