//! The rules.

#![allow(clippy::too_many_lines, reason = "a table is as long as what it lists")]

use super::row::{Row, get, request, row};

/// Every rule.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = freshness();
    rows.extend(ages());
    rows.extend(storing());
    rows.extend(secrets());
    rows.extend(targeted());
    rows.extend(stale());
    rows.extend(requests());
    rows.extend(validation());
    rows.extend(conditions());
    rows.extend(selecting());
    rows.extend(parts());
    rows.extend(invalidation());
    rows
}

/// A row whose first answer has these fields and which is asked for again later.
fn later(
    rule: &'static str,
    source: &'static str,
    fields: &[(&'static str, &'static str)],
    after_s: i64,
    is_served: bool,
) -> Row {
    let mut first = get();
    first.answer = Some((200, fields.into()));
    let second = get().after(after_s);
    let second = if is_served {
        second.served()
    } else {
        second.forwarded()
    };
    row(rule, source, [first, second])
}

fn freshness() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    vec![
        later(
            "max-age is a lifetime",
            "9111 5.2.2.1",
            &[(CC, "max-age=60")],
            59,
            true,
        ),
        later(
            "at its end a lifetime is over",
            "9111 4.2",
            &[(CC, "max-age=60")],
            60,
            false,
        ),
        later(
            "max-age=0 is stale",
            "9111 5.2.2.1",
            &[(CC, "max-age=0")],
            0,
            false,
        ),
        later(
            "names have no case",
            "9111 5.2",
            &[(CC, "MaX-AgE=60")],
            1,
            true,
        ),
        later(
            "a number may be quoted",
            "9111 5.2",
            &[(CC, "max-age=\"60\"")],
            1,
            true,
        ),
        later(
            "leading zeros count nothing",
            "9111 1.2.2",
            &[(CC, "max-age=0060")],
            59,
            true,
        ),
        later(
            "too large is very long",
            "9111 1.2.2",
            &[(CC, "max-age=99999999999")],
            9_999_999,
            true,
        ),
        later(
            "a negative lifetime is stale",
            "9111 4.2.1",
            &[(CC, "max-age=-60")],
            0,
            false,
        ),
        later(
            "a fraction is stale",
            "9111 4.2.1",
            &[(CC, "max-age=60.5")],
            0,
            false,
        ),
        later(
            "a word is stale",
            "9111 4.2.1",
            &[(CC, "max-age=long")],
            0,
            false,
        ),
        later(
            "single quotes are no quotes",
            "9111 5.2",
            &[(CC, "max-age='60'")],
            0,
            false,
        ),
        later(
            "extensions change nothing",
            "9111 5.2.3",
            &[(CC, "a, b=c, max-age=60")],
            1,
            true,
        ),
        later(
            "quoted text is not read",
            "9111 5.2",
            &[(CC, "x=\"max-age=60\", max-age=1")],
            5,
            false,
        ),
        later(
            "the first of two counts",
            "9111 4.2.1",
            &[(CC, "max-age=1, max-age=60")],
            5,
            false,
        ),
        later(
            "lines are one list",
            "9111 5.2",
            &[(CC, "x"), (CC, "max-age=60")],
            5,
            true,
        ),
        later(
            "s-maxage wins, longer",
            "9111 5.2.2.10",
            &[(CC, "max-age=1, s-maxage=60")],
            5,
            true,
        ),
        later(
            "s-maxage wins, shorter",
            "9111 5.2.2.10",
            &[(CC, "s-maxage=1, max-age=60")],
            5,
            false,
        ),
        later(
            "s-maxage wins over Expires",
            "9111 4.2.1",
            &[(CC, "s-maxage=60"), ("Expires", "@-9")],
            5,
            true,
        ),
        later(
            "Expires is an end",
            "9111 5.3",
            &[("Expires", "@60"), ("Date", "@0")],
            59,
            true,
        ),
        later(
            "Expires in the past is stale",
            "9111 5.3",
            &[("Expires", "@-60"), ("Date", "@0")],
            0,
            false,
        ),
        later(
            "Expires is seen from Date",
            "9111 4.2.1",
            &[("Expires", "@60"), ("Date", "@60")],
            0,
            false,
        ),
        later(
            "a bad Expires is past",
            "9111 5.3",
            &[("Expires", "0"), ("Date", "@0")],
            0,
            false,
        ),
        later(
            "max-age wins over Expires",
            "9111 5.3",
            &[(CC, "max-age=60"), ("Expires", "@-9")],
            5,
            true,
        ),
        later(
            "max-age=0 wins over Expires",
            "9111 5.3",
            &[(CC, "max-age=0"), ("Expires", "@99")],
            0,
            false,
        ),
        later(
            "a tenth of the time since a change",
            "9111 4.2.2",
            &[("Last-Modified", "@-1000"), ("Date", "@0")],
            99,
            true,
        ),
        later(
            "and no more",
            "9111 4.2.2",
            &[("Last-Modified", "@-1000"), ("Date", "@0")],
            101,
            false,
        ),
        later(
            "a guess is bounded",
            "9111 4.2.2",
            &[("Last-Modified", "@-99999999"), ("Date", "@0")],
            86_401,
            false,
        ),
        later(
            "nothing to guess from",
            "9111 4.2.2",
            &[("Date", "@0")],
            0,
            false,
        ),
        later(
            "directives forbid guesses",
            "9111 4.2.2",
            &[("Last-Modified", "@-1000"), (CC, "max-age=1")],
            5,
            false,
        ),
        row(
            "a 404 without a word is kept shortly",
            "9111 4.2.2",
            [
                get().status_answer(404, []),
                get().after(1).served().status(404),
                get().after(5).status_answer(200, []).forwarded(),
            ],
        ),
        row(
            "a 404 with a lifetime is kept for it",
            "9111 4.2.1",
            [
                get().status_answer(404, [(CC, "max-age=60")]),
                get().after(50).served().status(404),
            ],
        ),
        row(
            "no guess for a status that allows none",
            "9110 15.1",
            [
                get().status_answer(403, [("Last-Modified", "@-1000")]),
                get().forwarded(),
            ],
        ),
        row(
            "public allows a guess",
            "9111 5.2.2.9",
            [
                get().status_answer(599, [("Last-Modified", "@-1000"), (CC, "public")]),
                get().served().status(599),
            ],
        ),
        row(
            "an unknown status with a lifetime",
            "9111 3",
            [
                get().status_answer(299, [(CC, "max-age=60")]),
                get().served().status(299),
            ],
        ),
        row(
            "an error with a lifetime",
            "9111 3",
            [
                get().status_answer(503, [(CC, "max-age=60")]),
                get().served().status(503),
            ],
        ),
        row(
            "a redirect with a lifetime",
            "9111 3",
            [
                get().status_answer(302, [(CC, "max-age=60"), ("Location", "/b")]),
                get().served().status(302).sees("Location", "/b"),
            ],
        ),
    ]
}

