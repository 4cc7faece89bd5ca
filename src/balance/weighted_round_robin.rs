//! Smooth weighted round robin: turns in proportion to the weights and never bunched; 5, 1, 1 gives a a b a c a a.
//!
//! How that is done without a lock, what happens to turns of backends that are out and what becomes of huge weights is told in `turns`.

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
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize> {
        let tried = hint.tried;
        let turn = self.turns.next(hint.random, |index| set.is_eligible(index, tried));
        turn.or_else(|| draw_from(set.eligible(tried).map(|index| (index, set.members[index].weight)), hint.random))
    }
}
