//! Bytes in both directions, until both ends have finished: what an upgraded connection is, whatever its ends are made of.
//!
//! Each direction reads only when all it read was written, so that a slow end slows the other. An end that finishes is passed on as a
//! half-close. An end that breaks takes nothing any more, but what it had said before is still delivered; what is said to it meanwhile
//! is thrown away. Silence for too long closes both.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Buffer, Io, Timer};
use crate::failure::Failure;

/// How long an end is still listened to when there is nothing more to tell it: closing at once, with its bytes unread, makes the
/// kernel send a reset, which can overtake the last of what it was told.
const LINGER: Duration = Duration::from_secs(2);

/// Where a direction is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The reader has finished; what is buffered goes out, then the half-close.
    Ending,
    Ended,
    /// The writer is broken: what still comes is thrown away.
    Discarding,
}

impl State {
    /// Nothing more will be read.
    fn finish(&mut self) {
        *self = if *self == State::Reading { State::Ending } else { State::Ended };
    }

    /// Nobody is left to write to, nor to tell of an end. `true`: that is news.
    fn discard(&mut self) -> bool {
        let next = match self {
            State::Reading | State::Discarding => State::Discarding,
            State::Ending | State::Ended => State::Ended,
        };
        std::mem::replace(self, next) != next
    }
}

/// What a poll achieved.
#[derive(Default)]
struct Moved {
    bytes: u64,
    any: bool,
}

/// The end is broken, rather than finished.
pub struct Broken;

/// Where the bytes of a direction come from.
pub trait Reader {
    /// What was read and not yet written.
    fn held(&self) -> &[u8];

    /// The first `n` bytes of it are done with.
    fn done(&mut self, n: usize);

    /// Reads more where nothing is held. `false`: the end has finished.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>>;
}

/// Where they go.
pub trait Writer {
    /// How many of `bytes` were taken, at least one.
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Result<usize, Broken>>;

    /// There is no more. `cut`: for the reader broke.
    fn poll_finish(&mut self, cut: bool, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when it broke, where that is to be seen without writing.
    fn poll_broken(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// One direction.
pub struct Direction<R, W> {
    from: R,
    to: W,
    state: State,
    /// `from` broke, rather than finished.
    cut: bool,
}

impl<R: Reader, W: Writer> Direction<R, W> {
    pub fn new(from: R, to: W) -> Direction<R, W> {
        Direction { from, to, state: State::Reading, cut: false }
    }

    /// Ready once nothing more will come this way.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()> {
        loop {
            while !self.from.held().is_empty() {
                if self.state == State::Discarding {
                    self.discard();
                    break;
                }
                match ready!(self.to.poll_write(self.from.held(), cx)) {
                    Ok(n) => {
                        self.from.done(n);
                        moved.bytes += n as u64;
                        moved.any = true;
                    }
                    Err(Broken) => {
                        self.discard();
                    }
                }
            }
            match self.state {
                State::Reading | State::Discarding => match self.from.poll_read(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(end) => {
                        self.cut = end.is_err();
                        moved.any = true;
                        self.state.finish();
                    }
                    Poll::Pending if self.state == State::Discarding => return Poll::Pending,
                    Poll::Pending => {
                        ready!(self.to.poll_broken(cx));
                        self.discard();
                    }
                },
                State::Ending => {
                    ready!(self.to.poll_finish(self.cut, cx));
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(()),
            }
        }
    }

    /// Nobody is left to write to; what is held goes. `true`: that is news.
    fn discard(&mut self) -> bool {
        while !self.from.held().is_empty() {
            self.from.done(self.from.held().len());
        }
        self.state.discard()
    }
}

/// A byte stream and what was read of it.
pub struct Stream<'a> {
    io: &'a Io,
    buffer: Buffer,
}

impl<'a> Stream<'a> {
    pub fn new(io: &'a Io, buffer: Buffer) -> Stream<'a> {
        Stream { io, buffer }
    }
}

impl Reader for Stream<'_> {
    fn held(&self) -> &[u8] {
        self.buffer.data()
    }

    fn done(&mut self, n: usize) {
        self.buffer.consume(n);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        self.buffer.poll_fill(self.io, cx).map(|read| read.map(|n| n > 0).map_err(|_| Broken))
    }
}

impl Writer for &Io {
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        Io::poll_write(self, cx, bytes).map(|wrote| wrote.ok().filter(|n| *n > 0).ok_or(Broken))
    }

    fn poll_finish(&mut self, _: bool, cx: &mut Context<'_>) -> Poll<()> {
        // It may have gone altogether by now, which is as good.
        self.poll_shutdown(cx).map(|_| ())
    }
}

/// Until both have ended. `idle`: without a byte either way. `sent`: told how much went down.
pub async fn drive(
    up: &mut Direction<impl Reader, impl Writer>,
    down: &mut Direction<impl Reader, impl Writer>,
    timer: &Timer,
    idle: Duration,
    mut sent: impl FnMut(u64),
) -> Result<(), Failure> {
    timer.set(idle);
    let mut broken = false;
    let mut lingering = false;
    poll_fn(|cx| {
        loop {
            let (mut went_up, mut went_down) = (Moved::default(), Moved::default());
            let over = (up.poll(cx, &mut went_up).is_ready(), down.poll(cx, &mut went_down).is_ready());
            sent(went_down.bytes);
            if (went_up.any || went_down.any) && !lingering {
                timer.set(idle);
            }
            // Who can not be read can not be written to either.
            if (up.cut && down.discard()) || (down.cut && up.discard()) {
                continue;
            }
            let discards = [up.state, down.state].map(|state| state == State::Discarding);
            broken |= up.cut || down.cut || discards.contains(&true);
            match over {
                (true, true) if broken => return Poll::Ready(Err(Failure::TunnelBroken)),
                (true, true) => return Poll::Ready(Ok(())),
                (up_over, down_over) => {
                    let only_listens = (up_over && discards[1]) || (down_over && discards[0]);
                    if only_listens && !lingering {
                        timer.set(LINGER);
                        lingering = true;
                    }
                }
            }
            let failure = if lingering { Failure::TunnelBroken } else { Failure::TunnelIdle };
            return timer.poll_elapsed(cx).map(|_| Err(failure));
        }
    })
    .await
}
