//! A backend's slot for one exchange, and the way home for its connection.
//!
//! It also carries what becomes of the exchange to the pool's ward: a backend is judged by how its answers end, and those end long
//! after the request has left `proxy`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Seat;
use crate::failure::Failure;
use crate::http1::client::{Connection, Home};
use crate::listen::proxy_protocol::Relayed;
use crate::message::Witness;

/// One request in flight to a backend, from before the connect to the last byte of the answer. Dropping it at any time gives the
/// slot back: a client may leave at every await. What is dropped without a word says nothing about the backend.
pub struct Lease {
    seat: Rc<Seat>,
    /// How long the backend is willing to keep the connection.
    keep_most: Cell<Option<Duration>>,
    /// This request is its backend's trial, and the backend has not been judged.
    trial: Cell<bool>,
    /// It was answered, and the answer's status is no error.
    good: Cell<bool>,
    /// Whose connection it takes; `None`: anybody's.
    owner: Option<Box<Relayed>>,
}

impl Lease {
    /// Over a slot of the seat's backend that was taken already. Where the slot is its trial, the lease is.
    pub fn over(seat: Rc<Seat>) -> Lease {
        let trial = Cell::new(seat.backend.begins_trial());
        Lease { seat, keep_most: Cell::new(None), trial, good: Cell::new(false), owner: None }
    }

    /// Its connection is to be this client's alone, and to begin with a header that says so.
    pub fn owned_by(mut self, owner: Option<Box<Relayed>>) -> Lease {
        self.owner = owner;
        self
    }

    pub fn owner(&self) -> Option<&Relayed> {
        self.owner.as_deref()
    }

    pub fn seat(&self) -> &Rc<Seat> {
        &self.seat
    }

    /// The backend said `Keep-Alive: timeout=`: we close first, a second before it would.
    pub fn heed(&self, timeout: Duration) {
        self.keep_most.set(Some(timeout.saturating_sub(Duration::from_secs(1))));
    }

    /// The head of the answer has come.
    pub fn answered(&self, status: u16) {
        self.good.set(self.seat.ward().answered(&self.seat.backend, self.trial.take(), status));
    }

    /// The attempt failed, whoever is to blame.
    pub fn failed(&self, failure: Failure) {
        self.seat.ward().failed(&self.seat.backend, self.trial.get(), failure);
    }
}

impl Witness for Lease {
    fn ended(&self, how: Result<(), Failure>) {
        match how {
            // An answer that is cut is no good answer: only a whole one makes up for errors before it.
            Ok(()) if self.good.get() => self.seat.backend.answered(),
            Ok(()) => {}
            Err(failure) => self.failed(failure),
        }
    }
}

impl Home for Lease {
    fn take_back(mut self, connection: Box<Connection>) {
        let owner = self.owner.take();
        self.seat.take_back(connection, self.keep_most.get(), owner);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.trial.get() {
            // Where it has failed, the backend is ejected by now, and there is no trial to give back.
            self.seat.backend.trial_lapses();
        }
        self.seat.give_back();
    }
}
