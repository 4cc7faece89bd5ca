//! Bytes in both directions, until both ends have finished: what an upgraded connection is.
//!
//! Each direction has a buffer only while it holds bytes, and reads only when all it read was written, so that a slow end slows the
//! other. An end that finishes is passed on as a half-close; an error, or silence for too long, closes both.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use crate::failure::Failure;
use crate::io::{Buffer, Io, Scratch, Timer};
use crate::message::Tunnel;

enum State {
    Reading,
    /// The reader has finished; what is buffered goes out, then the half-close.
    Ending,
    Ended,
}

struct Direction<'a> {
    from: &'a Io,
    to: &'a Io,
    buffer: Buffer,
    state: State,
}

/// What a poll achieved.
#[derive(Default)]
struct Moved {
    bytes: u64,
    any: bool,
}

impl Direction<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                match self.to.poll_write(cx, self.buffer.data()) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => {
                        self.buffer.consume(n);
                        moved.bytes += n as u64;
                        moved.any = true;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.state {
                State::Reading => match self.buffer.poll_fill(self.from, cx) {
                    Poll::Ready(Ok(0)) => {
                        self.state = State::Ending;
                        moved.any = true;
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                State::Ending => match self.to.poll_shutdown(cx) {
                    // The other end may have gone altogether by now, which is as good.
                    Poll::Ready(_) => self.state = State::Ended,
                    Poll::Pending => return Poll::Pending,
                },
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Writes `opening` (the 101) to the client, then moves bytes. `early`: what the client sent behind its request.
pub async fn run(client: &Io, mut opening: Scratch, early: Buffer, tunnel: Box<Tunnel>, timer: &Timer) {
    let Tunnel { io: upstream, early: answered, idle_timeout, mut ending, guard } = *tunnel;
    opening.extend_from_slice(&answered);
    let opened = timer.limit(idle_timeout, client.write_all(&opening)).await;
    drop(opening);

    let mut up = Direction { from: client, to: &upstream, buffer: early, state: State::Reading };
    let mut down = Direction { from: &upstream, to: client, buffer: Buffer::new(), state: State::Reading };
    let ended = if !matches!(opened, Ok(Ok(()))) {
        Err(Failure::ClientGone)
    } else {
        if let Some(ending) = &mut ending {
            ending.sent(answered.len() as u64);
        }
        timer.set(idle_timeout);
        poll_fn(|cx| {
            let (mut went_up, mut went_down) = (Moved::default(), Moved::default());
            let up = up.poll(cx, &mut went_up);
            let down = down.poll(cx, &mut went_down);
            if let Some(ending) = &mut ending {
                ending.sent(went_down.bytes);
            }
            if went_up.any || went_down.any {
                timer.set(idle_timeout);
            }
            match (up, down) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Err(Failure::TunnelBroken)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                _ => timer.poll_elapsed(cx).map(|_| Err(Failure::TunnelIdle)),
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
