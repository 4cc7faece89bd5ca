//! Answers that are kept: used again where they may be, fetched once for many, and never wrong.

use std::time::{Duration, Instant};

use crate::support::{Backend, Counting, Message, Proxy, Site, Wire, until};

const CACHE: &str = "[cache.main]\nmemory = \"16MiB\"\nmax_object = \"1MiB\"";

fn site(backend: std::net::SocketAddr) -> Site {
    Site::to([backend]).with(CACHE)
}

fn cached(backend: std::net::SocketAddr) -> Proxy {
    site(backend).route("cache = \"main\"").start()
}

/// A backend that gives the same answer always.
fn always(fields: &str, body: &str) -> Counting {
    answering(fields, body, Duration::ZERO)
}

fn answering(fields: &str, body: &str, takes: Duration) -> Counting {
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Counting::answering("127.0.0.1:0".parse().unwrap(), answer, takes)
}

fn ask(proxy: &Proxy, request: &str) -> Message {
    let mut wire = proxy.connect();
    wire.send(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n"));
    wire.answer()
}

/// The first request, answered by an origin in the test's hands: the client's connection and the origin's.
#[track_caller]
fn first(backend: &Backend, proxy: &Proxy, answer: &str) -> (Wire, Wire) {
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut origin = backend.accept();
    origin.request();
    origin.send(answer);
    assert!(answer.ends_with(&format!("\r\n\r\n{}", client.answer().text())));
    (client, origin)
}

#[track_caller]
fn status_says(answer: &Message, what: &str) {
    let said = answer.head.get("cache-status").unwrap_or_default();
    assert!(said.starts_with("tidegate; ") && said.contains(what), "{said:?} has no {what:?}");
}

#[test]
fn the_second_request_is_answered_from_memory() {
    let backend = always("Cache-Control: max-age=60\r\nX-A: 1", "hello");
    let proxy = cached(backend.address());
    let first = proxy.get("/x");
    status_says(&first, "fwd=uri-miss");
    status_says(&first, "stored");
    let mut wire = proxy.connect();
    for _ in 0..3 {
        wire.send("GET /x HTTP/1.1\r\nHost: ");
        wire.send(format!("{}\r\n\r\n", proxy.web));
        let hit = wire.answer();
        assert_eq!((hit.status(), hit.text().as_str(), hit.head.get("x-a")), (200, "hello", Some("1")));
        assert_eq!((hit.head.get("age"), hit.head.get("content-length")), (Some("0"), Some("5")));
        assert_eq!(hit.head.all("via").len(), 1);
        assert!(hit.head.get("date").is_some());
        status_says(&hit, "hit; ttl=");
    }
    assert_eq!(backend.requests(), 1);
    proxy.metric_becomes("tidegate_cache_requests_total", &["cache=\"main\"", "result=\"hit\""], 3.0);
    proxy.metric_becomes("tidegate_cache_entries", &["cache=\"main\""], 1.0);
    until("both lines", || (proxy.access_lines().len() >= 4).then_some(()));
    // Of several workers, in no order.
    let mut words: Vec<String> = proxy.access_lines().iter().map(|line| line["cache"].to_string()).collect();
    words.sort();
    assert_eq!(words, ["\"hit\"", "\"hit\"", "\"hit\"", "\"miss\""]);
}

#[test]
fn what_may_not_be_kept_is_fetched_each_time() {
    for (fields, why) in [
        ("Cache-Control: no-store", "detail=no-store"),
        ("Cache-Control: private, max-age=60", "detail=private"),
        ("Cache-Control: max-age=60\r\nSet-Cookie: a=b", "detail=set-cookie"),
        ("Cache-Control: max-age=60\r\nVary: *", "detail=vary"),
        ("X-A: 1", "detail=no-lifetime"),
    ] {
        let backend = always(fields, "mine");
        let proxy = cached(backend.address());
        for _ in 0..3 {
            status_says(&proxy.get("/"), why);
        }
        assert_eq!(backend.requests(), 3, "{fields}");
    }
}

/// `private` with a list of fields is about these alone: the one client whose answer it is gets them.
#[test]
fn fields_for_one_client_are_kept_for_none() {
    let control = "Cache-Control: max-age=60, private=\"x-user, set-cookie\", no-cache=x-b\r\nX-User: 1\r\nX-B: 1\r\nSet-Cookie: a=b";
    for (set_cookie, cookie) in [("refuse", Some("a=b")), ("strip", None)] {
        let backend = always(control, "x");
        let proxy = site(backend.address()).route(&format!("cache = {{ use = \"main\", set_cookie = \"{set_cookie}\" }}")).start();
        for expected in [[Some("1"), Some("1"), cookie], [None; 3]] {
            let answer = proxy.get("/");
            assert_eq!(["x-user", "x-b", "set-cookie"].map(|name| answer.head.get(name)), expected, "{set_cookie}");
        }
        assert_eq!(backend.requests(), 1);
    }
}

#[test]
fn requests_that_are_not_for_the_cache_go_around_it() {
    let backend = always("Cache-Control: max-age=60", "x");
    let proxy = cached(backend.address());
    for request in ["OPTIONS / HTTP/1.1", "GET / HTTP/1.1\r\nIf-Match: \"a\"", "GET / HTTP/1.1\r\nContent-Length: 0\r\nRange: bytes=0-0,-1"]
    {
        assert_eq!(ask(&proxy, request).status(), 200, "{request}");
        assert_eq!(ask(&proxy, request).status(), 200, "{request}");
    }
    assert_eq!(backend.requests(), 6);
    let refused = ask(&proxy, "GET /other HTTP/1.1\r\nCache-Control: only-if-cached");
    assert_eq!((refused.status(), backend.requests()), (504, 6));
}

#[test]
fn what_is_kept_answers_heads_parts_and_conditions() {
    let backend = always("Cache-Control: max-age=60\r\nETag: \"e\"\r\nContent-Type: text/plain", "0123456789");
    let proxy = cached(backend.address());
    ask(&proxy, "GET / HTTP/1.1");
    let mut wire = proxy.connect();
    wire.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = wire.head();
    assert_eq!((head.status(), head.get("content-length")), (200, Some("10")));
    assert_eq!(wire.rest().0, b"");
    for (request, status, body, range) in [
        ("Range: bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=10-", 416, "", Some("bytes */10")),
        ("Range: bytes=0-5,4-5", 200, "0123456789", None),
        ("Range: bytes=0-1,90-", 206, "01", Some("bytes 0-1/10")),
        ("Range: bytes=0-1\r\nIf-Range: \"e\"", 206, "01", Some("bytes 0-1/10")),
        ("Range: bytes=0-1\r\nIf-Range: \"f\"", 200, "0123456789", None),
    ] {
        let answer = ask(&proxy, &format!("GET / HTTP/1.1\r\n{request}"));
        assert_eq!((answer.status(), answer.text().as_str(), answer.head.get("content-range")), (status, body, range), "{request}");
    }
    let several = ask(&proxy, "GET / HTTP/1.1\r\nRange: bytes=8-, 0-1");
    let kind = several.head.get("content-type").unwrap_or_default().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let part =
        |range: &str, text: &str| format!("--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n{text}\r\n");
    assert_eq!((several.status(), several.head.get("content-range")), (206, None));
    assert_eq!(several.text(), [part("8-9", "89"), part("0-1", "01"), format!("--{boundary}--\r\n")].concat());
    let mut wire = proxy.connect();
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\nConnection: close\r\n\r\n");
    let head = wire.head();
    assert_eq!((head.status(), head.get("etag"), head.get("content-type")), (304, Some("\"e\""), None));
    assert_eq!(wire.rest().0, b"");
    assert_eq!(backend.requests(), 1);
}

/// Who plays media asks for all of it in this way, and nobody else might ever ask for the whole.
#[test]
fn all_bytes_from_the_first_on_are_fetched_as_the_whole() {
    let backend = always("Cache-Control: max-age=60\r\nETag: \"e\"", "0123456789");
    let proxy = cached(backend.address());
    for (range, text, said, requests) in
        [("bytes=0-", "0123456789", Some("bytes 0-9/10"), 1), ("bytes=3-", "3456789", Some("bytes 3-9/10"), 1)]
    {
        let answer = ask(&proxy, &format!("GET / HTTP/1.1\r\nRange: {range}"));
        assert_eq!((answer.text().as_str(), answer.head.get("content-range")), (text, said), "{range}");
        assert_eq!(backend.requests(), requests, "{range}");
    }
    let other = ask(&proxy, "GET /other HTTP/1.1\r\nRange: bytes=0-\r\nIf-Range: \"f\"");
    assert_eq!((other.status(), other.text().as_str()), (200, "0123456789"));
}

#[test]
fn a_crowd_reads_one_fetch_while_it_grows() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let mut crowd: Vec<Wire> = (0..20).map(|_| proxy.connect()).collect();
    crowd.iter_mut().for_each(|wire| wire.send("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let mut origin = backend.accept();
    origin.request();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    for wire in &mut crowd {
        assert_eq!(wire.head().status(), 200);
        assert_eq!(wire.chunk_size(), 4, "the first half is there before the second exists");
        wire.expect("half\r\n");
    }
    origin.send("5\r\n done\r\n0\r\n\r\n");
    for wire in &mut crowd {
        assert_eq!(wire.chunked().0, b" done");
    }
    backend.assert_untouched();
    let hit = ask(&proxy, "GET /big HTTP/1.1");
    assert_eq!((hit.text().as_str(), hit.head.get("content-length")), ("half done", Some("9")));
    proxy.metric_becomes("tidegate_cache_requests_total", &["result=\"collapsed\""], 19.0);
}

#[test]
fn nobody_waits_for_an_answer_that_is_anothers() {
    let takes = Duration::from_millis(300);
    let backend = answering("Cache-Control: private", "mine", takes);
    let proxy = cached(backend.address());
    let mut crowd: Vec<Wire> = (0..10).map(|_| proxy.connect()).collect();
    let began = Instant::now();
    crowd.iter_mut().for_each(|wire| wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    crowd.iter_mut().for_each(|wire| assert_eq!(wire.answer().status(), 200));
    assert_eq!(backend.requests(), 10);
    assert!(backend.peak() >= 8, "{} at once", backend.peak());
    assert!(began.elapsed() < takes * 5, "{:?}", began.elapsed());
}

/// While one asks an origin that fails, the others wait; and in the end they get what it got.
#[test]
fn an_origin_that_fails_is_not_asked_by_all_at_once() {
    let backend = Backend::bind();
    let site = site(backend.address()).workers(1).pool("retry = { tries = 1 }\neject = { errors = \"off\" }");
    let proxy = site.route("cache = \"main\"").start();
    let mut crowd: Vec<Wire> = (0..6).map(|_| proxy.connect()).collect();
    crowd.iter_mut().for_each(|wire| wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    // One of them asks, and the others wait for it.
    let origin = backend.accept();
    until("all to be there", || (proxy.metric("tidegate_requests_in_flight", &[])? >= 6.0).then_some(()));
    drop(origin);
    for _ in 0..2 {
        let origin = backend.accept();
        backend.assert_untouched();
        drop(origin);
    }
    crowd.iter_mut().for_each(|wire| assert_eq!(wire.answer().status(), 502));
    backend.assert_untouched();
}

/// What comes ahead of the answer is the leader's, and is not kept with it.
#[test]
fn interim_answers_go_to_who_leads() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut origin = backend.accept();
    origin.request();
    origin.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let hint = client.head();
    assert_eq!((hint.status(), hint.get("link")), (103, Some("</a>")));
    origin.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.head().status(), 102);
    for _ in 0..2 {
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str(), answer.head.get("link")), (200, "body", None));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}

#[test]
fn a_fetch_goes_on_when_its_client_leaves() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    for (at, cut) in ["", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nha"].iter().enumerate() {
        let mut client = proxy.connect();
        client.send(format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut origin = backend.accept();
        origin.request();
        origin.send(cut);
        if !cut.is_empty() {
            assert_eq!(client.head().status(), 200);
        }
        client.reset();
        until("the client's request to be over", || proxy.access_lines().get(at).cloned());
        let rest = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nhalf".strip_prefix(cut).unwrap();
        origin.send(rest);
        proxy.metric_becomes("tidegate_cache_fills_total", &[], at as f64 + 1.0);
        assert_eq!(ask(&proxy, &format!("GET /{at} HTTP/1.1")).text(), "half");
        backend.assert_untouched();
        drop(origin);
    }
}

#[test]
fn a_slow_fetch_is_succeeded() {
    let backend = Backend::bind();
    let proxy = site(backend.address()).route("cache = { use = \"main\", lock_age = \"200ms\" }").start();
    let (mut first, mut second) = (proxy.connect(), proxy.connect());
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut slow = backend.accept();
    slow.request();
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut quick = backend.accept();
    quick.request();
    quick.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nquick");
    assert_eq!(second.answer().text(), "quick");
    slow.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nslow");
    assert_eq!(first.answer().text(), "slow");
}

#[test]
fn a_cut_is_a_cut_and_is_not_kept() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    for _ in 0..2 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut origin = backend.accept();
        origin.request();
        origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf");
        drop(origin);
        client.head();
        assert_eq!(client.rest().0, b"half");
    }
    assert_eq!(proxy.metric("tidegate_cache_entries", &[]).unwrap_or_default(), 0.0);
}

