//! Exchanges that end early, on either side: nothing cut is passed on as whole, nothing is sent twice, nothing piles up.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::forwarding::stage;
use crate::support::proxy::after;
use crate::support::{Backend, End, Proxy, Site, Wire, show, until};

/// Whether these bytes end in the end of a chunked body.
fn is_ended(chunked: &[u8]) -> bool {
    chunked.ends_with(b"0\r\n\r\n")
}

#[test]
fn an_answer_before_the_upload_has_ended_arrives_whole() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe first bytes");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.expect("the first bytes");
    let body = "too much ".repeat(10_000);
    upstream.send(format!("HTTP/1.1 413 Content Too Large\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    assert!(answer.text() == body, "the whole body");
    assert_eq!(client.end(), End::Closed, "the rest of the upload can not be told from a next request");
    upstream.end();

    // And that connection is not used for another request.
    let mut client = proxy.connect();
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(backend.accept().request().head.start, "GET /next HTTP/1.1");
}

#[test]
fn an_early_answer_reaches_a_client_that_goes_on_sending() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    let mut writer = client.writer();
    // Ends when the proxy stops taking bytes, with whatever error that gives.
    let sending = std::thread::spawn(move || (0..500).all(|_| writer.try_send(vec![b'x'; 100_000]).is_ok()));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    upstream.finish();
    assert_eq!(client.head().status(), 403);
    client.expect("no");
    drop(upstream);
    drop(client);
    sending.join().expect("the upload ends");
}

#[test]
fn a_long_head_that_comes_in_pieces_is_read_whole() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    let long = "x".repeat(20_000);
    let head = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 2\r\n\r\nok");
    for piece in head.as_bytes().chunks(700) {
        upstream.send(piece);
    }
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn full_duplex_works() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    for n in 0..5 {
        client.send(format!("1\r\n{n}\r\n"));
        assert_eq!(upstream.chunk_size(), 1);
        upstream.expect(format!("{n}\r\n"));
        upstream.send(format!("1\r\n{n}\r\n"));
        assert_eq!(client.chunk_size(), 1);
        client.expect(format!("{n}\r\n"));
    }
    client.send("0\r\n\r\n");
    upstream.chunked();
    upstream.send("0\r\n\r\n");
    client.chunked();
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    stage!(backend, proxy, client);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    client.finish();
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    client.head();
    upstream.send("done");
    client.expect("done");
    assert_eq!(client.end(), End::Closed);
}

#[test]
fn a_client_that_resets_ends_the_backends_work() {
    stage!(backend, proxy, client);
    // While the backend thinks.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    client.reset();
    upstream.end();

    // In the middle of the answer, with nothing to write.
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.head();
    client.expect("hello");
    client.reset();
    upstream.end();
}

#[test]
fn a_reset_that_follows_other_news_of_the_client_ends_the_backends_work_soon() {
    // Whatever came first has used up the kernel's word that there is something: a half-close, or the next request.
    for (news, begun) in [("", false), ("", true), ("GET /next HTTP/1.1\r\nHost: a\r\n\r\n", false)] {
        stage!(backend, proxy, client);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        if begun {
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            client.head();
            client.expect("hello");
        }
        match news {
            "" => client.finish(),
            news => client.send(news),
        }
        // Long enough to be noticed; for the proxy, one thing after the other.
        after(Duration::from_millis(200));
        assert!(upstream.is_quiet(), "neither is a reason to stop");
        let since = Instant::now();
        client.reset();
        upstream.end();
        assert!(since.elapsed() < Duration::from_secs(3), "noticed after {:?}", since.elapsed());
    }
}

#[test]
fn an_upload_that_breaks_off_is_passed_on_as_broken() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        for reset in [false, true] {
            stage!(backend, proxy, client);
            client.send(request);
            let mut upstream = backend.accept();
            upstream.head();
            until_contains(&mut upstream, b"hello");
            if reset {
                client.reset();
            } else {
                client.finish();
            }
            let (seen, _) = upstream.rest();
            assert!(!is_ended(&seen) && seen.len() < 5, "reset: {reset}, {request:?}: then {}", show(&seen));
        }
    }
}

/// Reads up to and with these bytes.
fn until_contains(wire: &mut Wire, bytes: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(bytes) {
        seen.extend(wire.take(1));
    }
}

