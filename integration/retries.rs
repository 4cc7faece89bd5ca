//! Another try: where it can do no harm, elsewhere, with all of the request, and never so many that they become the load.

use std::time::Duration;

use crate::support::proxy::{after, free_address};
use crate::support::{Backend, Counting, End, Proxy, Site, Wire, scripted, until, whichever};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
const ALL: &str = "on = [\"connect\", \"reset\", \"timeout\", \"500\", \"502\", \"503\", \"504\"]";

/// Two backends in the test's hands, and a client. Retries as `retry` has it; a first byte within a third of a second.
fn two(retry: &str) -> ([Backend; 2], Proxy, Wire) {
    let (backends, site) = scripted();
    let proxy = site.workers(1).pool(&format!("timeout = {{ first_byte = \"300ms\" }}\nretry = {{ {retry} }}")).start();
    let client = proxy.connect();
    (backends, proxy, client)
}

/// Ways for a backend to fail that has taken a request; each may look at it first.
type Failing = fn(Wire);

const FAILINGS: [(&str, &str, Failing); 4] = [
    ("ends unread", "reset", drop),
    ("resets", "reset", |mut wire| {
        wire.request();
        wire.reset();
    }),
    ("ends", "reset", |mut wire| drop(wire.request())),
    ("says 503", "503", |mut wire| {
        wire.request();
        wire.send(BUSY);
    }),
];

#[test]
fn a_post_is_never_sent_twice_whatever_happens_to_it() {
    let more: [(&str, &str, Failing); 3] = [
        ("ends in the middle of the request", "", |mut wire| drop(wire.head())),
        ("ends in the middle of the answer's head", "", |mut wire| {
            wire.request();
            wire.send("HTTP/1.1 20");
        }),
        ("does not answer", "", |mut wire| {
            wire.request();
            assert_eq!(wire.end(), End::Closed, "given up, and not to be used again");
        }),
    ];
    for request in [
        "POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "PATCH /order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "PURGE /order HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for (what, _, fail) in FAILINGS.iter().chain(&more) {
            let (backends, proxy, mut client) = two(&format!("tries = 3, {ALL}"));
            client.send(request);
            let (_, wire) = whichever(&backends);
            fail(wire);
            assert!(client.answer().status() >= 500, "{request:?}, {what}");
            backends.iter().for_each(Backend::assert_untouched);
            assert_eq!(proxy.access("/order")["attempts"], 1, "{request:?}, {what}");
        }
    }
}

#[test]
fn whatever_was_not_sent_may_go_elsewhere() {
    let backend = Counting::start("a");
    let proxy = Site::to([free_address(), backend.address(), free_address()]).pool("retry = { tries = 3, budget = \"0%\" }").start();
    for turn in 0..300 {
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        assert_eq!(client.answer().status(), 200, "turn {turn}: no budget is asked for");
    }
    assert_eq!(backend.requests(), 300);
}

