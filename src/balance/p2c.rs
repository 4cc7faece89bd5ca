//! Power of two choices: of two backends drawn by weight, the one that carries less for its weight.
//!
//! Two draws are enough to keep the longest queue short, and since no two workers draw the same pair, they do not all run to the
//! backend that looks best at the moment, as a full scan makes them do. Ties go to the first drawn: an idle pool is shared by weight.
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.

use std::cmp::Ordering;

use super::draw::{Draw, draw_from};
use super::{Balancer, Hint, Set};

/// Draws from the table before those that are left are counted one by one: enough for all but pools that are mostly out, or have
/// one member that outweighs the rest.
const TABLE_DRAWS: usize = 6;

pub(super) struct P2c {
    /// Over all members. A draw that may not be picked is drawn again, which leaves the shares of the others as they are.
    table: Draw,
}

impl P2c {
    pub(super) fn of(set: &Set) -> P2c {
        P2c { table: Draw::of(set.members.iter().map(|member| u64::from(member.weight))) }
    }

    fn draw(&self, set: &Set, hint: &mut Hint<'_>, other_than: Option<usize>) -> Option<usize> {
        let tried = hint.tried;
        let may = |index: usize| Some(index) != other_than && set.is_eligible(index, tried);
        for _ in 0..TABLE_DRAWS {
            match self.table.draw(hint.random) {
                Some(index) if may(index) => return Some(index),
                Some(_) => {}
                None => return None,
            }
        }
        let left = (0..set.members.len()).filter(|index| may(*index));
        draw_from(left.map(|index| (index, set.members[index].weight)), hint.random)
    }
}

impl Balancer for P2c {
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize> {
        let first = self.draw(set, hint, None)?;
        let Some(second) = self.draw(set, hint, Some(first)) else { return Some(first) };
        let loads = [first, second].map(|index| set.members[index].load());
        Some(if loads[1].compare(loads[0]) == Ordering::Less { second } else { first })
    }
}
