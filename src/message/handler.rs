//! The door between a listener's protocol and the proxy: a request goes in, an answer comes out.
//!
//! `http1` and `http2` call a `Handler`; `proxy` is one. Neither knows the other's types.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;

use super::body::{Body, Ending};
use super::crowd::Crowd;
use super::forwarding::Hop;
use super::head::Head;
use crate::failure::Failure;
use crate::io::Io;
use crate::tls::Names;

/// One client connection, as far as an exchange may know it. Boxed in an `Rc` by the listener's protocol; idle ones should be small.
#[derive(Debug)]
pub struct Conn {
    /// Where it came in: a position in the registry of addresses that listeners have; stable over reloads.
    pub listener: usize,
    /// Who connected: the socket's peer.
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// TLS below: the scheme is https.
    pub secure: bool,
    /// The name that the client asked for when it began TLS (SNI), in lower case.
    pub asked: Option<Box<str>>,
    /// What backends are told of it.
    pub hop: Hop,
}

impl Conn {
    pub fn new(listener: usize, peer: SocketAddr, local: SocketAddr, secure: bool) -> Conn {
        Conn { listener, peer, local, secure, asked: None, hop: Hop::new(peer, local, secure) }
    }

    /// One under TLS. `subject`: of the certificate that the client has shown, as RFC 4514 has it.
    pub fn secured(mut self, asked: Option<&str>, subject: Option<&str>) -> Conn {
        self.asked = asked.map(Into::into);
        if let Some(subject) = subject {
            self.hop.set_subject(subject);
        }
        self
    }
}

/// What a listener grants its clients now. Asked for at each request, so that an old connection follows a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// Bytes of a body a second, see `io::arrears`; 0: however few.
    pub body_rate: u32,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
    pub header_bytes: usize,
    pub headers: usize,
    /// The process is draining: this answer is the connection's last.
    pub last: bool,
}

impl Terms {
    /// For a connection that may finish what it has begun and nothing else.
    pub fn last() -> Terms {
        let soon = Duration::from_secs(10);
        Terms {
            header_timeout: soon,
            body_timeout: soon,
            body_rate: 0,
            idle_timeout: Duration::ZERO,
            write_timeout: soon,
            header_bytes: 32 << 10,
            headers: 100,
            last: true,
        }
    }
}

/// What a listener asks of a connection before its first request. Asked for at each accept, so that the next connection follows a
/// reload.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// From accept to the end of the first request's head, whatever comes between.
    pub timeout: Duration,
    /// Networks from which every connection begins with a PROXY header; empty: none.
    pub proxy_protocol: Arc<[IpNet]>,
    /// How many connections one address may have.
    pub crowd: Option<(Arc<Crowd>, NonZeroU32)>,
    /// The client may speak HTTP/2.
    pub http2: bool,
    /// `None`: plain.
    pub tls: Option<Secure>,
}

/// TLS with clients, as the listener has it now.
#[derive(Debug, Clone)]
pub struct Secure {
    pub config: Arc<rustls::ServerConfig>,
    /// What certificates `config` chooses from.
    pub names: Arc<Names>,
}

impl Welcome {
    /// The first byte belongs to a request: there is nothing to do before it.
    pub fn is_plain(&self) -> bool {
        self.proxy_protocol.is_empty() && self.tls.is_none()
    }
}

/// How a TLS handshake with a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    Full,
    /// With a ticket of an earlier one.
    Resumed,
    /// Not within the header's time.
    Timeout,
    /// The client went away.
    Closed,
    /// What came is no TLS.
    NotTls,
    /// No version, cipher or protocol is spoken by both.
    NothingInCommon,
    /// The client has shown no certificate, or one that we do not believe.
    ClientCertificate,
    /// The client does not want us, or our certificate.
    Refused,
    /// The client breaks the protocol.
    Broken,
}

impl Handshake {
    /// In the order of their numbers.
    pub const WORDS: [&'static str; 9] =
        ["full", "resumed", "timeout", "closed", "not_tls", "nothing_in_common", "client_certificate", "refused", "broken"];
}

/// What an HTTP/2 connection has to tell beside its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    StreamOpened,
    StreamEnded,
    /// We broke a stream off.
    Reset(Code),
    /// The client did.
    ResetByClient(Code),
    /// We have sent GOAWAY.
    Away(Code),
}

/// An error code of HTTP/2 (RFC 9113 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u8);

impl Code {
    /// In the order of their numbers; the last stands for all that the document does not know.
    pub const WORDS: [&'static str; 15] = [
        "no_error",
        "protocol_error",
        "internal_error",
        "flow_control_error",
        "settings_timeout",
        "stream_closed",
        "frame_size_error",
        "refused_stream",
        "cancel",
        "compression_error",
        "connect_error",
        "enhance_your_calm",
        "inadequate_security",
        "http_1_1_required",
        "other",
    ];

    pub fn of(number: u32) -> Code {
        Code(number.min(Self::WORDS.len() as u32 - 1) as u8)
    }

    /// Position in `WORDS`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Answers requests. Dropping the future cancels the request; whatever it holds is released by `Drop`.
pub trait Handler {
    /// `arrived`: when the head's first byte was seen.
    fn answer(&self, conn: &Rc<Conn>, arrived: Instant, head: Head, body: Body, interim: &mut dyn Interim) -> impl Future<Output = Answer>;

    /// What a listener (by `Conn::listener`) asks of those who connect at this moment.
    fn welcome(&self, listener: usize) -> Rc<Welcome>;

    /// A handshake has ended, well or not.
    fn handshake(&self, how: Handshake);

    /// On an HTTP/2 connection, something has happened.
    fn http2(&self, told: Told);

    /// What the connection's listener grants at this moment.
    fn terms(&self, conn: &Conn) -> Rc<Terms>;

    /// A request that never became one: its head broke a rule or did not come in time. The answer closes the connection.
    /// `target` is what could be read of it.
    fn refuse(&self, conn: &Rc<Conn>, arrived: Instant, failure: Failure) -> Answer;

    /// A connection is closed before it has had a request, or for what it does beside its requests. `detail`: what the failure does not say.
    fn turn_away(&self, listener: usize, peer: SocketAddr, failure: Failure, detail: &dyn Display);
}

pub enum Answer {
    Reply {
        head: Head,
        body: Body,
    },
    /// The backend has switched protocols: this head goes out, then bytes in both directions until both have ended.
    Tunnel {
        head: Head,
        tunnel: Box<Tunnel>,
    },
}

/// The upstream half of a tunnel. Dropping it closes the backend's connection.
pub struct Tunnel {
    pub io: Io,
    /// What the backend sent behind its 101.
    pub early: Bytes,
    /// Without a byte in either direction for this long, the tunnel is closed.
    pub idle_timeout: Duration,
    pub ending: Option<Box<dyn Ending>>,
    /// Holds the backend's slot for as long as the tunnel lives.
    pub guard: Box<dyn Any>,
}

/// Sends 1xx answers ahead of the final one.
pub trait Interim {
    /// Resolves when the head was handed to the socket. Not to be called with 101.
    fn send<'a>(&'a mut self, head: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;
}
