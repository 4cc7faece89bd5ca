//! Durations in fixed buckets, counted on each worker and added up once a second.
//!
//! Not the `metrics` crate's histograms: they keep every sample in a list until upkeep, at about 80 ns each, and three samples
//! per request would be among the dearest things a request does. A bucket here is a cell of the worker's own: finding and
//! raising it is some ten instructions, without an atomic.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::names::Metric;
use super::text::{self, Label};

/// Upper bounds, inclusive; in nanoseconds and as written on the page, in seconds.
const BOUNDS: [(u64, &str); 16] = [
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (30_000_000_000, "30"),
    (60_000_000_000, "60"),
];

/// One bucket per bound, and one for what is above them all.
const BUCKETS: usize = BOUNDS.len() + 1;

/// What all workers counted.
// Relaxed throughout: each number stands for itself, and a scrape between two additions is as true as one before or after them.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// Microseconds: in nanoseconds, 10,000 slow requests a second would run over after three weeks.
    sum: AtomicU64,
}

impl Histogram {
    /// For what is rare enough that all threads may write the same cache lines.
    pub fn record(&self, duration: Duration) {
        let local = LocalHistogram::default();
        local.record(duration);
        local.flush(self);
    }

    pub fn is_used(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.load(Ordering::Relaxed) > 0)
    }

    /// Appends the samples of one series; the family's head is there already.
    pub fn render(&self, page: &mut String, metric: Metric, label: Label<'_>) {
        let mut count = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS.get(at).map_or("+Inf", |(_, seconds)| seconds);
            text::sample(page, metric, "_bucket", &[label, ("le", bound)], count);
        }
        // Micros, not seconds, are whole; the division is exact enough to print.
        text::sample(page, metric, "_sum", &[label], self.sum.load(Ordering::Relaxed) as f64 / 1e6);
        // The last bucket by definition; a count of its own could differ from it in the middle of a flush.
        text::sample(page, metric, "_count", &[label], count);
    }
}

/// What one worker counted since its last flush.
#[derive(Debug, Default)]
pub struct LocalHistogram {
    buckets: [Cell<u64>; BUCKETS],
    /// Nanoseconds.
    sum: Cell<u64>,
}

impl LocalHistogram {
    #[inline]
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = &self.buckets[BOUNDS.partition_point(|(bound, _)| *bound < nanos)];
        bucket.set(bucket.get() + 1);
        self.sum.set(self.sum.get().saturating_add(nanos));
    }

    pub fn flush(&self, shared: &Histogram) {
        for (local, shared) in self.buckets.iter().zip(&shared.buckets) {
            let counted = local.take();
            if counted > 0 {
                shared.fetch_add(counted, Ordering::Relaxed);
            }
        }
        // What is less than a microsecond stays for the next time, so that nothing is lost to rounding.
        let nanos = self.sum.replace(self.sum.get() % 1_000);
        if nanos >= 1_000 {
            shared.sum.fetch_add(nanos / 1_000, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        for (nanos, bucket) in
            [(0, 0), (500_000, 0), (500_001, 1), (1_000_000, 1), (59_999_999_999, 15), (60_000_000_000, 15), (60_000_000_001, 16)]
        {
            let local = LocalHistogram::default();
            local.record(Duration::from_nanos(nanos));
            let filled: Vec<usize> = (0..BUCKETS).filter(|at| local.buckets[*at].get() == 1).collect();
            assert_eq!(filled, [bucket], "{nanos} ns");
        }
    }

    #[test]
    fn bounds_say_the_same_in_both_columns() {
        for (nanos, seconds) in BOUNDS {
            assert_eq!(Duration::from_secs_f64(seconds.parse().unwrap()).as_nanos(), u128::from(nanos), "{seconds}");
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn the_sum_keeps_what_is_less_than_a_microsecond() {
        let (shared, local) = (Histogram::default(), LocalHistogram::default());
        for _ in 0..10 {
            local.record(Duration::from_nanos(300));
            local.flush(&shared);
        }
        assert_eq!(shared.sum.load(Ordering::Relaxed), 3);
        assert_eq!(shared.buckets[0].load(Ordering::Relaxed), 10);
    }
}
