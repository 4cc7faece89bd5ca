//! One finished request, as a line of the access log.
//!
//! JSON for machines, the combined format for tools that know it. A record borrows everything and writes straight into the log's
//! buffer. Fields that carry secrets (Authorization, Cookie) have no place in it, so none can be logged by mistake; the target is
//! logged as received, query included.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::series::CacheResult;
use crate::address::Address;
use crate::config::model::{AccessFormat, Reason};
use crate::failure::Failure;
use crate::message::Version;

#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// When the request's first byte was seen.
    pub time: SystemTime,
    /// Who asks: from a trusted proxy's `X-Forwarded-For`, else the peer's.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    pub listener: &'a str,
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the client gave them.
    pub host: &'a [u8],
    pub target: &'a [u8],
    pub version: Version,
    /// What was sent; `None`: no answer was begun.
    pub status: Option<u16>,
    pub route: Option<&'a str>,
    pub pool: Option<&'a str>,
    /// The last one that was tried.
    pub backend: Option<&'a Address>,
    pub attempts: u32,
    /// Sent again because a kept connection had died.
    pub free_retry: bool,
    /// Why it was tried once more; the last reason. `None`: it was not.
    pub retry: Option<Reason>,
    /// In line for a slot of a backend; `None`: it was not.
    pub queued: Option<Duration>,
    /// Went to a backend that is down, because all of its pool is.
    pub fail_open: bool,
    /// Bytes of content.
    pub received: u64,
    pub sent: u64,
    /// `None`: no connection was made, because one was reused or none was asked for.
    pub connect: Option<Duration>,
    /// `None`: no byte of an answer came.
    pub first_byte: Option<Duration>,
    pub total: Duration,
    /// Whether the backend's connection had been used before; `None`: there was none.
    pub reused: Option<bool>,
    /// What the backend's answer came by; `None`: none came.
    pub upstream: Option<Version>,
    /// `grpc-status` of the answer.
    pub call: Option<u8>,
    /// What the cache had; `None`: it was not asked.
    pub cache: Option<CacheResult>,
    pub failure: Option<Failure>,
    pub user_agent: Option<&'a [u8]>,
    pub referer: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Appends the line, with its line feed. Nothing is appended for `Off`.
    pub fn write(&self, format: AccessFormat, stamp: &mut Stamp, line: &mut Vec<u8>) {
        match format {
            AccessFormat::Off => {}
            AccessFormat::Json => self.write_json(stamp, line),
            AccessFormat::Combined => self.write_combined(stamp, line),
        }
    }

    fn write_json(&self, stamp: &mut Stamp, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"time\":\"");
        stamp.write_rfc3339(self.time, line);
        put(line, format_args!("\",\"client\":\"{}\",\"peer\":\"{}\"", self.client, self.peer));
        json_text(line, "listener", Some(self.listener.as_bytes()));
        json_text(line, "method", Some(self.method));
        json_text(line, "scheme", Some(self.scheme.as_bytes()));
        json_text(line, "host", Some(self.host));
        json_text(line, "target", Some(self.target));
        put(line, format_args!(",\"version\":\"{}\"", self.version.as_str()));
        json_plain(line, "status", self.status);
        json_text(line, "route", self.route.map(str::as_bytes));
        json_text(line, "pool", self.pool.map(str::as_bytes));
        match self.backend {
            Some(address) => put(line, format_args!(",\"backend\":\"{address}\"")),
            None => line.extend_from_slice(b",\"backend\":null"),
        }
        put(line, format_args!(",\"attempts\":{},\"free_retry\":{}", self.attempts, self.free_retry));
        json_text(line, "retry", self.retry.map(|reason| reason.as_str().as_bytes()));
        put(line, format_args!(",\"fail_open\":{}", self.fail_open));
        put(line, format_args!(",\"received\":{},\"sent\":{}", self.received, self.sent));
        json_seconds(line, "queued", self.queued);
        json_seconds(line, "connect", self.connect);
        json_seconds(line, "first_byte", self.first_byte);
        json_seconds(line, "total", Some(self.total));
        json_plain(line, "reused", self.reused);
        json_text(line, "upstream_protocol", self.upstream.map(|version| version.protocol().as_bytes()));
        json_plain(line, "grpc_status", self.call);
        json_text(line, "cache", self.cache.map(|result| result.as_str().as_bytes()));
        json_text(line, "reason", self.failure.map(|failure| failure.code().as_bytes()));
        json_text(line, "detail", self.failure.and_then(detail).map(str::as_bytes));
        json_text(line, "user_agent", self.user_agent);
        json_text(line, "referer", self.referer);
        line.extend_from_slice(b"}\n");
    }

    fn write_combined(&self, stamp: &mut Stamp, line: &mut Vec<u8>) {
        put(line, format_args!("{} - - [", self.client));
        stamp.write_common(self.time, line);
        line.extend_from_slice(b"] \"");
        if self.method.is_empty() {
            line.push(b'-');
        } else {
            escape_combined(line, self.method);
            line.push(b' ');
            escape_combined(line, self.target);
            put(line, format_args!(" {}", self.version.as_str()));
        }
        line.extend_from_slice(b"\" ");
        match self.status {
            Some(status) => put(line, status),
            None => line.push(b'-'),
        }
        put(line, format_args!(" {}", self.sent));
        for field in [self.referer, self.user_agent] {
            line.extend_from_slice(b" \"");
            match field {
                Some(value) => escape_combined(line, value),
                None => line.push(b'-'),
            }
            line.push(b'"');
        }
        line.push(b'\n');
    }
}