#[test]
fn a_request_that_may_be_repeated_is_tried_elsewhere_with_all_of_its_content() {
    let requests = [
        ("GET", "\r\n", ""),
        ("DELETE", "\r\n", ""),
        ("PUT", "Content-Length: 5\r\n\r\nhello", "hello"),
        ("PUT", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n", "hello"),
    ];
    let silent: (&str, &str, Failing) = ("does not answer", "timeout", |mut wire| {
        wire.request();
        assert_eq!(wire.end(), End::Closed, "given up, and not to be used again");
    });
    for (method, rest, content) in requests {
        for (what, reason, fail) in FAILINGS.iter().chain(&[silent]) {
            let (backends, proxy, mut client) = two(ALL);
            client.send(format!("{method} /again HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\n{rest}"));
            let (first, wire) = whichever(&backends);
            fail(wire);
            let (second, mut wire) = whichever(&backends);
            assert_ne!(first, second, "{method}, {what}");
            let request = wire.request();
            assert_eq!((request.head.start.as_str(), request.head.get("x-kept")), (&*format!("{method} /again HTTP/1.1"), Some("1")));
            assert_eq!(request.text(), content, "{method}, {what}");
            if rest.contains("X-Sum") {
                assert_eq!(request.trailers, [("X-Sum".into(), "1".into())], "{what}");
            }
            wire.send(OK);
            assert_eq!(client.answer().text(), "ok", "{method}, {what}");
            let line = proxy.access("/again");
            assert_eq!((&line["attempts"], &line["retry"], &line["status"]), (&2.into(), &(*reason).into(), &200.into()), "{what}: {line}");
            proxy.metric_becomes("tidegate_upstream_retries_total", &[&format!("reason=\"{reason}\"")], 1.0);
        }
    }
}

#[test]
fn sixty_four_kibibytes_are_sent_again_and_one_byte_more_is_not() {
    for (size, chunked) in [(65_536, false), (65_536, true), (65_537, false), (65_537, true)] {
        let (backends, proxy, mut client) = two(ALL);
        let content: String = ('a'..='z').cycle().take(size).collect();
        let request = match chunked {
            true => format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{content}\r\n0\r\n\r\n"),
            false => format!("Content-Length: {size}\r\n\r\n{content}"),
        };
        client.send(format!("PUT /again HTTP/1.1\r\nHost: a\r\n{request}"));
        let (_, mut wire) = whichever(&backends);
        assert!(wire.request().text() == content);
        drop(wire);
        if size == 65_536 {
            let (_, mut wire) = whichever(&backends);
            assert!(wire.request().text() == content, "chunked: {chunked}");
            wire.send(OK);
            assert_eq!(client.answer().status(), 200);
        } else {
            assert_eq!(client.answer().status(), 502, "chunked: {chunked}");
            backends.iter().for_each(Backend::assert_untouched);
        }
        assert_eq!(proxy.access("/again")["received"], size, "what came from the client is counted once");
    }
}

#[test]
fn an_upload_in_the_middle_of_which_a_backend_fails_goes_on_at_another() {
    let (backends, _proxy, mut client) = two(ALL);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let (_, mut wire) = whichever(&backends);
    wire.head();
    wire.expect("hello");
    wire.send(BUSY);
    let (_, mut wire) = whichever(&backends);
    wire.head();
    wire.expect("hello");
    client.send("world");
    wire.expect("world");
    wire.send(OK);
    assert_eq!(client.answer().text(), "ok");
    // And the client's connection is as good as before.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn statuses_are_answers_unless_the_file_says_otherwise() {
    for status in [500, 502, 503, 504] {
        let (backends, _proxy, mut client) = two("tries = 2");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (_, mut wire) = whichever(&backends);
        wire.request();
        wire.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.answer().status(), status);
        backends.iter().for_each(Backend::assert_untouched);
    }
}

#[test]
fn nobody_is_asked_twice_and_the_last_answer_is_the_answer() {
    let (backends, proxy, mut client) = two(&format!("tries = 5, {ALL}"));
    client.send("GET /all HTTP/1.1\r\nHost: a\r\n\r\n");
    let (first, mut wire) = whichever(&backends);
    wire.request();
    wire.send(BUSY);
    let (second, mut other) = whichever(&backends);
    assert_ne!(first, second);
    other.request();
    other.send("HTTP/1.1 503 Very Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nbusy!");
    let answer = client.answer();
    assert_eq!((answer.head.start.as_str(), answer.head.get("retry-after")), ("HTTP/1.1 503 Very Busy", Some("7")));
    assert_eq!(answer.text(), "busy!");
    let line = proxy.access("/all");
    assert_eq!((&line["attempts"], &line["reason"]), (&2.into(), &serde_json::Value::Null), "{line}");
}

#[test]
fn an_answer_is_let_go_of_only_for_something_better() {
    // The other one is out of reach: what the first said is more than a failure to connect.
    let backend = Counting::saying(BUSY);
    let proxy = Site::to([backend.address()]).pool(&format!("retry = {{ tries = 3, {ALL} }}")).start();
    for _ in 0..3 {
        let answer = proxy.get("/");
        assert_eq!((answer.status(), answer.text().as_str()), (503, "busy"));
    }
    assert_eq!(backend.requests(), 3);
}

