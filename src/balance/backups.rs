//! Backups: backends that are picked only when none of the others may be: down, tried already, or full.
//!
//! Each tier has a balancer of its own, made for a set in which those of the other tier have weight 0, and chooses among its own
//! candidates: same places, same indexes, so neither the algorithms nor whoever asks them has to know. It is asked of the backends'
//! state at each pick; there is nothing to switch over and back. A pool without backups has no tiers, and pays nothing.

use std::sync::Arc;

use super::candidates::{Candidates, Tier};
use super::{Balancer, Hint, Member, Set, of};
use crate::config::model::Algorithm;

pub(super) struct Backups {
    tiers: [(Tier, Arc<dyn Balancer>); 2],
}

impl Backups {
    /// `None`: all are of one tier. Where all are backups, there is nobody whom they could stand in for.
    pub(super) fn of(algorithm: Algorithm, set: &Set) -> Option<Backups> {
        let has = |tier| set.members.iter().any(|member| member.weight > 0 && Tier::of(member) == tier);
        if !has(Tier::Primaries) || !has(Tier::Backups) {
            return None;
        }
        let balancer = |tier| {
            let member = |member: &Member| Member { weight: if Tier::of(member) == tier { member.weight } else { 0 }, ..member.clone() };
            (tier, of(algorithm, &Set { members: set.members.iter().map(member).collect(), ..*set }))
        };
        Some(Backups { tiers: [balancer(Tier::Primaries), balancer(Tier::Backups)] })
    }
}

impl Balancer for Backups {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        // A primary in slow start goes before a backup.
        let of_tier =
            |(tier, balancer): &(Tier, Arc<dyn Balancer>)| candidates.of_tier(*tier).or_all(|candidates| balancer.choose(candidates, hint));
        self.tiers.iter().find_map(of_tier)
    }
}
