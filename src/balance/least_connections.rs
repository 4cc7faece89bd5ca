//! Least connections: the backend with the fewest requests in flight for its weight; among equals, smooth weighted turns.
//!
//! Every backend is looked at for every request, so this grows with the pool; `p2c` does not.
//! A backend in slow start is a candidate as often as its ramp says, and carries as much of its weight.

use super::candidates::Candidates;
use super::p2c::Load;
use super::scan::Scan;
use super::{Balancer, Hint, Set};

pub(super) struct LeastConnections {
    scan: Scan,
}

impl LeastConnections {
    pub(super) fn of(set: &Set) -> LeastConnections {
        LeastConnections { scan: Scan::of(set) }
    }
}

impl Balancer for LeastConnections {
    fn choose(&self, candidates: &Candidates<'_>, hint: &mut Hint<'_>) -> Option<usize> {
        self.scan.least(candidates, hint, |index| Load::of(candidates, index), Load::compare)
    }
}
