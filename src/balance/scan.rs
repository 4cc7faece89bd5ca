//! The least of all: a look at every candidate, and smooth weighted turns among those that are equally good.
//!
//! Ties are the rule, not the exception: an idle pool is all ties, and without turns its first backend would get everything.

use std::cmp::Ordering;

use super::candidates::Candidates;
use super::draw::draw_from;
use super::turns::Turns;
use super::{Hint, Set};

pub(super) struct Scan {
    turns: Turns,
}

impl Scan {
    pub(super) fn of(set: &Set) -> Scan {
        Scan { turns: Turns::of(set) }
    }

    /// Whose turn it is, whatever it costs.
    pub(super) fn turn(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        self.turns.next(hint.random, |index| candidates.may(index))
    }

    /// `cost`: what the candidate at an index would cost now; its answer may change from one moment to the next.
    #[inline]
    pub(super) fn least<T: Copy>(
        &self,
        candidates: &Candidates<'_>,
        hint: &mut Hint<'_>,
        cost: impl Fn(usize) -> T,
        compare: impl Fn(T, T) -> Ordering,
    ) -> Option<usize> {
        let mut least: Option<(usize, T)> = None;
        let mut tied = false;
        for index in candidates.iter() {
            let this = cost(index);
            match least.map_or(Ordering::Less, |(_, least)| compare(this, least)) {
                Ordering::Less => (least, tied) = (Some((index, this)), false),
                Ordering::Equal => tied = true,
                Ordering::Greater => {}
            }
        }
        let (first, least) = least?;
        if !tied {
            return Some(first);
        }
        // Costs move meanwhile; who has become lighter still may go.
        let may = |index: usize| candidates.may(index) && compare(cost(index), least) != Ordering::Greater;
        let turn = self.turns.next(hint.random, may);
        let equals = (0..candidates.len()).filter(|index| may(*index)).map(|index| (index, candidates.member(index).weight));
        turn.or_else(|| draw_from(equals, hint.random)).or(Some(first))
    }
}
