//! The lines of a head and of trailers: which bytes may stand where.
//!
//! An own reader. `httparse` was the alternative; it accepts bare LF, several blanks and other leniencies, so its result would have
//! to be walked again to refuse them, and its headers copied into our field list. Here a name's bytes are looked at once, values
//! eight at a time, and every line ends in CRLF or is refused.

use crate::failure::{Failure, Malformed};
use crate::message::Version;
use crate::message::fields::{Fields, Name, Span};

use super::lately::{self, Line};

/// Why reading ends before the head does.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    Incomplete,
    TooLarge,
    Malformed(Malformed),
    /// A transfer coding that exists and that we do not speak.
    Coding,
    Refused(Failure),
}

impl From<Malformed> for Stop {
    fn from(what: Malformed) -> Stop {
        Stop::Malformed(what)
    }
}

/// Longer than any registered method (IANA's longest has 17 letters).
pub const METHOD_BYTES_MAX: usize = 32;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;

/// What each byte may be part of.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        // RFC 9112 3.2: no fragment. Everything else that is visible passes, as browsers do not escape all that RFC 3986 wants.
        if byte != b'#' {
            table[byte as usize] |= TARGET;
        }
        let separator = matches!(
            byte,
            b'"' | b'(' | b')' | b',' | b'/' | b':' | b';' | b'<' | b'=' | b'>' | b'?' | b'@' | b'[' | b'\\' | b']' | b'{' | b'}'
        );
        if !separator {
            table[byte as usize] |= TOKEN;
        }
        byte += 1;
    }
    table
};

