//! How far a client may fall behind with bytes that it owes.
//!
//! A deadline without progress is bought anew by every byte, so one byte in time holds a request, and with it a backend's slot, for
//! ever. So the time for which we wait is kept as a debt, which bytes pay back at an agreed rate, and the debt has a limit. Bytes
//! that come quicker pay back what is owed and no more: nobody can hurry first and then stand still for an hour. Time in which we
//! did not want to read, because the backend was slow to take, is never owed.
//!
//! Apache's `mod_reqtimeout` has the same in another shape (a deadline that bytes move), Kestrel as an average over the whole body,
//! where the one who hurries first may stand still.

use std::time::Duration;

use crate::failure::Failure;

/// One body's. Pure: the clock is whatever `now` says.
#[derive(Debug)]
pub struct Arrears {
    /// Bytes that pay back a second; 0: nothing is ever owed.
    rate: u32,
    most: Duration,
    owed: Duration,
    /// We are waiting.
    since: Option<Duration>,
}

impl Arrears {
    /// `most`: of the debt, and so of one wait, whatever the rate.
    pub fn new(rate: u32, most: Duration) -> Arrears {
        Arrears { rate, most, owed: Duration::ZERO, since: None }
    }

    /// The wait begins: how long it may last, and what its end means.
    pub fn wait(&mut self, now: Duration) -> (Duration, Failure) {
        self.since = (self.rate > 0).then_some(now);
        let left = self.most.saturating_sub(self.owed);
        (left, if left < self.most { Failure::BodyTooSlow } else { Failure::BodyTimeout })
    }

    /// So many bytes have come.
    pub fn pay(&mut self, now: Duration, bytes: usize) {
        let Some(since) = self.since.take() else { return };
        let paid = Duration::from_secs_f64(bytes as f64 / f64::from(self.rate));
        self.owed = (self.owed + now.saturating_sub(since)).saturating_sub(paid);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Pieces of so many bytes, each after so long: when the debt is too high, if it ever is.
    fn cut(rate: u32, most: Duration, pieces: impl IntoIterator<Item = (Duration, usize)>) -> Option<Duration> {
        let (mut arrears, mut now) = (Arrears::new(rate, most), Duration::ZERO);
        for (after, bytes) in pieces {
            let (left, _) = arrears.wait(now);
            if after > left {
                return Some(now + left);
            }
            now += after;
            arrears.pay(now, bytes);
        }
        None
    }

    #[test]
    fn a_trickle_is_cut_and_the_agreed_rate_is_not() {
        assert_eq!(cut(100, 30 * SECOND, std::iter::repeat_n((10 * SECOND, 1), 100)), Some(Duration::from_millis(30_030)));
        assert_eq!(cut(100, 30 * SECOND, std::iter::repeat_n((SECOND, 100), 10_000)), None);
        assert_eq!(cut(0, 30 * SECOND, std::iter::repeat_n((10 * SECOND, 1), 100)), None);
    }

    #[test]
    fn a_quick_start_buys_no_standstill() {
        let pieces = [(SECOND, 1_000_000)].into_iter().chain(std::iter::repeat_n((10 * SECOND, 1), 100));
        assert_eq!(cut(100, 30 * SECOND, pieces), Some(Duration::from_millis(31_030)));
    }

    proptest! {
        /// Whatever it does, a client is waited for no longer than its bytes are worth and the limit.
        #[test]
        fn waiting_is_bounded_by_what_comes(rate in 1u32..10_000, pieces in proptest::collection::vec((0u64..20_000, 0usize..50_000), 1..100)) {
            let most = 10 * SECOND;
            let (mut waited, mut bytes) = (Duration::ZERO, 0);
            let mut arrears = Arrears::new(rate, most);
            for (millis, piece) in pieces {
                let (left, _) = arrears.wait(waited);
                let after = Duration::from_millis(millis);
                if after > left {
                    waited += left;
                    break;
                }
                waited += after;
                bytes += piece;
                arrears.pay(waited, piece);
            }
            prop_assert!(waited <= most + Duration::from_secs_f64(bytes as f64 / f64::from(rate)) + Duration::from_millis(1));
        }
    }
}
