//! Clients and origins that mean no good.

use super::stack::{Act, Stack, Told, answer, ok};

const CACHED: &str = "Cache-Control: max-age=60\r\n";

fn cached() -> Stack {
    Stack::new(|_| Act::Send(ok(CACHED, "body")))
}

#[track_caller]
fn refused(request: &str, status: u16) {
    let stack = cached();
    let got = stack.ask(request);
    let shown: String = request.chars().take(200).collect();
    assert_eq!(got.status, status, "{shown}");
    assert!(stack.told().is_empty(), "the origin got {:?}", stack.told());
}

#[test]
fn shapes_that_two_readers_read_differently_are_refused() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\nabc");
    refused(&post("Content-Length: 3\r\nContent-Length: 4\r\n"), 400);
    refused(&post("Content-Length: 3, 4\r\n"), 400);
    refused(&post("Content-Length: +3\r\n"), 400);
    refused(&post("Content-Length : 3\r\n"), 400);
    refused(&post("Transfer-Encoding: chunked, identity\r\n"), 400);
    refused(&post("Transfer-Encoding: xchunked\r\n"), 400);
    refused("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    refused("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 405);
    refused("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405);
}

#[test]
fn of_two_framings_one_goes_on() {
    let stack = cached();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 40\r\n\
                   Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let _ = stack.ask(request);
    // The scripted origin reads no chunks: it takes the last one for a line of its own.
    let told = stack.told();
    let requests = told.iter().filter(|told| told.line.ends_with("HTTP/1.1"));
    assert_eq!(requests.count(), 1, "{told:?}");
    for told in stack.told() {
        let both =
            told.field("content-length").is_some() && told.field("transfer-encoding").is_some();
        assert!(!both && !told.line.contains("smuggled"), "{told:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_by_name() {
    let query = "a".repeat(16 << 10);
    refused(&format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
    let value = "a".repeat(100 << 10);
    refused(
        &format!("GET / HTTP/1.1\r\nHost: h\r\nX: {value}\r\n\r\n"),
        431,
    );
    let lines = "X: a\r\n".repeat(200);
    refused(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"), 431);
}

#[test]
fn long_queries_that_are_allowed_keep_their_own_answers() {
    let stack = Stack::new(|told| Act::Send(ok(CACHED, &told.line)));
    let long = "a".repeat(15 << 10);
    for target in [
        format!("/?{long}b"),
        format!("/?{long}c"),
        format!("/?{long}b"),
    ] {
        assert!(stack.get(&target).body.contains(&target));
    }
    assert_eq!(stack.told().len(), 2);
}

#[test]
fn fields_outside_the_key_do_not_reach_the_origin() {
    let echo = |told: &Told| {
        let names = [
            "x-forwarded-host",
            "x-host",
            "x-original-url",
            "forwarded",
            "x-forwarded-proto",
        ];
        let values = names.map(|name| told.field(name).unwrap_or_default());
        Act::Send(ok(CACHED, &values.join(" ")))
    };
    let stack = Stack::new(echo);
    let poisoned = stack.ask(
        "GET /a HTTP/1.1\r\nHost: good\r\nX-Forwarded-Host: evil\r\nX-Host: evil\r\n\
         X-Original-URL: /evil\r\nForwarded: host=evil\r\nX-Forwarded-Proto: evil\r\n\
         Connection: close\r\n\r\n",
    );
    assert!(!poisoned.body.contains("evil"), "{poisoned:?}");
    assert!(poisoned.body.contains("good"));
    // Who asks by another host has another answer.
    let other = stack.ask("GET /a HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
    assert!(other.body.contains("other"));
    assert_eq!(stack.told().len(), 2);
}

#[test]
fn a_field_that_connection_hides_does_not_poison_a_variant() {
    let stack = Stack::new(|told| {
        let language = told
            .field("accept-language")
            .unwrap_or_else(|| "none".into());
        Act::Send(ok(
            "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n",
            &language,
        ))
    });
    let german = "GET / HTTP/1.1\r\nHost: h\r\nAccept-Language: de\r\n";
    let hidden = stack.ask(&format!(
        "{german}Connection: close, accept-language\r\n\r\n"
    ));
    assert_eq!(hidden.body, "none");
    let honest = stack.ask(&format!("{german}Connection: close\r\n\r\n"));
    assert_eq!(honest.body, "de");
}

#[test]
fn what_is_somebodys_own_is_not_handed_on() {
    let own = [
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: max-age=60\r\nSet-Cookie: id=1\r\n",
        "Cache-Control: max-age=60\r\nVary: *\r\n",
        "Cache-Control: max-age=60\r\nCDN-Cache-Control: private\r\n",
    ];
    for lines in own {
        let stack =
            Stack::new(move |told| Act::Send(ok(lines, &told.field("x-user").unwrap_or_default())));
        for user in ["a", "b"] {
            let got = stack.ask(&format!(
                "GET /me HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\nConnection: close\r\n\r\n"
            ));
            assert_eq!(got.body, user, "{lines}");
        }
    }
    let stack =
        Stack::new(|told| Act::Send(ok(CACHED, &told.field("authorization").unwrap_or_default())));
    for user in ["a", "b"] {
        let got = stack.ask(&format!(
            "GET /me HTTP/1.1\r\nHost: h\r\nAuthorization: {user}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(got.body, user);
    }
}

#[test]
fn encodings_that_aim_at_another_key_miss_it() {
    let stack = Stack::new(|told| Act::Send(ok(CACHED, &told.line)));
    for target in [
        "/a/b", "/a%2fb", "/a%2Fb", "/%61/b", "/a//b", "/a/./b", "/a/b?", "/a/b%00",
    ] {
        let got = stack.get(target);
        assert_eq!(got.body, format!("GET {target} HTTP/1.1"));
    }
    assert_eq!(stack.told().len(), 8);
}

#[test]
fn a_loop_ends() {
    refused(
        "GET / HTTP/1.1\r\nHost: h\r\nCDN-Loop: edgewise, other, edgewise\r\nCDN-Loop: edgewise\r\n\r\n",
        508,
    );
}

#[test]
fn an_origin_that_speaks_no_http_is_a_bad_gateway() {
    for bytes in [
        "no http at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let stack = Stack::new(move |_| Act::SendAndClose(bytes.as_bytes().to_vec()));
        assert_eq!(stack.get("/a").status, 502, "{bytes}");
    }
}

#[test]
fn a_body_in_a_get_is_nobody_elses() {
    let stack = Stack::new(|told| {
        let length = told.field("content-length").unwrap_or_default();
        Act::Send(ok(CACHED, &format!("for a body of {length:?}")))
    });
    let got = stack
        .ask("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevil");
    assert!(got.body.contains('4'), "{}", got.body);
    assert!(stack.get("/a").body.contains("\"\""), "asked anew");
    assert_eq!(stack.told().len(), 2);
}

#[test]
fn errors_that_a_client_can_cause_are_not_kept_for_others() {
    for (status, line) in [
        (412, "If-Match: \"zz\""),
        (416, "Range: bytes=9999-"),
        (431, "X-Long: a"),
    ] {
        let name = line.split(':').next().expect("a name").to_lowercase();
        let stack = Stack::new(move |told| {
            Act::Send(if told.field(&name).is_some() {
                answer(status, CACHED, "no")
            } else {
                ok(CACHED, "yes")
            })
        });
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{line}\r\n\r\n");
        assert_eq!(stack.ask(&request).status, status);
        assert_eq!(stack.get("/").status, 200, "after {status}");
    }
}

#[test]
fn a_304_brings_nobodys_private_fields_into_what_is_stored() {
    let private =
        "Cache-Control: max-age=60, private=\"x-user\"\r\nX-User: alice\r\nETag: \"1\"\r\n";
    let stack = Stack::new(move |told| {
        Act::Send(if told.field("if-none-match").is_some() {
            answer(304, private, "")
        } else {
            ok("Cache-Control: max-age=60\r\nETag: \"1\"\r\n", "body")
        })
    });
    stack.get("/");
    let again = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCache-Control: no-cache\r\n\r\n";
    assert_eq!(stack.ask(again).status, 200);
    assert_eq!(stack.told().len(), 2, "validated");
    let next = stack.get("/");
    assert_eq!((next.body.as_str(), next.field("x-user")), ("body", None));
    assert_eq!(stack.told().len(), 2, "a hit");
}

#[test]
fn a_variant_is_what_the_origin_saw_and_not_what_a_client_claims() {
    let stack = Stack::new(|told| {
        let seen = told.field("x-forwarded-for").unwrap_or_default();
        let lines = format!("{CACHED}Vary: X-Forwarded-For\r\n");
        Act::Send(ok(&lines, &seen))
    });
    let own = stack.get("/").body;
    assert_eq!(stack.get("/").body, own, "the same client again");
    assert_eq!(stack.told().len(), 1);
    let claim =
        format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Forwarded-For: {own}\r\n\r\n");
    assert_ne!(stack.ask(&claim).body, own);
}

#[test]
fn clients_that_break_off_do_not_close_the_origin_to_others() {
    let stack = Stack::new(|_| Act::Send(ok("", "body")));
    for _ in 0..40 {
        let broken = "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx";
        drop(stack.send(broken));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    for n in 0..20 {
        assert_eq!(stack.get(&format!("/{n}")).status, 200);
    }
}
