//! Which backend is next: one trait, one file per algorithm, one line per algorithm in `of`.
//!
//! A balancer sees an immutable, ordered set of backends with their live state, and a hint about the request. It returns an
//! index or nothing; it does not allocate and takes no lock, for it runs in the middle of every request.

use std::sync::Arc;

use crate::backend::Backend;

/// The backends of a pool: immutable, in the order of the configuration, unavailable ones included.
pub struct Set {
    pub members: Box<[Member]>,
}

pub struct Member {
    pub backend: Arc<Backend>,
    /// As configured; 0 takes no new requests.
    pub weight: u32,
}

impl Set {
    /// Whether a pick may return this index: up, of weight above zero, not tried already.
    pub fn is_eligible(&self, index: usize, hint: &Hint<'_>) -> bool {
        let member = &self.members[index];
        member.weight > 0 && member.backend.is_available() && !hint.tried.contains(&index)
    }
}

/// What a pick may know of the request.
pub struct Hint<'a> {
    /// Indexes that this request has tried already: never picked.
    pub tried: &'a [usize],
    /// The worker's own random state.
    pub random: &'a mut fastrand::Rng,
}

/// Picks a backend. Shared by all workers, kept over reloads that leave its pool's shape alone.
pub trait Balancer: Send + Sync {
    /// An index into `set.members` that `is_eligible`, or `None` where there is none.
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize>;
}
