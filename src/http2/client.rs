//! A connection to a backend, and the exchanges on it.
//!
//! The connection is a task of its own, which ends with it; what an exchange holds is a stream. Whoever opens a connection waits for
//! the backend's SETTINGS: they say how many streams it takes, and that it speaks HTTP/2 at all. So nothing of a request has been
//! sent to a backend that does not.
//!
//! The windows: a stream has `STREAM_WINDOW`, and the connection as much for each of its streams, so that readers who stand still can
//! fill their own windows and nobody else's. A slow one costs us that much and no more.
//!
//! What a backend has not looked at it says: REFUSED_STREAM, or a GOAWAY with a lower stream in it (`h2` hands that to the streams above
//! alone). Such a request may be sent again, whatever its method.
//!
//! Dropping what an exchange holds takes the stream back (RST_STREAM with CANCEL); the connection goes on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, ResponseFuture, SendRequest};

use super::head;
use super::inflow::Inflow;
use super::pulse::Pulse;
use super::relay::relay;
use super::wire::Wire;
use crate::failure::{Failure, Lost, Malformed};
use crate::io::{Buffer, Io, Timer, timer};
use crate::message::{Body, Fields, Head, Length, Pump, Source, Stop, Witness};

/// Exchanges on one connection at most, whatever the backend would take: beyond it, one connection's loss is too many requests'.
const STREAMS_MAX: usize = 128;
/// What a backend may send ahead on one stream, and on all of them together.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What `h2` may hold of one request, behind what its backend has room for.
const HELD_BYTES_MAX: usize = 64 << 10;
/// Fields of an answer as `h2` counts them, with 32 bytes for each: more than `head` lets through, so that it is `head` that refuses.
const FIELDS_BYTES_MAX: u32 = 128 << 10;
/// Streams that were given up are remembered, so many and so long; frames that come for others are counted.
const RESET_STREAMS_MAX: usize = 16 * STREAMS_MAX;
const RESET_STREAMS_TIME: Duration = Duration::from_secs(10);
const LATE_FRAMES_MAX: usize = 1 << 20;
/// What `h2` lets the frames of content weigh that wait to be read, each 256 bytes less what is in it: all windows full of messages of 29
/// bytes. Those with nothing in them are not weighed but counted: with the 101st on a connection, over all its time, `h2` ends it with
/// ENHANCE_YOUR_CALM. It has no option for that (as of 0.4.20), and a backend that flushes what it does not have runs into it.
const SMALL_FRAMES_MAX: usize = 128 << 20;
/// Streams before the backend has said how many it takes: no such number comes from a backend, and none is opened before.
const UNSAID: usize = usize::MAX - 1;

/// An established connection. Dropped, it says GOAWAY once the last stream has ended, and is closed.
pub struct Connection {
    /// `None`: it takes no more requests.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    line: Rc<Line>,
    secure: bool,
    idle_since: Cell<Duration>,
}

/// What a connection's task and its exchanges know of each other.
pub(super) struct Line {
    pub wire: Wire,
    pub streams: Cell<usize>,
    /// Heads and pieces of content that have come.
    pub answers: Cell<u64>,
    over: Cell<bool>,
}

