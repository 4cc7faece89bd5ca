//! What an answer is found by: pool, scheme, host, path, query, and what else a route asks for; then, for answers that vary, the
//! request's own fields.
//!
//! Every part has its length in front, so that no two requests that differ in any of them have one key, whatever bytes they are made
//! of. Entries are compared by the whole of it: a hash only says where to look. The target counts as it came, before any rewrite, and
//! two spellings of one path are two keys: only the origin knows whether they mean the same.

use std::borrow::Borrow;
use std::sync::Arc;

use super::policy::Vary;
use crate::message::{Fields, Name};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    pub fn of(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Which parts of a request make its key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recipe {
    pub ignored: Ignored,
    /// `a=1&b=2` is `b=2&a=1`.
    pub sort_query: bool,
    /// What else of the request the answer depends on, whatever it says itself.
    pub vary_by: Vec<Part>,
}

/// Parameters of a query that do not count.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ignored {
    pub all: bool,
    pub names: Vec<String>,
    pub prefixes: Vec<String>,
}

impl Ignored {
    fn matches(&self, name: &[u8]) -> bool {
        self.all
            || self.names.iter().any(|other| other.as_bytes() == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
    }

    fn is_nothing(&self) -> bool {
        !self.all && self.names.is_empty() && self.prefixes.is_empty()
    }
}

/// A part of a request beside its URL. Names of headers are in lower case.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Header(String),
    Cookie(String),
}

/// The URL of a request, as the origin will take it.
#[derive(Debug, Clone, Copy)]
pub struct Url<'a> {
    pub secure: bool,
    /// With its port, if it has one.
    pub authority: &'a [u8],
    /// The host that a proxy in front of us, which we trust, was asked for; empty: the authority's.
    pub forwarded_host: &'a [u8],
    /// Path and query as they came.
    pub target: &'a [u8],
}

impl Recipe {
    /// Appends the key of a request.
    pub fn write(&self, pool: &str, url: &Url<'_>, request: &Fields, out: &mut Vec<u8>) {
        piece(out, |out| out.extend_from_slice(pool.as_bytes()));
        out.push(u8::from(url.secure));
        piece(out, |out| push_authority(url.authority, url.secure, out));
        piece(out, |out| push_authority(url.forwarded_host, url.secure, out));
        let (path, query) = split_once(url.target, b'?');
        piece(out, |out| out.extend_from_slice(path));
        match query {
            None => absent(out),
            Some(query) => self.push_query(query, out),
        }
        for part in &self.vary_by {
            let mut values = part.values(request).peekable();
            match values.peek() {
                None => absent(out),
                Some(_) => piece(out, |out| values.for_each(|value| piece(out, |out| out.extend_from_slice(value)))),
            }
        }
    }

    fn push_query(&self, query: &[u8], out: &mut Vec<u8>) {
        if self.ignored.is_nothing() && !self.sort_query {
            return piece(out, |out| out.extend_from_slice(query));
        }
        let name = |parameter: &&[u8]| split_once(parameter, b'=').0.to_vec();
        let mut parameters: Vec<&[u8]> =
            query.split(|byte| *byte == b'&').filter(|parameter| !self.ignored.matches(&name(parameter))).collect();
        if self.sort_query {
            // By name only: the order of one parameter's values may mean something.
            parameters.sort_by_key(name);
        }
        match parameters.is_empty() {
            true => absent(out),
            false => piece(out, |out| out.extend_from_slice(&parameters.join(&b'&'))),
        }
    }
}

impl Part {
    fn values<'a>(&'a self, request: &'a Fields) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        match self {
            Part::Header(name) => Box::new(request.find(name)),
            Part::Cookie(name) => {
                let pairs = request.get_all(Name::Cookie).flat_map(|field| field.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
                Box::new(pairs.filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")))
            }
        }
    }
}

/// Appends to a key what tells apart the answers that vary on these fields. `family`: of one and the same list of fields.
pub fn push_variant(family: u64, vary: &Vary, request: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(&family.to_be_bytes());
    vary.write(request, out);
}

const LENGTH: usize = size_of::<u32>();

fn piece(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    fill(out);
    let len = (out.len() - at - LENGTH) as u32;
    out[at..at + LENGTH].copy_from_slice(&len.to_be_bytes());
}

/// In place of a piece; no piece is that long.
fn absent(out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::MAX.to_be_bytes());
}

/// An authority as keys have it.
pub(super) fn authority(written: &[u8], secure: bool) -> Vec<u8> {
    let mut out = Vec::new();
    push_authority(written, secure, &mut out);
    out
}

/// In lower case, without the port that goes without saying, without a final dot.
fn push_authority(authority: &[u8], secure: bool, out: &mut Vec<u8>) {
    let default: &[u8] = if secure { b":443" } else { b":80" };
    let authority = authority.strip_suffix(default).unwrap_or(authority);
    let at = out.len();
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|_| !authority.ends_with(b"]"));
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    out.extend_from_slice(host.strip_suffix(b".").unwrap_or(host));
    out.extend_from_slice(port);
    out[at..].make_ascii_lowercase();
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == at) {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    }
}

/// What a purge looks at of a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    pub secure: bool,
    pub authority: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

impl Seen<'_> {
    /// `None`: it is no key.
    pub fn of(key: &[u8]) -> Option<Seen<'_>> {
        let (_, rest) = take(key)?;
        let (secure, rest) = rest.split_first()?;
        let (authority, rest) = take(rest)?;
        let (forwarded, rest) = take(rest)?;
        let (path, rest) = take(rest)?;
        let query = take(rest).map(|(query, _)| query);
        let authority = if forwarded.is_empty() { authority } else { forwarded };
        Some(Seen { secure: *secure != 0, authority, path, query })
    }
}