fn ages() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let aged = |rule, age: &[&'static str], is_served| {
        let mut fields = vec![(CC, "max-age=3600"), ("Date", "@0")];
        fields.extend(age.iter().map(|age| ("Age", *age)));
        later(rule, "9111 5.1", &fields, 0, is_served)
    };
    vec![
        aged("Age counts", &["7200"], false),
        aged("a word is no age", &["old"], true),
        aged("a negative is no age", &["-7200"], true),
        aged("a fraction is no age", &["7200.0"], true),
        aged("a huge age is old", &["2147483648"], false),
        aged("of a list the first counts, old", &["7200, 0"], false),
        aged("of a list the first counts, young", &["0, 7200"], true),
        aged("of lines the first counts, old", &["7200", "0"], false),
        aged("of lines the first counts, young", &["0", "7200"], true),
        later(
            "an old Date is an age",
            "9111 4.2.3",
            &[(CC, "max-age=60"), ("Date", "@-90")],
            0,
            false,
        ),
        later(
            "a Date ahead is no age",
            "9111 4.2.3",
            &[(CC, "max-age=60"), ("Date", "@90")],
            0,
            true,
        ),
        row(
            "Age is told, and grows",
            "9111 4",
            [
                get().answer([(CC, "max-age=3600"), ("Age", "30")]),
                get().after(5).served().sees("Age", "35"),
            ],
        ),
        row(
            "Date stays",
            "9110 6.6.1",
            [
                get().answer([(CC, "max-age=3600"), ("Date", "@-7")]),
                get()
                    .after(5)
                    .served()
                    .sees("Date", "@-7")
                    .sees("Age", "12"),
            ],
        ),
    ]
}

