//! A byte stream to a client or to a backend, whatever carries it.
//!
//! Cheap to clone: a relay's two directions may be driven by two tasks of one thread. Polls borrow the stream for the length of the
//! call and never across an await.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::net::SendFlags;
use tokio::net::TcpStream;

use super::Tls;
use super::socket::Socket;

enum Stream {
    Plain(Socket),
    Tls(Box<Tls>),
}

#[derive(Clone)]
pub struct Io(Rc<RefCell<Stream>>);

impl Io {
    pub fn tcp(stream: TcpStream) -> Io {
        Io(Rc::new(RefCell::new(Stream::Plain(Socket::Known(stream)))))
    }

    /// As it was accepted: nonblocking, and unknown to the runtime.
    pub fn fresh(stream: std::net::TcpStream) -> Io {
        Io(Rc::new(RefCell::new(Stream::Plain(Socket::Fresh(stream)))))
    }

    /// Whether nobody has had to wait for it yet.
    pub fn is_fresh(&self) -> bool {
        matches!(&*self.0.borrow(), Stream::Plain(socket) if socket.is_fresh())
    }

    /// The socket again, where nobody else has it and nothing else is on it.
    pub fn into_tcp(self) -> Option<TcpStream> {
        match Rc::into_inner(self.0)?.into_inner() {
            Stream::Plain(Socket::Known(stream)) => Some(stream),
            Stream::Plain(Socket::Fresh(_) | Socket::Lost) | Stream::Tls(_) => None,
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
            Stream::Plain(socket) => socket.read_now(space),
            Stream::Tls(stream) => stream.read_now(space),
        }
    }

    /// While it is pending, the same bytes have to be offered again, and no others: they may be on their way in part (`is_amid_write`).
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            Stream::Plain(socket) => socket.poll_write(cx, bytes.len(), |fd| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)),
            Stream::Tls(stream) => stream.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    pub fn poll_write_vectored(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            // A broken connection answers EPIPE; the signal that would come with it is ignored since the start of the process.
            Stream::Plain(socket) => {
                let len = slices.iter().map(|slice| slice.len()).sum();
                socket.poll_write(cx, len, |fd| rustix::io::writev(fd, slices))
            }
            Stream::Tls(stream) => stream.poll_write(cx, slices),
        }
    }

    /// Says that nothing more will be written (FIN).
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            Stream::Plain(socket) => Poll::Ready(socket.shutdown()),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// Ready when a read may find bytes, the end or an error. Reads nothing, and costs no system call.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.borrow_mut() {
            Stream::Plain(socket) => socket.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    pub async fn read_ready(&self) {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Whether nothing has come since the last read: neither bytes nor an end. For connections that should be silent.
    pub fn is_quiet(&self) -> bool {
        match &mut *self.0.borrow_mut() {
            Stream::Tls(stream) => stream.is_quiet(),
            Stream::Plain(socket) => socket.is_quiet(),
        }
    }

    /// Whether the connection is dead in both directions (reset), as opposed to finished by the other end.
    pub fn is_broken(&self) -> bool {
        let stream = self.0.borrow();
        let Some(descriptor) = stream.descriptor() else { return true };
        let mut asked = [PollFd::new(descriptor, PollFlags::empty())];
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
        if let Some(descriptor) = stream.descriptor() {
            // Fails only on a socket that is gone already.
            let _ = socket2::SockRef::from(&descriptor).set_linger(resets.then_some(Duration::ZERO));
        }
    }

    /// The descriptor's number, for logs; -1 where there is none any more.
    pub fn descriptor(&self) -> i32 {
        self.0.borrow().descriptor().map_or(-1, |descriptor| descriptor.as_raw_fd())
    }

    /// TLS: bytes that were offered can not be taken back, nor be offered together with others.
    pub fn is_secure(&self) -> bool {
        matches!(&*self.0.borrow(), Stream::Tls(_))
    }

    /// Whether bytes that were offered to `poll_write` are on their way in part, and untold.
    pub fn is_amid_write(&self) -> bool {
        match &*self.0.borrow() {
            Stream::Plain(_) => false,
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

impl Stream {
    /// None: there is none any more.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Plain(socket) => socket.descriptor(),
            Stream::Tls(stream) => Some(stream.as_fd()),
        }
    }
}
