//! HTTP/2 from clients, frame by frame: what RFC 9113 wants accepted, what it wants refused and with which code, and what becomes of a
//! request on its way to a backend that speaks HTTP/1.1.

use std::time::{Duration, Instant};

use crate::support::frames::*;
use crate::support::proxy::after;
use crate::support::{Backend, Counting, Frame, Frames, Proxy, Site, hpack, until};

fn before(site: &Site) -> (Proxy, Frames) {
    let proxy = site.start();
    let client = Frames::connect(proxy.web);
    (proxy, client)
}

/// A quick backend, a proxy, a client.
fn quick() -> (Counting, Proxy, Frames) {
    let backend = Counting::start("a");
    let (proxy, client) = before(&Site::to([backend.address()]));
    (backend, proxy, client)
}

/// The same with a backend in the test's hands.
fn by_hand() -> (Backend, Proxy, Frames) {
    let backend = Backend::bind();
    let (proxy, client) = before(&Site::to([backend.address()]));
    (backend, proxy, client)
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&request("GET", "/")[..], more].concat()
}

// ---- section 3: starting

#[test]
fn a_request_and_its_answer() {
    let (_backend, proxy, mut client) = quick();
    client.get(1, "/one?two=three");
    let heard = client.message(1);
    assert_eq!((heard.status(), &heard.body[..]), (200, &b"a"[..]));
    assert_eq!(heard.get("content-length"), Some("1"));
    assert_eq!(heard.get("connection"), None);
    assert!(heard.fields.iter().all(|(name, _)| *name == name.to_ascii_lowercase()), "{heard:?}");
    let line = proxy.access("/one?two=three");
    assert_eq!((line["version"].as_str(), line["host"].as_str()), (Some("HTTP/2.0"), Some("a.example")));
}

#[test]
fn a_preface_in_pieces_is_a_preface() {
    let (_backend, proxy, _) = quick();
    for cut in [1, 14, 16, 18, 23] {
        let mut client = Frames::bare(proxy.web);
        client.write(&PREFACE[..cut]);
        after(Duration::from_millis(30));
        client.write(&PREFACE[cut..]);
        client.send(Frame::new(SETTINGS, 0, 0, []));
        client.get(1, "/");
        assert_eq!(client.message(1).status(), 200, "cut after {cut}");
    }
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let (_backend, proxy, _) = quick();
    let mut client = Frames::bare(proxy.web);
    client.write("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    client.assert_ends();
}

#[test]
fn the_preface_has_the_time_of_a_head() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).listen("timeout = { header = \"300ms\" }").start();
    for bytes in [&PREFACE[..18], PREFACE] {
        let (mut client, since) = (Frames::bare(proxy.web), Instant::now());
        client.write(bytes);
        client.assert_ends();
        assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    }
}

#[test]
fn a_listener_may_do_without() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).listen("http2 = false").start();
    let mut client = proxy.connect();
    client.send(PREFACE);
    assert_eq!(client.answer().status(), 505);
}

#[test]
fn it_is_not_spoken_behind_a_request_of_the_older_protocol() {
    let (_backend, proxy, _) = quick();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    client.send(PREFACE);
    assert_eq!(client.answer().status(), 505);
}

// ---- sections 4 to 6: frames

