//! What an HTTP/2 client may cost: a hostile one is stopped, one that reads slowly costs little, and one that only behaves as browsers do
//! is never taken for either.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::frames::*;
use crate::support::proxy::after;
use crate::support::{Backend, Counting, Frame, Frames, Site, until};

fn post<'a>(path: &'a str, length: &'a str) -> Vec<(&'a str, &'a str)> {
    [&request("POST", path)[..], &[("content-length", length)]].concat()
}

/// Bytes of HEADERS for a GET, and of the RST_STREAM that takes it back.
fn taken_back(stream: u32) -> Vec<u8> {
    let block = block(&request("GET", "/"));
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
    let backend = Counting::saying(answer);
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

// ---- clients that mean harm

/// Writes the same bytes again and again until it is cut off; how many it got rid of. What comes back is read, or that would be what stops it.
#[track_caller]
fn flood(client: &mut Frames, bytes: &[u8]) -> usize {
    let mut written = 0;
    while client.try_write(bytes).is_ok() {
        written += bytes.len();
        assert!(written < 40 << 20, "it takes {written} bytes");
        if client.ended_meanwhile() {
            break;
        }
    }
    written
}

/// Each costs the proxy some work and its sender nothing, and each is an ENHANCE_YOUR_CALM that can be seen in metrics and log.
#[test]
fn floods_end_the_connection_and_are_told() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let post = Frame::new(HEADERS, END_HEADERS, 1, block(&request("POST", "/")));
    for (at, (what, frame)) in [
        ("PING", Frame::new(PING, 0, 0, [0; 8])),
        ("answers to PING", Frame::new(PING, ACK, 0, [0; 8])),
        ("SETTINGS", Frame::new(SETTINGS, 0, 0, [])),
        ("SETTINGS that change something", Frame::new(SETTINGS, 0, 0, [0, 3, 0, 0, 1, 0, 0, 4, 0, 0, 0xff, 0xff])),
        ("PRIORITY", Frame::new(PRIORITY, 0, 9, [0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE of the connection", Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])),
        ("an unknown kind", Frame::new(0xee, 0, 0, [0; 100])),
        ("DATA of nothing", Frame::new(DATA, 0, 1, [])),
        ("DATA of padding", Frame::new(DATA, PADDED, 1, [0])),
    ]
    .into_iter()
    .enumerate()
    {
        let before = proxy.resident_kib();
        let mut client = Frames::connect(proxy.web);
        client.send(post.clone());
        flood(&mut client, &frame.bytes().repeat(2000));
        let told = at as f64 + 1.0;
        proxy.metric_becomes("tidegate_connections_turned_away_total", &["listener=\"web\"", "reason=\"flood\""], told);
        proxy.metric_becomes("tidegate_http2_goaways_total", &["code=\"enhance_your_calm\""], told);
        let more = proxy.resident_kib().saturating_sub(before);
        assert!(more < 8 << 10, "{what}: {more} KiB");
    }
    assert!(proxy.logged("connections are turned away").contains("flood"));
    proxy.metric_becomes("tidegate_http2_streams_open", &[], 0.0);
}

#[test]
fn requests_taken_back_by_the_hundred_are_told() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let mut client = Frames::connect(proxy.web);
    // In pieces, each seen before the next: of what is taken back all at once it is `h2` that has had enough.
    let mut stream = 1;
    let ended = (0..50).any(|_| {
        let piece: Vec<u8> = (0..40).flat_map(|at| taken_back(stream + 2 * at)).collect();
        stream += 80;
        let ping = Frame::new(PING, 0, 0, [1; 8]);
        client.try_write([piece, ping.bytes()].concat()).is_err()
            || client.wait_for("the PING's answer", |frame| frame.kind == PING && frame.has(ACK)).is_none()
    });
    assert!(ended, "{stream} streams");
    proxy.metric_becomes("tidegate_connections_turned_away_total", &["reason=\"requests_taken_back\""], 1.0);
    until("all of them in the metrics", || {
        let resets = proxy.metric("tidegate_http2_streams_reset_total", &["by=\"client\"", "code=\"cancel\""]);
        resets.filter(|resets| *resets >= 100.0)
    });
}

/// A byte of a block may stand for four kilobytes of fields; they are counted, not kept.
#[test]
fn a_head_that_unpacks_to_megabytes_costs_little() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()]).start();
    let before = proxy.resident_kib();
    // Into the table: a name of one byte and a value of 4000 (RFC 7541 6.2.1, 5.1). Then that entry, once for each byte.
    let mut bomb = block(&request("GET", "/"));
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4000]);
    let kept = bomb.clone();
    bomb.resize(16 << 10, 0x80 | 62);
    for _ in 0..20 {
        let mut client = Frames::connect(proxy.web);
        client.send(Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, &bomb[..]));
        let refused = client.wait("a refusal", |frame| (frame.kind == HEADERS && frame.stream == 1) || frame.kind == GOAWAY);
        let (code, status) = (refused.payload.get(4..8), refused.payload.starts_with(b":status\x00431"));
        assert!(status || code == Some(&ENHANCE_YOUR_CALM.to_be_bytes()[..]), "{refused:?}");
    }
    // Below the limit it is a head like any other.
    let mut client = Frames::connect(proxy.web);
    client.send(Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, kept));
    assert_eq!(client.message(1).status(), 200);
    assert_eq!(backend.requests(), 1);
    let more = proxy.resident_kib().saturating_sub(before);
    assert!(more < 12 << 10, "{more} KiB of 1 GiB");
}

