//! Heads of requests and answers: from bytes to a `Head`, a framing, and what the connection is to do afterwards.
//!
//! One pass from left to right; the head's bytes are copied once, whole, when it is known to be good. Because nothing is decided
//! from the right, a prefix of a head meets the same first mistake as the whole: a refusal never waits for bytes that can not
//! change it.
//!
//! Where RFC 9112 leaves a choice we take the one that no other recipient can read differently: a second Content-Length is refused
//! even where it repeats the first (as nginx does; HAProxy would merge them), so is one above 2^63 - 1 (some would take it for
//! negative), and `Transfer-Encoding` is one field that says `chunked` and nothing else. One empty line before a request is skipped
//! (RFC 9112 2.2), never two, and none before an answer.

use crate::failure::{Failure, Malformed};
use crate::message::authority::Authority;
use crate::message::body::content_length;
use crate::message::fields::{Name, Names, Span};
use crate::message::head::{Head, Method, Version};

use super::scan::{Scan, Stop};

/// What a head may cost. For answers `target` has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole head, start line and last empty line included.
    pub bytes: usize,
    pub fields: usize,
    /// The request target as received.
    pub target: usize,
}

/// Where the content of a message ends (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none, and nothing says how long it would be; Content-Length may stand there for another purpose (HEAD, 304).
    Empty,
    Length(u64),
    Chunked,
    /// With the connection. Only answers end so.
    UntilClose,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub head: Head,
    pub framing: Framing,
    /// The client wants the connection to stay open.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends content.
    pub expects_continue: bool,
    /// The client asks to switch protocols, and may: HTTP/1.1, without content, and not to cleartext HTTP/2 (RFC 9113 dropped
    /// that upgrade, and a tunnel full of requests would bypass every rule of this proxy).
    pub upgrade: bool,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub head: Head,
    pub framing: Framing,
    /// The connection may carry another request once the content has ended.
    pub keep_alive: bool,
}

/// Options in `Connection`: each may name a field to remove, which costs a walk over the fields.
const OPTIONS_MAX: usize = 32;
/// Room in a head's arena for the fields that forwarding adds.
const ARENA_ROOM: usize = 256;

/// Reads a request head. `None`: not all here yet. `Some((request, used))`: the head took `used` bytes.
pub fn request(bytes: &[u8], limits: &Limits) -> Result<Option<(Request, usize)>, Failure> {
    let window = &bytes[..bytes.len().min(limits.bytes)];
    match parse_request(window, limits) {
        Ok(done) => Ok(Some(done)),
        Err(Stop::Incomplete) if window.len() < limits.bytes => Ok(None),
        Err(Stop::Incomplete | Stop::TooLarge) => Err(Failure::HeadTooLarge),
        Err(Stop::Malformed(what)) => Err(Failure::RequestMalformed(what)),
        Err(Stop::Coding) => Err(Failure::TransferCodingUnsupported),
        Err(Stop::Refused(failure)) => Err(failure),
    }
}

/// Reads an answer's head. `to`: the method of the request that it answers.
pub fn response(bytes: &[u8], limits: &Limits, to: Method) -> Result<Option<(Response, usize)>, Failure> {
    let window = &bytes[..bytes.len().min(limits.bytes)];
    match parse_response(window, limits, to) {
        Ok(done) => Ok(Some(done)),
        Err(Stop::Incomplete) if window.len() < limits.bytes => Ok(None),
        Err(Stop::Incomplete | Stop::TooLarge) => Err(Failure::ResponseHeadTooLarge),
        Err(Stop::Malformed(what)) => Err(Failure::ResponseMalformed(what)),
        Err(Stop::Coding) => Err(Failure::ResponseMalformed(Malformed::TransferEncoding)),
        Err(Stop::Refused(failure)) => Err(failure),
    }
}

/// When to look at an incomplete head again, so that a client who sends it byte by byte does not make us read it n times.
///
/// A head is parsed at its first bytes, then each time it has doubled, when a limit is reached, and when its end is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resume {
    parsed: usize,
    scanned: usize,
}

impl Resume {
    /// `bytes`: all that has come of the head so far, as they would go to `request` or `response`.
    pub fn is_due(&mut self, bytes: &[u8], limits: &Limits) -> bool {
        let due = bytes.len() >= self.parsed * 2 || bytes.len() >= limits.bytes || self.sees_end(bytes);
        if due {
            self.parsed = bytes.len();
        }
        due
    }