/// Each on a connection of its own: the bytes, and the code of the GOAWAY that they draw. Where the document has a code for the kind of
/// mistake (FRAME_SIZE_ERROR, COMPRESSION_ERROR), `h2` often says PROTOCOL_ERROR; that the connection ends is what counts.
#[test]
fn what_breaks_a_connection() {
    let (_backend, proxy, _) = quick();
    let get = block(&request("GET", "/"));
    let headers = |flags, stream| Frame::new(HEADERS, flags, stream, get.clone()).bytes();
    let open = headers(END_HEADERS, 1);
    let odd = |name: &str| Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [get.clone(), hpack::encode(&[(name, b"1")])].concat()).bytes();
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("4.2 a frame above the largest", [&[0x00, 0x40, 0x01, DATA, 0, 0, 0, 0, 1][..], &[0; 16385]].concat(), FRAME_SIZE_ERROR),
        ("4.3 an index that there is not", Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [0xff, 0x7f]).bytes(), PROTOCOL_ERROR),
        // An error of the stream would do, but `h2` finds these while it decodes.
        ("8.2.1 upper case", odd("X-Upper"), PROTOCOL_ERROR),
        ("8.2.1 a blank in a name", odd("x y"), PROTOCOL_ERROR),
        ("8.2.1 a colon in a name", odd("x:y"), PROTOCOL_ERROR),
        ("8.2.1 a name of nothing", odd(""), PROTOCOL_ERROR),
        ("8.3 an unknown pseudo field", odd(":x"), PROTOCOL_ERROR),
        ("5.1 DATA on an idle stream", Frame::new(DATA, 0, 1, *b"x").bytes(), PROTOCOL_ERROR),
        ("5.1 WINDOW_UPDATE on an idle stream", Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]).bytes(), PROTOCOL_ERROR),
        ("5.1 RST_STREAM on an idle stream", Frame::new(RST_STREAM, 0, 1, [0, 0, 0, 8]).bytes(), PROTOCOL_ERROR),
        ("5.1.1 a stream of the server's", headers(END_HEADERS | END_STREAM, 2), PROTOCOL_ERROR),
        (
            "5.1.1 a stream below another",
            [headers(END_HEADERS | END_STREAM, 5), headers(END_HEADERS | END_STREAM, 3)].concat(),
            PROTOCOL_ERROR,
        ),
        ("6.1 DATA on no stream", Frame::new(DATA, 0, 0, *b"x").bytes(), PROTOCOL_ERROR),
        ("6.1 padding beyond the frame", [open.clone(), Frame::new(DATA, PADDED, 1, [9, 1]).bytes()].concat(), PROTOCOL_ERROR),
        ("6.2 HEADERS on no stream", headers(END_HEADERS, 0), PROTOCOL_ERROR),
        ("6.2 another frame in a block", [headers(0, 1), Frame::new(DATA, 0, 1, *b"x").bytes()].concat(), PROTOCOL_ERROR),
        ("6.2 another stream in a block", [headers(0, 1), Frame::new(CONTINUATION, END_HEADERS, 3, []).bytes()].concat(), PROTOCOL_ERROR),
        ("6.4 RST_STREAM on no stream", Frame::new(RST_STREAM, 0, 0, [0, 0, 0, 8]).bytes(), PROTOCOL_ERROR),
        ("6.4 RST_STREAM of three bytes", [open.clone(), Frame::new(RST_STREAM, 0, 1, [0, 0, 8]).bytes()].concat(), PROTOCOL_ERROR),
        ("6.5 SETTINGS on a stream", Frame::new(SETTINGS, 0, 1, []).bytes(), PROTOCOL_ERROR),
        ("6.5 SETTINGS of five bytes", Frame::new(SETTINGS, 0, 0, [0; 5]).bytes(), PROTOCOL_ERROR),
        ("6.5 an acknowledgement that says more", Frame::new(SETTINGS, ACK, 0, [0; 6]).bytes(), PROTOCOL_ERROR),
        ("6.5.2 push neither on nor off", Frame::new(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]).bytes(), PROTOCOL_ERROR),
        ("6.5.2 a window above the largest", Frame::new(SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]).bytes(), PROTOCOL_ERROR),
        ("6.5.2 frames below the smallest", Frame::new(SETTINGS, 0, 0, [0, 5, 0, 0, 0x3f, 0xff]).bytes(), PROTOCOL_ERROR),
        (
            "6.6 a push from a client",
            [open.clone(), Frame::new(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2]).bytes()].concat(),
            PROTOCOL_ERROR,
        ),
        ("6.7 PING on a stream", Frame::new(PING, 0, 1, [0; 8]).bytes(), PROTOCOL_ERROR),
        ("6.7 PING of seven bytes", Frame::new(PING, 0, 0, [0; 7]).bytes(), PROTOCOL_ERROR),
        ("6.8 GOAWAY on a stream", Frame::new(GOAWAY, 0, 1, [0; 8]).bytes(), PROTOCOL_ERROR),
        ("6.9 no more room at all", Frame::new(WINDOW_UPDATE, 0, 0, [0; 4]).bytes(), PROTOCOL_ERROR),
        ("6.9 WINDOW_UPDATE of three bytes", Frame::new(WINDOW_UPDATE, 0, 0, [0; 3]).bytes(), PROTOCOL_ERROR),
        ("6.9.1 a window that overflows", Frame::new(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]).bytes(), FLOW_CONTROL_ERROR),
        ("6.10 CONTINUATION of nothing", Frame::new(CONTINUATION, END_HEADERS, 1, []).bytes(), PROTOCOL_ERROR),
    ];
    let mut others = Vec::new();
    for (what, bytes, code) in cases {
        let mut client = Frames::connect(proxy.web);
        client.write(&bytes);
        let said = client.goaway().1;
        if said != code {
            others.push((what, said));
        }
        client.assert_ends();
    }
    assert!(others.is_empty(), "other codes than expected: {others:?}");
}