#[test]
fn what_is_too_large_passes_by_whole() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let piece = vec![b'x'; 256 << 10];
    for framing in ["Content-Length: 4194304", "Transfer-Encoding: chunked"] {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut origin = backend.accept();
        origin.request();
        origin.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{framing}\r\n\r\n"));
        let chunked = framing.starts_with('T');
        let mut sender = origin.writer();
        let piece = piece.clone();
        let sending = std::thread::spawn(move || {
            for _ in 0..16 {
                if chunked {
                    sender.send(format!("{:x}\r\n", piece.len()));
                }
                sender.send(&piece);
                if chunked {
                    sender.send("\r\n");
                }
            }
            if chunked {
                sender.send("0\r\n\r\n");
            }
        });
        client.head();
        let read = if chunked { client.chunked().0.len() } else { client.up_to(4 << 20) };
        assert_eq!(read, 4 << 20, "{framing}");
        sending.join().unwrap();
    }
    assert_eq!(proxy.metric("tidegate_cache_entries", &[]).unwrap_or_default(), 0.0);
}

#[test]
fn the_origin_is_asked_whether_it_still_holds() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"one\"\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    for (theirs, status) in [("", 200), ("If-None-Match: \"theirs\"\r\n", 200), ("If-None-Match: \"one\"\r\n", 304)] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{theirs}\r\n"));
        assert_eq!(origin.request().head.all("if-none-match"), ["\"one\""]);
        origin.send("HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nX-A: 2\r\n\r\n");
        let head = client.head();
        assert_eq!((head.status(), head.get("x-a")), (status, Some("2")));
        assert!(head.get("cache-status").unwrap().contains("fwd=stale; fwd-status=304"));
        if status == 200 {
            client.expect("body");
        }
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\nnew");
    assert_eq!(client.answer().text(), "new");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(origin.request().head.get("if-none-match").is_none(), "what was kept is gone");
}

