//! One client connection: heads in, answers out, until one side has had enough.
//!
//! Between requests a connection holds no buffer and almost no future: it waits for its socket, and only then is the future that
//! parses, asks the handler and writes put on the heap. A request body shares the connection's buffer by moving it: the body
//! has it while it lives and sends it home when it is dropped, wherever that happens.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::framing::{Decoder, Step};
use super::head::{self, Framing, Limits, Resume};
use super::relay::{Shape, To};
use super::{tunnel, writer};
use crate::failure::{Failure, Malformed};
use crate::io::arrears::Arrears;
use crate::io::timer::{self, Elapsed};
use crate::io::{Buffer, Io, Scratch, Timer, clock, linger};
use crate::message::forwarding::asks_for_trailers;
use crate::message::path::TARGET_BYTES_MAX;
use crate::message::{Answer, Body, Conn, Fields, Handler, Head, Interim, Length, Method, Name, Source, Stop, Terms, Tunnel, Version};

/// How often a client that has said something out of turn is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a connection that has just been answered keeps its future: a busy client's next request comes within it.
const WARM: Duration = Duration::from_secs(1);
/// Connections of a thread that may do so at once; the others let go of it at once.
const WARM_MAX: usize = 512;

/// Serves one connection to its end. Dropping it closes the connection and cancels what runs.
///
/// `timer`: set to when the first request's head must be here, whole. Where the client begins with HTTP/2, and the listener would have
/// that, nothing is served, and the connection is handed back.
pub fn serve<H: Handler>(io: Io, conn: Rc<Conn>, timer: Timer, handler: Rc<H>) -> impl Future<Output = Option<Box<Http2<H>>>> {
    // Made before the future, which holds the arguments of an async function twice.
    let mut line = Line { io, conn, handler, timer };
    async move {
        let mut after = After::Fresh;
        while line.wait(after).await {
            // On the heap, and only while there is something to do: ten thousand idle connections are ten thousand small futures.
            let mut buffer = Buffer::new();
            after = Box::pin(line.answer_all(after, &mut buffer)).await;
            if after == After::Http2 {
                let Line { io, conn, handler, timer } = line;
                return Some(Box::new(Http2 { io, conn, timer, handler, read: buffer }));
            }
        }
        None
    }
}

/// A connection whose client speaks HTTP/2.
pub struct Http2<H> {
    pub io: Io,
    pub conn: Rc<Conn>,
    /// As it was given.
    pub timer: Timer,
    pub handler: Rc<H>,
    /// What has come: the beginning of the client's preface at least.
    pub read: Buffer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing was asked yet.
    Fresh,
    Keep,
    Close,
    /// It is not ours to answer.
    Http2,
}

thread_local! {
    /// Connections that wait warm.
    static WARM_NOW: Cell<usize> = const { Cell::new(0) };
}

/// A place among those that wait warm.
struct Warm;

impl Warm {
    fn take() -> Option<Warm> {
        let now = WARM_NOW.get();
        (now < WARM_MAX).then(|| {
            WARM_NOW.set(now + 1);
            Warm
        })
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        WARM_NOW.set(WARM_NOW.get() - 1);
    }
}

/// A connection between requests.
struct Line<H> {
    io: Io,
    conn: Rc<Conn>,
    handler: Rc<H>,
    timer: Timer,
}

/// What the answer's framing depends on; the rest of the request belongs to the handler by then.
struct Asked {
    method: Method,
    version: Version,
    keep_alive: bool,
    takes_trailers: bool,
}

impl<H: Handler> Line<H> {
    /// Waits for the first byte of a request. `false`: there will be none.
    async fn wait(&mut self, after: After) -> bool {
        let most = match after {
            // The deadline runs since the connection was accepted.
            After::Fresh => None,
            After::Keep => Some(self.handler.terms(&self.conn).idle_timeout),
            After::Close | After::Http2 => return false,
        };
        self.next_request(most).await.unwrap_or(false)
    }