#[test]
fn what_a_connection_bears_with() {
    let (_backend, _proxy, mut client) = quick();
    for (what, frame) in [
        ("4.1 a frame of an unknown kind", Frame::new(0xee, 0xff, 0, *b"whatever")),
        ("4.1 the same on a stream", Frame::new(0xee, 0xff, 77, *b"whatever")),
        ("5.3 PRIORITY on an idle stream", Frame::new(PRIORITY, 0, 9, [0, 0, 0, 0, 15])),
        ("6.5.2 an unknown setting", Frame::new(SETTINGS, 0, 0, [0xff, 0, 0, 0, 0, 1])),
        ("6.7 an answer to no PING", Frame::new(PING, ACK, 0, [7; 8])),
        ("6.8 a client that leaves later", Frame::new(PRIORITY, 0, 11, [0, 0, 0, 1, 15])),
    ] {
        client.send(frame);
        let seen = client.round();
        assert!(seen.iter().all(|frame| frame.kind != GOAWAY), "{what}: {seen:?}");
    }
    client.get(101, "/");
    assert_eq!(client.message(101).status(), 200);
}

#[test]
fn a_ping_comes_back_with_what_it_brought() {
    let (_backend, _proxy, mut client) = quick();
    client.send(Frame::new(PING, 0, 0, *b"12345678"));
    assert_eq!(client.wait("PING", |frame| frame.kind == PING).payload, b"12345678");
}

#[test]
fn a_head_may_come_in_many_frames_and_with_padding() {
    let (_backend, _proxy, mut client) = quick();
    let block = block(&request("GET", "/"));
    let (first, rest) = block.split_at(7);
    client.send(Frame::new(HEADERS, PADDED | END_STREAM, 1, [&[3][..], first, &[0; 3]].concat()));
    client.send(Frame::new(CONTINUATION, 0, 1, []));
    client.send(Frame::new(CONTINUATION, END_HEADERS, 1, rest));
    assert_eq!(client.message(1).status(), 200);
}

#[test]
fn content_with_padding_is_content() {
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &[&request("POST", "/")[..], &[("content-length", "5")]].concat(), false);
    client.send(Frame::new(DATA, PADDED, 1, [&[4][..], b"he", &[0; 4]].concat()));
    client.send(Frame::new(DATA, END_STREAM, 1, *b"llo"));
    assert_eq!(backend.accept().request().body, b"hello");
}

#[test]
fn content_behind_the_end_of_a_stream_ends_the_connection() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/");
    let _held = backend.accept();
    client.data(1, "more", true);
    // RFC 9113 5.1 has STREAM_CLOSED for it; `h2` is no milder.
    assert_eq!(client.goaway().1, PROTOCOL_ERROR);
}

// ---- section 8: messages

