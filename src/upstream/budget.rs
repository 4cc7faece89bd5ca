//! The retry budget: when a pool fails, its retries must not become the load that keeps it down.
//!
//! Retries may be a share of the requests of the last ten seconds, and ten a second besides, so that a pool with little traffic
//! has any at all. Each worker has a budget of its own for each pool: no counter is shared, and traffic is spread over the workers.
//!
//! Invariant: whenever it grants a retry, those of the ten seconds that it remembers are, with this one, not more than the requests
//! of the same seconds and the reserve allow. Pure: whoever asks says what time it is.

use std::time::Duration;

/// Seconds that are remembered, the present one included.
const SECONDS: usize = 10;
/// Retries a second that need no request to justify them.
const RESERVE: u64 = 10;

#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// The present second.
    second: u64,
    /// By second, modulo their number.
    requests: [u64; SECONDS],
    retries: [u64; SECONDS],
}

impl Budget {
    /// A request came; the first attempt at it is not a retry.
    #[inline]
    pub fn request(&mut self, now: Duration) {
        let at = self.turn(now);
        self.requests[at] += 1;
    }

    /// Spends a retry, if there is one to spend. `percent`: of the requests.
    pub fn retry(&mut self, percent: u32, now: Duration) -> bool {
        let at = self.turn(now);
        let requests: u64 = self.requests.iter().sum();
        let retries: u64 = self.retries.iter().sum();
        let granted = (retries + 1) * 100 <= requests * u64::from(percent) + RESERVE * SECONDS as u64 * 100;
        self.retries[at] += u64::from(granted);
        granted
    }

    /// Forgets what is too long ago; the place of the present second.
    #[inline]
    fn turn(&mut self, now: Duration) -> usize {
        let second = now.as_secs();
        if second > self.second {
            let passed = usize::try_from(second - self.second).unwrap_or(SECONDS).min(SECONDS);
            for passing in 0..passed {
                let at = (second as usize - passing) % SECONDS;
                (self.requests[at], self.retries[at]) = (0, 0);
            }
            self.second = second;
        }
        self.second as usize % SECONDS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(1_000 + second)
    }

    /// Retries granted before the first refusal.
    fn left(budget: &Budget, percent: u32, now: Duration) -> usize {
        let mut budget = budget.clone();
        std::iter::from_fn(|| budget.retry(percent, now).then_some(())).count()
    }

    #[test]
    fn what_is_left_follows_from_requests_retries_and_time() {
        for (requests, percent, retries, later, expected) in [
            (0, 20, 0, 0, 100),
            (0, 0, 0, 0, 100),
            (1_000, 20, 0, 0, 300),
            (1_000, 0, 0, 0, 100),
            (1_000, 100, 0, 0, 1_100),
            (1_000, 20, 300, 0, 0),
            (1_000, 20, 300, 9, 0),
            // Both have been forgotten.
            (1_000, 20, 300, 10, 100),
            (1_000, 20, 0, 10, 100),
            (1_000, 20, 0, 1_000_000, 100),
            (4, 20, 100, 0, 0),
            (5, 20, 100, 0, 1),
        ] {
            let mut budget = Budget::default();
            (0..requests).for_each(|_| budget.request(at(0)));
            for _ in 0..retries {
                assert!(budget.retry(percent, at(0)));
            }
            assert_eq!(left(&budget, percent, at(later)), expected, "{requests} at {percent} %, {retries} spent, {later} s later");
        }
    }

    #[test]
    fn a_second_that_comes_round_begins_empty() {
        let mut budget = Budget::default();
        (0..100).for_each(|_| budget.request(at(0)));
        (0..100).for_each(|_| budget.request(at(5)));
        assert_eq!(left(&budget, 50, at(9)), 200);
        assert_eq!(left(&budget, 50, at(10)), 150, "second 0 is out");
        assert_eq!(left(&budget, 50, at(15)), 100);
        // A clock that stands still or goes back takes nothing away.
        assert_eq!(left(&budget, 50, at(3)), 200);
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget(
            percent in 0u32..=100,
            steps in proptest::collection::vec((0u64..4, 0usize..60, 0usize..150), 1..60),
        ) {
            let mut budget = Budget::default();
            let (mut second, mut told) = (0, Vec::new());
            for (later, requests, wanted) in steps {
                second += later;
                (0..requests).for_each(|_| budget.request(at(second)));
                let granted = (0..wanted).filter(|_| budget.retry(percent, at(second))).count();
                told.push((second, requests, granted));
                let recent = told.iter().filter(|(when, ..)| when + SECONDS as u64 > second);
                let (requests, retries) = recent.fold((0, 0), |sum, (_, requests, retries)| (sum.0 + requests, sum.1 + retries));
                let most = requests * percent as usize + 100 * 100;
                prop_assert!(granted == 0 || retries * 100 <= most, "{retries} retries for {requests} requests");
                // And what there is can be spent.
                prop_assert!(granted == wanted || (retries + 1) * 100 > most);
            }
        }
    }
}