fn storing() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    vec![
        later(
            "no-store",
            "9111 5.2.2.5",
            &[(CC, "No-Store, max-age=60")],
            0,
            false,
        ),
        later(
            "private",
            "9111 5.2.2.7",
            &[(CC, "private, max-age=60")],
            0,
            false,
        ),
        later(
            "no-cache",
            "9111 5.2.2.4",
            &[(CC, "no-cache, max-age=60")],
            0,
            false,
        ),
        later(
            "Vary: *",
            "9111 4.1",
            &[(CC, "max-age=60"), ("Vary", "*")],
            0,
            false,
        ),
        later(
            "a star in a list",
            "9111 4.1",
            &[(CC, "max-age=60"), ("Vary", "a, *")],
            0,
            false,
        ),
        later(
            "a star on a line of its own",
            "9111 4.1",
            &[(CC, "max-age=60"), ("Vary", ""), ("Vary", "*")],
            0,
            false,
        ),
        row(
            "must-understand refuses what is not understood",
            "9111 5.2.2.3",
            [
                get().status_answer(599, [(CC, "max-age=60, no-store, must-understand")]),
                get().forwarded(),
            ],
        ),
        later(
            "must-understand allows what is",
            "9111 5.2.2.3",
            &[(CC, "max-age=60, no-store, must-understand")],
            0,
            true,
        ),
        row(
            "no-store of the request",
            "9111 5.2.1.5",
            [
                get().ask(CC, "no-store").answer([(CC, "max-age=60")]),
                get().forwarded(),
            ],
        ),
        row(
            "connection fields are not kept",
            "9111 3.1",
            [
                get().answer([
                    (CC, "max-age=60"),
                    ("Connection", "a"),
                    ("A", "1"),
                    ("Keep-Alive", "x"),
                    ("B", "2"),
                ]),
                get()
                    .served()
                    .misses("a")
                    .misses("keep-alive")
                    .sees("b", "2"),
            ],
        ),
        row(
            "named fields are not kept",
            "9111 5.2.2.4",
            [
                get().answer([
                    (CC, "max-age=60, no-cache=\"a\", private=\"b\""),
                    ("A", "1"),
                    ("B", "2"),
                    ("C", "3"),
                ]),
                get().served().misses("a").misses("b").sees("c", "3"),
            ],
        ),
        row(
            "a HEAD is answered by what GET stored",
            "9110 9.3.2",
            [get().answer([(CC, "max-age=60")]), request("HEAD").served()],
        ),
        row(
            "HEAD stores nothing",
            "9111 3",
            [
                request("HEAD").answer([(CC, "max-age=60")]),
                get().forwarded(),
            ],
        ),
        row(
            "queries are told apart",
            "9111 2",
            [
                get().at("/a?x=1").answer([(CC, "max-age=60")]),
                get().at("/a?x=2").forwarded(),
                get().at("/a?x=1").served(),
            ],
        ),
        row(
            "encodings are told apart",
            "3986 6.2.2",
            [
                get().at("/a%2fb").answer([(CC, "max-age=60")]),
                get().at("/a/b").forwarded(),
            ],
        ),
        row(
            "POST with its own name is kept for GET",
            "9110 9.3.3",
            [
                request("POST").answer([(CC, "max-age=60"), ("Content-Location", "/a")]),
                get().served(),
            ],
        ),
        row(
            "POST without a name is not",
            "9110 9.3.3",
            [
                request("POST").answer([(CC, "max-age=60")]),
                get().forwarded(),
            ],
        ),
        row(
            "POST with another's name is not",
            "9110 9.3.3",
            [
                request("POST").answer([(CC, "max-age=60"), ("Content-Location", "/b")]),
                get().at("/b").forwarded(),
                get().forwarded(),
            ],
        ),
        row(
            "a part is not kept as the whole",
            "9111 3.3",
            [
                get()
                    .ask("Range", "bytes=0-1")
                    .status_answer(206, [(CC, "max-age=60"), ("Content-Range", "bytes 0-1/20")]),
                get().forwarded(),
            ],
        ),
    ]
}

