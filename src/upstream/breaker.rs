//! The limits of a pool: a pick, and the slot that goes with it.
//!
//! A balancer may only look: between its look and the request, others take slots. So the slot is taken by compare-and-swap after the
//! pick, and who comes too late picks again; the one that was lost is full by then, and full backends are not picked.

use crate::balance::{Balancer, Hint, Set};

/// Races lost in a row before a pool counts as full. Each one lost is a slot that somebody else got, so this bounds what a pick may
/// cost and refuses nobody for whom there was a slot all along.
const RACES_MAX: usize = 16;

/// What became of a pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// An index into the set, with one slot of its backend: it counts as in flight.
    Slot(usize),
    /// There are backends that are up, and none has a slot.
    Full,
    /// Nobody is up who was not tried.
    Nobody,
}

/// Picks a backend and takes a slot of it.
#[inline]
pub fn take(set: &Set, balancer: &dyn Balancer, hint: &mut Hint<'_>) -> Taken {
    for _ in 0..RACES_MAX {
        match balancer.pick(set, hint) {
            Some(index) if set.members[index].try_begin() => return Taken::Slot(index),
            Some(_) => {}
            None if set.is_limited(hint.tried) => return Taken::Full,
            None => return Taken::Nobody,
        }
    }
    Taken::Full
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::backend::Backend;
    use crate::balance::{self, Member};
    use crate::config::model::Algorithm;

    fn set(limits: &[u32]) -> Set {
        let backend = |port| Arc::new(Backend::new(([127, 0, 0, 1], port).into()));
        let member = |(most, port): (&u32, u16)| Member { max_requests: NonZeroU32::new(*most), ..Member::plain(backend(port)) };
        Set::new(limits.iter().zip(80..).map(member))
    }

    #[test]
    fn a_full_backend_is_passed_over_and_a_full_pool_is_not_an_empty_one() {
        for algorithm in Algorithm::ALL {
            let set = set(&[1, 2]);
            let balancer = balance::of(*algorithm, &set);
            let random = &mut fastrand::Rng::with_seed(1);
            let mut next = |tried: &[usize]| take(&set, &*balancer, &mut Hint { tried, key: random.u64(..), now: Instant::now(), random });
            let mut taken = [0; 2];
            for _ in 0..3 {
                let Taken::Slot(index) = next(&[]) else { panic!("{algorithm:?}: there is a slot") };
                taken[index] += 1;
            }
            assert_eq!(taken, [1, 2], "{algorithm:?}");
            assert_eq!(next(&[]), Taken::Full, "{algorithm:?}");
            assert_eq!(next(&[0]), Taken::Full, "{algorithm:?}");
            assert_eq!(next(&[0, 1]), Taken::Nobody, "{algorithm:?}");
            set.members[1].backend.end();
            assert_eq!(next(&[1]), Taken::Full, "{algorithm:?}");
            assert_eq!(next(&[]), Taken::Slot(1), "{algorithm:?}");
            set.members.iter().for_each(|member| member.backend.drain(true));
            assert_eq!(next(&[]), Taken::Nobody, "{algorithm:?}: nobody is up, full or not");
        }
    }

    #[test]
    fn eight_threads_never_have_more_in_flight_than_the_limit() {
        for algorithm in Algorithm::ALL {
            let set = set(&[3, 0, 5]);
            set.members[1].backend.drain(true);
            let balancer = balance::of(*algorithm, &set);
            let peaks: [AtomicU32; 3] = Default::default();
            let grants = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for seed in 0..8 {
                    let (set, balancer, peaks, grants) = (&set, &*balancer, &peaks, &grants);
                    scope.spawn(move || {
                        let random = &mut fastrand::Rng::with_seed(seed);
                        for _ in 0..20_000 {
                            if let Taken::Slot(index) =
                                take(set, balancer, &mut Hint { tried: &[], key: random.u64(..), now: Instant::now(), random })
                            {
                                let backend = &set.members[index].backend;
                                peaks[index].fetch_max(backend.in_flight(), Ordering::Relaxed);
                                grants.fetch_add(1, Ordering::Relaxed);
                                backend.end();
                            }
                        }
                    });
                }
            });
            let peaks = peaks.map(AtomicU32::into_inner);
            assert!(peaks[0] <= 3 && peaks[1] == 0 && peaks[2] <= 5, "{algorithm:?}: {peaks:?}");
            assert!(grants.into_inner() > 0 && set.members.iter().all(|member| member.backend.in_flight() == 0), "{algorithm:?}");
        }
    }
}