/// A HEAD that goes to the origin comes back with the head that a GET would have had (RFC 9111 4.3.5).
#[test]
fn a_head_from_the_origin_says_whether_what_is_kept_still_holds() {
    let kept = "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"one\"\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody";
    for (status, said, expected) in [
        (200, "ETag: \"one\"\r\nContent-Length: 4", Some("2")),
        (200, "ETag: \"one\"", Some("2")),
        (200, "ETag: \"two\"\r\nContent-Length: 4", None),
        (200, "ETag: \"one\"\r\nContent-Length: 5", None),
        (200, "ETag: W/\"one\"\r\nContent-Length: 4", None),
        (200, "ETag: \"one\"\r\nVary: Accept", None),
        (200, "ETag: \"one\"\r\nSet-Cookie: a=b", None),
        (200, "Content-Length: 4", None),
        (404, "ETag: \"one\"\r\nContent-Length: 4", None),
    ] {
        let backend = Backend::bind();
        let proxy = cached(backend.address());
        let (mut client, mut origin) = first(&backend, &proxy, kept);
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let asked = origin.request();
        assert!(asked.head.start.starts_with("HEAD ") && asked.head.get("if-none-match").is_none());
        origin.send(format!("HTTP/1.1 {status} x\r\nCache-Control: max-age=60\r\nX-A: 2\r\n{said}\r\n\r\n"));
        assert_eq!(client.head().get("cache-status"), Some("tidegate; fwd=stale"), "{said}");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if expected.is_none() {
            assert_eq!(origin.request().head.get("if-none-match"), Some("\"one\""), "{said}");
            origin.send("HTTP/1.1 304 Not Modified\r\nX-A: 3\r\n\r\n");
        }
        let answer = client.answer();
        assert_eq!((answer.text().as_str(), answer.head.get("x-a")), ("body", expected.or(Some("3"))), "{said}");
    }
}

