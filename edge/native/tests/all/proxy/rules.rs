//! The rules of the core's conformance tests, over sockets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::stack::{Act, Stack, Told};
use crate::row::{Expected, Row, Seen, body, lines};
use crate::rows;

/// What the origin does next: nothing, or this answer.
type Next = Arc<Mutex<Option<Vec<u8>>>>;

#[test]
fn every_rule_that_needs_no_time_to_pass_holds_over_sockets() {
    let next: Next = Arc::default();
    let script = Arc::clone(&next);
    let stack =
        Stack::new(
            move |told: &Told| match &*script.lock().expect("no panic under the lock") {
                Some(bytes) if told.line.starts_with("HEAD") => {
                    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n");
                    Act::Send(bytes[..end.expect("a head") + 4].to_vec())
                }
                Some(bytes) => Act::Send(bytes.clone()),
                None => Act::SendAndClose(Vec::new()),
            },
        );
    let (mut run, mut skipped) = (0, 0);
    for (number, row) in rows::all().iter().enumerate() {
        // Sockets have no virtual time; the core runs these rows in it.
        if row.steps.iter().any(|step| step.after_s > 0) {
            skipped += 1;
            continue;
        }
        check(&stack, &next, number, row);
        run += 1;
    }
    println!("{run} rules, {skipped} skipped: they need time to pass");
    assert!(run > 80, "{run}");
}

fn check(stack: &Stack, next: &Next, number: usize, row: &Row) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let start_s = i64::try_from(now.as_secs()).expect("a year that fits");
    for (at, step) in row.steps.iter().enumerate() {
        let bytes = step.answer.as_ref().map(|(status, fields)| {
            let fields: String = lines(fields, start_s)
                .iter()
                .map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value)))
                .collect();
            let body = if [204, 304].contains(status) {
                String::new()
            } else {
                body(at)
            };
            let length = match *status {
                204 | 304 => String::new(),
                _ => format!("Content-Length: {}\r\n", body.len()),
            };
            format!("HTTP/1.1 {status} x\r\n{fields}{length}\r\n{body}").into_bytes()
        });
        *next.lock().expect("no panic under the lock") = bytes;
        let before = stack.told().len();
        let ask: String = lines(&step.ask, start_s)
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value)))
            .collect();
        // A host of its own for each row: they share the proxy, not the cache.
        let got = stack.ask(&format!(
            "{} {} HTTP/1.1\r\nHost: row{number}\r\n{ask}Connection: close\r\n\r\n",
            step.method, step.target
        ));
        if step.expected == Expected::Refreshed {
            stack.wait_for_told(before + 1);
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = stack.told().get(before).map(|told| told.fields.clone());
        let seen = Seen {
            status: got.status,
            fields: got
                .fields
                .into_iter()
                .filter(|line| line.0 != "connection")
                .collect(),
            body: got.body,
            told,
        };
        row.check(at, &seen, start_s);
    }
}
