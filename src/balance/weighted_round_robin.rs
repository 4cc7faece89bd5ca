//! Smooth weighted round robin: turns in proportion to the weights and never bunched; 5, 1, 1 gives a a b a c a a.
//!
//! How that is done without a lock, what happens to turns of backends that are out and what becomes of huge weights is told in `turns`.
//! A backend in slow start declines its turn unless its ramp admits the request; the next one takes it.

use super::candidates::Candidates;
use super::draw::draw_from;
use super::turns::Turns;
use super::{Balancer, Hint, Set};

pub(super) struct WeightedRoundRobin {
    turns: Turns,
}

impl WeightedRoundRobin {
    pub(super) fn of(set: &Set) -> WeightedRoundRobin {
        WeightedRoundRobin { turns: Turns::of(set) }
    }
}

impl Balancer for WeightedRoundRobin {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let turn = self.turns.next(hint.random, |index| candidates.may(index));
        turn.or_else(|| draw_from(candidates.iter().map(|index| (index, candidates.member(index).weight)), hint.random))
    }
}
