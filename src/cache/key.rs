//! What an answer is found by: its URL; then the situation in which it was asked for, which is all else that the origin is told and
//! answers may differ by; then, for answers that vary, the request's own fields.
//!
//! Every part has its length in front, so that no two requests that differ in any of them have one key, whatever bytes they are made
//! of. Entries are compared by the whole of it: a hash only says where to look. The target counts as it came, before any rewrite, and
//! two spellings of one path are two keys: only the origin knows whether they mean the same.
//!
//! The URL stands alone in front, so that one look-up, and one removal, finds all that is kept under it, whoever asked for it and by
//! whichever route: whatever changes a URL changes all of that (RFC 9111 4.4).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::policy::Vary;
use crate::message::forwarding::Told;
use crate::message::{Fields, Name};

/// The bytes of a key, of which the first `found_by` are what it is looked up by.
#[derive(Debug, Clone)]
pub struct Key {
    bytes: Arc<[u8]>,
    found_by: u32,
}

impl Key {
    /// Looked up by all of it.
    pub fn of(bytes: &[u8]) -> Key {
        Key::found_by(bytes, bytes.len())
    }

    /// Looked up by its first bytes. The rest is to be compared by whoever finds it.
    pub fn found_by(bytes: &[u8], first: usize) -> Key {
        Key { bytes: bytes.into(), found_by: first as u32 }
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is looked up by.
    pub fn looked_up(&self) -> &[u8] {
        &self.bytes[..self.found_by as usize]
    }

    /// What it is not looked up by.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.found_by as usize..]
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.looked_up() == other.looked_up()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.looked_up().hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.looked_up()
    }
}

/// Which parts of a request make its key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recipe {
    pub spelling: Spelling,
    /// What else of the request the answer depends on, whatever it says itself.
    pub vary_by: Vec<Part>,
}

/// Which queries mean the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spelling {
    pub ignored: Ignored,
    /// `a=1&b=2` is `b=2&a=1`.
    pub sort_query: bool,
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

    /// Whether a parameter that begins so may be one of them.
    fn may_match(&self, begun: &[u8]) -> bool {
        let (name, None) = split_once(begun, b'=') else { return self.matches(split_once(begun, b'=').0) };
        self.all
            || self.names.iter().any(|other| other.as_bytes().starts_with(name))
            || self.prefixes.iter().any(|prefix| prefix.as_bytes().starts_with(name) || name.starts_with(prefix.as_bytes()))
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

/// The URL that the client asked for, as far as is known.
#[derive(Debug, Clone, Copy)]
pub struct Url<'a> {
    pub secure: bool,
    /// With its port, if it has one.
    pub authority: &'a [u8],
    /// Path and query as they came.
    pub target: &'a [u8],
}

impl Recipe {
    /// Whether the route says that answers depend on this header, whose name is in lower case.
    pub fn has_header(&self, name: &str) -> bool {
        self.vary_by.iter().any(|part| matches!(part, Part::Header(header) if header == name))
    }

    /// Appends the situation of a request: the partition that its route belongs to, what the origin is told beside the URL, and what
    /// the route says that the answer depends on.
    pub fn write_situation(&self, partition: &str, told: &Told<'_>, request: &Fields, out: &mut Vec<u8>) {
        piece(out, |out| out.extend_from_slice(partition.as_bytes()));
        piece(out, |out| out.extend_from_slice(told.port));
        match told.instead_of {
            None => absent(out),
            Some(authority) => piece(out, |out| push_authority(authority, told.secure, out)),
        }
        match told.forwarded {
            false => absent(out),
            true => piece(out, |out| request.get_all(Name::Forwarded).for_each(|line| piece(out, |out| push_forwarded(line, out)))),
        }
        for part in &self.vary_by {
            let mut values = part.values(request).peekable();
            match values.peek() {
                None => absent(out),
                Some(_) => piece(out, |out| values.for_each(|value| piece(out, |out| out.extend_from_slice(value)))),
            }
        }
    }
}

