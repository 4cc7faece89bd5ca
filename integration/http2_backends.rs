//! HTTP/2 to backends: what a request and its answer become on the way, how connections are shared, and what becomes of requests when one
//! of them ends.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::frames::*;
use crate::support::secure::SecureBackend;
use crate::support::streams::{read, say};
use crate::support::{Backend, Counting, Frame, Frames, Proxy, Site, Streams, until};

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

fn site(backend: &Backend) -> Site {
    Site::to([backend.address()]).pool("protocol = \"http2\"").workers(1)
}

fn by_hand() -> (Backend, Proxy) {
    let backend = Backend::bind();
    let proxy = site(&backend).start();
    (backend, proxy)
}

fn get<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

const OK: &[(&str, &str)] = &[(":status", "200")];

// ---- messages

#[test]
fn a_request_becomes_one_of_http2() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.connect();
    client.send(
        "GET /a?b=c HTTP/1.1\r\nHost: A.example\r\nX-UPPER: v\r\nConnection: keep-alive, te, x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
         TE: trailers, deflate\r\nCookie: a=1; b=2\r\n\r\n",
    );
    let mut line = Frames::accept(&backend, &[]);
    let (stream, fields, last) = line.request();
    assert!(last, "no content, no DATA");
    for (name, value) in [
        (":method", Some("GET")),
        (":scheme", Some("http")),
        (":path", Some("/a?b=c")),
        (":authority", Some("A.example")),
        ("host", None),
        ("connection", None),
        ("keep-alive", None),
        ("transfer-encoding", None),
        ("content-length", None),
        ("x-mine", None),
        ("te", Some("trailers")),
        ("x-upper", Some("v")),
        ("cookie", Some("a=1; b=2")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("A.example")),
        ("via", Some("1.1 tidegate")),
    ] {
        assert_eq!(get(&fields, name), value, "{name}");
    }
    assert!(fields.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
    line.head(stream, &[(":status", "404"), ("content-length", "3"), ("x-a", "1")], false);
    line.data(stream, "abc", true);
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (404, "abc"));
    assert_eq!((answer.head.get("x-a"), answer.head.get("via")), (Some("1"), Some("2.0 tidegate")));
    assert_eq!(answer.head.get("transfer-encoding"), None);
}

#[test]
fn trailers_pass_both_ways_between_both_protocols() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.connect();
    client.send(
        "POST /1 HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let mut line = Frames::accept(&backend, &[]);
    let asked = line.message(1);
    assert_eq!((&asked.body[..], asked.trailer("x-sum"), asked.get("content-length")), (&b"hi"[..], Some("7"), None));
    line.head(1, OK, false);
    line.data(1, "yes", false);
    line.head(1, &[("x-end", "8")], true);
    client.head();
    assert_eq!(client.chunked(), (b"yes".to_vec(), vec![("x-end".to_owned(), "8".to_owned())]));

    let mut client = Frames::connect(proxy.web);
    client.head(1, &request("POST", "/2"), false);
    client.data(1, "hi", false);
    client.head(1, &[("x-sum", "9")], true);
    let asked = line.message(3);
    assert_eq!((&asked.body[..], asked.trailer("x-sum")), (&b"hi"[..], Some("9")));
    line.head(3, OK, false);
    line.head(3, &[("x-end", "10")], true);
    let heard = client.message(1);
    assert_eq!((heard.status(), heard.trailer("x-end")), (200, Some("10")));
}