#[test]
fn content_that_trickles_is_a_408() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("timeout = { body = \"300ms\" }\nlimits = { body_rate = \"1KiB\" }").start();
    let mut client = Frames::connect(proxy.web);
    client.head(1, &request("POST", "/trickle"), false);
    until("an answer", || {
        // A write may meet the answer.
        let _ = client.try_write(Frame::new(DATA, 0, 1, *b"x").bytes());
        client.round();
        after(Duration::from_millis(20));
        client.heard(|frame| frame.kind == HEADERS).map(|frame| assert!(frame.payload.starts_with(b":status\x00408"), "{frame:?}"))
    });
    assert_eq!(proxy.access("/trickle")["reason"], "body_too_slow");
}

/// Whose socket takes nothing, whatever room its windows have.
#[test]
fn a_client_that_does_not_read_is_cut_after_a_time() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 24 << 20, "x".repeat(24 << 20));
    let backend = Counting::saying(answer);
    let proxy = Site::to([backend.address()]).listen("timeout = { write = \"300ms\" }").start();
    let mut client = deaf(&proxy);
    client.get(1, "/deaf");
    proxy.access("/deaf");
    proxy.metric_becomes("tidegate_worker_connections", &[], 0.0);
}

// ---- what is told

#[test]
fn streams_resets_and_goodbyes_are_counted() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).listen("timeout = { idle = \"300ms\" }").start();
    let mut client = Frames::connect(proxy.web);
    for stream in [1, 3] {
        client.get(stream, "/");
    }
    let mut wires = [backend.accept(), backend.accept()];
    proxy.metric_becomes("tidegate_http2_streams_open", &[], 2.0);
    client.reset(1, CANCEL);
    proxy.metric_becomes("tidegate_http2_streams_reset_total", &["by=\"client\"", "code=\"cancel\""], 1.0);
    proxy.metric_becomes("tidegate_http2_streams_open", &[], 1.0);
    // One of both is closed by now.
    for wire in &mut wires {
        wire.head();
        let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    }
    client.wait("the half", |frame| frame.kind == DATA);
    drop(wires);
    assert_eq!(client.reset_code(3), INTERNAL_ERROR);
    proxy.metric_becomes("tidegate_http2_streams_reset_total", &["by=\"proxy\"", "code=\"internal_error\""], 1.0);
    client.goaway();
    proxy.metric_becomes("tidegate_http2_goaways_total", &["code=\"no_error\""], 1.0);
    let mut client = Frames::connect(proxy.web);
    client.send(Frame::new(PING, 0, 1, [0; 8]));
    client.goaway();
    proxy.metric_becomes("tidegate_http2_goaways_total", &["code=\"protocol_error\""], 1.0);
    proxy.metric_becomes("tidegate_requests_by_protocol_total", &["protocol=\"h2\""], 2.0);
}
