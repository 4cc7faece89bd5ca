//! What the caches have under a URL, told for people.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::admin::{CacheReport, KeptAnswer, KeptQuery, KeptReport};
use crate::cache::object::Object;
use crate::cache::{Cache, key};

/// More variants of one URL are counted, and not shown.
const SHOWN: usize = 50;
/// What an answer says of its own use.
const ABOUT_USE: [&str; 7] = ["cache-control", "cdn-cache-control", "expires", "age", "last-modified", "etag", "vary"];

pub(super) fn report(query: &KeptQuery, caches: &[Arc<Cache>]) -> KeptReport {
    let caches: Vec<_> = caches.iter().map(|cache| of_cache(query, cache)).collect();
    KeptReport { url: query.url.clone(), stored: caches.iter().any(|cache| !cache.answers.is_empty()), caches }
}

fn of_cache(query: &KeptQuery, cache: &Cache) -> CacheReport {
    let kept = query.what.kept(cache);
    let answers: Vec<_> = kept.iter().take(SHOWN).map(|object| answer(object)).collect();
    CacheReport {
        name: cache.name.to_string(),
        fetching: query.what.fetching(cache),
        last_refused: query.what.last_refused(cache).map(str::to_owned),
        not_shown: kept.len() - answers.len(),
        answers,
    }
}

fn answer(object: &Object) -> KeptAnswer {
    let (now, terms) = (Instant::now(), &object.terms);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut url = Vec::new();
    key::show(object.key.bytes(), &mut url);
    let (age, left) = (terms.age(now), terms.fresh_for(now));
    let state = match (object.is_expired(), left.is_zero()) {
        (true, _) => "purged softly",
        (false, true) => "stale",
        (false, false) => "fresh",
    };
    let fields = |name: &'static str| object.head.fields.find(name).map(move |value| format!("{name}: {}", text(value)));
    KeptAnswer {
        key: text(&url),
        pool: text(key::partition(object.key.bytes()).split(|byte| *byte == b'\n').next().unwrap_or_default()),
        status: object.head.status(),
        state: state.to_owned(),
        fresh_until: until(age, terms.lifetime),
        age_seconds: age.as_secs(),
        lifetime_seconds: terms.lifetime.as_secs(),
        stale_while_revalidate_seconds: terms.stale_while_revalidate.as_secs(),
        stale_if_error_seconds: terms.stale_if_error.as_secs(),
        asks_first: terms.no_cache,
        because: ABOUT_USE.into_iter().flat_map(fields).collect(),
        tags: object.tags.iter().map(|tag| text(tag)).collect(),
        bytes: u64::from(object.weight()),
        content_bytes: object.content.here(),
        part_of_bytes: Some(object.content.len()).filter(|_| !object.content.is_whole()),
        fetch_ms: object.cost.as_millis() as u64,
    }
}

/// For people: nobody reads nanoseconds. A lifetime may be longer than there are dates.
fn until(age: Duration, lifetime: Duration) -> Timestamp {
    let moment = SystemTime::now().checked_sub(age).and_then(|begun| begun.checked_add(lifetime));
    let second = moment.and_then(|moment| Timestamp::try_from(moment).ok()).unwrap_or(Timestamp::MAX).as_second();
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}
