//! A tunnel over a connection of its own: what it becomes when a backend has switched protocols.
//!
//! Each direction has a buffer only while it holds bytes.

use std::task::{Context, Poll};

use crate::failure::Failure;
use crate::io::both_ways::{self, Moved, State, Way};
use crate::io::{Buffer, Io, Scratch, Timer};
use crate::message::Tunnel;

struct Direction<'a> {
    from: &'a Io,
    to: &'a Io,
    buffer: Buffer,
    state: State,
    /// `from` broke, rather than finished.
    cut: bool,
}

impl<'a> Direction<'a> {
    fn new(from: &'a Io, to: &'a Io, buffer: Buffer) -> Direction<'a> {
        Direction { from, to, buffer, state: State::Reading, cut: false }
    }
}

impl Way for Direction<'_> {
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
                        self.state.finish();
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

    fn state(&self) -> State {
        self.state
    }

    fn is_cut(&self) -> bool {
        self.cut
    }

    fn discard(&mut self) -> bool {
        self.buffer.consume(self.buffer.len());
        self.state.discard()
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
        let count = |bytes| {
            if let Some(ending) = &mut ending {
                ending.sent(bytes);
            }
        };
        both_ways::drive(&mut up, &mut down, timer, idle_timeout, count).await
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
