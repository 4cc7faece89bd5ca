//! The content of a request that comes by HTTP/2.
//!
//! The sender gets room for as much as was consumed, so what it may have on its way to a slow reader is bounded by the windows that
//! the connection opened with.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};

use super::allowance::Allowance;
use super::inflow::Inflow;
use crate::failure::{Failure, Malformed};
use crate::io::arrears::Arrears;
use crate::io::{Timer, timer};
use crate::message::{Fields, Length, Source};

pub struct Received {
    inflow: Inflow,
    /// Told what has come.
    allowance: Rc<Allowance>,
    arrears: Arrears,
    /// Set while nothing comes, with what its end will mean.
    waiting: Option<(Timer, Failure)>,
}

impl Received {
    /// `length`: what the head said; `timeout`: without progress; `rate`: bytes a second, as in `Arrears`.
    pub fn new(stream: RecvStream, length: Option<u64>, timeout: Duration, rate: u32, allowance: Rc<Allowance>) -> Received {
        Received { inflow: Inflow::new(stream, length), allowance, arrears: Arrears::new(rate, timeout), waiting: None }
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
                self.inflow.end();
                Poll::Ready(Err(*failure))
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
        self.inflow.length()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match self.inflow.poll(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(!self.inflow.data().is_empty())),
            Poll::Ready(Ok(came)) => {
                self.waiting = None;
                self.arrears.pay(timer::now(), came);
                self.allowance.useful(came);
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(meaning(&error))),
            Poll::Pending => self.poll_late(cx),
        }
    }

    fn data(&self) -> &[u8] {
        self.inflow.data()
    }

    fn consume(&mut self, n: usize) {
        self.inflow.consume(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        self.inflow.take(n)
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.inflow.take_trailers()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(stream) = self.inflow.unfinished() {
            give_up(stream, &self.allowance);
        }
    }
}
