//! Who asks and from where: the peer, or what a trusted front says.

use std::net::IpAddr;

use hyper::HeaderMap;
use ipnet::IpNet;

use crate::limits::FORWARDED_MAX;

/// The chain of addresses a request came through, the client's first.
const FORWARDED: &str = "x-forwarded-for";
/// Country by the front's geolocation, two letters.
const COUNTRY: &str = "x-edgewise-country";
/// Region within the country.
const REGION: &str = "x-edgewise-region";
/// IANA time zone.
const TIMEZONE: &str = "x-edgewise-timezone";
/// Longest value of the three that is passed on, bytes.
const PLACE_BYTES_MAX: usize = 64;

/// Fronts whose word counts (`--trust-forwarded`).
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedFronts(Vec<IpNet>);

/// What is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    /// Its address.
    pub(crate) ip: IpAddr,
    /// Empty where unknown, as the others.
    pub(crate) country: &'a str,
    pub(crate) region: &'a str,
    pub(crate) timezone: &'a str,
}

impl TrustedFronts {
    /// The networks of the operator's own fronts.
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`. Anybody can write the headers, so they count only where a
    /// trusted front was the last to touch them; of the chain, the last address that is no
    /// trusted front's is the client's.
    pub(crate) fn client<'a>(&self, peer: IpAddr, headers: &'a HeaderMap) -> Client<'a> {
        let peer = peer.to_canonical();
        let mut client = Client {
            ip: peer,
            country: "",
            region: "",
            timezone: "",
        };
        if !self.trusts(peer) {
            return client;
        }
        let chain = headers.get_all(FORWARDED).iter().rev();
        let addresses = chain
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.rsplit(','))
            .take(FORWARDED_MAX);
        for address in addresses {
            // What stands before an unreadable entry is nobody's word.
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            client.ip = address.to_canonical();
            if !self.trusts(client.ip) {
                break;
            }
        }
        let place = |name| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value
                .filter(|value| value.len() <= PLACE_BYTES_MAX)
                .unwrap_or_default()
        };
        client.country = place(COUNTRY);
        client.region = place(REGION);
        client.timezone = place(TIMEZONE);
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn fronts() -> TrustedFronts {
        TrustedFronts::new(vec!["10.0.0.0/8".parse().expect("a network")])
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let headers = headers(&[
            (FORWARDED, "198.51.100.1"),
            (COUNTRY, "CH"),
            (TIMEZONE, "Europe/Zurich"),
        ]);
        let client = fronts().client(ip("203.0.113.5"), &headers);
        assert_eq!(client.ip, ip("203.0.113.5"));
        assert_eq!((client.country, client.timezone), ("", ""));
        let nobody = TrustedFronts::default().client(ip("10.0.0.1"), &headers);
        assert_eq!(nobody.ip, ip("10.0.0.1"));
    }

    #[test]
    fn a_front_names_the_client_and_the_client_cannot_add_to_it() {
        let from = |chain: &[(&'static str, &str)]| {
            fronts().client(ip("::ffff:10.0.0.1"), &headers(chain)).ip
        };
        assert_eq!(from(&[(FORWARDED, "198.51.100.1")]), ip("198.51.100.1"));
        let forged = [(FORWARDED, "192.0.2.9, 198.51.100.1, 10.0.0.2")];
        assert_eq!(from(&forged), ip("198.51.100.1"));
        let lines = [(FORWARDED, "192.0.2.9"), (FORWARDED, "198.51.100.1")];
        assert_eq!(from(&lines), ip("198.51.100.1"));
        assert_eq!(from(&[(FORWARDED, "192.0.2.9, nonsense")]), ip("10.0.0.1"));
        assert_eq!(from(&[]), ip("10.0.0.1"));
        let placed = headers(&[(COUNTRY, "CH"), (REGION, "ZH")]);
        let client = fronts().client(ip("10.0.0.1"), &placed);
        assert_eq!((client.country, client.region), ("CH", "ZH"));
    }
}
