//! First: fill the backends in the order of the configuration, each up to its `max_requests`, before the next gets any.
//!
//! So a pool uses as few backends as it can, and the last ones can be switched off when it is quiet. A backend that is full is not
//! eligible, which is all that this has to know; without `max_requests` everything goes to the first that is up.
//! It looks from the front, so a pick costs as much as there are full backends. Weights say nothing here, but for 0.
//! A backend in slow start is passed over unless its ramp admits the request. Source: HAProxy's `first`.

use super::candidates::Candidates;
use super::{Balancer, Hint};

pub(super) struct First;

impl Balancer for First {
    fn choose(&self, candidates: &Candidates<'_>, _: &mut Hint<'_>) -> Option<usize> {
        candidates.iter().next()
    }
}
