//! RFC 9113 section by section, where `http2` has not looked: the states of streams, settings that change while streams are open, the
//! windows, the compression's state over requests that are refused.
//!
//! Where a mistake may be an error of the stream or of the connection, and where the document has a code of its own for it, what is
//! expected here is what `h2` makes of it; the comment says where that is not what the document says. Nothing of it gets through.

use crate::support::frames::*;
use crate::support::{Backend, Counting, Frame, Frames, Proxy, Site, hpack};

const PRIORITY_FLAG: u8 = 0x20;

fn quick() -> (Counting, Proxy) {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    (backend, proxy)
}

fn by_hand() -> (Backend, Proxy, Frames) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let client = Frames::connect(proxy.web);
    (backend, proxy, client)
}

/// The fields of a GET, compressed.
fn get() -> Vec<u8> {
    block(&request("GET", "/"))
}

fn headers(flags: u8, stream: u32, block: impl Into<Vec<u8>>) -> Vec<u8> {
    Frame::new(HEADERS, flags, stream, block).bytes()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// What was refused, and with which code.
#[derive(Debug, PartialEq)]
enum Refused {
    Stream(u32),
    Connection(u32),
}

/// The next word that refuses something.
#[track_caller]
fn refused(client: &mut Frames) -> Refused {
    let frame = client.wait("a refusal", |frame| matches!(frame.kind, RST_STREAM | GOAWAY));
    let at = if frame.kind == RST_STREAM { 0 } else { 4 };
    let code = u32::from_be_bytes(frame.payload[at..at + 4].try_into().expect("four bytes"));
    if frame.kind == RST_STREAM { Refused::Stream(code) } else { Refused::Connection(code) }
}

// ---- section 3: starting

#[test]
fn settings_are_the_first_that_we_say_and_those_of_the_client_are_acknowledged() {
    let (_backend, proxy) = quick();
    let mut client = Frames::bare(proxy.web);
    client.begin();
    let first = client.wait("the first frame", |_| true);
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0));
    client.wait("the acknowledgement", |frame| frame.kind == SETTINGS && frame.has(ACK));
    for more in [setting(3, 100), setting(1, 0)] {
        client.send(Frame::new(SETTINGS, 0, 0, more));
        client.wait("each has its own", |frame| frame.kind == SETTINGS && frame.has(ACK));
    }
}

// ---- sections 4 to 6: what is refused

