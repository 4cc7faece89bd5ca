//! One TCP connection in the hands of a test, on either side of the proxy: bytes out, bytes in, every wait with a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::message::fields;
use super::{Head, Message, PATIENCE, show};

/// How the other side ended its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

pub struct Wire {
    stream: TcpStream,
    /// Read from the socket and not yet taken by the test.
    read: Vec<u8>,
    ended: Option<End>,
}

/// How the length of a body is known where no field says it.
#[derive(Clone, Copy, PartialEq)]
enum Unframed {
    None,
    UntilClose,
}

impl Wire {
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Wire {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        Wire::over(stream)
    }

    /// From an address of this machine.
    #[track_caller]
    pub fn connect_from(from: SocketAddr, to: SocketAddr) -> Wire {
        let socket = socket2::Socket::new(socket2::Domain::for_address(from), socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&from.into()).unwrap_or_else(|error| panic!("bind {from}: {error}"));
        socket.connect(&to.into()).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        Wire::over(socket.into())
    }

    #[track_caller]
    pub fn connect_unix(to: &Path) -> Wire {
        Wire::over_unix(UnixStream::connect(to).unwrap_or_else(|error| panic!("connect to {}: {error}", to.display())))
    }

    /// The same calls on another kind of socket.
    pub fn over_unix(stream: UnixStream) -> Wire {
        Wire::of(TcpStream::from(OwnedFd::from(stream)))
    }

    pub fn over(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Wire::of(stream)
    }

    fn of(stream: TcpStream) -> Wire {
        stream.set_nonblocking(false).expect("a blocking socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Wire { stream, read: Vec::new(), ended: None }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes) {
            panic!("write: {error}; read so far: {}", show(&self.read));
        }
    }

    /// For those who expect the other side to stop taking bytes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that a write may give up after `limit`, with `WouldBlock` or `TimedOut`.
    pub fn write_at_most(&mut self, limit: Duration) {
        self.stream.set_write_timeout(Some(limit)).expect("a write timeout");
    }

