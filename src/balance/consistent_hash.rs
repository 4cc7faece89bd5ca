//! Consistent hashing: a ring of points, 160 of each backend for each unit of its weight; a key goes to the next point.
//!
//! The ring is ketama's: the points of a backend are the MD5 sums of its address, a hyphen and a number, four points of each sum, lowest
//! byte first. With equal weights it is point for point the ring of libketama for the same names; unequal ones multiply the points
//! (libketama rounds them to a constant total). Keys fall on it by their upper 32 bits.
//! A backend that goes hands each of its arcs to whoever follows, and nothing else moves. With 160 points a share is off by some 8 %
//! of itself; that is the price of a table that grows and shrinks in place. `maglev` is more even, `rendezvous` exact.
//! Source: Karger et al. 1997; Jones, "libketama", 2007; nginx's `hash ... consistent`, whose points are CRC-32 sums instead.
//!
//! Weights are divided by what they have in common. A ring that would still be too large is refused when the configuration is read;
//! should a set have grown otherwise, all have fewer points in proportion.
//!
//! A backend that may not be picked is passed over by walking on along the ring. After many steps, as when most of a large pool is
//! out, `rendezvous` decides among those that are left. A backend in slow start keeps those of its keys that its ramp admits; the
//! others walk on.

use md5::{Digest, Md5};

use super::candidates::Candidates;
use super::hashing::Bound;
use super::rendezvous::Rendezvous;
use super::turns::greatest_common_divisor;
use super::{Balancer, Hint, Set};
use crate::config::model::{RING_POINTS_MAX, RING_POINTS_PER_WEIGHT};

/// Points that one MD5 sum makes.
const POINTS_PER_SUM: u64 = 4;
/// Steps along the ring before those that are left are looked at one by one.
const STEPS: usize = 512;

pub(super) struct ConsistentHash {
    /// In the order of the ring.
    points: Box<[Point]>,
    left: Rendezvous,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at: u32,
    /// Of the member.
    index: u32,
}

impl ConsistentHash {
    pub(super) fn of(set: &Set) -> ConsistentHash {
        ConsistentHash { points: ring(set, RING_POINTS_MAX), left: Rendezvous::of(set) }
    }
}

fn ring(set: &Set, points_max: u64) -> Box<[Point]> {
    let weight = |index: usize| u64::from(set.members[index].weight);
    // By identity, and sorted stably below: where two points fall together, the order in the configuration does not matter.
    let mut by_identity: Vec<usize> = (0..set.members.len()).filter(|index| weight(*index) > 0).collect();
    by_identity.sort_by(|a, b| set.members[*a].backend.identity_order(&set.members[*b].backend));
    let divisor = by_identity.iter().map(|index| weight(*index)).fold(0, greatest_common_divisor).max(1);
    let total = by_identity.iter().map(|index| weight(*index) / divisor).sum::<u64>() * RING_POINTS_PER_WEIGHT;
    let mut points = Vec::with_capacity(total.min(points_max) as usize + by_identity.len() * POINTS_PER_SUM as usize);
    for index in by_identity {
        let mine = weight(index) / divisor * RING_POINTS_PER_WEIGHT;
        let mine = if total > points_max { (u128::from(mine) * u128::from(points_max) / u128::from(total)) as u64 } else { mine };
        let name = set.members[index].backend.address.to_string();
        for number in 0..mine.div_ceil(POINTS_PER_SUM) {
            let sum = Md5::digest(format!("{name}-{number}"));
            let (parts, _) = sum.as_chunks::<4>();
            points.extend(parts.iter().map(|part| Point { at: u32::from_le_bytes(*part), index: index as u32 }));
        }
    }
    points.sort_by_key(|point| point.at);
    points.into()
}

impl Balancer for ConsistentHash {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let bound = Bound::of(candidates);
        let at = (hint.key >> 32) as u32;
        let start = self.points.partition_point(|point| point.at < at);
        let (before, behind) = self.points.split_at(start);
        let walk = behind.iter().chain(before).take(STEPS).map(|point| point.index as usize);
        // Neighbours are often the same backend's: one that has been refused need not be asked again.
        let mut refused = usize::MAX;
        for index in walk {
            if index == refused {
                continue;
            }
            if candidates.may(index) && bound.allows(candidates.member(index)) {
                return Some(index);
            }
            refused = index;
        }
        self.left.pick(hint.key, candidates, &bound)
    }
}