impl Connection {
    /// Begins the protocol on a fresh stream, up to the backend's SETTINGS. `stall`: how long the backend may take nothing.
    /// Cancel safe: a dropped call closes the stream.
    pub async fn begin(io: Io, stall: Duration) -> Result<Rc<Connection>, Failure> {
        let secure = io.is_secure();
        let wire = Wire::new(io, Buffer::new(), stall);
        let mut begin = pin!(builder().handshake(wire.clone()));
        let begun = poll_fn(|cx| {
            let polled = begin.as_mut().poll(cx);
            match wire.poll_out(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::ConnectFailed)),
                _ => polled.map_err(|error| beginning(&error)),
            }
        });
        let (sender, mut connection) = begun.await?;
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            if wire.poll_out(cx).map_err(|_| Failure::ConnectFailed)?.is_ready() && sender.current_max_send_streams() != UNSAID {
                return Poll::Ready(Ok(()));
            }
            ended.map(|ended| Err(ended.err().map_or(Failure::ConnectFailed, |error| beginning(&error))))
        })
        .await?;
        if sender.current_max_send_streams() == 0 {
            return Err(Failure::ConnectRefused);
        }
        let line = Rc::new(Line { wire, streams: Cell::default(), answers: Cell::default(), over: Cell::default() });
        // It needs no owner: without streams and without a sender it says so and ends, and the wire's own deadline bounds how long a
        // backend may take to hear it.
        tokio::task::spawn_local(drive(connection, line.clone()));
        Ok(Rc::new(Connection { sender: RefCell::new(Some(sender)), line, secure, idle_since: Cell::new(timer::now()) }))
    }

    /// A place for one more exchange, where there is room for it.
    pub fn claim(self: &Rc<Connection>) -> Option<Place> {
        (self.is_open() && self.line.streams.get() < self.streams_max()).then(|| {
            self.line.streams.set(self.line.streams.get() + 1);
            Place(self.clone())
        })
    }

    /// Whether it takes requests: it has not ended, and neither side is leaving.
    pub fn is_open(&self) -> bool {
        let ready = |sender: &mut SendRequest<Bytes>| sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.line.over.get() && self.sender.borrow_mut().as_mut().is_some_and(|sender| matches!(ready(sender), Poll::Ready(Ok(()))))
    }

    /// Exchanges that it takes at once.
    pub fn streams_max(&self) -> usize {
        self.sender.borrow().as_ref().map_or(0, |sender| sender.current_max_send_streams().min(STREAMS_MAX))
    }

    pub fn streams(&self) -> usize {
        self.line.streams.get()
    }

    /// Since when it has had nothing to do; `None`: it has.
    pub fn idle_since(&self) -> Option<Duration> {
        (self.streams() == 0).then(|| self.idle_since.get())
    }

    /// Takes no more requests, and closes behind those that it has.
    fn retire(&self) {
        self.sender.take();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNSAID)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(FIELDS_BYTES_MAX)
        .max_send_buffer_size(HELD_BYTES_MAX)
        // Clients leave, and what their backends had on its way to them is nobody's error: all share this connection.
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .reset_stream_duration(RESET_STREAMS_TIME)
        .max_local_error_reset_streams(Some(LATE_FRAMES_MAX))
        .data_frame_budget(SMALL_FRAMES_MAX);
    builder
}

/// Why a connection did not begin.
fn beginning(error: &h2::Error) -> Failure {
    if error.is_io() { Failure::ConnectFailed } else { Failure::UpstreamNotHttp2 }
}

/// A connection to its end. Dropped, or ended by us, its streams fail.
async fn drive(mut connection: h2::client::Connection<Wire, Bytes>, line: Rc<Line>) {
    let mut pulse = Pulse::new(connection.ping_pong());
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx).is_ready();
        let broken = matches!(line.wire.poll_out(cx), Poll::Ready(Err(_)));
        if ended || broken { Poll::Ready(()) } else { pulse.poll_dead(&line, cx) }
    })
    .await;
    line.over.set(true);
}

/// A place on a connection for one exchange.
pub struct Place(Rc<Connection>);

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.line.streams.get() - 1;
        self.0.line.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(timer::now());
        }
    }
}

/// A request that has been sent, and its answer.
pub struct Exchange {
    answer: Part,
    /// Interim heads that came while the one before them was on its way to the client.
    ahead: VecDeque<Head>,
    /// What still sends the request.
    pump: Option<Pump>,
    timer: Timer,
    /// What the connection had received when the timer was set; `None`: it is not set.
    waiting: Option<u64>,
    /// The longest time without progress in either direction.
    stall: Duration,
    /// Last, so that the stream is over when its place comes free.
    place: Place,
}

/// How far the answer is.
enum Part {
    Head(ResponseFuture),
    Content(Inflow),
}

impl Place {
    pub fn connection(&self) -> &Rc<Connection> {
        &self.0
    }