/// Nor does it bring back what was purged while it was under way.
#[test]
fn a_head_from_the_origin_revives_nothing() {
    let kept = "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"one\"\r\nContent-Length: 4\r\n\r\nbody";
    let backend = Backend::bind();
    let proxy = site(backend.address()).route("cache = { use = \"main\", purge_from = [\"127.0.0.1\"] }").start();
    let (mut client, mut origin) = first(&backend, &proxy, kept);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    assert_eq!(ask(&proxy, "PURGE / HTTP/1.1").text(), "purged: 1 entries\n");
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"one\"\r\nContent-Length: 4\r\n\r\n");
    client.head();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(origin.request().head.get("if-none-match").is_none(), "nothing is kept");
}

/// A 304 is about what was asked for: one that names something else, or that nobody asked for, is no answer to anything.
#[test]
fn a_confirmation_of_something_else_confirms_nothing() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"one\"\r\nContent-Length: 3\r\n\r\none";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(origin.request().head.all("if-none-match"), ["\"one\""]);
    origin.send("HTTP/1.1 304 Not Modified\r\nETag: \"two\"\r\n\r\n");
    assert!(origin.request().head.all("if-none-match").is_empty());
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"two\"\r\nContent-Length: 3\r\n\r\ntwo");
    assert_eq!(client.answer().text(), "two");
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
}

