//! Random: a draw by weight, and no look at anything else.
//!
//! In constant time, and without a place in a cycle that workers would have to share. Over many requests shares are exact; over few
//! they are not: of 100 requests to ten backends, some get 5 and some get 16. Source: Vose 1991, for the table (`draw`).
//! A backend in slow start is drawn again unless its ramp admits the request.

use super::candidates::Candidates;
use super::draw::Weighted;
use super::{Balancer, Hint, Set};

pub(super) struct Random {
    weighted: Weighted,
}

impl Random {
    pub(super) fn of(set: &Set) -> Random {
        Random { weighted: Weighted::of(set) }
    }
}

impl Balancer for Random {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        self.weighted.draw(candidates, hint.random, None)
    }
}
