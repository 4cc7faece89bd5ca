//! What a client may cost us beyond what it asks for, before it is told to calm down.
//!
//! HTTP/2 lets a client make work for which it never waits: a request taken back at once makes room for the next (rapid reset,
//! CVE-2023-44487), and frames that say nothing cost us a look each. `h2` bounds what it has to remember of that, not what we do for
//! it. Two accounts are kept here, both such that a client with a reason is never cut off, however long its connection lives:
//!
//! - Requests taken back before their answer began, and soon. Each is a debt that time pays off, and every request that is answered
//!   pays for one. A request that was let run for a while is none: then the limit of streams at once holds for it as well.
//! - Bytes. An eighth is to be of use: requests, content, room for content. What was sent ahead of an answer that did not want it was
//!   sent in good faith, and counts on neither side.

use std::cell::Cell;
use std::time::Duration;

/// A request that is taken back later than this was one.
const SOON: Duration = Duration::from_secs(1);
/// How long one that was taken back soon is remembered, each behind the one before: ten a second may go on for ever.
const TAKEN_BACK: Duration = Duration::from_millis(100);
/// And how far that may grow: five hundred at once, a few times all that may be open. A backend that hangs lets all deadlines of a client
/// pass together.
const TAKEN_BACK_MAX: Duration = Duration::from_secs(50);

/// Of what a client sends this part is to be of use, once it has sent so much more.
const TALK_PART: u64 = 8;
const TALK_BYTES_MAX: u64 = 1 << 20;

/// What a client did too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Requests, only to take them back.
    TakenBack,
    /// Talk that is of no use.
    Talk,
}

/// One connection's. Pure: the clock is whatever `now` says.
#[derive(Debug, Default)]
pub struct Allowance {
    useful: Cell<u64>,
    in_good_faith: Cell<u64>,
    /// When all that was taken back will be forgotten.
    forgotten: Cell<Duration>,
}

impl Allowance {
    /// Bytes, in either direction, that belong to a request or its answer.
    pub fn useful(&self, bytes: usize) {
        self.useful.set(self.useful.get() + bytes as u64);
    }

    /// Bytes that are of no use, through no fault of the client's.
    pub fn in_good_faith(&self, bytes: usize) {
        self.in_good_faith.set(self.in_good_faith.get() + bytes as u64);
    }

    /// A request was taken back before its answer began, so long after it came.
    pub fn taken_back(&self, now: Duration, after: Duration) {
        if after < SOON {
            self.forgotten.set(self.forgotten.get().max(now) + TAKEN_BACK);
        }
    }

    /// A request was answered.
    pub fn answered(&self) {
        self.forgotten.set(self.forgotten.get().saturating_sub(TAKEN_BACK));
    }

    /// `received`: bytes that have come in all.
    pub fn exceeded(&self, now: Duration, received: u64) -> Option<Excess> {
        if self.forgotten.get().saturating_sub(now) > TAKEN_BACK_MAX {
            return Some(Excess::TakenBack);
        }
        let talk = received.saturating_sub(self.in_good_faith.get()) / TALK_PART;
        (talk > self.useful.get() + TALK_BYTES_MAX).then_some(Excess::Talk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_takes_back_in_masses_is_found_out_and_who_does_so_now_and_then_is_not() {
        let allowance = Allowance::default();
        let masses = (1..=1000).find(|_| {
            allowance.taken_back(SECOND, Duration::ZERO);
            allowance.exceeded(SECOND, 0).is_some()
        });
        assert_eq!(masses, Some(501));
        // A page that is left while it loads, every ten seconds, for a day; nothing is ever answered.
        let allowance = Allowance::default();
        for page in 0..8640 {
            let now = 10 * SECOND * page;
            for _ in 0..60 {
                allowance.taken_back(now, SECOND / 2);
            }
            assert_eq!(allowance.exceeded(now, 0), None, "page {page}");
        }
    }

    #[test]
    fn a_request_that_was_let_run_or_answered_makes_good() {
        let allowance = Allowance::default();
        for _ in 0..1000 {
            allowance.taken_back(SECOND, SECOND);
        }
        assert_eq!(allowance.exceeded(SECOND, 0), None);
        for _ in 0..1000 {
            allowance.taken_back(SECOND, Duration::ZERO);
            allowance.answered();
        }
        assert_eq!(allowance.exceeded(SECOND, 0), None);
        // It is not a store for later.
        for _ in 0..1000 {
            allowance.answered();
        }
        for _ in 0..501 {
            allowance.taken_back(SECOND, Duration::ZERO);
        }
        assert_eq!(allowance.exceeded(SECOND, 0), Some(Excess::TakenBack));
    }

    #[test]
    fn an_eighth_of_what_comes_is_to_be_of_use() {
        let allowance = Allowance::default();
        let most = TALK_BYTES_MAX * TALK_PART;
        let exceeded = |received| allowance.exceeded(SECOND, received);
        assert_eq!((exceeded(most + 7), exceeded(most + 8)), (None, Some(Excess::Talk)));
        allowance.useful(100);
        assert_eq!((exceeded(most + 807), exceeded(most + 808)), (None, Some(Excess::Talk)));
        allowance.in_good_faith(1000);
        assert_eq!((exceeded(most + 1807), exceeded(most + 1808)), (None, Some(Excess::Talk)));
    }
}
