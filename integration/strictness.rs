//! Requests that break RFC 9112, or could be read in two ways: refused by us, never seen by a backend, and nothing behind them is
//! answered. What is merely unusual passes.

use std::time::Duration;

use crate::support::{Backend, Counting, End, Head, Message, Proxy, Site, Wire, show, until};

/// What an attacker hopes will be taken for a request of its own.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

const BAD: &[u16] = &[400];
const VERSION: &[u16] = &[505];
/// RFC 9112 6.1 suggests 501 for a transfer coding that is not understood; a broken list is a 400.
const CODING: &[u16] = &[400, 501];

#[rustfmt::skip]
const REFUSED: &[(&str, &[u8], &[u16])] = &[
    ("both framings", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("both framings, turned round", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", BAD),
    ("both framings, none meant", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", CODING),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", BAD),
    ("a list of two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello", BAD),
    ("a list of one length twice", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", BAD),
    ("a length with a plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", BAD),
    ("a length with a minus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", BAD),
    ("a length in hexadecimal", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", BAD),
    ("a length with a blank inside", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", BAD),
    ("a length with a letter", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nhello", BAD),
    ("a fraction of a length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello", BAD),
    ("an empty length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", BAD),
    ("a length beyond 64 bits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", BAD),
    ("a length behind a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b5\r\n\r\nhello", BAD),
    ("chunked twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CODING),
    ("chunked not last", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", CODING),
    ("another coding first", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CODING),
    ("another coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", CODING),
    ("a coding like chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", CODING),
    ("chunked in quotes", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", CODING),
    ("chunked with a parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", CODING),
    ("chunked in two fields", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CODING),
    ("chunked and identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", CODING),
    ("an empty coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", CODING),
    ("chunked behind a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", CODING),
    ("chunked from HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("LF alone everywhere", b"GET / HTTP/1.1\nHost: a\n\n", BAD),
    ("LF alone after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", BAD),
    ("LF alone after a field", b"GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", BAD),
    ("LF alone as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
    ("CR alone in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-C: d\r\n\r\n", BAD),
    ("CR alone in the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", BAD),
    ("two CR before the LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BAD),
    ("a folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", BAD),
    ("a folded length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello", BAD),
    ("a field folded with a tab", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n", BAD),
    ("a blank before the first field", b"GET / HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n", BAD),
    ("a blank before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n", BAD),
    ("a blank before the colon of a length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", BAD),
    ("a tab before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("no name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BAD),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", BAD),
    ("a blank in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n", BAD),
    ("a bracket in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n", BAD),
    ("a byte over 127 in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: b\r\n\r\n", BAD),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n", BAD),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n", BAD),
    ("a control byte in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n", BAD),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x7fc\r\n\r\n", BAD),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", BAD),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    ("one host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    ("two hosts from HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    ("a blank in the host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    ("a slash in the host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    ("a user in the host", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD),
    ("a query in the host", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", BAD),
    ("a fragment in the host", b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", BAD),
    ("a list of hosts", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BAD),
    ("a port that is none", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", BAD),
    ("a port too large", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", BAD),
    ("half a bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD),
    ("absolute-form of another host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("absolute-form of another port", b"GET http://a:81/ HTTP/1.1\r\nHost: a:82\r\n\r\n", BAD),
    ("absolute-form without a host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("absolute-form with a user", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("absolute-form of another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a path upwards", b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a path upwards further down", b"GET /x/../y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a path upwards at the end", b"GET /x/.. HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a path upwards before the query", b"GET /x/..?y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a path to itself", b"GET /x/./y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("an encoded path upwards", b"GET /x/%2e%2E/y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a half encoded path upwards", b"GET /x/.%2e HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("an encoded path to itself", b"GET /%2e HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("an encoded NUL", b"GET /x%00y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a backslash", b"GET /x\\y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("absolute-form with a path upwards", b"GET http://a/../x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("two blanks", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a blank in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a blank at the end", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD),
    ("a blank in front", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a tab for a blank", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("no blank", b"GET/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a target without a slash", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("an asterisk for a GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a fragment in the target", b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("NUL in the target", b"GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a control byte in the target", b"GET /x\x01y HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("a method that is no token", b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("no version", b"GET /\r\nHost: a\r\n\r\n", BAD),
    ("a version in lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", &[400, 505]),
    ("half a version", b"GET / HTTP/1\r\nHost: a\r\n\r\n", &[400, 505]),
    ("a version with more behind", b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", &[400, 505]),
    ("HTTP/2.0 in a request line", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", VERSION),
    ("HTTP/0.9 in a request line", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", VERSION),
    ("a TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD),
    ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", &[501]),
    ("CONNECT with a path", b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
];

#[test]
fn what_breaks_the_protocol_is_refused_and_nothing_behind_it_is_answered() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let mut wrong = Vec::new();
    for (name, bytes, statuses) in REFUSED {
        let mut client = proxy.connect();
        client.send([bytes, SMUGGLED].concat());
        if let Some(complaint) = complaint(&mut client, statuses) {
            wrong.push(format!("{name}: {complaint}"));
        }
        if let Some(mut wire) = backend.accepted() {
            drop(client);
            wrong.push(format!("{name}: the backend saw {}", show(&wire.rest_within(Duration::from_millis(200)).0)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));

    let mut client = proxy.connect();
    client.send("GET /marker HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(backend.accept().request().head.start, "GET /marker HTTP/1.1", "the first thing that the backend sees");
}

/// What is wrong with how the connection was ended: one answer of these statuses that announces the close, then the close.
fn complaint(client: &mut Wire, statuses: &[u16]) -> Option<String> {
    // What is let through, or kept open, never ends: that costs this long, and is wrong anyway.
    let (seen, end) = client.rest_within(Duration::from_secs(2));
    let text = String::from_utf8_lossy(&seen).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Some(format!("no answer but {}, {end:?}", show(&seen)));
    };
    let head = Head::parse(format!("{head}\r\n\r\n").as_bytes());
    if !statuses.contains(&head.status()) {
        return Some(format!("{}, expected {statuses:?}", head.start));
    }
    if !head.lists("connection", "close") {
        return Some(format!("the close is not announced: {head:?}"));
    }
    if head.get("content-length").and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Some(format!("not one whole answer: {}", show(&seen)));
    }
    match end {
        Some(End::Closed) => None,
        Some(End::Reset) => Some("reset, which may cost the client its answer".to_owned()),
        None => Some("the connection stays open".to_owned()),
    }
}

#[rustfmt::skip]
const ALLOWED: &[(&str, &str, &str)] = &[
    ("chunked in capitals", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST /"),
    ("blanks around chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked \t\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST /"),
    ("zeros before a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\n\r\nhi", "POST /"),
    ("no blank behind the colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET /"),
    ("an empty value", "GET / HTTP/1.1\r\nHost: a\r\nX-A:\r\n\r\n", "GET /"),
    ("a tab inside a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\tc\r\n\r\n", "GET /"),
    ("bytes over 127 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\u{e4}c\r\n\r\n", "GET /"),
    ("a name of every token character", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09aZ: b\r\n\r\n", "GET /"),
    ("an IPv6 host", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "GET /"),
    ("an underscore in the host", "GET / HTTP/1.1\r\nHost: my_app.internal\r\n\r\n", "GET /"),
    ("an encoded slash", "GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%2Fb"),
    ("two slashes", "GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a//b"),
    ("dots in names", "GET /.../.a/..b/c. HTTP/1.1\r\nHost: a\r\n\r\n", "GET /.../.a/..b/c."),
    ("dots in the query", "GET /a?b=/../c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b=/../c"),
    ("brackets and bars in the query", "GET /a?b[]=c|d{e} HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b[]=c|d{e}"),
    ("an unknown method", "FROB / HTTP/1.1\r\nHost: a\r\n\r\n", "FROB /"),
    ("a body with a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "GET /"),
];

#[test]
fn what_is_merely_unusual_passes() {
    let proxied = Backend::bind();
    let proxy = Site::to([proxied.address()]).start();
    for (name, bytes, start) in ALLOWED {
        let mut client = proxy.connect();
        client.send(bytes);
        let seen = until(name, || {
            assert!(client.is_quiet(), "{name}: refused");
            proxied.accepted()
        })
        .request();
        assert_eq!(seen.head.start, format!("{start} HTTP/1.1"), "{name}");
        let body = if bytes.contains("hi") { "hi" } else { "" };
        assert_eq!(seen.text(), body, "{name}");
        if let Some(coding) = seen.head.get("transfer-encoding") {
            assert_eq!(coding, "chunked", "{name}: in its plainest form");
        }
    }
}

#[rustfmt::skip]
const BAD_CHUNKS: &[(&str, &[u8])] = &[
    ("a size that is no number", b"g\r\nhello\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", b"-1\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("an underscore in the size", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("a blank before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("LF alone behind the size", b"5\nhello\r\n0\r\n\r\n"),
    ("CR alone behind the size", b"5\rhello\r\n0\r\n\r\n"),
    ("LF alone in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("CR alone in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("data that is too long", b"5\r\nhelloXX\r\n0\r\n\r\n"),
    ("LF alone behind the data", b"5\r\nhello\n0\r\n\r\n"),
    ("CR alone behind the data", b"5\r\nhello\r0\r\n\r\n"),
    ("LF alone behind the last chunk", b"0\n\r\n"),
    ("LF alone as the end", b"0\r\n\n"),
    ("CR alone as the end", b"0\r\n\rX"),
    ("a trailer without a colon", b"0\r\nX-Sum\r\n\r\n"),
    ("a folded trailer", b"0\r\nX-Sum: 1\r\n 2\r\n\r\n"),
    ("NUL in a trailer", b"0\r\nX-Sum: \0\r\n\r\n"),
    ("LF alone behind a trailer", b"0\r\nX-Sum: 1\n\r\n"),
    ("a blank before a trailer's colon", b"0\r\nX-Sum : 1\r\n\r\n"),
];

#[test]
fn a_chunk_that_breaks_the_protocol_never_ends_a_request() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let long = [b"5;".to_vec(), vec![b'a'; 100_000], b"\r\nhello\r\n0\r\n\r\n".to_vec()].concat();
    let trailers = [b"0\r\nX-Sum: ".to_vec(), vec![b'a'; 100_000], b"\r\n\r\n".to_vec()].concat();
    let large: [(&str, &[u8]); 2] = [("an endless extension", &long), ("endless trailers", &trailers)];
    for (name, bytes) in BAD_CHUNKS.iter().chain(&large) {
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n");
        let mut upstream = backend.accept();
        upstream.head();
        assert_eq!(upstream.chunk_size(), 4, "{name}");
        upstream.expect("good\r\n");
        client.send([bytes, SMUGGLED].concat());
        let (seen, _) = upstream.rest();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "{name}: the backend saw {}", show(&seen));
        assert!(!seen.windows(8).any(|window| window == b"smuggled"), "{name}: the backend saw {}", show(&seen));
        if let Some(complaint) = complaint(&mut client, &[400, 431]) {
            panic!("{name}: {complaint}");
        }
    }
    backend.assert_untouched();
}

fn limited() -> (Counting, Proxy) {
    let backend = Counting::start("a");
    let limits = "limits = { header_bytes = \"4KiB\", headers = 10, body = \"1KiB\" }";
    let proxy = Site::to([backend.address()]).listen(limits).start();
    (backend, proxy)
}

#[track_caller]
fn refused(proxy: &Proxy, request: impl AsRef<[u8]>, status: u16) {
    let mut client = proxy.connect();
    client.send(request);
    if let Some(complaint) = complaint(&mut client, &[status]) {
        panic!("{complaint}");
    }
}

#[track_caller]
fn accepted(proxy: &Proxy, request: impl AsRef<[u8]>) -> Message {
    let mut client = proxy.connect();
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

#[test]
fn heads_have_limits() {
    let (backend, proxy) = limited();
    let sized = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "b".repeat(n));
    accepted(&proxy, sized(4000));
    refused(&proxy, sized(4096), 431);
    refused(&proxy, sized(200_000), 431);
    let counted = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(n - 1));
    accepted(&proxy, counted(10));
    refused(&proxy, counted(11), 431);
    // Without an end in sight.
    refused(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "b".repeat(5000)), 431);
    assert_eq!(backend.requests(), 2);
}

#[test]
fn targets_have_a_limit() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    let sized = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n));
    accepted(&proxy, sized(16_000));
    refused(&proxy, sized(16 << 10), 414);
    refused(&proxy, sized(100_000), 414);
    refused(&proxy, format!("GET /{}", "x".repeat(100_000)), 414);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn bodies_have_a_limit() {
    let (backend, proxy) = limited();
    let sized = |n: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    accepted(&proxy, sized(1024));
    // Known from the head: nobody waits for the body, and no 100 invites it.
    refused(&proxy, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\nx", 413);
    refused(&proxy, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\nExpect: 100-continue\r\n\r\n", 413);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_chunked_body_over_its_limit_is_cut() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("limits = { body = \"1KiB\" }").start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    client.send(format!("400\r\n{}\r\n4\r\n", "x".repeat(1024)));
    let (seen, _) = upstream.rest();
    assert!(!seen.ends_with(b"0\r\n\r\n"), "{}", show(&seen));
    if let Some(complaint) = complaint(&mut client, &[413]) {
        panic!("{complaint}");
    }
}
