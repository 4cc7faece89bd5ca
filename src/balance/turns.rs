//! Taking turns without a lock: a cycle made beforehand, and a cursor that all workers move.
//!
//! The incumbent's smooth weighted round robin keeps a running weight per backend, and so a lock. Its order is a cycle of
//! sum(weights / their common divisor) turns, though, and can be written down when the table is built: then a pick is one
//! `fetch_add`. A turn whose backend may not be picked is passed over by taking the next one from the cursor, not by handing it to
//! the neighbour: every turn is given to one pick, so the shares of the others stay in proportion whatever is out.
//!
//! A cycle of more than `SLOTS_MAX` turns (weights like 1,000,000 and 999,999) is not written down whole. Each backend gets the
//! whole turns that its share of the cycle comes to; what is left of all of them together makes open turns, and who has an open
//! turn is drawn by those remainders. So shares are exact at any weights, and the order is smooth but for the open turns.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Set;
use super::draw::Draw;

/// How many turns one pick takes from a cycle before it looks for itself: what an outage of most of a large pool may cost.
pub(super) const TURNS_MAX: usize = 32;

/// A quarter of a MiB per pool.
const SLOTS_MAX: u64 = 1 << 16;
/// Making a cycle takes its length times the number of different weights in steps; this many are some ten milliseconds.
const STEPS_MAX: u64 = 1 << 23;

/// A place in a cycle. On a cache line of its own: it is written at every pick, and what is around it is only read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Cursor(AtomicU64);

impl Cursor {
    /// Takes turns from a cycle of this length, one at each `next`. Without end, but for the empty cycle.
    pub(super) fn turns(&self, length: usize) -> impl Iterator<Item = usize> {
        // Relaxed: that no turn is given twice is all that is asked. 64 bits do not come round.
        std::iter::from_fn(move || self.0.fetch_add(1, Ordering::Relaxed).checked_rem(length as u64)).map(|at| at as usize)
    }
}

/// Smooth weighted turns over a set.
#[derive(Debug)]
pub(super) struct Turns {
    cursor: Cursor,
    /// Indexes of members, or `OPEN`.
    slots: Box<[u32]>,
    open: Draw,
}

const OPEN: u32 = u32::MAX;

impl Turns {
    pub(super) fn of(set: &Set) -> Turns {
        let weights: Vec<u64> = set.members.iter().map(|member| u64::from(member.weight)).collect();
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
        let total = weights.iter().sum::<u64>() / divisor;
        let mut different = weights.clone();
        different.sort_unstable();
        different.dedup();
        let length = total.min(SLOTS_MAX).min(STEPS_MAX / different.len().max(1) as u64);

        let share = |weight: &u64| weight / divisor * length;
        let whole: Vec<u64> = weights.iter().map(|weight| share(weight).checked_div(total).unwrap_or(0)).collect();
        let open = Draw::of(weights.iter().map(|weight| share(weight).checked_rem(total).unwrap_or(0)));
        Turns { cursor: Cursor::default(), slots: smooth(&whole, length - whole.iter().sum::<u64>()), open }
    }

    /// The next member whose turn it is and who may take it; `None`: there is none, or none near.
    pub(super) fn next(&self, random: &mut fastrand::Rng, may: impl Fn(usize) -> bool) -> Option<usize> {
        self.cursor
            .turns(self.slots.len())
            .take(TURNS_MAX)
            .filter_map(|at| if self.slots[at] == OPEN { self.open.draw(random) } else { Some(self.slots[at] as usize) })
            .find(|index| may(*index))
    }
}

/// One cycle in which each index has its number of turns, spread as nginx spreads them: at each turn all gain their weight, the one
/// with the most goes and pays the sum of all. Among equals the first goes. Indexes of the same weight go in order, round after
/// round; so one of each weight stands for all.
fn smooth(turns: &[u64], open: u64) -> Box<[u32]> {
    struct Class {
        weight: i64,
        members: Vec<u32>,
        /// Whose turn it is next, and what that one has.
        next: usize,
        has: i64,
    }
    let members = turns.iter().copied().zip(0u32..).chain([(open, OPEN)]);
    let mut by_weight = BTreeMap::<u64, Vec<u32>>::new();
    for (weight, index) in members.filter(|(weight, _)| *weight > 0) {
        by_weight.entry(weight).or_default().push(index);
    }
    let mut classes: Vec<Class> =
        by_weight.into_iter().map(|(weight, members)| Class { weight: weight as i64, members, next: 0, has: 0 }).collect();
    let total: i64 = turns.iter().sum::<u64>() as i64 + open as i64;
    let mut slots = Vec::with_capacity(total as usize);
    for _ in 0..total {
        for class in &mut classes {
            class.has += class.weight;
        }
        let Some(class) = classes.iter_mut().max_by_key(|class| (class.has, Reverse(class.members[class.next]))) else { break };
        slots.push(class.members[class.next]);
        class.next += 1;
        if class.next == class.members.len() {
            // The round is over: all of them have paid.
            class.next = 0;
            class.has -= total;
        }
    }
    slots.into()
}

pub(super) fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::Backend;
    use crate::balance::Member;

    /// As the incumbent does it: one running weight per backend.
    fn reference(weights: &[u64]) -> Vec<u32> {
        let total = weights.iter().sum::<u64>() as i64;
        let mut has = vec![0i64; weights.len()];
        let turn = |_| {
            has.iter_mut().zip(weights).for_each(|(has, weight)| *has += *weight as i64);
            let most = (0..has.len()).max_by_key(|at| (has[*at], Reverse(*at))).expect("there are weights");
            has[most] -= total;
            most as u32
        };
        (0..total).map(turn).collect()
    }

    #[test]
    fn turns_come_in_the_order_of_the_incumbent() {
        for (weights, expected) in [
            (&[5, 1, 1][..], &[0, 0, 1, 0, 2, 0, 0][..]),
            (&[4, 2, 1], &[0, 1, 0, 2, 0, 1, 0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[3, 3, 1], &[0, 1, 2, 0, 1, 0, 1]),
            (&[0, 1, 0], &[1]),
            (&[], &[]),
        ] {
            assert_eq!(&*smooth(weights, 0), expected, "weights {weights:?}");
        }
    }

    #[test]
    fn a_cycle_too_long_to_write_down_is_whole_turns_and_a_few_open_ones() {
        let member = |weight| Member { weight, ..Member::plain(Arc::new(Backend::new(([127, 0, 0, 1], 80).into()))) };
        let turns = Turns::of(&Set::new([1_000_000, 999_999, 1].map(member)));
        let count = |index| turns.slots.iter().filter(|slot| **slot == index).count();
        assert_eq!(turns.slots.len(), 65_536);
        // Of 65,536 turns the shares are 32,768, 32,767.97 and 0.03.
        assert_eq!([count(0), count(1), count(2), count(OPEN)], [32_768, 32_767, 0, 1]);
        // So of 10,000 open turns the last has 328, give or take four standard deviations of 18.
        let random = &mut fastrand::Rng::with_seed(1);
        let drawn = (0..10_000).filter(|_| turns.open.draw(random) == Some(2)).count();
        assert!((256..400).contains(&drawn), "{drawn}");
    }

    proptest! {
        #[test]
        fn classes_of_equal_weight_change_nothing(weights in proptest::collection::vec(1u64..8, 1..12)) {
            prop_assert_eq!(smooth(&weights, 0).to_vec(), reference(&weights));
        }
    }
}
