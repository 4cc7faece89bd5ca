//! Heads and chunk framing as bytes.
//!
//! The writer owns the framing: what it says about the content is what its caller will send, whatever the head's own fields say.
//! A head that passed through filters, or that lost its body on the way, can therefore not frame its message wrongly.
//!
//! Fields that are as they came lie in the head's arena one behind the other as lines, and are copied in runs.

use std::ops::Range;

use crate::message::fields::{Fields, Layout, Name, Names, digits};
use crate::message::head::Head;

use super::head::Framing;

pub const CRLF: &[u8] = b"\r\n";

/// What this hop says about the connection, besides what the head says already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: it stays open, as HTTP/1.1 connections do.
    Persistent,
    /// This message is its last.
    Close,
    /// It stays open, said to an HTTP/1.0 client that asked for it.
    KeepAlive,
}

/// A request's head. `framing`: how its content will be sent; with `Empty` there is none.
pub fn request_head(head: &Head, framing: Framing, connection: Connection, out: &mut Vec<u8>) {
    let (method, target) = (head.method_bytes(), head.target());
    out.reserve(head.fields.arena().len() + ROOM);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // Without content a Content-Length can only be true by chance; `Length(0)` says that there is none.
    let length = if framing == Framing::Empty { ContentLength::Never } else { ContentLength::of(framing) };
    lines(&head.fields, length, framing, connection, out);
    out.extend_from_slice(CRLF);
}

/// An answer's head. `framing`: how its content will be sent; with `Empty` there is none, and a Content-Length in the head stays,
/// for it tells of what HEAD or 304 left out. `date`: for heads that have none.
pub fn response_head(head: &Head, framing: Framing, connection: Connection, date: Option<&[u8]>, out: &mut Vec<u8>) {
    let status = head.status();
    out.reserve(head.fields.arena().len() + ROOM);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&status_digits(status));
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(CRLF);
    // RFC 9110 8.6: never with 1xx or 204.
    let length = if matches!(status, 100..=199 | 204) { ContentLength::Never } else { ContentLength::of(framing) };
    lines(&head.fields, length, framing, connection, out);
    if let Some(date) = date
        && !head.fields.contains(Name::Date)
    {
        line(b"date", date, out);
    }
    out.extend_from_slice(CRLF);
}

/// The line in front of a chunk. Its content and `CRLF` follow. `len` is not zero: that would end the message.
pub fn chunk_head(len: usize, out: &mut Vec<u8>) {
    debug_assert_ne!(len, 0);
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (4 * at) & 0xf]);
    }
    out.extend_from_slice(CRLF);
}

/// What ends chunked content.
pub fn last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        copy(trailers, Names::default(), out);
    }
    out.extend_from_slice(CRLF);
}

/// More than start line and added lines take beyond the bytes in the arena.
const ROOM: usize = 160;

/// What becomes of the head's Content-Length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentLength {
    AsIs,
    Never,
    Exactly(u64),
}

impl ContentLength {
    fn of(framing: Framing) -> ContentLength {
        match framing {
            Framing::Empty => ContentLength::AsIs,
            Framing::Length(length) => ContentLength::Exactly(length),
            Framing::Chunked | Framing::UntilClose => ContentLength::Never,
        }
    }
}

fn lines(fields: &Fields, length: ContentLength, framing: Framing, connection: Connection, out: &mut Vec<u8>) {
    let mut room = [0; 20];
    let mut dropped = Names::of(&[Name::TransferEncoding]);
    let mut added_length = None;
    match length {
        ContentLength::AsIs => {}
        ContentLength::Never => dropped = dropped.with(Name::ContentLength),
        ContentLength::Exactly(length) => {
            let digits = digits(length, &mut room);
            let mut said = fields.get_all(Name::ContentLength);
            if said.next() != Some(digits) || said.next().is_some() {
                dropped = dropped.with(Name::ContentLength);
                added_length = Some(digits);
            }
        }
    }
    copy(fields, dropped, out);
    if let Some(digits) = added_length {
        line(b"content-length", digits, out);
    }
    if framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    match connection {
        Connection::Persistent => {}
        Connection::Close => out.extend_from_slice(b"connection: close\r\n"),
        Connection::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
    }
}

/// Copies fields, except those dropped, in runs of lines that are neighbours in the arena.
fn copy(fields: &Fields, dropped: Names, out: &mut Vec<u8>) {
    let arena = fields.arena();
    let mut run: Range<usize> = 0..0;
    let drops = fields.may_have(dropped);
    for (name, layout) in fields.layout() {
        if drops && dropped.contains(name) {
            continue;
        }
        match layout {
            Layout::Line(line) if line.start == run.end => run.end = line.end,
            Layout::Line(line) => {
                out.extend_from_slice(&arena[run]);
                run = line;
            }
            Layout::Apart { name, value } => {
                out.extend_from_slice(&arena[run]);
                run = 0..0;
                line(fields.bytes(name), fields.bytes(value), out);
            }
        }
    }
    out.extend_from_slice(&arena[run]);
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}

fn status_digits(status: u16) -> [u8; 3] {
    [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}

#[cfg(test)]
mod tests;
