//! Answers from the cache, and what the others mean for it.
//!
//! Read `look`: it says of each request whether what is kept may answer it, whether the origin is to be asked in the cache's name
//! (`fetch`), or whether the request goes around it. Nothing here waits, and a hit allocates nothing: its head is copied from the kept
//! one, and two fields are put behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::record::{RouteSeat, Story};
use super::view::PoolSeat;
use super::{edit, fetch, reply};
use crate::cache::key::Url;
use crate::cache::object::Object;
use crate::cache::policy::condition;
use crate::cache::policy::range::{self, Part};
use crate::cache::policy::{Demands, Use, update};
use crate::cache::{Cache, Found, Sought};
use crate::config::model::StatusField;
use crate::failure::Failure;
use crate::message::fields::digits;
use crate::message::forwarding::Peer;
use crate::message::{Answer, Authority, Body, Conn, Head, Method, Name, Names, Version, forwarding};
use crate::table::{Caching, Listener, Timeouts};
use crate::telemetry::{CacheLocal, CacheResult};

/// Requests with these are the origin's to judge.
const FOR_THE_ORIGIN: Names = Names::of(&[Name::Upgrade, Name::IfMatch, Name::IfUnmodifiedSince]);

/// What a worker keeps for a cache.
pub struct CacheSeat {
    pub cache: Arc<Cache>,
    pub local: CacheLocal,
    sought: RefCell<Sought>,
    text: RefCell<Vec<u8>>,
    random: RefCell<fastrand::Rng>,
}

impl CacheSeat {
    pub fn new(cache: Arc<Cache>) -> CacheSeat {
        let local = cache.series.local();
        CacheSeat { cache, local, sought: RefCell::default(), text: RefCell::default(), random: RefCell::default() }
    }

    /// From 0 to 1.
    pub fn chance(&self) -> f64 {
        self.random.borrow_mut().f64()
    }
}

/// Where in the configuration a request has come to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub route: &'a Rc<RouteSeat>,
    pub seat: &'a Rc<CacheSeat>,
    pub caching: &'a Arc<Caching>,
    pub pool: &'a Rc<PoolSeat>,
    pub timeouts: &'a Timeouts,
    pub listener: &'a Listener,
}

/// What becomes of a request.
pub enum Looked<'a> {
    Answer(Answer),
    /// The origin is asked in the cache's name.
    Want(Place<'a>, Want),
    /// Past the cache, which is told where that may have changed something.
    Around(Option<Box<Change>>),
}

/// What a request wants that the cache has not, or not so that it may be used.
pub struct Want {
    pub sought: Sought,
    /// What is kept; `None`: nothing.
    pub known: Option<Arc<Object>>,
    pub demands: Demands,
    pub why: CacheResult,
}

