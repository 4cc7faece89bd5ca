//! From a body to a stream: as much as the receiver has room for, and not a byte more is taken from the source.
//!
//! So a receiver that reads slowly, or not at all, costs what the source holds at this moment, and `h2` holds only what may be sent.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;

use super::head;
use crate::io::Timer;
use crate::message::{Body, Stop};

/// Sends all of the body, and the end of the stream. `timeout`: without room. Dropped before its end, the stream is to be reset.
pub async fn relay(body: &mut Body, to: &mut SendStream<Bytes>, timeout: Duration, mut sent: impl FnMut(usize)) -> Result<(), Stop> {
    let mut timer = None;
    poll_fn(|cx| {
        let mut filled = body.poll_fill(cx);
        loop {
            match filled {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(end(body, to)),
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(Stop::Body(failure))),
                Poll::Pending => return to.poll_reset(cx).map(|_| Err(Stop::Broken)),
            }
            let wanted = body.data().len();
            let room = match poll_room(to, wanted, cx) {
                Poll::Ready(Some(room)) => room.min(wanted),
                Poll::Ready(None) => return Poll::Ready(Err(Stop::Broken)),
                Poll::Pending => {
                    let timer = timer.get_or_insert_with(|| {
                        let timer = Timer::new();
                        timer.set(timeout);
                        timer
                    });
                    return timer.poll_elapsed(cx).map(|_| Err(Stop::Elapsed));
                }
            };
            timer = None;
            let piece = body.take(room);
            body.sent(room as u64);
            sent(room);
            filled = body.poll_fill(cx);
            // The last piece says that it is the last, where that is known by now.
            let trailers = if let Poll::Ready(Ok(false)) = filled { body.take_trailers() } else { None };
            let ends = trailers.is_none() && matches!(filled, Poll::Ready(Ok(false)));
            if to.send_data(piece, ends).is_err() {
                return Poll::Ready(Err(Stop::Broken));
            }
            if let Some(trailers) = trailers {
                return Poll::Ready(to.send_trailers(head::trailers_out(&trailers)).map_err(|_| Stop::Broken));
            }
            if ends {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

/// Room for some of `wanted` bytes. `None`: the stream is over.
pub(super) fn poll_room(to: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    to.reserve_capacity(wanted);
    loop {
        match to.capacity() {
            0 => {}
            room => return Poll::Ready(Some(room)),
        }
        match to.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// The body ended behind what was sent.
fn end(body: &mut Body, to: &mut SendStream<Bytes>) -> Result<(), Stop> {
    let ended = match body.take_trailers() {
        Some(trailers) => to.send_trailers(head::trailers_out(&trailers)),
        None => to.send_data(Bytes::new(), true),
    };
    ended.map_err(|_| Stop::Broken)
}
