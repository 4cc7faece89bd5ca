//! One worker's HTTP/2 connections to one backend: many requests on each, and as many connections as that takes.
//!
//! A request goes to the oldest connection that has room, so that those that were opened in a crowd have nothing to do when it is gone,
//! and are closed. Where there is no room, another connection is opened; it is waited for by as many requests as it is expected to
//! take, which is as many as the last one took. Whoever of them goes on first finds the connection and makes it known to all.
//!
//! What opens is polled by those who wait for it, and is dropped with the last of them: there is no task to look after.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::failure::Failure;
use crate::http2::client::{Connection, Place};
use crate::io::timer;

type Connecting = Shared<LocalBoxFuture<'static, Result<Rc<Connection>, Failure>>>;

#[derive(Default)]
pub struct Lines {
    open: RefCell<Vec<Rc<Connection>>>,
    opening: RefCell<Vec<Rc<Opening>>>,
    /// Requests that the last connection took at once; `None`: there was none yet.
    expected: Cell<Option<usize>>,
}

struct Opening {
    connecting: Connecting,
    waiters: Cell<usize>,
}

/// Requests that a first connection is expected to take: what RFC 9113 6.5.2 recommends that it does.
const EXPECTED: usize = 100;

/// How a request came to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// On a connection that was there, or that another request had begun to open.
    Kept,
    /// On one that was opened for it.
    Opened,
}

impl Lines {
    /// A place for a request. Cancel safe: a connection that nobody waits for any more is given up.
    pub async fn claim<F>(&self, connect: impl Fn() -> F) -> Result<(Place, Came), Failure>
    where
        F: Future<Output = Result<Rc<Connection>, Failure>> + 'static,
    {
        let mut came = Came::Kept;
        loop {
            if let Some(place) = self.place() {
                return Ok((place, came));
            }
            let expected = self.expected.get().unwrap_or(EXPECTED);
            let known = self.opening.borrow().iter().find(|opening| opening.waiters.get() < expected).cloned();
            came = if known.is_some() { Came::Kept } else { Came::Opened };
            let opening = known.unwrap_or_else(|| {
                let opening = Rc::new(Opening { connecting: connect().boxed_local().shared(), waiters: Cell::default() });
                self.opening.borrow_mut().push(opening.clone());
                opening
            });
            let waiting = Waiting::for_one(self, &opening);
            let connected = opening.connecting.clone().await;
            drop(waiting);
            let connection = connected?;
            if came == Came::Opened && !connection.is_open() {
                // Closed as soon as it was opened: the next one would be, too, and another backend may do better.
                return Err(Failure::ConnectFailed);
            }
            self.know(connection);
        }
    }

    fn place(&self) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.is_open());
        open.iter().find_map(Connection::claim)
    }

    fn know(&self, connection: Rc<Connection>) {
        self.expected.set(Some(connection.streams_max().max(1)));
        let mut open = self.open.borrow_mut();
        if !open.iter().any(|known| Rc::ptr_eq(known, &connection)) {
            open.push(connection);
        }
    }

    /// Closes those that have had nothing to do for `keep`, all such above `most`, and forgets those that take no more requests.
    pub fn sweep(&self, most: usize, keep: Duration) {
        let mut idle = 0;
        self.open.borrow_mut().retain(|connection| {
            let Some(since) = connection.idle_since() else { return connection.is_open() };
            idle += 1;
            idle <= most && timer::now().saturating_sub(since) < keep && connection.is_open()
        });
    }

    /// Those that are there take no more requests.
    pub fn retire(&self) {
        self.open.take();
    }

    /// Connections without a request.
    pub fn idle(&self) -> usize {
        self.open.borrow().iter().filter(|connection| connection.streams() == 0).count()
    }

    /// Connections, and requests on them.
    pub fn load(&self) -> (usize, usize) {
        let open = self.open.borrow();
        (open.len(), open.iter().map(|connection| connection.streams()).sum())
    }
}

/// Somebody waits for a connection to be opened.
struct Waiting<'a> {
    lines: &'a Lines,
    opening: &'a Rc<Opening>,
}

impl Waiting<'_> {
    fn for_one<'a>(lines: &'a Lines, opening: &'a Rc<Opening>) -> Waiting<'a> {
        opening.waiters.set(opening.waiters.get() + 1);
        Waiting { lines, opening }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let left = self.opening.waiters.get() - 1;
        self.opening.waiters.set(left);
        // One that has come to an end is nothing to wait for; one that nobody waits for is given up.
        if left == 0 || self.opening.connecting.peek().is_some() {
            self.lines.opening.borrow_mut().retain(|other| !Rc::ptr_eq(other, self.opening));
        }
    }
}

#[cfg(test)]
mod tests;
