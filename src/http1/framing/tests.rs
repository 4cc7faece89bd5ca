use super::*;

/// What a body comes to: content, trailers, bytes behind the end.
fn read(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<(Vec<u8>, usize), Malformed> {
    let mut content = Vec::new();
    loop {
        match decoder.step(bytes)? {
            Step::Data { skip, data } => {
                content.extend_from_slice(&bytes[skip..skip + data]);
                bytes = &bytes[skip + data..];
            }
            Step::More { skip } => {
                assert_eq!(skip, bytes.len());
                return Ok((content, 0));
            }
            Step::Done { skip } => return Ok((content, bytes.len() - skip)),
        }
    }
}

fn chunked(bytes: &[u8]) -> Result<(Decoder, Vec<u8>, usize), Malformed> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (content, left) = read(&mut decoder, bytes)?;
    Ok((decoder, content, left))
}

#[test]
fn a_known_length_is_counted_down() {
    let mut decoder = Decoder::new(Framing::Length(5));
    assert_eq!(decoder.remaining(), Length::Exact(5));
    assert_eq!(decoder.step(b""), Ok(Step::More { skip: 0 }));
    assert_eq!(decoder.step(b"abc"), Ok(Step::Data { skip: 0, data: 3 }));
    assert_eq!((decoder.remaining(), decoder.eof(), decoder.is_done()), (Length::Exact(2), Err(Truncated), false));
    assert_eq!(decoder.step(b"deGET"), Ok(Step::Data { skip: 0, data: 2 }));
    assert_eq!((decoder.remaining(), decoder.eof(), decoder.is_done()), (Length::Exact(0), Ok(()), true));
    assert_eq!(decoder.step(b"GET"), Ok(Step::Done { skip: 0 }));
    for framing in [Framing::Empty, Framing::Length(0)] {
        assert_eq!(Decoder::new(framing).step(b"GET"), Ok(Step::Done { skip: 0 }), "{framing:?}");
    }
}

#[test]
fn content_may_end_with_the_connection() {
    let mut decoder = Decoder::new(Framing::UntilClose);
    assert_eq!(decoder.step(b"abc"), Ok(Step::Data { skip: 0, data: 3 }));
    assert_eq!(decoder.step(b""), Ok(Step::More { skip: 0 }));
    assert_eq!((decoder.remaining(), decoder.is_done()), (Length::Unknown, false));
    assert_eq!((decoder.eof(), decoder.is_done()), (Ok(()), true));
}

#[test]
fn chunks() {
    for (bytes, content, left) in [
        (&b"0\r\n\r\n"[..], &b""[..], 0),
        (b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 3),
        (b"5\r\nhello\r\n6\r\n world\r\n00\r\n\r\n", b"hello world", 0),
        (b"00000000000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", 0),
        (b"A;x\r\n0123456789\r\n0;last\r\n\r\n", b"0123456789", 0),
        (b"1;a=\"b;\";c\t=d\r\nx\r\n0\r\n\r\n", b"x", 0),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", 0),
    ] {
        let (decoder, found, behind) = chunked(bytes).unwrap();
        assert_eq!((found.as_slice(), behind, decoder.is_done()), (content, left, true), "{bytes:?}");
    }
}