/// What is not kept is not fetched whole for a client that has it already.
#[test]
fn what_is_not_kept_is_still_not_sent_to_those_who_have_it() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let mut client = proxy.connect();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"one\"\r\n\r\n";
    client.send(ask);
    let mut origin = backend.accept();
    assert!(origin.request().head.get("if-none-match").is_none(), "it might be for all");
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nETag: \"one\"\r\nContent-Length: 3\r\n\r\none");
    let head = client.head();
    assert_eq!((head.status(), head.get("etag"), head.get("content-length")), (304, Some("\"one\""), None));
    // From now on it is known that it is not.
    drop(origin);
    client.send(ask);
    let mut origin = backend.accept();
    assert_eq!(origin.request().head.all("if-none-match"), ["\"one\""]);
    origin.send("HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\n\r\n");
    assert_eq!(client.head().status(), 304);
}

#[test]
fn a_confirmation_has_an_age_too() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nAge: 60\r\nETag: \"one\"\r\nContent-Length: 3\r\n\r\none";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nAge: 30\r\n\r\n");
    for asked in [false, true] {
        if asked {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let answer = client.answer();
        let age = answer.head.get("age").and_then(|age| age.parse().ok());
        assert!(age.is_some_and(|age: u32| (30..60).contains(&age)), "{age:?}");
    }
    assert!(origin.is_quiet(), "it is fresh for the rest of its minute");
}

/// Stale from the start, by its `Age`: no test has to wait for it.
const OLD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=10, stale-while-revalidate=60, stale-if-error=600\r\nAge: 10\r\nContent-Length: 3\r\n\r\nold";

#[test]
fn stale_answers_are_used_while_somebody_fetches_them_anew() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let (mut client, mut origin) = first(&backend, &proxy, OLD);
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let stale = client.answer();
        assert_eq!(stale.text(), "old");
        assert!(stale.head.get("age").is_some_and(|age| age.parse::<u32>().unwrap() >= 10));
    }
    origin.request();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nnew");
    until("the new answer", || (ask(&proxy, "GET / HTTP/1.1").text() == "new").then_some(()));
    assert!(origin.is_quiet(), "it was fetched once");
}

#[test]
fn a_failing_origin_is_hidden_while_that_is_allowed() {
    let backend = Backend::bind();
    let proxy = site(backend.address()).route("cache = { use = \"main\", stale_if_error = \"1h\" }").start();
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=10\r\nAge: 10\r\nContent-Length: 3\r\n\r\nold";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
    assert_eq!(client.answer().text(), "old");
    drop((backend, origin));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "old");
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
}

#[test]
fn a_change_makes_what_is_kept_out_of_date() {
    let backend = always("Cache-Control: max-age=60\r\nLocation: /created\r\nContent-Location: http://b/other", "x");
    let proxy = cached(backend.address());
    let fetched = |path: &str| {
        let before = backend.requests();
        ask(&proxy, &format!("GET {path} HTTP/1.1"));
        backend.requests() > before
    };
    assert!(fetched("/x") && fetched("/created") && fetched("/other"));
    assert!(!fetched("/x"));
    ask(&proxy, "POST /x HTTP/1.1\r\nContent-Length: 0");
    assert!(fetched("/x") && fetched("/created"));
    assert!(!fetched("/other"), "it is another host's");
    ask(&proxy, "OPTIONS /x HTTP/1.1");
    assert!(!fetched("/x"));
}

/// RFC 9111 4.4: all answers of the URL, whatever they were kept by, and whichever route the change comes by.
#[test]
fn a_change_goes_to_all_that_is_kept_of_the_url() {
    let backend = always("Cache-Control: max-age=60", "x");
    let proxy = site(backend.address())
        .route(
            "method = [\"GET\"]\ncache = { use = \"main\", vary_by = [\"header:x-team\"], ignore_query = [\"utm_*\"], sort_query = true }",
        )
        .with("[[route]]\npath = \"/*\"\nmethod = [\"POST\"]\npool = \"app\"\nrequest_headers = { set = { x-b = \"1\" } }")
        .start();
    let fetched = |team: &str| {
        let before = backend.requests();
        ask(&proxy, &format!("GET /x?a=1&b=2 HTTP/1.1{team}"));
        backend.requests() > before
    };
    let teams = ["", "\r\nX-Team: a", "\r\nX-Team: b"];
    // The first may have to make room for the others once.
    teams.iter().chain(&teams).for_each(|team| {
        fetched(team);
    });
    assert_eq!(teams.map(fetched), [false; 3]);
    ask(&proxy, "POST /x?b=2&utm_source=c&a=1 HTTP/1.1\r\nX-Team: c\r\nContent-Length: 0");
    assert_eq!(teams.map(fetched), [true; 3]);
}

