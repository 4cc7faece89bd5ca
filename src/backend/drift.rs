//! How a backend differs from the file because somebody said so while the process runs.
//!
//! It belongs to the backend and not to the configuration: a reload keeps it, a reload that touches this backend's entry
//! ends it, and it goes with the backend. A weight takes effect through the next table; a drain at once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Backend, millis};

/// In place of a weight, which is a million at most: the file's.
const OF_THE_FILE: u32 = u32::MAX;
/// In place of a time: until somebody ends it.
const WITHOUT_END: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Drift {
    weight: AtomicU32,
    /// Until when sticky sessions still come here, by `millis`; 0: it is not drained by hand.
    sessions_until: AtomicU64,
    /// Until when it is out altogether; 0: it is not ejected by hand.
    out_until: AtomicU64,
}

impl Default for Drift {
    fn default() -> Drift {
        Drift { weight: AtomicU32::new(OF_THE_FILE), sessions_until: AtomicU64::new(0), out_until: AtomicU64::new(0) }
    }
}

// Relaxed throughout: each is complete by itself, and a pick that sees it a moment later is as good as one that came earlier.
impl Backend {
    /// What stands in place of the file's weight.
    pub fn weight_by_hand(&self) -> Option<u32> {
        Some(self.drift.weight.load(Ordering::Relaxed)).filter(|weight| *weight != OF_THE_FILE)
    }

    /// `None`: the file's again.
    pub fn set_weight_by_hand(&self, weight: Option<u32>) {
        self.drift.weight.store(weight.unwrap_or(OF_THE_FILE), Ordering::Relaxed);
    }

    /// No new requests from now on, but for those of sticky sessions until then; `None`: for as long as it is drained.
    pub fn drain_by_hand(&self, sessions_until: Option<Instant>) {
        self.drift.sessions_until.store(sessions_until.map_or(WITHOUT_END, millis), Ordering::Relaxed);
        self.drain(true);
    }

    /// Ends a drain. Whether there was one.
    pub fn undrain(&self) -> bool {
        let was = self.drift.sessions_until.swap(0, Ordering::Relaxed) != 0;
        self.drain(false);
        self.ramp_if(was);
        was
    }

    /// No requests at all from now on, those of sticky sessions included, until then; `None`: until it is readmitted. What is in
    /// flight finishes.
    pub fn eject_by_hand(&self, until: Option<Instant>) {
        self.drift.out_until.store(until.map_or(WITHOUT_END, millis), Ordering::Relaxed);
        self.hold(true);
    }

    /// Ends an ejection by hand; a drain stays. Whether there was one.
    pub fn readmit_by_hand(&self) -> bool {
        let was = self.drift.out_until.swap(0, Ordering::Relaxed) != 0;
        self.hold(false);
        self.ramp_if(was);
        was
    }

    /// Who comes back has grown cold.
    fn ramp_if(&self, was_out: bool) {
        if was_out && self.is_available() {
            self.ramp_from_now();
        }
    }

    pub fn is_ejected_by_hand(&self) -> bool {
        self.drift.out_until.load(Ordering::Relaxed) != 0
    }

    /// How long it is still ejected by hand; `None`: not at all, or until it is readmitted.
    pub fn ejected_for(&self, now: Instant) -> Option<Duration> {
        match self.drift.out_until.load(Ordering::Relaxed) {
            0 | WITHOUT_END => None,
            until => Some(Duration::from_millis(until.saturating_sub(millis(now)))),
        }
    }

    pub fn is_drained_by_hand(&self) -> bool {
        self.drift.sessions_until.load(Ordering::Relaxed) != 0
    }

    /// Whether it may have the requests of its sticky sessions: a drain leaves it these, until its deadline.
    pub fn takes_sessions(&self, now: Instant) -> bool {
        self.is_available() || (self.standing().only_drains() && self.is_drained_by_hand() && !self.has_let_sessions_go(now))
    }

    /// Whether the time that a drain leaves to sticky sessions is over.
    pub fn has_let_sessions_go(&self, now: Instant) -> bool {
        match self.drift.sessions_until.load(Ordering::Relaxed) {
            0 | WITHOUT_END => false,
            until => until <= millis(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> Backend {
        Backend::new(([127, 0, 0, 1], 80).into())
    }

    #[test]
    fn a_weight_by_hand_may_be_zero_and_ends_with_none() {
        let backend = backend();
        assert_eq!(backend.weight_by_hand(), None);
        for weight in [Some(0), Some(1_000_000), None] {
            backend.set_weight_by_hand(weight);
            assert_eq!(backend.weight_by_hand(), weight);
        }
    }

    #[test]
    fn a_drain_leaves_sessions_their_time() {
        let (backend, now) = (backend(), Instant::now());
        assert!(!backend.undrain());
        backend.drain_by_hand(None);
        assert!(
            !backend.is_available() && backend.is_drained_by_hand() && !backend.has_let_sessions_go(now + Duration::from_secs(1 << 30))
        );
        backend.drain_by_hand(Some(now + Duration::from_secs(10)));
        assert!(!backend.has_let_sessions_go(now + Duration::from_secs(9)));
        assert!(backend.has_let_sessions_go(now + Duration::from_secs(10)));
        assert!(backend.undrain() && backend.is_available() && !backend.is_drained_by_hand());
    }

    #[test]
    fn an_ejection_leaves_sessions_nothing_and_a_drain_outlasts_it() {
        let (backend, now) = (backend(), Instant::now());
        assert!(!backend.readmit_by_hand() && backend.takes_sessions(now));
        backend.eject_by_hand(Some(now + Duration::from_secs(10)));
        assert!(!backend.is_available() && !backend.takes_sessions(now));
        assert_eq!(backend.ejected_for(now + Duration::from_secs(4)), Some(Duration::from_secs(6)));
        assert_eq!(backend.ejected_for(now + Duration::from_secs(11)), Some(Duration::ZERO));
        backend.drain_by_hand(None);
        assert!(!backend.takes_sessions(now));
        assert!(backend.readmit_by_hand() && !backend.is_available() && backend.takes_sessions(now));
        backend.eject_by_hand(None);
        assert!(backend.is_ejected_by_hand() && backend.ejected_for(now).is_none());
        assert!(backend.undrain() && !backend.is_available(), "it is ejected still");
        assert!(backend.readmit_by_hand() && backend.is_available());
    }
}