/// A place in a head that is being read.
pub struct Scan<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Scan<'a> {
    pub fn text(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.range()]
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Incomplete)
    }

    /// Passes over all bytes of the class.
    fn run(&mut self, class: u8) -> Span {
        let from = self.at;
        self.at = self.run_end(class);
        Span { at: from as u32, len: (self.at - from) as u32 }
    }

    fn run_end(&self, class: u8) -> usize {
        let ends = |byte: u8| CLASS[byte as usize] & class == 0;
        let mut at = self.at;
        // Eight at a time for the compiler to unroll.
        while let Some(eight) = self.bytes[at..].first_chunk::<8>() {
            for (ahead, byte) in eight.iter().enumerate() {
                if ends(*byte) {
                    return at + ahead;
                }
            }
            at += 8;
        }
        let rest = &self.bytes[at..];
        at + rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len())
    }

    /// A token, and the blank behind it.
    pub fn method(&mut self) -> Result<Span, Stop> {
        let span = self.run(TOKEN);
        if span.len as usize > METHOD_BYTES_MAX {
            return Err(Malformed::StartLine.into());
        }
        if self.peek()? != b' ' || span.len == 0 {
            return Err(Malformed::StartLine.into());
        }
        self.at += 1;
        Ok(span)
    }

    /// Visible bytes, and the blank behind them; what they say is not looked at.
    pub fn target(&mut self, limit: usize) -> Result<Span, Stop> {
        let span = self.run(TARGET);
        if span.len as usize > limit {
            return Err(Stop::Refused(Failure::TargetTooLong));
        }
        match self.peek()? {
            b' ' if span.len > 0 => self.at += 1,
            b' ' | b'\r' | b'\n' => return Err(Malformed::StartLine.into()),
            _ => return Err(Malformed::Target.into()),
        }
        Ok(span)
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&mut self) -> Result<Version, Stop> {
        const SHAPE: &[u8; 8] = b"HTTP/0.0";
        const HTTP_1_0: u64 = u64::from_le_bytes(*b"HTTP/1.0");
        const HTTP_1_1: u64 = u64::from_le_bytes(*b"HTTP/1.1");
        let rest = &self.bytes[self.at..];
        let version = match rest.first_chunk().map(|eight| u64::from_le_bytes(*eight)) {
            Some(HTTP_1_1) => Version::Http11,
            Some(HTTP_1_0) => Version::Http10,
            other => {
                let fits = rest.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
                return Err(match (fits, other) {
                    (false, _) => Malformed::StartLine.into(),
                    (true, None) => Stop::Incomplete,
                    (true, Some(_)) => Malformed::Version.into(),
                });
            }
        };
        self.at += SHAPE.len();
        Ok(version)
    }

    /// Blank and three digits.
    pub fn status(&mut self) -> Result<u16, Stop> {
        if self.peek()? != b' ' {
            return Err(Malformed::StartLine.into());
        }
        self.at += 1;
        let mut status = 0;
        for _ in 0..3 {
            let digit = self.peek()?;
            if !digit.is_ascii_digit() {
                return Err(Malformed::StartLine.into());
            }
            status = status * 10 + u16::from(digit - b'0');
            self.at += 1;
        }
        if matches!(status, 100..=599) { Ok(status) } else { Err(Malformed::StartLine.into()) }
    }

    /// Nothing, or a blank and the phrase, which may be empty.
    pub fn reason(&mut self) -> Result<Span, Stop> {
        if self.peek()? != b' ' {
            return Ok(Span::default());
        }
        self.at += 1;
        let from = self.at;
        self.at = text_end(self.bytes, from);
        Ok(Span { at: from as u32, len: (self.at - from) as u32 })
    }

    /// CRLF. `otherwise`: what it is when another byte stands there.
    pub fn line_end(&mut self, otherwise: Malformed) -> Result<(), Stop> {
        match self.peek()? {
            b'\r' => {}
            b'\n' => return Err(Malformed::BareLineEnd.into()),
            _ => return Err(otherwise.into()),
        }
        self.at += 1;
        if self.peek()? != b'\n' {
            return Err(Malformed::BareLineEnd.into());
        }
        self.at += 1;
        Ok(())
    }

    /// Field lines up to and with the empty line that ends them. `note` is asked about each.
    pub fn fields(
        &mut self,
        limit: usize,
        fields: &mut Fields,
        mut note: impl FnMut(Name, &'a [u8], Span) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        lately::with(|lately| {
            loop {
                let start = self.at;
                let rest = &self.bytes[start..];
                let line = match lately.recall(rest) {
                    Some(line) => line,
                    None => {
                        let Some(line) = self.line()? else { return Ok(()) };
                        lately.keep(&rest[..line.len as usize], line);
                        line
                    }
                };
                self.at = start + line.len as usize;
                if fields.len() == limit {
                    return Err(Stop::TooLarge);
                }
                let at = start as u32;
                let (name, value) = (Span { at, len: line.colon }, Span { at: at + line.from, len: line.end - line.from });
                note(line.name, self.text(value), value)?;
                fields.append_spans(line.name, name, value, line.plain);
            }
        })
    }

    /// One field line, CRLF included. `None`: it is the empty one, and behind us.
    #[inline(never)]
    fn line(&mut self) -> Result<Option<Line>, Stop> {
        let bytes = self.bytes;
        let (start, colon) = (self.at, self.run_end(TOKEN));
        if colon == start && bytes.get(start..start + 2) == Some(b"\r\n") {
            self.at = start + 2;
            return Ok(None);
        }
        if bytes.get(colon) != Some(&b':') || colon == start {
            return Err(self.no_field(colon));
        }
        // One blank is how nearly everybody writes it.
        let mut from = colon + 1 + usize::from(bytes.get(colon + 1) == Some(&b' '));
        while let Some(b' ' | b'\t') = bytes.get(from) {
            from += 1;
        }
        let text_end = text_end(bytes, from);
        if bytes.get(text_end..text_end + 2) != Some(b"\r\n") {
            self.at = text_end;
            // It is not there: this says in which way.
            return self.line_end(Malformed::FieldValue).map(|()| None);
        }
        let mut end = text_end;
        while end > from && matches!(bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        let name = Name::of(&bytes[start..colon]);
        let place = |at: usize| (at - start) as u32;
        let plain = from == colon + 2 && bytes[colon + 1] == b' ' && end == text_end;
        Ok(Some(Line { name, plain, colon: place(colon), from: place(from), end: place(end), len: place(text_end + 2) }))
    }

    /// Why there is neither a field nor the empty line behind the last one. `stop`: where its name would end.
    #[cold]
    fn no_field(&self, stop: usize) -> Stop {
        let nameless = stop == self.at;
        match self.bytes.get(stop) {
            None => Stop::Incomplete,
            Some(b'\r') if nameless => match self.bytes.get(stop + 1) {
                None => Stop::Incomplete,
                Some(_) => Malformed::BareLineEnd.into(),
            },
            Some(b' ' | b'\t') if nameless => Malformed::Folded.into(),
            Some(b'\n') => Malformed::BareLineEnd.into(),
            Some(_) => Malformed::FieldName.into(),
        }
    }
}

/// Where a stretch of text ends that began at `from`: at the first control byte other than a tab, or at the end of the bytes.
///
/// Eight bytes at a time; a borrow can only raise false alarms behind the first true one, which is the one that counts.
fn text_end(bytes: &[u8], from: usize) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    loop {
        while let Some(eight) = bytes[at..].first_chunk() {
            let word = u64::from_le_bytes(*eight);
            let delete = word ^ (EACH * 0x7f);
            let control = (word.wrapping_sub(EACH * 0x20) & !word) | (delete.wrapping_sub(EACH) & !delete);
            let found = control & (EACH * 0x80);
            if found != 0 {
                at += found.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(b'\t' | 0x20..=0x7e | 0x80..) => at += 1,
            _ => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_ends_at_the_first_control_byte(
            bytes in prop::collection::vec(prop_oneof![4 => 0x20..0x7fu8, 1 => any::<u8>()], 0..60), from in 0..60usize,
        ) {
            let from = from.min(bytes.len());
            let is_control = |byte: &u8| *byte != b'\t' && (*byte < 0x20 || *byte == 0x7f);
            prop_assert_eq!(text_end(&bytes, from), bytes[from..].iter().position(is_control).map_or(bytes.len(), |at| from + at));
        }
    }
}
