//! Slow start: a backend that has just joined or come back takes a tenth of its share at first, and all of it after a while.
//!
//! What is kept here is only when the ramp began; how long it lasts belongs to the pool's configuration and may change meanwhile.
//! The ramp rises in a straight line from the floor to the whole. The floor is there because a backend that gets nothing never warms up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::millis;

/// The whole of a share, in the unit of `Ramp::share`.
pub const WHOLE: u32 = 1024;
/// A tenth, rounded up.
pub const FLOOR: u32 = 103;

/// When a backend began to ramp.
#[derive(Debug, Default)]
pub struct Ramp {
    /// In milliseconds of `millis`; 0: it never did.
    began: AtomicU64,
}

impl Ramp {
    pub(super) fn start(&self, now: Instant) {
        self.began.store(millis(now), Ordering::Relaxed);
    }

    /// Whether it ever ramped: as long as it did not, it is one of a pool that began as a whole.
    pub(super) fn has_begun(&self) -> bool {
        self.began.load(Ordering::Relaxed) != 0
    }

    /// How much of its share it may take now, in 1,024ths: `FLOOR` to `WHOLE`.
    pub fn share(&self, now: Instant, duration: Duration) -> u32 {
        let began = self.began.load(Ordering::Relaxed);
        let (elapsed, whole) = (millis(now).saturating_sub(began), duration.as_millis() as u64);
        if began == 0 || elapsed >= whole {
            return WHOLE;
        }
        // A share of the way up; a configuration holds no duration above a year, so nothing overflows.
        FLOOR + (elapsed * u64::from(WHOLE - FLOOR) / whole) as u32
    }
}

/// The last ramp that began in a pool: while there is none, a pick pays one load for slow start.
#[derive(Debug, Default)]
pub struct LastRamp(AtomicU64);

impl LastRamp {
    pub(super) fn start(&self, now: Instant) {
        self.0.fetch_max(millis(now), Ordering::Relaxed);
    }

    /// Whether somebody may be ramping still.
    #[inline]
    pub fn runs(&self, now: Instant, duration: Duration) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        last != 0 && self.runs_since(last, now, duration)
    }

    fn runs_since(&self, last: u64, now: Instant, duration: Duration) -> bool {
        if millis(now).saturating_sub(last) < duration.as_millis() as u64 {
            return true;
        }
        // Over: from now on nobody has to look at the clock. Not if another has begun this moment.
        let _ = self.0.compare_exchange(last, 0, Ordering::Relaxed, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_rises_from_a_tenth_to_the_whole() {
        let (ramp, now) = (Ramp::default(), Instant::now() + MINUTE);
        assert_eq!(ramp.share(now, MINUTE), WHOLE, "it never began");
        ramp.start(now);
        for (seconds, expected) in [(0, 103), (6, 195), (30, 563), (59, 1008), (60, 1024), (6000, 1024)] {
            assert_eq!(ramp.share(now + Duration::from_secs(seconds), MINUTE), expected, "after {seconds} s");
        }
        ramp.start(now + MINUTE);
        assert_eq!(ramp.share(now, MINUTE), FLOOR, "a clock of another thread may be behind");
    }

    #[test]
    fn the_last_ramp_is_forgotten_when_it_is_over() {
        let (last, now) = (LastRamp::default(), Instant::now() + MINUTE);
        assert!(!last.runs(now, MINUTE));
        last.start(now);
        assert!(last.runs(now, MINUTE) && last.runs(now + MINUTE / 2, MINUTE));
        last.start(now + MINUTE / 2);
        assert!(last.runs(now + MINUTE, MINUTE), "another has begun");
        assert!(!last.runs(now + MINUTE * 3 / 2, MINUTE));
        assert_eq!(last.0.load(Ordering::Relaxed), 0);
    }
}