#[test]
fn both_directions_stream_at_once_and_an_early_answer_may_end_first() {
    let (backend, proxy) = by_hand();
    let mut client = Frames::connect(proxy.web);
    client.head(1, &request("POST", "/"), false);
    let mut line = Frames::accept(&backend, &[]);
    let (stream, ..) = line.request();
    line.head(stream, OK, false);
    assert_eq!(client.fields(1).0[0].1, "200");
    for piece in ["a", "b", "c"] {
        client.data(1, piece, false);
        assert_eq!(line.wait("the piece", |frame| frame.kind == DATA).payload, piece.as_bytes());
        line.data(stream, piece, false);
        assert_eq!(client.wait("the echo", |frame| frame.kind == DATA).payload, piece.as_bytes());
    }
    // RFC 9113 8.1: the answer is whole, and the rest of the request is not wanted.
    line.data(stream, "end", true);
    line.reset(stream, NO_ERROR);
    let end = client.wait("the end", |frame| frame.kind == DATA && frame.has(END_STREAM) || frame.kind == RST_STREAM);
    assert_eq!((end.kind, &end.payload[..]), (DATA, &b"end"[..]));
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

#[test]
fn a_large_upload_waits_for_the_backends_window() {
    let backend = Streams::start(|asked, mut respond| async move { say(&mut respond, read(asked).await.len().to_string()) });
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").start();
    let content = vec![b'x'; 3 << 20];
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len()));
    client.send(&content);
    assert_eq!(client.answer().text(), content.len().to_string());
}

#[test]
fn interim_answers_are_passed_on() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    let (stream, ..) = line.request();
    line.head(stream, &[(":status", "103"), ("link", "</a>")], false);
    let hint = client.head();
    assert_eq!((hint.status(), hint.get("link")), (103, Some("</a>")));
    line.head(stream, &[(":status", "204")], true);
    assert_eq!(client.answer().status(), 204);
}

#[test]
fn answers_without_content_have_none() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, &[(":status", "200"), ("content-length", "5")], true);
    let head = client.head();
    assert_eq!((head.status(), head.get("content-length")), (200, Some("5")));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    line.request();
    line.head(3, &[(":status", "304"), ("etag", "\"a\"")], true);
    let head = client.head();
    assert_eq!((head.status(), head.get("etag"), head.get("transfer-encoding")), (304, Some("\"a\""), None));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    line.request();
    line.head(5, OK, true);
    let answer = client.answer();
    assert_eq!((answer.status(), answer.head.get("content-length")), (200, Some("0")));
}