/// A proxy that we trust may say of the URL what the origin then believes: its answer is for those of whom the same is said.
#[test]
fn what_a_trusted_proxy_says_is_part_of_what_is_asked() {
    let backend = always("Cache-Control: max-age=60", "x");
    let proxy = site(backend.address()).listen("trusted_proxies = [\"127.0.0.1\"]").route("cache = \"main\"").start();
    let words = [
        "",
        "X-Forwarded-Port: 444",
        "X-Forwarded-Port: 445",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: b",
        "Forwarded: for=1.1.1.1;host=b",
        "Forwarded: for=1.1.1.1;host=c",
        "Forwarded: for=1.1.1.1;proto=https",
    ];
    let fetched = |word: &str| {
        let before = backend.requests();
        ask(&proxy, &format!("GET / HTTP/1.1{}{word}", if word.is_empty() { "" } else { "\r\n" }));
        backend.requests() > before
    };
    assert_eq!(words.map(fetched), [true; 8]);
    // The first of several under one URL makes room for the others once.
    words.iter().for_each(|word| {
        fetched(word);
    });
    assert_eq!(words.map(fetched), [false; 8]);
    assert!(!fetched("Forwarded: for=2.2.2.2;host=c"), "who asks is not what is asked");
}

#[test]
fn variants_are_kept_beside_each_other() {
    let backend = always("Cache-Control: max-age=60\r\nVary: Accept-Language, X-Team", "x");
    let proxy = cached(backend.address());
    let variants = ["", "\r\nAccept-Language: de", "\r\nAccept-Language: en", "\r\nX-Team: a", "\r\nX-Team: A"];
    for round in 1..=2 {
        for variant in variants {
            let answer = ask(&proxy, &format!("GET / HTTP/1.1{variant}"));
            if round == 2 {
                status_says(&answer, "hit");
            }
        }
        assert_eq!(backend.requests(), variants.len());
    }
    ask(&proxy, "DELETE / HTTP/1.1");
    ask(&proxy, "GET / HTTP/1.1");
    assert_eq!(backend.requests(), variants.len() + 2);
}

/// The origin's answer is about what the origin was sent. Where that is not what the key says, it is nobody else's.
#[test]
fn a_request_that_the_origin_sees_differently_fills_nothing() {
    for odd in [
        "Host: a\r\nAccept-Language: de\r\nConnection: accept-language, close",
        "Host: A\r\nAccept-Language: de",
        "Host: a.",
        "Host: a:80",
        "Host: a\r\nX-Original-URL: /admin",
        "Host: a\r\nx-forwarded-PREFIX: //evil",
    ] {
        let backend = always("Cache-Control: max-age=60\r\nVary: Accept-Language", "x");
        let proxy = cached(backend.address());
        let mut wire = proxy.connect();
        wire.send(format!("GET / HTTP/1.1\r\n{odd}\r\n\r\n"));
        assert_eq!(wire.answer().status(), 200);
        let language = if odd.contains("de") { "\r\nAccept-Language: de" } else { "" };
        for _ in 0..2 {
            ask(&proxy, &format!("GET / HTTP/1.1{language}"));
        }
        assert_eq!(backend.requests(), 2, "one for the odd request, one for the others: {odd:?}");
    }
}

/// One client's own words say nothing about what others may have.
#[test]
fn nobody_can_put_others_answers_away() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"one\"\r\nContent-Length: 4\r\n\r\nkept";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    for (own, answer) in [
        ("Cache-Control: no-cache, no-store", "HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\n\r\n"),
        ("Cache-Control: no-cache\r\nAuthorization: x", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"),
        (
            "Cache-Control: no-cache\r\nCookie: x",
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nno",
        ),
        ("Cache-Control: no-cache\r\nCookie: x", "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{own}\r\n\r\n"));
        origin.request();
        origin.send(answer);
        client.answer();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "kept");
        assert!(origin.is_quiet(), "after {own}");
    }
}

#[test]
fn what_is_to_vary_from_now_on_is_for_one_client_alone() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"one\"\r\nContent-Length: 4\r\n\r\nbody";
    let (mut client, mut origin) = first(&backend, &proxy, answer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: de\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\n\r\n");
    assert_eq!(client.answer().text(), "body");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: en\r\n\r\n");
    origin.request();
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nenglish");
    assert_eq!(client.answer().text(), "english");
}

#[test]
fn nobody_joins_a_fetch_that_began_before_a_change() {
    let backend = Backend::bind();
    // Who joins waits.
    let proxy = site(backend.address()).route("cache = { use = \"main\", lock_age = \"1h\" }").start();
    let mut early = proxy.connect();
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut before = backend.accept();
    before.request();
    let mut writer = proxy.connect();
    writer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut change = backend.accept();
    change.request();
    change.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(writer.answer().status(), 200);
    writer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    change.request();
    for (origin, client, text) in [(&mut before, &mut early, "old"), (&mut change, &mut writer, "new")] {
        origin.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\n{text}"));
        assert_eq!(client.answer().text(), text);
    }
    assert_eq!(ask(&proxy, "GET / HTTP/1.1").text(), "new");
}

