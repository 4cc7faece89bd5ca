//! How often the store has what is asked for, beside a plain LRU list of the same memory: popular answers among many, and what spoils it.
//!
//! Requests for one of `KEYS` answers by a Zipf law (the share of the n-th is as 1 / n to the power of `skew`), each of one size, and between
//! them what a crawler does: it asks for everything once, which LRU takes for news. Every run is the same requests for both; the store's own
//! hash is random, which moves its figures by less than a percent.
//!
//! A table of it is printed by
//!
//!     cargo test --lib cache::simulation::table -- --ignored --nocapture

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::key::Key;
use super::object::{Content, Gauge, Object};
use super::policy::Terms;
use super::store::{Memory, Slot, Store};
use crate::message::{Head, Version};

const KEYS: usize = 20_000;
const REQUESTS: usize = 200_000;

#[derive(Debug, Clone, Copy)]
struct Workload {
    name: &'static str,
    /// Zero: all alike.
    skew: f64,
    /// After so many requests by popularity...
    between: usize,
    /// ... so many in a row for what is never asked for again.
    scan: usize,
    /// After so many requests others are popular.
    drift: usize,
    /// The same keys round and round, so many.
    round: usize,
}

const PLAIN: Workload = Workload { name: "", skew: 0.9, between: usize::MAX, scan: 0, drift: usize::MAX, round: 0 };

const WORKLOADS: [Workload; 7] = [
    Workload { name: "Zipf 0.7", skew: 0.7, ..PLAIN },
    Workload { name: "Zipf 0.9", ..PLAIN },
    Workload { name: "Zipf 1.1", skew: 1.1, ..PLAIN },
    Workload { name: "Zipf 0.9, a fifth of it scans", between: 4000, scan: 1000, ..PLAIN },
    Workload { name: "Zipf 0.9, half of it scans", between: 4000, scan: 4000, ..PLAIN },
    Workload { name: "Zipf 0.9, others popular every 20,000", drift: 20_000, ..PLAIN },
    Workload { name: "a round of 4,000", round: 4000, ..PLAIN },
];

/// The keys that are asked for, one after the other.
fn requests(workload: Workload, count: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=KEYS)
        .map(|n| {
            sum += (n as f64).powf(-workload.skew);
            sum
        })
        .collect();
    let (mut asked, mut since, mut once) = (Vec::with_capacity(count), 0, KEYS);
    while asked.len() < count {
        if workload.round > 0 {
            asked.push(asked.len() % workload.round);
            continue;
        }
        if since == workload.between {
            since = 0;
            asked.extend(once..once + workload.scan);
            once += workload.scan;
            continue;
        }
        since += 1;
        // Drawn once, not for each comparison of the search.
        let drawn = random.f64() * sum;
        let rank = shares.partition_point(|share| *share < drawn).min(KEYS - 1);
        asked.push((rank + asked.len() / workload.drift * 7919) % KEYS);
    }
    asked.truncate(count);
    asked
}

fn object(key: &str) -> Arc<Object> {
    // As large as the store expects entries to be.
    static BODY: [u8; 7500] = [0; 7500];
    let terms = Terms::fresh(Duration::from_secs(9));
    let content = Content::of(vec![bytes::Bytes::from_static(&BODY)], &Gauge::default());
    let head = Head::response(200, b"", Version::Http11);
    Arc::new(Object::new(Key::of(key.as_bytes()), head, terms, content, Instant::now(), Duration::ZERO))
}

fn name(key: usize) -> String {
    format!("key {key:08}")
}

/// The share of hits, of the store and of LRU, with room for so many.
fn ratios(workload: Workload, room: usize, count: usize) -> (f64, f64) {
    let asked = requests(workload, count);
    let memory = room as u64 * u64::from(object(&name(0)).weight());
    // Eight shards, as 512 MiB and objects of 16 MiB have.
    let store = Memory::new(memory, memory / 32);
    let mut hits = 0;
    for key in &asked {
        let name = name(*key);
        match store.get(name.as_bytes()) {
            Some(_) => hits += 1,
            None => {
                let object = object(&name);
                store.put(object.key.clone(), Slot::Object(object));
            }
        }
    }
    let mut lru = Lru { room, used: HashMap::new(), oldest: BTreeMap::new() };
    let lru_hits = asked.iter().enumerate().filter(|(at, key)| lru.ask(**key, *at)).count();
    (hits as f64 / count as f64, lru_hits as f64 / count as f64)
}

/// What was used longest ago makes room.
struct Lru {
    room: usize,
    /// When it was used last, by key; and the other way round.
    used: HashMap<usize, usize>,
    oldest: BTreeMap<usize, usize>,
}

impl Lru {
    fn ask(&mut self, key: usize, now: usize) -> bool {
        let last = self.used.insert(key, now);
        if let Some(last) = last {
            self.oldest.remove(&last);
        }
        self.oldest.insert(now, key);
        if self.used.len() > self.room
            && let Some((_, key)) = self.oldest.pop_first()
        {
            self.used.remove(&key);
        }
        last.is_some()
    }
}

#[test]
fn scans_do_not_push_out_what_is_popular() {
    let scans = WORKLOADS[4];
    let (store, lru) = ratios(scans, KEYS / 20, 60_000);
    assert!(store > lru + 0.02, "{store} {lru}");
    let (store, lru) = ratios(WORKLOADS[1], KEYS / 20, 60_000);
    assert!(store > lru - 0.01, "{store} {lru}");
}

#[test]
#[ignore = "prints a table"]
fn table() {
    let percent = |(store, lru): (f64, f64)| format!("{:.1} %, LRU {:.1} %", store * 100.0, lru * 100.0);
    println!("| requests | room for 1 % | room for 5 % | room for 20 % |\n|---|---:|---:|---:|");
    for workload in WORKLOADS {
        let cells = [100, 20, 5].map(|part| percent(ratios(workload, KEYS / part, REQUESTS)));
        println!("| {} | {} |", workload.name, cells.join(" | "));
    }
}
