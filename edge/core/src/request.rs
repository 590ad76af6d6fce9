//! A request as the host hands it over.

/// Borrowed view of a request; nothing in it is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path, percent-encoded.
    pub path: &'a str,
    /// Query without `?`; empty where there is none.
    pub query: &'a str,
    /// Wall time, Unix ms.
    pub wall_ms: i64,
    /// 128 random bits of this request.
    pub random: [u8; 16],
    /// The client's address.
    pub client_ip: &'a str,
    /// Country by the host's geolocation, two letters; empty where unknown.
    pub country: &'a str,
    /// Region within the country; empty where unknown.
    pub region: &'a str,
    /// IANA time zone; empty where unknown.
    pub timezone: &'a str,
    /// The zone's offset from UTC at this moment, minutes; 0 where unknown.
    pub utc_offset_minutes: i32,
    /// Headers, `name: value` lines.
    pub headers: &'a str,
}

impl<'a> Request<'a> {
    /// The first value of a header; names are compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.split('\n').find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known
                .trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim())
        })
    }

    /// Parses the header text of a `start` frame.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text;
        let mut line = || {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            line
        };
        let method = line();
        let target = line();
        let wall_ms = line().trim().parse::<u64>().ok()?;
        let random = parse_hex16(line().trim())?;
        let (client_ip, country, region, zone) = (line(), line(), line(), line());
        let (timezone, offset) = zone.split_once(';').unwrap_or((zone, ""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if method.is_empty() || !path.starts_with('/') {
            return None;
        }
        Some(Self {
            method,
            path,
            query,
            wall_ms: i64::try_from(wall_ms).ok()?,
            random,
            client_ip,
            country,
            region,
            timezone,
            utc_offset_minutes: offset.parse().unwrap_or(0),
            headers: rest,
        })
    }
}

/// 32 hexadecimal digits as bytes.
pub(crate) fn parse_hex16(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "GET\n/api/v1/feed?limit=3\n1700000000000\n\
        000102030405060708090a0b0c0d0e0f\n10.0.0.1\nCH\nZH\nEurope/Zurich;60\n\
        authorization: Bearer x\nOrigin: https://a.example";

    #[test]
    fn reads_every_line() {
        let request = Request::parse(TEXT).expect("well formed");
        assert_eq!(request.path, "/api/v1/feed");
        assert_eq!(request.query, "limit=3");
        assert_eq!(request.wall_ms, 1_700_000_000_000);
        assert_eq!(request.random[15], 15);
        assert_eq!((request.country, request.timezone), ("CH", "Europe/Zurich"));
        assert_eq!(request.utc_offset_minutes, 60);
        assert_eq!(request.header("Authorization"), Some("Bearer x"));
        assert_eq!(request.header("origin"), Some("https://a.example"));
        assert_eq!(request.header("traceparent"), None);
    }

    #[test]
    fn refuses_what_is_not_a_request() {
        for text in [
            "",
            "GET",
            "GET\n/x\nnow\n00",
            "GET\nx\n1\n000102030405060708090a0b0c0d0e0f",
        ] {
            assert_eq!(Request::parse(text), None, "{text:?}");
        }
        assert_eq!(parse_hex16("+00102030405060708090a0b0c0d0e0f"), None);
    }
}
