//! Answers that break RFC 9112, or could be read in two ways: the client gets a 502 of ours, and that backend's connection ends.

use std::time::Instant;

use crate::support::{Backend, PATIENCE, Site, show};

#[rustfmt::skip]
const REFUSED: &[(&str, &[u8])] = &[
    ("both framings", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!"),
    ("a length with a plus", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello"),
    ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
    ("an empty length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello"),
    ("a length beyond 64 bits", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
    ("another coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked not last", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a coding like chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("LF alone everywhere", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ("LF alone after a field", b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 5\r\n\r\nhello"),
    ("CR alone in a value", b"HTTP/1.1 200 OK\r\nX-A: b\rX-C: d\r\nContent-Length: 5\r\n\r\nhello"),
    ("a folded field", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello"),
    ("a blank before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
    ("no name", b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 5\r\n\r\nhello"),
    ("no colon", b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 5\r\n\r\nhello"),
    ("a control byte in a value", b"HTTP/1.1 200 OK\r\nX-A: b\x01c\r\nContent-Length: 5\r\n\r\nhello"),
    ("a control byte in the reason", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 5\r\n\r\nhello"),
    ("another version", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("no version", b"200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
    ("a status of two digits", b"HTTP/1.1 99 Low\r\nContent-Length: 5\r\n\r\nhello"),
    ("a status of four digits", b"HTTP/1.1 2000 High\r\nContent-Length: 5\r\n\r\nhello"),
    ("a status below 100", b"HTTP/1.1 099 Low\r\nContent-Length: 5\r\n\r\nhello"),
    ("a status that is none", b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("nothing but the end of a line", b"\r\n\r\n"),
];

#[test]
fn an_answer_that_breaks_the_protocol_is_a_502_and_ends_its_connection() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let large = [b"HTTP/1.1 200 OK\r\nX-A: ".to_vec(), vec![b'a'; 1 << 20], b"\r\nContent-Length: 0\r\n\r\n".to_vec()].concat();
    let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-A: b\r\n".repeat(10_000), b"Content-Length: 0\r\n\r\n".to_vec()].concat();
    let oversize: [(&str, &[u8]); 2] = [("a head too large", &large), ("too many fields", &many)];
    for (turn, (name, bytes)) in REFUSED.iter().chain(&oversize).enumerate() {
        let mut client = proxy.connect();
        client.send(format!("GET /{turn} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut upstream = backend.accept();
        upstream.request();
        // The proxy may hang up in the middle of a large one.
        let _ = upstream.try_send(bytes);
        let answer = client.answer();
        assert_eq!(answer.status(), 502, "{name}: {answer:?}");
        assert!(answer.head.get("x-a").is_none() && !answer.text().contains("hello"), "{name}: nothing of it gets through: {answer:?}");
        upstream.end();
        let reason = proxy.access(&format!("/{turn}"))["reason"].clone();
        assert!(reason == "response_malformed" || reason == "response_head_too_large", "{name}: {reason}");
    }
}

#[rustfmt::skip]
const BAD_CHUNKS: &[(&str, &[u8])] = &[
    ("a size that is no number", b"g\r\nhello\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("LF alone behind the size", b"5\nhello\r\n0\r\n\r\n"),
    ("data that is too long", b"5\r\nhelloXX\r\n0\r\n\r\n"),
    ("LF alone in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("a trailer without a colon", b"0\r\nX-Sum\r\n\r\n"),
    ("LF alone as the end", b"0\r\n\n"),
];

#[test]
fn a_chunk_that_breaks_the_protocol_never_ends_an_answer() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    for (name, bytes) in BAD_CHUNKS {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n");
        client.head();
        assert_eq!(client.chunk_size(), 4, "{name}");
        client.expect("good\r\n");
        upstream.send(bytes);
        let (seen, _) = client.rest();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "{name}: the client saw {}", show(&seen));
        upstream.end();
    }
}

#[test]
fn bytes_behind_an_answer_are_nobodys_answer() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).workers(1).start();
    let mut client = proxy.connect();
    for extra in ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "x", "\r\n"] {
        client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood{extra}"));
        assert_eq!(client.answer().text(), "good");
        upstream.end();
    }
}

#[test]
fn bytes_on_an_idle_connection_end_it() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).workers(1).start();
    let mut client = proxy.connect();
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    assert_eq!(client.answer().text(), "good");
    // Some servers say this when they tire of waiting.
    upstream.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut fresh = backend.accept();
    fresh.request();
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    assert_eq!(client.answer().status(), 200);
    upstream.end();
}

#[test]
fn too_many_interim_answers_are_not_endless() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("timeout = { first_byte = \"1s\" }").start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let mut reader = client.writer();
    let reading = std::thread::spawn(move || {
        let mut interims = 0;
        while reader.head().status() < 200 {
            interims += 1;
        }
        interims
    });
    let deadline = Instant::now() + PATIENCE;
    while upstream.try_send(&hints).is_ok() {
        assert!(Instant::now() < deadline, "the proxy still takes them");
    }
    upstream.rest();
    let interims = reading.join().expect("a final answer");
    assert!((1..1000).contains(&interims), "{interims}");
}