    /// The port on this side.
    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("a local address").port()
    }

    /// A second hold of the same connection, for a thread that writes while this one reads.
    pub fn writer(&self) -> Wire {
        Wire::of(self.stream.try_clone().expect("a clone of the socket"))
    }

    /// FIN: nothing more comes from here, everything is still read.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// RST, at once.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// The next head, whatever it is.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        let end = self.find(b"\r\n\r\n", "a head");
        Head::parse(&self.read.drain(..end).collect::<Vec<_>>())
    }

    /// The next `n` bytes.
    #[track_caller]
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.read.len() < n {
            self.fill(deadline, &format!("{n} bytes"));
            assert!(
                self.ended.is_none() || self.read.len() >= n,
                "{:?} after {} of {n} bytes: {}",
                self.ended,
                self.read.len(),
                show(&self.read)
            );
        }
        self.read.drain(..n).collect()
    }

    /// The next bytes, as they are expected.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let expected = bytes.as_ref();
        let seen = self.take(expected.len());
        assert!(seen == expected, "expected {}\nsaw {}", show(expected), show(&seen));
    }

    /// One whole request.
    #[track_caller]
    pub fn request(&mut self) -> Message {
        let head = self.head();
        self.message(head, Unframed::None)
    }

    /// One whole final answer to anything but HEAD; interim ones fail the test.
    #[track_caller]
    pub fn answer(&mut self) -> Message {
        let head = self.head();
        let status = head.status();
        assert!(status >= 200, "an interim answer where a final one is due: {head:?}");
        if status == 204 || status == 304 {
            return Message { head, body: Vec::new(), trailers: Vec::new() };
        }
        self.message(head, Unframed::UntilClose)
    }

    /// One more answer if the connection has one: `None` where it was closed in between.
    #[track_caller]
    pub fn answer_or_end(&mut self) -> Option<Message> {
        let deadline = Instant::now() + PATIENCE;
        while self.read.is_empty() && self.ended.is_none() {
            self.fill(deadline, "an answer or the end");
        }
        (!self.read.is_empty()).then(|| self.answer())
    }

    #[track_caller]
    fn message(&mut self, head: Head, unframed: Unframed) -> Message {
        let (body, trailers) = match (head.get("transfer-encoding"), head.get("content-length")) {
            (Some(_), Some(_)) => panic!("both framings: {head:?}"),
            (Some(coding), None) => {
                assert_eq!(coding, "chunked", "{head:?}");
                self.chunked()
            }
            (None, Some(length)) => (self.take(length.parse().unwrap_or_else(|_| panic!("a bad length: {head:?}"))), Vec::new()),
            (None, None) if unframed == Unframed::UntilClose => {
                let (body, end) = self.rest();
                assert_eq!(end, End::Closed, "a body until the close ended otherwise: {head:?}");
                (body, Vec::new())
            }
            (None, None) => (Vec::new(), Vec::new()),
        };
        Message { head, body, trailers }
    }

    /// A chunked body to its very end: content, trailers.
    #[track_caller]
    pub fn chunked(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size();
            if size == 0 {
                break;
            }
            body.extend(self.take(size));
            self.expect("\r\n");
        }
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (body, fields(lines.iter().map(String::as_str)));
            }
            lines.push(line);
        }
    }

    #[track_caller]
    pub fn chunk_size(&mut self) -> usize {
        let line = self.line();
        usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("not a chunk size: {line:?}"))
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let end = self.find(b"\r\n", "a line");
        let line: Vec<u8> = self.read.drain(..end).collect();
        String::from_utf8(line[..end - 2].to_vec()).unwrap_or_else(|_| panic!("a line that is not text: {}", show(&line)))
    }

    /// Everything that still comes, and how it ended.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.ended {
                return (std::mem::take(&mut self.read), end);
            }
            self.fill(deadline, "the end");
        }
    }

    /// The next bytes, whatever they are and however long they take; `None`: it has ended.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(None).expect("no read timeout");
        while self.read.is_empty() && self.ended.is_none() {
            self.pull();
        }
        Some(std::mem::take(&mut self.read)).filter(|read| !read.is_empty())
    }

    /// Up to `n` bytes, fewer only where it ends before; how many there were.
    #[track_caller]
    pub fn up_to(&mut self, n: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        while self.read.len() < n && self.ended.is_none() {
            self.fill(deadline, &format!("{n} bytes"));
        }
        self.read.drain(..n.min(self.read.len())).len()
    }

    /// Everything that comes within `limit`, and how it ended if it did. Costs all of `limit` where there is no end.
    pub fn rest_within(&mut self, limit: Duration) -> (Vec<u8>, Option<End>) {
        let deadline = Instant::now() + limit;
        while self.ended.is_none() && Instant::now() < deadline {
            self.stream.set_read_timeout(Some(limit)).expect("a read timeout");
            self.pull();
        }
        (std::mem::take(&mut self.read), self.ended)
    }

    /// The end, with nothing before it.
    #[track_caller]
    pub fn end(&mut self) -> End {
        let (rest, end) = self.rest();
        assert!(rest.is_empty(), "bytes where the end was due: {}", show(&rest));
        end
    }

    /// Whether the connection is still open and silent at this moment.
    pub fn is_quiet(&mut self) -> bool {
        if self.read.is_empty() && self.ended.is_none() {
            self.stream.set_nonblocking(true).expect("a non-blocking socket");
            self.pull();
            self.stream.set_nonblocking(false).expect("a blocking socket");
        }
        self.read.is_empty() && self.ended.is_none()
    }

    /// Hands everything to `use_up` as it comes, up to `limit` bytes or the end, for what is larger than a test wants to hold.
    /// Returns how many bytes there were.
    pub fn pour(&mut self, limit: u64, mut use_up: impl FnMut(&[u8])) -> u64 {
        let held = std::mem::take(&mut self.read);
        use_up(&held);
        let mut seen = held.len() as u64;
        let mut room = vec![0; 64 << 10];
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        while seen < limit {
            match self.stream.read(&mut room) {
                Ok(0) => break,
                Ok(n) => {
                    use_up(&room[..n]);
                    seen += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        seen
    }

    /// Where `needle` ends in what comes.
    #[track_caller]
    fn find(&mut self, needle: &[u8], what: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut from = 0;
        loop {
            if let Some(at) = self.read[from..].windows(needle.len()).position(|window| window == needle) {
                return from + at + needle.len();
            }
            from = self.read.len().saturating_sub(needle.len() - 1);
            assert!(self.ended.is_none(), "{:?} where {what} was due, after: {}", self.ended, show(&self.read));
            self.fill(deadline, what);
        }
    }

    #[track_caller]
    fn fill(&mut self, deadline: Instant, what: &str) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "waited {PATIENCE:?} for {what}; so far: {}", show(&self.read));
        self.stream.set_read_timeout(Some(left)).expect("a read timeout");
        self.pull();
    }

    fn pull(&mut self) {
        let mut room = [0; 64 << 10];
        match self.stream.read(&mut room) {
            Ok(0) => self.ended = Some(End::Closed),
            Ok(n) => self.read.extend_from_slice(&room[..n]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => self.ended = Some(End::Reset),
            },
        }
    }
}