impl<'a> Place<'a> {
    pub fn of(
        route: &'a Rc<RouteSeat>,
        seat: &'a Rc<CacheSeat>,
        pool: &'a Rc<PoolSeat>,
        timeouts: &'a Timeouts,
        listener: &'a Listener,
    ) -> Place<'a> {
        let caching = route.route.cache.as_ref().expect("a route has a seat in a cache only where it has a cache");
        Place { route, seat, caching, pool, timeouts, listener }
    }

    pub fn look(self, head: &Head, body: &Body, story: &mut Story) -> Result<Looked<'a>, Failure> {
        let method = head.method();
        // Who has shown a certificate is known to the origin, whose answer may be for nobody else.
        let alone = head.fields.may_have(FOR_THE_ORIGIN) || story.conn.hop.has_subject();
        if !matches!(method, Method::Get | Method::Head) || !body.is_empty() || alone {
            self.tell(story, CacheResult::Bypass);
            let told = if matches!(method, Method::Get | Method::Head) { "bypass" } else { "method" };
            return Ok(Looked::Around(Some(Box::new(Change::of(self, head, &story.conn, told)))));
        }
        let mut sought = self.seat.sought.borrow_mut();
        self.seek(head, &story.conn, head.target(), &mut sought);
        let (demands, now) = (Demands::of(&head.fields), story.arrived());
        let (known, why) = match self.seat.cache.find(&mut sought, &head.fields) {
            Found::Object(object) => match object.terms.judge(&demands, object.is_expired(), now) {
                Use::Fresh => {
                    if self.caching.refresh_ahead && self.is_due(&object, now) {
                        fetch::refresh(&self, &object, &sought, head, story);
                    }
                    self.tell(story, CacheResult::Hit);
                    return Ok(Looked::Answer(self.serve(head, &object, now, Told::Hit)));
                }
                Use::WhileRevalidated => {
                    fetch::refresh(&self, &object, &sought, head, story);
                    self.tell(story, CacheResult::Stale);
                    return Ok(Looked::Answer(self.serve(head, &object, now, Told::Hit)));
                }
                Use::Accepted => {
                    self.tell(story, CacheResult::Stale);
                    return Ok(Looked::Answer(self.serve(head, &object, now, Told::Hit)));
                }
                Use::Validated => (Some(object), CacheResult::Expired),
            },
            Found::Nothing => (None, CacheResult::Miss),
            Found::OtherVariants => (None, CacheResult::VaryMiss),
        };
        if demands.only_if_cached {
            self.tell(story, CacheResult::Refused);
            return Err(Failure::NotCached);
        }
        // A part of what is not there, or a head alone, fills nothing.
        if method == Method::Head || (known.is_none() && head.fields.contains(Name::Range)) || !speaks_for_all(head) {
            self.tell(story, why);
            return Ok(Looked::Around(Some(Box::new(Change::of(self, head, &story.conn, told_of(why))))));
        }
        Ok(Looked::Want(self, Want { sought: sought.to_owned(), known, demands, why }))
    }

    /// The key under which the answer to this target is kept.
    fn seek(&self, head: &Head, conn: &Conn, target: &[u8], sought: &mut Sought) {
        let mut url = Url { secure: conn.secure, authority: head.authority(), forwarded_host: b"", target };
        const CLAIMS: Names = Names::of(&[Name::XForwardedProto, Name::XForwardedHost]);
        if head.fields.may_have(CLAIMS) && edit::peer(conn.peer.ip(), self.listener) == Peer::Trusted {
            // The origin will believe it as we do, and may well answer differently.
            (url.secure, url.forwarded_host) = claims(head, conn.secure);
        }
        sought.set(|out| self.caching.recipe.write(&self.caching.partition, &url, &head.fields, out));
    }

    /// Counts what the cache had.
    pub fn tell(&self, story: &mut Story, result: CacheResult) {
        story.cached(result);
        self.seat.local.request(result);
    }

    /// Whether it is time to fetch an answer anew that is still fresh: the nearer its end and the dearer the fetch, the likelier. (Vattani,
    /// Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.)
    fn is_due(&self, object: &Object, now: Instant) -> bool {
        let early = object.cost.as_secs_f64() * -(1.0 - self.seat.chance()).ln();
        early >= object.terms.fresh_for(now).as_secs_f64()
    }

    /// What is kept, as this request wants it: the whole, a part, or the word that the client has it already.
    pub fn serve(&self, request: &Head, object: &Object, now: Instant, told: Told) -> Answer {
        let mut head = object.head.copy();
        let mut body = None;
        if condition::is_not_modified(&request.fields, &object.head) {
            restate(&mut head, 304);
            update::into_not_modified(&mut head);
            body = Some(Body::empty());
        } else if request.fields.contains(Name::Range) && request.method() == Method::Get && object.head.status() == 200 {
            body = part(request, object, &mut head);
        }
        let age = object.terms.age(now).as_secs();
        head.fields.append_known(Name::Age, digits(age, &mut [0; 20]));
        self.sign(&mut head, told, Some((object, now)));
        edit::own(Answer::Reply { head, body: body.unwrap_or_else(|| object.content.body(None)) }, &self.route.route)
    }

    /// `Cache-Status` (RFC 9211). `kept`: what is kept, and when that is.
    pub fn sign(&self, head: &mut Head, told: Told, kept: Option<(&Object, Instant)>) {
        if self.caching.status_field == StatusField::Off {
            return;
        }
        let text = &mut *self.seat.text.borrow_mut();
        text.clear();
        text.extend_from_slice(b"tidegate");
        let mut word = |word: &str, value: &str| {
            text.extend_from_slice(b"; ");
            text.extend_from_slice(word.as_bytes());
            text.extend_from_slice(value.as_bytes());
        };
        match told {
            Told::Hit => word("hit", ""),
            Told::Forwarded { why, status, stored, collapsed, detail } => {
                word("fwd=", why);
                if let Some(status) = status {
                    word("fwd-status=", std::str::from_utf8(digits(u64::from(status), &mut [0; 20])).unwrap_or_default());
                }
                if stored {
                    word("stored", "");
                }
                if collapsed {
                    word("collapsed", "");
                }
                if let Some(detail) = detail {
                    word("detail=", detail);
                }
            }
        }
        if let Some((object, now)) = kept {
            let (age, lifetime) = (object.terms.age(now).as_secs(), object.terms.lifetime.as_secs());
            text.extend_from_slice(if age > lifetime { b"; ttl=-" } else { b"; ttl=" });
            text.extend_from_slice(digits(age.abs_diff(lifetime), &mut [0; 20]));
            if self.caching.status_field == StatusField::Key {
                text.extend_from_slice(b"; key=\"");
                crate::cache::key::show(object.key.bytes(), text);
                text.push(b'"');
            }
        }
        head.fields.append_known(Name::CacheStatus, text);
    }
}

