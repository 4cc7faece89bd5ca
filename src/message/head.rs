//! The head of a request or of an answer, whatever the protocol version it came by.
//!
//! Invariant: a request head that left a codec has a target in origin-form (or `*`), and an authority that agrees with Host.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::fields::{Fields, Name, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As in logs: `HTTP/1.1`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }

    /// The protocols' names as ALPN has them, in the order of the versions.
    pub const PROTOCOLS: [&str; 3] = ["http/1.0", "http/1.1", "h2"];

    pub fn protocol(self) -> &'static str {
        Version::PROTOCOLS[self as usize]
    }
}

/// A method with rules of its own here, or `Other` (its text is in the head).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    Connect,
    Other,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110 9.1).
    pub fn of(bytes: &[u8]) -> Method {
        match bytes {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// RFC 9110 9.2.1.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// RFC 9110 9.2.2; an unknown method is taken for one that must not be repeated.
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Request { method: Method, name: Span, target: Span, received: Span, authority: Span },
    Response { status: u16, reason: Span },
}

/// A start line with fields. Which of the two kinds it is, is known where it is used: a response asked for its target answers with
/// nothing.
///
/// A head is one pointer, since it is handed from room to room; what it points to is lent by the thread and used again.
#[derive(Debug)]
pub struct Head {
    /// `None` only while it is dropped.
    parts: Option<Box<Parts>>,
}

#[derive(Debug, Clone)]
pub struct Parts {
    start: Start,
    pub version: Version,
    pub fields: Fields,
}

/// Heads kept per thread for reuse.
const KEPT_MAX: usize = 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "what is kept is the allocation")]
    static KEPT: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

impl Deref for Head {
    type Target = Parts;

    #[inline]
    fn deref(&self) -> &Parts {
        self.parts.as_deref().expect("only `drop` takes them")
    }
}

impl DerefMut for Head {
    #[inline]
    fn deref_mut(&mut self) -> &mut Parts {
        self.parts.as_deref_mut().expect("only `drop` takes them")
    }
}

impl Clone for Head {
    fn clone(&self) -> Head {
        Head { parts: self.parts.clone() }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        if parts.fields.clear_for_reuse() {
            // The thread may be ending, its shelf gone already: then the head is simply freed.
            let _ = KEPT.try_with(|kept| {
                let kept = &mut *kept.borrow_mut();
                if kept.len() < KEPT_MAX {
                    kept.push(parts);
                }
            });
        }
    }
}

impl Head {
    /// An empty head for a codec to fill: fields first, then `begin_request` or `begin_response`.
    pub fn blank() -> Head {
        let kept = KEPT.with_borrow_mut(Vec::pop);
        let parts = kept.unwrap_or_else(|| {
            let start = Start::Response { status: 0, reason: Span::default() };
            Box::new(Parts { start, version: Version::Http11, fields: Fields::with_capacity(1024, 24) })
        });
        Head { parts: Some(parts) }
    }

    /// The same in a head that the thread lends: quicker than `clone` for what is sent and dropped.
    pub fn copy(&self) -> Head {
        let mut head = Head::blank();
        head.fields.copy_from(&self.fields);
        (head.start, head.version) = (self.start, self.version);
        head
    }

    /// The same without what edits have left behind, in no more room than it takes: for one that is kept.
    pub fn compact(&self) -> Head {
        let bytes: usize = self.fields.iter().map(|(_, name, value)| name.len() + value.len() + 4).sum();
        let mut fields = Fields::with_capacity(bytes + self.reason().len(), self.fields.len());
        let reason = fields.keep(self.reason());
        self.fields.iter().for_each(|(_, name, value)| fields.append(name, value));
        let start = Start::Response { status: self.status(), reason };
        Head { parts: Some(Box::new(Parts { start, version: self.version, fields })) }
    }

    /// A request. `target`: origin-form or `*`. `authority`: the host, with its port if it has one.
    pub fn request(method: &[u8], target: &[u8], authority: &[u8], version: Version) -> Head {
        let mut head = Head::blank();
        let name = head.fields.keep(method);
        let target = head.fields.keep(target);
        let authority = head.fields.keep(authority);
        head.begin_request(name, target, authority, version);
        head
    }

    /// Makes it a request whose bytes are in the arena already.
    pub fn begin_request(&mut self, name: Span, target: Span, authority: Span, version: Version) {
        let method = Method::of(self.fields.bytes(name));
        self.start = Start::Request { method, name, target, received: target, authority };
        self.version = version;
    }

    /// An answer. The reason phrase may be empty.
    pub fn response(status: u16, reason: &[u8], version: Version) -> Head {
        let mut head = Head::blank();
        let reason = head.fields.keep(reason);
        head.begin_response(status, reason, version);
        head
    }

    /// Makes it an answer whose bytes are in the arena already.
    pub fn begin_response(&mut self, status: u16, reason: Span, version: Version) {
        self.start = Start::Response { status, reason };
        self.version = version;
    }

    pub fn method(&self) -> Method {
        match self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => Method::Other,
        }
    }

    pub fn method_bytes(&self) -> &[u8] {
        match self.start {
            Start::Request { name, .. } => self.fields.bytes(name),
            Start::Response { .. } => b"",
        }
    }

    /// Origin-form or `*`; path and query as received.
    pub fn target(&self) -> &[u8] {
        match self.start {
            Start::Request { target, .. } => self.fields.bytes(target),
            Start::Response { .. } => b"",
        }
    }

    /// The target as it came, whatever `set_target` made of it.
    pub fn received_target(&self) -> &[u8] {
        match self.start {
            Start::Request { received, .. } => self.fields.bytes(received),
            Start::Response { .. } => b"",
        }
    }

    /// The part of the target before any `?`.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        &target[..end]
    }

    /// The part of the target behind the first `?`.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        target.iter().position(|byte| *byte == b'?').map(|at| &target[at + 1..])
    }

    /// Host and port as the client gave them; empty only from HTTP/1.0 without Host.
    pub fn authority(&self) -> &[u8] {
        match self.start {
            Start::Request { authority, .. } => self.fields.bytes(authority),
            Start::Response { .. } => b"",
        }
    }

    /// Where the authority is in the arena of the fields.
    pub fn authority_span(&self) -> Span {
        match self.start {
            Start::Request { authority, .. } => authority,
            Start::Response { .. } => Span::default(),
        }
    }

    pub fn set_target(&mut self, bytes: &[u8]) {
        let kept = self.fields.keep(bytes);
        if let Start::Request { target, .. } = &mut self.start {
            *target = kept;
        }
    }

    /// 100 to 599.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Response { status, .. } => status,
            Start::Request { .. } => 0,
        }
    }

    /// Of an answer to such a request: whatever is said of its content, none follows (RFC 9110 6.4.1).
    pub fn is_bodiless(&self, asked: Method) -> bool {
        asked == Method::Head || matches!(self.status(), 204 | 304)
    }

    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Response { reason, .. } => self.fields.bytes(reason),
            Start::Request { .. } => b"",
        }
    }

    /// Whether `Connection` names this option (any case).
    pub fn connection_has(&self, option: &str) -> bool {
        self.fields.members(Name::Connection).any(|member| member.eq_ignore_ascii_case(option.as_bytes()))
    }
}
