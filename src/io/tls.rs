//! A byte stream under TLS: what is written leaves sealed, what is read was opened.
//!
//! rustls keeps the session and is handed the bytes (its unbuffered interface), so that where they lie is our own affair: in blocks of
//! the thread, which a connection has only while there is something in them. What comes is read into such a block by one system call,
//! however many records it is, and opened in place. What goes is sealed record by record into another, and leaves by one call.
//!
//! A write is done when its last byte is with the kernel; until then the same bytes have to be offered again, as everybody who writes
//! to an `Io` does anyway. Progress is told as the sealed bytes go out, in proportion, so that a slow reader is seen to read.
//!
//! The end of the stream is what the other side says is the end (`close_notify`). A connection that only ends may have been cut by
//! anybody on the way, and reads as an error: a body that lasts until the close must not be taken for whole.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::Buffer;
use super::stream::{poll_send, recv, send};

/// Content of one record at most (RFC 8446 5.1).
const RECORD: usize = 16 << 10;
/// Content sealed for one write: whole records, and with what is around them less than a large block.
const WRITE: usize = 3 * RECORD;
/// More than any cipher adds to a record, and than the session may have to say besides.
const AROUND_RECORD: usize = 64;
const BESIDES: usize = 256;
/// Reads in a row that may bring nothing for the reader: records can be empty, and who sends such without end must not keep the thread.
const EMPTY_READS: usize = 16;
/// The most that is held of what can not be opened yet: the longest message of a handshake, in its records.
const UNOPENED: usize = 128 << 10;

enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Session {
    fn common(&self) -> &CommonState {
        match self {
            Session::Server(session) => session,
            Session::Client(session) => session,
        }
    }
}

/// How far the other side is with what it has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// It said that this was all.
    Said,
    /// The connection ended without a word.
    Cut,
}

pub struct Tls {
    socket: TcpStream,
    session: Session,
    /// Read, and not opened.
    incoming: Buffer,
    /// Sealed, and not written.
    outgoing: Buffer,
    /// Content bytes in `outgoing` whose writer has not been told yet.
    owed: usize,
    /// Opened, and not read, because there was no room for it; from `taken` on.
    opened: Vec<u8>,
    taken: usize,
    /// There may be more to open in `incoming`.
    more: bool,
    end: End,
    /// What went wrong, perhaps behind content that is still to be read. The session must not look at it twice.
    failed: Option<Box<rustls::Error>>,
    /// Nothing more is to be said: we have said that this was all, or we must not.
    closed: bool,
}

/// What the caller wants of the session, besides going on with its own affairs.
enum Want<'a> {
    Open,
    Seal(&'a [u8]),
    Close,
}

/// What a step came to.
enum Step {
    /// Something was done; there may be more to do.
    Again,
    /// Without more bytes there is nothing to do.
    Idle,
    /// There is more to read than room for it.
    Full,
    Sealed(usize),
    Ended,
}

/// Where opened bytes go: to the reader as far as there is room, the rest aside.
struct Sink<'a> {
    space: &'a mut [u8],
    filled: usize,
    aside: &'a mut Vec<u8>,
}

impl Sink<'_> {
    fn is_full(&self) -> bool {
        !self.space.is_empty() && self.filled == self.space.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.space.len() - self.filled);
        self.space[self.filled..self.filled + fits].copy_from_slice(&bytes[..fits]);
        self.filled += fits;
        self.aside.extend_from_slice(&bytes[fits..]);
    }
}

impl Tls {
    pub fn server(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Tls, rustls::Error> {
        Ok(Tls::new(socket, Session::Server(UnbufferedServerConnection::new(config)?)))
    }

    pub fn client(socket: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Tls, rustls::Error> {
        Ok(Tls::new(socket, Session::Client(UnbufferedClientConnection::new(config, name)?)))
    }

    fn new(socket: TcpStream, session: Session) -> Tls {
        let (incoming, outgoing) = (Buffer::new(), Buffer::new());
        Tls {
            socket,
            session,
            incoming,
            outgoing,
            owed: 0,
            opened: Vec::new(),
            taken: 0,
            more: false,
            end: End::Open,
            failed: None,
            closed: false,
        }
    }

    /// Ready once both sides have proved what they had to. An error of kind `InvalidData` holds a `rustls::Error`, and the other side was
    /// told. Not to be polled again after an error.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.open(&mut [])?;
            ready!(self.poll_flush(cx))?;
            if !self.session.common().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_read_ready(cx))?;
            match self.receive() {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// What both sides agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.common().alpn_protocol()
    }

    /// The certificate that the other side has shown.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.common().peer_certificates()?.first()
    }

