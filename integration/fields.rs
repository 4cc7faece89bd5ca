//! Fields that end at the proxy, and fields that it makes itself: what each side may believe about the other.

use crate::forwarding::stage;
use crate::support::{Backend, Message, Proxy, Site, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the backend sees of a request.
#[track_caller]
fn seen(proxy: &Proxy, backend: &Backend, request: &str) -> Message {
    let mut client = proxy.connect();
    client.send(request);
    let mut upstream = backend.accept();
    let seen = upstream.request();
    upstream.send(OK.replace("200 OK\r\n", "200 OK\r\nConnection: close\r\n"));
    assert_eq!(client.answer().status(), 200);
    seen
}

#[test]
fn fields_for_one_hop_stop_here_on_the_way_up() {
    stage!(backend, proxy, _client);
    let request = seen(
        &proxy,
        &backend,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, x-other\r\nConnection: X-Third\r\nX-Hop: 1\r\nX-Other: 2\r\n\
         X-THIRD: 3\r\nX-Kept: 4\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: deflate\r\n\
         Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    for name in ["x-hop", "x-other", "x-third", "keep-alive", "proxy-connection", "te", "proxy-authorization", "upgrade", "http2-settings"]
    {
        assert!(request.head.all(name).is_empty(), "{name} in {request:?}");
    }
    assert_eq!(request.head.get("x-kept"), Some("4"));
    for option in ["x-hop", "x-other", "x-third", "upgrade", "http2-settings"] {
        assert!(!request.head.lists("connection", option), "{option} in {request:?}");
    }
}

#[test]
fn fields_for_one_hop_stop_here_on_the_way_down() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-Kept: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
         Upgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
    );
    let answer = client.answer();
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "connection"] {
        assert!(answer.head.all(name).is_empty(), "{name} in {answer:?}");
    }
    assert_eq!(answer.head.get("x-kept"), Some("2"));
}

#[test]
fn connection_can_not_name_away_what_the_proxy_answers_for() {
    stage!(backend, proxy, _client);
    let request = seen(
        &proxy,
        &backend,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
         Connection: Content-Length, Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Via\r\n\r\nhello",
    );
    assert_eq!(request.text(), "hello", "still framed");
    assert_eq!(request.head.get("host"), Some("a"));
    assert_eq!(request.head.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.head.get("x-forwarded-proto"), Some("http"));
    assert!(request.head.get("via").is_some());
}

#[test]
fn connection_can_not_name_away_the_framing_of_an_answer() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nConnection: Content-Length, Transfer-Encoding\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!(answer.text(), "hello");
    assert!(answer.head.get("content-length").is_some() || answer.head.get("transfer-encoding").is_some(), "{answer:?}");
}

const SPOOFED: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-forwarded-for: 192.0.2.3\r\n\
                       X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=192.0.2.1;proto=https\r\n\r\n";

#[test]
fn what_a_stranger_says_about_the_way_here_is_replaced() {
    stage!(backend, proxy, _client);
    let request = seen(&proxy, &backend, SPOOFED);
    assert_eq!(request.head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.head.all("x-forwarded-host"), ["a.example"]);
    assert!(!request.head.all("forwarded").iter().any(|value| value.contains("192.0.2.1")), "{request:?}");
    assert_eq!(proxy.access("/")["client"], "127.0.0.1");
}

#[test]
fn what_a_trusted_proxy_says_about_the_way_here_is_kept() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("trusted_proxies = [\"127.0.0.0/8\", \"192.0.2.3\"]").start();
    let request = seen(&proxy, &backend, SPOOFED);
    let hops: Vec<String> = request.head.all("x-forwarded-for").join(", ").split(", ").map(str::to_owned).collect();
    assert_eq!(hops, ["192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1"]);
    assert_eq!(request.head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(request.head.all("x-forwarded-host"), ["evil.example"]);
    // From the right: the first that is not one of ours.
    assert_eq!(proxy.access("/")["client"], "192.0.2.2");
}

#[test]
fn the_way_here_is_told() {
    stage!(backend, proxy, _client);
    let request = seen(&proxy, &backend, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 first\r\n\r\n");
    let via = request.head.all("via").join(", ");
    assert!(via.starts_with("1.0 first, 1.1 "), "RFC 9110 7.6.3: ours behind the others: {via}");
    let request = seen(&proxy, &backend, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(request.head.get("via").is_some_and(|via| via.starts_with("1.0 ")), "the version that it came by: {request:?}");
}

#[test]
fn the_backends_date_and_server_are_the_answers() {
    stage!(backend, proxy, client);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream: Wire = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: theirs\r\nContent-Length: 2\r\n\r\nok");
    let answer = client.answer();
    assert_eq!(answer.head.get("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.head.get("server"), Some("theirs"));
}

#[test]
fn answers_of_our_own_are_dated() {
    let backend = Backend::bind();
    let dead = backend.address();
    drop(backend);
    let proxy = Site::to([dead]).start();
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502);
    let date = answer.head.get("date").expect("RFC 9110 6.6.1: an origin of answers with a clock dates them").to_owned();
    let date = httpdate::parse_http_date(&date).expect("a date");
    assert!(date.elapsed().is_ok_and(|age| age.as_secs() < 60), "{date:?}");
}
