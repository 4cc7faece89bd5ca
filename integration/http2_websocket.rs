//! WebSockets over HTTP/2 (RFC 8441): one stream each, bridged to a backend that speaks HTTP/1.1.

use std::time::{Duration, Instant};

use tidegate::message::websocket;

use crate::support::frames::*;
use crate::support::proxy::after;
use crate::support::{Backend, End, Frames, Proxy, Site, Wire};

const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "a.example"),
    ("sec-websocket-version", "13"),
];

fn stage() -> (Backend, Proxy, Frames) {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let client = Frames::connect(proxy.web);
    (backend, proxy, client)
}

/// What a backend says that has understood.
fn switching(request: &crate::support::Head) -> String {
    let accept = websocket::accept(request.get("sec-websocket-key").expect("a key").as_bytes());
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
}

/// Opens a tunnel; the backend's end.
#[track_caller]
fn open(client: &mut Frames, stream: u32, backend: &Backend) -> Wire {
    client.head(stream, &CONNECT, false);
    let mut upstream = backend.accept();
    let request = upstream.head();
    upstream.send(switching(&request));
    let (fields, last) = client.fields(stream);
    assert_eq!((fields[0].1.as_str(), last), ("200", false), "{fields:?}");
    upstream
}

/// The next bytes on a stream, as many.
#[track_caller]
fn take(client: &mut Frames, stream: u32, len: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < len {
        let frame = client.wait("bytes of a tunnel", |frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
        assert_eq!((frame.kind, frame.has(END_STREAM)), (DATA, false), "{frame:?}");
        taken.extend(frame.payload);
    }
    taken
}

#[test]
fn the_settings_say_that_it_can_be_had() {
    let (_backend, proxy, _) = stage();
    let mut client = Frames::bare(proxy.web);
    client.begin();
    let settings = client.wait("SETTINGS", |frame| frame.kind == SETTINGS && !frame.has(ACK)).payload;
    assert!(settings.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]), "{settings:?}");
}

#[test]
fn the_handshake_is_an_upgrade_to_the_backend_and_a_success_to_the_client() {
    let (backend, proxy, mut client) = stage();
    let more = [("sec-websocket-protocol", "chat"), ("origin", "http://a.example"), ("sec-websocket-key", "bm90IHVzZWQgaGVyZSEhIQ==")];
    client.head(1, &[&CONNECT[..], &more].concat(), false);
    let mut upstream = backend.accept();
    let request = upstream.head();
    assert_eq!(request.start, "GET /chat HTTP/1.1");
    assert_eq!((request.get("host"), request.get("upgrade")), (Some("a.example"), Some("websocket")));
    assert!(request.lists("connection", "upgrade"), "{request:?}");
    assert_eq!((request.get("sec-websocket-version"), request.get("sec-websocket-protocol")), (Some("13"), Some("chat")));
    assert_ne!(request.get("sec-websocket-key"), Some("bm90IHVzZWQgaGVyZSEhIQ=="), "the key is ours");
    let answer = switching(&request).replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 0\r\n\r\n");
    upstream.send(format!("{answer}early"));
    let (fields, last) = client.fields(1);
    let get = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    assert_eq!((get(":status"), get("sec-websocket-protocol"), last), (Some("200"), Some("chat"), false));
    for gone in ["connection", "upgrade", "sec-websocket-accept", "content-length", "transfer-encoding"] {
        assert_eq!(get(gone), None, "{gone}");
    }
    assert_eq!(take(&mut client, 1, 5), b"early");
    for n in 0..10 {
        client.data(1, format!("up {n}\0"), false);
        upstream.expect(format!("up {n}\0"));
        upstream.send(format!("down {n}\0"));
        assert_eq!(take(&mut client, 1, 7), format!("down {n}\0").into_bytes());
    }
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 1.0);
    // The others on the connection are as they were.
    client.get(3, "/plain");
    let mut plain = backend.accept();
    plain.head();
    plain.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.message(3).status(), 204);
    client.data(1, "", true);
    assert_eq!(upstream.end(), End::Closed);
    drop(upstream);
    assert!(client.wait("the end", |frame| frame.stream == 1 && frame.kind == DATA).has(END_STREAM));
    let line = proxy.access("/chat");
    assert_eq!((line["status"].as_u64(), line["version"].as_str(), line["method"].as_str()), (Some(101), Some("HTTP/2.0"), Some("GET")));
    assert_eq!(line["reason"].as_str(), None);
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 0.0);
}

