//! Where answers are kept. One tier is in memory; the trait is narrow so that others can stand behind it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::key::Key;
use super::object::Object;
use super::policy::Vary;

/// What is found under a key.
#[derive(Clone)]
pub enum Slot {
    Object(Arc<Object>),
    /// The answers here vary: which of them is wanted, the request's own fields say.
    Family(Arc<Family>),
}

/// Answers under one URL that vary on the same fields. A new one has a new number, and what was kept under the old is out of reach.
pub struct Family {
    pub vary: Vary,
    pub number: u64,
}

/// What a purge does to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Stays,
    /// Stale from now on, whatever its lifetime.
    Expires,
    Goes,
}

pub trait Store {
    fn get(&self, key: &[u8]) -> Option<Slot>;
    fn put(&self, key: Key, slot: Slot);
    /// Puts an answer in the place of itself, as the origin has confirmed it; where it has gone meanwhile, it stays gone.
    fn touch(&self, object: Arc<Object>);
    fn remove(&self, key: &[u8]);
    /// What happens to one entry, if it is there; `true`: it was expired or went. Not a use of it.
    fn purge(&self, key: &[u8], fate: &mut dyn FnMut(&Slot) -> Fate) -> bool;
    /// Looks at everything that was there when it began, without stopping anybody else; how many were expired or went.
    fn purge_all(&self, fate: &mut dyn FnMut(&Slot) -> Fate) -> usize;
}

/// An entry that took more than this part of a shard would push out too much of it, or not be kept at all.
const SHARE_OF_SHARD: u64 = 4;
const SHARDS_MAX: u64 = 64;
/// For how many entries room is made beforehand; the true number may be far from it.
const ENTRY_BYTES_EXPECTED: u64 = 8 << 10;

/// In memory, weighed by the bytes that entries really hold. S3-FIFO-like (`quick_cache`): one scan does not push out what is used often.
pub struct Memory {
    entries: Cache<Key, Slot, Bytes, Keyed, Watch>,
    evicted: Arc<AtomicU64>,
    shards: u64,
}

impl Memory {
    pub fn new(bytes: u64, object_bytes_max: u64) -> Memory {
        Memory::counting(bytes, object_bytes_max, Arc::default())
    }

    fn counting(bytes: u64, object_bytes_max: u64, evicted: Arc<AtomicU64>) -> Memory {
        let shards = shards(bytes, object_bytes_max);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .weight_capacity(bytes)
            .estimated_items_capacity((bytes / ENTRY_BYTES_EXPECTED).max(32 * shards) as usize)
            .build()
            .expect("both capacities are set");
        Memory { entries: Cache::with_options(options, Bytes, Keyed::default(), Watch(evicted.clone())), evicted, shards }
    }

    /// What is kept stays, as far as it fits. `Some`: the largest object wants other shards, and this is to take its place, with all that
    /// `move_to` brings there.
    pub fn resize(&self, bytes: u64, object_bytes_max: u64) -> Option<Memory> {
        if shards(bytes, object_bytes_max) == self.shards {
            self.entries.set_capacity(bytes);
            return None;
        }
        Some(Memory::counting(bytes, object_bytes_max, self.evicted.clone()))
    }

