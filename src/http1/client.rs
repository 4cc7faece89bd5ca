//! One connection to a backend: a request goes out, an answer comes back, and the connection is fit for the next one or is not.
//!
//! A request body that is not all here yet gets a task of its own (`message::Pump`), owned by the exchange: the answer may come, and stream,
//! while the request is still being sent. If the answer ends first, the pump is aborted and the connection is not used again.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::framing::{Decoder, Step};
use super::head::{self, Framing, Limits, Resume};
use super::relay::{Gathered, Shape, To, gather};
use super::writer;
use crate::failure::{Failure, Lost};
use crate::io::{Buffer, Io, Scratch, Timer};
use crate::message::{Body, Fields, Head, Length, Method, Name, Pump, Source, Stop, Witness};

/// What a backend may send as the head of an answer. Wider than what clients may send: cookies and policies pile up here.
const LIMITS: Limits = Limits { bytes: 64 << 10, fields: 256, target: 0 };

/// An established connection, between two exchanges or in one.
pub struct Connection {
    io: Io,
    buffer: Buffer,
    timer: Timer,
    /// What still sends the request.
    pump: Option<Pump>,
    content: Content,
    /// The longest time without progress in either direction.
    stall: Duration,
}

/// The content of the answer, as far as it was read. Part of the connection, not of the body that shows it: what is made anew for
/// each answer should be small.
struct Content {
    decoder: Decoder,
    /// Bytes of it at the front of the buffer.
    visible: usize,
    /// The stall deadline is set: nothing came since.
    waiting: bool,
    /// The connection may carry another request behind it.
    keep_alive: bool,
}

impl Content {
    fn new(framing: Framing, keep_alive: bool) -> Content {
        Content { decoder: Decoder::new(framing), visible: 0, waiting: false, keep_alive }
    }
}

impl Connection {
    /// On the heap: it is handed around for as long as it lives.
    pub fn new(io: Io) -> Box<Connection> {
        let content = Content::new(Framing::Empty, false);
        Box::new(Connection { io, buffer: Buffer::new(), timer: Timer::new(), pump: None, content, stall: Duration::ZERO })
    }

    /// Whether a kept connection is still good for a request: nothing has come on it, not even its end.
    pub fn is_quiet(&self) -> bool {
        self.io.is_quiet()
    }

    /// Sends the head and what is there of the body; a body that goes on is left to a pump.
    /// `body` is taken only when some of it may have been used up. `stall`: without progress, of the answer's content too.
    pub async fn send(&mut self, head: &Head, body: &mut Option<Body>, stall: Duration) -> Result<(), Lost> {
        self.stall = stall;
        let mut out = Scratch::take();
        let to = To { io: &self.io, timer: &self.timer, timeout: stall };
        let Some(mut body) = body.take_if(|body| !body.is_empty()) else {
            let framing = if head.fields.contains(Name::ContentLength) { Framing::Length(0) } else { Framing::Empty };
            writer::request_head(head, framing, writer::Connection::Persistent, &mut out);
            let whole = out.len();
            let sent = to.flush(&mut out, None).await;
            return sent.map_err(|stop| Lost { untouched: out.len() == whole, ..Lost::sent(sending(stop)) });
        };
        let framing = match body.length() {
            Length::Exact(length) => Framing::Length(length),
            Length::Unknown => Framing::Chunked,
        };
        let shape = Shape { chunked: framing == Framing::Chunked, trailers: true };
        writer::request_head(head, framing, writer::Connection::Persistent, &mut out);
        let gathered = poll_fn(|cx| Poll::Ready(gather(&mut body, shape, cx, &mut out))).await;
        let gathered = gathered.map_err(Lost::unsent)?;
        let flushed = match gathered {
            Gathered::Large(n) => to.flush_with(&mut out, &mut body, n, shape).await,
            Gathered::Ended | Gathered::Waiting => to.flush(&mut out, None).await,
        };
        flushed.map_err(|stop| Lost::sent(sending(stop)))?;
        if !matches!(gathered, Gathered::Ended) {
            let io = self.io.clone();
            self.pump = Some(Pump::start(async move {
                let timer = Timer::new();
                let to = To { io: &io, timer: &timer, timeout: stall };
                let (mut body, mut out) = (body, out);
                to.relay(&mut body, shape, &mut out, |_| None).await
            }));
        }
        Ok(())
    }

    /// Reads one head of an answer: an interim one (1xx) or the final one. `wait`: to its first byte, counted from when the request
    /// was sent whole, and between its parts.
    pub async fn read_head(&mut self, method: Method, wait: Duration) -> Result<Head, Lost> {
        let mut resume = Resume::default();
        let mut waiting = false;
        loop {
            if !self.buffer.is_empty() && resume.is_due(self.buffer.data(), &LIMITS) {
                match head::response(self.buffer.data(), &LIMITS, method) {
                    Ok(Some((response, used))) => {
                        self.buffer.consume(used);
                        self.content = Content::new(response.framing, response.keep_alive);
                        return Ok(response.head);
                    }
                    Ok(None) => {}
                    Err(failure) => return Err(Lost::begun(failure)),
                }
            }
            // Looked at or not: a full buffer has no room to read into, and that must not be taken for an end.
            if self.buffer.is_full() && !self.buffer.grow(LIMITS.bytes) {
                return Err(Lost::begun(Failure::ResponseHeadTooLarge));
            }
            let read = poll_fn(|cx| {
                if let Some(failure) = self.pump.as_ref().and_then(Pump::failure) {
                    return Poll::Ready(Err(failure));
                }
                if let Poll::Ready(read) = self.buffer.poll_fill(&self.io, cx) {
                    return Poll::Ready(Ok(read));
                }
                if let Some(pump) = &self.pump
                    && pump.poll_over(cx).is_pending()
                {
                    // The request is still on its way, under deadlines of its own.
                    return Poll::Pending;
                }
                if !waiting {
                    self.timer.set_and_wait(wait, cx);
                    waiting = true;
                    return Poll::Pending;
                }
                self.timer.poll_elapsed(cx).map(|_| Err(Failure::FirstByteTimeout))
            });
            let failure = match read.await {
                Ok(Ok(1..)) => {
                    waiting = false;
                    continue;
                }
                Ok(Ok(0)) | Ok(Err(_)) => Failure::UpstreamReset,
                Err(failure) => failure,
            };
            return Err(Lost { begun: !self.buffer.is_empty(), ..Lost::sent(failure) });
        }
    }

