//! What the hashing algorithms share: how two numbers are mixed, how a load is bounded, and who is next when a table has no answer.
//!
//! A pool's tables hold every configured backend, up or not. Who may not be picked is passed over, so that nothing moves but the keys
//! of those that are out, and these come home when their backend does.
//!
//! With `hash.bound = c` a backend with c times its share of the load is passed over as well, so that one hot key does not sink
//! the backend that it hashes to; keys behind it overflow to the next in their order, the same ones each time. The bound of each is
//! c x (requests in flight + 1) x its share, rounded up; as all bounds add up to more than all requests, there is always one below
//! its own (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). To know the total, a pick
//! under a bound looks at every backend; without a bound it does not.

use super::Member;
use super::candidates::Candidates;

/// Two numbers of 64 evenly spread bits into one: the finaliser of SplitMix64 over their sum without carry.
#[inline]
pub(super) fn mix(key: u64, with: u64) -> u64 {
    let mut bits = key ^ with;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How much each may carry.
pub(super) struct Bound {
    /// In flight, a member stays below this for each unit of its weight; infinite where there is no bound.
    per_weight: f64,
}

impl Bound {
    pub(super) fn of(candidates: &Candidates<'_>) -> Bound {
        let per_weight = candidates.bound().map(|(factor, weight, in_flight)| factor * (in_flight + 1) as f64 / weight.max(1) as f64);
        Bound { per_weight: per_weight.unwrap_or(f64::INFINITY) }
    }

    /// Whether it can take one more. A whole number stays below the bound rounded up where it is below the bound.
    #[inline]
    pub(super) fn allows(&self, member: &Member) -> bool {
        f64::from(member.backend.in_flight()) < self.per_weight * f64::from(member.weight)
    }
}

/// Where a number of 64 evenly spread bits stands between 0 and 1, both excluded: the middle of one of 2^52 steps, which a float
/// holds exactly.
#[inline]
pub(super) fn fraction(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

#[cfg(test)]
pub(super) mod tests;