/// The document has COMPRESSION_ERROR for 4.3, and FRAME_SIZE_ERROR for lengths: `h2` says PROTOCOL_ERROR.
#[test]
fn what_breaks_a_connection() {
    let (_backend, proxy) = quick();
    let open = headers(END_HEADERS, 1, get());
    let whole = headers(WHOLE, 1, get());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("4.3 a table larger than was allowed", headers(WHOLE, 1, [&[0x3f, 0xe2, 0x1f][..], &get()].concat())),
        ("4.3 a field that stops in the middle", headers(WHOLE, 1, [&get()[..], &[0x00, 0x05, b'x']].concat())),
        ("4.3 index 0", headers(WHOLE, 1, [0x80])),
        ("4.3 a number without end", headers(WHOLE, 1, [0xff; 12])),
        ("4.3 another size behind a field", headers(WHOLE, 1, [&get()[..], &[0x20]].concat())),
        ("5.1 HEADERS on a stream that was passed over", [headers(WHOLE, 5, get()), headers(WHOLE, 1, get())].concat()),
        ("5.5 an unknown frame within a block", [headers(END_STREAM, 1, get()), Frame::new(0xee, 0, 1, []).bytes()].concat()),
        ("6.1 padding as long as the frame", [open.clone(), Frame::new(DATA, PADDED, 1, [1]).bytes()].concat()),
        ("6.1 padding without a length", [open.clone(), Frame::new(DATA, PADDED, 1, []).bytes()].concat()),
        ("6.2 padding beyond the block", headers(WHOLE | PADDED, 1, [0xff, 0x82])),
        ("6.2 a priority without its bytes", headers(WHOLE | PRIORITY_FLAG, 1, [0, 0])),
        ("6.3 PRIORITY on no stream", Frame::new(PRIORITY, 0, 0, [0, 0, 0, 0, 1]).bytes()),
        ("6.3 PRIORITY of four bytes", Frame::new(PRIORITY, 0, 1, [0; 4]).bytes()),
        ("6.4 RST_STREAM of five bytes", [open.clone(), Frame::new(RST_STREAM, 0, 1, [0; 5]).bytes()].concat()),
        ("6.5.2 frames above the largest", Frame::new(SETTINGS, 0, 0, setting(5, 1 << 24)).bytes()),
        ("6.7 PING of nine bytes", Frame::new(PING, 0, 0, [0; 9]).bytes()),
        ("6.8 GOAWAY of seven bytes", Frame::new(GOAWAY, 0, 0, [0; 7]).bytes()),
        ("6.9 WINDOW_UPDATE of five bytes", Frame::new(WINDOW_UPDATE, 0, 0, [0; 5]).bytes()),
        ("6.10 CONTINUATION behind a whole block", [whole.clone(), Frame::new(CONTINUATION, END_HEADERS, 1, []).bytes()].concat()),
        ("6.10 CONTINUATION on no stream", Frame::new(CONTINUATION, END_HEADERS, 0, []).bytes()),
    ];
    for (what, bytes) in cases {
        let mut client = Frames::connect(proxy.web);
        client.write(&bytes);
        assert_eq!(client.goaway().1, PROTOCOL_ERROR, "{what}");
        client.assert_ends();
    }
}

#[test]
fn what_breaks_a_stream_or_its_connection() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let post = block(&request("POST", "/"));
    let open = headers(END_HEADERS, 1, post);
    let trailers = |fields: &[(&str, &[u8])]| headers(WHOLE, 1, hpack::encode(fields));
    let cases: Vec<(&str, Vec<u8>, Refused)> = vec![
        // An error of the stream, STREAM_CLOSED, by the document.
        ("5.1 HEADERS behind the end", [headers(WHOLE, 1, get()), headers(WHOLE, 1, get())].concat(), Refused::Connection(PROTOCOL_ERROR)),
        // RFC 9113 has no priorities any more; `h2` has kept RFC 7540's rule.
        ("5.3.1 a stream before itself", Frame::new(PRIORITY, 0, 1, [0, 0, 0, 1, 1]).bytes(), Refused::Stream(PROTOCOL_ERROR)),
        // An error of the stream, by the document.
        (
            "6.9 no more room for a stream",
            [open.clone(), Frame::new(WINDOW_UPDATE, 0, 1, [0; 4]).bytes()].concat(),
            Refused::Connection(PROTOCOL_ERROR),
        ),
        (
            "6.9.1 the window of a stream overflows",
            [open.clone(), Frame::new(WINDOW_UPDATE, 0, 1, 0x7fff_ffff_u32.to_be_bytes()).bytes()].concat(),
            Refused::Stream(FLOW_CONTROL_ERROR),
        ),
        (
            "6.9.2 a setting makes it overflow",
            [
                open.clone(),
                Frame::new(WINDOW_UPDATE, 0, 1, 0x7fff_0000_u32.to_be_bytes()).bytes(),
                Frame::new(SETTINGS, 0, 0, setting(4, 0x7fff_ffff)).bytes(),
            ]
            .concat(),
            Refused::Connection(FLOW_CONTROL_ERROR),
        ),
        (
            "8.1 trailers that are not the end",
            [open.clone(), headers(END_HEADERS, 1, hpack::encode(&[("x", b"1")]))].concat(),
            Refused::Stream(PROTOCOL_ERROR),
        ),
        ("8.2.1 upper case in trailers", [open.clone(), trailers(&[("X", b"1")])].concat(), Refused::Connection(PROTOCOL_ERROR)),
        ("8.2.2 connection in trailers", [open.clone(), trailers(&[("connection", b"close")])].concat(), Refused::Stream(PROTOCOL_ERROR)),
    ];
    let mut others = Vec::new();
    for (what, bytes, expected) in cases {
        let mut client = Frames::connect(proxy.web);
        client.write(&bytes);
        let said = refused(&mut client);
        if said != expected {
            others.push((what, said));
        }
    }
    assert!(others.is_empty(), "other than expected: {others:?}");
}

