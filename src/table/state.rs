//! What survives a reload, found by identity.
//!
//! Read and written only while a table is built or a page is rendered, so a lock is fine here and nowhere on a request's path.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::address::Address;
use crate::backend::{Backend, Crew};
use crate::config::model::DnsName;
use crate::discovery::{Change, Found, Key, News, Resolution};
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
    backends: HashMap<(String, Address), Arc<Backend>>,
    /// By pool.
    crews: HashMap<String, Arc<Crew>>,
    queues: HashMap<String, Arc<Queue>>,
    /// By name of the pool. Kept when a pool goes: as few as the names that files have held.
    rounds: HashMap<String, Arc<Rounds>>,
    seats: Vec<Seat>,
    names: HashMap<Key, Resolution>,
}

#[derive(PartialEq, Eq)]
struct Seat {
    listener: Option<String>,
    address: SocketAddr,
}

impl State {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here can be left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend of this pool at this address, with all that is known of it; a new one takes requests at once.
    pub fn backend(&self, pool: &str, address: &Address) -> Arc<Backend> {
        let Inner { backends, crews, .. } = &mut *self.inner();
        let join = || Arc::new(Backend::with(address.clone(), crews.entry(pool.to_owned()).or_default().clone()));
        backends.entry((pool.to_owned(), address.clone())).or_insert_with(join).clone()
    }

    /// What is remembered of this pool as a whole.
    pub fn rounds(&self, pool: &str) -> Arc<Rounds> {
        self.inner().rounds.entry(pool.to_owned()).or_default().clone()
    }

    /// Forgets the backends that `keep` does not name. They finish what they have: whoever still uses one holds it, and a request
    /// that took the table before may still pick one.
    pub fn retain_backends(&self, keep: impl Fn(&str, &Address) -> bool) {
        let Inner { backends, crews, .. } = &mut *self.inner();
        backends.retain(|(pool, address), _| keep(pool, address));
        let manned: HashSet<&str> = backends.keys().map(|(pool, _)| pool.as_str()).collect();
        crews.retain(|pool, _| manned.contains(pool.as_str()));
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

    /// Where requests for this pool wait; with all that wait there.
    pub fn queue(&self, pool: &str) -> Arc<Queue> {
        self.inner().queues.entry(pool.to_owned()).or_default().clone()
    }

    /// Forgets the queues of pools that `keep` does not name. Who waits there still does, and gets what the pool's last requests give
    /// back.
    pub fn retain_queues(&self, keep: impl Fn(&str) -> bool) {
        self.inner().queues.retain(|pool, _| keep(pool));
    }

    /// The number of an address that a listener has, the same for as long as the process runs and whichever listener has it: so
    /// connections follow an address to a listener of another name. Port 0 is another port each time, and so belongs to its name.
    pub fn seat(&self, listener: &str, address: SocketAddr) -> usize {
        let seat = Seat { listener: (address.port() == 0).then(|| listener.to_owned()), address };
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
