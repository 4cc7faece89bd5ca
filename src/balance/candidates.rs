//! Who may be picked, for one pick: those that are eligible, less those whose slow start declines this request.
//!
//! Slow start is a lottery that every algorithm plays alike. While a backend ramps, each pick draws once; a backend at 10 % is a
//! candidate for one pick in ten, and for the other nine it does not exist. So turns are declined, draws are drawn again, and scans
//! pass over it, and it gets about that part of what would be its share, or of what the others get. Where loads are compared, its weight is
//! scaled down as well: a backend that is chosen because it has nothing to do would take every request that it is a candidate for.
//!
//! Under hashing the lot is no draw but the request's key: a backend at 10 % admits the tenth of its keys that hash lowest with it, always
//! the same ones and more as it rises, so that every key moves once.

use std::time::{Duration, Instant};

use super::hashing::mix;
use super::{Member, Set};
use crate::backend::Crew;
use crate::backend::ramp::WHOLE;

/// The bits of a share of `WHOLE`.
const SHARE_BITS: u32 = WHOLE.trailing_zeros();

/// Keeps the lottery apart from the scores of `rendezvous`, which mix the same numbers: a key that a backend would win must not be one
/// that it is sure to decline. Any number does.
const APART: u64 = 0x5851_f42d_4c95_7f2d;

pub struct Candidates<'a> {
    set: &'a Set,
    tried: &'a [usize],
    /// `None`: backups and others alike.
    tier: Option<Tier>,
    /// `None`: nobody ramps, or it is not asked.
    ramps: Option<Ramps>,
}

/// Who stands in, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Primaries,
    Backups,
}

#[derive(Clone, Copy)]
struct Ramps {
    lot: u64,
    now: Instant,
    duration: Duration,
}

impl<'a> Candidates<'a> {
    /// Whoever is eligible, ramping or not.
    #[inline]
    pub(super) fn all(set: &'a Set, tried: &'a [usize]) -> Candidates<'a> {
        Candidates { set, tried, tier: None, ramps: None }
    }

    /// Of these, the ones whose ramp admits this request.
    pub(super) fn admitted(self, lot: u64, now: Instant, duration: Duration) -> Candidates<'a> {
        Candidates { ramps: Some(Ramps { lot, now, duration }), ..self }
    }

    /// Of these, the ones of a tier.
    pub(super) fn of_tier(&self, tier: Tier) -> Candidates<'a> {
        Candidates { tier: Some(tier), ..*self }
    }

    /// What `choose` makes of them; where that is nothing, of all of them, whatever their ramps say: where all that are up
    /// ramp at once, one of them has to do it.
    pub(super) fn or_all(&self, mut choose: impl FnMut(&Candidates<'a>) -> Option<usize>) -> Option<usize> {
        let chosen = choose(self);
        if chosen.is_some() || self.ramps.is_none() {
            return chosen;
        }
        choose(&Candidates { ramps: None, ..*self })
    }

    /// Whether this one may be picked.
    #[inline]
    pub(super) fn may(&self, index: usize) -> bool {
        self.is_eligible(index) && self.ramps.as_ref().is_none_or(|ramps| ramps.admit(&self.set.members[index]))
    }

    #[inline]
    fn is_eligible(&self, index: usize) -> bool {
        self.set.is_eligible(index, self.tried) && self.tier.is_none_or(|tier| Tier::of(&self.set.members[index]) == tier)
    }

    /// All that may, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|index| self.may(*index))
    }

    /// How many there are, whether they may or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.set.members.len()
    }

    #[inline]
    pub(super) fn member(&self, index: usize) -> &'a Member {
        &self.set.members[index]
    }

    /// Its weight in 1,024ths, as far as its ramp goes.
    #[inline]
    pub(super) fn weight(&self, index: usize) -> u64 {
        let member = self.member(index);
        let share = self.ramps.as_ref().map_or(WHOLE, |ramps| member.backend.ramp(ramps.now, ramps.duration));
        u64::from(member.weight) * u64::from(share)
    }

    /// How long the queue at it is with one request more, as a multiple of that request alone: those before it count as far as they
    /// share its strength. `mean_weight`: what makes equal weights 1.
    #[inline]
    pub(super) fn queue(&self, index: usize, mean_weight: f32) -> f32 {
        let weight = self.weight(index) as f32 / WHOLE as f32;
        1.0 + self.member(index).backend.in_flight() as f32 * mean_weight / weight
    }

    /// What all of the pool have in common; `None`: there is nobody.
    pub(super) fn crew(&self) -> Option<&'a Crew> {
        self.set.members.first().map(|member| &**member.backend.crew())
    }

    /// Where the load of each is bounded, what that bound is made of: the factor, and what all of them weigh and carry.
    /// The ramp does not count here: it decides who takes new keys, not how much anybody can bear.
    pub(super) fn bound(&self) -> Option<(f64, u64, u64)> {
        let bound = self.set.bound?;
        let eligible = (0..self.len()).filter(|index| self.is_eligible(*index)).map(|index| self.member(index));
        let sum = |(weight, in_flight): (u64, u64), member: &Member| {
            (weight + u64::from(member.weight), in_flight + u64::from(member.backend.in_flight()))
        };
        let (weight, in_flight) = eligible.fold((0, 0), sum);
        Some((bound, weight, in_flight))
    }
}

impl Tier {
    pub(super) fn of(member: &Member) -> Tier {
        if member.backup { Tier::Backups } else { Tier::Primaries }
    }
}

impl Ramps {
    fn admit(&self, member: &Member) -> bool {
        let share = member.backend.ramp(self.now, self.duration);
        share == WHOLE || (mix(self.lot ^ APART, member.backend.identity) >> (u64::BITS - SHARE_BITS)) < u64::from(share)
    }
}