#[test]
fn what_is_malformed_is_an_error_of_its_stream_alone() {
    let (backend, proxy, mut client) = quick();
    let pseudo = |leave_out: &str| request("GET", "/").into_iter().filter(|(name, _)| *name != leave_out).collect::<Vec<_>>();
    let replaced = |name: &'static str, value: &'static str| [pseudo(name), vec![(name, value)]].concat();
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("8.2.1 a blank before a value", with(&[("x", " 1")])),
        ("8.2.1 a tab behind a value", with(&[("x", "1\t")])),
        ("8.2.2 connection", with(&[("connection", "close")])),
        ("8.2.2 keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("8.2.2 proxy-connection", with(&[("proxy-connection", "keep-alive")])),
        ("8.2.2 transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("8.2.2 upgrade", with(&[("upgrade", "websocket")])),
        ("8.2.2 te", with(&[("te", "gzip")])),
        ("8.2.2 te and more", with(&[("te", "trailers, deflate")])),
        ("8.3 a pseudo field of answers", with(&[(":status", "200")])),
        ("8.3 one behind a field", [vec![("x", "1")], with(&[])].concat()),
        ("8.3 one twice", with(&[(":path", "/")])),
        ("8.3.1 no method", pseudo(":method")),
        ("8.3.1 no scheme", pseudo(":scheme")),
        ("8.3.1 no path", pseudo(":path")),
        ("8.3.1 an empty path", replaced(":path", "")),
        ("8.3.1 a path without a slash", replaced(":path", "x")),
        ("8.3.1 an asterisk for GET", replaced(":path", "*")),
        ("8.3.1 a path that is a URL", replaced(":path", "http://b/")),
        ("8.3.1 a blank in a path", replaced(":path", "/a b")),
        ("8.3.1 a request in a path", replaced(":path", "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /x")),
        ("8.3.1 an authority with a user", replaced(":authority", "u@a.example")),
        ("8.3.1 an authority that is a list", replaced(":authority", "a.example,b")),
        ("8.3.1 no authority at all", pseudo(":authority")),
        ("8.3.1 another host", with(&[("host", "b.example")])),
        ("8.3.1 two hosts", with(&[("host", "a.example"), ("host", "a.example")])),
        ("8.1.1 a length that is none", with(&[("content-length", "x")])),
        ("8.1.1 two lengths", with(&[("content-length", "0"), ("content-length", "1")])),
        ("8.1.1 one length twice", with(&[("content-length", "0"), ("content-length", "0")])),
        ("8.1.1 a length without content", with(&[("content-length", "5")])),
        ("8.5 a protocol without CONNECT", with(&[(":protocol", "websocket")])),
    ];
    for (at, (what, fields)) in cases.iter().enumerate() {
        let stream = 1 + 2 * at as u32;
        client.head(stream, fields, true);
        let frame = client.wait("a refusal", |frame| frame.stream == stream || frame.kind == GOAWAY);
        assert_eq!((frame.kind, &frame.payload[..]), (RST_STREAM, &PROTOCOL_ERROR.to_be_bytes()[..]), "{what}: {frame:?}");
    }
    assert_eq!(backend.requests(), 0);
    let stream = 1 + 2 * cases.len() as u32;
    client.get(stream, "/still-here");
    assert_eq!(client.message(stream).status(), 200, "the others are not disturbed");
    proxy.access("/still-here");
}

/// Whether `h2` makes it an error of the stream or of the connection: it does not get through.
#[test]
fn bytes_that_end_lines_are_in_no_value() {
    let (backend, proxy, _) = quick();
    for value in ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "\x7f"] {
        let mut client = Frames::connect(proxy.web);
        client.head(1, &with(&[("x", value)]), true);
        let refused = client.wait("a refusal", |frame| matches!(frame.kind, RST_STREAM | GOAWAY));
        let at = if refused.kind == RST_STREAM { 0 } else { 4 };
        let code = u32::from_be_bytes(refused.payload[at..at + 4].try_into().expect("four bytes"));
        assert!([PROTOCOL_ERROR, COMPRESSION_ERROR].contains(&code), "{value:?}: {refused:?}");
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn content_of_another_length_than_announced_is_refused_and_never_ends_at_the_backend() {
    for content in ["four", "sixsix"] {
        let (backend, _proxy, mut client) = by_hand();
        client.head(1, &[&request("PUT", "/")[..], &[("content-length", "5")]].concat(), false);
        client.data(1, content, true);
        assert_eq!(client.reset_code(1), PROTOCOL_ERROR, "{content}");
        if let Some(mut wire) = backend.accepted() {
            let (said, _) = wire.rest();
            assert!(!said.ends_with(b"\r\n\r\nfives") && !said.ends_with(content.as_bytes()), "{said:?}");
        }
    }
}

#[test]
fn connect_is_not_supported_and_says_so() {
    let (_backend, _proxy, mut client) = quick();
    client.head(1, &[(":method", "CONNECT"), (":authority", "a.example:443")], false);
    assert_eq!(client.message(1).status(), 501);
}

#[test]
fn a_request_goes_on_as_one_of_the_older_protocol() {
    let (backend, _proxy, mut client) = by_hand();
    let fields = [("cookie", "a=b"), ("te", "trailers"), ("x-one", "1"), ("cookie", "c=d"), ("accept", "*/*")];
    client.head(1, &[&request("GET", "/p?q")[..], &fields].concat(), true);
    let mut wire = backend.accept();
    let head = wire.head();
    assert_eq!(head.start, "GET /p?q HTTP/1.1");
    assert_eq!(head.get("host"), Some("a.example"));
    assert_eq!(head.get("cookie"), Some("a=b; c=d"));
    assert_eq!(head.get("te"), Some("trailers"));
    assert!(head.lists("connection", "te"), "{head:?}");
    assert_eq!(head.get("via"), Some("2.0 tidegate"));
    assert_eq!(head.get("x-forwarded-host"), Some("a.example"));
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n");
    let heard = client.message(1);
    assert_eq!((heard.status(), &heard.body[..], heard.trailer("x-sum")), (200, &b"abc"[..], Some("7")));
    assert_eq!((heard.get("x-hop"), heard.get("transfer-encoding"), heard.get("connection")), (None, None, None));
}

#[test]
fn an_upload_of_unknown_length_with_trailers_gets_there() {
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &request("POST", "/"), false);
    client.data(1, "hello ", false);
    let mut wire = backend.accept();
    assert_eq!(wire.head().get("transfer-encoding"), Some("chunked"));
    client.data(1, "world", false);
    client.head(1, &[("x-sum", "11"), ("content-length", "3")], true);
    wire.expect("6\r\nhello \r\n5\r\nworld\r\n0\r\nx-sum: 11\r\n\r\n");
    wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    let heard = client.message(1);
    assert_eq!((heard.status(), heard.get("content-length")), (204, None));
}

#[test]
fn interim_answers_come_ahead() {
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &[&request("POST", "/")[..], &[("expect", "100-continue"), ("content-length", "2")]].concat(), false);
    let mut wire = backend.accept();
    wire.head();
    wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    for status in ["100", "103"] {
        let (fields, last) = client.fields(1);
        assert_eq!((fields[0].1.as_str(), last), (status, false));
        assert!(fields.iter().all(|(name, _)| name != "content-length" && name != "date"), "{fields:?}");
    }
    client.data(1, "ok", true);
    wire.expect("ok");
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.message(1).status(), 200);
}