    /// Waits for the first byte, the end, or a reason not to wait; no longer than `most`, or else than the deadline that is set.
    async fn next_request(&self, most: Option<Duration>) -> Result<bool, Elapsed> {
        let wait = poll_fn(|cx| match self.io.poll_read_ready(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            // A connection without a request is the first to go when the process drains or its listener goes; then we are woken.
            Poll::Pending if most.is_some() && self.handler.terms(&self.conn).last => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        self.timer.limit_to(most, wait).await
    }

    /// The same for a moment, without letting go of anything but the buffer, and with the first bytes read. `None`: it takes longer.
    async fn next_request_soon(&self, buffer: &mut Buffer, terms: &Terms) -> Option<bool> {
        let _warm = Warm::take()?;
        let wait = poll_fn(|cx| match buffer.poll_fill(&self.io, cx) {
            Poll::Ready(read) => Poll::Ready(matches!(read, Ok(1..))),
            Poll::Pending if self.handler.terms(&self.conn).last => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        self.timer.limit(WARM.min(terms.idle_timeout), wait).await.ok()
    }

    /// Answers requests for as long as there are bytes of them.
    async fn answer_all(&mut self, after: After, buffer: &mut Buffer) -> After {
        let mut fresh = after == After::Fresh;
        loop {
            let terms = self.handler.terms(&self.conn);
            let mut arrived = None;
            let first = std::mem::take(&mut fresh);
            let mut request = match self.read_head(buffer, &terms, &mut arrived, first).await {
                Ok(Some(request)) => request,
                Ok(None) => return After::Close,
                // Under TLS it is agreed on before, or not spoken (RFC 9113 3.3).
                Err(HTTP2)
                    if first && !self.conn.secure && begins_http2(buffer.data()) && self.handler.welcome(self.conn.listener).http2 =>
                {
                    return After::Http2;
                }
                Err(failure) => return Box::pin(self.refuse(arrived.unwrap_or_else(Instant::now), failure)).await,
            };
            let arrived = arrived.unwrap_or_else(Instant::now);
            let asked = Asked {
                method: request.head.method(),
                version: request.head.version,
                keep_alive: request.keep_alive,
                takes_trailers: request.head.version >= Version::Http11
                    && request.head.fields.contains(Name::Te)
                    && asks_for_trailers(&request.head.fields),
            };

            if !request.upgrade {
                // What is left is an upgrade that may be made: the handler need not know the conditions.
                request.head.fields.remove(Name::Upgrade);
            }
            let (body, home) = match request.framing {
                Framing::Empty | Framing::Length(0) => {
                    // Hundreds of connections may be waiting for their answers: they share what few blocks it takes to read.
                    buffer.release();
                    (Body::empty(), None)
                }
                framing => {
                    let (body, home) = self.lend_buffer(framing, std::mem::take(buffer), &terms);
                    (body, Some(home))
                }
            };
            let Some(answer) = self.ask(&asked, arrived, request.head, body, home.as_deref(), &terms).await else {
                return After::Close;
            };
            // Whatever is left of the request is skipped where it is here already; else the connection ends with this answer.
            let mut unread = false;
            if let Some(home) = home {
                unread = true;
                if let Some((returned, mut decoder)) = home.kept.take() {
                    *buffer = returned;
                    unread = !skip_rest(&mut decoder, buffer);
                }
            }
            match answer {
                Answer::Tunnel { head, tunnel } => {
                    Box::pin(self.switch(head, std::mem::take(buffer), tunnel)).await;
                    return After::Close;
                }
                Answer::Reply { head, body } => match self.reply(&asked, head, body, unread).await {
                    Ok(After::Keep) => {
                        buffer.release();
                        if buffer.is_empty() {
                            match self.next_request_soon(buffer, &terms).await {
                                Some(true) => {}
                                Some(false) => return After::Close,
                                None => return After::Keep,
                            }
                        }
                    }
                    Ok(_) => {
                        if unread || !buffer.is_empty() {
                            Box::pin(linger(&self.io, &self.timer)).await;
                        }
                        return After::Close;
                    }
                    Err(_) => return After::Close,
                },
            }
        }
    }

    /// The content of a request, which has the connection's buffer until it is dropped.
    #[inline(never)]
    fn lend_buffer(&self, framing: Framing, buffer: Buffer, terms: &Terms) -> (Body, Rc<Home>) {
        let home = Rc::new(Home::default());
        let body = RequestBody {
            io: self.io.clone(),
            buffer,
            decoder: Decoder::new(framing),
            visible: 0,
            timer: Timer::new(),
            arrears: Arrears::new(terms.body_rate, terms.body_timeout),
            waiting: None,
            home: home.clone(),
        };
        (Body::source(Box::new(body)), home)
    }

    /// The protocol changes, and the connection is a tunnel from now on.
    async fn switch(&self, head: Head, buffer: Buffer, tunnel: Box<Tunnel>) {
        let mut out = Scratch::take();
        writer::response_head(&head, Framing::Empty, writer::Connection::Persistent, None, &mut out);
        drop(head);
        tunnel::run(&self.io, out, buffer, tunnel, &self.timer).await;
    }

    /// Reads until a head is whole. `None`: the client finished, or left, before there was one. `armed`: its deadline is set already.
    async fn read_head(
        &mut self,
        buffer: &mut Buffer,
        terms: &Terms,
        arrived: &mut Option<Instant>,
        mut armed: bool,
    ) -> Result<Option<head::Request>, Failure> {
        let limits = Limits { bytes: terms.header_bytes, fields: terms.headers, target: TARGET_BYTES_MAX };
        let mut resume = Resume::default();
        loop {
            if !buffer.is_empty() {
                arrived.get_or_insert_with(Instant::now);
                if resume.is_due(buffer.data(), &limits)
                    && let Some((request, used)) = head::request(buffer.data(), &limits)?
                {
                    buffer.consume(used);
                    return Ok(Some(request));
                }
                if buffer.is_full() && !buffer.grow(terms.header_bytes) {
                    return Err(Failure::HeadTooLarge);
                }
            }
            let read = poll_fn(|cx| {
                if let Poll::Ready(read) = buffer.poll_fill(&self.io, cx) {
                    return Poll::Ready(Ok(read));
                }
                if !armed {
                    // One deadline for the whole head, however its bytes trickle in.
                    self.timer.set(terms.header_timeout);
                    armed = true;
                }
                self.timer.poll_elapsed(cx).map(Err)
            });
            match read.await {
                Ok(Ok(0)) | Ok(Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
                Err(_) if buffer.is_empty() => return Ok(None),
                Err(_) => return Err(Failure::HeaderTimeout),
            }
        }
    }

    /// Asks the handler, and watches the client meanwhile. `None`: the client has gone, and the request was cancelled, or it did not
    /// take an interim answer whole.
    async fn ask(&self, asked: &Asked, arrived: Instant, head: Head, body: Body, home: Option<&Home>, terms: &Terms) -> Option<Answer> {
        let cut = Cell::new(false);
        let wanted = asked.version >= Version::Http11;
        let mut interim = Ahead { io: &self.io, timer: &self.timer, timeout: terms.write_timeout, wanted, cut: &cut };
        let mut answer = pin!(self.handler.answer(&self.conn, arrived, head, body, &mut interim));
        let mut watch = self.watch();
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                // Behind half a head any other would be taken for its rest.
                return Poll::Ready(Some(answer).filter(|_| !cut.get()));
            }
            // As in `reply`: while the body is out, whoever reads it watches.
            if home.is_none_or(|home| home.back.get()) && watch(cx).is_some() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Writes an answer to its last byte. A failure here can only be the end of the connection.
    async fn reply(&self, asked: &Asked, mut head: Head, mut body: Body, unread: bool) -> Result<After, Failure> {
        let terms = self.handler.terms(&self.conn);
        // RFC 9110 6.4.1 and 8.6.
        let bodiless = head.is_bodiless(asked.method);
        let framing = match body.length() {
            Length::Exact(length) if asked.method == Method::Head && length > 0 => {
                head.fields.set(Name::ContentLength.as_str(), length.to_string().as_bytes());
                Framing::Empty
            }
            _ if bodiless => Framing::Empty,
            Length::Exact(length) => Framing::Length(length),
            Length::Unknown if asked.version >= Version::Http11 => Framing::Chunked,
            Length::Unknown => Framing::UntilClose,
        };
        // Backends can not say this, for it is hop-by-hop; the handler can, of a request that is not to be trusted.
        let told = head.fields.contains(Name::Connection) && head.connection_has("close");
        if told {
            head.fields.remove(Name::Connection);
        }
        let keep = asked.keep_alive && !unread && !told && !terms.last && framing != Framing::UntilClose;
        let connection = match (keep, asked.version) {
            (false, _) => writer::Connection::Close,
            (true, Version::Http10) => writer::Connection::KeepAlive,
            (true, _) => writer::Connection::Persistent,
        };
        let mut out = Scratch::take();
        writer::response_head(&head, framing, connection, Some(&clock::date()), &mut out);
        drop(head);

        if framing == Framing::UntilClose {
            // Nothing but the close tells this client that the body is over. Wherever it breaks off, with this task or with the process
            // too, the close must not look like the end.
            self.io.reset_on_close(true);
        }
        let to = To { io: &self.io, timer: &self.timer, timeout: terms.write_timeout };
        let written = if bodiless {
            to.flush(&mut out, None).await
        } else {
            let shape = Shape { chunked: framing == Framing::Chunked, trailers: asked.takes_trailers };
            // While the request is still being read its reader learns of a reset, and only one task may wait for reading.
            let mut watch = self.watch();
            to.relay(&mut body, shape, &mut out, |cx| if unread { None } else { watch(cx) }).await
        };
        match written {
            Ok(()) => {
                if framing == Framing::UntilClose {
                    self.io.reset_on_close(false);
                }
                body.complete();
                Ok(if keep { After::Keep } else { After::Close })
            }
            Err(stop) => {
                let failure = stop.of_answer();
                body.broke(failure);
                Err(failure)
            }
        }
    }

    /// Polled while there is nothing to do but wait: notices when there is nobody left to do it for.
    fn watch(&self) -> impl FnMut(&mut Context<'_>) -> Option<Stop> {
        let mut look: Option<Timer> = None;
        move |cx| {
            let news = match &look {
                None => self.io.poll_read_ready(cx).is_ready(),
                Some(look) => look.poll_elapsed(cx).is_ready(),
            };
            if !news {
                return None;
            }
            if self.io.is_broken() {
                return Some(Stop::Broken);
            }
            // Bytes of a next request, or a half-close: both can wait. But they are not read, so the kernel has no more news of this
            // connection; a reset that follows has to be looked for.
            look.get_or_insert_with(Timer::new).set_and_wait(LOOK, cx);
            None
        }
    }

    /// Answers what never became a request, and closes.
    async fn refuse(&self, arrived: Instant, failure: Failure) -> After {
        let asked = Asked { method: Method::Other, version: Version::Http11, keep_alive: false, takes_trailers: false };
        if let Answer::Reply { head, body } = self.handler.refuse(&self.conn, arrived, failure)
            && self.reply(&asked, head, body, true).await.is_ok()
        {
            linger(&self.io, &self.timer).await;
        }
        After::Close
    }
}

/// What the first line of an HTTP/2 preface is to this codec.
const HTTP2: Failure = Failure::RequestMalformed(Malformed::Version);

/// Whether these are the first bytes of an HTTP/2 connection (RFC 9113 3.4), as far as its first line.
fn begins_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2.0")
}

/// Skips what is left of a request body where it is in the buffer. `true`: the body has ended.
fn skip_rest(decoder: &mut Decoder, buffer: &mut Buffer) -> bool {
    loop {
        match decoder.step(buffer.data()) {
            Ok(Step::Data { skip, data }) => buffer.consume(skip + data),
            Ok(Step::Done { skip }) => {
                buffer.consume(skip);
                return true;
            }
            Ok(Step::More { .. }) | Err(_) => return false,
        }
    }
}

/// Where a request body leaves the connection's buffer when it is dropped.
#[derive(Default)]
struct Home {
    back: Cell<bool>,
    kept: Cell<Option<(Buffer, Decoder)>>,
}

/// A request's body, read from the client as it is asked for.
struct RequestBody {
    io: Io,
    buffer: Buffer,
    decoder: Decoder,
    /// Content bytes at the front of the buffer.
    visible: usize,
    timer: Timer,
    arrears: Arrears,
    /// The deadline is set: nothing came since. What its end will mean.
    waiting: Option<Failure>,
    home: Rc<Home>,
}

impl RequestBody {
    /// Sets the deadline; what its end will mean.
    fn begin_to_wait(&mut self) -> Failure {
        let (most, failure) = self.arrears.wait(timer::now());
        self.timer.set(most);
        self.waiting = Some(failure);
        failure
    }
}

impl Source for RequestBody {
    fn length(&self) -> Length {
        match self.decoder.remaining() {
            Length::Exact(left) => Length::Exact(left + self.visible as u64),
            Length::Unknown => Length::Unknown,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        while self.visible == 0 {
            match self.decoder.step(self.buffer.data()) {
                Ok(Step::Data { skip, data }) => {
                    self.buffer.consume(skip);
                    self.visible = data;
                }
                Ok(Step::Done { skip }) => {
                    self.buffer.consume(skip);
                    return Poll::Ready(Ok(false));
                }
                Ok(Step::More { skip }) => {
                    self.buffer.consume(skip);
                    match self.buffer.poll_fill(&self.io, cx) {
                        Poll::Ready(Ok(n @ 1..)) => {
                            self.waiting = None;
                            self.arrears.pay(timer::now(), n);
                        }
                        Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                        Poll::Pending => {
                            let failure = match self.waiting {
                                Some(failure) => failure,
                                None => self.begin_to_wait(),
                            };
                            return self.timer.poll_elapsed(cx).map(|_| Err(failure));
                        }
                    }
                }
                Err(what) => return Poll::Ready(Err(Failure::RequestMalformed(what))),
            }
        }
        Poll::Ready(Ok(true))
    }

    fn data(&self) -> &[u8] {
        &self.buffer.data()[..self.visible]
    }

    fn consume(&mut self, n: usize) {
        self.visible -= n;
        self.buffer.consume(n);
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.decoder.take_trailers().map(|fields| *fields)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.buffer.consume(self.visible);
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(Framing::Empty));
        self.home.kept.set(Some((std::mem::take(&mut self.buffer), decoder)));
        self.home.back.set(true);
    }
}

/// Writes 1xx answers to a client that may have them.
struct Ahead<'a> {
    io: &'a Io,
    timer: &'a Timer,
    timeout: Duration,
    /// RFC 9110 15.2: never to HTTP/1.0.
    wanted: bool,
    /// A head did not go out whole and never will, whoever gave up: then nothing else may.
    cut: &'a Cell<bool>,
}

impl Interim for Ahead<'_> {
    fn send<'a>(&'a mut self, head: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(async move {
            if !self.wanted {
                return Ok(());
            }
            let mut out = Scratch::take();
            writer::response_head(head, Framing::Empty, writer::Connection::Persistent, None, &mut out);
            let mut written = 0;
            let write = poll_fn(|cx| {
                let wrote = self.io.poll_write_all(cx, &out, &mut written);
                self.cut.set(written < out.len() && (written > 0 || self.io.is_amid_write()));
                wrote
            });
            let wrote = self.timer.limit(self.timeout, write).await;
            // Who took nothing for so long has had the time that a final head would get.
            self.cut.set(!matches!(wrote, Ok(Ok(()))));
            match wrote {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Failure::ClientGone),
                Err(_) => Err(Failure::WriteTimeout),
            }
        })
    }
}

#[cfg(test)]
mod tests;