/// Section 6.9: what is sent beyond the windows that we gave. 128 KiB for a stream, in frames of 16 KiB, and nobody reads them.
#[test]
fn content_beyond_the_window_is_refused() {
    let (backend, _proxy, mut client) = by_hand();
    let first = client.round().iter().filter(|frame| frame.kind == WINDOW_UPDATE).count();
    assert!(first <= 1, "room for all streams together is given once");
    client.head(1, &request("POST", "/"), false);
    let _held = backend.accept();
    let piece = Frame::new(DATA, 0, 1, [b'x'; 16 << 10]).bytes();
    // What the backend's socket takes is given anew; nobody takes this much.
    for _ in 0..(24 << 20) / piece.len() {
        if client.try_write(&piece).is_err() {
            break;
        }
    }
    assert!(matches!(refused(&mut client), Refused::Stream(FLOW_CONTROL_ERROR) | Refused::Connection(FLOW_CONTROL_ERROR)));
}

// ---- sections 4 to 6: what is accepted

#[test]
fn what_a_request_may_look_like() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("4.1 flags that mean nothing", headers(WHOLE | 0xd2, 1, get())),
        ("4.1 the reserved bit of a stream's number", headers(WHOLE, 1 | 1 << 31, get())),
        ("4.3 a table of no size", headers(WHOLE, 1, [&[0x20][..], &get()].concat())),
        ("5.3 a priority", headers(WHOLE | PRIORITY_FLAG, 1, [&[0, 0, 0, 9, 255][..], &get()].concat())),
        (
            "5.3 an exclusive one, and padding",
            headers(WHOLE | PRIORITY_FLAG | PADDED, 1, [&[2, 0x80, 0, 0, 3, 7][..], &get(), &[0, 0]].concat()),
        ),
        ("6.2 a block in pieces", {
            let block = get();
            let (first, rest) = block.split_at(9);
            let (second, third) = rest.split_at(1);
            let more = |flags, piece: &[u8]| Frame::new(CONTINUATION, flags, 1, piece).bytes();
            [headers(END_STREAM, 1, first), more(0, second), more(0, &[]), more(END_HEADERS, third)].concat()
        }),
        ("6.1 an end that is empty", [headers(END_HEADERS, 1, get()), Frame::new(DATA, END_STREAM, 1, []).bytes()].concat()),
        (
            "6.1 an end that is all padding",
            [headers(END_HEADERS, 1, get()), Frame::new(DATA, END_STREAM | PADDED, 1, [3, 0, 0, 0]).bytes()].concat(),
        ),
        ("8.1 trailers behind nothing", [headers(END_HEADERS, 1, get()), headers(WHOLE, 1, hpack::encode(&[("x", b"1")]))].concat()),
        ("8.2.2 te: trailers", headers(WHOLE, 1, [get(), hpack::encode(&[("te", b"trailers")])].concat())),
        (
            "8.3.1 the other scheme",
            headers(WHOLE, 1, hpack::encode(&[(":method", b"GET"), (":scheme", b"https"), (":path", b"/"), (":authority", b"a.example")])),
        ),
        (
            "8.3.1 a host in place of an authority",
            headers(WHOLE, 1, hpack::encode(&[(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), ("host", b"a.example")])),
        ),
        (
            "8.3.1 in another order",
            headers(WHOLE, 1, hpack::encode(&[(":authority", b"a.example"), (":path", b"/"), (":scheme", b"http"), (":method", b"GET")])),
        ),
        ("6.5 all settings that there are, and more", {
            let all: Vec<u8> =
                [(1, 0), (2, 0), (2, 1), (3, 0), (4, 70_000), (5, 1 << 14), (5, (1 << 24) - 1), (6, 1 << 14), (8, 1), (9, 1), (0x1a2a, 7)]
                    .iter()
                    .flat_map(|(name, value)| setting(*name, *value))
                    .collect();
            [Frame::new(SETTINGS, 0, 0, all).bytes(), headers(WHOLE, 1, get())].concat()
        }),
    ];
    for (what, bytes) in cases {
        let mut client = Frames::connect(proxy.web);
        client.write(&bytes);
        client.round();
        let refused = client.round().iter().find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY)).cloned();
        assert_eq!(refused, None, "{what}");
        let mut upstream = backend.accept();
        assert!(upstream.request().body.is_empty(), "{what}");
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(client.message(1).status(), 200, "{what}");
    }
}

