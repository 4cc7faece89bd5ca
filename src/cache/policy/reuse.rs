//! Whether a kept answer may be used for a request at this moment (RFC 9111 4).

use std::time::{Duration, Instant};

use super::control::Demands;

/// What an answer says about its use, read once when it was kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    pub received: Instant,
    /// How old it was then.
    pub initial_age: Duration,
    pub lifetime: Duration,
    /// Never without asking the origin.
    pub no_cache: bool,
    /// Never stale, whoever asks for it.
    pub strict: bool,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
}

/// What a request may make of a kept answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Fresh,
    /// Stale, and used as it is while somebody asks the origin.
    WhileRevalidated,
    /// Stale, and the request takes it so.
    Accepted,
    /// Only with the origin's word that it still holds.
    Validated,
}

impl Terms {
    /// Of an answer that has just come, is fresh for so long, and says nothing else.
    #[cfg(test)]
    pub fn fresh(lifetime: Duration) -> Terms {
        Terms {
            received: Instant::now(),
            initial_age: Duration::ZERO,
            lifetime,
            no_cache: false,
            strict: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age + now.saturating_duration_since(self.received)
    }

    /// What is left of its lifetime; zero: stale.
    pub fn fresh_for(&self, now: Instant) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    /// The age up to which it could be of use to anybody without the origin's word.
    pub fn usable_for(&self) -> Duration {
        self.lifetime + self.stale_while_revalidate.max(self.stale_if_error)
    }

    /// `expired`: a purge has made it stale, whatever its lifetime.
    pub fn judge(&self, demands: &Demands, expired: bool, now: Instant) -> Use {
        let age = self.age(now);
        if self.no_cache || demands.no_cache || demands.max_age.is_some_and(|most| age > most) {
            return Use::Validated;
        }
        if age + demands.min_fresh < self.lifetime && !expired {
            return Use::Fresh;
        }
        if self.strict || !demands.min_fresh.is_zero() {
            return Use::Validated;
        }
        let staleness = if expired { Duration::ZERO } else { age.saturating_sub(self.lifetime) };
        if staleness < self.stale_while_revalidate {
            return Use::WhileRevalidated;
        }
        // A purge is the owner's word; that a client would take any age does not stand against it.
        match demands.max_stale {
            Some(most) if staleness <= most && !expired => Use::Accepted,
            _ => Use::Validated,
        }
    }

    /// Whether it may be used because the origin fails (RFC 5861 4). Whoever said `no-cache` wants no old answer.
    pub fn serves_on_error(&self, demands: &Demands, now: Instant) -> bool {
        let window = self.stale_if_error.max(demands.stale_if_error.unwrap_or_default());
        !self.strict && !demands.no_cache && self.age(now).saturating_sub(self.lifetime) < window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn age_decides_and_requests_have_their_say() {
        let plain = Terms::fresh(TEN);
        let window = Terms { stale_while_revalidate: seconds(5), ..plain };
        let strict = Terms { strict: true, ..plain };
        let none = Demands::default();
        let age = |most| Demands { max_age: Some(seconds(most)), ..none };
        let stale = |most| Demands { max_stale: Some(most), ..none };
        let fresh = |least| Demands { min_fresh: seconds(least), ..none };
        for (terms, demands, at, expected) in [
            (plain, none, 0, Use::Fresh),
            (plain, none, 9, Use::Fresh),
            (plain, none, 10, Use::Validated),
            (Terms { initial_age: seconds(8), ..plain }, none, 2, Use::Validated),
            (Terms { no_cache: true, ..plain }, none, 0, Use::Validated),
            (plain, Demands { no_cache: true, ..none }, 0, Use::Validated),
            (plain, age(0), 1, Use::Validated),
            (plain, age(5), 5, Use::Fresh),
            (plain, age(5), 6, Use::Validated),
            (plain, fresh(5), 4, Use::Fresh),
            (plain, fresh(5), 5, Use::Validated),
            (window, fresh(5), 12, Use::Validated),
            (window, none, 14, Use::WhileRevalidated),
            (window, none, 15, Use::Validated),
            (plain, stale(seconds(5)), 15, Use::Accepted),
            (plain, stale(seconds(5)), 16, Use::Validated),
            (plain, stale(Duration::MAX), 1_000_000, Use::Accepted),
            (strict, stale(Duration::MAX), 9, Use::Fresh),
            (strict, stale(Duration::MAX), 10, Use::Validated),
            (plain, Demands { max_age: Some(seconds(12)), max_stale: Some(Duration::MAX), ..none }, 13, Use::Validated),
        ] {
            assert_eq!(terms.judge(&demands, false, terms.received + seconds(at)), expected, "{terms:?} {demands:?} at {at}");
        }
    }

    #[test]
    fn a_purge_makes_stale_what_was_fresh() {
        let now = Terms::fresh(TEN).received;
        let judge = |terms: Terms, demands| terms.judge(&demands, true, now);
        assert_eq!(judge(Terms::fresh(TEN), Demands::default()), Use::Validated);
        assert_eq!(judge(Terms { stale_while_revalidate: TEN, ..Terms::fresh(TEN) }, Demands::default()), Use::WhileRevalidated);
        assert_eq!(judge(Terms::fresh(TEN), Demands { max_stale: Some(Duration::MAX), ..Demands::default() }), Use::Validated);
    }

    #[test]
    fn errors_are_hidden_within_their_window_only() {
        let patient = Terms { stale_if_error: seconds(60), ..Terms::fresh(TEN) };
        let none = Demands::default();
        let at = |terms: Terms, demands, at| terms.serves_on_error(&demands, terms.received + seconds(at));
        assert!(at(patient, none, 69) && !at(patient, none, 70) && !at(Terms::fresh(TEN), none, 10));
        assert!(at(Terms::fresh(TEN), Demands { stale_if_error: Some(seconds(5)), ..none }, 14));
        assert!(!at(Terms { strict: true, ..patient }, none, 11));
        assert!(!at(patient, Demands { no_cache: true, ..none }, 11));
    }
}