#[test]
fn head_and_304_have_a_length_and_no_content() {
    let (backend, _proxy, mut client) = by_hand();
    let mut wire = None;
    for (stream, method, answer) in [(1, "HEAD", "200 OK"), (3, "GET", "304 Not Modified")] {
        client.head(stream, &request(method, "/"), true);
        let wire = wire.get_or_insert_with(|| backend.accept());
        wire.head();
        wire.send(format!("HTTP/1.1 {answer}\r\nContent-Length: 7\r\n\r\n"));
        let heard = client.message(stream);
        assert_eq!((heard.get("content-length"), heard.body.len()), (Some("7"), 0), "{answer}");
    }
}

/// RFC 9110 6.4.1 and 8.6: no content behind an answer to HEAD, whoever gives it, and no length with a 204.
#[test]
fn refusals_of_head_have_no_content_and_a_204_has_no_length() {
    let (backend, _proxy, mut client) = by_hand();
    let many: Vec<_> = (0..120).map(|at| format!("x-{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    client.head(1, &[&request("HEAD", "/")[..], &many].concat(), true);
    let refused = client.message(1);
    assert_eq!((refused.status(), refused.body.len()), (431, 0));
    assert!(refused.get("content-length").is_some_and(|length| length != "0"), "{refused:?}");
    for (stream, method) in [(3, "HEAD"), (5, "GET")] {
        client.head(stream, &request(method, "/"), true);
        let mut wire = backend.accept();
        wire.head();
        wire.send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let heard = client.message(stream);
        assert_eq!((heard.status(), heard.get("content-length"), heard.body.len()), (204, None, 0), "{method}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_reset_stream_and_no_end() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/");
    let mut wire = backend.accept();
    wire.head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    client.wait("the half", |frame| frame.kind == DATA && frame.payload == b"half");
    drop(wire);
    assert_eq!(client.reset_code(1), INTERNAL_ERROR);
    client.get(3, "/");
    backend.accept().send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.message(3).status(), 200);
}

#[test]
fn a_request_that_is_taken_back_is_cancelled_at_the_backend() {
    let (backend, proxy, mut client) = by_hand();
    client.get(1, "/taken-back");
    let mut wire = backend.accept();
    wire.head();
    client.reset(1, CANCEL);
    wire.end();
    assert_eq!(proxy.access("/taken-back")["reason"], "client_gone");
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 0.0);
}

#[test]
fn a_client_that_goes_takes_all_its_requests_along() {
    let (backend, proxy, mut client) = by_hand();
    client.get(1, "/");
    client.get(3, "/");
    let mut wires = [backend.accept(), backend.accept()];
    for wire in &mut wires {
        wire.head();
    }
    drop(client);
    for wire in &mut wires {
        wire.end();
    }
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 0.0);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let (backend, _proxy, mut client) = by_hand();
    client.get(1, "/slow");
    let mut slow = backend.accept();
    slow.head();
    client.get(3, "/quick");
    let mut quick = backend.accept();
    quick.head();
    quick.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nq");
    assert_eq!(client.message(3).body, b"q");
    slow.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ns");
    assert_eq!(client.message(1).body, b"s");
}

