//! Nobody may keep us waiting for ever: each limit of time ends what it is about, and says so where something can still be said.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::proxy::{after, free_address};
use crate::support::{Backend, Counting, End, Proxy, Site, Wire, until};

/// A proxy whose listener waits this long, before a backend in the test's hands.
fn listening(timeout: &str) -> (Backend, Proxy, Wire) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen(&format!("timeout = {{ {timeout} }}")).start();
    let client = proxy.connect();
    (backend, proxy, client)
}

fn forwarding(timeout: &str) -> (Backend, Proxy, Wire) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool(&format!("timeout = {{ {timeout} }}")).start();
    let client = proxy.connect();
    (backend, proxy, client)
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_a_408() {
    let (backend, _proxy, mut client) = listening("header = \"300ms\"");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 408);
    assert!(answer.head.lists("connection", "close"), "{answer:?}");
    client.end();
    backend.assert_untouched();
}

#[test]
fn a_head_in_drips_does_not_buy_time() {
    let (backend, _proxy, mut client) = listening("header = \"400ms\"");
    let since = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    until("an end to the drips", || {
        std::thread::sleep(Duration::from_millis(20));
        (client.try_send("X-Drip: drop\r\n").is_err() || !client.is_quiet()).then_some(())
    });
    assert!(since.elapsed() < Duration::from_secs(5), "cut after {:?}", since.elapsed());
    backend.assert_untouched();
}

#[test]
fn waiting_before_the_first_byte_does_not_buy_time_for_the_rest() {
    let (backend, _proxy, mut client) = listening("header = \"2s\"");
    let since = Instant::now();
    after(Duration::from_millis(1500));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(client.answer().status(), 408);
    assert!(since.elapsed() < Duration::from_millis(3200), "cut after {:?}", since.elapsed());
    backend.assert_untouched();
}

#[test]
fn a_second_head_has_its_own_time() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).listen("timeout = { header = \"300ms\", idle = \"10s\" }").start();
    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        // Idle time is not head time.
        after(Duration::from_millis(200));
    }
    client.send("GET");
    assert_eq!(client.answer().status(), 408);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let (backend, _proxy, mut client) = listening("header = \"300ms\"");
    let (said, end) = client.rest();
    // A browser opens connections ahead of need: an answer on them would be taken for the next request's.
    assert_eq!((said.as_slice(), end), (&b""[..], End::Closed));
    backend.assert_untouched();
}

#[test]
fn a_body_without_progress_is_a_408_and_cut_for_the_backend() {
    let (backend, _proxy, mut client) = listening("body = \"300ms\"");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.expect("hello");
    let answer = client.answer();
    assert_eq!(answer.status(), 408);
    assert!(answer.head.lists("connection", "close"), "{answer:?}");
    client.end();
    upstream.end();
}

