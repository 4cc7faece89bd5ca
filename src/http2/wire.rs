//! The byte stream below a connection, as `h2` wants it: read through a lent buffer, written in as few system calls as it takes.
//!
//! `h2` flushes after every frame that has data. Here that is a word only: small pieces gather, and the connection's task lets them
//! out (`poll_out`) when it and its streams have nothing more to say. Pieces above `COPY_BYTES_MAX` go out at once, next to what had
//! gathered. What gathers is bounded by `GATHERED_BYTES_MAX`; beyond it `h2` waits, and so do its streams, for their room shrinks.
//!
//! The wire also counts, for the connection's task to judge by: a client that sends much and says little is flooding it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::{Buffer, Io, Scratch, Timer};

/// Up to here a piece is copied behind what has gathered; above, two slices cost less than the copy.
const COPY_BYTES_MAX: usize = 4 << 10;
/// What may wait for the end of the turn.
const GATHERED_BYTES_MAX: usize = 32 << 10;

struct State {
    io: Io,
    input: Buffer,
    /// `None`: nothing has gathered.
    out: Option<Scratch>,
    /// Of `out`, what is on its way already.
    done: usize,
    received: u64,
    stall: Stall,
    /// Who wants to know when it is clear.
    held_back: Vec<Waker>,
}

/// How long the other end may take nothing.
struct Stall {
    timer: Timer,
    most: Duration,
    waiting: bool,
}

/// Two hold it: `h2`, and the task that drives it.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<State>>);

impl Wire {
    /// `read`: bytes that came already. `stall`: how long the other end may take nothing.
    pub fn new(io: Io, read: Buffer, stall: Duration) -> Wire {
        let stall = Stall { timer: Timer::new(), most: stall, waiting: false };
        let received = read.len() as u64;
        Wire(Rc::new(RefCell::new(State { io, input: read, out: None, done: 0, received, stall, held_back: Vec::new() })))
    }

    /// Writes what has gathered. Ready when nothing is left, or the connection is broken.
    pub fn poll_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        let written = state.poll_out(cx);
        if !state.is_waiting() {
            state.held_back.drain(..).for_each(Waker::wake);
        }
        written
    }

    /// Whether something that was said is still on its way out.
    pub fn is_waiting(&self) -> bool {
        self.0.borrow().is_waiting()
    }

    /// Ready when all that was said is on its way. For those who say more than they were asked, so that it does not pile up here.
    pub fn poll_clear(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.0.borrow_mut();
        if !state.is_waiting() {
            return Poll::Ready(());
        }
        state.held_back.push(cx.waker().clone());
        Poll::Pending
    }

    /// Bytes that have come so far.
    pub fn received(&self) -> u64 {
        self.0.borrow().received
    }
}

impl State {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(out) = &self.out else { return Poll::Ready(Ok(())) };
        while self.done < out.len() {
            self.done += ready!(self.stall.judge(cx, |cx| self.io.poll_write(cx, &out[self.done..])))?;
        }
        (self.out, self.done) = (None, 0);
        Poll::Ready(Ok(()))
    }

    fn is_waiting(&self) -> bool {
        self.out.is_some() || self.stall.waiting
    }

    fn gathered(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.len() - self.done)
    }

    /// `slices`: one or two that are to be written in order. How many bytes of them were taken.
    fn poll_take(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        if len <= COPY_BYTES_MAX {
            if self.gathered() + len > GATHERED_BYTES_MAX {
                ready!(self.poll_out(cx))?;
            }
            let out = self.out.get_or_insert_with(Scratch::take);
            slices.iter().for_each(|slice| out.extend_from_slice(slice));
            return Poll::Ready(Ok(len));
        }
        if self.io.is_secure() {
            // What was offered must be offered again, and by itself: the one who waits with what has gathered knows nothing of the slices.
            ready!(self.poll_out(cx))?;
        }
        loop {
            let waiting = self.out.as_ref().map_or(&[][..], |out| &out[self.done..]);
            let ahead = waiting.len();
            let mut all = [IoSlice::new(waiting), IoSlice::new(&[]), IoSlice::new(&[])];
            for (to, slice) in all[1..].iter_mut().zip(slices) {
                *to = IoSlice::new(slice);
            }
            let from = usize::from(ahead == 0);
            let wrote = ready!(self.stall.judge(cx, |cx| self.io.poll_write_vectored(cx, &all[from..=slices.len().min(2)])))?;
            if wrote < ahead {
                self.done += wrote;
                continue;
            }
            (self.out, self.done) = (None, 0);
            if wrote > ahead {
                return Poll::Ready(Ok(wrote - ahead));
            }
        }
    }
}

impl Stall {
    /// A write that waits may do so for its time.
    fn judge(&mut self, cx: &mut Context<'_>, write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match write(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(written) => {
                self.waiting = false;
                Poll::Ready(written)
            }
            Poll::Pending => {
                if !self.waiting {
                    self.timer.set(self.most);
                    self.waiting = true;
                }
                self.timer.poll_elapsed(cx).map(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        if state.input.is_empty() {
            // Behind a read that left the socket empty the buffer goes back: an idle connection has none.
            state.received += ready!(state.input.poll_fill(&state.io, cx))? as u64;
        }
        let piece = &state.input.data()[..state.input.len().min(into.remaining())];
        into.put_slice(piece);
        let taken = piece.len();
        state.input.consume(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // A frame's head and its data; whatever else there may be comes back with the next call.
        self.0.borrow_mut().poll_take(cx, &slices[..slices.len().min(2)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Later: see `poll_out`.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        ready!(state.poll_out(cx))?;
        state.io.poll_shutdown(cx)
    }
}
