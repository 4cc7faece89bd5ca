//! Bytes in both directions, until both ends have finished: what an upgraded connection is.
//!
//! Each direction has a buffer only while it holds bytes, and reads only when all it read was written, so that a slow end slows the
//! other. An end that finishes is passed on as a half-close. An end that breaks takes nothing any more, but what it had said before
//! is still delivered; what is said to it meanwhile is thrown away. Silence for too long closes both.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::failure::Failure;
use crate::io::{Buffer, Io, Scratch, Timer};
use crate::message::Tunnel;

/// How long an end is still listened to when there is nothing more to tell it: closing at once, with its bytes unread, makes the
/// kernel send a reset, which can overtake the last of what it was told.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The reader has finished; what is buffered goes out, then the half-close.
    Ending,
    Ended,
    /// The writer is broken: what still comes is thrown away.
    Discarding,
}

struct Direction<'a> {
    from: &'a Io,
    to: &'a Io,
    buffer: Buffer,
    state: State,
    /// `from` broke, rather than finished.
    cut: bool,
}

/// What a poll achieved.
#[derive(Default)]
struct Moved {
    bytes: u64,
    any: bool,
}

impl<'a> Direction<'a> {
    fn new(from: &'a Io, to: &'a Io, buffer: Buffer) -> Direction<'a> {
        Direction { from, to, buffer, state: State::Reading, cut: false }
    }

    /// Ready once nothing more will come this way.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()> {
        loop {
            while !self.buffer.is_empty() {
                if self.state == State::Discarding {
                    self.buffer.consume(self.buffer.len());
                    break;
                }
                match self.to.poll_write(cx, self.buffer.data()) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                        self.discard();
                    }
                    Poll::Ready(Ok(n)) => {
                        self.buffer.consume(n);
                        moved.bytes += n as u64;
                        moved.any = true;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.state {
                State::Reading | State::Discarding => match self.buffer.poll_fill(self.from, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(end) => {
                        self.cut = end.is_err();
                        moved.any = true;
                        self.state = if self.state == State::Reading { State::Ending } else { State::Ended };
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Ending => match self.to.poll_shutdown(cx) {
                    // The other end may have gone altogether by now, which is as good.
                    Poll::Ready(_) => self.state = State::Ended,
                    Poll::Pending => return Poll::Pending,
                },
                State::Ended => return Poll::Ready(()),
            }
        }
    }

    /// Nobody is left to write to, nor to tell of an end. `true`: that is news.
    fn discard(&mut self) -> bool {
        let next = match self.state {
            State::Reading | State::Discarding => State::Discarding,
            State::Ending | State::Ended => State::Ended,
        };
        self.buffer.consume(self.buffer.len());
        std::mem::replace(&mut self.state, next) != next
    }

    fn is_discarding(&self) -> bool {
        self.state == State::Discarding
    }
}

/// Writes `opening` (the 101) to the client, then moves bytes. `early`: what the client sent behind its request.
pub async fn run(client: &Io, mut opening: Scratch, early: Buffer, tunnel: Box<Tunnel>, timer: &Timer) {
    let Tunnel { io: upstream, early: answered, idle_timeout, mut ending, guard } = *tunnel;
    opening.extend_from_slice(&answered);
    let opened = timer.limit(idle_timeout, client.write_all(&opening)).await;
    drop(opening);

    let mut up = Direction::new(client, &upstream, early);
    let mut down = Direction::new(&upstream, client, Buffer::new());
    let ended = if !matches!(opened, Ok(Ok(()))) {
        Err(Failure::ClientGone)
    } else {
        if let Some(ending) = &mut ending {
            ending.sent(answered.len() as u64);
        }
        timer.set(idle_timeout);
        let mut broken = false;
        let mut lingering = false;
        poll_fn(|cx| {
            loop {
                let (mut went_up, mut went_down) = (Moved::default(), Moved::default());
                let over = (up.poll(cx, &mut went_up).is_ready(), down.poll(cx, &mut went_down).is_ready());
                if let Some(ending) = &mut ending {
                    ending.sent(went_down.bytes);
                }
                if (went_up.any || went_down.any) && !lingering {
                    timer.set(idle_timeout);
                }
                // Who can not be read can not be written to either.
                if (up.cut && down.discard()) || (down.cut && up.discard()) {
                    continue;
                }
                broken |= up.cut || down.cut || up.is_discarding() || down.is_discarding();
                match over {
                    (true, true) if broken => return Poll::Ready(Err(Failure::TunnelBroken)),
                    (true, true) => return Poll::Ready(Ok(())),
                    (up_over, down_over) => {
                        let idle = (up_over && down.is_discarding()) || (down_over && up.is_discarding());
                        if idle && !lingering {
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
    };
    match (ending, ended) {
        (Some(ending), Ok(())) => ending.complete(),
        (Some(mut ending), Err(failure)) => ending.broke(failure),
        (None, _) => {}
    }
    drop(guard);
}

#[cfg(test)]
mod tests;