    fn sees_end(&mut self, bytes: &[u8]) -> bool {
        // An end may have begun in the last three bytes of what was scanned.
        let from = self.scanned.max(self.parsed).saturating_sub(3);
        self.scanned = bytes.len();
        bytes[from..].windows(4).any(|four| four == b"\r\n\r\n")
    }
}

fn parse_request(window: &[u8], limits: &Limits) -> Result<(Request, usize), Stop> {
    let skipped = match window {
        [b'\r', b'\n', ..] => 2,
        [b'\r'] => return Err(Stop::Incomplete),
        _ => 0,
    };
    let bytes = &window[skipped..];
    let mut scan = Scan { bytes, at: 0 };
    let method_span = scan.method()?;
    if scan.text(method_span) == b"CONNECT" {
        return Err(Stop::Refused(Failure::MethodUnsupported));
    }
    let target_span = scan.target(limits.target)?;
    let version = scan.version()?;
    scan.line_end(Malformed::StartLine)?;
    let target = Target::of(scan.text(target_span), method_span, bytes)?;

    let mut head = Head::blank();
    let mut signals = Signals::default();
    let mut host = None;
    let mut expects_continue = false;
    let mut upgrade = false;
    let mut clear_http2 = false;
    scan.fields(limits.fields, &mut head.fields, |name, value, span| {
        match name {
            Name::Host => {
                if host.is_some() || Authority::parse(value).is_none() {
                    return Err(Malformed::Host.into());
                }
                host = Some(span);
            }
            Name::Expect => expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            Name::Upgrade => {
                upgrade |= !value.is_empty();
                clear_http2 |= value.windows(3).any(|three| three.eq_ignore_ascii_case(b"h2c"));
            }
            _ => signals.note(name, value)?,
        }
        Ok(())
    })?;

    let authority = match (host, target.authority) {
        (None, _) if version == Version::Http11 => return Err(Malformed::Host.into()),
        (None, None) => Span::default(),
        (None, Some((span, _))) => span,
        (Some(host), None) => host,
        (Some(host), Some((span, default_port))) => {
            let (said, meant) = (Authority::parse(scan.text(host)), Authority::parse(scan.text(span)));
            if !said.zip(meant).is_some_and(|(said, meant)| said.is_same(&meant, default_port)) {
                return Err(Malformed::Host.into());
            }
            host
        }
    };
    let framing = signals.framing(version)?.unwrap_or(Framing::Empty);
    let is_11 = version == Version::Http11;
    let has_content = !matches!(framing, Framing::Empty | Framing::Length(0));

    let used = scan.at;
    head.fields.fill(&bytes[..used], ARENA_ROOM);
    let target_span = match target.form {
        Form::Span { from } => Span { at: target_span.at + from, len: target_span.len - from },
        Form::Query { from } => {
            let query = Span { at: target_span.at + from, len: target_span.len - from };
            let whole = [b"/", &bytes[query.range()]].concat();
            head.fields.keep(&whole)
        }
        Form::Root => head.fields.keep(b"/"),
        Form::Server => head.fields.keep(b"*"),
    };
    head.begin_request(method_span, target_span, authority, version);
    let request = Request {
        head,
        framing,
        keep_alive: signals.keep_alive(version),
        expects_continue: expects_continue && is_11 && has_content,
        upgrade: upgrade && signals.upgrade && is_11 && !has_content && !clear_http2,
    };
    Ok((request, skipped + used))
}

fn parse_response(bytes: &[u8], limits: &Limits, to: Method) -> Result<(Response, usize), Stop> {
    let mut scan = Scan { bytes, at: 0 };
    let version = scan.version()?;
    let status = scan.status()?;
    let reason = scan.reason()?;
    scan.line_end(Malformed::StartLine)?;

    let mut head = Head::blank();
    let mut signals = Signals::default();
    scan.fields(limits.fields, &mut head.fields, |name, value, _| signals.note(name, value))?;

    let said = signals.framing(version)?;
    let never_has_content = matches!(status, 100..=199 | 204);
    let framing =
        if never_has_content || status == 304 || to == Method::Head { Framing::Empty } else { said.unwrap_or(Framing::UntilClose) };
    // A backend that announces content where there can be none may send it all the same: whatever follows is not an answer.
    let announces_content = never_has_content && !matches!(said, None | Some(Framing::Length(0)));

    let used = scan.at;
    head.fields.fill(&bytes[..used], ARENA_ROOM);
    head.begin_response(status, reason, version);
    let response =
        Response { head, framing, keep_alive: signals.keep_alive(version) && framing != Framing::UntilClose && !announces_content };
    Ok((response, used))
}

