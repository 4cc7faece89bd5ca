//! What survives a reload, found by identity.
//!
//! What belongs to a pool is only found here. It is kept by those who use it: the table, and the requests that are under way. So what
//! is removed goes when its last request has gone; and if it is named again before that, it is the same as before, with its
//! requests to its account.
//!
//! Read and written only while a table is built or a page is rendered, so a lock is fine here and nowhere on a request's path.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::address::Address;
use crate::backend::{Backend, Crew};
use crate::cache::Cache;
use crate::config::model::{self, DnsName};
use crate::discovery::{Change, Found, Key, News, Resolution};
use crate::message::Crowd;
use crate::telemetry::Registry;
use crate::upstream::{Queue, Rounds};

#[derive(Default)]
pub struct State {
    pub registry: Arc<Registry>,
    inner: Mutex<Inner>,
    secret: OnceLock<[u8; SECRET_BYTES]>,
}

/// As much as the hash that it keys.
const SECRET_BYTES: usize = 32;

#[derive(Default)]
struct Inner {
    backends: Known<(String, Address), Backend>,
    /// These three by pool.
    crews: Known<String, Crew>,
    queues: Known<String, Queue>,
    rounds: Known<String, Rounds>,
    caches: HashMap<String, Arc<Cache>>,
    seats: Vec<Seat>,
    /// By listener.
    crowds: Known<String, Crowd>,
    names: HashMap<Key, Resolution>,
}

/// Things that others keep, by whose they are.
struct Known<K, T>(HashMap<K, Weak<T>>);

#[derive(PartialEq, Eq)]
struct Seat {
    listener: Option<String>,
    address: Address,
}

impl State {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here can be left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend of this pool at this address, with all that is known of it; a new one takes requests at once.
    pub fn backend(&self, pool: &str, address: &Address) -> Arc<Backend> {
        let Inner { backends, crews, .. } = &mut *self.inner();
        backends.find((pool.to_owned(), address.clone()), || Backend::with(address.clone(), crews.find(pool.to_owned(), Crew::default)))
    }

    /// The same, where there is one.
    pub fn known(&self, pool: &str, address: &Address) -> Option<Arc<Backend>> {
        self.inner().backends.0.get(&(pool.to_owned(), address.clone()))?.upgrade()
    }

    /// What is remembered of this pool as a whole.
    pub fn rounds(&self, pool: &str) -> Arc<Rounds> {
        self.inner().rounds.find(pool.to_owned(), Rounds::default)
    }

    /// Where requests for this pool wait; with all that wait there.
    pub fn queue(&self, pool: &str) -> Arc<Queue> {
        self.inner().queues.find(pool.to_owned(), Queue::default)
    }

    /// Forgets what nobody has any more.
    pub fn forget_the_gone(&self) {
        let Inner { backends, crews, queues, rounds, .. } = &mut *self.inner();
        backends.forget_the_gone();
        crews.forget_the_gone();
        queues.forget_the_gone();
        rounds.forget_the_gone();
    }

    /// The secret of this process, for sticky sessions that have none in a file: random, and gone with it.
    pub fn secret(&self) -> &[u8] {
        self.secret.get_or_init(|| {
            let mut secret = [0; SECRET_BYTES];
            getrandom::fill(&mut secret).expect("Linux has random bytes");
            secret
        })
    }

    /// What a name of this pool stands for, by address; empty: it has never been resolved.
    pub fn found(&self, pool: &str, name: &DnsName) -> Arc<[Found]> {
        let key = Key { pool: pool.to_owned(), name: name.clone() };
        self.inner().names.get(&key).map(|resolution| resolution.found.clone()).unwrap_or_default()
    }

    /// Takes in how a lookup ended.
    pub fn learn(&self, news: &News) -> Change {
        self.inner().names.entry(news.key.clone()).or_default().learn(&news.heard, news.wait)
    }

    /// Every name that is followed, with what is known of it, in no order.
    pub fn resolutions(&self) -> Vec<(Key, Resolution)> {
        self.inner().names.iter().map(|(key, resolution)| (key.clone(), resolution.clone())).collect()
    }

    /// These names are followed from now on, and no others: what is known of them stays, of others it is forgotten.
    pub fn follow(&self, keys: HashSet<Key>) {
        let names = &mut self.inner().names;
        names.retain(|key, _| keys.contains(key));
        names.extend(keys.into_iter().filter(|key| !names.contains_key(key)).map(|key| (key, Resolution::default())).collect::<Vec<_>>());
    }

    /// Who is connected to this listener, where that is counted by address.
    pub fn crowd(&self, listener: &str) -> Arc<Crowd> {
        self.inner().crowds.find(listener.to_owned(), Crowd::default)
    }

    /// These caches are there from now on, and no others: what is in them stays, as far as it fits.
    pub fn caches(&self, specs: &[model::Cache]) {
        let caches = &mut self.inner().caches;
        caches.retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        for model::Cache { name, memory, max_object, hottest, .. } in specs {
            match caches.get(name) {
                Some(cache) => {
                    if let Some(other) = cache.resize(*memory, *max_object) {
                        caches.insert(name.clone(), other);
                    }
                }
                None => {
                    let cache = Cache::new(name, *memory, *max_object, self.registry.cache(name));
                    caches.insert(name.clone(), Arc::new(cache));
                }
            }
            caches[name].count_hits(hottest.is_some());
        }
    }

    pub fn cache(&self, name: &str) -> Option<Arc<Cache>> {
        self.inner().caches.get(name).cloned()
    }

    pub fn each_cache(&self) -> Vec<Arc<Cache>> {
        self.inner().caches.values().cloned().collect()
    }

    /// The number of an address that a listener has, the same for as long as the process runs and whichever listener has it: so
    /// connections follow an address to a listener of another name. Port 0 is another port each time, and so belongs to its name.
    pub fn seat(&self, listener: &str, address: &Address) -> usize {
        let own = address.ip().is_some_and(|address| address.port() == 0);
        let seat = Seat { listener: own.then(|| listener.to_owned()), address: address.clone() };
        let mut inner = self.inner();
        match inner.seats.iter().position(|known| *known == seat) {
            Some(at) => at,
            None => {
                inner.seats.push(seat);
                inner.seats.len() - 1
            }
        }
    }
}

impl<K: Hash + Eq, T> Known<K, T> {
    fn find(&mut self, key: K, new: impl FnOnce() -> T) -> Arc<T> {
        let known = self.0.entry(key).or_default();
        known.upgrade().unwrap_or_else(|| {
            let new = Arc::new(new());
            *known = Arc::downgrade(&new);
            new
        })
    }

    fn forget_the_gone(&mut self) {
        self.0.retain(|_, thing| thing.strong_count() > 0);
    }
}

impl<K, T> Default for Known<K, T> {
    fn default() -> Known<K, T> {
        Known(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named_again_before_the_last_request_has_gone_is_the_same() {
        let (state, address) = (State::default(), &Address::from(([10, 0, 0, 1], 80)));
        let request = state.backend("app", address);
        request.begin();
        state.forget_the_gone();
        let again = state.backend("app", address);
        assert_eq!(again.in_flight(), 1, "its slots are not given twice");
        assert!(Arc::ptr_eq(&again, &request) && !Arc::ptr_eq(&again, &state.backend("api", address)));
        again.end();
        again.erred();
        drop((again, request));
        state.forget_the_gone();
        assert!(state.known("app", address).is_none() && state.inner().crews.0.is_empty());
        assert_eq!(state.backend("app", address).errors(), 0, "a new one");
    }
}
