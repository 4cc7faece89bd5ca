//! One client connection: every stream a request, all of them answered by one task.
//!
//! `h2` keeps the protocol and its limits. What it leaves to us: deadlines (it has none), how many cancelled requests and how much idle
//! talk a client may cost us, and leaving politely, with a first GOAWAY that refuses nothing yet, so that what is on its way is served.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Request;

use super::allowance::{Allowance, Excess};
use super::body::{Received, give_up};
use super::relay::relay;
use super::stir::Turn;
use super::streams::Streams;
use super::wire::Wire;
use super::{head, tunnel};
use crate::failure::Failure;
use crate::io::timer::{self, Timer};
use crate::io::{Buffer, Io, linger};
use crate::message::{Answer, Body, Code, Conn, Handler, Head, Interim, Length, Method, Name, Stop, Terms, Told, Tunnel};

/// What a client begins a connection with (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams open at once on a connection. As many as browsers use; what they cost together is bounded by the windows below.
const STREAMS_MAX: u32 = 128;
/// What a client may send ahead on one stream, and on all of them together: the room of 32, so that uploads whose backends do not read
/// leave enough for the others. `h2` derives from the latter how many small pieces of data it bears with.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What `h2` may hold of one answer for which its client has room, while the socket takes nothing: one frame. So a client that does not
/// read costs 2 MiB, however many answers it has asked for.
const HELD_BYTES_MAX: usize = 16 << 10;
/// How many streams `h2` remembers that we have reset, and for how long: as long as their content may be on its way. What comes later
/// is a mistake of the client's.
const RESET_STREAMS_MAX: usize = 2 * STREAMS_MAX as usize;
const RESET_STREAMS_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to see that we are leaving.
const LEAVE: Duration = Duration::from_secs(2);

/// Serves one connection to its end. Dropping it closes the connection and cancels what runs.
///
/// `timer`: set to when the first request's head must be here, whole. `read`: what has come already.
pub async fn serve<H: Handler>(io: Io, conn: Rc<Conn>, timer: Timer, handler: Rc<H>, read: Buffer) {
    let terms = handler.terms(&conn);
    let wire = Wire::new(io.clone(), read, terms.write_timeout);
    let mut begin = pin!(builder(&terms).handshake(wire.clone()));
    let begun = poll_fn(|cx| {
        let polled = begin.as_mut().poll(cx);
        match wire.poll_out(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => polled.map(Result::ok),
        }
    });
    let begun = timer.limit_to(None, begun).await;
    drop(terms);
    match begun {
        Ok(Some(connection)) => {
            let line = Line { conn, handler, wire, allowance: Rc::default() };
            line.drive(connection, &timer).await;
        }
        // There is nobody who speaks HTTP/2.
        Ok(None) => {}
        Err(_) => return,
    }
    // Closing with bytes unread would overtake what was said last: why it ends.
    linger(&io, &timer).await;
}

fn builder(terms: &Terms) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(terms.header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(HELD_BYTES_MAX)
        .enable_connect_protocol()
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .reset_stream_duration(RESET_STREAMS_TIME)
        // Taken back before we saw them, all in one piece: as many as may be open. How often is for the allowance to judge.
        .max_pending_accept_reset_streams(STREAMS_MAX as usize);
    builder
}

/// What all streams of a connection share.
struct Line<H> {
    conn: Rc<Conn>,
    handler: Rc<H>,
    wire: Wire,
    allowance: Rc<Allowance>,
}

/// Where a connection is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client was told to ask elsewhere, and may finish.
    Leaving,
    /// The client was told why it is cut off.
    Cut,
}

impl<H: Handler> Line<H> {
    /// Accepts streams and answers them, until the connection has ended.
    async fn drive(&self, mut connection: Connection<Wire, Bytes>, timer: &Timer) {
        let turn = Turn::new();
        let mut streams = Streams::new();
        let mut phase = Phase::Open;
        poll_fn(|task| {
            let ended = turn.run(task, |cx| {
                if phase == Phase::Open && self.handler.terms(&self.conn).last {
                    phase = self.leave(&mut connection, streams.is_empty().then_some(timer));
                }
                if phase != Phase::Cut
                    && let Some(excess) = self.allowance.exceeded(timer::now(), self.wire.received())
                {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    self.cut(excess);
                    phase = Phase::Cut;
                }
                loop {
                    match connection.poll_accept(cx) {
                        Poll::Ready(Some(Ok((request, respond)))) => {
                            timer.clear();
                            streams.push(self.serve_stream(request, respond));
                        }
                        Poll::Ready(Some(Err(error))) => {
                            self.ends(&error);
                            return Poll::Ready(());
                        }
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => break,
                    }
                }
                let busy = !streams.is_empty();
                streams.poll(cx);
                if busy && streams.is_empty() {
                    timer.set(if phase == Phase::Open { self.handler.terms(&self.conn).idle_timeout } else { LEAVE });
                }
                Poll::Pending
            });
            if ended.is_ready() {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(_)) = self.wire.poll_out(task) {
                return Poll::Ready(());
            }
            // With streams open there is no deadline here, but a place to be woken at when the process drains.
            match timer.poll_elapsed(task) {
                // No stream runs, but their last bytes wait for the client to read. That has a deadline of its own.
                Poll::Ready(_) if phase != Phase::Cut && self.wire.is_waiting() => {
                    timer.set(LEAVE);
                    timer.poll_elapsed(task).map(|_| ())
                }
                Poll::Ready(_) if phase == Phase::Open => {
                    phase = self.leave(&mut connection, Some(timer));
                    task.waker().wake_by_ref();
                    Poll::Pending
                }
                elapsed => elapsed.map(|_| ()),
            }
        })
        .await;
    }

