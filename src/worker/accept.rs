//! One socket of one listener: accepts, keeps workers even, pauses where it must, and closes without losing anybody.
//!
//! The kernel spreads connections by a hash, which is uneven while there are few. So a worker that has clearly more than the least
//! loaded one passes a new connection on before it has read a byte of it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::quota::Place;
use super::{Desk, Listening, Order, Worker};
use crate::listen::Socket;
use crate::listen::incoming::Incoming;

/// How long accepting rests where it can not go on: out of descriptors, or at the listener's limit.
const REST: Duration = Duration::from_millis(50);

/// Counts a connection, with its listener and with its worker, for as long as it lives.
pub struct Held {
    listening: Arc<Listening>,
    _place: Place,
    desks: Arc<[Desk]>,
    worker: usize,
}

impl Held {
    pub fn new(listening: Arc<Listening>, place: Place, desks: Arc<[Desk]>, worker: usize) -> Held {
        desks[worker].connections.fetch_add(1, Ordering::Relaxed);
        Held { listening, _place: place, desks, worker }
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    fn move_to(&mut self, worker: usize) {
        self.desks[worker].connections.fetch_add(1, Ordering::Relaxed);
        self.desks[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
        self.worker = worker;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.desks[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection on its way to another worker.
pub struct Passed {
    pub stream: std::net::TcpStream,
    pub peer: SocketAddr,
    pub held: Held,
}

/// Accepts until it is dropped; then takes what still waits in the socket's queue, and closes it.
pub struct Acceptor {
    pub listening: Arc<Listening>,
    pub socket: Rc<Incoming>,
    _stop: oneshot::Sender<()>,
}

impl Acceptor {
    /// With the task that does its work.
    pub fn new(worker: &Rc<Worker>, listening: Arc<Listening>, socket: Socket) -> Option<(Acceptor, impl Future<Output = ()> + 'static)> {
        let socket = match Incoming::of(socket) {
            Ok(socket) => Rc::new(socket),
            Err(error) => {
                error!(listener = %listening.owner().name, %error, "a worker can not listen");
                return None;
            }
        };
        let (stop, stopped) = oneshot::channel();
        let task = accept_all(worker.clone(), listening.clone(), socket.clone(), stopped);
        Some((Acceptor { listening, socket, _stop: stop }, task))
    }

    pub fn is_of(&self, listening: &Arc<Listening>) -> bool {
        Arc::ptr_eq(&self.listening, listening)
    }
}

/// What came of an attempt to accept.
enum Next {
    Came(TcpStream, SocketAddr, Place),
    /// The client left before it was accepted.
    Left,
    /// The listener has all its connections.
    Full,
    Short(io::Error),
}

/// The place is taken before the connection, so that the limit holds to the letter.
fn poll_next(listening: &Listening, socket: &Incoming, cx: &mut Context<'_>) -> Poll<Next> {
    let Some(place) = listening.owner().quota.take() else { return Poll::Ready(Next::Full) };
    socket.poll_accept(cx).map(|accepted| match accepted {
        Ok((stream, peer)) => Next::Came(stream, peer, place),
        Err(error) if is_shortage(&error) => Next::Short(error),
        Err(_) => Next::Left,
    })
}

async fn accept_all(worker: Rc<Worker>, listening: Arc<Listening>, socket: Rc<Incoming>, mut stopped: oneshot::Receiver<()>) {
    // Accepting has rested, and what comes now had waited in the kernel's queue.
    let mut late = false;
    loop {
        let next = std::future::poll_fn(|cx| {
            let next = poll_next(&listening, &socket, cx);
            late &= next.is_ready();
            next
        });
        let next = tokio::select! {
            biased;
            _ = &mut stopped => break,
            next = next => next,
        };
        match next {
            Next::Came(stream, peer, place) => {
                if late {
                    listening.owner().quota.full.count_one();
                    listening.short.count_one();
                }
                seat(&worker, &listening, stream, peer, place);
                continue;
            }
            Next::Left => continue,
            Next::Full => {
                let owner = listening.owner();
                if owner.quota.full.holds(Instant::now()) {
                    warn!(listener = %owner.name, "the listener has as many connections as it may: new ones wait in the kernel's queue");
                }
            }
            Next::Short(error) => {
                if listening.short.holds(Instant::now()) {
                    error!(listener = %listening.owner().name, %error, "accepting pauses for want of resources");
                }
            }
        }
        late = true;
        tokio::select! {
            _ = &mut stopped => break,
            _ = tokio::time::sleep(REST) => {}
        }
    }
    empty(&worker, &listening, &socket).await;
}

/// Takes what waits in the queue of a socket that is to be closed: the close would reset those clients, who had connected and may
/// have sent a request.
pub async fn empty(worker: &Rc<Worker>, listening: &Arc<Listening>, socket: &Incoming) {
    // Unconstrained, for otherwise the runtime says that there is nothing after a hundred of them.
    let next = || tokio::task::unconstrained(std::future::poll_fn(|cx| Poll::Ready(socket.poll_accept(cx))));
    // It knows of what has come since it last asked the kernel only when it has asked again, which it does between tasks.
    let mut asked = false;
    loop {
        match next().await {
            Poll::Ready(Ok((stream, peer))) => seat(worker, listening, stream, peer, listening.owner().quota.take_anyway()),
            Poll::Ready(Err(error)) if is_shortage(&error) => break,
            // The client left before it was accepted.
            Poll::Ready(Err(_)) => {}
            Poll::Pending if asked => break,
            Poll::Pending => {
                tokio::task::yield_now().await;
                asked = true;
            }
        }
    }
}

/// Serves a new connection here, or passes it to the worker with the fewest.
fn seat(worker: &Rc<Worker>, listening: &Arc<Listening>, stream: TcpStream, peer: SocketAddr, place: Place) {
    worker.local.accepted();
    let held = Held::new(listening.clone(), place, worker.desks.clone(), worker.index);
    let to = seat_for(worker.index, worker.desks.iter().map(Desk::load));
    if to == worker.index {
        worker.serve(stream, peer, held);
    } else if let Ok(stream) = stream.into_std() {
        worker.local.handed_off();
        pass(worker, Passed { stream, peer, held }, to);
    }
}

fn pass(worker: &Rc<Worker>, mut passed: Passed, to: usize) {
    passed.held.move_to(to);
    if let Err(Order::Adopt(mut passed)) = worker.desks[to].order(Order::Adopt(passed)) {
        // It has ended at this moment.
        passed.held.move_to(worker.index);
        adopt(worker, passed);
    }
}

/// Passes a connection, which another worker had passed to this one, to yet another.
pub fn pass_on(worker: &Rc<Worker>, passed: Passed) {
    let to = seat_for(worker.index, worker.desks.iter().map(Desk::load));
    if to != worker.index {
        pass(worker, passed, to);
    }
}

/// The least loaded worker, if `mine` has clearly more connections; else `mine`.
fn seat_for(mine: usize, loads: impl Iterator<Item = usize>) -> usize {
    let mut here = 0;
    let (mut least, mut least_at) = (usize::MAX, mine);
    for (at, load) in loads.enumerate() {
        if at == mine {
            here = load;
        }
        if load < least {
            (least, least_at) = (load, at);
        }
    }
    if here > least.saturating_add(least / 8) { least_at } else { mine }
}

/// Takes over a connection that another worker accepted.
pub fn adopt(worker: &Rc<Worker>, passed: Passed) {
    // Fails only for want of resources; the client sees a close.
    if let Ok(stream) = TcpStream::from_std(passed.stream) {
        worker.serve(stream, passed.peer, passed.held);
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::seat_for;

    #[test]
    fn connections_move_only_where_the_difference_is_clear() {
        for (mine, loads, expected) in [
            (0, vec![0, 0], 0),
            (0, vec![1, 0], 1),
            (1, vec![1, 1], 1),
            (0, vec![108, 100], 0),
            (0, vec![113, 100], 1),
            (2, vec![5, 3, 9], 1),
            (0, vec![7], 0),
            // Who has failed has no end of them.
            (0, vec![7, usize::MAX], 0),
            (1, vec![7, usize::MAX], 0),
            (0, vec![usize::MAX, usize::MAX], 0),
        ] {
            assert_eq!(seat_for(mine, loads.iter().copied()), expected, "worker {mine} of {loads:?}");
        }
    }
}
