//! What is kept, by URL and by tag: a purge finds here what it means, and looks at nothing else.
//!
//! Two ordered sets. One has keys in the order of their URLs, so that all below a prefix stand beside each other; the other has the
//! hashes of tags. Both share the bytes of the keys with the store. An answer is listed before it goes into the store, under a number of
//! its own, and struck off by its own `Drop`: whichever way it goes (made room, replaced, purged), nothing stays behind. Listing is part
//! of a fill; a hit knows nothing of it.
//!
//! Invariant: a lock here is held for one entry, or for a step of `STEP` of them, and nothing else is locked meanwhile. So a purge of
//! however many entries holds up nobody for longer than a step.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::{Key, Seen};

/// So many entries are copied under one lock.
const STEP: usize = 128;
const SHARDS: u64 = 16;

/// What listing takes, beside the key's own bytes: places in ordered sets, which are two thirds full.
pub const BYTES_PER_OBJECT: usize = 40;
pub const BYTES_PER_TAG: usize = 56;

#[derive(Default)]
pub struct Index {
    shards: [Mutex<Shard>; SHARDS as usize],
    /// Whoever chooses tags can not choose whose they meet.
    hash: RandomState,
    next: AtomicU64,
}

#[derive(Default)]
struct Shard {
    urls: BTreeSet<Place>,
    /// By the hash of the tag, and the number of the answer.
    tags: BTreeMap<(u64, u64), Key>,
}

/// Keeps an answer on the list. Its owner strikes it off.
pub struct Listed {
    index: Arc<Index>,
    pub number: u64,
}

impl Index {
    pub fn list(self: &Arc<Self>, key: &Key, tags: &[Box<[u8]>]) -> Listed {
        let number = self.next.fetch_add(1, atomic::Ordering::Relaxed);
        let mut shard = self.shard(number);
        shard.urls.insert(Place { key: key.clone(), number });
        for tag in tags {
            shard.tags.insert((self.hash.hash_one(tag), number), key.clone());
        }
        drop(shard);
        Listed { index: self.clone(), number }
    }

    /// Everything with this tag that is listed now, by key and number; perhaps some with another tag.
    pub fn tagged(&self, tag: &[u8], mut each: impl FnMut(&Key, u64)) {
        let (hash, end) = (self.hash.hash_one(tag), self.end());
        for shard in &self.shards {
            let mut next = 0;
            loop {
                let step: Vec<_> = {
                    let shard = lock(shard);
                    shard.tags.range((hash, next)..(hash, end)).take(STEP).map(|((_, number), key)| (key.clone(), *number)).collect()
                };
                step.iter().for_each(|(key, number)| each(key, *number));
                match step.last() {
                    Some((_, number)) if step.len() == STEP => next = number + 1,
                    _ => break,
                }
            }
        }
    }

    /// Everything that is listed now, from this key on in the order of URLs, for as long as it is meant.
    pub fn from(&self, first: Key, is_meant: impl Fn(&[u8]) -> bool, mut each: impl FnMut(&Key, u64)) {
        let end = self.end();
        for shard in &self.shards {
            let mut next = Bound::Included(Place { key: first.clone(), number: 0 });
            loop {
                let step: Vec<_> = {
                    let shard = lock(shard);
                    let meant = shard.urls.range((next, Bound::Unbounded)).take_while(|place| is_meant(place.key.bytes()));
                    meant.take(STEP).map(|place| Place { key: place.key.clone(), number: place.number }).collect()
                };
                step.iter().filter(|place| place.number < end).for_each(|place| each(&place.key, place.number));
                let is_more = step.len() == STEP;
                match step.into_iter().next_back() {
                    Some(last) if is_more => next = Bound::Excluded(last),
                    _ => break,
                }
            }
        }
    }

    /// Numbers from here on came after now: who goes through the list while it grows comes to an end.
    fn end(&self) -> u64 {
        self.next.load(atomic::Ordering::Relaxed)
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(number % SHARDS) as usize])
    }
}

/// Each change is of one entry, and whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listed {
    pub fn strike(self, key: &Key, tags: &[Box<[u8]>]) {
        let (index, number) = (&self.index, self.number);
        let mut shard = index.shard(number);
        shard.urls.remove(&Place { key: key.clone(), number });
        for tag in tags {
            shard.tags.remove(&(index.hash.hash_one(tag), number));
        }
    }
}

