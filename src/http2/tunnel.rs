//! A tunnel that is one stream of a connection: its bytes travel in DATA frames, its ends are END_STREAM and RST_STREAM.
//!
//! What the client has sent and the backend has not taken is bounded by the stream's window, for room is given back only as the backend
//! takes; what the backend has sent and the client has no room for, by one read buffer and what `h2` holds of any answer.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};

use super::allowance::Allowance;
use super::relay::poll_room;
use crate::failure::Failure;
use crate::io::both_ways::{self, Moved, State, Way};
use crate::io::{Buffer, Io, Timer};
use crate::message::Tunnel;

/// From the client to the backend.
struct Up<'a> {
    from: RecvStream,
    to: &'a Io,
    data: Bytes,
    allowance: &'a Allowance,
    state: State,
    cut: bool,
}

/// From the backend to the client.
struct Down<'a> {
    from: &'a Io,
    to: &'a mut SendStream<Bytes>,
    /// What had come with the backend's 101.
    early: Bytes,
    buffer: Buffer,
    allowance: &'a Allowance,
    state: State,
    cut: bool,
}

/// Moves bytes until both ends have finished. The 2xx that opened the stream is out. With what the stream is to be reset, where it was
/// not its client who broke off.
pub async fn run(from: RecvStream, to: &mut SendStream<Bytes>, tunnel: Box<Tunnel>, allowance: &Allowance) -> Result<(), Reason> {
    let Tunnel { io: upstream, early, idle_timeout, mut ending, guard } = *tunnel;
    let (state, cut) = (State::Reading, false);
    let mut up = Up { from, to: &upstream, data: Bytes::new(), allowance, state, cut };
    let mut down = Down { from: &upstream, to, early, buffer: Buffer::new(), allowance, state, cut };
    let timer = Timer::new();
    let ended = both_ways::drive(&mut up, &mut down, &timer, idle_timeout, |bytes| {
        if let Some(ending) = &mut ending {
            ending.sent(bytes);
        }
    })
    .await;
    match (ending, ended) {
        (Some(ending), Ok(())) => ending.complete(),
        (Some(mut ending), Err(failure)) => ending.broke(failure),
        (None, _) => {}
    }
    drop(guard);
    ended.map_err(|failure| if failure == Failure::TunnelIdle { Reason::CANCEL } else { Reason::CONNECT_ERROR })
}

impl Up<'_> {
    /// The first `n` bytes are done with, and the client may send as many more.
    fn done(&mut self, n: usize) {
        self.data.advance(n);
        // Fails only where the stream has no window any more.
        let _ = self.from.flow_control().release_capacity(n);
    }
}

impl Way for Up<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()> {
        loop {
            while !self.data.is_empty() {
                if self.state == State::Discarding {
                    self.done(self.data.len());
                    break;
                }
                match self.to.poll_write(cx, &self.data) {
                    Poll::Ready(Ok(0) | Err(_)) => {
                        self.discard();
                    }
                    Poll::Ready(Ok(n)) => {
                        self.done(n);
                        moved.bytes += n as u64;
                        moved.any = true;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.state {
                State::Reading | State::Discarding => match self.from.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => {
                        self.allowance.useful(data.len());
                        self.data = data;
                    }
                    Poll::Ready(end) => {
                        self.cut = end.is_some();
                        moved.any = true;
                        self.state.finish();
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Ending => match self.to.poll_shutdown(cx) {
                    // The backend may have gone altogether by now, which is as good.
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
        self.done(self.data.len());
        self.state.discard()
    }
}

impl Down<'_> {
    fn waiting(&self) -> &[u8] {
        if self.early.is_empty() { self.buffer.data() } else { &self.early }
    }

    fn take(&mut self, n: usize) -> Bytes {
        if !self.early.is_empty() {
            return self.early.split_to(n);
        }
        let piece = Bytes::copy_from_slice(&self.buffer.data()[..n]);
        self.buffer.consume(n);
        piece
    }
}

impl Way for Down<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()> {
        loop {
            while !self.waiting().is_empty() {
                let wanted = self.waiting().len();
                if self.state == State::Discarding {
                    self.take(wanted);
                    continue;
                }
                let room = match poll_room(self.to, wanted, cx) {
                    Poll::Ready(room) => room.map(|room| room.min(wanted)),
                    Poll::Pending => return Poll::Pending,
                };
                let sent = room.is_some_and(|room| {
                    let piece = self.take(room);
                    moved.bytes += room as u64;
                    self.allowance.useful(room);
                    self.to.send_data(piece, false).is_ok()
                });
                if !sent {
                    self.discard();
                }
                moved.any = true;
            }
            match self.state {
                State::Reading | State::Discarding => match self.buffer.poll_fill(self.from, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(end) => {
                        self.cut = end.is_err();
                        moved.any = true;
                        self.state.finish();
                    }
                    Poll::Pending if self.state == State::Discarding => return Poll::Pending,
                    // A client that has finished is heard of no more in the other direction, but it may still break off.
                    Poll::Pending => match self.to.poll_reset(cx) {
                        Poll::Ready(_) => {
                            self.discard();
                        }
                        Poll::Pending => return Poll::Pending,
                    },
                },
                // Where the backend broke off, the stream is to be reset instead.
                State::Ending if self.cut => self.state = State::Ended,
                State::Ending => {
                    let _ = self.to.send_data(Bytes::new(), true);
                    self.state = State::Ended;
                }
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
        self.early.clear();
        self.buffer.consume(self.buffer.len());
        self.state.discard()
    }
}
