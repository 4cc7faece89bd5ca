//! The decoder against a reader that has all bytes at once, however they are cut. `PROPTEST_CASES` makes the run longer.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::http1::writer;
use crate::spoil::spoil;

#[derive(Debug, PartialEq)]
enum End {
    /// Bytes behind the message, and the names of its trailers.
    Done(usize, Vec<Vec<u8>>),
    Incomplete,
    Refused,
}

/// Content and end of a chunked body, read line by line from all of it.
fn reference(mut rest: &[u8]) -> (Vec<u8>, End) {
    let mut content = Vec::new();
    let is_text = |text: &[u8]| text.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
    loop {
        let (line, is_whole) = line(rest);
        let digits = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
        let ends_in_digits = digits == line.len() && !is_whole && !rest.ends_with(b"\r");
        if digits > 16 || (digits == 0 && !ends_in_digits) || !line[..digits].iter().all(u8::is_ascii_hexdigit) {
            return (content, End::Refused);
        }
        if !is_text(&line[digits..]) || line.len() > LINE_BYTES_MAX {
            return (content, End::Refused);
        }
        if !is_whole {
            return (content, End::Incomplete);
        }
        rest = &rest[line.len() + 2..];
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).unwrap(), 16).unwrap();
        if size == 0 {
            return (content, trailers_of(rest));
        }
        let data = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        content.extend_from_slice(&rest[..data]);
        rest = &rest[data..];
        match rest {
            [b'\r', b'\n', ..] => rest = &rest[2..],
            [] | [b'\r'] => return (content, End::Incomplete),
            _ => return (content, End::Refused),
        }
    }
}

/// Up to CRLF; a last CR may be half of one.
fn line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.windows(2).position(|two| two == b"\r\n") {
        Some(at) => (&bytes[..at], true),
        None => (bytes.strip_suffix(b"\r").unwrap_or(bytes), false),
    }
}

fn trailers_of(mut rest: &[u8]) -> End {
    if matches!(rest, [b'\r', second, ..] if *second != b'\n') {
        return End::Refused;
    }
    let mut names = Vec::new();
    let mut is_good = true;
    loop {
        let (line, is_whole) = line(rest);
        if line.contains(&b'\n') {
            return End::Refused;
        }
        if !is_whole {
            return End::Incomplete;
        }
        rest = &rest[line.len() + 2..];
        if line.is_empty() {
            return if is_good { End::Done(rest.len(), names) } else { End::Refused };
        }
        let text = String::from_utf8_lossy(line);
        let name = text.split(':').next().unwrap();
        let is_token = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        is_good &= is_token && line.contains(&b':') && !line.iter().any(|byte| *byte != b'\t' && (*byte < 0x20 || *byte == 0x7f));
        if !name.eq_ignore_ascii_case("host") {
            names.push(name.as_bytes().to_vec());
        }
    }
}

/// Runs the decoder over the pieces, as a connection with a small buffer would.
fn decoded(bytes: &[u8], cuts: &[Index]) -> (Vec<u8>, End) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut content = Vec::new();
    let mut at = 0;
    for end in ends {
        loop {
            match decoder.step(&bytes[at..end]) {
                Err(_) => return (content, End::Refused),
                Ok(Step::Done { skip }) => {
                    assert!(decoder.is_done());
                    let trailers = decoder.take_trailers();
                    let names = trailers.iter().flat_map(|fields| fields.iter()).map(|(_, name, _)| name.to_vec()).collect();
                    return (content, End::Done(bytes.len() - at - skip, names));
                }
                Ok(Step::Data { skip, data }) => {
                    assert!(data > 0);
                    content.extend_from_slice(&bytes[at + skip..at + skip + data]);
                    at += skip + data;
                }
                Ok(Step::More { skip }) => {
                    at += skip;
                    assert_eq!(at, end);
                    break;
                }
            }
        }
    }
    (content, End::Incomplete)
}

fn chunked_bytes() -> impl Strategy<Value = Vec<u8>> {
    let chunk =
        (vec(any::<u8>(), 1..20), prop_oneof![6 => Just(""), 1 => select(vec![";x", ";a=\"b;c\"", " ", ";\0", ";;"])], any::<bool>());
    let trailer = select(vec!["x-sum: 1\r\n", "x-two:2\r\n", "Host: a\r\n", "bad\r\n", "x : 1\r\n", " fold\r\n", "x: \u{1}\r\n"]);
    let edit = (any::<Index>(), select(b"\r\n;0f \0:x".to_vec()), 0..3u8);
    (vec(chunk, 0..6), vec(trailer, 0..3), vec(edit, 0..2)).prop_map(|(chunks, trailers, edits)| {
        let mut bytes = Vec::new();
        for (data, extension, is_padded) in chunks {
            bytes.extend(format!("{}{:x}{extension}\r\n", if is_padded { "000" } else { "" }, data.len()).bytes());
            bytes.extend(data);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        bytes.extend(trailers.concat().bytes());
        bytes.extend(b"\r\nGET");
        spoil(&mut bytes, edits);
        bytes
    })
}

proptest! {
    #[test]
    fn however_they_are_cut_chunks_are_read_as_a_simple_reader_does(
        bytes in chunked_bytes(), cuts in vec(any::<Index>(), 0..12), shown in any::<Index>(),
    ) {
        let expected = reference(&bytes);
        prop_assert_eq!(decoded(&bytes, &cuts), reference(&bytes));
        prop_assert_eq!(decoded(&bytes, &[]), expected);
        let prefix = &bytes[..shown.index(bytes.len() + 1)];
        prop_assert_eq!(decoded(prefix, &cuts), reference(prefix));
    }

    #[test]
    fn what_is_written_is_read_back(pieces in vec(vec(any::<u8>(), 1..40), 0..8), cuts in vec(any::<Index>(), 0..12), with_trailers: bool) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            writer::chunk_head(piece.len(), &mut bytes);
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(writer::CRLF);
        }
        let mut trailers = Fields::default();
        trailers.append(b"x-sum", b"1");
        writer::last_chunk(with_trailers.then_some(&trailers), &mut bytes);
        let names = if with_trailers { vec![b"x-sum".to_vec()] } else { Vec::new() };
        prop_assert_eq!(decoded(&bytes, &cuts), (pieces.concat(), End::Done(0, names)));
    }

    #[test]
    fn no_bytes_are_fatal(bytes in vec(prop_oneof![any::<u8>(), select(b"\r\n;0f:x".to_vec())], 0..100), cuts in vec(any::<Index>(), 0..12)) {
        prop_assert_eq!(decoded(&bytes, &cuts), reference(&bytes));
    }

    #[test]
    fn a_length_is_counted_however_it_is_cut(length in 0..50u64, sizes in vec(0..20usize, 0..12)) {
        let mut decoder = Decoder::new(Framing::Length(length));
        let mut left = length;
        for size in sizes {
            match decoder.step(&vec![b'x'; size]).unwrap() {
                Step::Data { skip, data } => {
                    prop_assert_eq!((skip, data as u64), (0, left.min(size as u64)));
                    left -= data as u64;
                }
                Step::More { skip } => prop_assert_eq!((skip, size), (0, 0)),
                Step::Done { skip } => prop_assert_eq!((skip, left), (0, 0)),
            }
            prop_assert_eq!(decoder.remaining(), Length::Exact(left));
            prop_assert_eq!(decoder.eof().is_ok(), left == 0);
        }
    }
}