impl Spelling {
    /// What a URL is looked up by.
    pub fn spell(&self, url: &Url<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(url, &mut out);
        out
    }

    /// Appends a URL.
    pub fn write(&self, url: &Url<'_>, out: &mut Vec<u8>) {
        out.push(u8::from(url.secure));
        piece(out, |out| push_authority(url.authority, url.secure, out));
        let (path, query) = split_once(url.target, b'?');
        piece(out, |out| out.extend_from_slice(path));
        match query {
            None => absent(out),
            Some(query) => self.push_query(query, out),
        }
    }

    /// Queries are kept as they came.
    pub fn is_plain(&self) -> bool {
        self.ignored.is_nothing() && !self.sort_query
    }

    /// Whether some URL whose query begins so is kept, in this spelling, as one with the query `kept`.
    pub fn may_keep(&self, begun: &[u8], kept: Option<&[u8]>) -> bool {
        if self.is_plain() {
            return kept.is_some_and(|kept| kept.starts_with(begun));
        }
        let name = |parameter: &[u8]| split_once(parameter, b'=').0.to_vec();
        let mut left: Vec<&[u8]> = kept.map(|kept| kept.split(|byte| *byte == b'&').collect()).unwrap_or_default();
        let mut parameters: Vec<&[u8]> = begun.split(|byte| *byte == b'&').collect();
        // The last may go on; those before it are whole.
        let open = parameters.pop().unwrap_or_default();
        for whole in parameters.into_iter().filter(|parameter| !self.ignored.matches(&name(parameter))) {
            // Sorted, what is first of its name stays first of its name.
            match left.iter().position(|other| !self.sort_query || name(other) == name(whole)) {
                Some(at) if left[at] == whole => left.remove(at),
                _ => return false,
            };
        }
        let is_first = |at: usize| if self.sort_query { left[..at].iter().all(|other| name(other) != name(left[at])) } else { at == 0 };
        self.ignored.may_match(open) || (0..left.len()).any(|at| left[at].starts_with(open) && is_first(at))
    }