    /// Sends the head and what is there of the body; a body that goes on is left to a pump.
    /// `body` is taken only when some of it may have been used up. `stall`: without progress, of the answer's content too.
    pub async fn send(self, head: &Head, body: &mut Option<Body>, stall: Duration) -> Result<Exchange, Lost> {
        let length = body.as_ref().filter(|body| !body.is_empty()).map(Body::length);
        let request = head::request_out(head, self.0.secure, length).map_err(Lost::unsent)?;
        // A sender of its own: `h2` lets each have one request that waits for the limit to rise again.
        let sender = self.0.sender.borrow().clone();
        let mut sender = sender.ok_or(Lost::unsent(Failure::UpstreamRefused))?;
        let sent = sender.send_request(request, length.is_none());
        drop(sender);
        let (response, mut stream) = sent.map_err(|_| Lost::unsent(Failure::UpstreamRefused))?;
        let mut pump = None;
        if let Some(mut body) = body.take_if(|_| length.is_some()) {
            let mut rest = Box::pin(async move { relay(&mut body, &mut stream, stall, |_| ()).await });
            match poll_fn(|cx| Poll::Ready(rest.as_mut().poll(cx))).await {
                Poll::Ready(Ok(()) | Err(Stop::Broken)) => {}
                Poll::Ready(Err(Stop::Body(failure))) => return Err(Lost::sent(failure)),
                Poll::Ready(Err(Stop::Elapsed)) => return Err(Lost::sent(Failure::StallTimeout)),
                Poll::Pending => pump = Some(Pump::start(rest)),
            }
        }
        let (answer, ahead) = (Part::Head(response), VecDeque::new());
        Ok(Exchange { answer, ahead, pump, timer: Timer::new(), waiting: None, stall, place: self })
    }
}

impl Exchange {
    /// Reads one head of an answer: an interim one (1xx) or the final one. `wait`: for it, counted from when the request was sent whole.
    pub async fn read_head(&mut self, wait: Duration) -> Result<Head, Lost> {
        if let Some(interim) = self.ahead.pop_front() {
            self.progress();
            return Ok(interim);
        }
        let read = poll_fn(|cx| {
            if let Some(failure) = self.pump.as_ref().and_then(Pump::failure) {
                return Poll::Ready(Err(Lost::sent(failure)));
            }
            let Part::Head(response) = &mut self.answer else { return Poll::Ready(Err(Lost::begun(Failure::Internal))) };
            match response.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(interim.map(|()| None))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(lost(&error))),
                Poll::Ready(None) | Poll::Pending => {}
            }
            match Pin::new(response).poll(cx) {
                Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer.map(Some))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(lost(&error))),
                Poll::Pending => self.poll_late(wait, cx).map(|()| Err(Lost::sent(Failure::FirstByteTimeout))),
            }
        });
        let (parts, content) = read.await?.into_parts();
        self.progress();
        let (head, length) = head::response_in(&parts).map_err(Lost::begun)?;
        if let Some(stream) = content {
            self.answer = Part::Content(Inflow::new(stream, length));
        }
        Ok(head)
    }

    /// Waits for `work`, which passes an interim head on, and reads those that come meanwhile: `h2` would keep them for us without a
    /// bound, and the client may be slow. Fails where more than `most` wait, or more bytes than a head may have.
    pub async fn alongside(&mut self, work: impl Future<Output = Result<(), Lost>>, most: usize) -> Result<(), Lost> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Pending => self.poll_ahead(most, cx).map(Err),
            worked => worked,
        })
        .await
    }

    /// Ready when there are too many.
    fn poll_ahead(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<Lost> {
        let Part::Head(response) = &mut self.answer else { return Poll::Pending };
        // Whatever else there is, an error too, is for `read_head`.
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let head = match head::response_in(&interim.into_parts().0) {
                Ok((head, _)) => head,
                Err(failure) => return Poll::Ready(Lost::begun(failure)),
            };
            self.ahead.push_back(head);
            let bytes: usize = self.ahead.iter().map(|head| head.fields.arena().len()).sum();
            if self.ahead.len() > most || bytes > head::ANSWER_BYTES_MAX {
                return Poll::Ready(Lost::begun(Failure::TooManyInterims));
            }
        }
        Poll::Pending
    }

    /// Something has come.
    fn progress(&mut self) {
        self.waiting = None;
        let answers = &self.place.0.line.answers;
        answers.set(answers.get() + 1);
    }

    /// Ready when nothing has come for `wait`, not counting the time in which the request is still on its way, which has deadlines of its
    /// own.
    fn poll_late(&mut self, wait: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.pump.as_ref().is_some_and(|pump| pump.poll_over(cx).is_pending()) {
            return Poll::Pending;
        }
        let connection = &self.place.0;
        let received = connection.line.wire.received();
        let since = *self.waiting.get_or_insert_with(|| {
            self.timer.set(wait);
            received
        });
        self.timer.poll_elapsed(cx).map(|_| {
            if since == received {
                // Not a byte for anybody: whoever comes next had better not wait here too.
                connection.retire();
            }
        })
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Part::Content(inflow) = &mut self.answer else { return Poll::Ready(Err(Failure::Internal)) };
        if inflow.data().is_empty()
            && let Some(failure) = self.pump.as_ref().and_then(Pump::failure)
        {
            return Poll::Ready(Err(failure));
        }
        match inflow.poll(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(!inflow.data().is_empty())),
            Poll::Ready(Ok(_)) => {
                self.progress();
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(cut(&error))),
            Poll::Pending => self.poll_late(self.stall, cx).map(|()| Err(Failure::StallTimeout)),
        }
    }
}

