//! A connected socket with nothing on it, and when the runtime is told of it.
//!
//! One that was accepted is fresh at first: the runtime learns of it (`epoll_ctl`, and again when it is closed) only when there is
//! something to wait for. Most clients have sent their request by the time that they are accepted, and many connections are closed behind
//! the answer: what takes no waiting for the client never has to be made known.
//!
//! A read that did not fill its buffer tells the runtime that nothing is left, so the next read waits for the kernel's word and does not
//! spend a system call on learning `EAGAIN`.
//!
//! Reads and writes are system calls made directly, not through the C library: in a process with more than one thread its `recv` and
//! `send` mark each call as a point where the thread may be cancelled, two locked instructions apiece that nobody here needs.

use std::io;
use std::mem;
use std::net::{self, Shutdown};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

pub enum Socket {
    /// Unknown to the runtime, and nonblocking.
    Fresh(net::TcpStream),
    Known(TcpStream),
    /// Closed: the runtime could not take it, for want of resources.
    Lost,
}

impl Socket {
    /// To wait for.
    fn known(&mut self) -> io::Result<&mut TcpStream> {
        if matches!(self, Socket::Fresh(_))
            && let Socket::Fresh(stream) = mem::replace(self, Socket::Lost)
        {
            *self = Socket::Known(TcpStream::from_std(stream)?);
        }
        match self {
            Socket::Known(stream) => Ok(stream),
            Socket::Fresh(_) | Socket::Lost => Err(lost()),
        }
    }

    pub fn is_fresh(&self) -> bool {
        matches!(self, Socket::Fresh(_))
    }

    /// None: there is none any more.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Socket::Fresh(stream) => Some(stream.as_fd()),
            Socket::Known(stream) => Some(stream.as_fd()),
            Socket::Lost => None,
        }
    }

    /// As `Io::read_now`.
    pub fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Fresh(stream) => uninterrupted(&mut || rustix::net::recv(&*stream, &mut *space, RecvFlags::empty()).map(|(n, _)| n)),
            Socket::Known(stream) => recv(stream, space),
            Socket::Lost => Err(lost()),
        }
    }

    /// Writes by `call` what are `len` bytes, when there is room.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        call: impl Fn(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        if let Socket::Fresh(stream) = self {
            match uninterrupted(&mut || call(stream.as_fd())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        let stream = &*self.known()?;
        poll_write_once(stream, cx, len, || call(stream.as_fd()))
    }

    /// Says that nothing more will be written (FIN).
    pub fn shutdown(&self) -> io::Result<()> {
        match self {
            Socket::Fresh(stream) => stream.shutdown(Shutdown::Write),
            Socket::Known(stream) => Ok(rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?),
            Socket::Lost => Err(lost()),
        }
    }

    /// Ready when a read may find bytes, the end or an error.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.known() {
            Ok(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Err(_) => Poll::Ready(()),
        }
    }

    /// As `Io::is_quiet`.
    pub fn is_quiet(&mut self) -> bool {
        // Not by a poll: a task that has used up its turn is told `Pending` whatever has come. Where the runtime knows of nothing this
        // costs no system call.
        matches!(self.read_now(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Reads once; `WouldBlock` where nothing is there.
pub(super) fn recv(stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let room = space.len();
    once(stream, Interest::READABLE, room, || rustix::net::recv(stream, &mut *space, RecvFlags::empty()).map(|(n, _)| n))
}

/// Writes once; `WouldBlock` where there is no room.
pub(super) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    once(stream, Interest::WRITABLE, bytes.len(), || rustix::net::send(stream, bytes, SendFlags::NOSIGNAL))
}

/// Writes once, when there is room.
pub(super) fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    poll_write_once(stream, cx, bytes.len(), || rustix::net::send(stream, bytes, SendFlags::NOSIGNAL))
}

fn uninterrupted(call: &mut impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// One system call, if the runtime thinks that it can succeed. `room`: what it moves at most; less says that the socket has no more.
fn once(stream: &TcpStream, interest: Interest, room: usize, mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    let mut moved = None;
    let outcome = stream.try_io(interest, || {
        let n = uninterrupted(&mut call)?;
        if n == 0 || n == room {
            return Ok(n);
        }
        // The runtime clears its note of readiness on this word alone; what was moved goes another way.
        moved = Some(n);
        Err(io::ErrorKind::WouldBlock.into())
    });
    moved.map_or(outcome, Ok)
}

fn poll_write_once(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    len: usize,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> Poll<io::Result<usize>> {
    // Most writes succeed at once: only one that can not asks to be told when it may be worth another try.
    loop {
        match once(stream, Interest::WRITABLE, len, &mut call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
            written => return Poll::Ready(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};

    use super::*;

    fn fresh() -> (Socket, net::TcpStream) {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let other = net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nonblocking(true).expect("nonblocking");
        (Socket::Fresh(stream), other)
    }

    async fn write(socket: &mut Socket, bytes: &[u8]) -> usize {
        let send = |fd: BorrowedFd<'_>| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL);
        poll_fn(|cx| socket.poll_write(cx, bytes.len(), send)).await.expect("a connection")
    }

    #[tokio::test]
    async fn it_stays_fresh_while_nobody_has_to_wait() {
        let (mut socket, mut other) = fresh();
        let mut space = [0; 16];
        assert!(socket.is_quiet());
        assert_eq!(socket.read_now(&mut space).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        other.write_all(b"ping").expect("a connection");
        assert_eq!(socket.read_now(&mut space).expect("what was written is here: it is this machine"), 4);
        assert_eq!(write(&mut socket, b"pong").await, 4);
        socket.shutdown().expect("a connection");
        assert!(socket.is_fresh());
        let mut answer = String::new();
        other.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "pong");
    }

    #[tokio::test]
    async fn who_waits_for_it_is_woken_by_what_came_before_and_by_what_comes_after() {
        for early in [true, false] {
            let (mut socket, mut other) = fresh();
            if early {
                other.write_all(b"ping").expect("a connection");
            }
            let first = poll_fn(|cx| Poll::Ready(socket.poll_read_ready(cx))).await;
            assert!(early || first.is_pending());
            assert!(!socket.is_fresh());
            if !early {
                other.write_all(b"ping").expect("a connection");
            }
            poll_fn(|cx| socket.poll_read_ready(cx)).await;
            assert_eq!(socket.read_now(&mut [0; 16]).expect("it is said to be ready"), 4);
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_for_room() {
        let (mut socket, mut other) = fresh();
        let bytes = vec![7; 1 << 20];
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            other.read_to_end(&mut read).map(|_| read.len())
        });
        let mut written = 0;
        while written < 64 << 20 {
            written += write(&mut socket, &bytes).await;
        }
        assert!(!socket.is_fresh(), "64 MiB do not fit");
        drop(socket);
        assert_eq!(reader.join().expect("no panic").expect("a connection"), written);
    }
}
