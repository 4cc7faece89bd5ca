//! One socket of one listener: accepts, keeps workers even, pauses where it must, and closes without losing anybody.
//!
//! The kernel spreads connections by a hash, which is uneven while there are few. So a worker that has clearly more than the least
//! loaded one passes a new connection on before it has read a byte of it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{Desk, Listening, Order, Worker};

/// How long accepting rests where it can not go on: out of descriptors, or at the listener's limit.
const REST: Duration = Duration::from_millis(50);

/// Counts a connection, with its listener and with its worker, for as long as it lives.
pub struct Held {
    listening: Arc<Listening>,
    desks: Arc<[Desk]>,
    worker: usize,
}

impl Held {
    fn new(listening: Arc<Listening>, desks: Arc<[Desk]>, worker: usize) -> Held {
        listening.open.fetch_add(1, Ordering::Relaxed);
        desks[worker].connections.fetch_add(1, Ordering::Relaxed);
        Held { listening, desks, worker }
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.listening.open.fetch_sub(1, Ordering::Relaxed);
        self.desks[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection on its way to another worker.
pub struct Passed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    held: Held,
}

/// Accepts until it is dropped; then takes what still waits in the socket's queue, and closes it.
pub struct Acceptor {
    listening: Arc<Listening>,
    _stop: oneshot::Sender<()>,
}

impl Acceptor {
    pub fn start(worker: &Rc<Worker>, listening: Arc<Listening>, socket: TcpListener) -> Option<Acceptor> {
        let socket = match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                error!(listener = %listening.name, %error, "a worker can not listen");
                return None;
            }
        };
        let (stop, stopped) = oneshot::channel();
        tokio::task::spawn_local(accept_all(worker.clone(), listening.clone(), socket, stopped));
        Some(Acceptor { listening, _stop: stop })
    }

    pub fn is_of(&self, listening: &Arc<Listening>) -> bool {
        Arc::ptr_eq(&self.listening, listening)
    }
}

async fn accept_all(worker: Rc<Worker>, listening: Arc<Listening>, socket: tokio::net::TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut warned = false;
    'accepting: loop {
        while listening.open.load(Ordering::Relaxed) >= listening.most.load(Ordering::Relaxed) {
            if !warned {
                warn!(listener = %listening.name, "the listener has as many connections as it may: new ones wait in the kernel's queue");
                warned = true;
            }
            tokio::select! {
                _ = &mut stopped => break 'accepting,
                _ = tokio::time::sleep(REST) => {}
            }
        }
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    warned = false;
                    seat(&worker, &listening, stream, peer);
                }
                Err(error) if is_shortage(&error) => {
                    if !warned {
                        error!(listener = %listening.name, %error, "accepting pauses for want of resources");
                        warned = true;
                    }
                    tokio::time::sleep(REST).await;
                }
                // The client left before it was accepted.
                Err(_) => {}
            },
        }
    }
    // Closing a socket resets what waits in its queue: those clients had connected, and may have sent a request.
    // Unconstrained, for otherwise the runtime says that there is nothing after a hundred of them.
    let next = || tokio::task::unconstrained(std::future::poll_fn(|cx| Poll::Ready(socket.poll_accept(cx))));
    while let Poll::Ready(accepted) = next().await {
        match accepted {
            Ok((stream, peer)) => seat(&worker, &listening, stream, peer),
            Err(error) if is_shortage(&error) => break,
            // The client left before it was accepted.
            Err(_) => {}
        }
    }
}

/// Serves a new connection here, or passes it to the worker with the fewest.
fn seat(worker: &Rc<Worker>, listening: &Arc<Listening>, stream: TcpStream, peer: SocketAddr) {
    // Answers leave in as few writes as they can; what is written should not wait for more.
    let _ = stream.set_nodelay(true);
    worker.local.accepted();
    let to = seat_for(worker.index, worker.desks.iter().map(|desk| desk.connections.load(Ordering::Relaxed)));
    let held = Held::new(listening.clone(), worker.desks.clone(), to);
    if to == worker.index {
        worker.serve(stream, peer, held);
    } else if let Ok(stream) = stream.into_std() {
        worker.local.handed_off();
        worker.desks[to].order(Order::Adopt(Passed { stream, peer, held }));
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
    if here > least + least / 8 { least_at } else { mine }
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
        ] {
            assert_eq!(seat_for(mine, loads.iter().copied()), expected, "worker {mine} of {loads:?}");
        }
    }
}