fn secrets() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let signed = |rule, directives: &'static str, is_served| {
        let second = get();
        let second = if is_served {
            second.served()
        } else {
            second.forwarded()
        };
        row(
            rule,
            "9111 3.5",
            [
                get()
                    .ask("Authorization", "Bearer a")
                    .answer([(CC, directives)])
                    .tells("Authorization", "Bearer a"),
                second,
            ],
        )
    };
    vec![
        signed("an authorised answer is its own", "max-age=60", false),
        signed("unless it is public", "max-age=60, public", true),
        signed(
            "or must be revalidated",
            "max-age=60, must-revalidate",
            true,
        ),
        signed("or speaks to shared caches", "s-maxage=60", true),
        later(
            "a cookie is not handed on",
            "9111 7.3",
            &[(CC, "max-age=60"), ("Set-Cookie", "a=b")],
            0,
            false,
        ),
        later(
            "unless the answer is public",
            "9111 7.3",
            &[(CC, "max-age=60, public"), ("Set-Cookie", "a=b")],
            0,
            true,
        ),
        row(
            "or the cookie is withheld",
            "9111 5.2.2.4",
            [
                get()
                    .answer([
                        (CC, "max-age=60, no-cache=\"Set-Cookie\""),
                        ("Set-Cookie", "a=b"),
                    ])
                    .sees("Set-Cookie", "a=b"),
                get().served().misses("Set-Cookie"),
            ],
        ),
        row(
            "a challenge is not handed on",
            "9110 15.5.2",
            [
                get().status_answer(401, [(CC, "max-age=60")]),
                get().forwarded(),
            ],
        ),
    ]
}

fn targeted() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    const CDN: &str = "CDN-Cache-Control";
    const OURS: &str = "Edgewise-Cache-Control";
    let s = "9213 2.2";
    vec![
        later("a targeted lifetime", s, &[(CDN, "max-age=60")], 5, true),
        later(
            "wins over a shorter one",
            s,
            &[(CC, "max-age=1"), (CDN, "max-age=60")],
            5,
            true,
        ),
        later(
            "wins over a longer one",
            s,
            &[(CC, "max-age=60"), (CDN, "max-age=1")],
            5,
            false,
        ),
        later(
            "wins over no-store",
            s,
            &[(CC, "no-store"), (CDN, "max-age=60")],
            5,
            true,
        ),
        later(
            "wins over Expires",
            s,
            &[("Expires", "@-60"), (CDN, "max-age=60")],
            5,
            true,
        ),
        later(
            "its zero wins over Expires",
            s,
            &[("Expires", "@60"), (CDN, "max-age=0")],
            0,
            false,
        ),
        later(
            "its no-store wins",
            s,
            &[(CC, "max-age=60"), (CDN, "no-store")],
            0,
            false,
        ),
        later(
            "its private wins",
            s,
            &[(CC, "max-age=60"), (CDN, "private")],
            0,
            false,
        ),
        later(
            "its no-cache wins",
            s,
            &[(CC, "max-age=60"), (CDN, "no-cache")],
            0,
            false,
        ),
        later(
            "ours wins over theirs",
            s,
            &[(CDN, "max-age=60"), (OURS, "max-age=1")],
            5,
            false,
        ),
        later(
            "Age counts",
            s,
            &[(CDN, "max-age=60"), ("Age", "90")],
            0,
            false,
        ),
        later(
            "unknown members are ignored",
            s,
            &[(CDN, "a, b=(1 2), max-age=60;x=1")],
            5,
            true,
        ),
        later(
            "a field that is none is ignored",
            "9213 2.1",
            &[(CC, "no-store"), (CDN, "max-age=60, &&")],
            0,
            false,
        ),
        later(
            "an empty field is ignored",
            "9213 2.1",
            &[(CC, "max-age=60"), (CDN, "")],
            5,
            true,
        ),
        later(
            "a wrong type is no directive",
            "9213 2.1",
            &[(CC, "no-store"), (CDN, "max-age=\"60\"")],
            0,
            false,
        ),
    ]
}

