//! What a request selects of what is stored (RFC 9110 sections 13 and 14, RFC 9111 section 4.1).

use crate::row::{Row, get, row};

pub(crate) fn conditions() -> Vec<Row> {
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

pub(crate) fn selecting() -> Vec<Row> {
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

pub(crate) fn parts() -> Vec<Row> {
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