    /// Tells the client to ask elsewhere from now on. `idle`: nothing runs, so its deadline is when it must have seen that.
    fn leave(&self, connection: &mut Connection<Wire, Bytes>, idle: Option<&Timer>) -> Phase {
        connection.graceful_shutdown();
        self.handler.http2(Told::Away(code(Reason::NO_ERROR)));
        if let Some(timer) = idle {
            timer.set(LEAVE);
        }
        Phase::Leaving
    }

    #[cold]
    fn cut(&self, excess: Excess) {
        self.handler.http2(Told::Away(code(Reason::ENHANCE_YOUR_CALM)));
        let (failure, detail) = match excess {
            Excess::TakenBack => (Failure::RequestsTakenBack, "too many in too short a time"),
            Excess::Talk => (Failure::Flood, "too little of what comes is of use"),
        };
        self.handler.turn_away(self.conn.listener, self.conn.peer, failure, &detail);
    }

    /// `h2` has ended the connection, or seen its end.
    #[cold]
    fn ends(&self, error: &h2::Error) {
        let Some(reason) = error.reason().filter(|_| error.is_go_away() && error.is_library()) else { return };
        self.handler.http2(Told::Away(code(reason)));
        if reason == Reason::ENHANCE_YOUR_CALM {
            self.handler.turn_away(self.conn.listener, self.conn.peer, Failure::Flood, error);
        }
    }

    /// Breaks a stream off.
    fn reset(&self, reason: Reason, send: impl FnOnce(Reason)) {
        self.handler.http2(Told::Reset(code(reason)));
        send(reason);
    }

    /// One request, from its head to its answer's last byte.
    async fn serve_stream(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let _open = Open::new(&*self.handler);
        let arrived = Instant::now();
        let terms = self.handler.terms(&self.conn);
        let (parts, mut content) = request.into_parts();
        let (head, length) = match head::request(&parts, terms.headers) {
            Ok(read) => read,
            Err(failure) => {
                give_up(&mut content, &self.allowance);
                let method = Method::of(parts.method.as_str().as_bytes());
                return self.refuse(arrived, method, failure, respond, &terms).await;
            }
        };
        drop(parts);
        self.allowance.useful(head.fields.arena().len());
        let method = head.method();
        // Nothing else can ask for another protocol, and its content belongs to that.
        let opens = head.fields.contains(Name::Upgrade);
        let mut tunnel = None;
        let body = if opens {
            tunnel = Some(content);
            Body::empty()
        } else if content.is_end_stream() {
            Body::empty()
        } else {
            Body::source(Box::new(Received::new(content, length, terms.body_timeout, terms.body_rate, self.allowance.clone())))
        };
        let Some(answer) = self.ask(arrived, head, body, &mut respond).await else {
            return self.allowance.taken_back(timer::now(), arrived.elapsed());
        };
        match (answer, tunnel) {
            // A success would be taken for a tunnel.
            (Answer::Reply { head, mut body }, Some(_)) if matches!(head.status(), 200..300) => {
                self.reset(Reason::CONNECT_ERROR, |reason| respond.send_reset(reason));
                body.broke(Failure::UpgradeIgnored);
            }
            (Answer::Reply { head, body }, _) => self.reply(method, head, body, respond, &terms).await,
            (Answer::Tunnel { head, tunnel }, Some(content)) => Box::pin(self.tunnel(&head, tunnel, content, respond)).await,
            (Answer::Tunnel { .. }, None) => self.reset(Reason::INTERNAL_ERROR, |reason| respond.send_reset(reason)),
        }
    }

    /// The backend has switched protocols.
    async fn tunnel(&self, head: &Head, mut tunnel: Box<Tunnel>, content: RecvStream, mut respond: SendResponse<Bytes>) {
        self.allowance.answered();
        let opened = head::opening(head).and_then(|head| respond.send_response(head, false).map_err(|_| Failure::ClientGone));
        match opened {
            Ok(mut stream) => {
                if let Err(reason) = tunnel::run(content, &mut stream, tunnel, &self.allowance).await {
                    self.breaks(&mut stream, reason);
                }
            }
            Err(failure) => {
                self.reset(Reason::INTERNAL_ERROR, |reason| respond.send_reset(reason));
                if let Some(ending) = &mut tunnel.ending {
                    ending.broke(failure);
                }
            }
        }
    }

