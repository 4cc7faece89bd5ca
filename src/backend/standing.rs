//! Whether a backend may be picked: everything that speaks against it, in one word.
//!
//! Each reason is a bit with one owner: health sets `DOWN`, ejection sets `EJECTED`, the admin sets `HELD`. None of them has to know
//! the others, and a backend is back only when all of them have let go. What follows from the bits is computed by whoever changes
//! one and kept as the lowest bit: a pick looks at a single relaxed load, whatever there is to be known.
//!
//! An ejection that is over leads to a trial. The backend is available to exactly one request, which claims it with its slot (`TRIAL`
//! to `CLAIMED`, by compare-and-swap, so that of many workers one gets it); its lease, which may be another worker's a little later, makes
//! it `TRYING`, and what becomes of the lease decides.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::sync::AtomicU32;

/// What follows from all the others: it may be picked.
const AVAILABLE: u32 = 1;
/// Takes nothing new: removed from the configuration, or drained by hand.
const DRAINING: u32 = 1 << 1;
/// Ejected by hand, until it is resumed by hand.
const HELD: u32 = 1 << 2;
/// Its first probe has not ended.
const UNDECIDED: u32 = 1 << 3;
/// Its probes say so, or it starts so.
const DOWN: u32 = 1 << 4;
/// It has answered badly, and its time is not over.
const EJECTED: u32 = 1 << 5;
/// Its time is over: the next request is its trial.
const TRIAL: u32 = 1 << 6;
/// A request has taken the trial, and is not under way yet.
const CLAIMED: u32 = 1 << 9;
/// The trial is under way; no other request may have it.
const TRYING: u32 = 1 << 7;
/// All of its pool is down: it is picked although it is.
const FAIL_OPEN: u32 = 1 << 8;

/// What speaks against it even when all of the pool is down: somebody wants it so.
const BY_HAND: u32 = DRAINING | HELD;
const OUT: u32 = UNDECIDED | DOWN | EJECTED | CLAIMED | TRYING;
const ON_TRIAL: u32 = TRIAL | CLAIMED | TRYING;
const PASSIVE: u32 = EJECTED | ON_TRIAL;

/// How a backend stood at the moment of a look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Standing(u32);

impl Standing {
    /// It may be picked, be it only because all of its pool is down.
    pub fn is_available(self) -> bool {
        self.0 & AVAILABLE != 0
    }

    /// Nothing speaks against it, and nothing is to be tried first.
    pub fn is_up(self) -> bool {
        self.0 & (BY_HAND | OUT | TRIAL) == 0
    }

    /// Whether a pool may fall back on it when nothing is up.
    pub fn is_last_resort(self) -> bool {
        self.0 & BY_HAND == 0
    }

    pub fn is_draining(self) -> bool {
        self.0 & DRAINING != 0
    }

    /// It would be up if it were not draining.
    pub fn only_drains(self) -> bool {
        self.is_draining() && self.0 & (HELD | OUT | TRIAL) == 0
    }

    pub fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    pub fn is_undecided(self) -> bool {
        self.0 & UNDECIDED != 0
    }

    pub fn is_down(self) -> bool {
        self.0 & DOWN != 0
    }

    /// Put out by its answers, and not back in full: its trial counts as well.
    pub fn is_ejected(self) -> bool {
        self.0 & PASSIVE != 0
    }

    pub fn is_serving_time(self) -> bool {
        self.0 & EJECTED != 0
    }

    pub fn is_on_trial(self) -> bool {
        self.0 & ON_TRIAL != 0
    }

    /// Its pool fails open.
    pub fn is_open(self) -> bool {
        self.0 & FAIL_OPEN != 0
    }

    /// For metrics, status and people: of several reasons, the one that would have to go first.
    pub fn word(self) -> &'static str {
        [(HELD, "held"), (DRAINING, "draining"), (UNDECIDED, "undecided"), (DOWN, "down"), (EJECTED, "ejected"), (ON_TRIAL, "trial")]
            .iter()
            .find(|(bit, _)| self.0 & bit != 0)
            .map_or("up", |(_, word)| word)
    }

    fn concluded(self) -> u32 {
        let plain = self.0 & !AVAILABLE;
        let available = plain & BY_HAND == 0 && (plain & OUT == 0 || plain & FAIL_OPEN != 0);
        plain | if available { AVAILABLE } else { 0 }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#b})", self.word(), self.0)
    }
}

/// The word itself.
// Relaxed throughout: no other memory hangs on it, and a worker that sees a change a moment later has made one uneven choice.
#[derive(Debug)]
pub(super) struct Word(AtomicU32);

impl Default for Word {
    fn default() -> Word {
        Word(AtomicU32::new(AVAILABLE))
    }
}

impl Word {
    #[inline]
    pub fn is_available(&self) -> bool {
        self.0.load(Ordering::Relaxed) & AVAILABLE != 0
    }

    pub fn load(&self) -> Standing {
        Standing(self.0.load(Ordering::Relaxed))
    }

