//! One worker's side of a backend: the connections that wait for a request.
//!
//! A connection that began with a PROXY header belongs to the client connection that the header named: only requests from there may
//! have it. Their bytes would else be taken for somebody else's by a backend that believes the header, as it should.
//!
//! Newest first: the warmest connection serves next, and in quiet times the oldest ones run out of time by themselves. A connection
//! is looked at before it is lent, which costs no system call as long as nothing has come on it; one that its backend has closed
//! is found then, or by the sweep.

use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::{Lines, Queue, Ward};
use crate::backend::Backend;
use crate::http1::client::Connection;
use crate::io::timer;
use crate::listen::proxy_protocol::Relayed;

/// Connections that became idle together are not closed together: each next one has a step less of its time, up to a tenth.
const JITTER_STEPS: u32 = 11;
const JITTER_PART: u32 = 100;

pub struct Seat {
    pub backend: Arc<Backend>,
    /// Of the backend's pool: who waits there gets the slots that come back.
    queue: Arc<Queue>,
    idle: RefCell<Vec<Idle>>,
    /// Where HTTP/2 is spoken; empty elsewhere.
    pub lines: Lines,
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
    /// Whose it is; `None`: anybody's.
    owner: Option<Box<Relayed>>,
    since: Duration,
    until: Duration,
}

impl Seat {
    /// `most`: connections kept idle by this worker. `keep`: for how long.
    pub fn new(backend: Arc<Backend>, queue: Arc<Queue>, ward: Arc<Ward>, most: usize, keep: Duration) -> Seat {
        let (most, keep, ward) = (Cell::new(most), Cell::new(keep), RefCell::new(ward));
        Seat { backend, queue, idle: RefCell::default(), lines: Lines::default(), most, keep, turn: Cell::default(), ward }
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
        self.lines.retire();
    }

    /// A connection that waits, if there is one that is good. `rested`: at most this long ago, for requests that must not be repeated.
    /// `owner`: only one of theirs; `None`: only one of nobody's.
    pub fn checkout(&self, rested: Option<Duration>, owner: Option<&Relayed>) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            // The newest, but where owners tell them apart.
            let at = idle.iter().rposition(|idle| idle.owner.as_deref() == owner)?;
            if rested.is_some_and(|rested| timer::now().saturating_sub(idle[at].since) > rested) {
                return None;
            }
            let found = idle.remove(at);
            if found.until > timer::now() && found.connection.is_quiet() {
                return Some(found.connection);
            }
        }
    }

    /// Keeps a connection for later. `keep_most`: what the backend itself allows, where it said so.
    pub fn take_back(&self, connection: Box<Connection>, keep_most: Option<Duration>, owner: Option<Box<Relayed>>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.most.get() {
            // Of those that have owners the oldest are the least likely to be asked for: their owners may have gone.
            match idle.first() {
                Some(oldest) if owner.is_some() && oldest.owner.is_some() => drop(idle.remove(0)),
                _ => return,
            }
        }
        let turn = (self.turn.get() + 1) % JITTER_STEPS;
        self.turn.set(turn);
        let keep = self.keep.get();
        let keep = keep.saturating_sub(keep / JITTER_PART * turn);
        let keep = keep_most.map_or(keep, |most| most.min(keep));
        let since = timer::now();
        idle.push(Idle { connection, owner, since, until: since + keep });
    }

    /// Closes what has waited too long and what its backend has closed.
    pub fn sweep(&self) {
        let now = timer::now();
        self.idle.borrow_mut().retain(|idle| idle.until > now && idle.connection.is_quiet());
        self.lines.sweep(self.most.get(), self.keep.get());
    }

    /// Connections that wait.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len() + self.lines.idle()
    }
}
