//! Maglev: a table of 65,537 slots, each a backend's; a key's slot says who gets it. One look, for any number of backends.
//!
//! Every backend has an order of its own in which it would like the slots, made from its identity; in turns by weight each
//! takes the first that is free. Backends go in the order of their identities, so the order in the configuration changes nothing. When one
//! of n goes, its slots are shared out evenly, and about as many others change hands: 2/n of the keys move, where
//! `rendezvous` and `consistent_hash` move 1/n. Evenness is what that buys: slots differ by one.
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016.
//!
//! With n backends a share is off by up to n / 65,537 of itself; above 655 that is more than 1 %, and checking the configuration says so.
//! Every backend with a weight has one slot at least; of more than 65,537, those with the last identities have none.
//!
//! A key whose backend may not be picked is drawn again, with the number of the draw mixed in: the keys of a backend that is
//! out spread over all the others by weight, the same way each time. After a few draws `rendezvous` decides among those that are left.
//! A backend in slow start keeps those of its keys that its ramp admits; the others are drawn again.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::candidates::Candidates;
use super::hashing::{Bound, mix};
use super::rendezvous::Rendezvous;
use super::{Balancer, Hint, Set};
use crate::config::model::MAGLEV_SLOTS;

const SLOTS: usize = MAGLEV_SLOTS;
const FREE: u32 = u32::MAX;
/// Looks at the table before those that are left are looked at one by one: enough for all but pools that are mostly out.
const DRAWS: u64 = 8;

pub(super) struct Maglev {
    /// Indexes of members; `FREE` only where nobody has a weight.
    slots: Box<[u32]>,
    left: Rendezvous,
}

/// One backend on its way through the slots.
struct Wish {
    index: u32,
    weight: u64,
    /// Slots that it has.
    taken: u64,
    /// The next slot in its order, and how far it is to the one after.
    next: usize,
    skip: usize,
    /// Its place among the identities.
    rank: usize,
}

impl Maglev {
    pub(super) fn of(set: &Set) -> Maglev {
        let mut by_identity: Vec<usize> = (0..set.members.len()).filter(|index| set.members[*index].weight > 0).collect();
        by_identity.sort_by(|a, b| set.members[*a].backend.identity_order(&set.members[*b].backend));
        let wish = |(rank, index): (usize, usize)| {
            let member = &set.members[index];
            let order = member.backend.identity.to_le_bytes();
            let next = (xxh3_64_with_seed(&order, 0) % SLOTS as u64) as usize;
            let skip = (xxh3_64_with_seed(&order, 1) % (SLOTS as u64 - 1)) as usize + 1;
            Reverse(Wish { index: index as u32, weight: u64::from(member.weight), taken: 0, next, skip, rank })
        };
        let mut wishes: BinaryHeap<Reverse<Wish>> = by_identity.into_iter().enumerate().map(wish).collect();
        let mut slots = vec![FREE; SLOTS].into_boxed_slice();
        for _ in 0..SLOTS {
            let Some(mut first) = wishes.peek_mut() else { break };
            let wish = &mut first.0;
            while slots[wish.next] != FREE {
                wish.next = (wish.next + wish.skip) % SLOTS;
            }
            slots[wish.next] = wish.index;
            wish.taken += 1;
        }
        Maglev { slots, left: Rendezvous::of(set) }
    }

    fn at(&self, key: u64) -> Option<usize> {
        let index = self.slots[(key % SLOTS as u64) as usize];
        (index != FREE).then_some(index as usize)
    }
}

impl Balancer for Maglev {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let bound = Bound::of(candidates);
        let mut key = hint.key;
        for draw in 1..=DRAWS {
            let index = self.at(key)?;
            if candidates.may(index) && bound.allows(candidates.member(index)) {
                return Some(index);
            }
            key = mix(hint.key, draw);
        }
        self.left.pick(hint.key, candidates, &bound)
    }
}

/// Whose turn it is: who has the fewest slots for its weight; among equals, by identity. With equal weights these are the rounds of the
/// paper.
impl Ord for Wish {
    fn cmp(&self, other: &Wish) -> Ordering {
        (self.taken * other.weight).cmp(&(other.taken * self.weight)).then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Wish {
    fn partial_cmp(&self, other: &Wish) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Wish {
    fn eq(&self, other: &Wish) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Wish {}
