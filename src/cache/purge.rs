//! What is taken out of a cache by hand: one URL, all below a prefix, all of a tag, everything; at once, or only made stale.
//!
//! What is meant is found by the `index`, a step at a time, on the thread of whoever asks for it; requests pass between any two steps.
//! Only everything is found by a walk through the store, in steps as well. What is being fetched and may be meant is not kept.

use std::sync::Arc;

use super::key::{self, Key, Seen, Spelling, Url};
use super::named::Cache;
use super::object::{self, Object};
use super::policy::Refusal;
use super::store::Fate;
use crate::message::Head;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    pub what: What,
    /// Only made stale: it may still be confirmed by the origin, or used where stale answers are.
    pub soft: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Everything,
    Url(Target),
    /// All whose path, with its query, begins so, as clients write it: what a route leaves out of queries or sorts in them counts too.
    Prefix(Target),
    Tag(Vec<u8>),
}

/// Where a URL leads, as keys have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    authority: Vec<u8>,
    /// Path and query.
    target: Vec<u8>,
}

impl What {
    /// A URL; with `*` at its end, a prefix. `None`: it is none.
    pub fn of_url(text: &str) -> Option<What> {
        let (secure, rest) = match text.split_once("://")? {
            (scheme, rest) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            (scheme, rest) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return None,
        };
        let end = rest.find(['/', '?', '*']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let authority = super::key::authority(authority.as_bytes(), secure);
        let (target, is_prefix) = target.strip_suffix('*').map_or((target, false), |prefix| (prefix, true));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let target = Target { secure, authority, target: target.into_bytes() };
        Some(if is_prefix { What::Prefix(target) } else { What::Url(target) })
    }

    /// The URL that a request is for.
    pub fn at(url: &Url<'_>) -> What {
        let authority = key::authority(url.authority, url.secure);
        What::Url(Target { secure: url.secure, authority, target: url.target.to_vec() })
    }
}

/// For those who only want to know.
impl What {
    /// The answers to this URL that are kept; of anything else, none.
    pub fn kept(&self, cache: &Cache) -> Vec<Arc<Object>> {
        self.spelled(cache).iter().flat_map(|url| cache.kept_from(Key::of(url), |key| key.starts_with(url))).collect()
    }

    /// Requests for it that are under way.
    pub fn fetching(&self, cache: &Cache) -> usize {
        let spelled = self.spelled(cache);
        cache.under_way(|key| spelled.iter().any(|url| key.starts_with(url)))
    }

    /// Why the last answer to it that was not kept was not.
    pub fn last_refused(&self, cache: &Cache) -> Option<&'static str> {
        self.spelled(cache).iter().find_map(|url| cache.last_refused(url)).map(Refusal::as_str)
    }

    /// Where this cache keeps the URL that is meant.
    fn spelled(&self, cache: &Cache) -> Vec<Vec<u8>> {
        match self {
            What::Url(target) => cache.spelled(&target.url()),
            _ => Vec::new(),
        }
    }
}

impl Target {
    fn url(&self) -> Url<'_> {
        Url { secure: self.secure, authority: &self.authority, target: &self.target }
    }

    /// As a prefix, in the letters of the key.
    fn is_before(&self, key: &[u8]) -> bool {
        let Some(seen) = Seen::of(key).filter(|seen| seen.secure == self.secure && seen.authority == self.authority) else {
            return false;
        };
        seen.whole().take(self.target.len()).eq(self.target.iter().copied())
    }

    /// As a prefix of URLs as clients write them, whose queries are kept in one of these spellings.
    fn begins(&self, key: &[u8], spellings: &[Spelling]) -> bool {
        let Some(end) = self.target.iter().position(|byte| *byte == b'?') else { return self.is_before(key) };
        let (path, begun) = (&self.target[..end], &self.target[end + 1..]);
        let is_here = |seen: &Seen<'_>| seen.secure == self.secure && seen.authority == self.authority && seen.path == path;
        Seen::of(key).filter(is_here).is_some_and(|seen| spellings.iter().any(|spelling| spelling.may_keep(begun, seen.query)))
    }

    /// Where all that it begins is to be looked for.
    fn places(&self, spellings: &[Spelling]) -> Vec<Place> {
        let below = |target: &[u8]| Place::Below(Target { target: target.to_vec(), ..self.clone() });
        match self.target.iter().position(|byte| *byte == b'?') {
            // What it begins in the client's words may be anywhere among the path's queries, or have lost its own.
            Some(end) if spellings.iter().any(|spelling| !spelling.is_plain()) => {
                let path = Url { target: &self.target[..end], ..self.url() };
                vec![Place::At(Spelling::default().spell(&path)), below(&self.target[..=end])]
            }
            _ => vec![below(&self.target)],
        }
    }
}