#[test]
fn the_end_of_an_answer_without_content_may_come_by_itself() {
    let (backend, proxy) = by_hand();
    let mut line = None;
    for (stream, method, status) in [(1, "HEAD", "200"), (3, "GET", "204"), (5, "GET", "304")] {
        let mut client = proxy.connect();
        client.send(format!("{method} /{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let line = line.get_or_insert_with(|| Frames::accept(&backend, &[]));
        line.request();
        line.head(stream, &[(":status", status), ("x-a", "1")], false);
        // Who asked has all that there is, while the backend still has the request.
        let head = client.head();
        assert_eq!((head.status().to_string().as_str(), head.get("x-a")), (status, Some("1")));
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 1.0);
        line.data(stream, "", true);
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
        assert!(line.round().iter().all(|frame| frame.kind != RST_STREAM), "{status}: {:?}", line.round());
    }
    // Content in its place is nobody's.
    let mut client = proxy.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut line = line.expect("a connection");
    line.request();
    line.head(7, OK, false);
    line.data(7, "x", false);
    assert_eq!(client.head().status(), 200);
    line.reset_code(7);
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

#[test]
fn whole_answers_without_content_make_up_for_errors() {
    let backend = Backend::bind();
    let proxy = site(&backend).pool("eject = { errors = 3, on = [\"500\"] }").start();
    let mut line = None;
    for (stream, status) in [(1, "500"), (3, "204"), (5, "500")] {
        let mut client = proxy.ask("/");
        let line = line.get_or_insert_with(|| Frames::accept(&backend, &[]));
        line.request();
        line.head(stream, &[(":status", status)], false);
        line.data(stream, "", true);
        assert_eq!(client.head().status().to_string(), status);
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    }
    proxy.metric_becomes("tidegate_backend_errors_in_a_row", &[], 1.0);
}

/// A client that does not read holds up its interim answers, and they must not pile up behind it.
#[test]
fn interim_answers_without_end_are_an_error_however_slow_the_client() {
    let (backend, large) = (Backend::bind(), Backend::bind());
    let site =
        site(&backend).with(&format!("[pool.large]\nbackends = [\"{}\"]\n[[route]]\npath = \"/large\"\npool = \"large\"", large.address()));
    let proxy = site.start();
    let mut client = Frames::with_settings(proxy.web, &[(INITIAL_WINDOW_SIZE, i32::MAX as u32)]);
    client.window(0, i32::MAX as u32 - 65_535);
    client.get(1, "/large");
    let mut upstream = large.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    upstream.write_at_most(Duration::from_millis(300));
    let piece = vec![b'x'; 1 << 20];
    let stopped = (0..900).find_map(|_| upstream.try_send(&piece).err());
    assert_eq!(stopped.map(|error| error.kind()), Some(ErrorKind::WouldBlock), "the client is held up");
    client.get(3, "/loop");
    let mut line = Frames::accept(&backend, &[]);
    let (stream, ..) = line.request();
    for _ in 0..100 {
        line.head(stream, &[(":status", "103"), ("link", "</a>")], false);
    }
    line.reset_code(stream);
    proxy.metric_becomes("tidegate_upstream_attempts_total", &["pool=\"app\"", "outcome=\"cancelled\""], 1.0);
}

/// Each answer as its frames; what the log calls it, and whether a head had gone out.
#[test]
fn content_of_another_length_is_never_passed_off_as_whole() {
    let (backend, proxy) = by_hand();
    let mut line = None;
    for (path, length, content, reason) in [
        ("/short", "5", "abc", "response_malformed"),
        ("/long", "2", "abc", "response_malformed"),
        ("/cut", "5", "abc", "response_truncated"),
    ] {
        let mut client = proxy.ask(path);
        let line = line.get_or_insert_with(|| Frames::accept(&backend, &[]));
        let (stream, ..) = line.request();
        line.head(stream, &[(":status", "200"), ("content-length", length)], false);
        line.data(stream, content, path != "/cut");
        if path == "/cut" {
            line.reset(stream, INTERNAL_ERROR);
        }
        let (came, _) = client.rest();
        let came = String::from_utf8_lossy(&came);
        let (head, came) = came.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 502") || came.len() < length.parse().expect("digits"), "{path}: {head}, {came}");
        assert_eq!(proxy.access(path)["reason"], reason, "{path}");
    }
}

#[test]
fn an_answer_that_is_malformed_is_a_bad_gateway() {
    let (backend, proxy) = by_hand();
    let mut line = None;
    for (path, fields) in [
        ("/blanks", &[(":status", "200"), ("x-a", " 1")][..]),
        ("/twice", &[(":status", "200"), ("content-length", "1"), ("content-length", "1")]),
        ("/connection", &[(":status", "200"), ("connection", "close")]),
    ] {
        let mut client = proxy.ask(path);
        let line = line.get_or_insert_with(|| Frames::accept(&backend, &[]));
        let (stream, ..) = line.request();
        line.head(stream, fields, true);
        assert_eq!(client.answer().status(), 502, "{path}");
        assert_eq!(proxy.access(path)["reason"], "response_malformed", "{path}");
    }
}

#[test]
fn an_upgrade_is_refused() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 501);
    assert!(answer.text().contains("upgrade_unsupported"), "{}", answer.text());
    backend.assert_untouched();
}

// ---- who does not speak it

#[test]
fn a_backend_that_speaks_something_else_is_told_apart() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").start();
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("upstream_not_http2"), "{}", answer.text());
}

