//! Drawing by weight: in constant time from a table, or exactly from whoever is left.

use super::Set;
use super::candidates::Candidates;

/// Draws from the table before those that are left are counted one by one: enough for all but pools that are mostly out, or have
/// one member that outweighs the rest.
const TABLE_DRAWS: usize = 6;

/// Draws candidates by weight.
pub(super) struct Weighted {
    /// Over all members. A draw that may not be picked is drawn again, which leaves the shares of the others as they are.
    table: Draw,
}

impl Weighted {
    pub(super) fn of(set: &Set) -> Weighted {
        Weighted { table: Draw::of(set.members.iter().map(|member| u64::from(member.weight))) }
    }

    pub(super) fn draw(&self, candidates: &Candidates<'_>, random: &mut fastrand::Rng, other_than: Option<usize>) -> Option<usize> {
        let may = |index: usize| Some(index) != other_than && candidates.may(index);
        for _ in 0..TABLE_DRAWS {
            match self.table.draw(random) {
                Some(index) if may(index) => return Some(index),
                Some(_) => {}
                None => return None,
            }
        }
        let left = (0..candidates.len()).filter(|index| may(*index));
        draw_from(left.map(|index| (index, candidates.member(index).weight)), random)
    }
}

/// Draws an index with a chance in proportion to its weight, in constant time: an alias table, built by Vose's method in whole
/// numbers, so that no share is rounded (Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", 1991).
#[derive(Debug)]
pub(super) struct Draw {
    slots: Box<[Slot]>,
    /// Sum of the weights; 0: there is nothing to draw.
    total: u64,
}

/// Each slot stands for `total` chances: `keep` of them are its own index's, the others its alias's.
#[derive(Debug, Clone)]
struct Slot {
    keep: u64,
    alias: u32,
}

impl Draw {
    pub(super) fn of(weights: impl ExactSizeIterator<Item = u64> + Clone) -> Draw {
        let (count, total) = (weights.len() as u64, weights.clone().sum());
        let mut slots: Box<[Slot]> = weights.enumerate().map(|(at, weight)| Slot { keep: weight * count, alias: at as u32 }).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..slots.len()).partition(|at| slots[*at].keep < total);
        while let (Some(under), Some(over)) = (small.pop(), large.pop()) {
            // What the small one leaves of its slot, the large one gives of its own.
            slots[over].keep -= total - slots[under].keep;
            slots[under].alias = over as u32;
            if slots[over].keep < total { small.push(over) } else { large.push(over) }
        }
        Draw { slots, total }
    }

    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Option<usize> {
        if self.total == 0 {
            return None;
        }
        let at = random.usize(0..self.slots.len());
        Some(if random.u64(0..self.total) < self.slots[at].keep { at } else { self.slots[at].alias as usize })
    }
}

/// Draws from those that have a weight, in one pass: each takes the place of the one before with the chance that makes all
/// shares right, so that a backend that comes or goes meanwhile does no harm.
pub(super) fn draw_from(weights: impl Iterator<Item = (usize, u32)>, random: &mut fastrand::Rng) -> Option<usize> {
    let mut total = 0;
    let mut drawn = None;
    for (at, weight) in weights {
        total += u64::from(weight);
        if weight > 0 && random.u64(0..total) < u64::from(weight) {
            drawn = Some(at);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_table_gives_every_index_exactly_its_weight(weights in proptest::collection::vec(prop_oneof![Just(0), 1u64..10, 1u64..=1_000_000], 1..50)) {
            let draw = Draw::of(weights.iter().copied());
            let mut chances = vec![0; weights.len()];
            for (at, slot) in draw.slots.iter().enumerate() {
                prop_assert!(slot.keep <= draw.total);
                chances[at] += slot.keep;
                chances[slot.alias as usize] += draw.total - slot.keep;
            }
            let expected: Vec<_> = weights.iter().map(|weight| weight * weights.len() as u64).collect();
            prop_assert_eq!(chances, expected);
        }

        #[test]
        fn weight_zero_is_never_drawn(weights in proptest::collection::vec(0u32..3, 0..6), seed: u64) {
            let random = &mut fastrand::Rng::with_seed(seed);
            let draw = Draw::of(weights.iter().map(|weight| u64::from(*weight)));
            for drawn in [draw.draw(random), draw_from(weights.iter().copied().enumerate(), random)] {
                prop_assert_eq!(drawn.is_none(), weights.iter().all(|weight| *weight == 0));
                prop_assert!(drawn.is_none_or(|at| weights[at] > 0));
            }
        }
    }
}