/// A stretch of the index.
enum Place {
    /// One URL, as it is kept.
    At(Vec<u8>),
    /// All that begin so.
    Below(Target),
}

impl Place {
    fn first(&self) -> Key {
        match self {
            Place::At(url) => Key::of(url),
            Place::Below(target) => Key::of(&Spelling::default().spell(&target.url())),
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        match self {
            Place::At(url) => key.starts_with(url),
            Place::Below(target) => target.is_before(key),
        }
    }
}

impl Purge {
    /// Carries it out; how many entries it met.
    pub fn carry_out(&self, cache: &Cache) -> usize {
        let fate = if self.soft { Fate::Expires } else { Fate::Goes };
        let spellings = cache.spellings();
        let places = match &self.what {
            What::Url(target) => cache.spelled(&target.url()).into_iter().map(Place::At).collect(),
            What::Prefix(target) => target.places(&spellings),
            What::Everything | What::Tag(_) => Vec::new(),
        };
        let is_meant = |key: &[u8]| match &self.what {
            What::Prefix(target) => target.begins(key, &spellings),
            _ => true,
        };
        cache.taint(|key, head| match &self.what {
            What::Everything => true,
            // Of which tags it will be, nobody knows before its head has come.
            What::Tag(tag) => head.is_none_or(|head: &Head| object::tags(&head.fields).iter().any(|other| **other == **tag)),
            What::Url(_) | What::Prefix(_) => places.iter().any(|place| place.has(key)) && is_meant(key),
        });
        let met = match &self.what {
            What::Everything => cache.purge_all(fate),
            What::Tag(tag) => cache.purge_tagged(tag, fate),
            What::Url(_) | What::Prefix(_) => {
                places.iter().map(|place| cache.purge_from(place.first(), |key| place.has(key), is_meant, fate)).sum()
            }
        };
        cache.series.purged(met);
        // Where a reload has put another in its place, or is about to.
        met + cache.heir().map_or(0, |heir| self.carry_out(heir))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cache::fill::Opened;
    use crate::cache::key::Ignored;
    use crate::cache::object::Object;
    use crate::cache::policy::{Admitted, Terms, Vary};
    use crate::cache::{Found, Join, Sought};
    use crate::message::{Fields, Length, Version};
    use crate::telemetry::Registry;

    fn sought(authority: &str, target: &str) -> Sought {
        let url = Url { secure: false, authority: authority.as_bytes(), target: target.as_bytes() };
        let mut sought = Sought::default();
        sought.set(|out| Spelling::default().write(&url, out), |_| {});
        sought
    }

    fn keep(cache: &Arc<Cache>, authority: &str, target: &str, tags: &str) {
        keep_at(cache, &sought(authority, target), tags);
    }

    fn keep_at(cache: &Arc<Cache>, sought: &Sought, tags: &str) {
        let Join::Lead(mut led) = cache.join(sought, Instant::now()) else { panic!("nobody else is there") };
        let terms = Terms::fresh(Duration::from_secs(9));
        let mut head = Head::response(200, b"", Version::Http11);
        head.fields.append(b"Surrogate-Key", tags.as_bytes());
        let admitted = Admitted { terms, vary: Vary::default(), withheld: Vec::new() };
        led.open(Opened { head, admitted, variant: Vec::new(), length: Length::Unknown });
        led.pour(bytes::Bytes::from_static(b"body"));
        led.finish(&Fields::default());
    }

    const KEPT: [(&str, &str, &str); 5] =
        [("a", "/", "x"), ("a", "/img/1", "x y"), ("a", "/img/1?q", "xy"), ("a", "/imgs", ""), ("b", "/img/1", "y")];

    fn kept() -> Arc<Cache> {
        let cache = Arc::new(Cache::new("main", 1 << 20, 1 << 16, Registry::new().cache("main")));
        KEPT.iter().for_each(|(authority, target, tags)| keep(&cache, authority, target, tags));
        cache
    }

    fn left(cache: &Cache, is_left: impl Fn(&Object) -> bool) -> Vec<String> {
        let there = |(authority, target, _): &&(&str, &str, &str)| match cache.find(&mut sought(authority, target), &Fields::default()) {
            Found::Object(object) => is_left(&object),
            _ => false,
        };
        KEPT.iter().filter(there).map(|(authority, target, _)| format!("{authority}{target}")).collect()
    }

    #[test]
    fn what_is_meant_goes_and_the_rest_stays() {
        let url = |text: &str| What::of_url(text).expect("a URL");
        for (what, expected) in [
            (url("http://a/"), &["a/img/1", "a/img/1?q", "a/imgs", "b/img/1"][..]),
            (url("HTTP://A:80/img/1"), &["a/", "a/img/1?q", "a/imgs", "b/img/1"]),
            (url("http://a/img/1?q"), &["a/", "a/img/1", "a/imgs", "b/img/1"]),
            (url("http://a/img/*"), &["a/", "a/imgs", "b/img/1"]),
            (url("http://a*"), &["b/img/1"]),
            (url("https://a/*"), &["a/", "a/img/1", "a/img/1?q", "a/imgs", "b/img/1"]),
            (What::Tag(b"x".to_vec()), &["a/img/1?q", "a/imgs", "b/img/1"]),
            (What::Tag(b"y".to_vec()), &["a/", "a/img/1?q", "a/imgs"]),
            (What::Everything, &[]),
        ] {
            let (gone, stale) = (kept(), kept());
            let met = Purge { what: what.clone(), soft: false }.carry_out(&gone);
            assert_eq!(
                (left(&gone, |_| true), met),
                (expected.iter().map(|url| (*url).to_owned()).collect(), KEPT.len() - expected.len()),
                "{what:?}"
            );
            Purge { what: what.clone(), soft: true }.carry_out(&stale);
            assert_eq!(left(&stale, |_| true).len(), KEPT.len());
            assert_eq!(left(&stale, |object| !object.is_expired()), expected, "{what:?}");
        }
    }

    /// `ignore_query` and `sort_query` keep a URL under other letters than it is asked for, and purged by, with.
    #[test]
    fn a_prefix_means_urls_as_clients_write_them() {
        let ignored = Ignored { prefixes: vec!["utm_".into()], ..Ignored::default() };
        let spelling = Spelling { ignored, sort_query: true };
        for (prefix, expected) in [
            ("http://a/x?utm_source=*", &["/y?b=2", "/x/y?b=2"][..]),
            ("http://a/x?b=2*", &["/x", "/x?c=3&a=1", "/y?b=2", "/x/y?b=2"]),
            ("http://a/x?c=3&*", &["/x", "/y?b=2", "/x/y?b=2"]),
            ("http://a/x?c=3&b*", &["/x", "/x?c=3&a=1", "/y?b=2", "/x/y?b=2"]),
            ("http://a/x*", &["/y?b=2"]),
            ("http://a/*", &[]),
        ] {
            let cache = Arc::new(Cache::new("main", 1 << 20, 1 << 16, Registry::new().cache("main")));
            cache.spell([spelling.clone()].into_iter());
            let urls = ["/x", "/x?b=2&a=1&c=3", "/x?c=3&a=1", "/y?b=2", "/x/y?b=2"];
            let sought = |target: &str| {
                let mut sought = Sought::default();
                let url = Url { secure: false, authority: b"a", target: target.as_bytes() };
                sought.set(|out| spelling.write(&url, out), |_| {});
                sought
            };
            urls.iter().for_each(|target| keep_at(&cache, &sought(target), ""));
            let met = Purge { what: What::of_url(prefix).expect("a URL"), soft: false }.carry_out(&cache);
            let is_there = |target: &&&str| matches!(cache.find(&mut sought(target), &Fields::default()), Found::Object(_));
            let left: Vec<_> = urls.iter().filter(is_there).copied().collect();
            assert_eq!((left, met), (expected.to_vec(), urls.len() - expected.len()), "{prefix}");
        }
    }

    #[test]
    fn what_is_kept_is_still_found_when_the_memory_has_changed() {
        let cache = kept();
        let cache = cache.resize(64 << 20, 1 << 16).unwrap_or(cache);
        assert_eq!(Purge { what: What::Tag(b"x".to_vec()), soft: false }.carry_out(&cache), 2);
        assert_eq!(left(&cache, |_| true), ["a/img/1?q", "a/imgs", "b/img/1"]);
    }

    #[test]
    fn what_is_no_url_is_none() {
        for text in ["", "/x", "a/x", "ftp://a/x", "http://", "http:///x", "http://a/ x", "*"] {
            assert_eq!(What::of_url(text), None, "{text}");
        }
    }
}