/// What the code does not say: which rule the bytes broke.
fn detail(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::RequestMalformed(what) | Failure::ResponseMalformed(what) => Some(what.says()),
        _ => None,
    }
}

/// Times as text. The part down to the second is kept from one line to the next: writing it out costs as much as all the rest
/// of a line. One for each format in use at a time.
#[derive(Debug, Default)]
pub struct Stamp {
    rfc3339: Second,
    common: Second,
}

#[derive(Debug, Default)]
struct Second {
    unix: i64,
    text: String,
}

impl Stamp {
    /// `2026-11-23T08:50:01.250Z`
    fn write_rfc3339(&mut self, time: SystemTime, line: &mut Vec<u8>) {
        let (second, millis) = split(time);
        line.extend_from_slice(self.rfc3339.text(second, "%Y-%m-%dT%H:%M:%S").as_bytes());
        put(line, format_args!(".{millis:03}Z"));
    }

    /// `23/Nov/2026:08:50:01 +0000`
    fn write_common(&mut self, time: SystemTime, line: &mut Vec<u8>) {
        let (second, _) = split(time);
        line.extend_from_slice(self.common.text(second, "%d/%b/%Y:%H:%M:%S +0000").as_bytes());
    }
}

impl Second {
    fn text(&mut self, second: i64, format: &str) -> &str {
        if self.unix != second || self.text.is_empty() {
            self.text = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH).strftime(format).to_string();
            self.unix = second;
        }
        &self.text
    }
}

/// Seconds since 1970 and the milliseconds above them. A clock before 1970 is a broken one: it reads as 1970.
fn split(time: SystemTime) -> (i64, u32) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(0), since.subsec_millis())
}

fn put(line: &mut Vec<u8>, value: impl Display) {
    // Writing to a vector does not fail.
    let _ = write!(line, "{value}");
}

fn json_plain(line: &mut Vec<u8>, name: &str, value: Option<impl Display>) {
    match value {
        Some(value) => put(line, format_args!(",\"{name}\":{value}")),
        None => put(line, format_args!(",\"{name}\":null")),
    }
}

/// Seconds, to the microsecond.
fn json_seconds(line: &mut Vec<u8>, name: &str, value: Option<Duration>) {
    json_plain(line, name, value.map(Seconds));
}

struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

fn json_text(line: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let Some(value) = value else {
        return put(line, format_args!(",\"{name}\":null"));
    };
    put(line, format_args!(",\"{name}\":\""));
    escape_json(line, value);
    line.push(b'"');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// RFC 8259 section 7. What is not UTF-8 becomes U+FFFD: a JSON text must be UTF-8, whatever a client sent.
fn escape_json(line: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => line.extend_from_slice(b"\\\""),
                b'\\' => line.extend_from_slice(b"\\\\"),
                // DEL is allowed bare, but nobody wants it on a terminal.
                0..=0x1f | 0x7f => {
                    line.extend_from_slice(b"\\u00");
                    line.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                plain => line.push(plain),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// As nginx does it: quotes, backslashes and all that is not printable ASCII become `\xHH`, so that no line can be forged.
fn escape_combined(line: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                line.extend_from_slice(b"\\x");
                line.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]].map(|digit| digit.to_ascii_uppercase()));
            }
            plain => line.push(plain),
        }
    }
}
