//! How quick a backend has been lately: two averages of the time to its first byte, for the algorithms that ask.
//!
//! Both forget with time, not only with answers, and towards what is usual in the pool: a backend that was slow once and is
//! therefore not asked would otherwise be slow for ever. `mean` follows every answer alike. `peak` jumps up to an answer that is slower
//! than it and comes down slowly, so that one bad answer is enough to send the next requests elsewhere (the peak EWMA of Finagle).
//!
//! A failure is an answer that took very long. Otherwise the backend that refuses everything in a millisecond is the quickest of
//! all, and gets the more the more it refuses.
//!
//! The unit is the microsecond; an average and its time lie in one word, so that workers update it without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::millis;

/// After so long without an answer two thirds of what was known are forgotten.
const MEMORY: Duration = Duration::from_secs(10);
/// An answer counts as if it were at least so far from the one before: an average is over the last ten seconds or the last 10,000
/// answers, whichever is less. The clock in the word is no finer.
const STEP_MIN: f32 = 1.0;
/// A failure counts as an answer this many times slower than the pool's are...
const PENALTY: f32 = 10.0;
/// ... and where nothing is known of the pool yet, as one that took a second.
const PENALTY_UNKNOWN: f32 = 1_000_000.0;

/// What one backend's answers took; or a pool's, which are the good answers of all its backends, and their peaks on average.
#[derive(Debug, Default)]
pub struct Latency {
    mean: Average,
    peak: Average,
}

impl Latency {
    /// An answer: `took` from the request to its first byte.
    pub(super) fn answered(&self, now: Instant, took: Duration, pool: &Latency) {
        let took = micros(took);
        pool.mean.follow(now, took);
        self.mean.follow(now, took);
        let peak = self.peak.follow_up_at_once(now, took);
        pool.peak.follow(now, peak);
    }

    /// An error: a connect or an exchange that failed, or an answer that says so. The pool's averages leave it out: a pool that fails
    /// as a whole does not take that for its normal state.
    pub(super) fn failed(&self, now: Instant, took: Duration, pool: &Latency) {
        let took = micros(took);
        let penalty = |usual: &Average| usual.value().map_or(PENALTY_UNKNOWN, |usual| usual * PENALTY);
        self.mean.follow(now, took.max(penalty(&pool.mean)));
        self.peak.follow_up_at_once(now, took.max(penalty(&pool.peak)));
    }

    /// In microseconds, forgotten towards the pool's, which is also what is said of a backend that has not answered yet.
    pub fn mean(&self, now: Instant, pool: f32) -> f32 {
        self.mean.towards(now, pool)
    }

    pub fn peak(&self, now: Instant, pool: f32) -> f32 {
        self.peak.towards(now, pool)
    }

    /// A pool's own, as they stood after the last answer. Where there was none, any time will do: it is the same for all.
    pub fn usual_mean(&self) -> f32 {
        self.mean.value().unwrap_or(1.0)
    }

    pub fn usual_peak(&self) -> f32 {
        self.peak.value().unwrap_or(1.0)
    }
}

/// An average that forgets.
#[derive(Debug, Default)]
struct Average {
    /// Below, its value in microseconds as an `f32`; above, its time in milliseconds, which come round after 49 days. 0: there was no
    /// answer yet.
    word: AtomicU64,
    /// Answers so far, up to `FIRST`.
    answers: AtomicU32,
}

/// The first answers count alike: they come within a moment, and what the very first took would stand for ten seconds.
const FIRST: u32 = 100;

impl Average {
    fn value(&self) -> Option<f32> {
        match self.word.load(Ordering::Relaxed) {
            0 => None,
            word => Some(value_of(word)),
        }
    }

    fn towards(&self, now: Instant, target: f32) -> f32 {
        match self.word.load(Ordering::Relaxed) {
            0 => target,
            word => target + (value_of(word) - target) * kept(age(word, now)),
        }
    }

    /// Gives what it has become, as do the others.
    fn follow(&self, now: Instant, took: f32) -> f32 {
        let answers = self.answers.load(Ordering::Relaxed);
        if answers >= FIRST {
            return self.update(now, took, |value, kept| took + (value - took) * kept);
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        let even = 1.0 - 1.0 / (answers + 1) as f32;
        self.update(now, took, |value, kept| took + (value - took) * kept.min(even))
    }

    fn follow_up_at_once(&self, now: Instant, took: f32) -> f32 {
        self.update(now, took, |value, kept| if took > value { took } else { took + (value - took) * kept })
    }

    fn update(&self, now: Instant, first: f32, next: impl Fn(f32, f32) -> f32) -> f32 {
        let stamp = millis(now) as u32;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let value = if word == 0 { first } else { next(value_of(word), kept(age(word, now).max(STEP_MIN))) };
            let new = u64::from(stamp) << 32 | u64::from(value.to_bits());
            // Relaxed: the word says all there is to say. Who loses a race counts on top of the winner.
            match self.word.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return value,
                Err(other) => word = other,
            }
        }
    }
}

