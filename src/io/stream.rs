//! A byte stream to a client or to a backend, whatever carries it.
//!
//! Cheap to clone: a relay's two directions may be driven by two tasks of one thread. Polls borrow the stream for the length of the
//! call and never across an await. A read that did not fill its buffer tells the runtime that nothing is left, so the next read
//! waits for the kernel's word and does not spend a system call on learning `EAGAIN`.
//!
//! Reads and writes are system calls made directly, not through the C library: in a process with more than one thread its `recv` and
//! `send` mark each call as a point where the thread may be cancelled, two locked instructions apiece that nobody here needs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use super::Tls;

enum Stream {
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

#[derive(Clone)]
pub struct Io(Rc<RefCell<Stream>>);

impl Io {
    pub fn tcp(stream: TcpStream) -> Io {
        Io(Rc::new(RefCell::new(Stream::Tcp(stream))))
    }

    /// The socket again, where nobody else has it and nothing else is on it.
    pub fn into_tcp(self) -> Option<TcpStream> {
        match Rc::into_inner(self.0)?.into_inner() {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(_) => None,
        }
    }

    /// After its handshake.
    pub fn tls(stream: Box<Tls>) -> Io {
        Io(Rc::new(RefCell::new(Stream::Tls(stream))))
    }

    /// Reads what is there into `space`; 0 means that the other end has finished. `WouldBlock`: nothing is there; where the runtime knows
    /// that already it costs no system call.
    pub fn read_now(&self, space: &mut [u8]) -> io::Result<usize> {
        match &mut *self.0.borrow_mut() {
            Stream::Tcp(stream) => recv(stream, space),
            Stream::Tls(stream) => stream.read_now(space),
        }
    }

    /// While it is pending, the same bytes have to be offered again, and no others: they may be on their way in part (`is_amid_write`).
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            Stream::Tcp(stream) => poll_send(stream, cx, bytes),
            Stream::Tls(stream) => stream.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    pub fn poll_write_vectored(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            // A broken connection answers EPIPE; the signal that would come with it is ignored since the start of the process.
            Stream::Tcp(stream) => {
                let (stream, len) = (&*stream, slices.iter().map(|slice| slice.len()).sum());
                poll_write_once(stream, cx, len, || rustix::io::writev(stream, slices))
            }
            Stream::Tls(stream) => stream.poll_write(cx, slices),
        }
    }

    /// Says that nothing more will be written (FIN).
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// Ready when a read may find bytes, the end or an error. Reads nothing, and costs no system call.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.0.borrow() {
            Stream::Tcp(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Stream::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    pub async fn read_ready(&self) {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Whether nothing has come since the last read: neither bytes nor an end. For connections that should be silent.
    pub fn is_quiet(&self) -> bool {
        // Not by a poll: a task that has used up its turn is told `Pending` whatever has come. Where the runtime knows of nothing this
        // costs no system call.
        match &mut *self.0.borrow_mut() {
            Stream::Tls(stream) => stream.is_quiet(),
            Stream::Tcp(stream) => matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock),
        }
    }

    /// Whether the connection is dead in both directions (reset), as opposed to finished by the other end.
    pub fn is_broken(&self) -> bool {
        let stream = self.0.borrow();
        let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        let polled = nix::poll::poll(&mut asked, PollTimeout::ZERO);
        polled.is_ok() && asked[0].revents().is_some_and(|seen| seen.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
    }

    /// Whether a close that follows is a reset, because the other end must not take what it has for whole. Whoever closes: the kernel
    /// does it for a process that was killed, too. Unix sockets know no reset, and close as they always do.
    pub fn reset_on_close(&self, resets: bool) {
        let stream = &mut *self.0.borrow_mut();
        if let Stream::Tls(stream) = stream {
            stream.abandon(resets);
        }
        // Fails only on a socket that is gone already.
        let _ = socket2::SockRef::from(&*stream).set_linger(resets.then_some(Duration::ZERO));
    }

    /// The descriptor's number, for logs.
    pub fn descriptor(&self) -> i32 {
        self.0.borrow().as_fd().as_raw_fd()
    }

    /// TLS: bytes that were offered can not be taken back, nor be offered together with others.
    pub fn is_secure(&self) -> bool {
        matches!(&*self.0.borrow(), Stream::Tls(_))
    }

    /// Whether bytes that were offered to `poll_write` are on their way in part, and untold.
    pub fn is_amid_write(&self) -> bool {
        match &*self.0.borrow() {
            Stream::Tcp(_) => false,
            Stream::Tls(stream) => stream.is_amid_write(),
        }
    }

    /// Writes all of `bytes`. Not cancel safe: a dropped call may have written a part.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        poll_fn(|cx| self.poll_write_all(cx, bytes, &mut written)).await
    }

    /// Writes `bytes` from `written` on and moves it; ready when all are written.
    pub fn poll_write_all(&self, cx: &mut Context<'_>, bytes: &[u8], written: &mut usize) -> Poll<io::Result<()>> {
        while *written < bytes.len() {
            match self.poll_write(cx, &bytes[*written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => *written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.as_fd(),
        }
    }
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

/// One system call, if the runtime thinks that it can succeed. `room`: what it moves at most; less says that the socket has no more.
fn once(
    stream: &TcpStream,
    interest: Interest,
    room: usize,
    mut call: impl FnMut() -> Result<usize, rustix::io::Errno>,
) -> io::Result<usize> {
    let mut moved = None;
    let outcome = stream.try_io(interest, || {
        let n = loop {
            match call() {
                Err(rustix::io::Errno::INTR) => {}
                done => break done?,
            }
        };
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
    mut call: impl FnMut() -> Result<usize, rustix::io::Errno>,
) -> Poll<io::Result<usize>> {
    // Most writes succeed at once: only one that can not asks to be told when it may be worth another try.
    loop {
        match once(stream, Interest::WRITABLE, len, &mut call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
            written => return Poll::Ready(written),
        }
    }
}
