//! Answers from the cache, and what the others mean for it.
//!
//! Read `look`: it says of each request whether what is kept may answer it, whether the origin is to be asked in the cache's name
//! (`fetch`), or whether the request goes around it. Nothing here waits, and a hit allocates nothing: its head is copied from the kept
//! one, and two fields are put behind.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::checked::Checked;
use super::record::{RouteSeat, Story};
use super::view::PoolSeat;
use super::{edit, fetch, purge, reply};
use crate::cache::key::{self, Recipe, Url};
use crate::cache::object::Object;
use crate::cache::policy::condition;
use crate::cache::policy::range::{self, Part};
use crate::cache::policy::{Demands, Use, update};
use crate::cache::{Cache, Found, Sought};
use crate::config::model::StatusField;
use crate::failure::Failure;
use crate::message::fields::digits;
use crate::message::forwarding::Told;
use crate::message::{Answer, Body, Conn, Head, Method, Name, Names, Version, forwarding};
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
    /// Past the cache, for this reason. Of a HEAD the answer may say something of what is kept.
    Around(&'static str, Option<Box<Checked>>),
}

/// What a request wants that the cache has not, or not so that it may be used.
pub struct Want {
    pub sought: Sought,
    /// What is kept; `None`: nothing.
    pub known: Option<Arc<Object>>,
    pub demands: Demands,
    pub why: CacheResult,
    /// Only that part of it which the request asks for.
    pub part: bool,
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
            if purge::is_purge(head) {
                return purge::answer(self, head, story).map(Looked::Answer);
            }
            self.tell(story, CacheResult::Bypass);
            return Ok(Looked::Around(if matches!(method, Method::Get | Method::Head) { "bypass" } else { "method" }, None));
        }
        let mut sought = self.seat.sought.borrow_mut();
        let told = self.seek(head, &story.conn, &mut sought);
        let (demands, now) = (Demands::of(&head.fields), story.arrived());
        let (kept, why) = match self.seat.cache.find(&mut sought, &head.fields) {
            Found::Object(object) if !holds(&object, head) => (Some(object), CacheResult::Partial),
            Found::Object(object) => match object.terms.judge(&demands, object.is_expired(), now) {
                Use::Fresh => {
                    if self.caching.refresh_ahead && self.is_due(&object, now) {
                        fetch::refresh(&self, &object, &sought, head, &told, demands, story);
                    }
                    self.seat.cache.used(&object, || self.seat.random.borrow_mut().u32(..));
                    self.tell(story, CacheResult::Hit);
                    return self.serve(head, &object, now, Say::Hit).map(Looked::Answer);
                }
                Use::WhileRevalidated => {
                    fetch::refresh(&self, &object, &sought, head, &told, demands, story);
                    self.tell(story, CacheResult::Stale);
                    return self.serve(head, &object, now, Say::Hit).map(Looked::Answer);
                }
                Use::Accepted => {
                    self.tell(story, CacheResult::Stale);
                    return self.serve(head, &object, now, Say::Hit).map(Looked::Answer);
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
        // By the time that the origin has confirmed a part, its date may be another than the one on whose condition it was asked for.
        let is_fit = |known: &Arc<Object>| known.content.is_whole() || !head.fields.contains(Name::IfRange);
        let known = kept.clone().filter(|_| why != CacheResult::Partial).filter(is_fit);
        let is_part = head.fields.contains(Name::Range);
        // Of what is not there the part is fetched and kept, but not on conditions: with these the origin may leave out half of the head.
        let is_fetched_as_part = known.is_none()
            && range::is_one(&head.fields)
            && !range::is_all(&head.fields)
            && !head.fields.may_have(condition::FOR_US)
            && !head.fields.contains(Name::IfRange);
        // Several parts at once, or a head alone, fill nothing.
        let fills = method == Method::Get && (known.is_some() || !is_part || is_fetched_as_part || range::is_all(&head.fields));
        // It will hardly be kept: then what the client has already is the origin's to judge, which may spare itself the content.
        let is_hopeless = || {
            let has_some = is_part || head.fields.may_have(condition::FOR_US);
            known.is_none() && has_some && self.seat.cache.is_marked(&sought, now)
        };
        let is_for_all = speaks_for_all(head, &told, &self.caching.recipe);
        if !fills || !is_for_all || is_hopeless() {
            self.tell(story, why);
            let checked = kept.filter(|_| is_for_all).and_then(|known| Checked::of(&self, known, &sought, head, &demands));
            return Ok(Looked::Around(told_of(why), checked));
        }
        Ok(Looked::Want(self, Want { sought: sought.to_owned(), known, demands, why, part: is_fetched_as_part }))
    }

    /// The key under which the answer to this request is kept, and what the origin is told that is in it.
    pub fn seek<'h>(&self, head: &'h Head, conn: &'h Conn, sought: &mut Sought) -> Told<'h> {
        let told = told(head, conn, self.listener);
        let recipe = &self.caching.recipe;
        sought.set(
            |out| recipe.spelling.write(&Url { secure: told.secure, authority: told.host, target: head.target() }, out),
            |out| recipe.write_situation(&self.caching.partition, &told, &head.fields, out),
        );
        told
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

    /// What is kept, as this request wants it: the whole, a part, or the word that the client has it already. Fails where only some of it
    /// is kept, and something else is wanted.
    pub fn serve(&self, request: &Head, object: &Object, now: Instant, say: Say) -> Result<Answer, Failure> {
        let mut head = object.head.copy();
        let body = if condition::is_not_modified(&request.fields, &object.head) {
            Some(not_modified(&mut head))
        } else if request.fields.contains(Name::Range) && request.method() == Method::Get && object.head.status() == 200 {
            self.part(request, object, &mut head)
        } else {
            object.content.body(None)
        };
        let body = body.filter(|_| holds(object, request)).ok_or(Failure::Internal)?;
        let age = object.terms.age(now).as_secs();
        head.fields.append_known(Name::Age, digits(age, &mut [0; 20]));
        self.sign(&mut head, say, Some((object, now)));
        Ok(edit::own(Answer::Reply { head, body }, &self.route.route))
    }

    /// As the request's range has it, where its conditions allow. `None`: it is not here.
    fn part(&self, request: &Head, object: &Object, head: &mut Head) -> Option<Body> {
        let length = object.content.len();
        match wanted(object, request) {
            Part::Whole => object.content.body(None),
            Part::Nothing => {
                restate(head, 416);
                head.fields.remove(Name::ContentLength);
                head.fields.append_known(Name::ContentRange, format!("bytes */{length}").as_bytes());
                Some(Body::empty())
            }
            Part::Bytes(range) => {
                state_range(head, range.clone(), length);
                object.content.body(Some(range))
            }
            Part::Several(ranges) => self.several(ranges, object, head),
        }
    }

    /// Parts in one answer (RFC 9110 14.6).
    fn several(&self, ranges: Vec<Range<u64>>, object: &Object, head: &mut Head) -> Option<Body> {
        let length = object.content.len();
        // What nobody could have put into the content.
        let boundary = format!("{:032x}", self.seat.random.borrow_mut().u128(..));
        let of_part = |(at, range): (usize, Range<u64>)| {
            let mut text = if at == 0 { Vec::new() } else { b"\r\n".to_vec() };
            text.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            if let Some(kind) = object.head.fields.get(Name::ContentType) {
                text.extend_from_slice(&[b"Content-Type: ", kind, b"\r\n"].concat());
            }
            text.extend_from_slice(format!("Content-Range: {}\r\n\r\n", content_range(range.clone(), length)).as_bytes());
            (Bytes::from(text), range)
        };
        let parts = ranges.into_iter().enumerate().map(of_part).collect();
        restate(head, 206);
        update::forget_digests(&mut head.fields);
        head.fields.remove_all(Names::of(&[Name::ContentLength, Name::ContentType]));
        head.fields.append_known(Name::ContentType, format!("multipart/byteranges; boundary={boundary}").as_bytes());
        object.content.parts(parts, Bytes::from(format!("\r\n--{boundary}--\r\n")))
    }

    /// `Cache-Status` (RFC 9211). `kept`: what is kept, and when that is.
    pub fn sign(&self, head: &mut Head, say: Say, kept: Option<(&Object, Instant)>) {
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
        match say {
            Say::Hit => word("hit", ""),
            Say::Forwarded { why, status, stored, collapsed, detail } => {
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
                key::show(object.key.bytes(), text);
                text.push(b'"');
            }
        }
        head.fields.append_known(Name::CacheStatus, text);
    }
}

/// Whether all is here that a request wants of what is kept. Some of it answers for no more than a part (RFC 9111 3.3).
pub fn holds(object: &Object, request: &Head) -> bool {
    object.content.is_whole()
        || match wanted(object, request) {
            Part::Bytes(range) => object.content.has(&range),
            Part::Several(ranges) => ranges.iter().all(|range| object.content.has(range)),
            Part::Whole | Part::Nothing => false,
        }
}

/// What of a content a request wants.
fn wanted(object: &Object, request: &Head) -> Part {
    let mut fields = request.fields.get_all(Name::Range);
    match (fields.next(), fields.next()) {
        (Some(field), None) if request.method() == Method::Get && condition::allows_ranges(&request.fields, &object.head) => {
            range::part(field, object.content.len())
        }
        _ => Part::Whole,
    }
}

/// What `Cache-Status` says.
#[derive(Debug, Clone, Copy)]
pub enum Say {
    Hit,
    Forwarded { why: &'static str, status: Option<u16>, stored: bool, collapsed: bool, detail: Option<&'static str> },
}

/// The word of RFC 9211 2.2 for why the origin is asked.
pub fn told_of(why: CacheResult) -> &'static str {
    match why {
        CacheResult::Miss => "uri-miss",
        CacheResult::VaryMiss => "vary-miss",
        CacheResult::Partial => "partial",
        CacheResult::Bypass => "bypass",
        _ => "stale",
    }
}

/// Says that it is a part, and which.
pub fn state_range(head: &mut Head, range: Range<u64>, length: u64) {
    restate(head, 206);
    head.fields.remove_all(Names::of(&[Name::ContentLength, Name::ContentRange]));
    head.fields.append_known(Name::ContentRange, content_range(range, length).as_bytes());
    update::forget_digests(&mut head.fields);
}

fn content_range(range: Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

/// Fields by which frameworks let a request say what URL or method it is for, in place of the one that it has. They are not in the key
/// unless the route puts them there.
const STEERING: [&str; 18] = [
    "front-end-https",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-script-name",
    "x-url-scheme",
];

fn is_steered(head: &Head, recipe: &Recipe) -> bool {
    let is_steering =
        |name: &[u8]| STEERING.iter().any(|steering| name.eq_ignore_ascii_case(steering.as_bytes()) && !recipe.has_header(steering));
    head.fields.may_have(Names::of(&[Name::Other])) && head.fields.iter().any(|(known, name, _)| known == Name::Other && is_steering(name))
}

/// Whether the origin sees what the key and the variant are made of. Else its answer may be about something that others who share them did
/// not ask for: a redirect to the one spelling of a host, the answer to a request without a field that `Connection` took away, or a page
/// with links to where a client has said that the site is.
pub fn speaks_for_all(head: &Head, told: &Told<'_>, recipe: &Recipe) -> bool {
    is_plain(head.authority()) && is_plain(told.host) && !forwarding::withholds_fields(head) && !is_steered(head, recipe)
}

/// In the one spelling of an authority that keys have.
fn is_plain(authority: &[u8]) -> bool {
    let host = authority.rsplit(|byte| *byte == b':').next_back().unwrap_or(authority);
    !authority.iter().any(u8::is_ascii_uppercase)
        && !host.ends_with(b".")
        && ![&b":80"[..], b":443", b"."].iter().any(|end| authority.ends_with(end))
}

/// What the origin is told of the URL, by this client or by a proxy that we trust.
pub fn told<'a>(head: &'a Head, conn: &'a Conn, listener: &Listener) -> Told<'a> {
    Told::of(head, conn, || edit::peer(conn.peer.ip(), listener))
}

/// In place of an answer: the client has it already.
pub fn not_modified(head: &mut Head) -> Body {
    restate(head, 304);
    update::into_not_modified(head);
    Body::empty()
}

/// Another status for an answer that is kept.
fn restate(head: &mut Head, status: u16) {
    let reason = head.fields.keep(reply::reason(status).as_bytes());
    head.begin_response(status, reason, Version::Http11);
}

/// `Cache-Status` of an answer that has come around the cache.
pub fn tell_around(answer: &mut Answer, why: &str, route: &RouteSeat) {
    let Answer::Reply { head, .. } = answer else { return };
    if route.route.cache.as_ref().is_some_and(|caching| caching.status_field != StatusField::Off) {
        head.fields.append_known(Name::CacheStatus, &[b"tidegate; fwd=", why.as_bytes()].concat());
    }
}

/// A request that may have changed something at the origin, and with it what is kept: in any cache, whatever its own route says of them
/// (RFC 9111 4.4).
pub struct Change {
    caches: Vec<Rc<CacheSeat>>,
    secure: bool,
    authority: Vec<u8>,
    target: Vec<u8>,
}

impl Change {
    /// `None`: it changes nothing.
    pub fn of(caches: &[Rc<CacheSeat>], head: &Head, conn: &Conn, listener: &Listener) -> Option<Box<Change>> {
        if caches.is_empty() || head.method().is_safe() {
            return None;
        }
        let told = told(head, conn, listener);
        let (authority, target) = (told.host.to_vec(), head.target().to_vec());
        Some(Box::new(Change { caches: caches.to_vec(), secure: told.secure, authority, target }))
    }

    pub fn answered(&self, answer: &Answer) {
        let Answer::Reply { head, .. } = answer else { return };
        if !(200..400).contains(&head.status()) {
            return;
        }
        self.invalidate(&self.target);
        for name in [Name::Location, Name::ContentLocation] {
            if let Some(target) = head.fields.get(name).and_then(|reference| self.resolve(reference)) {
                self.invalidate(&target);
            }
        }
    }

    fn invalidate(&self, target: &[u8]) {
        let url = Url { secure: self.secure, authority: &self.authority, target };
        self.caches.iter().for_each(|seat| seat.cache.invalidate(&url));
    }

    /// The target that a reference leads to; `None`: to another origin, or nowhere that a request could have asked for.
    fn resolve(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let reference = reference.split(|byte| *byte == b'#').next().unwrap_or_default();
        let rest = match reference.iter().position(|byte| *byte == b':').filter(|at| reference[*at..].starts_with(b"://")) {
            Some(at) => {
                let scheme: &[u8] = if self.secure { b"https" } else { b"http" };
                reference[..at].eq_ignore_ascii_case(scheme).then(|| Some(&reference[at + 3..]))?
            }
            None => reference.strip_prefix(b"//"),
        };
        if let Some(rest) = rest {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let is_same = key::authority(authority, self.secure) == key::authority(&self.authority, self.secure);
            return is_same.then(|| if target.starts_with(b"/") { target.to_vec() } else { [b"/", target].concat() });
        }
        let path = self.target.split(|byte| *byte == b'?').next().unwrap_or_default();
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
