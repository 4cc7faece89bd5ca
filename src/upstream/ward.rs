//! A pool's backends, watched as a whole: who is ejected and who comes back, and what becomes of requests when nobody is up.
//!
//! A ward belongs to one table; what it has to remember about the pool is in `Rounds`, which survives every reload. Decisions that
//! look at more than one backend pass one at a time through a gate there, which is why an ejection can never be one too many. The
//! gate is a lock, and no request meets it until something is wrong.
//!
//! Requests that are older than the table in force report to a ward that knows only the pool that was. It decides nothing any more:
//! it would count backends that have left among those that could take over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{info, warn};

use super::Queue;
use super::ejection::{self, Census};
use crate::backend::Backend;
use crate::balance::Set;
use crate::config::model::{Eject, WhenAllDown};
use crate::failure::Failure;
use crate::io::Timer;

/// What is remembered of a pool.
#[derive(Debug, Default)]
pub struct Rounds {
    gate: Mutex<()>,
    /// Every backend that could take requests is down or ejected; announced.
    all_down: AtomicBool,
    /// Something about some backend has changed.
    news: Notify,
    /// Wards of this pool so far; the last one is in force.
    wards: AtomicU64,
}

impl Rounds {
    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the configuration says about a pool's bad times.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `None`: nothing is ejected.
    pub eject: Option<Eject>,
    pub when_all_down: WhenAllDown,
    /// How long a request may wait for the first verdict on any backend: as long as a probe may take.
    pub patience: Duration,
}

pub struct Ward {
    pool: Arc<str>,
    set: Arc<Set>,
    rules: Rules,
    rounds: Arc<Rounds>,
    /// Which of the pool's wards it is.
    number: u64,
    /// Who waits there may be served by a backend that is back.
    queue: Arc<Queue>,
}

impl Ward {
    /// It is in force from now on, in place of the one before it.
    pub fn new(pool: Arc<str>, set: Arc<Set>, rules: Rules, rounds: Arc<Rounds>, queue: Arc<Queue>) -> Ward {
        let number = rounds.wards.fetch_add(1, Ordering::Relaxed) + 1;
        Ward { pool, set, rules, rounds, number, queue }
    }

    /// To be asked within the gate by whoever is about to decide.
    fn is_in_force(&self) -> bool {
        self.rounds.wards.load(Ordering::Relaxed) == self.number
    }

