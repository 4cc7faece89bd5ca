//! Peak EWMA: of two backends drawn by weight, the one that would answer sooner, judged by an average that remembers peaks.
//!
//! What `least_time` does by looking at all of them, in constant time and more carefully: one slow answer counts at once and is
//! forgotten slowly (`backend::latency`), so a backend that begins to stall loses traffic with its first late answer and not with its
//! hundredth. The cost is as in `least_time`, with the peak in place of the average. Ties go to the first drawn.
//! One request in 64 goes to the first drawn in any case, for the reason that `least_time` gives.
//! Source: Finagle's `PeakEwma`, over Mitzenmacher's two choices.
//!
//! A backend in slow start is a candidate as often as its ramp says, and carries as much of its weight.

use super::candidates::Candidates;
use super::draw::Weighted;
use super::least_time::PROBES;
use super::{Balancer, Hint, Set};

pub(super) struct PeakEwma {
    weighted: Weighted,
    mean_weight: f32,
}

impl PeakEwma {
    pub(super) fn of(set: &Set) -> PeakEwma {
        PeakEwma { weighted: Weighted::of(set), mean_weight: set.mean_weight() }
    }
}

impl Balancer for PeakEwma {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        let first = self.weighted.draw(candidates, hint.random, None)?;
        if hint.random.u32(0..PROBES) == 0 {
            return Some(first);
        }
        let Some(second) = self.weighted.draw(candidates, hint.random, Some(first)) else { return Some(first) };
        let pool = candidates.crew()?.latency().usual_peak();
        let cost = |index| candidates.member(index).backend.latency().peak(hint.now, pool) * candidates.queue(index, self.mean_weight);
        Some(if cost(second) < cost(first) { second } else { first })
    }
}
