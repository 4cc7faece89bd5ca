//! Which certificate a client is shown: by the name that it asks for (SNI).
//!
//! The name itself, else a wildcard over its first label, else the first certificate of the list. Of several for one name the first
//! counts. The same choice is made for the host of a request, to see whether it came on a connection that was meant for another.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Pair;

/// Certificates by name. Never empty.
#[derive(Debug, PartialEq)]
pub struct Names {
    pairs: Vec<Pair>,
    exact: HashMap<String, usize>,
    /// By what follows the star, the dot included.
    wildcards: HashMap<String, usize>,
}

impl Names {
    /// `pairs`: at least one; the first is for who asks for none of the names, or for no name at all.
    pub fn new(pairs: Vec<Pair>) -> Names {
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for (at, pair) in pairs.iter().enumerate() {
            for name in pair.names() {
                match name.strip_prefix('*') {
                    Some(suffix) => wildcards.entry(suffix.to_owned()).or_insert(at),
                    None => exact.entry(name.clone()).or_insert(at),
                };
            }
        }
        Names { pairs, exact, wildcards }
    }

    fn select(&self, name: &str) -> usize {
        let wild = || self.wildcards.get(&name[name.find('.')?..]);
        self.exact.get(name).or_else(wild).copied().unwrap_or(0)
    }

    /// Whether a request for `host` may come on a connection whose client asked for `asked`; both in lower case, without port.
    ///
    /// A certificate that speaks for both makes it right: clients send requests for all its names on one connection (RFC 9113 9.1.1). So
    /// does one that both would have got. Anything else is misdirected (RFC 9110 7.4).
    pub fn may_serve(&self, asked: &str, host: &str) -> bool {
        if self.pairs.len() == 1 || asked == host {
            return true;
        }
        let shown = self.select(asked);
        shown == self.select(host) || self.pairs[shown].covers(host)
    }

    /// As rustls asks; for a client without a name, the first.
    fn resolve(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let at = match name {
            Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => self.select(&name.to_ascii_lowercase()),
            Some(name) => self.select(name),
            None => 0,
        };
        self.pairs[at].certified().clone()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Names::resolve(self, client.server_name()))
    }
}

/// The same for one connection, which remembers the name: rustls tells it nowhere else.
#[derive(Debug)]
pub struct Named {
    names: Arc<Names>,
    asked: std::sync::OnceLock<Box<str>>,
}

impl Named {
    pub fn new(names: Arc<Names>) -> Named {
        Named { names, asked: std::sync::OnceLock::new() }
    }

    /// The name that the client asked for, in lower case.
    pub fn asked(&self) -> Option<&str> {
        self.asked.get().map(|name| &**name)
    }
}

impl ResolvesServerCert for Named {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = client.server_name() {
            // A second hello, after a retry, has to ask for the same.
            let _ = self.asked.set(name.to_ascii_lowercase().into());
        }
        Some(self.names.resolve(client.server_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::tests::pair;
    use super::*;

    fn names() -> Names {
        Names::new(vec![
            pair(&["default.example"]),
            pair(&["a.example", "shared.example"]),
            pair(&["*.a.example"]),
            pair(&["x.a.example"]),
            pair(&["a.example", "late.example"]),
        ])
    }

    #[test]
    fn the_name_itself_then_a_wildcard_then_the_first() {
        let names = names();
        for (name, at) in [
            ("a.example", 1),
            ("shared.example", 1),
            ("late.example", 4),
            ("x.a.example", 3),
            ("y.a.example", 2),
            ("x.y.a.example", 0),
            ("default.example", 0),
            ("nobody.example", 0),
            ("example", 0),
            ("", 0),
            (".", 0),
        ] {
            assert_eq!(names.select(name), at, "{name}");
            let shouted = name.to_ascii_uppercase();
            assert!(Arc::ptr_eq(&names.resolve(Some(&shouted)), names.pairs[at].certified()), "{shouted}");
        }
        assert!(Arc::ptr_eq(&names.resolve(None), names.pairs[0].certified()));
    }

    #[test]
    fn a_request_may_come_on_a_connection_whose_certificate_speaks_for_it() {
        let names = names();
        for (asked, host, may) in [
            ("a.example", "a.example", true),
            ("a.example", "shared.example", true),
            // Another certificate would have been shown, but the one that was covers it.
            ("y.a.example", "x.a.example", true),
            ("x.a.example", "y.a.example", false),
            ("a.example", "y.a.example", false),
            ("a.example", "default.example", false),
            ("a.example", "nobody.example", false),
            // Both get the first.
            ("nobody.example", "default.example", true),
            ("nobody.example", "else.example", true),
            ("nobody.example", "a.example", false),
        ] {
            assert_eq!(names.may_serve(asked, host), may, "{host} on a connection for {asked}");
        }
        let one = Names::new(vec![pair(&["a.example"])]);
        assert!(one.may_serve("a.example", "b.example"), "who has one certificate is not choosy");
    }
}
