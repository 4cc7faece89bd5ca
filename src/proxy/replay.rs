//! A request's content, for as many attempts as it takes.
//!
//! What is small enough is kept while it is sent, and sent again from there. What turns out to be larger is not: from then on it
//! streams, and the request has one attempt. Nothing is read ahead for it. Keeping ends with the first answer that is taken for
//! the answer, whether the content has been sent whole or not.
//!
//! Bound: `KEPT_BYTES_MAX` per request, and only for requests that may be repeated. Kept as a copy, for the buffer that it was read
//! into is its client's connection's, and is wanted for the next piece.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::failure::Failure;
use crate::io::buffer::SMALL;
use crate::message::{Body, Fields, Length, Source};

/// Content up to this size can be sent again.
pub const KEPT_BYTES_MAX: usize = 64 << 10;

/// The content of a request that is tried once or more often.
pub enum Content {
    /// Sent as it comes. `None`: some of it may be used up. An empty one is never used up.
    Once(Option<Body>),
    Kept(Replay),
}

impl Content {
    /// `repeatable`: the request is one that may be sent again.
    pub fn new(body: Body, repeatable: bool) -> Content {
        let small = match body.length() {
            Length::Exact(length) => length <= KEPT_BYTES_MAX as u64,
            // It will be seen.
            Length::Unknown => true,
        };
        if repeatable && small && !body.is_empty() { Content::Kept(Replay::new(body)) } else { Content::Once(Some(body)) }
    }

    /// Whether another attempt would have all of it.
    pub fn is_whole(&self) -> bool {
        match self {
            Content::Once(body) => body.is_some(),
            Content::Kept(replay) => replay.is_whole(),
        }
    }

    /// For one attempt: all of it, from the beginning. Whoever is done puts back what is left.
    pub fn lend(&mut self) -> Option<Body> {
        match self {
            Content::Once(body) => body.take(),
            Content::Kept(replay) => Some(replay.reader()),
        }
    }

    /// `left`: what was lent, where it was not touched.
    pub fn put_back(&mut self, left: Option<Body>) {
        if let Content::Once(body) = self {
            *body = left;
        }
    }

    /// Tells later whether another attempt would have all of it.
    pub fn watch(&self) -> impl Fn() -> bool + use<> {
        let kept = match self {
            Content::Once(_) => None,
            Content::Kept(replay) => Some(replay.kept.clone()),
        };
        // An empty one is never used up, and no other one asks while it is under way.
        move || kept.as_ref().is_none_or(|kept| !kept.borrow().lost)
    }

    /// Ready if it will never be whole: its client has gone, or sends what it must not. For those who wait and do not send yet.
    pub fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let filled = match self {
            Content::Once(Some(body)) if !body.is_empty() => body.poll_fill(cx),
            Content::Once(_) => return Poll::Pending,
            Content::Kept(replay) => replay.poll_rest(cx),
        };
        match filled {
            Poll::Ready(Err(failure)) => Poll::Ready(failure),
            _ => Poll::Pending,
        }
    }
}

/// Keeps what its readers read. One reader at a time is read from; one that was given up may live on for a moment. Dropping it
/// ends the keeping: the last reader streams the rest.
pub struct Replay {
    kept: Rc<RefCell<Kept>>,
}

struct Kept {
    /// What was not read yet; `None`: the body has ended, or failed, or a reader has it for itself.
    rest: Option<Body>,
    bytes: Vec<u8>,
    trailers: Option<Fields>,
    whole: Length,
    /// There will be no other reader.
    last: bool,
    /// It has become too large, or broke off: what is kept is not all of it.
    lost: bool,
}

impl Replay {
    fn new(body: Body) -> Replay {
        let whole = body.length();
        let kept = Kept { rest: Some(body), bytes: Vec::new(), trailers: None, whole, last: false, lost: false };
        Replay { kept: Rc::new(RefCell::new(kept)) }
    }

    fn is_whole(&self) -> bool {
        !self.kept.borrow().lost
    }

    fn reader(&self) -> Body {
        Body::source(Box::new(Reader { kept: self.kept.clone(), read: 0, piece: Vec::new(), used: 0, rest: None }))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match &mut self.kept.borrow_mut().rest {
            Some(rest) => rest.poll_fill(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.kept.borrow_mut().last = true;
    }
}

/// Reads what is kept, then what comes.
struct Reader {
    kept: Rc<RefCell<Kept>>,
    /// Bytes of the content that have been in `piece`.
    read: usize,
    /// A copy of the next bytes: what is kept grows and moves meanwhile.
    piece: Vec<u8>,
    /// Bytes of the piece that are used up.
    used: usize,
    /// The rest of the body, once nobody will ask for it again.
    rest: Option<Body>,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        self.piece.clear();
        self.piece.extend_from_slice(bytes);
        self.used = 0;
        self.read += bytes.len();
    }
}

impl Source for Reader {
    fn length(&self) -> Length {
        if let Some(rest) = &self.rest {
            return rest.length();
        }
        match self.kept.borrow().whole {
            Length::Exact(whole) => Length::Exact(whole - (self.read - self.piece.len() + self.used) as u64),
            Length::Unknown => Length::Unknown,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if let Some(rest) = &mut self.rest {
            return rest.poll_fill(cx);
        }
        if self.used < self.piece.len() {
            return Poll::Ready(Ok(true));
        }
        let shared = self.kept.clone();
        let kept = &mut *shared.borrow_mut();
        if self.read < kept.bytes.len() {
            let next = &kept.bytes[self.read..];
            self.take(&next[..next.len().min(SMALL)]);
            return Poll::Ready(Ok(true));
        }
        let Some(rest) = &mut kept.rest else { return Poll::Ready(Ok(false)) };
        if kept.last {
            kept.bytes = Vec::new();
            self.rest = kept.rest.take();
            return self.poll_fill(cx);
        }
        match ready!(rest.poll_fill(cx)) {
            Ok(true) if kept.bytes.len() + rest.data().len() > KEPT_BYTES_MAX => {
                (kept.lost, kept.bytes) = (true, Vec::new());
                self.rest = kept.rest.take();
                Poll::Ready(Ok(true))
            }
            Ok(true) => {
                self.take(rest.data());
                kept.bytes.extend_from_slice(rest.data());
                rest.consume(self.piece.len());
                Poll::Ready(Ok(true))
            }
            Ok(false) => {
                kept.trailers = rest.take_trailers();
                // Its client's connection gets its buffer back, and is watched while the backend thinks.
                kept.rest = None;
                Poll::Ready(Ok(false))
            }
            Err(failure) => {
                (kept.lost, kept.rest) = (true, None);
                Poll::Ready(Err(failure))
            }
        }
    }

    fn data(&self) -> &[u8] {
        match &self.rest {
            Some(rest) => rest.data(),
            None => &self.piece[self.used..],
        }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.rest {
            Some(rest) => rest.consume(n),
            None => self.used += n,
        }
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        match &mut self.rest {
            Some(rest) => rest.take_trailers(),
            None => self.kept.borrow().trailers.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
