//! Whatever users and origin do, no user sees another's bytes.

use edgewise_cache::fields::FieldLines;
use edgewise_cache::{Config, SetCookie};
use proptest::prelude::*;

use super::driver::Driver;

/// How an origin may say that an answer is somebody's own.
const OWN: [&[(&str, &str)]; 8] = [
    &[("Cache-Control", "private, max-age=60")],
    &[("Cache-Control", "max-age=60, no-store"), ("ETag", "\"e\"")],
    &[("Cache-Control", "max-age=60, s-maxage=60, private")],
    &[
        ("Cache-Control", "max-age=60"),
        ("CDN-Cache-Control", "private"),
    ],
    &[
        ("Cache-Control", "public, max-age=60"),
        ("Edgewise-Cache-Control", "no-store"),
    ],
    &[("Cache-Control", "max-age=60"), ("Vary", "*")],
    &[("Cache-Control", "max-age=60"), ("Vary", "Authorization")],
    // Says nothing of the kind, but was asked for with credentials or sets a cookie.
    &[("Cache-Control", "max-age=60")],
];

/// What a user does: method, target, extra headers by number, seconds later, and how the origin
/// answers.
type Action = (u8, u8, u8, u8, u8, u8);

fn ask(user: u8, extra: u8) -> FieldLines {
    let mut lines: FieldLines = vec![("Authorization".into(), format!("Bearer {user}").into())];
    let more: &[(&str, &str)] = match extra % 8 {
        0 => &[("Cache-Control", "no-cache")],
        1 => &[("Cache-Control", "max-stale")],
        2 => &[("Range", "bytes=0-3")],
        3 => &[("If-None-Match", "\"e\"")],
        4 => &[("Connection", "Authorization")],
        5 => &[("Cache-Control", "only-if-cached")],
        _ => &[],
    };
    lines.extend(
        more.iter()
            .map(|(name, value)| ((*name).into(), (*value).into())),
    );
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn two_users_never_share_an_answer_of_their_own(
        actions in proptest::collection::vec(any::<Action>(), 1..40),
    ) {
        let mut driver = Driver::new(Config {
            set_cookie: SetCookie::Refuse,
            ..Config::default()
        });
        for (user, method, target, extra, later, origin) in actions {
            let user = user % 3;
            let method = ["GET", "GET", "GET", "HEAD", "POST"][usize::from(method % 5)];
            let target = ["/me", "/me?a=1"][usize::from(target % 2)];
            driver.now_ms += i64::from(later) * 500;
            let own = OWN[usize::from(origin) % OWN.len()];
            let answer = |_: &FieldLines| match origin % 11 {
                9 => None,
                10 => Some((503, Vec::new(), format!("error for {user}"))),
                _ => {
                    let lines = own.iter().map(|(n, v)| ((*n).into(), (*v).into()));
                    Some((200, lines.collect(), format!("for {user}")))
                }
            };
            let seen = driver.ask(method, target, &ask(user, extra), &answer);
            for other in (0..3).filter(|other| *other != user) {
                prop_assert!(!seen.body.contains(&format!("for {other}")), "{user}: {seen:?}");
            }
        }
    }

    /// Without credentials: who gets a cookie is the only one to get that answer.
    #[test]
    fn a_cookie_is_set_for_one(actions in proptest::collection::vec(any::<(u8, u8)>(), 1..40)) {
        let mut driver = Driver::new(Config::default());
        for (at, (later, origin)) in actions.into_iter().enumerate() {
            driver.now_ms += i64::from(later) * 500;
            let answer = |_: &FieldLines| {
                let mut lines: FieldLines = vec![("Cache-Control".into(), "max-age=60".into())];
                if origin % 2 == 0 {
                    lines.push(("Set-Cookie".into(), format!("id={at}").into()));
                }
                Some((200, lines, String::new()))
            };
            let seen = driver.ask("GET", "/", &Vec::new(), &answer);
            let cookies = seen.fields.iter().filter(|line| line.0 == "Set-Cookie");
            for (_, value) in cookies {
                let own = format!("id={at}");
                prop_assert_eq!(value.as_slice(), own.as_bytes());
            }
        }
    }
}