fn value_of(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

/// In milliseconds. A time that is a little ahead, as another thread's may be, is no age at all.
fn age(word: u64, now: Instant) -> f32 {
    let age = (millis(now) as u32).wrapping_sub((word >> 32) as u32);
    if age > u32::MAX / 2 { 0.0 } else { age as f32 }
}

/// How much of an average is left after so many milliseconds.
fn kept(milliseconds: f32) -> f32 {
    (-milliseconds / MEMORY.as_millis() as f32).exp()
}

/// Never 0, which stands for nothing.
fn micros(took: Duration) -> f32 {
    (took.as_nanos() as f32 / 1000.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        Instant::now() + SECOND
    }

    #[track_caller]
    fn assert_near(value: f32, expected: f32) {
        assert!((value - expected).abs() <= expected * 0.02, "{value}, not near {expected}");
    }

    #[test]
    fn what_was_never_asked_is_as_quick_as_the_pool() {
        let latency = Latency::default();
        assert_eq!((latency.mean(start(), 700.0), latency.peak(start(), 700.0)), (700.0, 700.0));
    }

    #[test]
    fn a_peak_is_seen_at_once_and_forgotten_with_time_alone() {
        let (latency, pool, now) = (Latency::default(), Latency::default(), start());
        latency.answered(now, 10 * MS, &pool);
        latency.answered(now + MS, 1000 * MS, &pool);
        assert_near(latency.peak(now + MS, 10_000.0), 1_000_000.0);
        assert_near(latency.mean(now + MS, 10_000.0), 505_000.0);
        assert_near(latency.peak(now + MS + MEMORY, 10_000.0), 10_000.0 + 990_000.0 / std::f32::consts::E);
        assert_near(latency.peak(now + 20 * MEMORY, 10_000.0), 10_000.0);
    }

    #[test]
    fn quick_answers_bring_a_peak_down() {
        let (latency, pool, now) = (Latency::default(), Latency::default(), start());
        latency.answered(now, 1000 * MS, &pool);
        (0..200).for_each(|_| latency.answered(now, 1000 * MS, &pool));
        (1..=3000).for_each(|n| latency.answered(now + n * 10 * MS, MS, &pool));
        assert_near(latency.peak(now + 30 * SECOND, 1.0), 1000.0 + 999_000.0 * (-3f32).exp());
        assert_near(latency.mean(now + 30 * SECOND, 1.0), 1000.0 + 999_000.0 * (-3f32).exp());
    }

    #[test]
    fn many_answers_in_one_millisecond_all_count() {
        let (latency, pool, now) = (Latency::default(), Latency::default(), start());
        (0..200).for_each(|_| latency.answered(now, MS, &pool));
        (0..10_000).for_each(|_| latency.answered(now, 3 * MS, &pool));
        assert_near(latency.mean(now, 1.0), 3000.0 - 2000.0 / std::f32::consts::E);
    }

    #[test]
    fn a_failure_is_slow_however_quick_it_was() {
        let (latency, pool, now) = (Latency::default(), Latency::default(), start());
        latency.failed(now, MS, &pool);
        assert_near(latency.peak(now, 1.0), 1_000_000.0);
        let (latency, other) = (Latency::default(), Latency::default());
        other.answered(now, 20 * MS, &pool);
        latency.failed(now, MS, &pool);
        assert_near(latency.peak(now, 1.0), 200_000.0);
        latency.failed(now, 30 * SECOND, &pool);
        assert_near(latency.peak(now, 1.0), 30_000_000.0);
        assert_near(pool.usual_mean(), 20_000.0);
        assert_near(pool.usual_peak(), 20_000.0);
    }

    #[test]
    fn a_clock_behind_does_no_harm() {
        let (latency, pool, now) = (Latency::default(), Latency::default(), start());
        latency.answered(now + 500 * MS, 10 * MS, &pool);
        assert_near(latency.mean(now, 1.0), 10_000.0);
    }
}
