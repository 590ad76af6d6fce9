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
    use super::url;

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
            (
                "postgres://app:s3/c@r?et@db/shop",
                "postgres://app:***@db/shop",
            ),
            (
                "postgres://app:s3?c:ret@db/shop?a=b",
                "postgres://app:***@db/shop?a=b",
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
