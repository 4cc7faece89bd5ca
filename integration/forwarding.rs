//! Requests and answers pass through whole: heads, bodies in both framings, trailers, interim answers, both HTTP versions.

use crate::support::{Backend, Counting, End, Head, Message, Site, Wire};

/// A proxy before one backend that the test plays itself, and a client.
macro_rules! stage {
    ($backend:ident, $proxy:ident, $client:ident) => {
        let $backend = Backend::bind();
        #[allow(unused_variables, reason = "not every test asks the proxy itself")]
        let $proxy = Site::to([$backend.address()]).start();
        let mut $client = $proxy.connect();
    };
}
pub(crate) use stage;

#[test]
fn a_get_goes_there_and_back() {
    stage!(backend, proxy, client);
    client.send("GET /a%20b/c?d=e&f HTTP/1.1\r\nHost: Example.com\r\nX-Case-Kept: Yes\r\nAccept: */*\r\n\r\n");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.start, "GET /a%20b/c?d=e&f HTTP/1.1");
    assert_eq!(request.head.get("host"), Some("Example.com"));
    assert!(request.head.fields.contains(&("X-Case-Kept".into(), "Yes".into())), "the case of names is kept: {request:?}");
    assert_eq!(request.head.get("content-length"), None);
    assert_eq!(request.head.get("transfer-encoding"), None);
    upstream.send("HTTP/1.1 200 Quite Fine\r\nContent-Length: 5\r\nX-Answer: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!(answer.head.start, "HTTP/1.1 200 Quite Fine");
    assert_eq!(answer.head.get("x-answer"), Some("1"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"], "repeated fields stay apart and in order");
    assert_eq!(answer.head.get("content-length"), Some("5"));
    assert_eq!(answer.text(), "hello");
}

#[test]
fn both_connections_are_kept_for_the_next_requests() {
    stage!(backend, proxy, client);
    client.send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    for turn in 0..20 {
        assert_eq!(upstream.request().head.start, format!("GET /{turn} HTTP/1.1"));
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.answer().text(), "ok");
        client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", turn + 1));
    }
    upstream.request();
    backend.assert_untouched();
}

#[test]
fn another_client_uses_the_connection_that_the_first_left_idle() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).workers(1).start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "a");
    }
    assert_eq!((backend.requests(), backend.connections()), (10, 1));
}

#[test]
fn closing_as_the_client_asks_leaves_the_backends_connection_open() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut upstream = backend.accept();
    assert!(!upstream.request().head.lists("connection", "close"), "the client's wish is for its own connection");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let answer = client.answer();
    assert!(answer.head.lists("connection", "close"), "{answer:?}");
    assert_eq!(client.end(), End::Closed);
    assert!(upstream.is_quiet());
}

#[test]
fn a_backend_that_closes_leaves_the_clients_connection_open() {
    stage!(backend, proxy, client);
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        let answer = client.answer();
        assert_eq!(answer.head.get("connection"), None, "the backend's wish is for its own connection: {answer:?}");
        assert_eq!(upstream.end(), End::Closed, "a connection that the backend will close is not kept");
    }
}

#[test]
fn bodies_pass_in_either_framing() {
    let body: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect();
    stage!(backend, proxy, client);
    let mut upstream = None;
    for size in [0, 1, 1000, 16 << 10, 300_000] {
        let content = &body[..size];
        for chunked in [false, true] {
            let message = framed(content, chunked);
            let mut writer = client.writer();
            let request = [b"POST /up HTTP/1.1\r\nHost: a\r\n".to_vec(), message.clone()].concat();
            let sending = std::thread::spawn(move || writer.send(request));
            let upstream = upstream.get_or_insert_with(|| backend.accept());
            let seen = upstream.request();
            assert_framing(&seen.head, size, chunked);
            assert!(seen.body == content, "{size} bytes up, chunked: {chunked}");
            sending.join().expect("the request is sent");

            let mut writer = upstream.writer();
            let answer = [b"HTTP/1.1 200 OK\r\n".to_vec(), message].concat();
            let sending = std::thread::spawn(move || writer.send(answer));
            let seen = client.answer();
            assert_framing(&seen.head, size, chunked);
            assert!(seen.body == content, "{size} bytes down, chunked: {chunked}");
            sending.join().expect("the answer is sent");
        }
    }
}