/// What `Cache-Status` says.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    Hit,
    Forwarded { why: &'static str, status: Option<u16>, stored: bool, collapsed: bool, detail: Option<&'static str> },
}

/// The word of RFC 9211 2.2 for why the origin is asked.
pub fn told_of(why: CacheResult) -> &'static str {
    match why {
        CacheResult::Miss => "uri-miss",
        CacheResult::VaryMiss => "vary-miss",
        CacheResult::Bypass => "bypass",
        _ => "stale",
    }
}

/// One range of it, where the request's conditions allow. `None`: the whole.
fn part(request: &Head, object: &Object, head: &mut Head) -> Option<Body> {
    if let Some(tag) = request.fields.get(Name::IfRange)
        && !condition::is_same_for_ranges(tag, &object.head)
    {
        return None;
    }
    let length = object.content.len();
    let mut fields = request.fields.get_all(Name::Range);
    let field = fields.next().filter(|_| fields.next().is_none())?;
    let mut text = Vec::with_capacity(48);
    text.extend_from_slice(b"bytes ");
    match range::part(field, length) {
        Part::Whole => None,
        Part::Nothing => {
            restate(head, 416);
            head.fields.remove(Name::ContentLength);
            text.extend_from_slice(b"*/");
            text.extend_from_slice(digits(length, &mut [0; 20]));
            head.fields.append_known(Name::ContentRange, &text);
            Some(Body::empty())
        }
        Part::Bytes(range) => {
            restate(head, 206);
            head.fields.remove(Name::ContentLength);
            for (number, behind) in [(range.start, &b"-"[..]), (range.end - 1, b"/"), (length, b"")] {
                text.extend_from_slice(digits(number, &mut [0; 20]));
                text.extend_from_slice(behind);
            }
            head.fields.append_known(Name::ContentRange, &text);
            Some(object.content.body(Some(range)))
        }
    }
}

/// Whether the origin sees what the key and the variant are made of. Else its answer may be about something that others who share them did
/// not ask for: a redirect to the one spelling of a host, or the answer to a request without a field that `Connection` took away.
pub fn speaks_for_all(head: &Head) -> bool {
    let authority = head.authority();
    let host = authority.rsplit(|byte| *byte == b':').next_back().unwrap_or(authority);
    let is_plain = !authority.iter().any(u8::is_ascii_uppercase)
        && !host.ends_with(b".")
        && ![&b":80"[..], b":443", b"."].iter().any(|end| authority.ends_with(end));
    is_plain && !forwarding::withholds_fields(head)
}

