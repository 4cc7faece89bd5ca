//! How a backend's answers have been, and what it has been ejected for.
//!
//! The count of errors in a row is an atomic of its own, for requests on all workers touch it; the record of ejections is written
//! once per ejection and stands behind a lock.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use super::Backend;

/// The ejections so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// In a row: the next one lasts the longer the more there were.
    pub times: u32,
    /// Since the process has known the backend.
    pub total: u64,
    /// Why, by the code of the last error; `None`: never ejected.
    pub reason: Option<&'static str>,
    /// When its time is, or was, over.
    pub until: Option<Instant>,
    /// When it was last let back in.
    pub returned: Option<Instant>,
}

impl Backend {
    fn ejection(&self) -> MutexGuard<'_, Record> {
        // Written whole or not at all.
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ejections(&self) -> Record {
        self.ejection().clone()
    }

    /// Errors in a row.
    pub fn errors(&self) -> u32 {
        self.errors.load(Ordering::Relaxed)
    }

    /// One error more; how many in a row it makes.
    pub fn erred(&self) -> u32 {
        self.errors.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// A whole good answer. Costs a load where there was no error before it.
    #[inline]
    pub fn answered(&self) {
        if self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
    }

    /// Out until then. `times`: in a row, with this one.
    pub fn eject(&self, reason: &'static str, times: u32, until: Instant) {
        let mut record = self.ejection();
        *record = Record { times, total: record.total + 1, reason: Some(reason), until: Some(until), returned: record.returned };
        self.errors.store(0, Ordering::Relaxed);
        self.standing.eject();
    }

    /// Its time is over: the next request is its trial. Whether it was.
    pub fn release(&self, now: Instant) -> bool {
        let due = self.standing().is_serving_time() && self.ejection().until.is_none_or(|until| until <= now);
        due && self.standing.put_on_trial()
    }

    /// For a request that has taken a slot of a backend on trial, it is the trial from now on; `false` where another is, and this one
    /// has to look elsewhere. Costs a load where there is no trial.
    #[inline]
    pub fn claim(&self) -> bool {
        self.standing.claim()
    }

    /// For a lease over a slot: whether it is the trial, and says how that ended or that it did not (`trial_lapses`).
    #[inline]
    pub fn begins_trial(&self) -> bool {
        self.standing.begins_trial()
    }

    /// The trial was answered. `errors`: how many it has to its account for now, so that few more are needed to eject it again.
    pub fn trial_passes(&self, errors: u32, now: Instant) -> bool {
        let back = self.standing.trial_passes();
        if back {
            self.ejection().returned = Some(now);
            self.recovered();
            self.errors.store(errors, Ordering::Relaxed);
        }
        back
    }

    /// The trial came to nothing and says nothing, as when its client left: the next request is the trial.
    pub fn trial_lapses(&self) {
        self.standing.trial_lapses();
    }

    /// Ends an ejection before its time, or a trial. Whether there was one.
    pub fn readmit(&self, now: Instant) -> bool {
        let back = self.standing.readmit();
        if back {
            let mut record = self.ejection();
            record.times = 0;
            record.returned = Some(now);
            drop(record);
            self.recovered();
        }
        back
    }
}
