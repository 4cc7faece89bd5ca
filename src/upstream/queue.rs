//! The queue of a pool, over all workers: who finds every backend full waits here, first come, first served.
//!
//! It is touched only when a pool is full. A request that finds a slot looks at one number (`has_waiters`); one that gives a slot back
//! looks at the same number. Everything else is behind a lock, which is fine: whoever takes it is about to wait anyway, or ends the
//! wait of somebody else.
//!
//! A slot is *handed over*: the one who gives it back picks for the oldest waiter, takes the slot in that one's name, and wakes it. So
//! nobody who is woken can come too late, however long its worker takes to get to it, and the slots of several are under way at once.
//! As long as anybody waits, newcomers line up behind: they never take what was given back for those who wait.
//!
//! **No lost wake-up.** A waiter is in line (`waiting` is raised) before it looks for a slot one last time; a slot is given back
//! (`Backend::end`) before `waiting` is looked at. Of two such threads at least one sees what the other did: the store, a fence and the
//! look on the one side, two sequentially consistent operations on the other. What is not a slot given back, and lets somebody be
//! picked all the same (a backend that is up again, a limit that was raised, a backend more), has to call `kick`, whose fence does
//! for a change of any order what `end` does by itself. Each worker does so once a second besides, so that a call that was forgotten
//! is a delay and not a hang. `queue/exhaustive.rs` tries all interleavings of this.
//!
//! Bounds: `Queue::max` waiters, `wait` for each.

mod pace;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::breaker::{self, Taken};
use crate::address::Address;
use crate::backend::Backend;
use crate::balance::{Balancer, Hint, Set};
use crate::config::model;
use crate::failure::Failure;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, fence};
use pace::Pace;

/// Those who wait for a slot in one pool. Found by the pool's name, so that a reload leaves everybody in line.
#[derive(Default)]
pub struct Queue {
    /// The length of the line. A copy of what is behind the lock, for those who only want to know whether there is one.
    waiting: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What to pick from, as in the newest table; `None`: not yet.
    choice: Option<(Arc<Set>, Arc<dyn Balancer>)>,
    random: fastrand::Rng,
    /// Oldest first; tickets rise.
    line: VecDeque<Waiter>,
    /// Slots taken for waiters who have not come for them yet.
    granted: Vec<(u64, Arc<Backend>)>,
    tickets: u64,
    pace: Pace,
}

struct Waiter {
    ticket: u64,
    /// Backends that its request has been to. By address: while it waits, a reload may change positions.
    tried: Vec<Address>,
    waker: Option<Waker>,
}

impl Queue {
    /// What waiters are given slots of from now on; and there may be some at once.
    pub fn adopt(&self, set: Arc<Set>, balancer: Arc<dyn Balancer>) {
        self.inner().choice = Some((set, balancer));
        self.kick();
    }

    /// Whether anybody waits: then newcomers line up behind.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Something has changed for the better: a backend is back, a limit was raised. Serves whom it can.
    pub fn kick(&self) {
        // What has changed is seen by whoever is not seen here to wait.
        fence(Ordering::SeqCst);
        self.serve_waiters();
    }

    /// A slot of this backend comes free; it goes to the oldest waiter who may have it.
    #[inline]
    pub fn give_back(&self, backend: &Backend) {
        backend.end();
        // Loom does not know that two sequentially consistent operations are in one order for all.
        #[cfg(all(test, feature = "loom"))]
        fence(Ordering::SeqCst);
        self.serve_waiters();
    }

    #[inline]
    fn serve_waiters(&self) {
        if self.has_waiters() {
            self.serve(Instant::now());
        }
    }

