//! The content of a request that comes by HTTP/2.
//!
//! The sender gets room for as much as was consumed, so what it may have on its way to a slow reader is bounded by the windows that
//! the connection opened with.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream};

use super::allowance::Allowance;
use super::head;
use crate::failure::{Failure, Malformed};
use crate::io::arrears::Arrears;
use crate::io::{Timer, timer};
use crate::message::{Fields, Length, Source};

pub struct Received {
    stream: RecvStream,
    /// Not consumed yet.
    data: Bytes,
    /// Content bytes that are to come behind `data`, where that was said. `h2` holds the sender to it.
    left: Option<u64>,
    trailers: Option<Fields>,
    ended: bool,
    /// Told what has come.
    allowance: Rc<Allowance>,
    arrears: Arrears,
    /// Set while nothing comes, with what its end will mean.
    waiting: Option<(Timer, Failure)>,
}

impl Received {
    /// `length`: what the head said; `timeout`: without progress; `rate`: bytes a second, as in `Arrears`.
    pub fn new(stream: RecvStream, length: Option<u64>, timeout: Duration, rate: u32, allowance: Rc<Allowance>) -> Received {
        Received {
            stream,
            data: Bytes::new(),
            left: length,
            trailers: None,
            ended: false,
            allowance,
            arrears: Arrears::new(rate, timeout),
            waiting: None,
        }
    }

    fn release(&mut self, n: usize) {
        // Fails only where the stream has no window any more.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    fn fail(&mut self, failure: Failure) -> Poll<Result<bool, Failure>> {
        self.ended = true;
        Poll::Ready(Err(failure))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let (timer, failure) = match &self.waiting {
            Some(waiting) => waiting,
            None => {
                let (most, failure) = self.arrears.wait(timer::now());
                let timer = Timer::new();
                timer.set(most);
                self.waiting.insert((timer, failure))
            }
        };
        match timer.poll_elapsed(cx) {
            Poll::Ready(_) => {
                let failure = *failure;
                self.fail(failure)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Nobody reads on: what has come unread, and what the sender may have on its way before it learns of that, was sent in good faith.
pub fn give_up(stream: &mut RecvStream, allowance: &Allowance) {
    let flow = stream.flow_control();
    allowance.in_good_faith(flow.used_capacity() + usize::try_from(flow.available_capacity()).unwrap_or(0));
}

/// What an error of the stream says of the client.
fn meaning(error: &h2::Error) -> Failure {
    // Only content that is longer or shorter than announced is an error that we find in a stream that has begun well.
    let ours = error.is_library() && error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    if ours { Failure::RequestMalformed(Malformed::ContentLength) } else { Failure::ClientGone }
}

impl Source for Received {
    fn length(&self) -> Length {
        match self.left {
            _ if self.ended => Length::Exact(self.data.len() as u64),
            Some(left) => Length::Exact(left + self.data.len() as u64),
            None => Length::Unknown,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(true));
        }
        while !self.ended {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.waiting = None;
                    self.arrears.pay(timer::now(), data.len());
                    if data.is_empty() {
                        continue;
                    }
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.allowance.useful(data.len());
                    self.data = data;
                    return Poll::Ready(Ok(true));
                }
                Poll::Ready(None) => match self.stream.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => {
                        self.ended = true;
                        self.trailers = trailers.and_then(|trailers| head::trailers_in(&trailers));
                    }
                    Poll::Ready(Err(error)) => return self.fail(meaning(&error)),
                    Poll::Pending => return self.poll_late(cx),
                },
                Poll::Ready(Some(Err(error))) => return self.fail(meaning(&error)),
                Poll::Pending => return self.poll_late(cx),
            }
        }
        Poll::Ready(Ok(false))
    }

    fn data(&self) -> &[u8] {
        &self.data
    }

    fn consume(&mut self, n: usize) {
        self.data.advance(n);
        self.release(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        let bytes = self.data.split_to(n);
        self.release(n);
        bytes
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // The stream gives back what it still has; what was taken from it is ours to give.
        self.release(self.data.len());
        if !self.ended {
            give_up(&mut self.stream, &self.allowance);
        }
    }
}
