//! The PROXY protocol on both sides: who may say whose connection it is and must, what follows from it, and what backends are told.

use std::time::Duration;

use crate::support::{Backend, Counting, End, Proxy, Site, Wire, until};

const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
/// The sender's own, as health checks are.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Believes everybody on this machine.
fn behind_a_balancer(more: &str) -> (Backend, Proxy) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen(&format!("proxy_protocol = \"127.0.0.0/8\"\n{more}")).start();
    (backend, proxy)
}

fn answer(backend: &Backend) -> crate::support::Message {
    let mut upstream = backend.accept();
    let request = upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    request
}

#[test]
fn the_client_is_who_the_header_says() {
    let (backend, proxy) = behind_a_balancer("");
    for (path, header) in [("/line", LINE.as_bytes()), ("/binary", BINARY)] {
        let mut client = proxy.connect();
        client.send([header, format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n").as_bytes()].concat());
        let request = answer(&backend);
        assert_eq!((request.head.get("x-forwarded-for"), request.head.get("x-forwarded-port")), (Some("192.0.2.7"), Some("443")));
        assert_eq!(client.answer().text(), "hi");
        let line = proxy.access(path);
        assert_eq!((line["client"].as_str(), line["peer"].as_str()), (Some("192.0.2.7"), Some("192.0.2.7:4711")));
    }
}

#[test]
fn a_trusted_proxy_is_trusted_by_the_address_in_the_header() {
    let (backend, proxy) = behind_a_balancer("trusted_proxies = \"192.0.2.0/24\"");
    let mut client = proxy.connect();
    client.send(format!("{LINE}GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"));
    assert_eq!(answer(&backend).head.get("x-forwarded-for"), Some("203.0.113.9, 192.0.2.7"));
    client.answer();
    assert_eq!(proxy.access("/x")["client"], "203.0.113.9");
}

#[test]
fn a_header_in_drips_is_as_good() {
    let (backend, proxy) = behind_a_balancer("");
    let mut client = proxy.connect();
    for byte in [BINARY, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat() {
        client.send([byte]);
    }
    assert_eq!(answer(&backend).head.get("x-forwarded-for"), Some("192.0.2.7"));
    client.answer();
}

#[test]
fn a_connection_of_the_balancers_own_keeps_its_address() {
    let (backend, proxy) = behind_a_balancer("");
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = proxy.connect();
        client.send([header, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(answer(&backend).head.get("x-forwarded-for"), Some("127.0.0.1"));
        client.answer();
    }
}

#[test]
fn who_must_send_a_header_and_does_not_is_turned_away() {
    let (backend, proxy) = behind_a_balancer("timeout = { header = \"300ms\" }");
    let count = |reason: &str| proxy.metric("tidegate_connections_turned_away_total", &[&format!("reason=\"{reason}\"")]).unwrap_or(0.0);
    for bytes in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n"] {
        let mut client = proxy.connect();
        client.send(bytes);
        // What it sent is not read, so it may see a reset.
        let (rest, _) = client.rest();
        assert!(rest.is_empty(), "{bytes:?}: {rest:?}");
    }
    assert_eq!(count("proxy_header_malformed"), 3.0);
    proxy.logged("connections are turned away");
    assert_eq!(proxy.stderr().matches("connections are turned away").count(), 1, "one line, however many there are");
    for part in ["", "PROXY TCP4 "] {
        let mut client = proxy.connect();
        client.send(part);
        assert!(client.rest().0.is_empty());
    }
    until("both to be counted", || (count("proxy_header_timeout") == 2.0).then_some(()));
    // Somebody who only looks whether the port is open.
    let mut client = proxy.connect();
    client.finish();
    assert_eq!(client.end(), End::Closed);
    assert_eq!(count("proxy_header_malformed"), 3.0);
    backend.assert_untouched();
}

#[test]
fn one_deadline_covers_the_header_and_the_head() {
    let (backend, proxy) = behind_a_balancer("timeout = { header = \"600ms\" }");
    let mut client = proxy.connect();
    let began = std::time::Instant::now();
    crate::support::proxy::after(Duration::from_millis(400));
    client.send(LINE);
    crate::support::proxy::after(Duration::from_millis(100));
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.answer().status(), 408);
    let took = began.elapsed();
    assert!((500..1100).contains(&took.as_millis()), "{took:?}");
    backend.assert_untouched();
}

#[test]
fn from_others_it_is_a_bad_request() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("proxy_protocol = \"192.0.2.0/24\"").start();
    let mut client = proxy.connect();
    client.send(format!("{LINE}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.answer().status(), 400);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer(&backend).head.get("x-forwarded-for"), Some("127.0.0.1"));
    client.answer();
}

/// The line that a connection to a backend begins with.
fn introduction(upstream: &mut Wire) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(upstream.take(1));
    }
    String::from_utf8(line).expect("text")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_backend_is_told_whose_connection_it_is_and_no_other_client_gets_it() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).workers(1).pool("send_proxy_protocol = \"v1\"").start();
    let mut clients: Vec<Wire> = (0..2).map(|_| proxy.connect()).collect();
    let mut upstreams: Vec<Wire> = Vec::new();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        let said = introduction(&mut upstream);
        let words: Vec<&str> = said.trim_end().split(' ').collect();
        assert_eq!(words[..4], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"], "{said}");
        assert_eq!(words[4], client.local_port().to_string());
        assert_eq!(words[5], proxy.web.port().to_string());
        upstream.request();
        upstream.send(OK);
        client.answer();
        upstreams.push(upstream);
    }
    // Both are idle now; each serves its own client, the older one too.
    for _ in 0..2 {
        for (client, upstream) in clients.iter_mut().zip(&mut upstreams) {
            client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(upstream.request().head.start, "GET /again HTTP/1.1");
            upstream.send(OK);
            client.answer();
        }
    }
    assert!(backend.accepted().is_none());
    let mut third = proxy.connect();
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(introduction(&mut backend.accept()).starts_with("PROXY TCP4 "));
}