    pub fn is_resumed(&self) -> bool {
        self.session.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// As `Io::read_now`.
    pub fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.opened.len() {
            let n = space.len().min(self.opened.len() - self.taken);
            space[..n].copy_from_slice(&self.opened[self.taken..self.taken + n]);
            self.taken += n;
            if self.taken == self.opened.len() {
                (self.opened, self.taken) = (Vec::new(), 0);
            }
            return Ok(n);
        }
        for _ in 0..EMPTY_READS {
            if self.more {
                let n = self.open(space)?;
                if n > 0 {
                    return Ok(n);
                }
            }
            match self.end {
                End::Open => {}
                End::Said => return Ok(0),
                End::Cut => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            self.receive()?;
        }
        // The socket is still ready: whoever waits for it is asked again, after others had their turn.
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// As `Io::poll_read_ready`.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_news() {
            return Poll::Ready(());
        }
        self.socket.poll_read_ready(cx).map(|_| ())
    }

    /// As `Io::is_quiet`; what is not for the reader (a ticket for the next session) is no news.
    pub fn is_quiet(&mut self) -> bool {
        for _ in 0..EMPTY_READS {
            if self.has_news() {
                return false;
            }
            match self.receive() {
                Ok(_) => {
                    if self.open(&mut []).is_err() {
                        return false;
                    }
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        // Who talks so much is not quiet, even if it says nothing.
        false
    }

    /// Whether a read would find something, be it the end, without the socket.
    fn has_news(&self) -> bool {
        self.more || self.taken < self.opened.len() || self.end != End::Open
    }

    /// As `Io::poll_write_vectored`. While it is pending, the same bytes have to be offered again.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            self.seal(slices)?;
            if self.owed == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        loop {
            let told = ready!(self.poll_send(cx))?;
            if told > 0 {
                return Poll::Ready(Ok(told));
            }
        }
    }

    /// Whether bytes that were offered are on their way in part: then no others may be written.
    pub fn is_amid_write(&self) -> bool {
        self.owed > 0
    }

    /// As `Io::poll_shutdown`.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_end();
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Whether a close that follows is no orderly one, and is not to be called one. A session that has failed is never closed in order.
    pub fn abandon(&mut self, abandoned: bool) {
        self.closed = abandoned || self.failed.is_some();
    }

    /// Reads what is there, behind what could not be opened. 0: the connection has ended.
    fn receive(&mut self) -> io::Result<usize> {
        if self.incoming.is_full() && !self.incoming.grow(UNOPENED) {
            return Err(invalid(rustls::Error::General("a message of the handshake is too long".to_owned())));
        }
        match recv(&self.socket, self.incoming.space()) {
            Ok(0) => {
                // What the other side said last counts: that it ends, or nothing.
                if self.end == End::Open {
                    self.end = End::Cut;
                }
                Ok(0)
            }
            Ok(n) => {
                self.incoming.filled(n);
                self.more = true;
                Ok(n)
            }
            Err(error) => {
                self.incoming.release();
                Err(error)
            }
        }
    }

    /// Opens what was received, into `space`; without any, aside. How many bytes of content came into it; 0: that takes more bytes.
    fn open(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        self.more = false;
        loop {
            match self.step(&Want::Open, space, &mut filled) {
                Ok(Step::Again) => {}
                Ok(Step::Ended) => self.end = End::Said,
                Ok(Step::Full) => {
                    self.more = true;
                    break;
                }
                Ok(Step::Idle | Step::Sealed(_)) => break,
                Err(error) => {
                    // What came before is still good, and the error is for the next call.
                    self.failed = Some(Box::new(error.clone()));
                    if filled > 0 {
                        self.more = true;
                        break;
                    }
                    return Err(self.fail(error));
                }
            }
        }
        self.incoming.release();
        Ok(filled)
    }

    /// Seals as much of what is offered as goes into one write.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let whole: usize = slices.iter().map(|slice| slice.len()).sum();
        let records = whole.min(WRITE) / RECORD + slices.len();
        self.outgoing.reserve(whole.min(WRITE) + records * AROUND_RECORD + BESIDES);
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let bytes = &slice[..slice.len().min(WRITE - self.owed)];
            if bytes.is_empty() {
                break;
            }
            self.seal_one(bytes)?;
        }
        Ok(())
    }