fn stale() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let closed = |rule, directives: &'static str| {
        row(
            rule,
            "9111 4.2.4",
            [
                get().answer([(CC, directives), ("ETag", "\"a\"")]),
                get().after(5).failed(),
            ],
        )
    };
    vec![
        row(
            "while it is refreshed",
            "5861 3",
            [
                get().answer([
                    (CC, "max-age=1, stale-while-revalidate=60"),
                    ("ETag", "\"a\""),
                ]),
                get().after(30).refreshed().answer([(CC, "max-age=60")]),
                get().after(1).served(),
            ],
        ),
        row(
            "but not after the window",
            "5861 3",
            [
                get().answer([(CC, "max-age=1, stale-while-revalidate=10")]),
                get().after(30).forwarded(),
            ],
        ),
        row(
            "when the origin is gone",
            "9111 4.2.4",
            [
                get().answer([(CC, "max-age=1")]),
                get().after(5).stood_in(None),
            ],
        ),
        row(
            "when the origin cannot",
            "5861 4",
            [
                get().answer([(CC, "max-age=1, stale-if-error=60")]),
                get().after(5).stood_in(Some(503)),
                get().stood_in(Some(500)),
            ],
        ),
        row(
            "but not after the window",
            "5861 4",
            [
                get().answer([(CC, "max-age=1, stale-if-error=60")]),
                get().after(90).failed(),
            ],
        ),
        row(
            "an error that is no failure goes through",
            "5861 4",
            [
                get().answer([(CC, "max-age=1, stale-if-error=60")]),
                get().after(5).status_answer(404, []).forwarded(),
            ],
        ),
        row(
            "an error replaces nothing usable",
            "9111 4.3.3",
            [
                get().answer([(CC, "max-age=1, stale-if-error=60")]),
                get().after(5).stood_in(Some(503)),
                get().stood_in(None),
            ],
        ),
        closed(
            "must-revalidate forbids it",
            "max-age=1, must-revalidate, stale-if-error=60",
        ),
        closed("proxy-revalidate forbids it", "max-age=1, proxy-revalidate"),
        closed("s-maxage forbids it", "s-maxage=1"),
        closed("no-cache forbids it", "max-age=60, no-cache"),
    ]
}

fn requests() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let asked = |rule, directives: &'static str, after_s, is_served| {
        let second = get().ask(CC, directives).after(after_s);
        let second = if is_served {
            second.served()
        } else {
            second.forwarded()
        };
        row(
            rule,
            "9111 5.2.1",
            [get().answer([(CC, "max-age=60")]), second],
        )
    };
    vec![
        asked("no-cache", "no-cache", 0, false),
        asked("max-age that is older", "max-age=10", 20, false),
        asked("max-age that is younger", "max-age=10", 5, true),
        asked("min-fresh that is there", "min-fresh=10", 20, true),
        asked("min-fresh that is not", "min-fresh=10", 55, false),
        asked("max-stale", "max-stale=10", 65, true),
        asked("max-stale without end", "max-stale", 65_000, true),
        asked("max-stale that is passed", "max-stale=10", 75, false),
        asked("unknown directives", "nothing", 0, true),
        row(
            "max-stale does not beat must-revalidate",
            "9111 5.2.2.2",
            [
                get().answer([(CC, "max-age=1, must-revalidate")]),
                get().ask(CC, "max-stale").after(5).forwarded(),
            ],
        ),
        row(
            "Pragma, where there is nothing else",
            "9111 5.4",
            [
                get().answer([(CC, "max-age=60")]),
                get().ask("Pragma", "no-cache").forwarded(),
            ],
        ),
        row(
            "only-if-cached is not forwarded",
            "9111 5.2.1.7",
            [
                get().ask(CC, "only-if-cached").refused(),
                get().answer([(CC, "max-age=60")]),
                get().ask(CC, "only-if-cached").served(),
                get().ask(CC, "only-if-cached").after(90).refused(),
            ],
        ),
    ]
}