#[test]
fn a_body_with_progress_may_take_its_time() {
    let (backend, _proxy, mut client) = listening("body = \"300ms\"");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 320\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    for _ in 0..8 {
        after(Duration::from_millis(100));
        client.send("x".repeat(40));
        upstream.expect("x".repeat(40));
    }
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_body_in_drips_does_not_hold_a_request_for_ever() {
    let (backend, proxy, mut client) = listening("body = \"300ms\"");
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    let began = std::time::Instant::now();
    let mut writer = client.writer();
    std::thread::spawn(move || {
        while began.elapsed() < Duration::from_secs(5) && writer.try_send("x").is_ok() {
            after(Duration::from_millis(100));
        }
    });
    assert_eq!(client.answer().status(), 408);
    assert!((250..1500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(proxy.access("/slow")["reason"], "body_too_slow");
}

#[test]
fn a_listener_may_take_bodies_however_slow() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("timeout = { body = \"300ms\" }\nlimits = { body_rate = \"0B\" }").start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    for _ in 0..8 {
        after(Duration::from_millis(100));
        client.send("x");
        upstream.expect("x");
    }
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (backend, _proxy, mut client) = listening("idle = \"300ms\"");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    let since = Instant::now();
    assert_eq!(client.end(), End::Closed);
    assert!(since.elapsed() > Duration::from_millis(150), "closed after {:?}", since.elapsed());
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let (backend, proxy, mut client) = listening("write = \"300ms\"");
    client.send("GET /unread HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1u64 << 30));
    let piece = vec![b'x'; 1 << 20];
    let cut = (0..1 << 10).any(|_| upstream.try_send(&piece).is_err());
    assert!(cut, "the backend is let go as well");
    assert_eq!(proxy.access("/unread")["reason"], "write_timeout");
}

#[test]
fn a_backend_that_does_not_begin_to_answer_is_a_504() {
    let (backend, proxy, mut client) = forwarding("first_byte = \"300ms\"");
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    assert_eq!(client.answer().status(), 504);
    upstream.end();
    assert_eq!(proxy.access("/slow")["reason"], "first_byte_timeout");
    // The client is not to blame: its connection stays.
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().head.start, "GET /next HTTP/1.1");
}

#[test]
fn half_a_head_is_not_the_beginning_of_an_answer() {
    let (backend, _proxy, mut client) = forwarding("first_byte = \"300ms\", stall = \"300ms\"");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-");
    assert_eq!(client.answer().status(), 504);
    upstream.end();
}

#[test]
fn a_route_may_wait_longer_than_its_pool() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()])
        .pool("timeout = { first_byte = \"200ms\" }")
        .with("[[route]]\npath = \"/poll\"\npool = \"app\"\ntimeout = { first_byte = \"10s\" }")
        .start();
    let mut client = proxy.connect();
    client.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    after(Duration::from_millis(500));
    assert!(client.is_quiet());
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn an_answer_that_stalls_is_cut() {
    let (backend, proxy, mut client) = forwarding("stall = \"300ms\"");
    client.send("GET /stall HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.head();
    client.expect("hello");
    client.end();
    upstream.end();
    assert_eq!(proxy.access("/stall")["reason"], "stall_timeout");
}

#[test]
fn a_backend_that_stops_reading_is_to_blame_and_not_the_client() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()])
        .pool("timeout = { stall = \"400ms\" }")
        .listen("timeout = { body = \"400ms\" }\nlimits = { body = \"unlimited\" }")
        .start();
    let mut client = proxy.connect();
    client.send(format!("POST /stall HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1u64 << 30));
    let mut upstream = backend.accept();
    upstream.head();
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || (0..1 << 10).any(|_| writer.try_send(vec![b'x'; 1 << 20]).is_err()));
    assert_eq!(client.head().status(), 504);
    assert_eq!(proxy.access("/stall")["reason"], "stall_timeout");
    drop(client);
    drop(upstream);
    assert!(sending.join().expect("the upload ends"), "the upload is cut");
}

#[test]
fn an_exchange_may_have_a_limit_in_all() {
    let (backend, proxy, mut client) = forwarding("total = \"400ms\"");
    client.send("GET /total HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    // Always some progress: only the whole is too long.
    until("an end to the drips", || {
        std::thread::sleep(Duration::from_millis(20));
        upstream.try_send("1\r\nx\r\n").is_err().then_some(())
    });
    let (seen, _) = client.rest();
    assert!(!seen.ends_with(b"0\r\n\r\n"));
    assert_eq!(proxy.access("/total")["reason"], "total_timeout");
}

#[test]
fn a_backend_that_refuses_is_a_502() {
    let proxy = Site::to([free_address()]).start();
    assert_eq!(proxy.get("/refused").status(), 502);
    assert_eq!(proxy.access("/refused")["reason"], "connect_refused");
}

#[test]
fn a_backend_that_does_not_accept_is_a_504() {
    let full = Full::bind();
    let proxy = Site::to([full.address]).pool("timeout = { connect = \"300ms\" }").start();
    let since = Instant::now();
    assert_eq!(proxy.get("/full").status(), 504);
    assert!(since.elapsed() < Duration::from_secs(5), "answered after {:?}", since.elapsed());
    assert_eq!(proxy.access("/full")["reason"], "connect_timeout");
}

#[test]
fn idle_connections_to_backends_expire() {
    let (backend, _proxy, mut client) = forwarding("idle = \"300ms\"");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.answer();
    assert_eq!(upstream.end(), End::Closed);
}

/// A listening socket whose queue is full: the kernel answers no further connection.
struct Full {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Full {
    fn bind() -> Full {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("a local address").as_socket().expect("an IP address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
            assert!(queued.len() < 100, "this system queues without end");
        }
        Full { address, _listener: listener, _queued: queued }
    }
}