/// Appends the URL of a key, as text that fits between quotes.
pub fn show(key: &[u8], out: &mut Vec<u8>) {
    let Some(Seen { secure, authority, path, query }) = Seen::of(key) else { return };
    let mut push = |text: &[u8]| {
        out.extend(text.iter().map(|byte| if matches!(byte, b'"' | b'\\') || !byte.is_ascii_graphic() { b'_' } else { *byte }))
    };
    push(if secure { b"https://" } else { b"http://" });
    push(authority);
    push(path);
    if let Some(query) = query {
        push(b"?");
        push(query);
    }
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url<'a>(authority: &'a str, target: &'a str) -> Url<'a> {
        Url { secure: false, authority: authority.as_bytes(), forwarded_host: b"", target: target.as_bytes() }
    }

    fn key(recipe: &Recipe, url: &Url<'_>, request: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        recipe.write("app", url, &Fields::of(request), &mut out);
        out
    }

    #[test]
    fn spellings_of_one_host_are_one_key() {
        let plain = Recipe::default();
        let expected = key(&plain, &url("a.example", "/"), &[]);
        for authority in ["A.Example", "a.example:80", "a.example.", "a.example.:80"] {
            assert_eq!(key(&plain, &url(authority, "/"), &[]), expected, "{authority}");
        }
        for other in ["a.example:443", "a.example:8080", "b.example", "a.example:0080"] {
            assert_ne!(key(&plain, &url(other, "/"), &[]), expected, "{other}");
        }
        let secure = Url { secure: true, ..url("a.example", "/") };
        assert_ne!(key(&plain, &secure, &[]), expected);
        assert_eq!(key(&plain, &Url { authority: b"a.example:443", ..secure }, &[]), key(&plain, &secure, &[]));
        assert_ne!(key(&plain, &Url { forwarded_host: b"b.example", ..url("a.example", "/") }, &[]), expected);
        assert_eq!(key(&plain, &url("[::1]:80", "/"), &[]), key(&plain, &url("[::1]", "/"), &[]));
    }

    #[test]
    fn targets_count_as_they_came() {
        let plain = Recipe::default();
        let targets = ["/", "/?", "/?a", "/?a=", "/A", "/a", "/%61", "//", "/a?b?c", "*"];
        let keys: std::collections::HashSet<_> = targets.iter().map(|target| key(&plain, &url("a", target), &[])).collect();
        assert_eq!(keys.len(), targets.len());
    }

    #[test]
    fn a_route_may_look_less_closely_or_more() {
        let ignored = Ignored { names: vec!["fbclid".into()], prefixes: vec!["utm_".into()], all: false };
        let sorted = Recipe { ignored, sort_query: true, ..Recipe::default() };
        let of = |target| key(&sorted, &url("a", target), &[]);
        assert_eq!(of("/?b=2&utm_source=x&a=1&fbclid=y"), of("/?a=1&b=2"));
        assert_eq!(of("/?utm_source=x"), of("/"));
        assert_ne!(of("/?a=1&a=2"), of("/?a=2&a=1"));
        let all = Recipe { ignored: Ignored { all: true, ..Ignored::default() }, ..Recipe::default() };
        assert_eq!(key(&all, &url("a", "/x?y"), &[]), key(&all, &url("a", "/x"), &[]));
        let closer = Recipe { vary_by: vec![Part::Header("x-team".into()), Part::Cookie("beta".into())], ..Recipe::default() };
        let with = |request: &[(&str, &str)]| key(&closer, &url("a", "/"), request);
        assert_eq!(with(&[("Cookie", "a=b; beta=1; c=d")]), with(&[("cookie", "beta=1")]));
        for (one, other) in [
            (&[("X-Team", "1")][..], &[("X-Team", "2")][..]),
            (&[("X-Team", "")], &[]),
            (&[("X-Team", "1"), ("X-Team", "2")], &[("X-Team", "12")]),
            (&[("X-Team", "1")], &[("Cookie", "beta=1")]),
            (&[("Cookie", "beta=1")], &[("Cookie", "beta=2")]),
        ] {
            assert_ne!(with(one), with(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_purge_sees_the_url() {
        let key = key(&Recipe::default(), &url("A.example:80", "/x?y=1"), &[]);
        let seen = Seen { secure: false, authority: b"a.example", path: b"/x", query: Some(b"y=1") };
        assert_eq!(Seen::of(&key), Some(seen));
        assert_eq!(Seen::of(b""), None);
    }

    proptest! {
        #[test]
        fn different_requests_have_different_keys(a in parts(), b in parts()) {
            let write = |(pool, secure, host, target, value): &(String, bool, String, String, Option<String>)| {
                let recipe = Recipe { vary_by: vec![Part::Header("x".into())], ..Recipe::default() };
                let mut out = Vec::new();
                let url = Url { secure: *secure, authority: host.as_bytes(), forwarded_host: b"", target: target.as_bytes() };
                recipe.write(pool, &url, &Fields::of(&value.iter().map(|value| ("x", value.as_str())).collect::<Vec<_>>()), &mut out);
                out
            };
            prop_assert_eq!(write(&a) == write(&b), a == b);
        }

        #[test]
        fn no_bytes_are_too_strange_for_a_purge(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Seen::of(&bytes);
        }
    }

    fn parts() -> impl Strategy<Value = (String, bool, String, String, Option<String>)> {
        ("[ab]{1,2}", any::<bool>(), "[ab]{1,2}", "/[ab?]{0,3}", proptest::option::of("[ab]{0,2}"))
    }
}