/// Section 8.1: no pseudo fields in trailers. By the document such a request is malformed; `h2` takes them out without a word.
#[test]
fn pseudo_fields_in_trailers_go_no_further() {
    let (backend, _proxy, mut client) = by_hand();
    for (stream, fields) in [(1, [(":path", "/other"), ("x-sum", "1")]), (3, [(":status", "200"), ("x-sum", "1")])] {
        client.head(stream, &request("POST", "/"), false);
        client.data(stream, "content", false);
        client.head(stream, &fields, true);
        let mut upstream = backend.accept();
        let request = upstream.request();
        assert_eq!(request.body, b"content");
        assert!(request.trailers.iter().all(|(name, _)| name == "x-sum"), "{:?}", request.trailers);
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(client.message(stream).status(), 200);
    }
}

/// A head in crumbs costs more than it says: CVE-2024-27316 and its like.
#[test]
fn a_head_in_crumbs_is_too_many() {
    let (_backend, proxy) = quick();
    let mut client = Frames::connect(proxy.web);
    let block = get();
    let mut frames = headers(END_STREAM, 1, &block[..1]);
    block[1..].iter().for_each(|byte| frames.extend(Frame::new(CONTINUATION, 0, 1, [*byte]).bytes()));
    // It may have been told before it has said all.
    let _ = client.try_write(frames);
    assert_eq!(client.goaway().1, ENHANCE_YOUR_CALM);
    client.assert_ends();
}

/// Section 4.2: neither side goes beyond 16 KiB unless it was allowed.
#[test]
fn frames_may_be_as_large_as_they_may_and_no_larger() {
    const LARGEST: usize = 16 << 10;
    const LEN: usize = 60_000;
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &request("POST", "/"), false);
    client.data(1, vec![b'x'; LARGEST], true);
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().body.len(), LARGEST);
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "x".repeat(LEN)));
    let mut read = 0;
    while read < LEN {
        let frame = client.wait("content", |frame| frame.kind == DATA || frame.kind == GOAWAY);
        assert!(frame.kind == DATA && frame.payload.len() <= LARGEST, "{} bytes", frame.payload.len());
        read += frame.payload.len();
    }
}

/// Section 5.1: frames that were on their way when a stream ended.
#[test]
fn what_comes_late_for_a_stream_is_borne_with() {
    let (backend, _proxy, mut client) = by_hand();
    let answer = |backend: &Backend| {
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    client.get(1, "/");
    answer(&backend);
    assert_eq!(client.message(1).status(), 200);
    for (what, late) in [
        ("WINDOW_UPDATE", Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 9])),
        ("RST_STREAM", Frame::new(RST_STREAM, 0, 1, CANCEL.to_be_bytes())),
        ("PRIORITY", Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 1])),
    ] {
        client.send(late);
        assert!(client.round().iter().all(|frame| frame.kind != GOAWAY), "{what}");
    }
    // And for one that the client itself has reset, with a code that nobody knows.
    client.head(3, &request("POST", "/"), false);
    let mut upstream = backend.accept();
    upstream.head();
    client.reset(3, 0xdead_beef);
    drop(upstream);
    client.get(5, "/");
    answer(&backend);
    assert_eq!(client.message(5).status(), 200);
}