fn validation() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    vec![
        row(
            "an entity tag is asked about",
            "9111 4.3.1",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                get()
                    .after(5)
                    .validated([(CC, "max-age=60")])
                    .tells("If-None-Match", "\"a\""),
                get().after(30).served(),
            ],
        ),
        row(
            "so is a date",
            "9111 4.3.1",
            [
                get().answer([(CC, "max-age=1"), ("Last-Modified", "@-99")]),
                get()
                    .after(5)
                    .validated([])
                    .tells("If-Modified-Since", "@-99"),
            ],
        ),
        row(
            "no-cache is asked about every time",
            "9111 5.2.2.4",
            [
                get().answer([(CC, "no-cache"), ("ETag", "\"a\"")]),
                get().validated([]),
                get().validated([]),
            ],
        ),
        row(
            "must-revalidate when it is stale",
            "9111 5.2.2.2",
            [
                get().answer([(CC, "max-age=10, must-revalidate"), ("ETag", "\"a\"")]),
                get().after(5).served(),
                get().after(6).validated([]),
            ],
        ),
        row(
            "a 304 brings fields",
            "9111 3.2",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\""), ("A", "1"), ("B", "1")]),
                get()
                    .after(5)
                    .validated([("A", "2"), ("C", "3"), (CC, "max-age=60")])
                    .sees("A", "2")
                    .sees("B", "1"),
                get()
                    .after(5)
                    .served()
                    .sees("A", "2")
                    .sees("B", "1")
                    .sees("C", "3"),
            ],
        ),
        row(
            "but none of the body",
            "9111 3.2",
            [
                get().answer([
                    (CC, "max-age=1"),
                    ("ETag", "\"a\""),
                    ("Content-Encoding", "x"),
                ]),
                get()
                    .after(5)
                    .validated([
                        (CC, "max-age=60"),
                        ("ETag", "\"b\""),
                        ("Content-Encoding", "y"),
                    ])
                    .sees("ETag", "\"a\"")
                    .sees("Content-Encoding", "x"),
                get()
                    .served()
                    .sees("ETag", "\"a\"")
                    .sees("Content-Encoding", "x"),
            ],
        ),
        row(
            "a 304 that forbids is the last",
            "9111 4.3.4",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                get().after(5).validated([(CC, "no-store")]),
                get().forwarded().hides("If-None-Match"),
            ],
        ),
        row(
            "a new answer takes the place",
            "9111 4.3.3",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                get()
                    .after(5)
                    .answer([(CC, "max-age=60"), ("ETag", "\"b\"")])
                    .forwarded(),
                get().served().sees("ETag", "\"b\""),
            ],
        ),
        row(
            "a new answer that is private leaves nothing of the old",
            "9111 4.3.3",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                get().after(5).answer([(CC, "private")]).forwarded(),
                get().failed(),
            ],
        ),
        row(
            "HEAD freshens",
            "9111 4.3.5",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                request("HEAD")
                    .after(5)
                    .answer([(CC, "max-age=60"), ("ETag", "\"a\"")])
                    .forwarded(),
                get().after(5).served(),
            ],
        ),
        row(
            "HEAD of another body ends it",
            "9111 4.3.5",
            [
                get().answer([(CC, "max-age=60"), ("ETag", "\"a\"")]),
                request("HEAD")
                    .ask(CC, "no-cache")
                    .answer([("ETag", "\"b\"")])
                    .forwarded(),
                get().forwarded(),
            ],
        ),
    ]
}

fn conditions() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let tagged = |rule, tag: &'static str, status| {
        row(
            rule,
            "9110 13.1.2",
            [
                get().answer([(CC, "max-age=60"), ("ETag", "\"a\"")]),
                get()
                    .ask("If-None-Match", tag)
                    .served()
                    .status(status)
                    .sees("ETag", "\"a\""),
            ],
        )
    };
    let dated = |rule, since: &'static str, status| {
        row(
            rule,
            "9110 13.1.3",
            [
                get().answer([(CC, "max-age=60"), ("Last-Modified", "@-99")]),
                get()
                    .ask("If-Modified-Since", since)
                    .served()
                    .status(status),
            ],
        )
    };
    vec![
        tagged("the same tag", "\"a\"", 304),
        tagged("a weak tag", "W/\"a\"", 304),
        tagged("one of many", "\"x\", \"a\"", 304),
        tagged("any", "*", 304),
        tagged("another tag", "\"b\"", 200),
        dated("the same date", "@-99", 304),
        dated("a later date", "@-9", 304),
        dated("an earlier date", "@-999", 200),
        dated("no date", "yesterday", 200),
        row(
            "a tag wins over a date",
            "9110 13.1.3",
            [
                get().answer([
                    (CC, "max-age=60"),
                    ("ETag", "\"a\""),
                    ("Last-Modified", "@-99"),
                ]),
                get()
                    .ask("If-None-Match", "\"b\"")
                    .ask("If-Modified-Since", "@0")
                    .served(),
            ],
        ),
        row(
            "without a date of change Date counts",
            "9111 4.3.2",
            [
                get().answer([(CC, "max-age=60"), ("Date", "@-5")]),
                get().ask("If-Modified-Since", "@-9").served(),
                get().ask("If-Modified-Since", "@-5").served().status(304),
            ],
        ),
        row(
            "errors are not had already",
            "9110 13.2.1",
            [
                get().status_answer(404, [(CC, "max-age=60"), ("ETag", "\"a\"")]),
                get().ask("If-None-Match", "\"a\"").served().status(404),
            ],
        ),
        row(
            "a client's condition on a miss is the cache's to answer",
            "9111 4.3.2",
            [
                get()
                    .ask("If-None-Match", "\"a\"")
                    .answer([(CC, "max-age=60"), ("ETag", "\"a\"")])
                    .forwarded()
                    .status(304)
                    .hides("If-None-Match"),
                get().served(),
            ],
        ),
        row(
            "If-Match goes to the origin",
            "9111 4.3.2",
            [
                get().answer([(CC, "max-age=60"), ("ETag", "\"a\"")]),
                get()
                    .ask("If-Match", "\"b\"")
                    .status_answer(412, [])
                    .forwarded()
                    .tells("If-Match", "\"b\""),
            ],
        ),
    ]
}

