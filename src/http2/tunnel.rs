//! A tunnel that is one stream of a connection: its bytes travel in DATA frames, its ends are END_STREAM and RST_STREAM.
//!
//! What the client has sent and the backend has not taken is bounded by the stream's window, for room is given back only as the backend
//! takes; what the backend has sent and the client has no room for, by one read buffer and what `h2` holds of any answer.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};

use super::allowance::Allowance;
use super::inflow::Inflow;
use super::relay::poll_room;
use crate::failure::Failure;
use crate::io::both_ways::{self, Broken, Direction, Reader, Stream, Writer};
use crate::io::{Buffer, Timer};
use crate::message::Tunnel;

/// What the client says.
struct Said<'a> {
    inflow: Inflow,
    allowance: &'a Allowance,
}

/// What the backend says: what had come with its 101, then the rest.
struct Answered<'a> {
    early: Bytes,
    rest: Stream<'a>,
}

/// The way to the client.
struct Told<'a> {
    stream: &'a mut SendStream<Bytes>,
    allowance: &'a Allowance,
}

/// Moves bytes until both ends have finished. The 2xx that opened the stream is out. With what the stream is to be reset, where it was
/// not its client who broke off.
pub async fn run(from: RecvStream, to: &mut SendStream<Bytes>, tunnel: Box<Tunnel>, allowance: &Allowance) -> Result<(), Reason> {
    let Tunnel { io: upstream, early, idle_timeout, mut ending, guard } = *tunnel;
    let mut up = Direction::new(Said { inflow: Inflow::new(from, None), allowance }, &upstream);
    let answered = Answered { early, rest: Stream::new(&upstream, Buffer::new()) };
    let mut down = Direction::new(answered, Told { stream: to, allowance });
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

impl Reader for Said<'_> {
    fn held(&self) -> &[u8] {
        self.inflow.data()
    }

    fn done(&mut self, n: usize) {
        self.inflow.consume(n);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let came = ready!(self.inflow.poll(cx)).map_err(|_| Broken)?;
        self.allowance.useful(came);
        Poll::Ready(Ok(came > 0))
    }
}

impl Reader for Answered<'_> {
    fn held(&self) -> &[u8] {
        if self.early.is_empty() { self.rest.held() } else { &self.early }
    }

    fn done(&mut self, n: usize) {
        if self.early.is_empty() { self.rest.done(n) } else { self.early.advance(n) }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        self.rest.poll_read(cx)
    }
}

impl Writer for Told<'_> {
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let Some(room) = ready!(poll_room(self.stream, bytes.len(), cx)) else { return Poll::Ready(Err(Broken)) };
        let room = room.min(bytes.len());
        self.allowance.useful(room);
        let sent = self.stream.send_data(Bytes::copy_from_slice(&bytes[..room]), false);
        Poll::Ready(sent.map(|()| room).map_err(|_| Broken))
    }

    fn poll_finish(&mut self, cut: bool, _: &mut Context<'_>) -> Poll<()> {
        // Where the backend broke off, the stream is to be reset instead.
        if !cut {
            let _ = self.stream.send_data(Bytes::new(), true);
        }
        Poll::Ready(())
    }

    /// A client that has finished is heard of no more in the other direction, but it may still break off.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }
}