#[test]
fn the_connection_of_a_discarded_answer_is_kept_where_the_answer_is_short() {
    let (backends, _proxy, mut client) = two(ALL);
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (first, mut short) = whichever(&backends);
    short.request();
    short.send(BUSY);
    let (_, mut other) = whichever(&backends);
    other.request();
    other.send(OK);
    client.answer();
    // Both are idle now. Whoever is picked, the next request comes on a connection that is there.
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the next request", || (!short.is_quiet() || !other.is_quiet()).then_some(()));
    backends.iter().for_each(Backend::assert_untouched);
    drop((first, short, other));

    let (backends, _proxy, mut client) = two(ALL);
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, mut long) = whichever(&backends);
    long.request();
    long.send("HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\nnot all of it");
    let (_, mut other) = whichever(&backends);
    other.request();
    long.end();
    other.send(OK);
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_try_has_its_own_time() {
    let (backends, site) = scripted::<2>();
    let proxy = site.workers(1).pool("retry = { try_timeout = \"200ms\" }").start();
    let mut client = proxy.ask("/slow");
    let (_, mut hung) = whichever(&backends);
    hung.request();
    let (_, mut other) = whichever(&backends);
    other.request();
    hung.end();
    other.send(OK);
    assert_eq!(client.answer().status(), 200);

    // The last try has no more than the first.
    client.send("GET /hung HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 504);
    assert_eq!(proxy.access("/hung")["reason"], "try_timeout");

    // What must not be repeated has the time of the pool.
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("retry = { try_timeout = \"200ms\" }").start();
    let mut client = proxy.connect();
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    after(Duration::from_millis(500));
    upstream.send(OK);
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_client_that_waits_for_a_100_is_told_once_and_its_content_reaches_who_answers() {
    const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    // Before the 100, nothing of the content has been sent by anybody.
    let (backends, _proxy, mut client) = two(ALL);
    client.send(PUT);
    let (_, mut wire) = whichever(&backends);
    wire.head();
    drop(wire);
    let (_, mut wire) = whichever(&backends);
    wire.head();
    wire.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    wire.expect("hello");
    wire.send(OK);
    assert_eq!(client.answer().text(), "ok");

    // After it, the next backend gets what there is, and need not ask.
    let (backends, _proxy, mut client) = two(ALL);
    client.send(PUT);
    let (_, mut wire) = whichever(&backends);
    wire.head();
    wire.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    wire.expect("hello");
    wire.reset();
    let (_, mut wire) = whichever(&backends);
    wire.head();
    wire.expect("hello");
    wire.send("HTTP/1.1 100 Continue\r\n\r\n");
    wire.send(OK);
    assert_eq!(client.answer().text(), "ok", "and no second 100");
}

#[test]
fn what_was_announced_by_one_backend_is_not_answered_by_another() {
    let (backends, _proxy, mut client) = two(ALL);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, mut wire) = whichever(&backends);
    wire.request();
    wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.head().status(), 103);
    drop(wire);
    assert_eq!(client.answer().status(), 502);
    backends.iter().for_each(Backend::assert_untouched);
}

#[test]
fn one_try_is_one_try() {
    let (backends, _proxy, mut client) = two("tries = 1");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, mut wire) = whichever(&backends);
    wire.request();
    drop(wire);
    assert_eq!(client.answer().status(), 502);
    backends.iter().for_each(Backend::assert_untouched);
}

#[test]
fn a_pool_that_fails_whole_is_not_stormed() {
    const REQUESTS: usize = 1_000;
    let busy = || Counting::saying(BUSY);
    let backends = [busy(), busy(), busy()];
    let site = Site::to(backends.iter().map(Counting::address)).workers(1);
    let proxy = site.pool(&format!("retry = {{ tries = 3, backoff = \"0s\", {ALL} }}")).start();
    let mut client = proxy.connect();
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "busy");
    }
    let attempts: usize = backends.iter().map(Counting::requests).sum();
    // A fifth of the requests, and ten a second of the last ten seconds: so long does this not take, but on a bad day.
    assert!((REQUESTS * 12 / 10..=REQUESTS * 12 / 10 + 200).contains(&attempts), "{attempts} attempts at {REQUESTS} requests");
    proxy.metric_becomes("tidegate_upstream_retries_total", &["reason=\"503\""], (attempts - REQUESTS) as f64);
    assert!(proxy.metric("tidegate_upstream_retry_budget_exhausted_total", &[]).is_some_and(|refused| refused > 0.0));
    assert_eq!(backends.iter().map(Counting::connections).sum::<usize>(), 3, "short answers that are discarded cost no connection");
}
