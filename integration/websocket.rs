//! Tunnels: opened by the backend's 101 and by nothing else, then bytes both ways until both ends are done or nothing moves.

use std::time::{Duration, Instant};

use crate::forwarding::stage;
use crate::support::proxy::after;
use crate::support::{Backend, End, Site, Wire};

pub const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Both ends of an open tunnel.
#[track_caller]
pub fn open(client: &mut Wire, backend: &Backend) -> Wire {
    client.send(UPGRADE);
    let mut upstream = backend.accept();
    let request = upstream.head();
    assert_eq!(request.get("upgrade"), Some("websocket"));
    assert!(request.lists("connection", "upgrade"), "{request:?}");
    upstream.send(SWITCHING);
    assert_eq!(client.head().status(), 101);
    upstream
}

#[test]
fn the_handshake_passes_and_then_bytes_both_ways() {
    stage!(backend, proxy, client);
    client.send(UPGRADE);
    let mut upstream = backend.accept();
    let request = upstream.head();
    assert_eq!(request.start, "GET /chat HTTP/1.1");
    assert_eq!(request.get("upgrade"), Some("websocket"));
    assert!(request.lists("connection", "upgrade"), "{request:?}");
    assert_eq!(request.get("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    upstream.send(SWITCHING);
    let head = client.head();
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert!(head.lists("connection", "upgrade"), "{head:?}");
    assert_eq!(head.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for n in 0..10 {
        client.send(format!("up {n}\r\n\r\n\0"));
        upstream.expect(format!("up {n}\r\n\r\n\0"));
        upstream.send(format!("down {n}\r\n\r\n\0"));
        client.expect(format!("down {n}\r\n\r\n\0"));
    }
    let large: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut writer = client.writer();
    let sending = std::thread::spawn({
        let large = large.clone();
        move || writer.send(&large)
    });
    assert!(upstream.take(large.len()) == large);
    sending.join().expect("all is sent");
}

#[test]
fn early_bytes_arrive_on_both_sides() {
    stage!(backend, proxy, client);
    // The client is not to speak before the 101; one that does has its bytes held back until then.
    client.send(format!("{UPGRADE}early up"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(format!("{SWITCHING}early down"));
    assert_eq!(client.head().status(), 101);
    client.expect("early down");
    upstream.expect("early up");
}

#[test]
fn either_end_may_finish_before_the_other() {
    stage!(backend, proxy, client);
    let mut upstream = open(&mut client, &backend);
    client.send("last words");
    client.finish();
    upstream.expect("last words");
    assert_eq!(upstream.end(), End::Closed);
    upstream.send("still here");
    client.expect("still here");
    upstream.finish();
    assert_eq!(client.end(), End::Closed);

    let mut client = proxy.connect();
    let mut upstream = open(&mut client, &backend);
    upstream.send("last words");
    upstream.finish();
    client.expect("last words");
    assert_eq!(client.end(), End::Closed);
    client.send("still here");
    upstream.expect("still here");
    client.finish();
    assert_eq!(upstream.end(), End::Closed);
}

#[test]
fn a_reset_ends_both_sides() {
    stage!(backend, proxy, client);
    let mut upstream = open(&mut client, &backend);
    client.reset();
    upstream.end();
    let mut client = proxy.connect();
    let upstream = open(&mut client, &backend);
    upstream.reset();
    client.end();
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    const IDLE: Duration = Duration::from_millis(300);
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("timeout = { tunnel = \"300ms\" }").start();
    let mut client = proxy.connect();
    let mut upstream = open(&mut client, &backend);
    // One direction is enough to keep it.
    for _ in 0..6 {
        after(IDLE / 3);
        upstream.send("ping");
        client.expect("ping");
    }
    let since = Instant::now();
    client.end();
    upstream.end();
    assert!(since.elapsed() > IDLE / 2, "closed after {:?}", since.elapsed());
}

#[test]
fn a_backend_that_declines_answers_as_usual() {
    stage!(backend, proxy, client);
    client.send(UPGRADE);
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno switch");
    assert_eq!(client.answer().text(), "no switch");
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(upstream.request().head.start, "GET /next HTTP/1.1");
}

#[test]
fn what_follows_a_declined_upgrade_is_a_request_and_judged_as_one() {
    stage!(backend, proxy, client);
    client.send(format!("{UPGRADE}GET /hidden HTTP/1.1\r\nHost: a\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"));
    let mut upstream = backend.accept();
    upstream.head();
    assert!(upstream.is_quiet(), "nothing passes before the 101");
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.answer().status(), 403);
    let hidden = upstream.request();
    assert_eq!(hidden.head.start, "GET /hidden HTTP/1.1");
    assert!(hidden.head.get("x-hop").is_none() && hidden.head.get("via").is_some(), "{hidden:?}");
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_502() {
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", SWITCHING),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", SWITCHING),
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        // RFC 9110 7.8: an HTTP/1.0 client can not upgrade.
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", SWITCHING),
    ] {
        stage!(backend, proxy, client);
        client.send(request);
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(format!("{answer}hello"));
        assert_eq!(client.answer().status(), 502, "{request:?} {answer:?}");
        upstream.end();
        assert_eq!(proxy.access(if request == UPGRADE { "/chat" } else { "/" })["reason"], "upgrade_unexpected");
    }
}

#[test]
fn cleartext_http_2_is_not_upgraded_to() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    let request = backend.accept().request();
    for name in ["upgrade", "http2-settings"] {
        assert!(request.head.get(name).is_none(), "a tunnel of HTTP/2 would pass by every rule: {request:?}");
    }
}

#[test]
fn the_access_log_has_a_line_when_the_tunnel_has_ended() {
    stage!(backend, proxy, client);
    let mut upstream = open(&mut client, &backend);
    upstream.send("12345");
    client.expect("12345");
    client.finish();
    upstream.end();
    drop(upstream);
    client.end();
    assert_eq!(proxy.access("/chat")["status"], 101);
}

#[test]
fn open_tunnels_are_counted_and_a_drain_waits_for_them_as_long_as_it_may() {
    let backend = Backend::bind();
    let mut proxy = Site::to([backend.address()]).server("drain_delay = \"0s\"\ndrain_timeout = \"600ms\"").start();
    let mut ends: Vec<(Wire, Wire)> = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.connect();
        let upstream = open(&mut client, &backend);
        ends.push((client, upstream));
    }
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 2.0);
    let (mut client, mut upstream) = ends.pop().expect("there are two");
    client.finish();
    upstream.end();
    drop(upstream);
    client.end();
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 1.0);

    let since = Instant::now();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    proxy.logged("nothing new is accepted");
    let (client, upstream) = &mut ends[0];
    client.send("still here");
    upstream.expect("still here");
    client.end();
    upstream.end();
    assert!(since.elapsed() >= Duration::from_millis(600), "cut after {:?}", since.elapsed());
    assert!(proxy.exit().success());
}