    /// All that is kept goes there, and here nothing is left. What is removed here meanwhile, and then there, is in neither.
    pub fn move_to(&self, other: &Memory) {
        for (key, slot) in self.entries.iter() {
            other.entries.insert(key.clone(), slot.clone());
            let key = key.looked_up();
            // It is here until it is there. Whoever has removed it here before we look again may have been there before us.
            if !self.entries.peek(key).is_some_and(|here| is_same(&here, &slot)) {
                other.entries.remove_if(key, |there| is_same(there, &slot));
            }
        }
        self.entries.drain().for_each(drop);
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries that had to go to make room, so far.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// As many as can be while the largest object fits well into each; a power of two.
fn shards(bytes: u64, object_bytes_max: u64) -> u64 {
    let most = (bytes / (object_bytes_max.max(1) * SHARE_OF_SHARD)).clamp(1, SHARDS_MAX);
    1 << most.ilog2()
}

impl Store for Memory {
    fn get(&self, key: &[u8]) -> Option<Slot> {
        self.entries.get(key)
    }

    fn put(&self, key: Key, slot: Slot) {
        self.entries.insert(key, slot);
    }

    fn touch(&self, object: Arc<Object>) {
        let _ = self.entries.replace(object.key.clone(), Slot::Object(object), true);
    }

    fn remove(&self, key: &[u8]) {
        self.entries.remove(key);
    }

    fn purge(&self, key: &[u8], fate: &mut dyn FnMut(&Slot) -> Fate) -> bool {
        self.entries.peek(key).is_some_and(|slot| self.meet(key, slot, fate))
    }

    fn purge_all(&self, fate: &mut dyn FnMut(&Slot) -> Fate) -> usize {
        // The walk holds a shard's lock for one step at a time.
        self.entries.iter().filter(|(key, slot)| self.meet(key.looked_up(), slot.clone(), fate)).count()
    }
}

impl Memory {
    fn meet(&self, key: &[u8], slot: Slot, fate: &mut dyn FnMut(&Slot) -> Fate) -> bool {
        match (fate(&slot), slot) {
            (Fate::Stays, _) | (Fate::Expires, Slot::Family(_)) => false,
            (Fate::Expires, Slot::Object(object)) => {
                object.expire();
                true
            }
            (Fate::Goes, slot) => self.entries.remove_if(key, |there| is_same(there, &slot)).is_some(),
        }
    }
}

fn is_same(one: &Slot, other: &Slot) -> bool {
    match (one, other) {
        (Slot::Object(one), Slot::Object(other)) => Arc::ptr_eq(one, other),
        (Slot::Family(one), Slot::Family(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Slot> for Bytes {
    fn weight(&self, key: &Key, slot: &Slot) -> u64 {
        const FAMILY: u64 = 256;
        match slot {
            Slot::Object(object) => u64::from(object.weight()),
            Slot::Family(family) => FAMILY + (key.bytes().len() + family.vary.weight()) as u64,
        }
    }
}

/// SipHash under a key of the process: whoever chooses URLs can not choose where they fall.
#[derive(Clone, Default)]
struct Keyed(RandomState);

impl BuildHasher for Keyed {
    type Hasher = <RandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// Counts what goes to make room, and lets go of it outside the lock.
#[derive(Clone)]
struct Watch(Arc<AtomicU64>);

impl Lifecycle<Key, Slot> for Watch {
    type RequestState = Vec<(Key, Slot)>;

    fn on_evict(&self, gone: &mut Vec<(Key, Slot)>, key: Key, slot: Slot) {
        self.0.fetch_add(1, Ordering::Relaxed);
        gone.push((key, slot));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::object::{Content, Gauge};
    use crate::cache::policy::Terms;
    use crate::message::{Head, Version};

    fn object(key: &str, bytes: usize) -> Arc<Object> {
        let terms = Terms::fresh(Duration::from_secs(9));
        let content = Content::of(vec![bytes::Bytes::from(vec![0; bytes])], &Gauge::default());
        Arc::new(Object::new(
            Key::of(key.as_bytes()),
            Head::response(200, b"", Version::Http11),
            terms,
            content,
            terms.received,
            Duration::ZERO,
        ))
    }

    fn put(store: &Memory, key: &str, bytes: usize) -> Arc<Object> {
        let object = object(key, bytes);
        store.put(object.key.clone(), Slot::Object(object.clone()));
        object
    }

    #[test]
    fn shards_are_large_enough_for_the_largest_object() {
        for (memory, object, expected) in
            [(512 << 20, 16 << 20, 8), (256 << 20, 16 << 20, 4), (1 << 30, 1 << 20, 64), (1 << 20, 1 << 20, 1), (9, 0, 2)]
        {
            assert_eq!(shards(memory, object), expected, "{memory} {object}");
        }
        let store = Memory::new(64 << 20, 4 << 20);
        for at in 0..100 {
            let key = format!("large {at}");
            put(&store, &key, 4 << 20);
            assert!(store.get(key.as_bytes()).is_some(), "the newest is there, however large");
        }
        assert!(store.weight() <= 64 << 20 && store.weight() > 40 << 20, "{}", store.weight());
    }

    #[test]
    fn a_million_keys_stay_within_the_budget() {
        let store = Memory::new(8 << 20, 1 << 20);
        for at in 0..200_000 {
            put(&store, &format!("key {at}"), 10);
        }
        assert!(store.weight() <= 8 << 20, "{}", store.weight());
        assert!(store.evicted() + store.len() as u64 >= 199_000);
        assert!(store.resize(1 << 20, 1 << 17).is_none(), "it has as many shards as before");
        assert!(store.weight() <= (1 << 20) + 4096, "{}", store.weight());
    }

    #[test]
    fn larger_objects_get_larger_shards_and_the_others_stay() {
        let store = Memory::new(64 << 20, 64 << 10);
        put(&store, "small", 10);
        put(&store, "large", 16 << 20);
        assert!(store.get(b"large").is_none(), "its shard is too small");
        let other = store.resize(64 << 20, 16 << 20).expect("other shards");
        store.move_to(&other);
        let store = other;
        put(&store, "large", 16 << 20);
        assert!(store.get(b"large").is_some() && store.get(b"small").is_some());
    }

    #[test]
    fn a_purge_touches_what_it_is_told_to() {
        let store = Memory::new(1 << 20, 1 << 16);
        let kept: Vec<_> = ["a", "b", "c"].iter().map(|key| put(&store, key, 10)).collect();
        assert!(store.purge(b"a", &mut |_| Fate::Goes) && store.purge(b"b", &mut |_| Fate::Expires));
        assert!(!store.purge(b"c", &mut |_| Fate::Stays) && !store.purge(b"d", &mut |_| Fate::Goes));
        assert!(store.get(b"a").is_none() && store.get(b"b").is_some());
        assert_eq!([kept[1].is_expired(), kept[2].is_expired()], [true, false]);
        assert_eq!(store.purge_all(&mut |_| Fate::Goes), 2);
        assert!(store.is_empty());
    }

    #[test]
    fn what_has_gone_is_not_brought_back_by_a_confirmation() {
        let store = Memory::new(1 << 20, 1 << 16);
        store.touch(object("a", 10));
        assert!(store.get(b"a").is_none());
        put(&store, "a", 10);
        let renewed = object("a", 20);
        store.touch(renewed.clone());
        assert!(matches!(store.get(b"a"), Some(Slot::Object(there)) if Arc::ptr_eq(&there, &renewed)));
    }
}
