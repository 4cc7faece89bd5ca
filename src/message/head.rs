//! The head of a request or of an answer, whatever the protocol version it came by.
//!
//! Invariant: a request head that left a codec has a target in origin-form (or `*`), and an authority that agrees with Host.

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
    Request { method: Method, name: Span, target: Span, authority: Span },
    Response { status: u16, reason: Span },
}

/// A start line with fields. Which of the two kinds it is, is known where it is used: asking a response for its target is a bug
/// and panics in debug builds only (it answers with nothing in others).
#[derive(Debug, Clone)]
pub struct Head {
    start: Start,
    pub version: Version,
    pub fields: Fields,
}

impl Head {
    /// A request. `target`: origin-form or `*`. `authority`: the host, with its port if it has one.
    pub fn request(method: &[u8], target: &[u8], authority: &[u8], version: Version) -> Head {
        let mut fields = Fields::with_capacity(512, 16);
        let name = fields.keep(method);
        let target = fields.keep(target);
        let authority = fields.keep(authority);
        Head::request_spans(fields, name, target, authority, version)
    }

    /// The same for a codec whose arena holds the bytes already.
    pub fn request_spans(fields: Fields, name: Span, target: Span, authority: Span, version: Version) -> Head {
        let method = Method::of(fields.bytes(name));
        Head { start: Start::Request { method, name, target, authority }, version, fields }
    }

    /// An answer. The reason phrase may be empty.
    pub fn response(status: u16, reason: &[u8], version: Version) -> Head {
        let mut fields = Fields::with_capacity(512, 16);
        let reason = fields.keep(reason);
        Head::response_spans(fields, status, reason, version)
    }

    pub fn response_spans(fields: Fields, status: u16, reason: Span, version: Version) -> Head {
        Head { start: Start::Response { status, reason }, version, fields }
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