/// By ALPN, where the backend agrees; where it does not, nothing is sent.
#[test]
fn under_tls_it_has_to_be_agreed_on() {
    let authority = Authority::new();
    let signed = authority.sign(&["127.0.0.1"]);
    let backend = Streams::with(h2::server::Builder::new(), Some(&signed), |asked, mut respond| async move {
        say(&mut respond, asked.uri().scheme_str().unwrap_or_default().to_owned());
    });
    let other = SecureBackend::start(&signed, true, None);
    for (address, expected) in [(backend.address(), "https"), (other.address(), "upstream_not_http2")] {
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("write");
        let site = Site::to([address])
            .pool("protocol = \"http2\"\ntls = { ca = \"ca.pem\" }\nhealth = { kind = \"tcp\", every = \"500ms\", start = \"up\" }");
        let proxy = site.start_in(dir);
        let text = proxy.get("/").text();
        assert!(text.contains(expected), "{text}");
        let found = if expected == "https" { "outcome=\"passed\"" } else { "outcome=\"tls_failed\"" };
        until(found, || proxy.metric("tidegate_probes_total", &[found]));
    }
}

#[test]
fn one_that_does_is_gone_to_instead() {
    let (other, backend) = (Counting::start("a"), Streams::start(|_, mut respond| async move { say(&mut respond, "b") }));
    let site = Site::to([other.address(), backend.address()]).algorithm("round_robin").pool("protocol = \"http2\"");
    let proxy = site.start();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "b");
    }
}

#[test]
fn one_that_says_nothing_runs_out_of_time() {
    let backend = Backend::bind();
    let proxy = site(&backend).pool("timeout = { connect = \"200ms\" }").start();
    let mut client = proxy.ask("/");
    let _silent = backend.accept();
    let answer = client.answer();
    assert_eq!(answer.status(), 504);
    assert!(answer.text().contains("connect_timeout"), "{}", answer.text());
}

// ---- connections

#[test]
fn requests_share_a_connection_and_another_is_opened_where_it_is_full() {
    let backend = Backend::bind();
    let proxy = site(&backend).start();
    let mut clients = vec![proxy.ask("/0")];
    let mut first = Frames::accept(&backend, &[(MAX_CONCURRENT_STREAMS, 2)]);
    first.request();
    clients.push(proxy.ask("/1"));
    first.request();
    clients.push(proxy.ask("/2"));
    let mut second = Frames::accept(&backend, &[(MAX_CONCURRENT_STREAMS, 2)]);
    second.request();
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 3.0);
    proxy.metric_becomes("tidegate_upstream_http2_connections", &["pool=\"app\""], 2.0);
    proxy.metric_becomes("tidegate_upstream_http2_streams", &["pool=\"app\""], 3.0);
    first.head(1, OK, true);
    first.head(3, OK, true);
    second.head(1, OK, true);
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    // The one that is the older is full no more.
    let mut client = proxy.ask("/3");
    assert_eq!(first.request().0, 5);
    first.head(5, OK, true);
    assert_eq!(client.answer().status(), 200);
    backend.assert_untouched();
}

#[test]
fn a_crowd_shares_the_connections_that_it_takes() {
    const CROWD: usize = 60;
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(10);
    // Nobody is answered before all are there.
    let crowd = Arc::new(tokio::sync::Barrier::new(CROWD));
    let backend = Streams::with(builder, None, move |_, mut respond| {
        let crowd = crowd.clone();
        async move {
            crowd.wait().await;
            say(&mut respond, "a");
        }
    });
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").workers(1).start();
    let mut clients: Vec<_> = (0..CROWD).map(|_| proxy.ask("/")).collect();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "a");
    }
    assert!(backend.crowd() <= 10, "{} at once", backend.crowd());
    assert!((6..=CROWD).contains(&backend.connections()), "{} connections", backend.connections());
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

#[test]
fn a_backend_that_takes_no_streams_refuses() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.ask("/");
    let _line = Frames::accept(&backend, &[(MAX_CONCURRENT_STREAMS, 0)]);
    let answer = client.answer();
    assert!(answer.text().contains("connect_refused"), "{}", answer.text());
}