#[test]
fn chunks_that_are_refused() {
    use Malformed::{Chunk, ChunkSize, Trailers};
    for (bytes, what) in [
        (&b"\r\n"[..], ChunkSize),
        (b";x\r\n", ChunkSize),
        (b" 5\r\n", ChunkSize),
        (b"+5\r\n", ChunkSize),
        (b"-5\r\n", ChunkSize),
        (b"0x5\r\n", ChunkSize),
        (b"5 \r\n", ChunkSize),
        (b"5 ;x\r\n", ChunkSize),
        (b"5\t\r\n", ChunkSize),
        (b"5\n", ChunkSize),
        (b"g\r\n", ChunkSize),
        (b"5_0\r\n", ChunkSize),
        (b"00000000000000005\r\n", ChunkSize),
        (b"10000000000000000\r\n", ChunkSize),
        (b"5\rx", Chunk),
        (b"5;x\n", Chunk),
        (b"5;x\rx", Chunk),
        (b"5;\0\r\n", Chunk),
        (b"5;\x7f\r\n", Chunk),
        (b"5\r\nhelloX", Chunk),
        (b"5\r\nhello\n", Chunk),
        (b"5\r\nhello\rX", Chunk),
        (b"5\r\nhello0\r\n\r\n", Chunk),
        (b"0\r\nX\r\n\r\n", Trailers),
        (b"0\r\nX: 1\n\r\n", Trailers),
        (b"0\r\n\n", Trailers),
        (b"0\r\nX : 1\r\n\r\n", Trailers),
        (b"0\r\nX: 1\r\n 2\r\n\r\n", Trailers),
        (b"0\r\nX: \0\r\n\r\n", Trailers),
        (b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Trailers),
    ] {
        assert_eq!(chunked(bytes).map(|_| ()), Err(what), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_largest_chunk_does_not_overflow() {
    let (decoder, content, _) = chunked(b"ffffffffffffffff\r\nabc").unwrap();
    assert_eq!((content.as_slice(), decoder.is_done(), decoder.remaining()), (&b"abc"[..], false, Length::Unknown));
}

#[test]
fn an_end_in_the_middle_is_a_cut() {
    let whole = b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n";
    for end in 0..whole.len() {
        let (mut decoder, _, _) = chunked(&whole[..end]).unwrap();
        assert_eq!(decoder.eof(), Err(Truncated), "at {end}");
    }
    assert_eq!(chunked(whole).unwrap().0.eof(), Ok(()));
}

#[test]
fn extensions_have_a_bound() {
    let line = |length: usize| format!("1;{}\r\nx\r\n", "e".repeat(length - 2));
    assert!(chunked(line(LINE_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(chunked(line(LINE_BYTES_MAX + 1).as_bytes()).map(|_| ()), Err(Malformed::Chunk));
    let many = line(130).repeat(EXTENSIONS_BYTES_MAX / 128);
    assert!(chunked(many.as_bytes()).is_ok());
    assert_eq!(chunked(format!("{many}1;e\r\n").as_bytes()).map(|_| ()), Err(Malformed::Chunk));
    assert!(chunked("1\r\nx\r\n".repeat(100_000).as_bytes()).is_ok(), "small chunks are no offence");
}

#[test]
fn trailers_have_a_bound() {
    let of_length = |length: usize| format!("0\r\nX: {}\r\n\r\n", "v".repeat(length - 7));
    assert!(chunked(of_length(TRAILERS_BYTES_MAX).as_bytes()).unwrap().0.take_trailers().is_some());
    assert_eq!(chunked(of_length(TRAILERS_BYTES_MAX + 1).as_bytes()).map(|_| ()), Err(Malformed::Trailers));
    let of_count = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(chunked(of_count(TRAILERS_MAX).as_bytes()).is_ok());
    assert_eq!(chunked(of_count(TRAILERS_MAX + 1).as_bytes()).map(|_| ()), Err(Malformed::Trailers));
}

#[test]
fn trailers_that_would_change_the_message_are_dropped() {
    let mut kept = Vec::new();
    let names = [
        "Grpc-Status",
        "Content-Digest",
        "ETag",
        "Server-Timing",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Trailer",
        "Connection",
        "Te",
        "Upgrade",
        "Authorization",
        "Set-Cookie",
        "Cookie",
        "Cache-Control",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "X-Forwarded-For",
        "Location",
        "If-Match",
        "Range",
        "WWW-Authenticate",
        "Expires",
        "Vary",
        "Expect",
        "Proxy-Authorization",
        "Keep-Alive",
    ];
    for name in names {
        let (mut decoder, _, _) = chunked(format!("0\r\n{name}: 1\r\n\r\n").as_bytes()).unwrap();
        if let Some(trailers) = decoder.take_trailers() {
            assert_eq!(trailers.iter().map(|(_, name, value)| (name, value)).collect::<Vec<_>>(), [(name.as_bytes(), &b"1"[..])]);
            kept.push(name);
        }
    }
    assert_eq!(kept, ["Grpc-Status", "Content-Digest", "ETag", "Server-Timing"]);
}