/// Section 4.3: the compression's state is the connection's. A request that is refused has changed it all the same.
#[test]
fn a_refused_request_leaves_what_it_put_into_the_table() {
    let (backend, _proxy, mut client) = by_hand();
    // A literal that is to be remembered: `x-kept: yes`.
    let kept = [&[0x40, 6][..], b"x-kept", &[3], b"yes"].concat();
    let malformed = [get(), kept, hpack::encode(&[("connection", b"close")])].concat();
    client.write(headers(WHOLE, 1, malformed));
    assert_eq!(client.reset_code(1), PROTOCOL_ERROR);
    // The first that was remembered is number 62.
    client.write(headers(WHOLE, 3, [get(), vec![0x80 | 62]].concat()));
    assert_eq!(backend.accept().request().head.get("x-kept"), Some("yes"));
}

/// Section 6.9.2: another initial window is another window for streams that are open, below nothing too.
#[test]
fn a_window_may_shrink_below_nothing_and_grow_again() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)));
    let mut read = 0;
    while read < 65_535 {
        read += client.wait("content", |frame| frame.kind == DATA).payload.len();
    }
    assert_eq!(read, 65_535, "the windows that every connection begins with");
    // The stream is at -65,535, the connection has room.
    client.send(Frame::new(SETTINGS, 0, 0, setting(4, 0)));
    client.window(0, 1 << 20);
    client.window(1, 65_535);
    assert!(client.round().iter().all(|frame| frame.kind != DATA), "at nothing");
    client.window(1, 10);
    assert_eq!(client.wait("content", |frame| frame.kind == DATA).payload.len(), 10);
    client.send(Frame::new(SETTINGS, 0, 0, setting(4, 1 << 20)));
    read += 10;
    while read < 100_000 {
        read += client.wait("content", |frame| frame.kind == DATA).payload.len();
    }
    assert_eq!(read, 100_000);
}

/// Section 6.8: a client that leaves still wants what it asked for.
#[test]
fn a_client_that_says_goodbye_gets_its_answers() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/");
    let mut upstream = backend.accept();
    upstream.head();
    client.send(Frame::new(GOAWAY, 0, 0, [0; 8]));
    client.round();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let heard = client.message(1);
    assert_eq!((heard.status(), &heard.body[..]), (200, &b"ok"[..]));
}

/// Section 5.4.1: the last stream that a GOAWAY names is one that was worked on.
#[test]
fn an_error_names_the_last_stream_that_was_served() {
    let (_backend, proxy) = quick();
    let mut client = Frames::connect(proxy.web);
    client.get(7, "/");
    assert_eq!(client.message(7).status(), 200);
    client.send(Frame::new(PING, 0, 1, [0; 8]));
    assert_eq!(client.goaway(), (7, PROTOCOL_ERROR));
    client.assert_ends();
}

/// Section 5.1.1: numbers need not follow one another, and the last one can be used.
#[test]
fn stream_numbers_may_leap() {
    let (_backend, proxy) = quick();
    let mut client = Frames::connect(proxy.web);
    for stream in [1, 99, 0x7fff_ffff] {
        client.get(stream, "/");
        assert_eq!(client.message(stream).status(), 200, "{stream}");
    }
}

/// Section 6.7: pings are answered while streams run and content waits for room.
#[test]
fn a_ping_overtakes_content_that_waits() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)));
    client.wait("content", |frame| frame.kind == DATA);
    client.round();
}
