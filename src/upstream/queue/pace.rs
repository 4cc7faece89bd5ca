//! How long a newcomer would wait: the place in line, times the time between two slots as it was lately.
//!
//! What was seen counts up to now, not up to the last slot: where a pool has come to a stand, the wait that is foretold grows by
//! itself. Only slots handed to waiters are counted, so when the line has been empty the count begins anew: what a pool did
//! before it was full says nothing about how fast it can be.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Slots that are remembered. Enough to even out a burst, few enough to follow a change.
const REMEMBERED: usize = 64;
/// Slots before anything is foretold: until then there is room, as far as `max` goes.
const ENOUGH: usize = 8;

#[derive(Debug, Default)]
pub struct Pace {
    /// When slots were handed to waiters, oldest first.
    granted: VecDeque<Instant>,
}

impl Pace {
    /// A waiter got a slot.
    pub fn granted(&mut self, now: Instant) {
        if self.granted.len() == REMEMBERED {
            self.granted.pop_front();
        }
        self.granted.push_back(now);
    }

    /// How long somebody would wait who has so many before it; `None`: nobody can say yet.
    pub fn wait(&self, ahead: usize, now: Instant) -> Option<Duration> {
        let since = self.granted.front()?;
        if self.granted.len() < ENOUGH {
            return None;
        }
        // One less: between n slots are n - 1 times, and the time since the last one is not over.
        let each = now.saturating_duration_since(*since) / (self.granted.len() as u32 - 1);
        Some(each.saturating_mul(u32::try_from(ahead + 1).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_from_pace_and_place() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let ms = Duration::from_millis;
        // (slots, one each so many milliseconds, how long after the last one is asked, so many ahead, the wait)
        for (slots, every, later, ahead, expected) in [
            (0, 10, 0, 0, None),
            (7, 10, 0, 0, None),
            (11, 10, 0, 0, Some(ms(10))),
            (11, 10, 0, 19, Some(ms(200))),
            (11, 10, 0, 20, Some(ms(210))),
            (1_000, 10, 0, 0, Some(ms(10))),
            // A pool that has come to a stand.
            (11, 10, 900, 0, Some(ms(100))),
            (11, 0, 0, 1_000, Some(ms(0))),
        ] {
            let mut pace = Pace::default();
            (0..slots).for_each(|slot| pace.granted(at(slot * every)));
            let now = at(slots.saturating_sub(1) * every + later);
            assert_eq!(pace.wait(ahead, now), expected, "{slots} slots every {every} ms, {later} ms ago, {ahead} ahead");
        }
    }

    #[test]
    fn an_old_pace_is_forgotten() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        (0..100).for_each(|slot| pace.granted(begin + Duration::from_millis(slot)));
        let mut now = begin;
        for slot in 1..=REMEMBERED as u32 {
            now = begin + Duration::from_secs(1) + Duration::from_millis(100) * slot;
            pace.granted(now);
        }
        assert_eq!(pace.wait(0, now), Some(Duration::from_millis(100)));
        assert_eq!(pace.granted.len(), REMEMBERED);
    }
}