#[test]
fn an_answer_that_breaks_off_is_passed_on_as_broken() {
    for (version, answer) in [
        ("1.1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        ("1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
        ("1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n"),
        ("1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\nhello"),
        ("1.0", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        // Nothing but a reset tells an HTTP/1.0 client that this is not the end.
        ("1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ] {
        for reset in [false, true] {
            stage!(backend, proxy, client);
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            let mut upstream = backend.accept();
            upstream.request();
            upstream.send(answer);
            let head = client.head();
            if head.get("transfer-encoding").is_some() {
                until_contains(&mut client, b"hello");
            } else {
                client.expect("hello");
            }
            if reset {
                upstream.reset();
            } else {
                drop(upstream);
            }
            let (rest, end) = client.rest();
            assert!(!is_ended(&rest), "{version}, reset: {reset}, {answer:?}: {}", show(&rest));
            if head.get("content-length").is_some() {
                assert!(rest.len() < 5, "{version}, reset: {reset}, {answer:?}: {}", show(&rest));
            } else if head.get("transfer-encoding").is_none() {
                assert_eq!(end, End::Reset, "{version}, reset: {reset}, {answer:?}");
            }
        }
    }
}

#[test]
fn a_reset_breaks_off_a_body_that_ends_with_the_connection() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.0 200 OK\r\n\r\nhello");
    client.head();
    until_contains(&mut client, b"hello");
    upstream.reset();
    let (rest, _) = client.rest();
    assert!(!is_ended(&rest), "{}", show(&rest));
}

#[test]
fn a_slow_reader_costs_kilobytes() {
    const BODY: u64 = 200 << 20;
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    let before = proxy.resident_kib();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
    client.head();
    let piece = vec![b'x'; 1 << 20];
    upstream.write_at_most(Duration::from_millis(300));
    // What fits into the kernel's buffers goes; then the proxy must stop reading.
    let stopped = (0..BODY >> 20).find_map(|_| upstream.try_send(&piece).err());
    assert_eq!(stopped.map(|error| error.kind()), Some(ErrorKind::WouldBlock), "the backend is held up");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 4 << 10, "a reader that does not read costs {grown} KiB");
}

#[test]
fn a_slow_backend_costs_kilobytes() {
    stage!(backend, proxy, client);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 200 << 20));
    let mut upstream = backend.accept();
    upstream.head();
    let before = proxy.resident_kib();
    let piece = vec![b'x'; 1 << 20];
    client.write_at_most(Duration::from_millis(300));
    let stopped = (0..200).find_map(|_| client.try_send(&piece).err());
    assert_eq!(stopped.map(|error| error.kind()), Some(ErrorKind::WouldBlock), "the client is held up");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 4 << 10, "a backend that does not read costs {grown} KiB");
}

/// A proxy of one worker that has answered one request, with the backend's connection idle.
fn warmed() -> (Backend, Proxy, Wire, Wire) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).workers(1).start();
    let mut client = proxy.connect();
    client.send("GET /warm HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.answer();
    (backend, proxy, client, upstream)
}

#[test]
fn a_kept_connection_that_dies_unanswered_costs_a_get_nothing() {
    for reset in [false, true] {
        let (backend, _proxy, mut client, mut upstream) = warmed();
        client.send("GET /again HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\n\r\n");
        upstream.request();
        if reset {
            upstream.reset();
        } else {
            drop(upstream);
        }
        let mut fresh = backend.accept();
        let request = fresh.request();
        assert_eq!((request.head.start.as_str(), request.head.get("x-kept")), ("GET /again HTTP/1.1", Some("1")));
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");
        assert_eq!(client.answer().text(), "fresh");
    }
}

#[test]
fn a_put_with_a_body_at_hand_is_repeated_whole() {
    let (backend, _proxy, mut client, mut upstream) = warmed();
    client.send("PUT /again HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    upstream.request();
    drop(upstream);
    // A repetition is allowed, not owed; if there is one, it has the whole body.
    let answered = until("a second attempt or the answer", || {
        if let Some(mut fresh) = backend.accepted() {
            assert_eq!(fresh.request().text(), "hello");
            fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");
            return Some(200);
        }
        (!client.is_quiet()).then_some(502)
    });
    assert_eq!(client.answer().status(), answered);
}

#[test]
fn a_post_is_never_sent_twice() {
    for (body, reset) in [("", false), ("", true), ("hi", false), ("hi", true)] {
        let (backend, proxy, mut client, mut upstream) = warmed();
        client.send(format!("POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(upstream.request().head.start, "POST /order HTTP/1.1");
        if reset {
            upstream.reset();
        } else {
            drop(upstream);
        }
        assert_eq!(client.answer().status(), 502);
        // The next that the backend sees is the next that was asked.
        let mut client = proxy.connect();
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(backend.accept().request().head.start, "GET /next HTTP/1.1");
        backend.assert_untouched();
    }
}

#[test]
fn a_connection_closed_while_idle_is_not_used() {
    let (backend, _proxy, mut client, mut upstream) = warmed();
    upstream.finish();
    client.send("POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let mut fresh = backend.accept();
    assert_eq!(fresh.request().text(), "hi");
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().status(), 200);
    upstream.end();
}

#[test]
fn a_fresh_connection_that_dies_unanswered_is_a_502() {
    stage!(backend, proxy, client);
    client.send("GET /once HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    drop(upstream);
    assert_eq!(client.answer().status(), 502);
    backend.assert_untouched();
    assert_eq!(proxy.access("/once")["reason"], "upstream_reset");
}

#[test]
fn an_answer_that_had_begun_is_not_asked_for_again() {
    let (backend, _proxy, mut client, mut upstream) = warmed();
    client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.request();
    upstream.send("HTTP/1.1 20");
    drop(upstream);
    assert_eq!(client.answer().status(), 502);
    backend.assert_untouched();
}
