//! A request body as it comes in: counted, and held to its limit.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::record::Story;
use crate::failure::Failure;
use crate::message::{Body, Fields, Length, Source};

/// `most`: content bytes; `None`: unlimited. A body that says it is larger is refused before anybody reads it.
pub fn limit(body: Body, most: Option<u64>, story: &mut Story) -> Result<Body, Failure> {
    if body.is_empty() {
        return Ok(body);
    }
    let most = most.unwrap_or(u64::MAX);
    if matches!(body.length(), Length::Exact(length) if length > most) {
        return Err(Failure::BodyTooLarge);
    }
    Ok(Body::source(Box::new(Intake { body, left: most, received: story.receives() })))
}

struct Intake {
    body: Body,
    left: u64,
    received: Rc<Cell<u64>>,
}

impl Source for Intake {
    fn length(&self) -> Length {
        self.body.length()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match self.body.poll_fill(cx) {
            // Only a body of unknown length gets here with too much.
            Poll::Ready(Ok(true)) if self.body.data().len() as u64 > self.left => Poll::Ready(Err(Failure::BodyTooLarge)),
            filled => filled,
        }
    }

    fn data(&self) -> &[u8] {
        self.body.data()
    }

    fn consume(&mut self, n: usize) {
        self.left -= n as u64;
        self.received.set(self.received.get() + n as u64);
        self.body.consume(n);
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }
}