fn selecting() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    vec![
        row(
            "another value is another answer",
            "9111 4.1",
            [
                get()
                    .ask("X", "1")
                    .answer([(CC, "max-age=60"), ("Vary", "x")]),
                get()
                    .ask("X", "2")
                    .answer([(CC, "max-age=60"), ("Vary", "x")])
                    .forwarded(),
                get().ask("X", "1").served(),
                get().ask("X", "2").served(),
                get().forwarded(),
            ],
        ),
        row(
            "fields that are not named do not count",
            "9111 4.1",
            [
                get()
                    .ask("X", "1")
                    .ask("Y", "1")
                    .answer([(CC, "max-age=60"), ("Vary", "x")]),
                get().ask("X", "1").ask("Y", "2").served(),
            ],
        ),
        row(
            "two absences are the same",
            "9111 4.1",
            [
                get()
                    .ask("X", "1")
                    .answer([(CC, "max-age=60"), ("Vary", "x, y")]),
                get().ask("X", "1").served(),
                get().ask("X", "1").ask("Y", "1").forwarded(),
            ],
        ),
        row(
            "white space and lines do not count",
            "9111 4.1",
            [
                get()
                    .ask("X", "1,2")
                    .answer([(CC, "max-age=60"), ("Vary", "x")]),
                get().ask("X", " 1 ,  2").served(),
                get().ask("X", "1").ask("X", "2").served(),
            ],
        ),
        row(
            "languages have no case and no order",
            "9111 4.1",
            [
                get()
                    .ask("Accept-Language", "en, de")
                    .answer([(CC, "max-age=60"), ("Vary", "Accept-Language")]),
                get().ask("Accept-Language", "DE,en").served(),
                get().ask("Accept-Language", "de;q=0.5, en").forwarded(),
            ],
        ),
        row(
            "the best language is there already",
            "9110 12.5.4",
            [
                get().ask("Accept-Language", "de, en").answer([
                    (CC, "max-age=60"),
                    ("Vary", "Accept-Language"),
                    ("Content-Language", "de"),
                ]),
                get().ask("Accept-Language", "fr;q=0.1, de").served(),
                get().ask("Accept-Language", "fr, de;q=0.9").forwarded(),
            ],
        ),
        row(
            "what is validated is of the same request",
            "9111 4.1",
            [
                get()
                    .ask("X", "1")
                    .answer([(CC, "max-age=1"), ("Vary", "x"), ("ETag", "\"a\"")]),
                get()
                    .ask("X", "1")
                    .after(5)
                    .validated([])
                    .tells("If-None-Match", "\"a\""),
                get().ask("X", "2").forwarded().hides("If-None-Match"),
            ],
        ),
    ]
}