    fn seal_one(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.step(&Want::Seal(bytes), &mut [], &mut 0) {
                Ok(Step::Again) => {}
                Ok(Step::Ended) => self.end = End::Said,
                Ok(Step::Sealed(n)) => {
                    self.owed += n;
                    return Ok(());
                }
                Ok(Step::Idle | Step::Full) => return Err(io::ErrorKind::NotConnected.into()),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Says that nothing more comes, if it was not said; it leaves with the next flush.
    fn say_end(&mut self) {
        while !std::mem::replace(&mut self.closed, true) {
            match self.step(&Want::Close, &mut [], &mut 0) {
                Ok(Step::Again) => self.closed = false,
                Ok(Step::Ended) => (self.end, self.closed) = (End::Said, false),
                // Whoever can not be told will see the connection end.
                Ok(Step::Sealed(_) | Step::Idle | Step::Full) | Err(_) => {}
            }
        }
    }

    /// The session is over; its alert goes out as far as there is room for it, and nothing else.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        // The alert waits to be sealed, behind what the handshake had to say before it went wrong. A step more, and the session would look
        // at what came once again, which it does not survive.
        while self.session.common().wants_write() && matches!(self.advance(&Want::Open, &mut [], &mut 0), Ok(Step::Again)) {}
        self.failed = Some(Box::new(error.clone()));
        self.closed = true;
        let _ = self.send();
        invalid(error)
    }

    /// One step of the session, with the bytes that it has not seen.
    fn step(&mut self, want: &Want<'_>, space: &mut [u8], filled: &mut usize) -> Result<Step, rustls::Error> {
        match &self.failed {
            Some(error) => Err((**error).clone()),
            None => self.advance(want, space, filled),
        }
    }

    fn advance(&mut self, want: &Want<'_>, space: &mut [u8], filled: &mut usize) -> Result<Step, rustls::Error> {
        let mut sink = Sink { space, filled: *filled, aside: &mut self.opened };
        let bytes = self.incoming.data_mut();
        let (used, step) = match &mut self.session {
            Session::Server(session) => act(session.process_tls_records(bytes), want, &mut self.outgoing, &mut sink),
            Session::Client(session) => act(session.process_tls_records(bytes), want, &mut self.outgoing, &mut sink),
        };
        *filled = sink.filled;
        self.incoming.consume(used);
        step
    }

    /// Writes what is sealed, all of it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            ready!(self.poll_send(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is sealed, by one system call. How many bytes of content their writer is told of.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let sent = ready!(poll_send(&self.socket, cx, self.outgoing.data()))?;
        Poll::Ready(self.sent(sent))
    }

    /// The same for those who do not wait.
    fn send(&mut self) -> io::Result<usize> {
        let sent = send(&self.socket, self.outgoing.data())?;
        self.sent(sent)
    }

    fn sent(&mut self, sent: usize) -> io::Result<usize> {
        if sent == 0 && !self.outgoing.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let whole = sent == self.outgoing.len();
        let told = if whole { self.owed } else { (self.owed as u64 * sent as u64 / self.outgoing.len() as u64) as usize };
        self.owed -= told;
        self.outgoing.consume(sent);
        self.outgoing.release();
        Ok(told)
    }
}

/// Does what the session asks for, or where it asks for nothing, what the caller wants. With how many bytes were used up.
fn act<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    want: &Want<'_>,
    out: &mut Buffer,
    sink: &mut Sink<'_>,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { discard, state } = status;
    let step = state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut records) => {
            while records.peek_len().is_some() {
                if sink.is_full() {
                    return Ok(Step::Full);
                }
                if let Some(record) = records.next_record() {
                    sink.put(record?.payload);
                }
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(mut message) => {
            loop {
                match message.encode(out.space()) {
                    Ok(n) => break out.filled(n),
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => out.reserve(required_size),
                    Err(EncodeError::AlreadyEncoded) => break,
                }
            }
            Ok(Step::Again)
        }
        // What is sealed goes out in its order; to the session that is as good as gone.
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::Ended),
        ConnectionState::WriteTraffic(mut traffic) => match want {
            Want::Open => Ok(Step::Idle),
            Want::Seal(bytes) => sealed(traffic.encrypt(bytes, out.space()), out, bytes.len()),
            Want::Close => {
                out.reserve(BESIDES);
                sealed(traffic.queue_close_notify(out.space()), out, 0)
            }
        },
        // Handshakes that need more bytes, and sessions that are over on both sides. Early data is never offered.
        _ => Ok(Step::Idle),
    });
    (discard, step)
}

fn sealed(outcome: Result<usize, EncryptError>, out: &mut Buffer, content: usize) -> Result<Step, rustls::Error> {
    match outcome {
        Ok(n) => {
            out.filled(n);
            Ok(Step::Sealed(content))
        }
        Err(EncryptError::EncryptExhausted) => Err(rustls::Error::EncryptError),
        Err(EncryptError::InsufficientSize(_)) => Err(rustls::Error::General("a record is larger than its room".to_owned())),
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// An orderly end, as far as the kernel takes it at once.
impl Drop for Tls {
    fn drop(&mut self) {
        if !self.closed && !self.session.common().is_handshaking() {
            self.say_end();
            let _ = self.send();
        }
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Tls {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
