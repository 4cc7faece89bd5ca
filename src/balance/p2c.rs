//! Power of two choices: of two backends drawn by weight, the one that carries less for its weight.
//!
//! Two draws are enough to keep the longest queue short, and since no two workers draw the same pair, they do not all run to the
//! backend that looks best at the moment, as a full scan makes them do. Ties go to the first drawn: an idle pool is shared by weight.
//! A backend in slow start is drawn again unless its ramp admits the request, and carries as much of its weight.
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.

use std::cmp::Ordering;

use super::candidates::Candidates;
use super::draw::Weighted;
use super::{Balancer, Hint, Set};

pub(super) struct P2c {
    weighted: Weighted,
}

impl P2c {
    pub(super) fn of(set: &Set) -> P2c {
        P2c { weighted: Weighted::of(set) }
    }
}

impl Balancer for P2c {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let first = self.weighted.draw(candidates, hint.random, None)?;
        let Some(second) = self.weighted.draw(candidates, hint.random, Some(first)) else { return Some(first) };
        let loads = [first, second].map(|index| Load::of(candidates, index));
        Some(if loads[1].compare(loads[0]) == Ordering::Less { second } else { first })
    }
}

/// Requests in flight by weight, as it was when it was read. Those in flight now are compared, not those after the pick: one
/// more on a light backend always looks worse than one more on a heavy one, and an idle pool of 3:1 would send 99 of 100 to
/// the heavy one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    in_flight: u32,
    /// In 1,024ths.
    weight: u64,
}

impl Load {
    pub(super) fn of(candidates: &Candidates<'_>, index: usize) -> Load {
        Load { in_flight: candidates.member(index).backend.in_flight(), weight: candidates.weight(index) }
    }

    pub(super) fn compare(self, other: Load) -> Ordering {
        // Multiplied crosswise: exact, and no division. 32 bits by 30 bits fit.
        (u64::from(self.in_flight) * other.weight).cmp(&(u64::from(other.in_flight) * self.weight))
    }
}
