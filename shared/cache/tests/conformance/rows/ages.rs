//! Ages, targeted fields (RFC 9213) and what is stale (RFC 5861).

use crate::row::{Row, get, row};
use crate::rows::later;

pub(crate) fn ages() -> Vec<Row> {
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

pub(crate) fn targeted() -> Vec<Row> {
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

pub(crate) fn stale() -> Vec<Row> {
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
