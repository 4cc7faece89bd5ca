//! The body of a message: nothing, bytes at hand, or a source that is read as it comes.
//!
//! A source shows what it has read (`data`) and is told how much was used (`consume`), so that a relay between two connections
//! copies nothing and holds one buffer. Whoever wants owned bytes (a cache, HTTP/2) pulls frames instead. Reading ahead is
//! bounded by the source's own buffer: a slow reader costs that much and no more.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::fields::Fields;
use crate::failure::{Failure, Malformed};

/// What is left to read, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Exact(u64),
    /// Chunked, or until the connection closes.
    Unknown,
}

/// Why a body was not relayed to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The body failed.
    Body(Failure),
    /// Whoever receives it is gone, or does not want it any more.
    Broken,
    /// It took nothing for too long.
    Elapsed,
}

impl Stop {
    /// Where a client was to receive it.
    pub fn of_answer(self) -> Failure {
        match self {
            Stop::Body(failure) => failure,
            Stop::Broken => Failure::ClientGone,
            Stop::Elapsed => Failure::WriteTimeout,
        }
    }
}

/// What a Content-Length says: digits and nothing else (RFC 9112 6.3), up to 2^63, which nobody has.
pub fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() {
        return Err(Malformed::ContentLength);
    }
    let mut length = 0i64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        length = match digit {
            0..=9 => length.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit))).ok_or(Malformed::ContentLength)?,
            _ => return Err(Malformed::ContentLength),
        };
    }
    Ok(length as u64)
}

pub enum Frame {
    Data(Bytes),
    /// Once, after all data, and never empty.
    Trailers(Fields),
}

/// A body that is read as it comes. Dropping it gives up the rest: the only form of cancellation.
pub trait Source {
    /// Content bytes left, those in `data` included.
    fn length(&self) -> Length;

    /// Reads more where `data` is empty. `true`: there is data; `false`: the body has ended, whole. An error ends it too, cut short.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>>;

    /// What was read and not yet consumed, decoded.
    fn data(&self) -> &[u8];

    /// The first `n` bytes of `data` are done with.
    fn consume(&mut self, n: usize);

    /// The first `n` bytes of `data`, owned; they are done with. Sources that hold `Bytes` do it without the copy.
    fn take(&mut self, n: usize) -> Bytes {
        let bytes = Bytes::copy_from_slice(&self.data()[..n]);
        self.consume(n);
        bytes
    }

    /// The trailers, once the body has ended.
    fn take_trailers(&mut self) -> Option<Fields> {
        None
    }

    /// The next piece as an owned frame; `None` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        match self.poll_fill(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(failure)) => Poll::Ready(Some(Err(failure))),
            Poll::Ready(Ok(false)) => Poll::Ready(self.take_trailers().map(|trailers| Ok(Frame::Trailers(trailers)))),
            Poll::Ready(Ok(true)) => {
                let all = self.data().len();
                Poll::Ready(Some(Ok(Frame::Data(self.take(all)))))
            }
        }
    }
}

/// What follows an answer to its last byte: told what went out, closed once. Dropped without `complete`: the answer broke off.
pub trait Ending {
    /// Bytes of content handed to the client's socket.
    fn sent(&mut self, bytes: u64);
    /// Why the answer breaks off; the first reason counts.
    fn broke(&mut self, failure: Failure);
    /// The trailers, behind all content.
    fn trailers(&mut self, trailers: &Fields);
    /// The last byte was handed to the client's socket.
    fn complete(self: Box<Self>);
}

/// Hears how a backend's answer ended, long after its head has left.
pub trait Witness {
    /// Whole, or by this failure. Not told where the answer is dropped before its end.
    fn ended(&self, how: Result<(), Failure>);
}

/// A body, and with an answer's body what follows it. Small, since it is handed from room to room.
#[derive(Default)]
pub struct Body {
    content: Content,
    ending: Option<Box<dyn Ending>>,
}

#[derive(Default)]
enum Content {
    #[default]
    Nothing,
    /// Never empty. Not behind a pointer: what a cache has at hand is sent without asking for memory.
    AtHand(Bytes),
    Source(Box<dyn Source>),
}

impl Body {
    pub fn empty() -> Body {
        Body::default()
    }

    pub fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::empty() } else { Body { content: Content::AtHand(bytes), ending: None } }
    }

    pub fn source(source: Box<dyn Source>) -> Body {
        Body { content: Content::Source(source), ending: None }
    }

    pub fn with_ending(mut self, ending: Box<dyn Ending>) -> Body {
        self.ending = Some(ending);
        self
    }

    /// Whether there is certainly nothing to read.
    pub fn is_empty(&self) -> bool {
        matches!(self.content, Content::Nothing)
    }

    pub fn length(&self) -> Length {
        match &self.content {
            Content::Nothing => Length::Exact(0),
            Content::AtHand(bytes) => Length::Exact(bytes.len() as u64),
            Content::Source(source) => source.length(),
        }
    }

    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match &mut self.content {
            Content::Nothing => Poll::Ready(Ok(false)),
            Content::AtHand(bytes) => Poll::Ready(Ok(!bytes.is_empty())),
            Content::Source(source) => source.poll_fill(cx),
        }
    }

    pub fn data(&self) -> &[u8] {
        match &self.content {
            Content::Nothing => &[],
            Content::AtHand(bytes) => bytes,
            Content::Source(source) => source.data(),
        }
    }

    pub fn consume(&mut self, n: usize) {
        match &mut self.content {
            Content::Nothing => {}
            Content::AtHand(bytes) => bytes.advance(n),
            Content::Source(source) => source.consume(n),
        }
    }

    /// As `Source::take`.
    pub fn take(&mut self, n: usize) -> Bytes {
        match &mut self.content {
            Content::Nothing => Bytes::new(),
            Content::AtHand(bytes) => bytes.split_to(n),
            Content::Source(source) => source.take(n),
        }
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        let Content::Source(source) = &mut self.content else { return None };
        let trailers = source.take_trailers()?;
        if let Some(ending) = &mut self.ending {
            ending.trailers(&trailers);
        }
        Some(trailers)
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        match &mut self.content {
            Content::Nothing => Poll::Ready(None),
            Content::AtHand(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Content::Source(source) => source.poll_frame(cx),
        }
    }

    /// Bytes of content handed to the client's socket.
    pub fn sent(&mut self, bytes: u64) {
        if let Some(ending) = &mut self.ending {
            ending.sent(bytes);
        }
    }

    /// Why the answer breaks off.
    pub fn broke(&mut self, failure: Failure) {
        if let Some(ending) = &mut self.ending {
            ending.broke(failure);
        }
    }

    /// The last byte was handed to the client's socket.
    pub fn complete(mut self) {
        if let Some(ending) = self.ending.take() {
            ending.complete();
        }
    }
}
