//! Least connections: the backend with the fewest requests in flight for its weight; among equals, smooth weighted turns.
//!
//! Every backend is looked at for every request, so this grows with the pool; `p2c` does not. Ties are the rule, not the exception:
//! an idle pool is all ties, and without turns its first backend would get everything.

use std::cmp::Ordering;

use super::draw::draw_from;
use super::turns::Turns;
use super::{Balancer, Hint, Load, Set};

pub(super) struct LeastConnections {
    turns: Turns,
}

impl LeastConnections {
    pub(super) fn of(set: &Set) -> LeastConnections {
        LeastConnections { turns: Turns::of(set) }
    }
}

impl Balancer for LeastConnections {
    fn pick(&self, set: &Set, hint: &mut Hint<'_>) -> Option<usize> {
        let tried = hint.tried;
        let mut least: Option<(usize, Load)> = None;
        let mut tied = false;
        for index in set.eligible(tried) {
            let load = set.members[index].load();
            match least.map_or(Ordering::Less, |(_, least)| load.compare(least)) {
                Ordering::Less => (least, tied) = (Some((index, load)), false),
                Ordering::Equal => tied = true,
                Ordering::Greater => {}
            }
        }
        let (first, least) = least?;
        if !tied {
            return Some(first);
        }
        // Loads move meanwhile; who has become lighter still may go.
        let may = |index: usize| set.is_eligible(index, tried) && set.members[index].load().compare(least) != Ordering::Greater;
        let turn = self.turns.next(hint.random, may);
        let equals = (0..set.members.len()).filter(|index| may(*index)).map(|index| (index, set.members[index].weight));
        turn.or_else(|| draw_from(equals, hint.random)).or(Some(first))
    }
}
