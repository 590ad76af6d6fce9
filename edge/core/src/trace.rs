//! W3C trace context: taken from the request where it is valid, else begun here.

use alloc::format;
use alloc::string::String;

use edgewise_ranking::id_hash;

/// The trace a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: u128,
    span: u64,
    flags: u8,
}

impl Trace {
    /// Of a request's `traceparent` and random bits.
    pub(crate) fn of(traceparent: Option<&str>, random: [u8; 16]) -> Self {
        let random = u128::from_be_bytes(random);
        let span = id_hash(&format!("{random:032x}")).max(1);
        match traceparent.and_then(parse) {
            Some((id, flags)) => Self { id, span, flags },
            None => Self {
                id: random.max(1),
                span,
                flags: 0,
            },
        }
    }

    /// The header for a request to the origin.
    pub(crate) fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags)
    }
}

/// Trace id and flags of `version-id-parent-flags`.
fn parse(text: &str) -> Option<(u128, u8)> {
    let mut parts = text.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version_is_known = version == "00" && parts.next().is_none();
    // A later version may append fields; `ff` is forbidden.
    let version_is_later = is_hex(version, 2) && version != "ff" && version != "00";
    if !(version_is_known || version_is_later)
        || !(is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2))
    {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|&id| id != 0)?;
    u64::from_str_radix(parent, 16)
        .ok()
        .filter(|&parent| parent != 0)?;
    Some((id, u8::from_str_radix(flags, 16).ok()?))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_trace_goes_on_with_a_new_span() {
        let header = Trace::of(Some(GIVEN), [7; 16]).header();
        assert_eq!(&header[..36], &GIVEN[..36]);
        assert_ne!(&header[36..52], &GIVEN[36..52]);
        assert!(header.ends_with("-01"));
    }

    #[test]
    fn an_invalid_trace_is_replaced() {
        let fresh = Trace::of(None, [7; 16]);
        assert!(parse(&fresh.header()).is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Trace::of(Some(bad), [7; 16]), fresh, "{bad}");
        }
        assert!(
            parse(&Trace::of(None, [0; 16]).header()).is_some(),
            "never all zeros"
        );
    }
}