#[test]
fn either_end_may_finish_before_the_other() {
    let (backend, _proxy, mut client) = stage();
    let mut upstream = open(&mut client, 1, &backend);
    client.data(1, "last words", true);
    upstream.expect("last words");
    assert_eq!(upstream.end(), End::Closed);
    upstream.send("still here");
    assert_eq!(take(&mut client, 1, 10), b"still here");
    upstream.finish();
    assert!(client.wait("the end", |frame| frame.stream == 1 && frame.kind == DATA).has(END_STREAM));

    let mut upstream = open(&mut client, 3, &backend);
    upstream.send("last words");
    upstream.finish();
    assert_eq!(take(&mut client, 3, 10), b"last words");
    assert!(client.wait("the end", |frame| frame.stream == 3 && frame.kind == DATA).has(END_STREAM));
    client.data(3, "still here", true);
    upstream.expect("still here");
    assert_eq!(upstream.end(), End::Closed);
}

#[test]
fn a_reset_ends_both_sides() {
    let (backend, proxy, mut client) = stage();
    let mut upstream = open(&mut client, 1, &backend);
    client.data(1, "said before", false);
    client.reset(1, CANCEL);
    upstream.expect("said before");
    upstream.end();
    let upstream = open(&mut client, 3, &backend);
    upstream.reset();
    assert_eq!(client.reset_code(3), CONNECT_ERROR);
    // One that has finished may break off all the same.
    let mut upstream = open(&mut client, 5, &backend);
    client.data(5, "", true);
    assert_eq!(upstream.end(), End::Closed);
    client.reset(5, CANCEL);
    drop(upstream);
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 0.0);
}

