//! What is stored, for whom, and what ends it (RFC 9111 sections 3 and 4.4).

use crate::row::{Row, get, request, row};
use crate::rows::later;

pub(crate) fn storing() -> Vec<Row> {
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

pub(crate) fn secrets() -> Vec<Row> {
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

pub(crate) fn invalidation() -> Vec<Row> {
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
