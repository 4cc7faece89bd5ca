//! Whether an answer may be kept (RFC 9111 3), and what it says about its use from then on.

use std::time::{Duration, Instant, SystemTime};

use super::control::Control;
use super::reuse::Terms;
use super::times;
use super::vary::Vary;
use crate::message::{Head, Method, Name};

/// Of the time since an answer was last changed, the part for which it is taken to stay as it is (RFC 9111 4.2.2).
const HEURISTIC_PART: u32 = 10;
/// And the longest.
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the request was that drew the answer.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub method: Method,
    pub authorized: bool,
    /// Its `no-store`.
    pub no_store: bool,
}

/// When the answer's head came.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    pub at: Instant,
    pub wall: SystemTime,
    /// Since the request was sent.
    pub delay: Duration,
}

/// What a route puts in place of, or beside, what answers say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// Where the answer is silent; `None`: heuristics.
    pub default_ttl: Option<Duration>,
    /// Whatever the answer says of its lifetime.
    pub override_ttl: Option<Duration>,
    /// The same by status, before those for all.
    pub default_by_status: TtlByStatus,
    pub override_by_status: TtlByStatus,
    /// Where the answer says none.
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    /// Answers that set cookies are kept without them; otherwise they are not kept.
    pub strip_cookies: bool,
    /// Lifetimes are shortened by up to so much, by chance.
    pub jitter_percent: u32,
}

/// Lifetimes for ranges of statuses; the first that fits counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TtlByStatus(pub Vec<((u16, u16), Duration)>);

impl TtlByStatus {
    fn find(&self, status: u16) -> Option<Duration> {
        self.0.iter().find(|((first, last), _)| (*first..=*last).contains(&status)).map(|(_, ttl)| *ttl)
    }
}

/// An answer that may be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    pub terms: Terms,
    pub vary: Vary,
    /// Fields that must not be kept with it.
    pub withheld: Vec<Vec<u8>>,
}

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Method,
    /// Not one that this cache understands, where that is asked for; or a part, or none of the answer itself.
    Status,
    NoStore,
    Private,
    Authorization,
    SetCookie,
    Vary,
    /// Nothing says that it may be used again, nor is there anything to ask with whether it may.
    Useless,
    TooLarge,
}

impl Refusal {
    pub const ALL: [Refusal; 9] = [
        Refusal::Method,
        Refusal::Status,
        Refusal::NoStore,
        Refusal::Private,
        Refusal::Authorization,
        Refusal::SetCookie,
        Refusal::Vary,
        Refusal::Useless,
        Refusal::TooLarge,
    ];

    /// For `detail` of `Cache-Status`, the log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Method => "method",
            Refusal::Status => "status",
            Refusal::NoStore => "no-store",
            Refusal::Private => "private",
            Refusal::Authorization => "authorization",
            Refusal::SetCookie => "set-cookie",
            Refusal::Vary => "vary",
            Refusal::Useless => "no-lifetime",
            Refusal::TooLarge => "too-large",
        }
    }
}

/// `chance`: from 0 to 1, for the jitter.
pub fn admit(asked: Asked, answer: &Head, received: Received, rules: &Rules, chance: f64) -> Result<Admitted, Refusal> {
    let control = Control::of(&answer.fields);
    let status = answer.status();
    if asked.method != Method::Get {
        return Err(Refusal::Method);
    }
    // Parts and confirmations are no answers of their own.
    if status < 200 || matches!(status, 206 | 304) || (control.must_understand && !is_understood(status)) {
        return Err(Refusal::Status);
    }
    // RFC 9111 5.2.2.3: who understands the status goes by that, and not by the `no-store` that is meant for others.
    if asked.no_store || (control.no_store && !control.must_understand) {
        return Err(Refusal::NoStore);
    }
    if control.private {
        return Err(Refusal::Private);
    }
    if asked.authorized && !(control.public || control.must_revalidate || control.s_maxage.is_some()) {
        return Err(Refusal::Authorization);
    }
    let mut withheld = control.withheld.clone();
    if answer.fields.contains(Name::SetCookie) {
        if !rules.strip_cookies && !withheld.iter().any(|name| name.eq_ignore_ascii_case(b"set-cookie")) {
            return Err(Refusal::SetCookie);
        }
        withheld.push(b"set-cookie".to_vec());
    }
    let vary = Vary::of(&answer.fields).ok_or(Refusal::Vary)?;
    let terms = terms(answer, &control, received, rules, chance).ok_or(Refusal::Useless)?;
    Ok(Admitted { terms, vary, withheld })
}