/// Nobody waits for it, so there is nobody at whose pace it could go on.
#[test]
fn a_fetch_in_the_background_that_grows_too_large_gives_its_slot_back() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let (mut client, mut origin) = first(&backend, &proxy, OLD);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "old");
    origin.request();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = vec![b'x'; 64 << 10];
    until("the fetch to be given up", || {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let _ = origin.try_send(chunk);
        (proxy.metric("tidegate_backend_in_flight", &[]) == Some(0.0)).then_some(())
    });
}

#[test]
fn a_reload_keeps_what_is_kept() {
    let backend = always("Cache-Control: max-age=60", "x");
    let site = site(backend.address());
    let proxy = site.clone().route("cache = \"main\"").start();
    proxy.get("/");
    proxy.edit(&site.route("cache = { use = \"main\", status_header = \"key\" }").pool("algorithm = \"round_robin\""));
    assert_eq!(proxy.command(&["reload"]).0, Some(0));
    let hit = proxy.get("/");
    status_says(&hit, &format!("key=\"http://{}/\"", proxy.web));
    assert_eq!(backend.requests(), 1);
}

#[test]
fn routes_that_send_the_origin_something_else_do_not_share() {
    let backend = always("Cache-Control: max-age=60", "x");
    let proxy = site(backend.address())
        .route("cache = \"main\"")
        .with("[[route]]\nheader = { x-team = \"a\" }\npool = \"app\"\ncache = \"main\"\nrequest_headers = { set = { x-team = \"b\" } }")
        .start();
    ask(&proxy, "GET / HTTP/1.1");
    ask(&proxy, "GET / HTTP/1.1\r\nX-Team: a");
    assert_eq!(backend.requests(), 2);
}

#[test]
fn what_is_purged_is_fetched_anew() {
    let backend = always("Cache-Control: max-age=60, stale-while-revalidate=60\r\nCache-Tag: news", "x");
    let proxy = cached(backend.address());
    let url = format!("http://{}/x", proxy.web);
    for (arguments, said) in [
        (&["purge", &*url][..], "purged: 1 entries\n"),
        (&["purge", &format!("{}*", &url[..url.len() - 1])], "purged: 1 entries\n"),
        (&["purge", "--tag", "news", "--cache", "main"], "purged: 1 entries\n"),
        (&["purge", "--all"], "purged: 1 entries\n"),
        (&["purge", "--tag", "old"], "purged: 0 entries\n"),
    ] {
        let before = backend.requests();
        proxy.get("/x");
        proxy.get("/x");
        assert!(backend.requests() <= before + 1);
        assert_eq!(proxy.command(arguments), (Some(0), said.to_owned(), String::new()));
    }
    let other = Site::to([backend.address()])
        .with(CACHE)
        .route("cache = { use = \"main\", ignore_query = [\"utm_*\"], sort_query = true }")
        .start();
    other.get("/x?utm_source=a&b=2&a=1");
    let url = format!("http://{}/x?b=2&a=1&utm_source=b", other.web);
    assert_eq!(other.command(&["purge", &url]).1, "purged: 1 entries\n", "in any spelling");
    let before = backend.requests();
    assert_eq!(proxy.command(&["purge", "--all", "--soft"]).1, "made stale: 1 entries\n");
    status_says(&proxy.get("/x"), "hit");
    until("the new answer", || (backend.requests() > before).then_some(()));
    assert_eq!(proxy.command(&["purge", "--all", "--cache", "man"]), (Some(1), String::new(), "there is no cache `man`\n".to_owned()));
}

#[test]
fn nothing_is_kept_for_routes_without_a_cache() {
    let backend = always("Cache-Control: max-age=60", "x");
    let proxy = Site::to([backend.address()]).start();
    for _ in 0..2 {
        assert!(proxy.get("/").head.get("cache-status").is_none());
    }
    assert_eq!(backend.requests(), 2);
}