#[test]
fn what_was_not_looked_at_is_sent_again_and_what_was_is_finished() {
    let (backend, proxy) = by_hand();
    let mut seen = proxy.ask("/seen");
    let mut first = Frames::accept(&backend, &[]);
    first.request();
    let mut unseen = proxy.connect();
    unseen.send("POST /unseen HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(first.request().0, 3);
    first.go_away(1, NO_ERROR);
    let mut second = Frames::accept(&backend, &[]);
    let again = second.message(1);
    assert_eq!((again.get(":method"), &again.body[..]), (Some("POST"), &b"hi"[..]));
    second.head(1, OK, true);
    assert_eq!(unseen.answer().status(), 200);
    first.head(1, &[(":status", "201")], true);
    assert_eq!(seen.answer().status(), 201);
    first.assert_ends();
    assert_eq!(proxy.access("/unseen")["status"], 200);
}

/// As nginx does behind `keepalive_requests`: of a crowd that comes at once, many see it leave more than once.
#[test]
fn a_backend_may_leave_more_than_once_before_it_looks_at_a_request() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    for _ in 0..4 {
        let mut line = Frames::accept(&backend, &[]);
        line.request();
        line.go_away(0, NO_ERROR);
        line.assert_ends();
    }
    let mut line = Frames::accept(&backend, &[]);
    assert_eq!(line.message(1).body, b"hi");
    line.head(1, OK, true);
    assert_eq!(client.answer().status(), 200);
    // There is an end to it.
    let (backend, proxy) = by_hand();
    let mut client = proxy.ask("/never");
    for _ in 0..9 {
        let mut line = Frames::accept(&backend, &[]);
        line.request();
        line.go_away(0, NO_ERROR);
    }
    assert!(client.answer().text().contains("upstream_refused"));
    backend.assert_untouched();
}

#[test]
fn a_post_that_was_refused_is_sent_again_and_one_that_was_cut_off_is_not() {
    let (backend, proxy) = by_hand();
    let post = |path: &str| {
        let mut client = proxy.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        client
    };
    let mut client = post("/refused");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.reset(1, REFUSED_STREAM);
    assert_eq!(line.message(3).body, b"hi");
    line.head(3, OK, true);
    assert_eq!(client.answer().status(), 200);

    let mut client = post("/twice");
    line.message(5);
    line.reset(5, REFUSED_STREAM);
    line.message(7);
    line.reset(7, REFUSED_STREAM);
    let answer = client.answer();
    assert!(answer.text().contains("upstream_refused"), "{}", answer.text());

    let mut client = post("/reset");
    line.message(9);
    line.reset(9, INTERNAL_ERROR);
    assert!(client.answer().text().contains("upstream_reset"));
    let mut client = post("/gone");
    line.message(11);
    drop(line);
    assert!(client.answer().text().contains("upstream_reset"));
    backend.assert_untouched();
}

#[test]
fn a_client_that_leaves_takes_its_stream_back_and_no_other() {
    let (backend, proxy) = by_hand();
    let mut stays = proxy.ask("/stays");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    let mut client = Frames::connect(proxy.web);
    client.get(1, "/leaves");
    assert_eq!(line.request().0, 3);
    client.reset(1, CANCEL);
    assert_eq!(line.reset_code(3), CANCEL);
    let goes = proxy.ask("/goes");
    assert_eq!(line.request().0, 5);
    goes.reset();
    assert_eq!(line.reset_code(5), CANCEL);
    line.head(1, OK, true);
    assert_eq!(stays.answer().status(), 200);
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let backend = Streams::start(|asked, mut respond| async move {
        let size = if asked.uri().path() == "/large" { 8 << 20 } else { 1 };
        say(&mut respond, vec![b'x'; size]);
    });
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").workers(1).start();
    let mut slow: Vec<Frames> = (0..20).map(|_| Frames::connect(proxy.web)).collect();
    for client in &mut slow {
        client.get(1, "/large");
        client.fields(1);
    }
    for _ in 0..20 {
        assert_eq!(proxy.get("/small").text(), "x");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_idle_connection_is_closed_in_its_time_and_says_so() {
    let backend = Backend::bind();
    let proxy = site(&backend).pool("timeout = { idle = \"300ms\" }").start();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, OK, true);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(line.goaway().1, NO_ERROR);
    line.assert_ends();
}

#[test]
fn a_backend_that_is_removed_finishes_what_it_has() {
    let (backend, other) = (Backend::bind(), Counting::start("b"));
    let site = site(&backend);
    let proxy = site.start();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, OK, false);
    assert_eq!(client.head().status(), 200);
    proxy.edit(&site.clone().backends([other.address()]).pool("idle_connections = 3"));
    until("the new table", || (proxy.pool()["backends"][0]["address"] == other.address().to_string()).then_some(()));
    // A worker takes up the new table with its next request.
    proxy.get("/next");
    line.data(1, "rest", true);
    assert_eq!(line.goaway().1, NO_ERROR);
    line.assert_ends();
    client.expect("4\r\nrest\r\n0\r\n\r\n");
}