    /// Clears, then sets, where one of `only_if` is set (0: in any case). Whether it did.
    fn change(&self, only_if: u32, clear: u32, set: u32) -> bool {
        let next = |now: u32| (only_if == 0 || now & only_if != 0).then(|| Standing(now & !clear | set).concluded());
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    fn put(&self, bit: u32, on: bool) {
        self.change(0, bit, if on { bit } else { 0 });
    }

    pub fn drain(&self, on: bool) {
        self.put(DRAINING, on);
    }

    pub fn hold(&self, on: bool) {
        self.put(HELD, on);
    }

    pub fn fail_open(&self, on: bool) {
        self.put(FAIL_OPEN, on);
    }

    pub fn undecided(&self) {
        self.change(0, DOWN, UNDECIDED);
    }

    pub fn down(&self) {
        self.change(0, UNDECIDED, DOWN);
    }

    /// For health; an ejection stays what it is.
    pub fn decided_up(&self) {
        self.change(0, UNDECIDED | DOWN, 0);
    }

    pub fn eject(&self) {
        self.change(0, ON_TRIAL, EJECTED);
    }

    /// Its time is over.
    pub fn put_on_trial(&self) -> bool {
        self.change(EJECTED, EJECTED, TRIAL)
    }

    /// Back, whatever became of its trial. Whether it was out.
    pub fn readmit(&self) -> bool {
        self.change(PASSIVE, PASSIVE, 0)
    }

    pub fn trial_passes(&self) -> bool {
        self.change(TRYING, TRYING, 0)
    }

    /// Of a lease, or of a claim that came to none.
    pub fn trial_lapses(&self) -> bool {
        self.change(CLAIMED | TRYING, CLAIMED | TRYING, TRIAL)
    }

    /// For a request that has a slot: `false` where another became the trial a moment ago, and the backend is not to be had.
    #[inline]
    pub fn claim(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ON_TRIAL == 0 || self.claim_trial()
    }

    #[cold]
    fn claim_trial(&self) -> bool {
        self.change(TRIAL, TRIAL, CLAIMED) || self.is_available()
    }

    /// For a lease: whether it is the trial that was claimed.
    #[inline]
    pub fn begins_trial(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLAIMED != 0 && self.change(CLAIMED, CLAIMED, TRYING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_back_when_the_last_reason_has_gone() {
        let word = Word::default();
        assert_eq!((word.load().word(), word.is_available()), ("up", true));
        word.down();
        word.eject();
        word.drain(true);
        for (step, expected) in [
            (&(|| word.decided_up()) as &dyn Fn(), ("draining", false)),
            (&|| word.drain(false), ("ejected", false)),
            (&|| word.hold(true), ("held", false)),
            (&|| assert!(word.readmit()), ("held", false)),
            (&|| word.hold(false), ("up", true)),
        ] {
            step();
            assert_eq!((word.load().word(), word.is_available()), expected);
        }
    }

    #[test]
    fn failing_open_heeds_what_was_done_by_hand() {
        for (set, open) in [
            (&(|word: &Word| word.down()) as &dyn Fn(&Word), true),
            (&|word| word.eject(), true),
            (&|word| word.undecided(), true),
            (&|word| word.drain(true), false),
            (&|word| word.hold(true), false),
        ] {
            let word = Word::default();
            set(&word);
            assert!(!word.is_available());
            word.fail_open(true);
            assert_eq!((word.is_available(), word.load().is_up()), (open, false), "{:?}", word.load());
            word.fail_open(false);
            assert!(!word.is_available());
        }
    }

    #[test]
    fn a_trial_is_one_request_and_never_lost() {
        let word = Word::default();
        assert!(word.claim() && !word.begins_trial());
        word.eject();
        assert!(word.put_on_trial() && !word.put_on_trial());
        assert!(word.is_available());
        assert!(word.claim() && !word.is_available());
        assert!(!word.claim(), "picked before, and too late: another has claimed it");
        assert!(word.trial_lapses() && word.is_available(), "whoever claimed it left before it began");
        assert!(word.claim() && word.begins_trial() && !word.begins_trial());
        assert!(!word.claim(), "and now it is under way");
        word.fail_open(true);
        assert!(word.claim(), "but all are let in where the pool fails open");
        word.fail_open(false);
        assert!(!word.is_available());
        assert!(word.trial_lapses() && word.is_available());
        assert!(word.claim() && word.begins_trial());
        assert!(word.trial_passes() && word.is_available());
        assert!(word.claim() && !word.begins_trial());
        assert!(!word.trial_lapses(), "what came back meanwhile is left alone");
    }

    #[test]
    fn of_many_claims_one_is_the_trial() {
        for _ in 0..50 {
            let word = Word::default();
            word.eject();
            word.put_on_trial();
            let claims: usize = std::thread::scope(|scope| {
                let claiming: Vec<_> = (0..4).map(|_| scope.spawn(|| word.claim_trial())).collect();
                claiming.into_iter().map(|claim| usize::from(claim.join().unwrap())).sum()
            });
            assert_eq!(claims, 1);
        }
    }
}
