//! One worker's side of a backend: the connections that wait for a request.
//!
//! Newest first: the warmest connection serves next, and in quiet times the oldest ones run out of time by themselves. A connection
//! is looked at before it is lent, which costs no system call as long as nothing has come on it; one that its backend has closed
//! is found then, or by the sweep.

use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::{Queue, Ward};
use crate::backend::Backend;
use crate::http1::client::Connection;
use crate::io::timer;

/// Connections that became idle together are not closed together: each next one has a step less of its time, up to a tenth.
const JITTER_STEPS: u32 = 11;
const JITTER_PART: u32 = 100;

pub struct Seat {
    pub backend: Arc<Backend>,
    /// Of the backend's pool: who waits there gets the slots that come back.
    queue: Arc<Queue>,
    idle: RefCell<Vec<Idle>>,
    /// Connections kept by this worker; 0 once the backend is no longer ours.
    most: Cell<usize>,
    keep: Cell<Duration>,
    /// Spreads the ends of idle connections.
    turn: Cell<u32>,
    /// Who hears how the backend answers.
    ward: RefCell<Arc<Ward>>,
}

struct Idle {
    connection: Box<Connection>,
    since: Duration,
    until: Duration,
}

impl Seat {
    /// `most`: connections kept idle by this worker. `keep`: for how long.
    pub fn new(backend: Arc<Backend>, queue: Arc<Queue>, ward: Arc<Ward>, most: usize, keep: Duration) -> Seat {
        let (most, keep, ward) = (Cell::new(most), Cell::new(keep), RefCell::new(ward));
        Seat { backend, queue, idle: RefCell::default(), most, keep, turn: Cell::default(), ward }
    }

    /// A backend that this worker has no seat for: it was added while the request waited in line, and the request is older than the
    /// worker's view of it. It keeps nothing.
    pub fn passing(backend: Arc<Backend>, queue: Arc<Queue>, ward: Arc<Ward>) -> Seat {
        Seat::new(backend, queue, ward, 0, Duration::ZERO)
    }

    /// One slot of the backend comes free.
    pub fn give_back(&self) {
        self.queue.give_back(&self.backend);
    }

    /// After a reload: answers are judged by new rules from now on, those to requests under way too.
    pub fn entrust(&self, ward: &Arc<Ward>) {
        self.ward.replace(ward.clone());
    }

    pub fn ward(&self) -> Ref<'_, Arc<Ward>> {
        self.ward.borrow()
    }

    /// After a reload: new limits for connections that come back from now on.
    pub fn adjust(&self, most: usize, keep: Duration) {
        self.most.set(most);
        self.keep.set(keep);
        let mut idle = self.idle.borrow_mut();
        let surplus = idle.len().saturating_sub(most);
        idle.drain(..surplus);
    }

    /// The backend was removed: keep nothing, now and later.
    pub fn retire(&self) {
        self.adjust(0, Duration::ZERO);
    }

    /// A connection that waits, if there is one that is good. `rested`: at most this long ago, for requests that must not be repeated.
    pub fn checkout(&self, rested: Option<Duration>) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let top = idle.last()?;
            if rested.is_some_and(|rested| timer::now().saturating_sub(top.since) > rested) {
                return None;
            }
            let top = idle.pop()?;
            if top.until > timer::now() && top.connection.is_quiet() {
                return Some(top.connection);
            }
        }
    }

    /// Keeps a connection for later. `keep_most`: what the backend itself allows, where it said so.
    pub fn take_back(&self, connection: Box<Connection>, keep_most: Option<Duration>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.most.get() {
            return;
        }
        let turn = (self.turn.get() + 1) % JITTER_STEPS;
        self.turn.set(turn);
        let keep = self.keep.get();
        let keep = keep.saturating_sub(keep / JITTER_PART * turn);
        let keep = keep_most.map_or(keep, |most| most.min(keep));
        let since = timer::now();
        idle.push(Idle { connection, since, until: since + keep });
    }

    /// Closes what has waited too long and what its backend has closed.
    pub fn sweep(&self) {
        let now = timer::now();
        self.idle.borrow_mut().retain(|idle| idle.until > now && idle.connection.is_quiet());
    }

    /// Connections that wait.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}
