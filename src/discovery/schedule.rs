//! When a name is looked up again: when its records' time is over, within bounds; after a failure soon, then ever later.
//!
//! Decides only; who asks sleeps. Jitter only shortens, so that a record is never used longer than its time above the minimum.

use std::time::Duration;

/// A time to live of 0 does not mean a lookup per request.
const SHORTEST: Duration = Duration::from_secs(1);
/// However long the records may live: a container that was restarted is elsewhere now.
const LONGEST: Duration = Duration::from_secs(30);

/// One name's.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Lookups in a row that failed.
    failures: u32,
}

impl Schedule {
    /// From the end of a lookup to the beginning of the next. `valid`: how long what was heard may be used; `None`: it failed.
    /// `chance`: 0 to 1, takes off up to a tenth.
    pub fn after(&mut self, valid: Option<Duration>, chance: f64) -> Duration {
        let wait = match valid {
            Some(valid) => {
                self.failures = 0;
                valid.clamp(SHORTEST, LONGEST)
            }
            None => {
                // Doubled five times it is above the longest.
                let wait = (SHORTEST * 2u32.pow(self.failures.min(5))).min(LONGEST);
                self.failures = self.failures.saturating_add(1);
                wait
            }
        };
        wait.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_records_within_bounds() {
        let seconds = Duration::from_secs;
        let mut schedule = Schedule::default();
        for (valid, expected) in [(0, 1), (1, 1), (7, 7), (30, 30), (86_400, 30)] {
            assert_eq!(schedule.after(Some(seconds(valid)), 0.0), seconds(expected), "{valid}");
        }
        assert_eq!(schedule.after(Some(seconds(20)), 1.0), seconds(18));
        assert_eq!(schedule.after(Some(seconds(1)), 1.0), seconds(1));
    }

    #[test]
    fn failures_are_repeated_soon_and_then_ever_later_until_it_works() {
        let mut schedule = Schedule::default();
        let waits: Vec<_> = (0..8).map(|_| schedule.after(None, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(schedule.after(Some(Duration::from_secs(5)), 0.0).as_secs(), 5);
        assert_eq!(schedule.after(None, 0.0).as_secs(), 1);
    }
}
