//! Least time: the backend that would answer soonest, by its average time to the first byte and by what waits there already.
//!
//! Every backend is looked at for every request, so this grows with the pool; `peak_ewma` does not. Among equals, as all of a pool are
//! that has not answered yet, smooth weighted turns.
//!
//! The cost is the average time x (1 + in flight x mean weight / weight): the request's own time, and that of those
//! before it as far as they share the backend's strength. With equal weights this is the average time x (1 + in flight). The weight
//! stands by the queue alone on purpose: were the whole divided by it, the heaviest would be the cheapest whenever a pool is idle, and
//! 3:1 would become 4:0.
//!
//! One request in 64 takes a turn and asks nobody's time: a backend that is slow only because it is cold would never get warm otherwise.
//! What is known of a backend fades besides (`backend::latency`), so one that has become quick again is found out within seconds.
//!
//! A backend in slow start is a candidate as often as its ramp says, and carries as much of its weight.

use super::candidates::Candidates;
use super::scan::Scan;
use super::{Balancer, Hint, Set};

/// One pick in so many goes by weight alone.
pub(super) const PROBES: u32 = 64;

pub(super) struct LeastTime {
    scan: Scan,
    mean_weight: f32,
}

impl LeastTime {
    pub(super) fn of(set: &Set) -> LeastTime {
        LeastTime { scan: Scan::of(set), mean_weight: set.mean_weight() }
    }
}

impl Balancer for LeastTime {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        if hint.random.u32(0..PROBES) == 0
            && let Some(index) = self.scan.turn(candidates, hint)
        {
            return Some(index);
        }
        let (now, pool) = (hint.now, candidates.crew()?.latency().usual_mean());
        let cost = |index| candidates.member(index).backend.latency().mean(now, pool) * candidates.queue(index, self.mean_weight);
        self.scan.least(candidates, hint, cost, |a, b| a.total_cmp(&b))
    }
}