    /// Asks the handler. `None`: the client has taken the request back.
    async fn ask(&self, arrived: Instant, head: Head, body: Body, respond: &mut SendResponse<Bytes>) -> Option<Answer> {
        let respond = RefCell::new(respond);
        let mut interim = Ahead { respond: &respond, wire: &self.wire };
        let mut answer = pin!(self.handler.answer(&self.conn, arrived, head, body, &mut interim));
        let mut fresh = true;
        poll_fn(|cx| {
            // It may have been taken back before we saw it, and then nobody is to be troubled with it.
            if std::mem::take(&mut fresh)
                && let Poll::Ready(reset) = respond.borrow_mut().poll_reset(cx)
            {
                self.was_reset(reset);
                return Poll::Ready(None);
            }
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            respond.borrow_mut().poll_reset(cx).map(|reset| {
                self.was_reset(reset);
                None
            })
        })
        .await
    }

    /// An answer or a tunnel that has begun comes to no good end; where the client has not done so already, we break it off.
    fn breaks(&self, stream: &mut SendStream<Bytes>, reason: Reason) {
        match stream.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reset) => self.was_reset(reset),
            Poll::Pending => self.reset(reason, |reason| stream.send_reset(reason)),
        }
    }

    /// By the client, if it is not the connection that has ended.
    fn was_reset(&self, reset: Result<Reason, h2::Error>) {
        if let Ok(reason) = reset {
            self.handler.http2(Told::ResetByClient(code(reason)));
        }
    }

    /// Sends an answer to its last byte.
    async fn reply(&self, method: Method, head: Head, mut body: Body, mut respond: SendResponse<Bytes>, terms: &Terms) {
        // RFC 9110 6.4.1: whatever the body says, none follows. An answer to HEAD may know the length of what it leaves out.
        let bodiless = head.is_bodiless(method);
        let length = match body.length() {
            Length::Exact(0) | Length::Unknown if bodiless => None,
            length => Some(length).filter(|_| method == Method::Head || !bodiless),
        };
        let response = match head::response(&head, length) {
            Ok(response) => response,
            Err(failure) => {
                self.reset(Reason::INTERNAL_ERROR, |reason| respond.send_reset(reason));
                return body.broke(failure);
            }
        };
        drop(head);
        let ends = bodiless || body.is_empty();
        let Ok(mut stream) = respond.send_response(response, ends) else {
            return body.broke(Failure::ClientGone);
        };
        self.allowance.answered();
        if ends {
            return body.complete();
        }
        match relay(&mut body, &mut stream, terms.write_timeout, |sent| self.allowance.useful(sent)).await {
            Ok(()) => body.complete(),
            Err(stop) => {
                body.broke(stop.of_answer());
                self.breaks(&mut stream, if let Stop::Body(_) = stop { Reason::INTERNAL_ERROR } else { Reason::CANCEL });
            }
        }
    }

    /// What never became a request: a malformed one is a stream error (RFC 9113 8.1.1), others are told what is the matter.
    async fn refuse(&self, arrived: Instant, method: Method, failure: Failure, mut respond: SendResponse<Bytes>, terms: &Terms) {
        let Answer::Reply { head, body } = self.handler.refuse(&self.conn, arrived, failure) else { return };
        if let Failure::RequestMalformed(_) = failure {
            return self.reset(Reason::PROTOCOL_ERROR, |reason| respond.send_reset(reason));
        }
        self.reply(method, head, body, respond, terms).await;
    }
}

/// A stream, from its request to its end, whichever that is.
struct Open<'a, H: Handler>(&'a H);

impl<H: Handler> Open<'_, H> {
    fn new(handler: &H) -> Open<'_, H> {
        handler.http2(Told::StreamOpened);
        Open(handler)
    }
}

impl<H: Handler> Drop for Open<'_, H> {
    fn drop(&mut self) {
        self.0.http2(Told::StreamEnded);
    }
}

fn code(reason: Reason) -> Code {
    Code::of(reason.into())
}

/// Sends 1xx answers, each when the one before is on its way: a client that does not read has none waiting here but one.
struct Ahead<'a, 'b> {
    respond: &'a RefCell<&'b mut SendResponse<Bytes>>,
    wire: &'a Wire,
}

impl Interim for Ahead<'_, '_> {
    fn send<'a>(&'a mut self, head: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(async move {
            let response = head::response(head, None)?;
            self.respond.borrow_mut().send_informational(response).map_err(|_| Failure::ClientGone)?;
            let mut handed_on = false;
            poll_fn(|cx| {
                // `h2` has it, and hands it on before this is looked at again.
                if !std::mem::replace(&mut handed_on, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.wire.poll_clear(cx)
            })
            .await;
            Ok(())
        })
    }
}