#[test]
fn a_purge_by_method_is_for_those_who_may_and_stays_here() {
    let backend = always("Cache-Control: max-age=60\r\nVary: Accept-Language", "x");
    let proxy = site(backend.address())
        .listen("trusted_proxies = [\"127.0.0.1\"]")
        .route("path = \"/open/*\"\ncache = { use = \"main\", purge_from = [\"127.0.0.0/8\", \"10.0.0.0/8\"] }")
        .with("[[route]]\npool = \"app\"\npath = \"/shut/*\"\ncache = \"main\"")
        .with("[[route]]\npool = \"app\"")
        .start();
    let fill = || {
        for language in ["de", "en"] {
            ask(&proxy, &format!("GET /open/x?q HTTP/1.1\r\nAccept-Language: {language}"));
        }
        ask(&proxy, "GET /open/x HTTP/1.1");
    };
    fill();
    assert_eq!(backend.requests(), 3);
    for (request, status, text) in [
        ("PURGE /shut/x HTTP/1.1", 405, "purge_not_allowed"),
        ("PURGE /open/x?q HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1", 403, "purge_forbidden"),
        ("PURGE /open/y HTTP/1.1", 200, "purged: 0 entries\n"),
        ("PURGE /open/x?q HTTP/1.1\r\nX-Forwarded-For: 10.1.2.3", 200, "purged: 2 entries\n"),
        ("PURGE /open/x?q HTTP/1.1", 200, "purged: 0 entries\n"),
    ] {
        let answer = ask(&proxy, request);
        assert_eq!(answer.status(), status, "{request}");
        assert!(answer.text().contains(text), "{request}: {}", answer.text());
        assert_eq!(answer.head.get("allow"), (status == 405).then_some("GET, HEAD"));
    }
    assert_eq!(backend.requests(), 3, "none of them went on");
    fill();
    assert_eq!(backend.requests(), 5, "what has no query stayed");
    assert_eq!(ask(&proxy, "PURGE /elsewhere HTTP/1.1").status(), 200);
    assert_eq!(backend.requests(), 6, "without a cache it is a method as any other");
}

#[test]
fn the_cache_says_what_it_keeps_and_why() {
    let backend = Backend::bind();
    let proxy = cached(backend.address());
    let explain = |url: &str| {
        let (code, said, complaint) = proxy.command(&["explain", "--cache", url, "--json"]);
        assert_eq!(complaint, "", "{url}");
        (code, serde_json::from_str::<serde_json::Value>(&said).expect("JSON"))
    };
    let (mut client, mut origin) = first(
        &backend,
        &proxy,
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, stale-if-error=9\r\nCache-Tag: news, sport\r\nContent-Length: 4\r\n\r\nbody",
    );
    let (code, said) = explain("http://A:80/");
    assert_eq!((code, &said["stored"], &said["caches"][0]["name"]), (Some(0), &true.into(), &"main".into()));
    let answer = &said["caches"][0]["answers"][0];
    for (key, expected) in [("key", "http://a/"), ("pool", "app"), ("state", "fresh")] {
        assert_eq!(answer[key], expected, "{answer}");
    }
    for (key, expected) in [("status", 200), ("lifetime_seconds", 60), ("stale_if_error_seconds", 9), ("content_bytes", 4)] {
        assert_eq!(answer[key], expected, "{answer}");
    }
    assert_eq!(answer["tags"], serde_json::json!(["news", "sport"]));
    assert_eq!(answer["because"], serde_json::json!(["cache-control: max-age=60, stale-if-error=9"]));
    assert!(answer["bytes"].as_u64() > answer["content_bytes"].as_u64());

    assert_eq!(proxy.command(&["purge", "http://a/", "--soft"]).0, Some(0));
    assert_eq!(explain("http://a/").1["caches"][0]["answers"][0]["state"], "purged softly");

    client.send("GET /mine HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.request();
    assert_eq!(explain("http://a/mine").1["caches"][0]["fetching"], 1);
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 4\r\n\r\nmine");
    assert_eq!(client.answer().text(), "mine");
    let (code, said) = explain("http://a/mine");
    assert_eq!((code, &said["stored"], &said["caches"][0]["last_refused"]), (Some(1), &false.into(), &"private".into()));
    assert!(proxy.command(&["explain", "--cache", "http://a/"]).1.contains("lifetime_seconds"), "for reading, too");
    assert_eq!(proxy.command(&["explain", "--cache", "/x"]).0, Some(1));
}

#[test]
fn a_change_that_spans_a_reload_leaves_nothing_stale() {
    let backend = Backend::bind();
    let site = site(backend.address()).route("cache = \"main\"");
    let proxy = site.start();
    let kept = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\nContent-Length: 3\r\n\r\nold";
    drop(first(&backend, &proxy, kept));
    status_says(&ask(&proxy, "GET / HTTP/1.1"), "; hit");
    let mut writer = proxy.connect();
    writer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut change = backend.accept();
    change.request();
    // The cache gets other shards while the origin is at it.
    let larger = "[cache.main]\nmemory = \"64MiB\"\nmax_object = \"16MiB\"";
    proxy.edit(&site.without_tables().with(larger));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    status_says(&ask(&proxy, "GET / HTTP/1.1"), "; hit");
    change.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(writer.answer().status(), 200);
    writer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    change.request();
    change.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nnew");
    assert_eq!(writer.answer().text(), "new");
}
