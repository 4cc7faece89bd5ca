//! How many connections each client address has, so that one client can not take all the places of a listener.
//!
//! An IPv4 address counts whole, of an IPv6 address the first 64 bits: the rest is a household's own, which has as many as it likes.
//! Shared by all workers and asked once for a connection. An address is known only while it has connections, so that there are never
//! more of them than connections.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks that workers seldom meet at.
const SHARDS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    V4(u32),
    /// A /64.
    V6(u64),
}

impl Party {
    fn of(address: IpAddr) -> Party {
        match address.to_canonical() {
            IpAddr::V4(address) => Party::V4(address.to_bits()),
            IpAddr::V6(address) => Party::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Those of one listener.
#[derive(Debug, Default)]
pub struct Crowd {
    shards: [Mutex<HashMap<Party, u32>>; SHARDS],
    /// Random, so that nobody can choose addresses that meet in one shard.
    spread: RandomState,
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub struct Presence {
    crowd: Arc<Crowd>,
    party: Party,
}

impl Crowd {
    /// `None`: this address has `most` connections already.
    pub fn join(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Box<Presence>> {
        let party = Party::of(address);
        let mut shard = self.shard(party);
        let count = shard.entry(party).or_default();
        // Where it is refused there is an entry already: at least one is allowed.
        if *count >= most.max(1) {
            return None;
        }
        *count += 1;
        Some(Box::new(Presence { crowd: self.clone(), party }))
    }

    fn shard(&self, party: Party) -> MutexGuard<'_, HashMap<Party, u32>> {
        let at = self.spread.hash_one(party) as usize % SHARDS;
        // Numbers only: nothing in here can be left half-done by a panic.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut shard = self.crowd.shard(self.party);
        if let Entry::Occupied(mut count) = shard.entry(self.party) {
            match *count.get() {
                1 => drop(count.remove()),
                _ => *count.get_mut() -= 1,
            }
            // A map that had to be large once need not stay so.
            if shard.is_empty() && shard.capacity() > 1024 {
                shard.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn known(crowd: &Crowd) -> usize {
        crowd.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn each_address_has_its_own_places_and_is_forgotten_with_its_last() {
        let crowd = Arc::new(Crowd::default());
        let mut held: Vec<_> = (0..3).map(|_| crowd.join(ip("10.0.0.1"), 3).expect("a place")).collect();
        assert!(crowd.join(ip("10.0.0.1"), 3).is_none() && crowd.join(ip("::ffff:10.0.0.1"), 3).is_none());
        held.push(crowd.join(ip("10.0.0.2"), 3).expect("another one's place"));
        assert_eq!(known(&crowd), 2);
        held.remove(0);
        held.push(crowd.join(ip("10.0.0.1"), 3).expect("a place that came free"));
        drop(held);
        assert_eq!(known(&crowd), 0);
    }

    #[test]
    fn a_household_counts_as_one() {
        let crowd = Arc::new(Crowd::default());
        let _held = crowd.join(ip("2001:db8:1:2::1"), 1).expect("a place");
        assert!(crowd.join(ip("2001:db8:1:2:ffff::9"), 1).is_none());
        assert!(crowd.join(ip("2001:db8:1:3::1"), 1).is_some());
    }

    #[test]
    fn many_threads_never_hold_more_than_there_are() {
        let crowd = Arc::new(Crowd::default());
        let now = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let Some(_held) = crowd.join(ip("10.0.0.1"), 2) else { continue };
                        assert!(now.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2);
                        now.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(known(&crowd), 0);
    }
}
