//! Header fields as a cache reads them: names without case, values as bytes, lists of members.
//!
//! Hosts keep headers in types of their own; the cache needs no more than [`Fields`] of them.

use alloc::string::String;
use alloc::vec::Vec;

/// Header fields that can be read.
pub trait Fields {
    /// The values of the field lines named `name`, compared without case, in order.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a;

    /// Every field line, in order.
    fn lines(&self) -> impl Iterator<Item = (&str, &[u8])>;

    /// The first line named `name`, without white space around it.
    fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next().map(trim)
    }

    /// Whether there is a line named `name`.
    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// Header fields that can be changed.
pub trait FieldsMut: Fields {
    /// Takes away every line named `name`.
    fn remove_field(&mut self, name: &str);

    /// Adds a line after the others.
    fn append_field(&mut self, name: &str, value: &[u8]);
}

/// The plainest header fields: lines in order.
pub type FieldLines = Vec<(String, Vec<u8>)>;

impl<N: AsRef<str>, V: AsRef<[u8]>> Fields for [(N, V)] {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter()
            .filter(move |line| line.0.as_ref().eq_ignore_ascii_case(name))
            .map(|line| line.1.as_ref())
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().map(|line| (line.0.as_ref(), line.1.as_ref()))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Fields for Vec<(N, V)> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.as_slice().values(name)
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.as_slice().lines()
    }
}

impl FieldsMut for FieldLines {
    fn remove_field(&mut self, name: &str) {
        self.retain(|line| !line.0.eq_ignore_ascii_case(name));
    }

    fn append_field(&mut self, name: &str, value: &[u8]) {
        self.push((String::from(name), Vec::from(value)));
    }
}

/// Without spaces and tabs at both ends (optional white space, RFC 9110 section 5.6.3).
#[must_use]
pub fn trim(value: &[u8]) -> &[u8] {
    let ows = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value
        .iter()
        .position(|byte| !ows(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !ows(byte))
        .map_or(start, |at| at + 1);
    value.get(start..end).unwrap_or(&[])
}

/// The members of a list (RFC 9110 section 5.6.1): split at commas outside quoted strings,
/// trimmed, empty ones left out. A quoted string that never ends takes the rest.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        loop {
            let current = rest.take()?;
            let (head, tail) = split_at_comma(current);
            rest = tail;
            let member = trim(head);
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

/// The members of all lines named `name`, as one list.
pub fn list<'a, F: Fields + ?Sized>(
    fields: &'a F,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    fields.values(name).flat_map(members)
}

/// Whether the list named `name` has the token `token`, compared without case.
pub fn has_token<F: Fields + ?Sized>(fields: &F, name: &str, token: &str) -> bool {
    list(fields, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// What a quoted string says, or the value itself where it is not quoted; `None` where the
/// quotes do not close at its end.
#[must_use]
pub fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return Some(Vec::from(value));
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.push(*bytes.next()?),
            b'"' => return bytes.next().is_none().then_some(out),
            _ => out.push(byte),
        }
    }
    None
}

fn split_at_comma(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                let (head, tail) = value.split_at(at);
                return (head, tail.get(1..));
            }
            _ => {}
        }
    }
    (value, None)
}

/// Hop-by-hop fields (RFC 9110 section 7.6.1, RFC 9111 section 3.1): neither stored nor passed on.
/// `Connection` may name more.
pub const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Takes away the hop-by-hop fields, those that `Connection` names among them.
///
/// A field that messages are understood by (`Cache-Control`, `Host`, `Content-Length`, ...) stays
/// though `Connection` may name it: else a client could take it from the next hop.
pub fn remove_hop_by_hop<F: FieldsMut>(fields: &mut F) {
    if fields.has("connection") {
        let named: Vec<String> = list(fields, "connection")
            .filter_map(|name| core::str::from_utf8(name).ok())
            .map(str::to_ascii_lowercase)
            .filter(|name| !END_TO_END.contains(&name.as_str()))
            .collect();
        for name in named {
            fields.remove_field(&name);
        }
    }
    for name in HOP_BY_HOP {
        fields.remove_field(name);
    }
}

/// Fields that `Connection` cannot take away.
const END_TO_END: [&str; 9] = [
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "content-length",
    "date",
    "host",
    "set-cookie",
    "vary",
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, expected: &[&str]) {
        let found: Vec<&str> = members(value.as_bytes())
            .map(|member| core::str::from_utf8(member).expect("cut at commas"))
            .collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn lists_split_outside_quotes() {
        check("a, b ,c", &["a", "b", "c"]);
        check(", ,a,,", &["a"]);
        check("a=\"b,c\", d", &["a=\"b,c\"", "d"]);
        check("a=\"b\\\",c\", d", &["a=\"b\\\",c\"", "d"]);
        check("a=\"b, c", &["a=\"b, c"]);
        check("", &[]);
    }

    #[test]
    fn names_have_no_case_and_lines_make_one_list() {
        let fields = vec![("Vary", "A"), ("x", "y"), ("vary", "b, c")];
        assert_eq!(list(&fields, "VARY").count(), 3);
        assert!(has_token(&fields, "vary", "B"));
        assert!(!has_token(&fields, "vary", "d"));
    }

    #[test]
    fn quotes_come_off() {
        assert_eq!(unquote(b"\"a\\\"b\""), Some(Vec::from(b"a\"b")));
        assert_eq!(unquote(b"plain"), Some(Vec::from(b"plain")));
        assert_eq!(unquote(b"\"open"), None);
        assert_eq!(unquote(b"\"a\"b"), None);
    }

    #[test]
    fn connection_takes_what_it_names_but_not_what_protects() {
        let mut fields: FieldLines = [
            ("Connection", "a, Cache-Control"),
            ("A", "1"),
            ("Cache-Control", "private"),
            ("Keep-Alive", "5"),
            ("B", "2"),
        ]
        .map(|(name, value)| (String::from(name), Vec::from(value)))
        .into();
        remove_hop_by_hop(&mut fields);
        let names: Vec<&str> = fields.iter().map(|line| line.0.as_str()).collect();
        assert_eq!(names, ["Cache-Control", "B"]);
    }

    proptest! {
        #[test]
        fn any_bytes_split_without_a_panic(value: Vec<u8>) {
            for member in members(&value) {
                prop_assert!(!member.is_empty());
                let _ = unquote(member);
            }
        }
    }
}