#[test]
fn a_backend_that_declines_answers_as_usual_and_no_success_is_taken_for_a_tunnel() {
    let (backend, proxy, mut client) = stage();
    let mut ask = |stream: u32, path: &str, answer: &str| {
        client.head(stream, &CONNECT.map(|(name, value)| (name, if name == ":path" { path } else { value })), false);
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(answer);
        client.message(stream)
    };
    let declined = ask(1, "/declined", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    assert_eq!((declined.status(), &declined.body[..]), (403, &b"no"[..]));
    let other_key = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
                     s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let no_key = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let no_switch = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    for (stream, path, answer, reason) in [
        (3, "/200", no_switch, "upgrade_ignored"),
        (5, "/other-key", other_key, "upgrade_unexpected"),
        (7, "/no-key", no_key, "upgrade_unexpected"),
    ] {
        assert_eq!(ask(stream, path, answer).status(), 502, "{path}");
        assert_eq!(proxy.access(path)["reason"], reason, "{path}");
    }
}

#[test]
fn only_a_websocket_is_opened_and_only_rightly() {
    let own = "[[route]]\npath = \"/own\"\nrespond = { body = \"x\" }";
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).with(own).start();
    let mut client = Frames::connect(proxy.web);
    let with = |name: &'static str, value: &'static str| {
        let fields = CONNECT.into_iter().filter(|(other, _)| *other != name);
        fields.chain((!value.is_empty()).then_some((name, value))).collect::<Vec<_>>()
    };
    client.head(1, &with(":protocol", "connect-udp"), false);
    // Pseudo fields stand first.
    assert_eq!(client.reset_code(1), PROTOCOL_ERROR);
    client.head(
        3,
        &[(":method", "CONNECT"), (":protocol", "connect-udp"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        false,
    );
    assert_eq!(client.message(3).status(), 501);
    for (at, fields) in [with(":path", ""), with(":scheme", ""), with(":authority", ""), with("content-length", "5"), with("upgrade", "x")]
        .into_iter()
        .enumerate()
    {
        let stream = 5 + 2 * at as u32;
        client.head(stream, &fields, false);
        assert_eq!(client.reset_code(stream), PROTOCOL_ERROR, "{fields:?}");
    }
    client.head(
        21,
        &[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/own"), (":authority", "a")],
        false,
    );
    assert_eq!(client.reset_code(21), CONNECT_ERROR, "a success of our own is no tunnel");
    backend.assert_untouched();
}

#[test]
fn a_slow_end_slows_the_other_and_costs_little() {
    const TUNNELS: u32 = 20;
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let mut client = Frames::with_settings(proxy.web, &[(4, 0)]);
    client.wait("the connection's room", |frame| frame.kind == WINDOW_UPDATE && frame.stream == 0);
    let mut upstreams: Vec<_> = (0..TUNNELS).map(|at| open(&mut client, 1 + 2 * at, &backend)).collect();
    let before = proxy.resident_kib();
    // The client gives no room, and the backends say as much as they can.
    for upstream in &mut upstreams {
        let mut writer = upstream.writer();
        std::thread::spawn(move || writer.try_send(vec![b'd'; 16 << 20]));
    }
    // The backends do not read, and the client says as much as it may.
    let mut room = vec![128usize << 10; TUNNELS as usize];
    let mut all = 4usize << 20;
    let mut stands_still = 0;
    while stands_still < 20 {
        let mut wrote = false;
        for at in 0..TUNNELS {
            let piece = room[at as usize].min(all).min(16 << 10);
            if piece > 0 {
                client.data(1 + 2 * at, vec![b'u'; piece], false);
                room[at as usize] -= piece;
                all -= piece;
                wrote = true;
            }
        }
        client.round();
        while let Some(more) = client.heard(|frame| frame.kind == WINDOW_UPDATE) {
            let by = u32::from_be_bytes(more.payload[..4].try_into().expect("four bytes")) as usize;
            match more.stream {
                0 => all += by,
                stream => room[(stream as usize - 1) / 2] += by,
            }
            wrote = true;
        }
        stands_still = if wrote { 0 } else { stands_still + 1 };
        if !wrote {
            after(Duration::from_millis(10));
        }
    }
    let more = proxy.resident_kib().saturating_sub(before);
    assert!(more < 12 << 10, "{more} KiB");
    // And it goes on where it stood.
    client.window(1, 1 << 20);
    assert!(take(&mut client, 1, 60_000).iter().all(|byte| *byte == b'd'));
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    const IDLE: Duration = Duration::from_millis(400);
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("timeout = { tunnel = \"400ms\" }").listen("timeout = { idle = \"50ms\" }").start();
    let mut client = Frames::connect(proxy.web);
    let mut upstream = open(&mut client, 1, &backend);
    // One direction is enough to keep it.
    for _ in 0..6 {
        after(IDLE / 3);
        upstream.send("ping");
        assert_eq!(take(&mut client, 1, 4), b"ping");
    }
    let since = Instant::now();
    assert_eq!(client.reset_code(1), CANCEL);
    upstream.end();
    assert!(since.elapsed() > IDLE / 2, "closed after {:?}", since.elapsed());
    assert_eq!(proxy.access("/chat")["reason"], "tunnel_idle");
}

#[test]
fn a_drain_waits_for_tunnels_as_long_as_it_may() {
    let backend = Backend::bind();
    let mut proxy = Site::to([backend.address()]).server("drain_delay = \"0s\"\ndrain_timeout = \"600ms\"").start();
    let mut client = Frames::connect(proxy.web);
    let mut upstream = open(&mut client, 1, &backend);
    let since = Instant::now();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(client.goaway(), (0x7fff_ffff, NO_ERROR));
    client.data(1, "still here", false);
    upstream.expect("still here");
    upstream.end();
    assert!(since.elapsed() >= Duration::from_millis(600), "cut after {:?}", since.elapsed());
    assert!(proxy.exit().success());
}