/// What the fields say about the message and its connection.
#[derive(Default)]
struct Signals {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    stay: bool,
    upgrade: bool,
    options: usize,
}

impl Signals {
    #[inline]
    fn note(&mut self, name: Name, value: &[u8]) -> Result<(), Stop> {
        const NOTED: Names = Names::of(&[Name::ContentLength, Name::TransferEncoding, Name::Connection]);
        if NOTED.contains(name) { self.note_signal(name, value) } else { Ok(()) }
    }

    fn note_signal(&mut self, name: Name, value: &[u8]) -> Result<(), Stop> {
        match name {
            Name::ContentLength => {
                if self.length.is_some() {
                    return Err(Malformed::ContentLength.into());
                }
                self.length = Some(content_length(value)?);
            }
            Name::TransferEncoding => {
                if self.chunked {
                    return Err(Malformed::TransferEncoding.into());
                }
                only_chunked(value)?;
                self.chunked = true;
            }
            // As most say it, and without a walk.
            Name::Connection if value == b"keep-alive" => self.stay = true,
            Name::Connection => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.stay |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    self.options += 1;
                }
                if self.options > OPTIONS_MAX {
                    return Err(Malformed::FieldValue.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `None`: nothing is said about content.
    fn framing(&self, version: Version) -> Result<Option<Framing>, Malformed> {
        match (self.length, self.chunked) {
            // RFC 9112 6.3: perhaps request smuggling. Forwarding either reading would be choosing for the attacker.
            (Some(_), true) => Err(Malformed::BothFramings),
            // RFC 9112 6.1: HTTP/1.0 has no transfer codings, somebody on the way did not understand what it passed on.
            (None, true) if version == Version::Http10 => Err(Malformed::TransferEncoding),
            (None, true) => Ok(Some(Framing::Chunked)),
            (Some(length), false) => Ok(Some(Framing::Length(length))),
            (None, false) => Ok(None),
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.close && (self.stay || version == Version::Http11)
    }
}

fn only_chunked(value: &[u8]) -> Result<(), Stop> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    const CODINGS: [&[u8]; 5] = [b"gzip", b"deflate", b"compress", b"x-gzip", b"x-compress"];
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).peekable();
    while let Some(coding) = codings.next() {
        let is_last = codings.peek().is_none();
        let exists = CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known)) || is_last && coding.eq_ignore_ascii_case(b"chunked");
        if !exists {
            return Err(Malformed::TransferEncoding.into());
        }
    }
    Err(Stop::Coding)
}

/// A request target taken apart: what becomes of it, and the authority of an absolute one with its scheme's port.
struct Target {
    form: Form,
    authority: Option<(Span, u16)>,
}

enum Form {
    /// The target from this byte on.
    Span {
        from: u32,
    },
    /// A slash, then the target from this byte on, which is a `?`.
    Query {
        from: u32,
    },
    Root,
    /// `*`
    Server,
}

impl Target {
    fn of(target: &[u8], method: Span, bytes: &[u8]) -> Result<Target, Malformed> {
        let is_options = &bytes[method.range()] == b"OPTIONS";
        match target {
            [b'/', ..] => return Ok(Target { form: Form::Span { from: 0 }, authority: None }),
            b"*" if is_options => return Ok(Target { form: Form::Span { from: 0 }, authority: None }),
            _ => {}
        }
        let (scheme, port) = [(&b"http://"[..], 80), (b"https://", 443)]
            .into_iter()
            .find(|(scheme, _)| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
            .ok_or(Malformed::Target)?;
        let rest = &target[scheme.len()..];
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        if Authority::parse(&rest[..end]).is_none() {
            return Err(Malformed::Target);
        }
        let from = (scheme.len() + end) as u32;
        let form = match rest.get(end) {
            Some(b'/') => Form::Span { from },
            Some(_) => Form::Query { from },
            // RFC 9112 3.2.4: asking about the server as a whole.
            None if is_options => Form::Server,
            None => Form::Root,
        };
        let offset = method.end() + 1 + scheme.len();
        Ok(Target { form, authority: Some((Span { at: offset as u32, len: end as u32 }, port)) })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
