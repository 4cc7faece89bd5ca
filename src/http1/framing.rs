//! Message content inside its framing: which bytes are content, and where it ends.
//!
//! The decoder is shown what was read and answers how much of it is framing and how much content; it copies nothing and never asks
//! for bytes to be kept. So it works with a buffer of any size, and pieces may be cut anywhere. Only trailers are gathered, since
//! they become fields.
//!
//! Stricter than RFC 9112 7.1 where its lenience is how requests are smuggled: no blank around a chunk size, and nothing but CRLF
//! ends a line. Extensions are dropped; a line is at most 256 bytes and all extensions of a message 16 KiB, so that framing can not
//! be the body. Chunks of one byte are allowed: they cost the sender as much as us.

use crate::failure::Malformed;
use crate::message::body::Length;
use crate::message::fields::Fields;
use crate::message::trailers::may_trail;

use super::head::Framing;
use super::scan::Scan;

/// Digits of a chunk size, leading zeros included; sixteen make 64 bits.
const SIZE_DIGITS_MAX: u32 = 16;
const LINE_BYTES_MAX: usize = 256;
const EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
const TRAILERS_BYTES_MAX: usize = 8 * 1024;
const TRAILERS_MAX: usize = 100;

/// What the first of the bytes are. `skip` bytes of framing come first and are to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Then `data` bytes of content, at least one. The decoder has accounted for both; content may be handed out later.
    Data { skip: usize, data: usize },
    /// All of the bytes were framing: read more.
    More { skip: usize },
    /// The content has ended. What follows belongs to the next message.
    Done { skip: usize },
}

/// The connection ended before the content did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated;

#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes of chunk extensions so far, of the whole message.
    extensions: usize,
    trailers: Option<Box<Fields>>,
}

#[derive(Debug)]
enum State {
    Done,
    /// Bytes left, at least one.
    Length(u64),
    UntilClose,
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: u32,
    },
    /// Behind the digits; `line`: how long the line is so far.
    Extension {
        size: u64,
        line: usize,
    },
    /// LF of a chunk's line is due.
    SizeEnd {
        size: u64,
    },
    /// Content bytes of the chunk left, at least one.
    Chunk(u64),
    /// CR, then LF, behind a chunk's content.
    ChunkReturn,
    ChunkEnd,
    /// Behind the last chunk, where most messages have nothing but an empty line.
    Last,
    /// LF of that empty line is due.
    LastEnd,
    /// Gathering up to an empty line. `line`: length of the line that is being read.
    Trailers {
        gathered: Vec<u8>,
        line: usize,
    },
}

impl Decoder {
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SIZE,
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state, extensions: 0, trailers: None }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Content that no `step` has announced yet.
    pub fn remaining(&self) -> Length {
        match self.state {
            State::Done => Length::Exact(0),
            State::Length(left) => Length::Exact(left),
            _ => Length::Unknown,
        }
    }

    /// The connection has ended behind the last bytes: right for content that ends with it, and where it had ended before.
    pub fn eof(&mut self) -> Result<(), Truncated> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Truncated),
        }
    }

    /// The trailers, once the content has ended and if there are any left after the forbidden ones were dropped.
    pub fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    /// Looks at the bytes behind those that earlier steps have accounted for.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut skip = 0;
        loop {
            match &mut self.state {
                State::Done => return Ok(Step::Done { skip }),
                State::UntilClose if bytes.is_empty() => return Ok(Step::More { skip }),
                State::UntilClose => return Ok(Step::Data { skip, data: bytes.len() }),
                State::Length(left) | State::Chunk(left) => {
                    let data = (bytes.len() - skip).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if data == 0 {
                        return Ok(Step::More { skip });
                    }
                    *left -= data as u64;
                    if *left == 0 {
                        self.state = if matches!(self.state, State::Chunk(_)) { State::ChunkReturn } else { State::Done };
                    }
                    return Ok(Step::Data { skip, data });
                }
                _ => {}
            }
            let Some(byte) = bytes.get(skip) else { return Ok(Step::More { skip }) };
            skip += 1;
            self.framing_byte(*byte)?;
        }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        match &mut self.state {
            State::Size { size, digits } => match hex(byte) {
                Some(_) if *digits == SIZE_DIGITS_MAX => return Err(Malformed::ChunkSize),
                Some(digit) => {
                    *size = *size << 4 | digit;
                    *digits += 1;
                }
                None if *digits == 0 => return Err(Malformed::ChunkSize),
                None => match byte {
                    b'\r' => self.state = State::SizeEnd { size: *size },
                    b';' => self.state = State::Extension { size: *size, line: *digits as usize + 1 },
                    _ => return Err(Malformed::ChunkSize),
                },
            },
            State::Extension { size, line } => match byte {
                b'\r' => self.state = State::SizeEnd { size: *size },
                b'\t' | 0x20..=0x7e | 0x80.. => {
                    *line += 1;
                    self.extensions += 1;
                    if *line > LINE_BYTES_MAX || self.extensions > EXTENSIONS_BYTES_MAX {
                        return Err(Malformed::Chunk);
                    }
                }
                _ => return Err(Malformed::Chunk),
            },
            State::SizeEnd { size } => {
                self.state = match (byte, *size) {
                    (b'\n', 0) => State::Last,
                    (b'\n', size) => State::Chunk(size),
                    _ => return Err(Malformed::Chunk),
                }
            }
            State::ChunkReturn if byte == b'\r' => self.state = State::ChunkEnd,
            State::ChunkEnd if byte == b'\n' => self.state = State::SIZE,
            State::ChunkReturn | State::ChunkEnd => return Err(Malformed::Chunk),
            State::Last if byte == b'\r' => self.state = State::LastEnd,
            State::Last if byte == b'\n' => return Err(Malformed::Trailers),
            State::Last => self.state = State::Trailers { gathered: vec![byte], line: 1 },
            State::LastEnd if byte == b'\n' => self.state = State::Done,
            State::LastEnd => return Err(Malformed::Trailers),
            State::Trailers { gathered, line } => {
                if gathered.len() == TRAILERS_BYTES_MAX {
                    return Err(Malformed::Trailers);
                }
                gathered.push(byte);
                *line += 1;
                if byte == b'\n' {
                    if !gathered.ends_with(b"\r\n") {
                        return Err(Malformed::Trailers);
                    }
                    if *line == 2 {
                        self.trailers = trailers(gathered)?;
                        self.state = State::Done;
                    } else {
                        *line = 0;
                    }
                }
            }
            State::Done | State::Length(_) | State::UntilClose | State::Chunk(_) => unreachable!("`step` answers for content"),
        }
        Ok(())
    }
}

impl State {
    const SIZE: State = State::Size { size: 0, digits: 0 };
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// `section`: field lines and the empty line behind them.
fn trailers(section: &[u8]) -> Result<Option<Box<Fields>>, Malformed> {
    let mut fields = Fields::with_capacity(0, 4);
    let mut scan = Scan { bytes: section, at: 0 };
    scan.fields(TRAILERS_MAX, &mut fields, |_, _, _| Ok(())).map_err(|_| Malformed::Trailers)?;
    fields.fill(section, 0);
    fields.retain(|known, name, _| may_trail(known, name));
    Ok((!fields.is_empty()).then(|| Box::new(fields)))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