/// A key where its URL has it: by scheme and host, then path and query as one text, whatever the pool.
struct Place {
    key: Key,
    number: u64,
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        let of = |key: &Key| Seen::of(key.bytes()).is_some();
        let by_url = match (Seen::of(self.key.bytes()), Seen::of(other.key.bytes())) {
            (Some(one), Some(other)) => one.cmp_url(&other),
            _ => of(&self.key).cmp(&of(&other.key)),
        };
        by_url.then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::key::{Spelling, Url};

    fn spelled(authority: &str, target: &str) -> Vec<u8> {
        Spelling::default().spell(&Url { secure: false, authority: authority.as_bytes(), target: target.as_bytes() })
    }

    fn key(pool: &str, authority: &str, target: &str) -> Key {
        let url = spelled(authority, target);
        Key::found_by(&[&url[..], pool.as_bytes()].concat(), url.len())
    }

    fn tags(tags: &[&str]) -> Box<[Box<[u8]>]> {
        tags.iter().map(|tag| tag.as_bytes().into()).collect()
    }

    fn tagged(index: &Index, tag: &str) -> Vec<u64> {
        let mut found = Vec::new();
        index.tagged(tag.as_bytes(), |_, number| found.push(number));
        found.sort();
        found
    }

    fn below(index: &Index, authority: &str, prefix: &str) -> Vec<u64> {
        let is_meant = |key: &[u8]| {
            let seen = Seen::of(key).unwrap();
            seen.authority == authority.as_bytes() && seen.whole().take(prefix.len()).eq(prefix.bytes())
        };
        let mut found = Vec::new();
        index.from(Key::of(&spelled(authority, prefix)), is_meant, |_, number| found.push(number));
        found.sort();
        found
    }

    fn is_empty(index: &Index) -> bool {
        index.shards.iter().all(|shard| lock(shard).urls.is_empty() && lock(shard).tags.is_empty())
    }

    #[test]
    fn more_than_a_step_is_found_whole_and_struck_off_whole() {
        let index = Arc::new(Index::default());
        let many = STEP * SHARDS as usize * 2 + 7;
        let keys: Vec<_> = (0..many).map(|n| key("app", "a", &format!("/{n}"))).collect();
        let of = tags(&["all", "all", "more"]);
        let listed: Vec<_> = keys.iter().map(|key| index.list(key, &of)).collect();
        assert_eq!(tagged(&index, "all").len(), many);
        assert_eq!(below(&index, "a", "/").len(), many);
        assert!(tagged(&index, "al").is_empty() && below(&index, "b", "/").is_empty());
        listed.into_iter().zip(&keys).for_each(|(listed, key)| listed.strike(key, &of));
        assert!(is_empty(&index));
    }

    #[test]
    fn one_that_takes_anothers_place_stays_when_that_is_struck_off() {
        let index = Arc::new(Index::default());
        let (key, of) = (key("app", "a", "/"), tags(&["t"]));
        let (old, new) = (index.list(&key, &of), index.list(&key, &of));
        old.strike(&key, &of);
        assert_eq!((tagged(&index, "t"), below(&index, "a", "/")), (vec![new.number], vec![new.number]));
        new.strike(&key, &of);
        assert!(is_empty(&index));
    }

    #[test]
    fn what_is_listed_meanwhile_does_not_keep_a_walk_going() {
        let index = Arc::new(Index::default());
        let (key, of) = (key("app", "a", "/"), tags(&["t"]));
        let listed: Vec<_> = (0..STEP * 20).map(|_| index.list(&key, &of)).collect();
        let mut more = Vec::new();
        index.tagged(b"t", |_, _| more.push(index.list(&key, &of)));
        assert_eq!(more.len(), listed.len());
    }

    proptest! {
        #[test]
        fn below_a_prefix_is_what_begins_so(
            urls in proptest::collection::vec(("[ab]", "[ab]", "/[ab/?&]{0,4}"), 0..40),
            authority in "[ab]",
            prefix in "/[ab/?&]{0,3}",
        ) {
            let index = Arc::new(Index::default());
            let mut expected = Vec::new();
            for (pool, host, target) in &urls {
                let listed = index.list(&key(pool, host, target), &[]);
                if *host == authority && target.starts_with(&prefix) {
                    expected.push(listed.number);
                }
            }
            prop_assert_eq!(below(&index, &authority, &prefix), expected);
        }
    }
}