#[test]
fn an_answer_ahead_of_its_request_ends_the_upload_politely() {
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &request("POST", "/"), false);
    let mut wire = backend.accept();
    wire.head();
    wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.message(1).body, b"no");
    assert_eq!(client.reset_code(1), NO_ERROR);
}

// ---- section 5.2: room

#[test]
fn an_answer_waits_for_room_and_takes_no_more_than_there_is() {
    let (backend, proxy, _) = by_hand();
    let mut client = Frames::with_settings(proxy.web, &[(4, 3)]);
    client.get(1, "/");
    let mut wire = backend.accept();
    wire.head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcdefgh");
    let data = |frame: &Frame| frame.kind == DATA;
    assert_eq!(client.wait("the first", data).payload, b"abc");
    assert!(client.round().iter().all(|frame| frame.kind != DATA));
    client.window(1, 1);
    assert_eq!(client.wait("the next", data).payload, b"d");
    client.window(1, 100);
    let last = client.wait("the rest", data);
    assert_eq!((&last.payload[..], last.has(END_STREAM)), (&b"efgh"[..], true));
}

#[test]
fn who_gives_no_room_is_cut_after_a_time() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("timeout = { write = \"300ms\" }").start();
    let mut client = Frames::with_settings(proxy.web, &[(4, 0)]);
    client.get(1, "/stalled");
    let mut wire = backend.accept();
    wire.head();
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcdefgh");
    assert_eq!(client.reset_code(1), CANCEL);
    assert_eq!(proxy.access("/stalled")["reason"], "write_timeout");
}

#[test]
fn an_upload_that_stalls_is_a_408() {
    let backend = Backend::bind();
    let (_proxy, mut client) = before(&Site::to([backend.address()]).listen("timeout = { body = \"300ms\" }"));
    client.head(1, &request("POST", "/"), false);
    client.data(1, "some", false);
    assert_eq!(client.message(1).status(), 408);
}