fn parts() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let ranged = |rule, range: &'static str, part: &'static str| {
        row(
            rule,
            "9110 14.2",
            [
                get().answer([(CC, "max-age=60")]),
                get().ask("Range", range).served().part(part),
            ],
        )
    };
    vec![
        ranged("the first bytes", "bytes=0-1", "01"),
        ranged("from a byte on", "bytes=8-", "89 of step 0"),
        ranged("the last bytes", "bytes=-6", "step 0"),
        row(
            "past the end",
            "9110 15.5.17",
            [
                get().answer([(CC, "max-age=60")]),
                get()
                    .ask("Range", "bytes=99-")
                    .served()
                    .status(416)
                    .sees("Content-Range", "bytes */20"),
            ],
        ),
        row(
            "several ranges get the whole",
            "9110 14.2",
            [
                get().answer([(CC, "max-age=60")]),
                get().ask("Range", "bytes=0-1,3-4").served(),
            ],
        ),
        row(
            "a part says which",
            "9110 14.4",
            [
                get().answer([(CC, "max-age=60"), ("A", "1")]),
                get()
                    .ask("Range", "bytes=0-1")
                    .served()
                    .part("01")
                    .sees("Content-Range", "bytes 0-1/20")
                    .sees("A", "1"),
            ],
        ),
        row(
            "If-Range that holds",
            "9110 13.1.5",
            [
                get().answer([(CC, "max-age=60"), ("ETag", "\"a\"")]),
                get()
                    .ask("Range", "bytes=0-1")
                    .ask("If-Range", "\"a\"")
                    .served()
                    .part("01"),
            ],
        ),
        row(
            "If-Range that does not",
            "9110 13.1.5",
            [
                get().answer([(CC, "max-age=60"), ("ETag", "\"a\"")]),
                get()
                    .ask("Range", "bytes=0-1")
                    .ask("If-Range", "\"b\"")
                    .served(),
                get()
                    .ask("Range", "bytes=0-1")
                    .ask("If-Range", "W/\"a\"")
                    .served(),
            ],
        ),
        row(
            "a part that is not there is fetched as a part",
            "9111 3.3",
            [get()
                .ask("Range", "bytes=0-1")
                .status_answer(206, [("Content-Range", "bytes 0-1/20")])
                .forwarded()
                .tells("Range", "bytes=0-1")],
        ),
        row(
            "what is stale is validated whole",
            "9111 3.3",
            [
                get().answer([(CC, "max-age=1"), ("ETag", "\"a\"")]),
                get()
                    .ask("Range", "bytes=0-1")
                    .after(5)
                    .validated([])
                    .part("01")
                    .hides("Range"),
            ],
        ),
    ]
}

fn invalidation() -> Vec<Row> {
    const CC: &str = "Cache-Control";
    let after = |rule, method: &'static str, status, is_served| {
        let last = get();
        let last = if is_served {
            last.served()
        } else {
            last.forwarded()
        };
        row(
            rule,
            "9111 4.4",
            [
                get().answer([(CC, "max-age=60")]),
                request(method).status_answer(status, []).forwarded(),
                last,
            ],
        )
    };
    vec![
        after("POST ends what is stored", "POST", 200, false),
        after("PUT", "PUT", 204, false),
        after("DELETE", "DELETE", 200, false),
        after("a method nobody knows", "M-SEARCH", 200, false),
        after("a redirect too", "POST", 303, false),
        after("a failure ends nothing", "POST", 500, true),
        after("a refusal neither", "POST", 403, true),
        after("OPTIONS is safe", "OPTIONS", 200, true),
        row(
            "Location ends what it names",
            "9111 4.4",
            [
                get().at("/b").answer([(CC, "max-age=60")]),
                request("POST").answer([("Location", "/b")]).forwarded(),
                get().at("/b").forwarded(),
            ],
        ),
        row(
            "Content-Location too, relative",
            "9111 4.4",
            [
                get().at("/c/b").answer([(CC, "max-age=60")]),
                request("PUT")
                    .at("/c/a")
                    .answer([("Content-Location", "b")])
                    .forwarded(),
                get().at("/c/b").forwarded(),
            ],
        ),
        row(
            "another origin's is not ours to end",
            "9111 4.4",
            [
                get().at("/b").answer([(CC, "max-age=60")]),
                request("POST")
                    .answer([("Location", "http://elsewhere.example/b")])
                    .forwarded(),
                get().at("/b").served(),
            ],
        ),
    ]
}