    /// Those that take requests when they are up.
    fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.set.members.iter().filter(|member| member.weight > 0).map(|member| &member.backend)
    }

    /// An attempt at this backend has failed. `trial`: it was the backend's trial.
    pub fn failed(&self, backend: &Backend, trial: bool, failure: Failure) {
        let Some(rules) = &self.rules.eject else { return };
        if ejection::is_fault(rules, failure) {
            self.erred(rules, backend, trial, failure.code());
        }
    }

    /// A backend has answered with this status. Whether that is no error.
    #[inline]
    pub fn answered(&self, backend: &Backend, trial: bool, status: u16) -> bool {
        let Some(rules) = &self.rules.eject else { return true };
        if !rules.on.statuses.is_empty() && ejection::is_faulty_status(rules, status) {
            self.erred(rules, backend, trial, "status");
            return false;
        }
        if trial && backend.trial_passes(rules.errors - 1, Instant::now()) {
            info!(pool = %self.pool, backend = %backend.address, "backend is back: its trial was answered");
            self.look();
        }
        true
    }

    #[cold]
    fn erred(&self, rules: &Eject, backend: &Backend, trial: bool, reason: &'static str) {
        let errors = backend.erred();
        if errors < rules.errors && !trial {
            return;
        }
        {
            let _one_at_a_time = self.rounds.gate();
            // Errors of requests that were under way when it was ejected are no news, and no part of its trial.
            let is_news = self.is_in_force() && backend.standing().is_ejected() == trial;
            if !is_news || !trial && !ejection::allows(rules, self.census(backend)) {
                return;
            }
            let now = Instant::now();
            let term = ejection::term(rules, &backend.ejections(), now);
            backend.eject(reason, term.times, now + term.length);
            let (pool, address) = (&self.pool, &backend.address);
            let (length, times) = (term.length, term.times);
            match trial {
                true => warn!(%pool, backend = %address, reason, ?length, times, "backend failed its trial: ejected for longer"),
                false => warn!(%pool, backend = %address, reason, errors, ?length, times, "backend ejected"),
            }
        }
        self.look();
    }

    fn census(&self, of: &Backend) -> Census {
        let mut census = Census::default();
        for backend in self.backends() {
            let standing = backend.standing();
            census.size += 1;
            census.ejected += usize::from(standing.is_ejected());
            census.others_up += usize::from(standing.is_up() && !std::ptr::eq(&**backend, of));
        }
        census
    }

    /// Once a second: ends ejections whose time is over, and looks around.
    pub fn tick(&self, now: Instant) {
        for member in &self.set.members {
            let backend = &*member.backend;
            let (pool, address) = (&self.pool, &backend.address);
            if self.rules.eject.is_none() {
                if backend.readmit(now) {
                    info!(%pool, backend = %address, "backend is back: ejection is turned off");
                }
            } else if backend.release(now) {
                info!(%pool, backend = %address, "ejection is over: the next request is the backend's trial");
            }
        }
        self.look();
    }

    /// Sees whether any backend is up, and lets requests in where none is and the pool fails open. Announces when that begins and ends.
    pub fn look(&self) {
        self.look_around();
        // Not within the gate: it has a lock of its own.
        self.queue.kick();
    }

    fn look_around(&self) {
        let _one_at_a_time = self.rounds.gate();
        if !self.is_in_force() {
            return;
        }
        self.let_surplus_in();
        let (mut up, mut undecided, mut candidates) = (false, false, false);
        for backend in self.backends() {
            let standing = backend.standing();
            up |= standing.is_up();
            undecided |= standing.is_last_resort() && standing.is_undecided();
            candidates |= standing.is_last_resort();
        }
        // Before the first verdict nothing is known to be down.
        let all_down = !up && !undecided && candidates;
        let open = all_down && self.rules.when_all_down == WhenAllDown::FailOpen;
        for member in &self.set.members {
            if member.backend.standing().is_open() != open {
                member.backend.fail_open(open);
            }
        }
        let pool = &self.pool;
        if self.rounds.all_down.swap(all_down, Ordering::Relaxed) != all_down {
            match (all_down, open) {
                (true, true) => warn!(%pool, "no backend of the pool is up: failing open, requests go to backends that are down"),
                (true, false) => warn!(%pool, "no backend of the pool is up: requests are answered with 503"),
                (false, _) => info!(%pool, "the pool has a backend that is up again"),
            }
        }
        self.rounds.news.notify_waiters();
    }

    /// A pool that has become smaller has perhaps too many out for its size: then those whose time would be over first are back at once.
    fn let_surplus_in(&self) {
        let Some(rules) = &self.rules.eject else { return };
        let mut ejected: Vec<&Arc<Backend>> = self.backends().filter(|backend| backend.standing().is_ejected()).collect();
        let surplus = ejected.len().saturating_sub(ejection::most(rules, self.backends().count()));
        if surplus == 0 {
            return;
        }
        ejected.sort_by_key(|backend| backend.ejections().until);
        for backend in &ejected[..surplus] {
            if backend.readmit(Instant::now()) {
                info!(pool = %self.pool, backend = %backend.address, "backend is back: too many of the pool were ejected");
            }
        }
    }

    /// For a request that found nothing to pick: whether it is worth another look, at once or after a wait for the first verdict.
    pub async fn second_look(&self) -> bool {
        if self.rounds.all_down.load(Ordering::Relaxed) {
            // It is known already, and what there is to pick was offered.
            return self.has_any();
        }
        self.look();
        if self.has_any() {
            return true;
        }
        if !self.is_undecided() {
            return false;
        }
        let timer = Timer::new();
        let first_verdict = async {
            loop {
                let news = self.rounds.news.notified();
                let mut news = std::pin::pin!(news);
                // Counts as waiting from here on: a verdict between the look and the wait must not be missed.
                news.as_mut().enable();
                if self.has_any() || !self.is_undecided() {
                    return;
                }
                news.await;
            }
        };
        let _ = timer.limit(self.rules.patience, first_verdict).await;
        self.has_any()
    }

    fn has_any(&self) -> bool {
        self.backends().any(|backend| backend.is_available())
    }

    fn is_undecided(&self) -> bool {
        self.backends().any(|backend| backend.standing().is_undecided())
    }

    /// For the gauge: requests go to backends that are down.
    pub fn fails_open(&self) -> bool {
        self.rounds.all_down.load(Ordering::Relaxed) && self.rules.when_all_down == WhenAllDown::FailOpen
    }
}

#[cfg(test)]
#[path = "ward/tests.rs"]
mod tests;