#[test]
fn time_outs_are_in_force_for_each_stream() {
    let backend = Backend::bind();
    let proxy = site(&backend).pool("timeout = { first_byte = \"300ms\", stall = \"300ms\" }").start();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, OK, true);
    assert_eq!(client.answer().status(), 200);
    let mut client = proxy.ask("/late");
    line.request();
    assert!(client.answer().text().contains("first_byte_timeout"));
    assert_eq!(line.reset_code(3), CANCEL);
    let mut client = proxy.ask("/stalls");
    // Nothing had come on the first one meanwhile: nobody is sent there again.
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, OK, false);
    line.data(1, "a", false);
    client.head();
    assert_eq!(line.reset_code(1), CANCEL);
    assert_eq!(proxy.access("/stalls")["reason"], "stall_timeout");
}

#[test]
fn checks_speak_it_too() {
    let backend = Streams::start(|asked, mut respond| async move { say(&mut respond, asked.uri().path().to_owned()) });
    let site = Site::to([backend.address()]).pool("protocol = \"http2\"");
    let proxy = site.clone().pool("health = { path = \"/healthz\", every = \"500ms\", body = \"/healthz\" }").start();
    proxy.metric_becomes("tidegate_backend_up", &[], 1.0);
    assert!(proxy.metric("tidegate_probes_total", &["outcome=\"passed\""]).is_some_and(|passed| passed > 0.0));
    assert_eq!(proxy.get("/").text(), "/");
    let other = Counting::start("a");
    let proxy = site.elsewhere().backends([other.address()]).pool("health = { every = \"500ms\" }").start();
    until("a failed probe", || proxy.metric("tidegate_probes_total", &["outcome=\"malformed\""]));
    proxy.metric_becomes("tidegate_backend_up", &[], 0.0);
}

/// The library's limit, which has no option: if this fails, it has one, or another number, and the README is to say so.
#[test]
fn a_hundred_empty_frames_are_borne_and_no_more() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.head(1, OK, false);
    for _ in 0..100 {
        line.data(1, "", false);
    }
    line.data(1, "hello", false);
    client.head();
    client.expect("5\r\nhello\r\n");
    line.data(1, "", false);
    assert_eq!(line.goaway().1, ENHANCE_YOUR_CALM);
    assert_eq!(proxy.access("/")["reason"], "response_malformed");
}

#[test]
fn a_frame_that_is_none_ends_the_connection_and_its_requests() {
    let (backend, proxy) = by_hand();
    let mut client = proxy.ask("/");
    let mut line = Frames::accept(&backend, &[]);
    line.request();
    line.send(Frame::new(DATA, 0, 0, *b"x"));
    let answer = client.answer();
    assert!(answer.text().contains("response_malformed"), "{}", answer.text());
    assert_eq!(line.goaway().1, PROTOCOL_ERROR);
}