/// What a trusted proxy says of scheme and host: said once and well, or the origin does not hear of it either.
fn claims(head: &Head, secure: bool) -> (bool, &[u8]) {
    let once = |name| {
        let mut values = head.fields.get_all(name);
        values.next().filter(|_| values.next().is_none())
    };
    let secure = match once(Name::XForwardedProto) {
        Some(b"https") => true,
        Some(b"http") => false,
        _ => secure,
    };
    (secure, once(Name::XForwardedHost).filter(|host| Authority::parse(host).is_some()).unwrap_or_default())
}

/// Another status for an answer that is kept.
pub fn restate(head: &mut Head, status: u16) {
    let reason = head.fields.keep(reply::reason(status).as_bytes());
    head.begin_response(status, reason, Version::Http11);
}

/// A request that goes around the cache, and what it may have changed at the origin (RFC 9111 4.4).
pub struct Change {
    seat: Rc<CacheSeat>,
    route: Rc<RouteSeat>,
    told: &'static str,
    /// Keys of the request's own URL, and what it takes to make those of others; `None`: it changes nothing.
    base: Option<Base>,
}

struct Base {
    sought: Sought,
    head: Head,
    caching: Arc<Caching>,
    secure: bool,
    trusted: bool,
}

impl Change {
    fn of(place: Place<'_>, head: &Head, conn: &Conn, told: &'static str) -> Change {
        let base = || {
            let mut sought = Sought::default();
            place.seek(head, conn, head.target(), &mut sought);
            let trusted = edit::peer(conn.peer.ip(), place.listener) == Peer::Trusted;
            Base { sought, head: head.copy(), caching: place.caching.clone(), secure: conn.secure, trusted }
        };
        Change { seat: place.seat.clone(), route: place.route.clone(), told, base: (!head.method().is_safe()).then(base) }
    }

    pub fn answered(&self, answer: &mut Answer) {
        let Answer::Reply { head, .. } = answer else { return };
        if let Some(base) = self.base.as_ref().filter(|_| (200..400).contains(&head.status())) {
            self.seat.cache.invalidate(&base.sought);
            for name in [Name::Location, Name::ContentLocation] {
                if let Some(target) = head.fields.get(name).and_then(|reference| base.resolve(reference)) {
                    self.seat.cache.invalidate(&base.key(&target));
                }
            }
        }
        if self.route.route.cache.as_ref().is_some_and(|caching| caching.status_field != StatusField::Off) {
            head.fields.append_known(Name::CacheStatus, &[b"tidegate; fwd=", self.told.as_bytes()].concat());
        }
    }
}

impl Base {
    fn key(&self, target: &[u8]) -> Sought {
        let (secure, forwarded_host) = if self.trusted { claims(&self.head, self.secure) } else { (self.secure, &b""[..]) };
        let url = Url { secure, authority: self.head.authority(), forwarded_host, target };
        let mut sought = Sought::default();
        sought.set(|out| self.caching.recipe.write(&self.caching.partition, &url, &self.head.fields, out));
        sought
    }

    /// The target that a reference leads to; `None`: to another origin, or nowhere that a request could have asked for.
    fn resolve(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let reference = reference.split(|byte| *byte == b'#').next().unwrap_or_default();
        let rest = match reference.iter().position(|byte| *byte == b':').filter(|at| reference[*at..].starts_with(b"://")) {
            Some(at) => Some(&reference[at + 3..]),
            None => reference.strip_prefix(b"//"),
        };
        if let Some(rest) = rest {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let same = authority.eq_ignore_ascii_case(self.head.authority());
            return same.then(|| if target.starts_with(b"/") { target.to_vec() } else { [b"/", target].concat() });
        }
        let path = self.head.path();
        match reference.first() {
            None => None,
            Some(b'/') => Some(reference.to_vec()),
            Some(b'?') => Some([path, reference].concat()),
            Some(_) => {
                let directory = path.iter().rposition(|byte| *byte == b'/').map_or(&b"/"[..], |at| &path[..=at]);
                Some([directory, reference].concat())
            }
        }
    }
}