/// Why there is no answer.
fn lost(error: &h2::Error) -> Lost {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    match error {
        error if error.is_remote() && (refused || error.is_go_away()) => Lost::unsent(Failure::UpstreamRefused),
        error if error.is_library() => Lost::begun(Failure::ResponseMalformed(Malformed::Frame)),
        _ => Lost::sent(Failure::UpstreamReset),
    }
}

/// Why an answer ends early.
fn cut(error: &h2::Error) -> Failure {
    match error {
        // In a stream that has begun well, only content that is longer or shorter than announced is an error of its own.
        error if error.is_library() && error.is_reset() => Failure::ResponseMalformed(Malformed::ContentLength),
        error if error.is_library() => Failure::ResponseMalformed(Malformed::Frame),
        _ => Failure::ResponseTruncated,
    }
}

/// The body of an answer. Holds the stream, and `home`, for as long as there is more.
struct Answer<H> {
    /// `None` once the body has ended or failed.
    exchange: Option<(Exchange, H)>,
    /// The deadline of the whole exchange, where there is one.
    total: Option<Timer>,
    /// Once the body has ended.
    trailers: Option<Fields>,
}

/// The body that follows a final head. `bodiless`: whatever is sent, there is none (HEAD, 204, 304).
pub fn body<H: Witness + 'static>(exchange: Exchange, bodiless: bool, home: H, total: Option<Timer>) -> Body {
    if matches!(&exchange.answer, Part::Content(inflow) if inflow.is_over()) {
        home.ended(Ok(()));
        return Body::empty();
    }
    let answer = Answer { exchange: Some((exchange, home)), total, trailers: None };
    if bodiless {
        see_out(answer);
        return Body::empty();
    }
    Body::source(Box::new(answer))
}

/// The end of an answer without content may come in a frame of its own. Its client need not wait for that, but the backend has not
/// finished before, and to reset the stream would be to refuse an answer that is fine. Whatever comes in its place is not for us.
fn see_out<H: Witness + 'static>(mut answer: Answer<H>) {
    if answer.exchange.as_ref().is_some_and(|(exchange, _)| exchange.pump.as_ref().is_some_and(|pump| !pump.is_whole())) {
        // The rest of the request is not read for an answer that is here already: its client is told, and has its connection back.
        return;
    }
    // It needs no owner: the answer's own deadlines bound it, and what it holds is what the backend still has to do.
    tokio::task::spawn_local(async move { poll_fn(|cx| answer.poll_fill(cx)).await });
}

impl<H: Witness> Source for Answer<H> {
    fn length(&self) -> Length {
        match &self.exchange {
            Some((Exchange { answer: Part::Content(inflow), .. }, _)) => inflow.length(),
            _ => Length::Exact(0),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Some((exchange, _)) = &mut self.exchange else { return Poll::Ready(Ok(false)) };
        let polled = match &self.total {
            Some(total) if total.poll_elapsed(cx).is_ready() => Poll::Ready(Err(Failure::TotalTimeout)),
            _ => exchange.poll_content(cx),
        };
        if let Poll::Ready(ended @ (Ok(false) | Err(_))) = polled
            && let Some((mut exchange, home)) = self.exchange.take()
        {
            if let Part::Content(inflow) = &mut exchange.answer {
                self.trailers = inflow.take_trailers();
            }
            drop(exchange);
            home.ended(ended.map(|_| ()));
        }
        polled
    }

    fn data(&self) -> &[u8] {
        match &self.exchange {
            Some((Exchange { answer: Part::Content(inflow), .. }, _)) => inflow.data(),
            _ => &[],
        }
    }

    fn consume(&mut self, n: usize) {
        if let Some((Exchange { answer: Part::Content(inflow), .. }, _)) = &mut self.exchange {
            inflow.consume(n);
        }
    }

    fn take(&mut self, n: usize) -> Bytes {
        match &mut self.exchange {
            Some((Exchange { answer: Part::Content(inflow), .. }, _)) => inflow.take(n),
            _ => Bytes::new(),
        }
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}
