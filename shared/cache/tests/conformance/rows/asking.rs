//! What requests demand, and what is asked again (RFC 9111 sections 4.3 and 5.2.1).

use crate::row::{Row, get, request, row};

pub(crate) fn requests() -> Vec<Row> {
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

pub(crate) fn validation() -> Vec<Row> {
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
