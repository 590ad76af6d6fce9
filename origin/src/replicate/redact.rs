//! Passwords leave no trace: URLs as logs, errors and answers may show them.

/// What stands in a password's place.
const HIDDEN: &str = "***";

/// Parameters whose values are secret.
const SECRET_PARAMETERS: [&str; 5] = [
    "password",
    "sslpassword",
    "passwd",
    "sasl.password",
    "token",
];

/// The URL without its secrets: `postgres://app:***@db.example/shop?sslmode=require`.
///
/// The user is everything up to the first `:` of what stands before the *last* `@`, so a
/// password with an unescaped `@` or `/` is hidden whole.
#[must_use]
pub fn url(text: &str) -> String {
    if let (true, Some((scheme, rest))) = (has_unescaped_login(text), text.split_once("://")) {
        // Which part is the password nobody can tell.
        let place = rest.rsplit_once('@').map_or("", |(_, place)| place);
        let place = place.split('?').next().unwrap_or_default();
        return format!("{scheme}://{HIDDEN}@{place}");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match (text.find(':'), text.rfind('@')) {
            // A URL whose scheme was forgotten.
            (Some(colon), Some(at)) if colon < at => {
                format!("{}:{HIDDEN}{}", &text[..colon], &text[at..])
            }
            _ => words(text),
        };
    };
    let (head, query) = match rest.rfind('@') {
        // A `?` before the last `@` belongs to the password.
        Some(at) => match rest[at..].find('?') {
            Some(mark) => (&rest[..at + mark], Some(&rest[at + mark + 1..])),
            None => (rest, None),
        },
        None => match rest.split_once('?') {
            Some((head, query)) => (head, Some(query)),
            None => (rest, None),
        },
    };
    let head = match head.rsplit_once('@') {
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{place}"),
            None => format!("{login}@{place}"),
        },
        None => head.to_owned(),
    };
    match query {
        Some(query) => format!("{scheme}://{head}?{}", parameters(query)),
        None => format!("{scheme}://{head}"),
    }
}

/// Whether user or password have a sign that ends them in a URL (`@`, `/`, `?`, `#`) and is not
/// percent-encoded: what reads the URL would take a part of the password for a host.
#[must_use]
pub fn has_unescaped_login(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if authority.contains('@') {
        // A parameter may have one, a path or a second login not.
        let path = after.split('?').next().unwrap_or_default();
        return authority.matches('@').count() > 1 || path.contains('@');
    }
    let Some(last) = after.rfind('@') else {
        return false;
    };
    let is_path = after.find('?').is_none_or(|mark| last < mark);
    let has_ports = authority
        .split(',')
        .filter(|host| !host.starts_with('['))
        .all(|host| match host.split_once(':') {
            Some((_, port)) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()),
            None => true,
        });
    is_path || !has_ports
}

/// The URL as a file may hold it: without the password.
#[must_use]
pub fn without_password(text: &str) -> String {
    url(text).replacen(&format!(":{HIDDEN}@"), "@", 1)
}

fn parameters(query: &str) -> String {
    let hidden = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    hidden.collect::<Vec<_>>().join("&")
}

/// libpq's `host=… password=…` form.
fn words(text: &str) -> String {
    let hidden = text
        .split_inclusive(' ')
        .map(|word| match word.split_once('=') {
            Some((name, value)) if is_secret(name.trim()) => {
                let space = if value.ends_with(' ') { " " } else { "" };
                format!("{name}={HIDDEN}{space}")
            }
            _ => word.to_owned(),
        });
    hidden.collect()
}

fn is_secret(name: &str) -> bool {
    SECRET_PARAMETERS
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::{has_unescaped_login, url};

    #[test]
    fn a_password_that_would_be_read_as_a_host_is_known() {
        for (text, is_unescaped) in [
            (
                "postgres://app:s3cr%2Fet%40x@db:5432/shop?sslmode=require",
                false,
            ),
            ("postgres://app@db/shop?application_name=a@b", false),
            ("postgres://db:5432/shop?user=a@b", false),
            ("postgres://a:5432,b:5433/shop?user=a@b", false),
            ("postgres://[::1]:5432/shop?user=a@b", false),
            ("kafka://a:9092,b:9092?sasl.password=a@b/c", false),
            ("postgres://%2Frun%2Fpg/shop", false),
            (
                "postgres://postgres:s3cr/et@hunter2secret@127.0.0.1:55415/bad",
                true,
            ),
            ("postgres://app:hunter2@secret@db/shop", true),
            ("postgres://app:hunter/2@db/shop", true),
            ("postgres://app:12/34@db/shop", true),
            ("mysql://app:hunter?2@db/shop", true),
            ("mysql://app:hunter#2@db/shop", true),
        ] {
            assert_eq!(has_unescaped_login(text), is_unescaped, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (given, shown) in [
            (
                "postgres://app:s3cret@db:5432/shop?sslmode=require",
                "postgres://app:***@db:5432/shop?sslmode=require",
            ),
            ("mysql://app@db/shop", "mysql://app@db/shop"),
            ("postgres://db/shop", "postgres://db/shop"),
            ("kafka://a:9092,b:9092", "kafka://a:9092,b:9092"),
            ("postgres://app:s3/c@r?et@db/shop", "postgres://***@db/shop"),
            (
                "postgres://app:s3?c:ret@db/shop?a=b",
                "postgres://***@db/shop",
            ),
            (
                "postgres://s3c/ret:cret@cret@db/shop",
                "postgres://***@db/shop",
            ),
            (
                "postgres://app:s3cret@db/shop?options=a@b",
                "postgres://app:***@b",
            ),
            (
                "postgres://db/shop?user=app&password=s3cret",
                "postgres://db/shop?user=app&password=***",
            ),
            (
                "kafka://b:1?sasl.password=s3cret",
                "kafka://b:1?sasl.password=***",
            ),
            (
                "host=db password=s3cret user=app",
                "host=db password=*** user=app",
            ),
            ("app:s3cret@db/shop", "app:***@db/shop"),
            ("", ""),
        ] {
            assert_eq!(url(given), shown);
            assert!(!url(given).contains("cret"), "{given}");
        }
    }
}
