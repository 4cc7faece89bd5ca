//! Field lines that this thread has read lately, and what they were found to say.
//!
//! Most lines of most heads were there a moment ago: those by which a pool's backends, a client and the browsers of one make say who they
//! are. To compare a line with one that was read takes a third of the instructions of reading it: no look at each byte, no search for
//! colon and blanks, no recognition of the name. What a line says depends on nothing but its bytes, CRLF included, so that a line
//! remembered is as good as a line read. (HPACK's dynamic table, RFC 7541 2.3.2, without a word from the other end.)
//!
//! Lines with secrets are not kept: they are as good as never the same for two clients, and nothing should outlive its connection.

use std::cell::RefCell;

use crate::message::fields::{Name, Names};

/// One field line; places count from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub name: Name,
    /// Name, colon, one blank, value, CRLF, and no other blank.
    pub plain: bool,
    pub colon: u32,
    /// The value, without the blanks around it.
    pub from: u32,
    pub end: u32,
    /// With its CRLF.
    pub len: u32,
}

/// What is compared before a line is: enough to tell `content-type` from `content-length`, and no longer than `accept: */*`.
const PREFIX: usize = 12;
/// The longest that is kept: a browser's `User-Agent`, most of the time.
const LINE_BYTES_MAX: usize = 128 - size_of::<Line>();
/// Some five times what a busy pool says, so that few lines share a slot. 32 KiB a thread, of which little is ever touched.
const SLOTS: usize = 256;

const SECRET: Names = Names::of(&[Name::Authorization, Name::ProxyAuthorization, Name::Cookie, Name::SetCookie]);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    line: Line,
    text: [u8; LINE_BYTES_MAX],
}

#[derive(Default)]
pub struct Lately(Vec<Entry>);

thread_local! {
    static LATELY: RefCell<Lately> = const { RefCell::new(Lately(Vec::new())) };
}

/// The thread's memory, for as long as one head is read.
pub fn with<R>(read: impl FnOnce(&mut Lately) -> R) -> R {
    LATELY.with_borrow_mut(read)
}

/// By the line's first bytes; `None`: there are too few.
fn slot(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    let (first, last) = (prefix.first_chunk::<8>()?, prefix.last_chunk::<8>()?);
    let mixed = u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29);
    Some((mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize)
}

impl Lately {
    /// What these bytes begin with, where that is a line that was kept.
    #[inline]
    pub fn recall(&self, bytes: &[u8]) -> Option<Line> {
        let entry = self.0.get(slot(bytes)?)?;
        let len = entry.line.len as usize;
        (bytes.get(..len)? == entry.text.get(..len)?).then_some(entry.line)
    }

    /// Keeps a line that was read, in place of another.
    pub fn keep(&mut self, text: &[u8], line: Line) {
        let Some(slot) = slot(text) else { return };
        if text.len() > LINE_BYTES_MAX || SECRET.contains(line.name) {
            return;
        }
        if self.0.is_empty() {
            const NOTHING: Line = Line { name: Name::Other, plain: false, colon: 0, from: 0, end: 0, len: u32::MAX };
            self.0 = vec![Entry { line: NOTHING, text: [0; LINE_BYTES_MAX] }; SLOTS];
        }
        if let Some(entry) = self.0.get_mut(slot) {
            entry.line = line;
            entry.text[..text.len()].copy_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::http1::scan::Scan;
    use crate::message::Fields;

    fn line(name: Name, len: usize) -> Line {
        Line { name, plain: true, colon: 1, from: 3, end: 4, len: len as u32 }
    }

    #[test]
    fn a_line_is_known_by_all_of_its_bytes() {
        let mut lately = Lately::default();
        assert_eq!(lately.recall(b"content-type: a\r\n"), None);
        let (first, second) = (line(Name::ContentType, 17), line(Name::ContentLength, 19));
        lately.keep(b"content-type: a\r\n", first);
        lately.keep(b"content-length: 5\r\n", second);
        assert_eq!(lately.recall(b"content-type: a\r\nhost: b\r\n"), Some(first));
        assert_eq!(lately.recall(b"content-length: 5\r\n"), Some(second));
        for other in
            ["content-type: a\r", "content-type: a\n\n", "content-type: b\r\n", "Content-type: a\r\n", "content-length: 55\r\n", "content"]
        {
            assert_eq!(lately.recall(other.as_bytes()), None, "{other:?}");
        }
        let longer = line(Name::ContentType, 18);
        lately.keep(b"content-type: ab\r\n", longer);
        assert_eq!(lately.recall(b"content-type: ab\r\n"), Some(longer));
        assert_eq!(lately.recall(b"content-type: a\r\n"), None, "it has taken the other's place");
    }

    #[test]
    fn secrets_and_long_lines_are_not_kept() {
        let mut lately = Lately::default();
        let long = format!("user-agent: {}\r\n", "x".repeat(LINE_BYTES_MAX));
        for (name, text) in [
            (Name::Cookie, "Cookie: session=1\r\n"),
            (Name::SetCookie, "set-cookie: a=b\r\n"),
            (Name::Authorization, "authorization: Basic eDp5\r\n"),
            (Name::ProxyAuthorization, "proxy-authorization: x\r\n"),
            (Name::UserAgent, &long),
            (Name::Te, "te: trailers"[..10].into()),
        ] {
            lately.keep(text.as_bytes(), line(name, text.len()));
            assert_eq!(lately.recall(text.as_bytes()), None, "{text}");
        }
        let longest = &long[long.len() - LINE_BYTES_MAX..];
        lately.keep(longest.as_bytes(), line(Name::UserAgent, longest.len()));
        assert!(lately.recall(longest.as_bytes()).is_some());
    }

    /// All that reading says of some field lines: what they are, and where reading stopped, or why.
    fn read(text: &str) -> (Result<(), String>, usize, Vec<(Name, String, String)>) {
        let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
        let mut fields = Fields::default();
        let mut noted = Vec::new();
        let done = scan.fields(5, &mut fields, |name, value, _| {
            noted.push((name, value.to_vec()));
            Ok(())
        });
        fields.fill(text.as_bytes(), 0);
        let list: Vec<_> = fields
            .iter()
            .map(|(name, said, value)| (name, String::from_utf8_lossy(said).into_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        assert!(noted.iter().zip(&list).all(|((name, value), field)| (name, value.as_slice()) == (&field.0, field.2.as_bytes())));
        let mut written = Vec::new();
        fields.layout().for_each(|(_, layout)| written.push(format!("{layout:?}")));
        (
            done.map_err(|stop| format!("{stop:?}")),
            scan.at,
            list.into_iter().chain(written.into_iter().map(|text| (Name::Other, text, String::new()))).collect(),
        )
    }

    proptest! {
        #[test]
        fn a_line_remembered_says_what_it_says_when_it_is_read(
            texts in vec(
                vec(
                    prop_oneof![
                        8 => ("(host|content-length|Content-Length|accept|x-a-longer-name|x-a-longer-word|cookie)", select(vec![":", ": ", ":  ", " : "]),
                            "(|a|aa|close|17 |, b| x\t|\u{1}|a-value-of-some-length)", select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]))
                            .prop_map(|(name, colon, value, end)| [&name, colon, &value, end].concat()),
                        1 => Just("\r\n".to_owned()),
                    ],
                    0..7,
                ),
                1..12,
            ),
        ) {
            for text in texts.iter().map(|lines| lines.concat()) {
                let warm = read(&text);
                let before = with(std::mem::take);
                let cold = read(&text);
                with(|lately| *lately = before);
                prop_assert_eq!(warm, cold, "{:?}", text);
            }
        }
    }
}
