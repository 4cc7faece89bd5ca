//! How many connections a listener may have, over all its addresses and all workers.
//!
//! Exact: whoever accepts takes a place first, and gives it back where nobody had come. Two workers that look at the last place at
//! the same moment can so take it for taken though nobody comes; they look again a moment later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::regime::Regime;

pub struct Quota {
    open: AtomicUsize,
    most: AtomicUsize,
    /// Being at the limit.
    pub full: Regime,
}

/// One of the connections that a listener may have. Given back when it is dropped.
pub struct Place(Arc<Quota>);

impl Quota {
    pub fn new(most: usize) -> Quota {
        Quota { open: AtomicUsize::new(0), most: AtomicUsize::new(most), full: Regime::default() }
    }

    /// Connections beyond a lower limit stay; new ones wait until enough of them have gone.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let most = self.most.load(Ordering::Relaxed);
        // Relaxed: it is the number itself that is agreed on; nothing is read by way of it.
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok().map(|_| Place(self.clone()))
    }

    /// For one that can not be made to wait, limit or not.
    pub fn take_anyway(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_never_have_more_than_there_are() {
        let quota = Arc::new(Quota::new(3));
        let held = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let Some(place) = quota.take() else { continue };
                        assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(place);
                    }
                });
            }
        });
        let all: Vec<Place> = (0..3).filter_map(|_| quota.take()).collect();
        assert!(all.len() == 3 && quota.take().is_none());
        let more = quota.take_anyway();
        drop(all);
        assert!(quota.take().is_some());
        drop(more);
    }
}