#[test]
fn where_there_is_no_room_for_more_the_oldest_owner_loses_his_connection() {
    let backend = Backend::bind();
    let pool = "send_proxy_protocol = \"v2\"\nidle_connections = 1";
    let proxy = Site::to([backend.address()]).workers(1).pool(pool).start();
    let mut clients: Vec<Wire> = (0..2).map(|_| proxy.connect()).collect();
    let mut upstreams: Vec<Wire> = Vec::new();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.take(28);
        upstream.request();
        upstream.send(OK);
        client.answer();
        upstreams.push(upstream);
    }
    assert_eq!(upstreams[0].end(), End::Closed);
    clients[1].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstreams[1].request();
    upstreams[1].send(OK);
    clients[1].answer();
}

#[test]
fn what_a_balancer_in_front_says_is_passed_on() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("proxy_protocol = \"127.0.0.1\"").pool("send_proxy_protocol = \"v2\"").start();
    let mut client = proxy.connect();
    client.send(format!("{LINE}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let mut upstream = backend.accept();
    upstream.expect(BINARY);
    upstream.request();
    upstream.send(OK);
    client.answer();
}

#[test]
fn probes_say_that_they_are_our_own() {
    for (version, expected) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", LOCAL)] {
        let backend = Backend::bind();
        let pool = format!("send_proxy_protocol = \"{version}\"\nhealth = {{ path = \"/up\", every = \"50ms\" }}");
        let _proxy = Site::to([backend.address()]).pool(&pool).start();
        let mut probe = backend.accept();
        probe.expect(expected);
        assert_eq!(probe.request().head.start, "GET /up HTTP/1.1");
    }
}

#[test]
fn a_reload_changes_who_has_to_introduce_himself() {
    let app = Counting::start("app");
    let site = Site::to([app.address()]);
    let proxy = site.start();
    assert_eq!(proxy.get("/").status(), 200);
    proxy.edit(&site.clone().listen("proxy_protocol = \"127.0.0.1\""));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.rest().0.is_empty());
}