    /// The stream itself, and what was read of it behind the head: for a protocol that took over.
    pub fn into_stream(self) -> (Io, Bytes) {
        let early = Bytes::copy_from_slice(self.buffer.data());
        (self.io, early)
    }
}

fn sending(stop: Stop) -> Failure {
    match stop {
        Stop::Body(failure) => failure,
        Stop::Broken => Failure::UpstreamReset,
        Stop::Elapsed => Failure::StallTimeout,
    }
}

/// Takes a connection back once its answer has been read whole.
pub trait Home: Witness {
    fn take_back(self, connection: Box<Connection>);
}

/// The body of an answer, read from the backend as it is asked for. Holds the connection, and `home`, for as long as there is more.
pub struct ResponseBody<H: Home> {
    /// `None` once the body has ended or failed.
    exchange: Option<(Box<Connection>, H)>,
    /// The deadline of the whole exchange, where there is one.
    total: Option<Timer>,
    /// Once the body has ended.
    trailers: Option<Box<Fields>>,
}

/// The body that follows a final head; with nothing to follow, the connection goes home at once.
pub fn body<H: Home + 'static>(connection: Box<Connection>, home: H, total: Option<Timer>) -> Body {
    let nothing = connection.content.decoder.is_done();
    let mut source = ResponseBody { exchange: Some((connection, home)), total, trailers: None };
    if nothing {
        source.finish();
        return Body::empty();
    }
    Body::source(Box::new(source))
}

impl<H: Home> ResponseBody<H> {
    /// The answer was read whole: the connection goes home if it is fit for more.
    fn finish(&mut self) {
        let Some((mut connection, home)) = self.exchange.take() else { return };
        home.ended(Ok(()));
        self.trailers = connection.content.decoder.take_trailers();
        let pumped = connection.pump.take().is_none_or(|pump| pump.is_whole());
        // Bytes behind the answer that nobody asked for: whatever they are, they must not answer the next request.
        if connection.content.keep_alive && pumped && connection.buffer.is_empty() {
            connection.buffer.release();
            home.take_back(connection);
        }
    }

    fn fail(&mut self, failure: Failure) -> Poll<Result<bool, Failure>> {
        if let Some((connection, home)) = self.exchange.take() {
            drop(connection);
            home.ended(Err(failure));
        }
        Poll::Ready(Err(failure))
    }
}

impl Connection {
    /// Reads content where none is visible. `true`: there is some; `false`: it has ended, whole.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let content = &mut self.content;
        while content.visible == 0 {
            if let Some(failure) = self.pump.as_ref().and_then(Pump::failure) {
                return Poll::Ready(Err(failure));
            }
            let skip = match content.decoder.step(self.buffer.data()) {
                Ok(Step::Data { skip, data }) => {
                    content.visible = data;
                    skip
                }
                Ok(Step::Done { skip }) => {
                    self.buffer.consume(skip);
                    return Poll::Ready(Ok(false));
                }
                Ok(Step::More { skip }) => skip,
                Err(what) => return Poll::Ready(Err(Failure::ResponseMalformed(what))),
            };
            self.buffer.consume(skip);
            if content.visible > 0 {
                break;
            }
            match self.buffer.poll_fill(&self.io, cx) {
                Poll::Ready(Ok(1..)) => content.waiting = false,
                Poll::Ready(Ok(0)) if content.decoder.eof().is_ok() => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ResponseTruncated)),
                Poll::Pending => {
                    if let Some(pump) = &self.pump
                        && pump.poll_over(cx).is_pending()
                    {
                        // The backend may be waiting for the rest of the request, which has deadlines of its own.
                        return Poll::Pending;
                    }
                    if !content.waiting {
                        self.timer.set(self.stall);
                        content.waiting = true;
                    }
                    return self.timer.poll_elapsed(cx).map(|_| Err(Failure::StallTimeout));
                }
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl<H: Home> Source for ResponseBody<H> {
    fn length(&self) -> Length {
        let Some((connection, _)) = &self.exchange else { return Length::Exact(0) };
        match connection.content.decoder.remaining() {
            Length::Exact(left) => Length::Exact(left + connection.content.visible as u64),
            Length::Unknown => Length::Unknown,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Some((connection, _)) = &mut self.exchange else { return Poll::Ready(Ok(false)) };
        if self.total.as_ref().is_some_and(|total| total.poll_elapsed(cx).is_ready()) {
            return self.fail(Failure::TotalTimeout);
        }
        match connection.poll_content(cx) {
            Poll::Ready(Ok(false)) => {
                self.finish();
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Err(failure)) => self.fail(failure),
            polled => polled,
        }
    }

    fn data(&self) -> &[u8] {
        match &self.exchange {
            Some((connection, _)) => &connection.buffer.data()[..connection.content.visible],
            None => &[],
        }
    }

    fn consume(&mut self, n: usize) {
        if let Some((connection, _)) = &mut self.exchange {
            connection.content.visible -= n;
            connection.buffer.consume(n);
        }
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take().map(|fields| *fields)
    }
}
