//! Backends: one whose every byte the test writes itself, and one that is quick and counts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::{PATIENCE, Wire};

/// A listening socket. The test accepts, reads and writes in the order of its own lines, which is script enough: whatever the proxy
/// does in between waits in the kernel's buffers.
pub struct Backend {
    listener: TcpListener,
}

impl Backend {
    pub fn bind() -> Backend {
        Backend::on("127.0.0.1:0".parse().expect("an address"))
    }

    #[track_caller]
    pub fn on(address: SocketAddr) -> Backend {
        Backend { listener: TcpListener::bind(address).unwrap_or_else(|error| panic!("bind {address}: {error}")) }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a local address")
    }

    /// The next connection from the proxy.
    #[track_caller]
    pub fn accept(&self) -> Wire {
        Wire::over(self.accept_stream())
    }

    /// The same as a socket.
    #[track_caller]
    pub fn accept_stream(&self) -> TcpStream {
        assert!(self.waits(PATIENCE.as_millis() as u16), "waited {PATIENCE:?} for a connection from the proxy");
        self.listener.accept().expect("accept").0
    }

    /// A connection that is there already.
    pub fn accepted(&self) -> Option<Wire> {
        self.waits(0).then(|| Wire::over(self.listener.accept().expect("accept").0))
    }

    /// No connection has come since the last `accept`. A look at this moment: make sure first that the proxy is done.
    #[track_caller]
    pub fn assert_untouched(&self) {
        if let Some(mut wire) = self.accepted() {
            panic!("the proxy came to the backend with: {}", super::show(&wire.rest_within(Duration::from_secs(1)).0));
        }
    }

    fn waits(&self, milliseconds: u16) -> bool {
        let mut set = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut set, PollTimeout::from(milliseconds)) {
                Ok(ready) => return ready > 0,
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }
}

/// The backend that the proxy comes to next, by its place, and the connection.
#[track_caller]
pub fn whichever(backends: &[Backend]) -> (usize, Wire) {
    super::until("a connection from the proxy to any backend", || {
        backends.iter().enumerate().find_map(|(at, backend)| backend.accepted().map(|wire| (at, wire)))
    })
}

/// Answers every request on every connection with 200 and its name, at once unless told otherwise, and counts. Request bodies are read by Content-Length.
pub struct Counting {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

struct Shared {
    answer: String,
    takes: Duration,
    now: AtomicUsize,
    peak: AtomicUsize,
    requests: AtomicUsize,
    connections: AtomicUsize,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Counting {
    pub fn start(name: &str) -> Counting {
        Counting::on("127.0.0.1:0".parse().expect("an address"), name)
    }

    #[track_caller]
    pub fn on(address: SocketAddr, name: &str) -> Counting {
        Counting::answering(address, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()), Duration::ZERO)
    }

    /// Gives the same answer always, at once.
    pub fn saying(answer: impl Into<String>) -> Counting {
        Counting::answering("127.0.0.1:0".parse().expect("an address"), answer.into(), Duration::ZERO)
    }

    /// Gives the same answer always, each after so long.
    #[track_caller]
    pub fn answering(address: SocketAddr, answer: String, takes: Duration) -> Counting {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("bind {address}: {error}"));
        let address = listener.local_addr().expect("a local address");
        let shared = Arc::new(Shared {
            answer,
            takes,
            now: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Counting { address, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests answered so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The most requests that it had in hand at once.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// Closes the listening socket and every connection.
impl Drop for Counting {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.shared.open.lock().expect("the list of connections").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            // Closing alone would not do at once: a process that another test starts at this moment has inherited the socket.
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
            return;
        }
        let stream = stream.expect("accept");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.lock().expect("the list of connections").push(stream.try_clone().expect("a clone of the socket"));
        let shared = shared.clone();
        thread::spawn(move || serve(stream, &shared));
    }
}

/// Until the connection ends, whichever way.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut read = Vec::new();
    let mut room = [0; 16 << 10];
    loop {
        while let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) {
            let whole = end + content_length(&read[..end]);
            if read.len() < whole {
                break;
            }
            read.drain(..whole);
            shared.requests.fetch_add(1, Ordering::SeqCst);
            shared.peak.fetch_max(shared.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if !shared.takes.is_zero() {
                thread::sleep(shared.takes);
            }
            shared.now.fetch_sub(1, Ordering::SeqCst);
            if stream.write_all(shared.answer.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return,
            Ok(n) => read.extend_from_slice(&room[..n]),
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    super::Head::parse(head).get("content-length").map_or(0, |length| length.parse().expect("a length"))
}