#[test]
fn an_upload_gets_room_as_the_backend_reads() {
    const LEN: usize = 3 << 20;
    let (backend, _proxy, mut client) = by_hand();
    client.head(1, &[&request("POST", "/")[..], &[("content-length", &LEN.to_string())]].concat(), false);
    let mut wire = backend.accept();
    wire.head();
    let reader = std::thread::spawn(move || {
        wire.take(LEN);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    // As in the proxy's SETTINGS, and as every connection begins.
    let (mut sent, mut stream, mut connection) = (0, 128 << 10, 4 << 20);
    while sent < LEN {
        let piece = (16 << 10).min(LEN - sent).min(stream).min(connection);
        if piece == 0 {
            let more = client.wait("room", |frame| frame.kind == WINDOW_UPDATE);
            let by = u32::from_be_bytes(more.payload[..4].try_into().expect("four bytes")) as usize;
            // The connection's first one makes the window what it is taken for here.
            *(if more.stream == 0 { &mut connection } else { &mut stream }) += by;
            continue;
        }
        client.data(1, vec![b'x'; piece], sent + piece == LEN);
        (sent, stream, connection) = (sent + piece, stream - piece, connection - piece);
    }
    assert_eq!(client.message(1).status(), 200);
    reader.join().expect("the backend has read it all");
}

#[test]
fn a_hundred_readers_without_room_cost_little() {
    const LEN: usize = 1 << 20;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "x".repeat(LEN));
    let backend = Counting::saying(answer);
    let proxy = Site::to([backend.address()]).start();
    let mut client = Frames::with_settings(proxy.web, &[(4, 0)]);
    let before = proxy.resident_kib();
    for at in 0..100 {
        client.get(1 + 2 * at, "/");
    }
    for at in 0..100 {
        client.fields(1 + 2 * at);
    }
    client.round();
    let more = proxy.resident_kib().saturating_sub(before);
    assert!(more < 16 << 10, "{more} KiB");
}

// ---- limits

#[test]
fn streams_beyond_the_limit_are_refused_and_may_come_again() {
    let (_backend, _proxy, mut client) = by_hand();
    let most = 128;
    for at in 0..=most {
        client.get(1 + 2 * at, "/");
    }
    assert_eq!(client.reset_code(1 + 2 * most), REFUSED_STREAM);
}

#[test]
fn a_head_above_the_limits_is_a_431() {
    let backend = Counting::start("a");
    let (_proxy, mut client) = before(&Site::to([backend.address()]).listen("limits = { header_bytes = \"4KiB\", headers = 20 }"));
    let many: Vec<_> = (0..30).map(|at| format!("x-{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    client.head(1, &with(&many), true);
    assert_eq!(client.message(1).status(), 431);
    let long = "x".repeat(5000);
    client.head(3, &with(&[("x", &long)]), true);
    let (fields, _) = client.fields(3);
    assert_eq!(fields[0].1, "431");
    client.get(5, "/");
    assert_eq!(client.message(5).status(), 200);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let (_backend, proxy, _) = quick();
    let mut client = Frames::connect(proxy.web);
    client.send(Frame::new(HEADERS, 0, 1, hpack::encode(&[(":method", b"GET")])));
    let piece = Frame::new(CONTINUATION, 0, 1, hpack::encode(&[("x", &[b'x'; 60])])).bytes();
    let mut written = 0;
    while client.try_write(&piece).is_ok() {
        written += piece.len();
        assert!(written < 32 << 20, "it takes {written} bytes of one head");
        if client.try_write([]).is_err() {
            break;
        }
    }
    client.assert_ends();
}

#[test]
fn requests_taken_back_in_masses_end_the_connection() {
    let (_backend, _proxy, mut client) = by_hand();
    for at in 0..2000 {
        let block = block(&request("GET", "/"));
        let pair = [
            Frame::new(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * at, block).bytes(),
            Frame::new(RST_STREAM, 0, 1 + 2 * at, CANCEL.to_be_bytes()).bytes(),
        ];
        if client.try_write(pair.concat()).is_err() {
            break;
        }
    }
    if let Some(frame) = client.wait_for("GOAWAY", |frame| frame.kind == GOAWAY) {
        assert_eq!(frame.payload[4..8], ENHANCE_YOUR_CALM.to_be_bytes());
    }
    client.assert_ends();
}

#[test]
fn talk_without_requests_ends_the_connection() {
    for frame in [Frame::new(PING, 0, 0, [0; 8]), Frame::new(SETTINGS, 0, 0, []), Frame::new(PRIORITY, 0, 9, [0, 0, 0, 0, 1])] {
        let (_backend, _proxy, mut client) = quick();
        let many = frame.bytes().repeat(1000);
        let mut written = 0;
        // Its answers are read as they come, or they would be what stops us.
        while client.try_write(&many).is_ok() && written < 40 << 20 {
            written += many.len();
            if client.ended_meanwhile() {
                break;
            }
        }
        assert!(written < 40 << 20, "{frame:?}: {written} bytes");
    }
}

// ---- leaving

#[test]
fn an_idle_connection_is_told_and_closed() {
    let backend = Counting::start("a");
    let (_proxy, mut client) = before(&Site::to([backend.address()]).listen("timeout = { idle = \"300ms\" }"));
    client.get(1, "/");
    assert_eq!(client.message(1).status(), 200);
    assert_eq!(client.goaway(), (0x7fff_ffff, NO_ERROR));
    client.assert_ends();
}

#[test]
fn talk_does_not_keep_a_connection() {
    let backend = Counting::start("a");
    let (_proxy, mut client) = before(&Site::to([backend.address()]).listen("timeout = { idle = \"300ms\" }"));
    client.get(1, "/");
    client.message(1);
    let since = Instant::now();
    until("GOAWAY", || client.round().iter().any(|frame| frame.kind == GOAWAY).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn drain_lets_what_runs_finish_and_takes_what_was_on_its_way() {
    let (backend, mut proxy, mut client) = by_hand();
    client.get(1, "/running");
    let mut wire = backend.accept();
    wire.head();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(client.goaway(), (0x7fff_ffff, NO_ERROR));
    // Sent before the client could know.
    client.get(3, "/on-its-way");
    let mut second = backend.accept();
    second.head();
    let ping = client.wait("PING", |frame| frame.kind == PING && !frame.has(ACK));
    client.send(Frame::new(PING, ACK, 0, ping.payload));
    assert_eq!(client.goaway(), (3, NO_ERROR));
    for (stream, wire) in [(1, &mut wire), (3, &mut second)] {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.message(stream).status(), 200);
    }
    client.assert_ends();
    assert!(proxy.exit().success());
}

/// The last bytes of an answer are under way long after the last of them was handed on; drain and idleness have to wait for them.
#[test]
fn an_answer_that_is_still_being_read_is_not_cut_off() {
    // More than both ends' sockets hold, so that the end of it has to wait.
    const LEN: usize = 24 << 20;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "x".repeat(LEN));
    let backend = Counting::saying(answer);
    for idle in [false, true] {
        let limits = if idle { "timeout = { idle = \"100ms\" }" } else { "" };
        let proxy = Site::to([backend.address()]).listen(limits).start();
        let mut client = Frames::with_settings(proxy.web, &[(4, 0x7fff_ffff)]);
        client.window(0, 0x7000_0000);
        client.get(1, "/large");
        let mut read = 0;
        let mut last = false;
        // Little by little, for the line may be written late: the sockets hold several of these steps.
        while proxy.access_lines().is_empty() {
            assert!(!last, "there is some left to read");
            let step = read + (1 << 20);
            while read < step && !last {
                let frame = client.wait("content", |frame| frame.kind == DATA);
                (read, last) = (read + frame.payload.len(), frame.has(END_STREAM));
            }
            after(Duration::from_millis(200));
        }
        assert!(!last, "there is some left to read");
        if !idle {
            proxy.signal(nix::sys::signal::Signal::SIGTERM);
        }
        // Longer than a client that has nothing to read is given.
        after(Duration::from_secs(3));
        while !last {
            let frame = client.wait("the rest", |frame| frame.kind == DATA);
            (read, last) = (read + frame.payload.len(), frame.has(END_STREAM));
        }
        assert_eq!(read, LEN);
        client.assert_ends();
    }
}

#[test]
fn drain_does_not_wait_for_an_idle_client_that_does_not_listen() {
    let (_backend, mut proxy, mut client) = quick();
    client.get(1, "/");
    client.message(1);
    let since = Instant::now();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(proxy.exit().success());
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn a_reload_reaches_the_next_request_of_a_connection() {
    let (old, new) = (Counting::start("old"), Counting::start("new"));
    let site = Site::to([old.address()]);
    let (proxy, mut client) = before(&site);
    client.get(1, "/");
    assert_eq!(client.message(1).body, b"old");
    proxy.edit(&site.clone().backends([new.address()]));
    let mut stream = 1;
    until("the new backend", || {
        stream += 2;
        client.get(stream, "/");
        (client.message(stream).body == b"new").then_some(())
    });
}
