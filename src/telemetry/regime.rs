//! A state that comes and goes many times a second, and is told twice: when it begins, and in sum when it has been over for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without a sign of it for this long, it is over.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Regime(Mutex<Option<Spell>>);

struct Spell {
    began: Instant,
    last: Instant,
    count: u64,
}

/// How it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    pub lasted: Duration,
    /// Those that it has happened to.
    pub count: u64,
}

impl Regime {
    /// It is so now. `true`: that is news.
    pub fn holds(&self, now: Instant) -> bool {
        let mut spell = self.spell();
        let news = spell.is_none();
        spell.get_or_insert(Spell { began: now, last: now, count: 0 }).last = now;
        news
    }

    /// One more that it has happened to.
    pub fn count_one(&self) {
        if let Some(spell) = &mut *self.spell() {
            spell.count += 1;
        }
    }

    /// What it was, once, when it is over.
    pub fn take_over(&self, now: Instant) -> Option<Summary> {
        let ended = self.spell().take_if(|spell| now.duration_since(spell.last) >= QUIET)?;
        Some(Summary { lasted: ended.last - ended.began, count: ended.count })
    }

    // Numbers only: nothing in here can be left half-done by a panic.
    fn spell(&self) -> std::sync::MutexGuard<'_, Option<Spell>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_begins_and_in_sum_when_it_has_been_over_for_a_while() {
        let regime = Regime::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(regime.take_over(at(0)), None);
        assert!(regime.holds(at(0)));
        for second in 1..=30 {
            assert!(!regime.holds(at(second)), "second {second}");
            regime.count_one();
            assert_eq!(regime.take_over(at(second) + QUIET / 2), None);
        }
        assert_eq!(regime.take_over(at(30) + QUIET), Some(Summary { lasted: Duration::from_secs(30), count: 30 }));
        assert_eq!(regime.take_over(at(60)), None, "once");
        assert!(regime.holds(at(60)), "and then it may begin again");
    }
}
