//! Rendezvous, or highest random weight: every backend gets a score from the key, and the highest wins. It serves `rendezvous` and,
//! with the client's address as the key, `ip_hash`.
//!
//! It needs no table and is exact: shares follow the weights, and a backend that goes or comes moves its own keys and no others. The
//! price is a look at every backend for every request; `maglev` and `consistent_hash` do not pay it.
//!
//! The score is -weight / ln(u), u being the mix of key and identity as a fraction. It is compared as -ln(u) / weight, the
//! lower the better, and -ln(u) is no less than 1 - u: so the logarithm is taken only for the few that could win. It is taken in
//! software: the same key goes to the same backend from every machine.
//! Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; weights as in Schindelhauer and Schomaker,
//! "Weighted Distributed Hash Tables", 2005.
//!
//! A backend in slow start takes part for those keys that its ramp admits.

use super::candidates::Candidates;
use super::hashing::{Bound, fraction, mix};
use super::{Balancer, Hint, Member, Set};

/// The members of a set side by side, so that a scan does not run after their backends.
pub(super) struct Rendezvous {
    entries: Box<[Entry]>,
}

struct Entry {
    identity: u64,
    weight: f64,
    index: usize,
}

impl Rendezvous {
    pub(super) fn of(set: &Set) -> Rendezvous {
        let weighted = set.members.iter().enumerate().filter(|(_, member)| member.weight > 0);
        let entry = |(index, Member { backend, weight, .. }): (usize, &Member)| Entry {
            identity: backend.identity,
            weight: f64::from(*weight),
            index,
        };
        Rendezvous { entries: weighted.map(entry).collect() }
    }

    /// The winner among those that `may`.
    pub(super) fn winner(&self, key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = f64::INFINITY;
        let mut winner = None;
        for Entry { identity, weight, index } in &self.entries {
            let fraction = fraction(mix(key, *identity));
            if 1.0 - fraction >= best * weight || !may(*index) {
                continue;
            }
            let score = -libm::log(fraction) / weight;
            if score < best {
                (best, winner) = (score, Some(*index));
            }
        }
        winner
    }

    /// The winner that may be picked: within the bound, or if a race has left nobody within it, whoever it is.
    pub(super) fn pick(&self, key: u64, candidates: &Candidates<'_>, bound: &Bound) -> Option<usize> {
        let bounded = self.winner(key, |index| candidates.may(index) && bound.allows(candidates.member(index)));
        bounded.or_else(|| self.winner(key, |index| candidates.may(index)))
    }
}

impl Balancer for Rendezvous {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        self.pick(hint.key, candidates, &Bound::of(candidates))
    }
}
