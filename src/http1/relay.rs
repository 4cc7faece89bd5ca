//! From a body to a connection: what is there goes out at once, in as few system calls as it takes.
//!
//! Both loops write with this: an answer to its client, a request body to its backend. Small pieces are copied behind the head and
//! leave in one `send`; large ones are written from the source's own buffer, next to the head, in one `writev`.

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::Duration;

use super::writer;
use crate::failure::Failure;
use crate::io::buffer::SMALL;
use crate::io::{Io, Scratch, Timer};
use crate::message::{Body, Stop};

/// Up to here a piece of body is copied; above, two slices cost less than the copy.
const COPY_BYTES_MAX: usize = 4 << 10;

/// How the body is laid on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub chunked: bool,
    /// Whether trailers may follow the last chunk.
    pub trailers: bool,
}

/// What there was without waiting.
pub enum Gathered {
    /// All of the body is in `out`, its end included.
    Ended,
    /// More is to come.
    Waiting,
    /// This many bytes of data follow what is in `out`; too many to copy.
    Large(usize),
}

/// The receiving side of a relay.
pub struct To<'a> {
    pub io: &'a Io,
    pub timer: &'a Timer,
    /// Without progress.
    pub timeout: Duration,
}

/// Copies behind `out` what the body has at hand.
pub fn gather(body: &mut Body, shape: Shape, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<Gathered, Failure> {
    loop {
        match body.poll_fill(cx) {
            Poll::Pending => return Ok(Gathered::Waiting),
            Poll::Ready(Err(failure)) => return Err(failure),
            Poll::Ready(Ok(false)) => {
                if shape.chunked {
                    let fields = body.take_trailers().filter(|_| shape.trailers);
                    writer::last_chunk(fields.as_ref(), out);
                }
                return Ok(Gathered::Ended);
            }
            Poll::Ready(Ok(true)) => {}
        }
        let n = body.data().len();
        if shape.chunked {
            writer::chunk_head(n, out);
        }
        if n > COPY_BYTES_MAX || out.len() >= SMALL {
            return Ok(Gathered::Large(n));
        }
        out.extend_from_slice(body.data());
        body.consume(n);
        body.sent(n as u64);
        if shape.chunked {
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl To<'_> {
    /// Writes `out` and the whole body. `wait` is polled while the body has nothing, and may stop the relay.
    pub async fn relay(
        &self,
        body: &mut Body,
        shape: Shape,
        out: &mut Scratch,
        mut wait: impl FnMut(&mut Context<'_>) -> Option<Stop>,
    ) -> Result<(), Stop> {
        loop {
            let gathered = poll_fn(|cx| match gather(body, shape, cx, out) {
                Ok(Gathered::Waiting) if out.is_empty() => match wait(cx) {
                    Some(stop) => Poll::Ready(Err(stop)),
                    None => Poll::Pending,
                },
                Ok(gathered) => Poll::Ready(Ok(gathered)),
                Err(failure) => Poll::Ready(Err(Stop::Body(failure))),
            });
            match gathered.await {
                Ok(Gathered::Ended) => return self.flush(out, None).await,
                Ok(Gathered::Waiting) => self.flush(out, None).await?,
                Ok(Gathered::Large(n)) => self.flush_with(out, body, n, shape).await?,
                Err(stop) => {
                    // What was read before the cut belongs to the receiver.
                    self.flush(out, None).await?;
                    return Err(stop);
                }
            }
        }
    }

    /// Writes `out` and the next `n` bytes of data.
    pub async fn flush_with(&self, out: &mut Scratch, body: &mut Body, n: usize, shape: Shape) -> Result<(), Stop> {
        self.flush(out, Some((body, n))).await?;
        if shape.chunked {
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Writes `out`, with it the first bytes of the body's data if so asked. What was written is gone from `out`, also on failure.
    pub async fn flush(&self, out: &mut Scratch, mut with: Option<(&mut Body, usize)>) -> Result<(), Stop> {
        let mut done = 0;
        let mut waiting = false;
        let result = poll_fn(|cx| {
            loop {
                let wrote = match &with {
                    Some((body, left)) if *left > 0 => {
                        let slices = [IoSlice::new(&out[done..]), IoSlice::new(&body.data()[..*left])];
                        let from = if done == out.len() { 1 } else { 0 };
                        self.io.poll_write_vectored(cx, &slices[from..])
                    }
                    _ if done < out.len() => self.io.poll_write(cx, &out[done..]),
                    _ => return Poll::Ready(Ok(())),
                };
                match wrote {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::Broken)),
                    Poll::Ready(Ok(n)) => {
                        waiting = false;
                        let of_out = n.min(out.len() - done);
                        done += of_out;
                        if let Some((body, left)) = &mut with {
                            let of_body = n - of_out;
                            *left -= of_body;
                            body.consume(of_body);
                            body.sent(of_body as u64);
                        }
                    }
                    Poll::Pending => {
                        if !waiting {
                            self.timer.set(self.timeout);
                            waiting = true;
                        }
                        return self.timer.poll_elapsed(cx).map(|_| Err(Stop::Elapsed));
                    }
                }
            }
        })
        .await;
        out.drain(..done);
        result
    }
}
