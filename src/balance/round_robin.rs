//! Round robin: one after the other, all workers together. Weights are ignored, but for 0.
//!
//! A backend in slow start declines its turn unless its ramp admits the request; the next one takes it.

use super::candidates::Candidates;
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
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let turn = self.cursor.turns(candidates.len()).take(TURNS_MAX).find(|index| candidates.may(*index));
        turn.or_else(|| draw_from(candidates.iter().map(|index| (index, 1)), hint.random))
    }
}
