//! What comes on a stream: content at its reader's pace, then trailers.
//!
//! The sender gets room for as much as was consumed, so what it may have on its way to a slow reader is bounded by the window of
//! the stream.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;

use super::head;
use crate::message::{Fields, Length};

pub struct Inflow {
    stream: RecvStream,
    /// Not consumed yet.
    data: Bytes,
    /// Content bytes that are to come behind `data`, where that was said. `h2` holds the sender to it.
    left: Option<u64>,
    trailers: Option<Fields>,
    ended: bool,
}

impl Inflow {
    /// `length`: what the head said.
    pub fn new(stream: RecvStream, length: Option<u64>) -> Inflow {
        Inflow { stream, data: Bytes::new(), left: length, trailers: None, ended: false }
    }

    /// Reads more where `data` is empty: how many bytes have come. 0: there are some still, or it has ended, whole.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
        while self.data.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.data = data;
                    if !self.data.is_empty() {
                        return Poll::Ready(Ok(self.data.len()));
                    }
                }
                Some(Err(error)) => return self.fail(error),
                None => match ready!(self.stream.poll_trailers(cx)) {
                    Ok(trailers) => {
                        self.ended = true;
                        self.trailers = trailers.and_then(|trailers| head::trailers_in(&trailers));
                    }
                    Err(error) => return self.fail(error),
                },
            }
        }
        Poll::Ready(Ok(0))
    }

    fn fail(&mut self, error: h2::Error) -> Poll<Result<usize, h2::Error>> {
        self.ended = true;
        Poll::Ready(Err(error))
    }

    /// Whether it is known to have ended, whole, with nothing left to read.
    pub fn is_over(&self) -> bool {
        self.data.is_empty() && self.stream.is_end_stream()
    }

    /// Nothing more will be read.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The stream, where more of it was to be read.
    pub fn unfinished(&mut self) -> Option<&mut RecvStream> {
        (!self.ended).then_some(&mut self.stream)
    }

    /// Content bytes left, those in `data` included.
    pub fn length(&self) -> Length {
        match self.left {
            _ if self.ended => Length::Exact(self.data.len() as u64),
            Some(left) => Length::Exact(left + self.data.len() as u64),
            None => Length::Unknown,
        }
    }

    pub fn data(&self) -> &[u8] {
        &self.data
    }

    pub fn consume(&mut self, n: usize) {
        self.data.advance(n);
        self.release(n);
    }

    pub fn take(&mut self, n: usize) -> Bytes {
        let bytes = self.data.split_to(n);
        self.release(n);
        bytes
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    fn release(&mut self, n: usize) {
        // Fails only where the stream has no window any more.
        let _ = self.stream.flow_control().release_capacity(n);
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        // The stream gives back what it still has; what was taken from it is ours to give.
        self.release(self.data.len());
    }
}
