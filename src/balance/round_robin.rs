//! Round robin: one after the other, all workers together. Weights are ignored, but for 0.

use super::draw::draw_from;
use super::turns::{Cursor, TURNS_MAX};
use super::{Balancer, Hint, Set};

pub(super) struct RoundRobin {
    cursor: Cursor,
}

impl RoundRobin {
    pub(super) fn of(_: &Set) -> RoundRobin {
        RoundRobin { cursor: Cursor::default() }
    }
}

impl Balancer for RoundRobin {
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize> {
        let tried = hint.tried;
        let turn = self.cursor.turns(set.members.len()).take(TURNS_MAX).find(|index| set.is_eligible(*index, tried));
        turn.or_else(|| draw_from(set.eligible(tried).map(|index| (index, 1)), hint.random))
    }
}
