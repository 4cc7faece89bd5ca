//! Which backend is next: one trait, one file per algorithm, one line per algorithm in `of`.
//!
//! A balancer sees an immutable, ordered set of backends with their live state, and a hint about the request. It returns an
//! index or nothing; it does not allocate and takes no lock, for it runs in the middle of every request.

#[cfg(test)]
mod conformance;
mod draw;
mod least_connections;
mod p2c;
mod round_robin;
mod turns;
mod weighted_round_robin;

use std::cmp::Ordering;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::backend::Backend;
use crate::config::model::Algorithm;

/// A new balancer for this set.
///
/// What it learns from is its own: its place in the cycle. So whoever builds a table keeps the old one wherever algorithm and set
/// are equal to the old, and nobody's turn is lost to a reload.
pub fn of(algorithm: Algorithm, set: &Set) -> Arc<dyn Balancer> {
    match algorithm {
        Algorithm::RoundRobin => Arc::new(round_robin::RoundRobin::of(set)),
        Algorithm::WeightedRoundRobin => Arc::new(weighted_round_robin::WeightedRoundRobin::of(set)),
        Algorithm::P2c => Arc::new(p2c::P2c::of(set)),
        Algorithm::LeastConnections => Arc::new(least_connections::LeastConnections::of(set)),
    }
}

/// Picks a backend. Shared by all workers, kept over reloads that leave its pool's shape alone.
pub trait Balancer: Send + Sync {
    /// An index into `set.members` that `is_eligible`, or `None` where there is none. `set` equals the one it was made for.
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize>;
}

/// The backends of a pool: immutable, in the order of the configuration, unavailable ones included.
/// Two are equal when they hold the same backends (not only the same addresses) with the same weights in the same order.
#[derive(Debug, PartialEq, Eq)]
pub struct Set {
    pub members: Box<[Member]>,
}

#[derive(Debug)]
pub struct Member {
    pub backend: Arc<Backend>,
    /// As configured; 0 takes no new requests.
    pub weight: u32,
    /// At most so many requests in flight, over all workers; `None`: as many as come.
    pub max_requests: Option<NonZeroU32>,
}

/// What a pick may know of the request.
pub struct Hint<'a> {
    /// Indexes that this request has tried already: never picked.
    pub tried: &'a [usize],
    /// The worker's own random state.
    pub random: &'a mut fastrand::Rng,
}

impl Set {
    /// Whether a pick may return this index: up, of weight above zero, with a slot to give, not tried already.
    pub fn is_eligible(&self, index: usize, tried: &[usize]) -> bool {
        self.members.get(index).is_some_and(|member| member.is_up() && !member.is_full()) && !tried.contains(&index)
    }

    /// Whether there is somebody who is up and only has no slot to give: where there is no pick, the reason is that all are full.
    /// Slots are not counted again: one may have come free since the pick that found none.
    pub fn is_limited(&self, tried: &[usize]) -> bool {
        self.members.iter().enumerate().any(|(at, member)| member.is_up() && member.max_requests.is_some() && !tried.contains(&at))
    }

    /// Whether there is somebody who is up, full or not, and not tried.
    pub fn is_there_another(&self, tried: &[usize]) -> bool {
        self.members.iter().enumerate().any(|(at, member)| member.is_up() && !tried.contains(&at))
    }

    fn eligible(&self, tried: &[usize]) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(|index| self.is_eligible(*index, tried))
    }
}

impl Member {
    /// Takes new requests, if it has a slot for them.
    fn is_up(&self) -> bool {
        self.weight > 0 && self.backend.is_available()
    }

    fn is_full(&self) -> bool {
        self.max_requests.is_some_and(|most| self.backend.in_flight() >= most.get())
    }

    /// Takes a slot: one request more is in flight, unless it was full by now.
    pub fn try_begin(&self) -> bool {
        match self.max_requests {
            Some(most) => self.backend.try_begin(most.get()),
            None => {
                self.backend.begin();
                true
            }
        }
    }

    /// What it carries now, measured by what it can carry.
    fn load(&self) -> Load {
        Load { in_flight: self.backend.in_flight(), weight: self.weight }
    }
}

// The limit is left out: it changes who is eligible, which balancers ask anew at each pick, and nothing that they are made of.
impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        Arc::ptr_eq(&self.backend, &other.backend) && self.weight == other.weight
    }
}

impl Eq for Member {}

/// Requests in flight by weight, as it was when it was read. Those in flight now are compared, not those after the pick: one
/// more on a light backend always looks worse than one more on a heavy one, and an idle pool of 3:1 would send 99 of 100 to
/// the heavy one.
#[derive(Debug, Clone, Copy)]
struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    fn compare(self, other: Load) -> Ordering {
        // Multiplied crosswise: exact, and no division. 32 bits by 32 bits fit.
        (u64::from(self.in_flight) * u64::from(other.weight)).cmp(&(u64::from(other.in_flight) * u64::from(self.weight)))
    }
}
