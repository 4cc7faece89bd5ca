//! Which backend is next: one trait, one file per algorithm, one line per algorithm in `of`.
//!
//! A balancer sees an immutable, ordered set of backends with their live state, and a hint about the request. It returns an
//! index or nothing; it does not allocate and takes no lock, for it runs in the middle of every request.
//!
//! An algorithm chooses among `Candidates`, who know which backends may be picked. What is the same for all of them stands around it,
//! once: slow start in `candidates`, backups in `backups`, what hashing needs in `hashing`.

mod backups;
mod candidates;
#[cfg(test)]
mod conformance;
mod consistent_hash;
mod draw;
mod first;
mod hashing;
mod least_connections;
mod least_time;
mod maglev;
mod p2c;
mod peak_ewma;
mod random;
mod rendezvous;
mod round_robin;
mod scan;
#[cfg(test)]
mod simulation;
mod turns;
mod weighted_round_robin;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candidates::Candidates;

use crate::backend::Backend;
use crate::config::model::Algorithm;

/// A new balancer for this set.
///
/// What it learns from is its own: its place in the cycle. So whoever builds a table keeps the old one wherever algorithm and set
/// are equal to the old, and nobody's turn is lost to a reload. What was learned of a backend stays with the backend.
pub fn of(algorithm: Algorithm, set: &Set) -> Arc<dyn Balancer> {
    if let Some(tiers) = backups::Backups::of(algorithm, set) {
        return Arc::new(tiers);
    }
    match algorithm {
        Algorithm::RoundRobin => Arc::new(round_robin::RoundRobin::of(set)),
        Algorithm::WeightedRoundRobin => Arc::new(weighted_round_robin::WeightedRoundRobin::of(set)),
        Algorithm::Random => Arc::new(random::Random::of(set)),
        Algorithm::P2c => Arc::new(p2c::P2c::of(set)),
        Algorithm::LeastConnections => Arc::new(least_connections::LeastConnections::of(set)),
        Algorithm::LeastTime => Arc::new(least_time::LeastTime::of(set)),
        Algorithm::PeakEwma => Arc::new(peak_ewma::PeakEwma::of(set)),
        // The same algorithm: what is hashed is the difference, and that is the hint's.
        Algorithm::IpHash | Algorithm::Rendezvous => Arc::new(rendezvous::Rendezvous::of(set)),
        Algorithm::ConsistentHash => Arc::new(consistent_hash::ConsistentHash::of(set)),
        Algorithm::Maglev => Arc::new(maglev::Maglev::of(set)),
        Algorithm::First => Arc::new(first::First),
    }
}

/// Picks a backend. Shared by all workers, kept over reloads that leave its pool's shape alone.
pub trait Balancer: Send + Sync {
    /// The algorithm: an index that the candidates say may be picked, or `None` where there is none.
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize>;

    /// An index into `set.members` that `is_eligible`, or `None` where there is none. `set` equals the one it was made for.
    #[inline]
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize> {
        let all = Candidates::all(set, hint.tried);
        if let Some(duration) = set.slow_start
            && set.is_ramping(hint.now, duration)
        {
            // Without a key, chance; a key of exactly 0 is one of 2^64.
            let lot = if hint.key == 0 { hint.random.u64(..) } else { hint.key };
            return all.admitted(lot, hint.now, duration).or_all(|candidates| self.choose(candidates, hint));
        }
        self.choose(&all, hint)
    }
}

/// The backends of a pool: immutable, in the order of the configuration, unavailable ones included.
/// Two are equal when they hold the same backends (not only the same addresses) with the same weights in the same order.
#[derive(Debug, PartialEq)]
pub struct Set {
    pub members: Box<[Member]>,
    /// How long a backend that joins or comes back takes to its full share; `None`: no time.
    pub slow_start: Option<Duration>,
    /// Under hashing, how many times its share of the load a backend may carry, 1 or more; `None`: any load.
    pub bound: Option<f64>,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub backend: Arc<Backend>,
    /// As configured; 0 takes no new requests.
    pub weight: u32,
    /// At most so many requests in flight, over all workers; `None`: as many as come.
    pub max_requests: Option<NonZeroU32>,
    /// Picked only when no other may be.
    pub backup: bool,
}

/// What a pick may know of the request.
pub struct Hint<'a> {
    /// Indexes that this request has tried already: never picked.
    pub tried: &'a [usize],
    /// What the hashing algorithms go by, evenly spread over all 64 bits; 0 under the others, who do not ask.
    pub key: u64,
    /// When it is, give or take: for averages that fade and for slow start.
    pub now: Instant,
    /// The worker's own random state.
    pub random: &'a mut fastrand::Rng,
}

impl Set {
    /// Without slow start and bound.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Set {
        Set { members: members.into_iter().collect(), slow_start: None, bound: None }
    }

    /// Whether a pick may return this index: up, of weight above zero, with a slot to give, not tried already.
    #[inline]
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

    /// All of one pool are of one crew.
    fn is_ramping(&self, now: Instant, duration: Duration) -> bool {
        self.members.first().is_some_and(|member| member.backend.crew().is_ramping(now, duration))
    }

    /// What the average member with a weight has.
    fn mean_weight(&self) -> f32 {
        let weighted = self.members.iter().filter(|member| member.weight > 0);
        let (count, total) = weighted.fold((0u32, 0u64), |(count, total), member| (count + 1, total + u64::from(member.weight)));
        if count == 0 { 1.0 } else { (total as f64 / f64::from(count)) as f32 }
    }
}

impl Member {
    /// Weight 1, no limit, no backup.
    pub fn plain(backend: Arc<Backend>) -> Member {
        Member { backend, weight: 1, max_requests: None, backup: false }
    }

    /// Takes new requests, if it has a slot for them.
    pub fn is_up(&self) -> bool {
        self.weight > 0 && self.backend.is_available()
    }

    fn is_full(&self) -> bool {
        self.max_requests.is_some_and(|most| self.backend.in_flight() >= most.get())
    }

    /// Takes a slot: one request more is in flight, unless it was full by now, or on trial and somebody else had it.
    pub fn try_begin(&self) -> bool {
        let begun = match self.max_requests {
            Some(most) => self.backend.try_begin(most.get()),
            None => {
                self.backend.begin();
                true
            }
        };
        if begun && !self.backend.claim() {
            self.backend.end();
            return false;
        }
        begun
    }
}

// The limit is left out: it changes who is eligible, which balancers ask anew at each pick, and nothing that they are made of.
impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        Arc::ptr_eq(&self.backend, &other.backend) && self.weight == other.weight && self.backup == other.backup
    }
}