    /// Takes a place at the end of the line; or says why not. `tried`: backends that the request has been to.
    pub fn join(self: &Arc<Self>, limits: &model::Queue, tried: Vec<Address>, now: Instant) -> Result<Place, Failure> {
        let mut inner = self.inner();
        let ahead = inner.line.len();
        if ahead >= limits.max {
            return Err(Failure::QueueFull);
        }
        if inner.pace.wait(ahead, now).is_some_and(|wait| wait > limits.wait) {
            return Err(Failure::QueueTooLong);
        }
        inner.tickets += 1;
        let ticket = inner.tickets;
        inner.line.push_back(Waiter { ticket, tried, waker: None });
        self.publish(&inner);
        drop(inner);
        // From here on the place is left by `Drop`.
        let place = Place { queue: self.clone(), ticket };
        self.serve(now);
        Ok(place)
    }

    /// Hands out the slots that there are, in the order of the line.
    fn serve(&self, now: Instant) {
        let mut inner = self.inner();
        // With the store of `publish` before it: see the module's head.
        fence(Ordering::SeqCst);
        let mut woken = Vec::new();
        inner.hand_out(now, &mut woken);
        self.publish(&inner);
        drop(inner);
        // Outside the lock: whoever is woken may run at once on another worker, and comes here first.
        woken.into_iter().for_each(Waker::wake);
    }

    fn publish(&self, inner: &Inner) {
        self.waiting.store(inner.line.len(), Ordering::SeqCst);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic in the middle of a pick leaves at worst a slot that was counted and granted to nobody; the line is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn hand_out(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        let Some((set, balancer)) = &self.choice else { return };
        let mut at = 0;
        while let Some(waiter) = self.line.get(at) {
            // Mostly nobody, and then the set is not gone through.
            let position = |tried: &Address| set.members.iter().position(|member| member.backend.address == *tried);
            let tried: Vec<usize> = waiter.tried.iter().filter_map(position).collect();
            // Who has waited goes where there is a slot; what its request hashes to decides nothing here.
            let key = self.random.u64(..);
            match breaker::take(set, &**balancer, &mut Hint { tried: &tried, key, now, random: &mut self.random }) {
                Taken::Slot(index) => {
                    self.pace.granted(now);
                    if let Some(waiter) = self.line.remove(at) {
                        self.granted.push((waiter.ticket, set.members[index].backend.clone()));
                        woken.extend(waiter.waker);
                    }
                }
                // There is nothing for anybody.
                Taken::Full | Taken::Nobody if tried.is_empty() => break,
                // Only nothing that this one has not been to; others may have it.
                Taken::Full | Taken::Nobody => at += 1,
            }
        }
        if self.line.is_empty() {
            self.pace = Pace::default();
        }
    }

    /// The slot that was taken for this waiter, if there is one.
    fn claim(&mut self, ticket: u64) -> Option<Arc<Backend>> {
        let at = self.granted.iter().position(|(granted, _)| *granted == ticket)?;
        Some(self.granted.swap_remove(at).1)
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }
}

/// A place in the line. Dropping it at any time leaves the line; a slot that was under way goes to the next.
pub struct Place {
    queue: Arc<Queue>,
    ticket: u64,
}

impl Place {
    /// Ready with a backend one slot of which is the caller's now. Not to be polled after that.
    pub fn poll_slot(&self, cx: &mut Context<'_>) -> Poll<Arc<Backend>> {
        let mut inner = self.queue.inner();
        if let Some(backend) = inner.claim(self.ticket) {
            return Poll::Ready(backend);
        }
        if let Some(at) = inner.position(self.ticket) {
            inner.line[at].waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.queue.inner();
        if let Some(at) = inner.position(self.ticket) {
            inner.line.remove(at);
            if inner.line.is_empty() {
                inner.pace = Pace::default();
            }
            self.queue.publish(&inner);
        } else if let Some(backend) = inner.claim(self.ticket) {
            drop(inner);
            // It may have been its backend's trial.
            if backend.begins_trial() {
                backend.trial_lapses();
            }
            self.queue.give_back(&backend);
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod exhaustive;
#[cfg(all(test, not(feature = "loom")))]
mod tests;