fn framed(content: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        return [format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes(), content].concat();
    }
    let mut message = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
    for (turn, piece) in content.chunks(9999).enumerate() {
        // Upper and lower case, leading zeros, an extension: all of them are allowed in a size.
        let size = match turn % 3 {
            0 => format!("{:x}\r\n", piece.len()),
            1 => format!("000{:X}\r\n", piece.len()),
            _ => format!("{:x};name=value\r\n", piece.len()),
        };
        message.extend([size.as_bytes(), piece, b"\r\n"].concat());
    }
    message.extend(b"0\r\n\r\n");
    message
}

#[track_caller]
fn assert_framing(head: &Head, size: usize, chunked: bool) {
    if chunked {
        assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (Some("chunked"), None), "{head:?}");
    } else {
        assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (None, Some(size.to_string().as_str())), "{head:?}");
    }
}

#[test]
fn bytes_are_passed_on_as_they_come() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    let mut upstream = backend.accept();
    let head = upstream.head();
    assert_framing(&head, 0, true);
    assert_eq!(upstream.chunk_size(), 3);
    upstream.expect("one\r\n");
    client.send("3\r\ntwo\r\n");
    assert_eq!(upstream.chunk_size(), 3);
    upstream.expect("two\r\n");

    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour");
    client.head();
    client.expect("four");
    upstream.send("five");
    client.expect("five");
}

#[test]
fn a_body_in_single_bytes_arrives_whole() {
    stage!(backend, proxy, client);
    for byte in b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;a=\"b\"\r\n!\r\n0\r\nX-Sum: 3\r\n\r\n" {
        client.send([*byte]);
    }
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.text(), "hi!");
    for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n" {
        upstream.send([*byte]);
    }
    assert_eq!(client.answer().text(), "yo");
}

#[test]
fn trailers_go_up() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 209\r\n\r\n");
    let request = backend.accept().request();
    assert_eq!(request.head.get("trailer"), Some("X-Sum"));
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "209".to_owned())]);
}

#[test]
fn trailers_come_down_to_a_client_that_takes_them() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.get("te"), Some("trailers"), "the backend must know that they are welcome: {request:?}");
    assert!(request.head.lists("connection", "te"), "TE is for one hop: {request:?}");
    upstream.send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 209\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.text(), "hi");
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "209".to_owned())]);
}

#[test]
fn trailers_do_not_turn_into_framing_or_routing() {
    stage!(backend, proxy, client);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         Content-Length: 99\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nConnection: close\r\nX-Fine: 1\r\n\r\n",
    );
    let mut upstream = backend.accept();
    upstream.head();
    // Either the request is refused and the backend sees it cut, or those fields are left out.
    let (seen, _) = {
        upstream.finish();
        upstream.rest()
    };
    let seen = String::from_utf8(seen).expect("text").to_ascii_lowercase();
    for name in ["content-length", "transfer-encoding", "host", "connection"] {
        assert!(!seen.contains(name), "{name} in the trailers: {seen}");
    }
}

#[test]
fn a_client_that_expects_100_is_told_once() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let mut upstream = backend.accept();
    let head = upstream.head();
    if head.get("expect").is_some() {
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    }
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    upstream.expect("hello");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok", "no second 100");
}

#[test]
fn a_client_that_expects_100_and_is_refused_sends_no_body() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let mut upstream = backend.accept();
    let head = upstream.head();
    upstream.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
    let mut first = client.head();
    if head.get("expect").is_none() {
        assert_eq!(first.status(), 100, "the proxy has answered the expectation itself");
        first = client.head();
    }
    assert_eq!(first.status(), 417);
    client.expect("no");
    // The request never ended: neither connection can carry another.
    assert_eq!(client.end(), End::Closed);
    upstream.end();
}

#[test]
fn a_client_that_does_not_wait_for_the_100_is_served() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().text(), "hello");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut head = client.head();
    while head.status() == 100 {
        head = client.head();
    }
    assert_eq!(head.status(), 200);
    client.expect("ok");
}

