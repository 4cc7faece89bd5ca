//! A backend's slot for one exchange, and the way home for its connection.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Seat;
use crate::http1::client::{Connection, Home};

/// One request in flight to a backend, from before the connect to the last byte of the answer. Dropping it at any time gives the
/// slot back: a client may leave at every await.
pub struct Lease {
    seat: Rc<Seat>,
    /// How long the backend is willing to keep the connection.
    keep_most: Cell<Option<Duration>>,
}

impl Lease {
    /// Over a slot of the seat's backend that was taken already.
    pub fn over(seat: Rc<Seat>) -> Lease {
        Lease { seat, keep_most: Cell::new(None) }
    }

    pub fn seat(&self) -> &Rc<Seat> {
        &self.seat
    }

    /// The backend said `Keep-Alive: timeout=`: we close first, a second before it would.
    pub fn heed(&self, timeout: Duration) {
        self.keep_most.set(Some(timeout.saturating_sub(Duration::from_secs(1))));
    }
}

impl Home for Lease {
    fn take_back(self, connection: Box<Connection>) {
        self.seat.take_back(connection, self.keep_most.get());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.seat.give_back();
    }
}