/// `None`: it could never be used.
fn terms(answer: &Head, control: &Control, received: Received, rules: &Rules, chance: f64) -> Option<Terms> {
    let status = answer.status();
    let date = answer.fields.get(Name::Date).and_then(times::date);
    let explicit = explicit_lifetime(answer, control, date, received);
    // RFC 9111 3 and 4.2.2: without a word about time, only for these, or where it is said to be for everybody.
    let may_guess = is_heuristically_cacheable(status) || control.public;
    let silent = || {
        let fixed = rules.default_by_status.find(status).or(rules.default_ttl.filter(|_| may_guess));
        let guess = || heuristic_lifetime(answer, date, received).filter(|_| may_guess).unwrap_or_default();
        (fixed.unwrap_or_else(guess), fixed.is_some() || may_guess)
    };
    let overridden = rules.override_by_status.find(status).or(rules.override_ttl.filter(|_| may_guess || explicit.is_some()));
    let (lifetime, is_kept) = match (overridden, explicit) {
        (Some(fixed), _) => (fixed, true),
        (None, Some(said)) => (said, true),
        (None, None) => silent(),
    };
    let strict = control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some() || control.no_cache;
    let window = |said: Option<Duration>, default: Duration| if strict { Duration::ZERO } else { said.unwrap_or(default) };
    let terms = Terms {
        received: received.at,
        initial_age: initial_age(answer, date, received),
        lifetime: lifetime.mul_f64(1.0 - f64::from(rules.jitter_percent) / 100.0 * chance),
        no_cache: control.no_cache,
        strict,
        stale_while_revalidate: window(control.stale_while_revalidate, rules.stale_while_revalidate),
        stale_if_error: window(control.stale_if_error, rules.stale_if_error),
    };
    let has_validator = answer.fields.contains(Name::Etag) || answer.fields.contains(Name::LastModified);
    // One that is stale already may still be asked about, or serve when the origin fails.
    let is_of_use = has_validator || (!terms.no_cache && terms.usable_for() > terms.initial_age);
    (is_kept && is_of_use).then_some(terms)
}

/// RFC 9111 4.2.1, for a shared cache.
fn explicit_lifetime(answer: &Head, control: &Control, date: Option<SystemTime>, received: Received) -> Option<Duration> {
    if let Some(said) = control.s_maxage.or(control.max_age) {
        return Some(said);
    }
    if control.targeted {
        return None;
    }
    let mut expires = answer.fields.get_all(Name::Expires);
    let first = expires.next()?;
    // Invalid, or several that differ: already over (RFC 9111 5.3).
    let is_one = expires.all(|other| other == first);
    let Some(expires) = times::date(first).filter(|_| is_one) else { return Some(Duration::ZERO) };
    Some(expires.duration_since(date.unwrap_or(received.wall)).unwrap_or_default())
}

fn heuristic_lifetime(answer: &Head, date: Option<SystemTime>, received: Received) -> Option<Duration> {
    let changed = answer.fields.get(Name::LastModified).and_then(times::date)?;
    let unchanged = date.unwrap_or(received.wall).duration_since(changed).ok()?;
    Some((unchanged / HEURISTIC_PART).min(HEURISTIC_MAX))
}

/// RFC 9111 4.2.3. Of several ages the first counts, and one that is no number does not (5.1).
fn initial_age(answer: &Head, date: Option<SystemTime>, received: Received) -> Duration {
    let said = answer.fields.members(Name::Age).next().and_then(times::seconds).unwrap_or_default();
    let apparent = date.and_then(|date| received.wall.duration_since(date).ok()).unwrap_or_default();
    // Dates are whole seconds: what is under one says nothing.
    let apparent = Duration::from_secs(apparent.as_secs());
    apparent.max(said + received.delay)
}

/// Final statuses whose rules for caching this cache keeps to: those of RFC 9110, 206 and 304 aside.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// RFC 9110 15.1.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests;