    fn push_query(&self, query: &[u8], out: &mut Vec<u8>) {
        if self.is_plain() {
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

/// A line of `Forwarded` (RFC 7239) without what names clients and proxies, by which no answer for many may differ. Where it is not
/// certain which part that is, all of it.
fn push_forwarded(line: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| !matches!(byte, b';' | b',' | b'=' | b'\\');
    if !line.split(|byte| *byte == b'"').skip(1).step_by(2).flatten().all(is_plain) {
        return out.extend_from_slice(line);
    }
    for element in line.split(|byte| *byte == b',') {
        for pair in element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let name = split_once(pair, b'=').0;
            if !name.eq_ignore_ascii_case(b"for") && !name.eq_ignore_ascii_case(b"by") {
                out.extend_from_slice(pair);
                out.push(b';');
            }
        }
        out.push(b',');
    }
}

/// An authority as keys have it.
pub fn authority(written: &[u8], secure: bool) -> Vec<u8> {
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

impl<'a> Seen<'a> {
    /// `None`: it is no key.
    pub fn of(key: &'a [u8]) -> Option<Seen<'a>> {
        let (secure, rest) = key.split_first()?;
        let (authority, rest) = take(rest)?;
        let (path, rest) = take(rest)?;
        let query = take(rest).map(|(query, _)| query);
        Some(Seen { secure: *secure != 0, authority, path, query })
    }

    /// Path and query as one text.
    pub fn whole(&self) -> impl Iterator<Item = u8> + use<'a> {
        let query = self.query.map(|query| b"?".iter().chain(query));
        self.path.iter().chain(query.into_iter().flatten()).copied()
    }

    /// The order in which all URLs that begin alike stand together.
    pub fn cmp_url(&self, other: &Seen<'_>) -> Ordering {
        (self.secure, self.authority).cmp(&(other.secure, other.authority)).then_with(|| self.whole().cmp(other.whole()))
    }
}

/// In whose name it is kept; empty: it is no whole key.
pub fn partition(key: &[u8]) -> &[u8] {
    let behind_url = || {
        let (_, rest) = take(key.get(1..)?)?;
        let (_, rest) = take(rest)?;
        // A query, or that there is none.
        let rest = take(rest).map_or_else(|| rest.get(LENGTH..), |(_, rest)| Some(rest))?;
        Some(take(rest)?.0)
    };
    behind_url().unwrap_or_default()
}

/// The URL of a key, as a request could have it; `None`: it has bytes that do not belong there.
pub fn url(key: &[u8]) -> Option<String> {
    let seen = Seen::of(key)?;
    let text: Vec<u8> = seen.authority.iter().copied().chain(seen.whole()).collect();
    let text = String::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
    Some(format!("{}://{text}", if seen.secure { "https" } else { "http" }))
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
        Url { secure: false, authority: authority.as_bytes(), target: target.as_bytes() }
    }

    const TOLD: Told<'_> = Told { secure: false, host: b"a", instead_of: None, port: b"80", forwarded: false };

    fn key(recipe: &Recipe, url: &Url<'_>, request: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        recipe.spelling.write(url, &mut out);
        recipe.write_situation("app", &TOLD, &Fields::of(request), &mut out);
        out
    }

    fn situation(told: &Told<'_>, request: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        Recipe::default().write_situation("app", told, &Fields::of(request), &mut out);
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
        let sorted = Recipe { spelling: Spelling { ignored, sort_query: true }, ..Recipe::default() };
        let of = |target| key(&sorted, &url("a", target), &[]);
        assert_eq!(of("/?b=2&utm_source=x&a=1&fbclid=y"), of("/?a=1&b=2"));
        assert_eq!(of("/?utm_source=x"), of("/"));
        assert_ne!(of("/?a=1&a=2"), of("/?a=2&a=1"));
        let all = Ignored { all: true, ..Ignored::default() };
        let all = Recipe { spelling: Spelling { ignored: all, sort_query: false }, ..Recipe::default() };
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
    fn what_the_origin_is_told_beside_the_url_makes_a_situation() {
        let expected = situation(&TOLD, &[]);
        for told in [
            Told { port: b"8080", ..TOLD },
            Told { instead_of: Some(b"inner"), ..TOLD },
            Told { instead_of: Some(b""), ..TOLD },
            Told { forwarded: true, ..TOLD },
        ] {
            assert_ne!(situation(&told, &[]), expected, "{told:?}");
        }
        let forwarded = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("Forwarded", *line)).collect();
            situation(&Told { forwarded: true, ..TOLD }, &lines)
        };
        for (one, other) in [
            ("for=1.2.3.4;host=a", "for=5.6.7.8;host=a"),
            ("for=\"[::1]:80\"; host=a, by=x", "For=\"[::2]\"; host=a, BY=y"),
            ("host=a;proto=https", "for=unknown;host=a;proto=https"),
        ] {
            let names_nobody = |line: &str| forwarded(&[line]);
            assert_eq!(names_nobody(one), names_nobody(other), "{one} {other}");
        }
        for (one, other) in [
            ("for=1;host=a", "for=1;host=b"),
            ("for=1;proto=http", "for=1;proto=https"),
            ("host=a, host=b", "host=a; host=b"),
            ("host=\"a;for=x\"", "host=\"a;for=y\""),
            ("for=\"x;host=a\"", "for=\"x;host=b\""),
            ("for=\"x\\\"\";host=a", "for=\"x\\\"\";host=b"),
        ] {
            assert_ne!(forwarded(&[one]), forwarded(&[other]), "{one} {other}");
        }
        assert_ne!(forwarded(&["host=a"]), forwarded(&["host=a", "host=b"]));
    }

    #[test]
    fn a_purge_sees_the_url() {
        let key = key(&Recipe::default(), &url("A.example:80", "/x?y=1"), &[]);
        let seen = Seen { secure: false, authority: b"a.example", path: b"/x", query: Some(b"y=1") };
        assert_eq!(Seen::of(&key), Some(seen));
        assert_eq!(Seen::of(b""), None);
    }

    #[test]
    fn a_beginning_is_held_against_what_is_left_of_a_query() {
        let ignoring = |names: &[&str], prefixes: &[&str], all| Ignored {
            names: names.iter().map(|name| (*name).into()).collect(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
            all,
        };
        let some = Spelling { ignored: ignoring(&["fbclid"], &["utm_"], false), sort_query: false };
        let sorted = Spelling { sort_query: true, ..some.clone() };
        let all = Spelling { ignored: ignoring(&[], &[], true), sort_query: false };
        for (spelling, begun, kept, expected) in [
            (Spelling::default(), "a=1", Some("a=12"), true),
            (Spelling::default(), "a=1", Some("b&a=1"), false),
            (Spelling::default(), "", None, false),
            (all.clone(), "a=1", None, true),
            (all, "", None, true),
            (some.clone(), "utm_source=x&a=1", Some("a=12&b"), true),
            (some.clone(), "utm", Some("a=12&b"), true),
            (some.clone(), "utm_x=1", None, true),
            (some.clone(), "fbclid=", None, true),
            (some.clone(), "fbclidx", None, false),
            (some.clone(), "a=1&f", Some("a=1"), true),
            (some.clone(), "a=1&g", Some("a=1"), false),
            (some.clone(), "a=1&", Some("a=12"), false),
            (some.clone(), "b=2&a=1", Some("a=1&b=2"), false),
            (some, "b=2", Some("a=1&b=2"), false),
            (sorted.clone(), "b=2", Some("a=1&b=2"), true),
            (sorted.clone(), "b=2&a=1", Some("a=1&b=2"), true),
            (sorted.clone(), "b=2&a=2", Some("a=1&a=2&b=2"), false),
            (sorted.clone(), "b=2&a=1&a", Some("a=1&a=2&b=2"), true),
            (sorted.clone(), "c", Some("a=1&b=2"), false),
            (sorted, "c=3&", Some("a=1&b=2"), false),
        ] {
            assert_eq!(spelling.may_keep(begun.as_bytes(), kept.map(str::as_bytes)), expected, "{spelling:?} {begun} {kept:?}");
        }
    }

    proptest! {
        #[test]
        fn a_url_is_kept_under_what_each_of_its_beginnings_may_be(
            query in "[abu=&]{0,8}", ignored in proptest::option::of("[abu]{1,2}"), prefix: bool, sort_query: bool, end: proptest::sample::Index,
        ) {
            let (names, prefixes) = if prefix { (vec![], ignored.into_iter().collect()) } else { (ignored.into_iter().collect(), vec![]) };
            let spelling = Spelling { ignored: Ignored { all: false, names, prefixes }, sort_query };
            let spelled = spelling.spell(&url("a", &format!("/?{query}")));
            let kept = Seen::of(&spelled).expect("a key").query;
            prop_assert!(spelling.may_keep(&query.as_bytes()[..end.index(query.len() + 1)], kept), "{:?}", kept);
        }

        #[test]
        fn different_requests_have_different_keys(a in parts(), b in parts()) {
            let write = |(pool, secure, host, target, value): &(String, bool, String, String, Option<String>)| {
                let recipe = Recipe { vary_by: vec![Part::Header("x".into())], ..Recipe::default() };
                let mut out = Vec::new();
                let url = Url { secure: *secure, authority: host.as_bytes(), target: target.as_bytes() };
                recipe.spelling.write(&url, &mut out);
                let fields = Fields::of(&value.iter().map(|value| ("x", value.as_str())).collect::<Vec<_>>());
                recipe.write_situation(pool, &TOLD, &fields, &mut out);
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
