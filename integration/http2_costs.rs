//! What an HTTP/2 client may cost: a hostile one is stopped, one that reads slowly costs little, and one that only behaves as browsers do
//! is never taken for either.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::frames::*;
use crate::support::proxy::after;
use crate::support::{Backend, Counting, Frame, Frames, Site, hpack, until};

fn post<'a>(path: &'a str, length: &'a str) -> Vec<(&'a str, &'a str)> {
    [&request("POST", path)[..], &[("content-length", length)]].concat()
}

/// Bytes of HEADERS for a GET, and of the RST_STREAM that takes it back.
fn taken_back(stream: u32) -> Vec<u8> {
    let block = hpack::encode(&request("GET", "/").map(|(name, value)| (name, value.as_bytes())));
    let head = Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block);
    [head.bytes(), Frame::new(RST_STREAM, 0, stream, CANCEL.to_be_bytes()).bytes()].concat()
}

#[track_caller]
fn assert_serves(client: &mut Frames, stream: u32) {
    client.get(stream, "/fine");
    assert_eq!(client.message(stream).status(), 200);
}

// ---- clients that mean well

/// A `respond` at `/no` that is quicker than any upload, and a 200 elsewhere.
const QUICK_ANSWERS: &str = "[[route]]\npath = \"/no\"\nrespond = { status = 403, body = \"no\" }\n[[route]]\nrespond = { body = \"yes\" }";

#[test]
fn uploads_that_are_answered_early_are_no_flood() {
    const PIECE: usize = 16 << 10;
    let proxy = Site::new().with(QUICK_ANSWERS).start();
    let mut client = Frames::connect(proxy.web);
    // Twelve megabytes, none of them wanted.
    for at in 0..200 {
        let stream = 1 + 2 * at;
        client.head(stream, &post("/no", "1000000"), false);
        for _ in 0..4 {
            client.data(stream, [b'x'; PIECE - 300], false);
        }
        assert_eq!(client.message(stream).status(), 403, "upload {at}");
        assert_eq!(client.reset_code(stream), NO_ERROR);
    }
    assert_serves(&mut client, 1001);
}

#[test]
fn a_page_that_is_left_while_it_loads_is_no_flood() {
    let backend = Backend::bind();
    let site = Site::to([backend.address()]).with("[[route]]\npath = \"/fine\"\nrespond = { body = \"yes\" }");
    let proxy = site.start();
    let mut client = Frames::connect(proxy.web);
    let mut stream = 1;
    for _ in 0..3 {
        let page = stream..stream + 120;
        page.clone().step_by(2).for_each(|stream| client.get(stream, "/"));
        client.round();
        after(Duration::from_millis(1100));
        page.clone().step_by(2).for_each(|stream| client.reset(stream, CANCEL));
        client.round();
        while backend.accepted().is_some() {}
        stream = page.end;
    }
    assert_serves(&mut client, stream);
}

/// As it comes when the network has stood still: nobody could have seen them apart.
#[test]
fn what_is_taken_back_before_it_is_seen_troubles_no_backend() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    let mut client = Frames::connect(proxy.web);
    client.write((0..60).flat_map(|at| taken_back(1 + 2 * at)).collect::<Vec<_>>());
    client.round();
    assert_eq!(backend.requests(), 0);
    assert_serves(&mut client, 121);
}

#[test]
fn uploads_that_stand_still_leave_room_for_others() {
    const PIECE: usize = 16 << 10;
    let (busy, free) = (Backend::bind(), Counting::start("a"));
    let site = Site::to([]).entries(&format!("{{ address = \"{}\", max_requests = 1 }}", busy.address()));
    let other = format!("[pool.other]\nbackends = [\"{}\"]\n[[route]]\npath = \"/other\"\npool = \"other\"", free.address());
    let proxy = site.pool("queue = { max = 100, wait = \"60s\" }").with(&other).start();
    let mut client = Frames::connect(proxy.web);
    client.wait("the connection's room", |frame| frame.kind == WINDOW_UPDATE && frame.stream == 0);
    client.get(1, "/first");
    let _held = busy.accept();
    // Nobody reads these: they wait for a backend.
    for at in 0..31 {
        client.head(3 + 2 * at, &post("/", "1000000"), false);
        for _ in 0..8 {
            client.data(3 + 2 * at, [b'x'; PIECE], false);
        }
    }
    client.head(99, &post("/other", "100000"), false);
    for at in 0..10 {
        client.data(99, [b'x'; 10_000], at == 9);
    }
    assert_eq!(client.message(99).status(), 200);
}

// ---- clients that do not read

/// Room for everything, but nobody who takes it off the wire.
fn deaf(proxy: &crate::support::Proxy) -> Frames {
    let mut client = Frames::with_settings(proxy.web, &[(4, 0x7fff_ffff)]);
    client.window(0, 0x7000_0000);
    client
}

#[test]
fn a_client_that_does_not_read_its_answers_costs_little() {
    const LEN: usize = 1 << 20;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "x".repeat(LEN));
    let backend = Counting::answering("127.0.0.1:0".parse().expect("an address"), answer, Duration::ZERO);
    let proxy = Site::to([backend.address()]).start();
    let before = proxy.resident_kib();
    let mut client = deaf(&proxy);
    for at in 0..120 {
        client.get(1 + 2 * at, "/");
    }
    until("all requests at the backend", || (backend.requests() == 120).then_some(()));
    after(Duration::from_millis(300));
    let more = proxy.resident_kib().saturating_sub(before);
    assert!(more < 12 << 10, "{more} KiB");
}

#[test]
fn interim_answers_wait_for_a_client_that_reads() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("bind");
    let proxy = Site::to([backend.local_addr().expect("an address")]).start();
    let before = proxy.resident_kib();
    let mut client = deaf(&proxy);
    const REQUESTS: u32 = 60;
    for at in 0..REQUESTS {
        client.get(1 + 2 * at, "/");
    }
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(24_000)).repeat(30);
    let said: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (mut stream, hints) = (backend.accept().expect("a request").0, hints.clone());
            std::thread::spawn(move || {
                stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(hints.as_bytes());
                stream
            })
        })
        .collect();
    let _open: Vec<_> = said.into_iter().map(|said| said.join().expect("it has said what it could")).collect();
    // What the kernel holds of it is still to be read, or not.
    for _ in 0..20 {
        let more = proxy.resident_kib().saturating_sub(before);
        assert!(more < 16 << 10, "{more} KiB of 42 MiB");
        after(Duration::from_millis(100));
    }
}
