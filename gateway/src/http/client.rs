//! Which address a request comes from: the other end of the connection, or, where that is a proxy
//! that is believed, whom the proxy names.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage as _, HttpRequest};
use usher_config::Network;

use crate::relay::between::FromNode;

/// Addresses looked at in one header: nobody is behind more proxies.
const HOPS_MAX: usize = 16;

/// Whose word about the client's address is believed.
#[derive(Clone, Debug)]
pub(crate) struct Proxies(Vec<Network>);

impl Proxies {
    pub(crate) const fn new(trusted: Vec<Network>) -> Self {
        Self(trusted)
    }

    /// `None`: the connection has no address.
    pub(crate) fn client_of(&self, request: &HttpRequest) -> Option<IpAddr> {
        // Another node has found it out, with proxies of its own.
        if request.extensions().contains::<FromNode>() {
            return hops(request.headers()).into_iter().next()?;
        }
        self.client_behind(request.peer_addr(), request.headers())
    }

    /// Who is at the other end of a connection, or behind proxies there.
    pub(crate) fn client_behind(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Option<IpAddr> {
        Some(self.client(peer?.ip(), headers).to_canonical())
    }

    /// Each proxy adds whom it heard from: the first from the end that is no proxy of ours.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trusts(client) {
            return client;
        }
        for hop in hops(headers).into_iter().rev().take(HOPS_MAX) {
            // What is not an address was not written by a proxy of ours.
            let Some(hop) = hop else { break };
            client = hop;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// `X-Forwarded-For`, or else `Forwarded` (RFC 7239), in the order they were written.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| {
        let values = headers.get_all(name).map(|value| value.to_str().unwrap_or_default());
        values.flat_map(|value| value.split(',').map(str::trim)).collect::<Vec<_>>()
    };
    let plain = values("x-forwarded-for");
    if !plain.is_empty() {
        return plain.into_iter().map(address).collect();
    }
    values("forwarded").into_iter().map(|element| address(forwarded_for(element)?)).collect()
}

fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// With or without port, brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use usher_config::{Config, LoadOptions};

    use super::*;

    fn proxies(list: &str) -> Proxies {
        let pair = ("http.trusted_proxies".to_owned(), list.to_owned());
        let options = LoadOptions { overrides: [pair].into(), ..LoadOptions::default() };
        Proxies::new(Config::load(&options).unwrap().config.http.trusted_proxies)
    }

    fn seen(proxies: &Proxies, peer: &str, headers: &[(&str, &str)]) -> String {
        let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
        let mut request = TestRequest::default().peer_addr(peer);
        for pair in headers {
            request = request.append_header(*pair);
        }
        proxies.client_of(&request.to_http_request()).unwrap().to_string()
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let own = proxies("10.0.0.0/8,127.0.0.1");
        let named = [("X-Forwarded-For", "203.0.113.9")];
        assert_eq!(seen(&own, "10.1.2.3", &named), "203.0.113.9");
        assert_eq!(seen(&own, "198.51.100.1", &named), "198.51.100.1", "not one of ours");
        assert_eq!(seen(&proxies(""), "10.1.2.3", &named), "10.1.2.3");
        assert_eq!(seen(&own, "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(seen(&own, "::ffff:10.1.2.3", &named), "203.0.113.9");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let own = proxies("10.0.0.0/8");
        let chain = |value| seen(&own, "10.0.0.1", &[("X-Forwarded-For", value)]);
        assert_eq!(chain("1.1.1.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(chain("1.1.1.1, nonsense, 10.0.0.2"), "10.0.0.2");
        assert_eq!(chain("10.0.0.3"), "10.0.0.3", "a proxy asks itself");
        let twice = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.9")];
        assert_eq!(seen(&own, "10.0.0.1", &twice), "203.0.113.9");
    }

    #[test]
    fn ports_brackets_and_the_standard_header() {
        let own = proxies("10.0.0.0/8");
        let one = |name, value| seen(&own, "10.0.0.1", &[(name, value)]);
        assert_eq!(one("X-Forwarded-For", "203.0.113.9:51000"), "203.0.113.9");
        assert_eq!(one("X-Forwarded-For", "[2001:db8::1]:443"), "2001:db8::1");
        let standard = "for=1.1.1.1, For=\"[2001:db8::7]:99\";proto=https, for=10.0.0.5";
        assert_eq!(one("Forwarded", standard), "2001:db8::7");
        assert_eq!(one("Forwarded", "for=unknown"), "10.0.0.1");
    }
}