#[test]
fn early_hints_arrive_before_the_answer_is_there() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    for link in ["</a.css>; rel=preload", "</b.css>; rel=preload"] {
        upstream.send(format!("HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\n"));
        let hint = client.head();
        assert_eq!(hint.start, "HTTP/1.1 103 Early Hints");
        assert_eq!(hint.get("link"), Some(link));
        assert_eq!(hint.get("content-length"), None, "1xx answers have no body: {hint:?}");
    }
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn an_http_1_0_client_gets_no_interim_answer() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn answers_without_a_body_leave_the_connection_in_step() {
    stage!(backend, proxy, client);
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.answer();
    for (method, head, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", Some("1234")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", Some("9")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n", Some("1234")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert!(upstream.request().head.start.starts_with(method));
        upstream.send(head);
        let seen = client.head();
        assert_eq!(seen.start, head.split("\r\n").next().unwrap_or_default(), "{method}");
        assert_eq!(seen.get("content-length"), length, "{method} {head}");
        assert!(client.is_quiet(), "{method} {head}: no byte follows");
    }
    backend.assert_untouched();
}

#[test]
fn a_204_that_claims_a_length_has_none() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    // RFC 9110 8.6: no Content-Length in a 204; RFC 9112 6.3: whatever it says, there is no body.
    upstream.send("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    let seen = client.head();
    assert!(matches!(seen.status(), 204 | 502), "{seen:?}");
    if seen.status() == 204 {
        assert_eq!(seen.get("content-length"), None);
    }
}

#[test]
fn an_http_1_0_client_gets_plain_bytes_until_the_close() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.start, "GET / HTTP/1.1", "the proxy speaks its own version to the backend");
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.head.get("transfer-encoding"), None);
    assert_eq!(answer.text(), "onetwo");
    assert_eq!(client.end(), End::Closed);
}

#[test]
fn an_http_1_0_client_is_kept_only_if_it_asks() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "a");
    assert_eq!(client.end(), End::Closed);

    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.text(), "a");
        assert!(answer.head.lists("connection", "keep-alive"), "{answer:?}");
    }
}

#[test]
fn an_http_1_0_client_may_leave_out_the_host() {
    stage!(backend, proxy, client);
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.start, "GET /old HTTP/1.1");
    assert!(request.head.get("host").is_some(), "HTTP/1.1 upstream needs one, even if empty: {request:?}");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn an_http_1_0_backend_is_translated() {
    stage!(backend, proxy, client);
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut upstream = backend.accept();
            upstream.request();
            upstream.send(answer);
            if !answer.contains("Content-Length") {
                upstream.finish();
            }
            let seen = client.answer();
            assert_eq!(seen.head.start, "HTTP/1.1 200 OK", "{answer}");
            assert_eq!(seen.text(), "hello", "{answer}");
            let framed = seen.head.get("transfer-encoding").is_some() || seen.head.get("content-length").is_some();
            assert!(framed, "the client's connection stays, so the body needs an end: {answer}: {seen:?}");
            upstream.end();
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    stage!(backend, proxy, client);
    let request = |n: usize| format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    client.send((0..8).map(request).collect::<String>());
    let mut upstream: Option<Wire> = None;
    for n in 0..8 {
        let upstream = upstream.get_or_insert_with(|| backend.accept());
        let seen: Message = upstream.request();
        assert_eq!((seen.head.start.as_str(), seen.text().as_str()), (format!("POST /{n} HTTP/1.1").as_str(), "body"));
        assert!(upstream.is_quiet(), "one at a time: the next one waits for this answer");
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
        assert_eq!(client.answer().text(), n.to_string());
    }
}

#[test]
fn empty_lines_before_a_request_are_forgiven() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    let mut client = proxy.connect();
    // RFC 9112 2.2: at least one empty line ahead of a request line should be ignored.
    for _ in 0..3 {
        client.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "a");
    }
}

#[test]
fn any_method_and_the_asterisk_pass() {
    stage!(backend, proxy, client);
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().head.start, "OPTIONS * HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
    client.send("PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(upstream.request().head.start, "PROPFIND /x HTTP/1.1");
}

#[test]
fn an_absolute_form_becomes_an_origin_form() {
    stage!(backend, proxy, client);
    client.send("GET http://example.com:8080/x?y HTTP/1.1\r\nHost: example.com:8080\r\n\r\n");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.start, "GET /x?y HTTP/1.1");
    assert_eq!(request.head.get("host"), Some("example.com:8080"));
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    client.answer();
    client.send("GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(upstream.request().head.start, "GET / HTTP/1.1");
}
