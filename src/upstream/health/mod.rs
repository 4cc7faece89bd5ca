//! Active checks: every backend of a pool with a `health` key is probed for as long as it is in the configuration.
//!
//! One task per backend, all on the main thread's runtime; requests notice nothing but the verdicts. Probes of a thousand backends
//! are spread over time by `schedule`, and `AT_ONCE` bounds how many are open at any moment: above it they wait for their turn, and
//! their time begins when it comes, so that waiting in our own queue is never taken for a slow backend.
//!
//! A task belongs to a backend and a check. A reload that changes neither leaves it alone, its place in the schedule included.

mod probe;
mod schedule;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::Ward;
use crate::address::Address;
use crate::backend::{Backend, Change, Finding};
use crate::balance::Set;
use crate::config::model::Health;
use crate::tls::Peer;

/// Probes open at once.
const AT_ONCE: usize = 256;

/// A pool as the prober sees it.
pub struct Checked {
    pub pool: Arc<str>,
    pub set: Arc<Set>,
    pub ward: Arc<Ward>,
    pub check: Arc<Health>,
    /// By address; empty: plain.
    pub peers: HashMap<Address, Peer>,
}

/// All probing of the process. Dropping it ends it.
pub struct Probes {
    tasks: JoinSet<()>,
    probed: HashMap<(Arc<str>, Address), Probed>,
    turns: Arc<Semaphore>,
}

struct Probed {
    backend: Arc<Backend>,
    check: Arc<Health>,
    peer: Option<Peer>,
    ward: Shared,
    task: AbortHandle,
}

impl Probed {
    fn is_as(&self, backend: &Arc<Backend>, check: &Arc<Health>, peer: Option<&Peer>) -> bool {
        let same_peer = match (&self.peer, peer) {
            (Some(mine), Some(other)) => mine.is(other),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.backend, backend) && self.check == *check && same_peer
    }
}

/// Who hears of changes; another one after each reload.
type Shared = Arc<Mutex<Arc<Ward>>>;

impl Default for Probes {
    fn default() -> Probes {
        Probes { tasks: JoinSet::new(), probed: HashMap::new(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Probes {
    /// From now on these are probed, and no others. To be called in a runtime with time and net.
    pub fn follow(&mut self, pools: impl IntoIterator<Item = Checked>) {
        let mut before = std::mem::take(&mut self.probed);
        let mut new = 0;
        for Checked { pool, set, ward, check, peers } in pools {
            for member in &set.members {
                let backend = &member.backend;
                let key = (pool.clone(), backend.address.clone());
                let peer = peers.get(&backend.address);
                let probed = match before.remove(&key) {
                    Some(probed) if probed.is_as(backend, &check, peer) => {
                        *probed.ward.lock().unwrap_or_else(PoisonError::into_inner) = ward.clone();
                        probed
                    }
                    old => {
                        if let Some(old) = old {
                            old.task.abort();
                            if Arc::ptr_eq(&old.backend, backend) {
                                backend.check_changed();
                            }
                        }
                        new += 1;
                        self.begin(backend, &pool, &ward, (&check, peer), new)
                    }
                };
                self.probed.insert(key, probed);
            }
        }
        before.into_values().for_each(|gone| gone.task.abort());
        // What has ended is forgotten here and not by a task of its own.
        while self.tasks.try_join_next().is_some() {}
    }

    fn begin(
        &mut self,
        backend: &Arc<Backend>,
        pool: &Arc<str>,
        ward: &Arc<Ward>,
        (check, peer): (&Arc<Health>, Option<&Peer>),
        nth: usize,
    ) -> Probed {
        let ward = Arc::new(Mutex::new(ward.clone()));
        let first = schedule::first(check, backend.standing().is_undecided(), nth, fastrand::f64());
        let course = Course { backend: backend.clone(), pool: pool.clone(), ward: ward.clone(), check: check.clone() };
        let turns = self.turns.clone();
        let spoken = peer.cloned();
        let probe = move |check: Arc<Health>, address| {
            let (turns, peer) = (turns.clone(), spoken.clone());
            async move {
                let _turn = turns.acquire().await;
                probe::probe(&check, address, peer.as_ref()).await
            }
        };
        let task = self.tasks.spawn(course.run(first, probe));
        Probed { backend: backend.clone(), check: check.clone(), peer: peer.cloned(), ward, task }
    }
}

/// One backend, probed again and again.
struct Course {
    backend: Arc<Backend>,
    pool: Arc<str>,
    ward: Shared,
    check: Arc<Health>,
}

impl Course {
    /// For ever; dropping it ends a probe that is under way. `probe`: what was found, if anything, and how long it took.
    async fn run<P, F>(self, first: Duration, probe: P)
    where
        P: Fn(Arc<Health>, Address) -> F,
        F: Future<Output = Option<(Finding, Duration)>>,
    {
        let mut next = Instant::now() + first;
        loop {
            self.backend.next_probe(Some(next.into_std()));
            sleep_until(next).await;
            self.backend.next_probe(None);
            match probe(self.check.clone(), self.backend.address.clone()).await {
                Some((finding, latency)) => self.judge(finding, latency),
                None => debug!(pool = %self.pool, backend = %self.backend.address, "no probe: the process is out of descriptors or ports"),
            }
            let verdict = self.backend.verdict().unwrap_or_default();
            next = Instant::now() + schedule::wait(&self.check, self.backend.standing(), &verdict, fastrand::f64());
        }
    }

    fn judge(&self, finding: Finding, latency: Duration) {
        let Course { backend, pool, check, .. } = self;
        let undecided = backend.standing().is_undecided();
        let change = backend.probed(finding, latency, check.rise, check.fall, SystemTime::now());
        let address = &backend.address;
        match change {
            Some(Change::Begins) => debug!(%pool, backend = %address, %finding, ?latency, "backend is up: its first verdict"),
            Some(Change::Recovers) => info!(%pool, backend = %address, in_a_row = check.rise, ?latency, "backend is up again"),
            Some(Change::Down) => {
                let in_a_row = if undecided { 1 } else { check.fall };
                warn!(%pool, backend = %address, %finding, in_a_row, ?latency, "backend is down");
            }
            None => return,
        }
        let ward = self.ward.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ward.look();
    }
}

#[cfg(test)]
mod tests;
