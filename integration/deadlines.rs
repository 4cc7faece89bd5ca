//! Slow clients under TLS and over HTTP/2: one deadline from accept to the end of the first request's head, whatever is spoken, a rate for
//! bodies, a limit on idleness, and so many connections for each address.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::client::ClientConfig;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::frames::*;
use crate::support::proxy::after;
use crate::support::secure::{Secure, client};
use crate::support::{Backend, Frame, Frames, PATIENCE, Proxy, Site, Wire, hpack};

/// A proxy with two listeners that have the same limits: `web` is plain, at `secure` is TLS.
struct Scene {
    proxy: Proxy,
    secure: std::net::SocketAddr,
    client: Arc<ClientConfig>,
    backend: Backend,
}

fn started(limits: &str) -> Scene {
    let (authority, backend, secure) = (Authority::new(), Backend::bind(), crate::support::proxy::free_address());
    let dir = TempDir::new().expect("a directory");
    authority.sign(&["a.example"]).write(dir.path(), "a");
    let tls = "tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }] }";
    let site = Site::to([backend.address()]).listen(limits).with(&format!("[listen.secure]\naddress = \"{secure}\"\n{tls}\n{limits}"));
    let proxy = site.start_in(dir);
    Scene { proxy, secure, client: Arc::new(client(authority.roots())), backend }
}

impl Scene {
    /// After the handshake, offering these protocols.
    fn shaken(&self, protocols: &[&str]) -> Secure {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Secure::connect(self.secure, "a.example", &Arc::new(config)).expect("a handshake")
    }

    /// HTTP/2 plain and under TLS, nothing said.
    fn both(&self) -> [Frames; 2] {
        [Frames::bare(self.proxy.web), Frames::under_tls(self.shaken(&["h2"]))]
    }

    fn handshakes(&self, result: &str) -> f64 {
        self.proxy.metric("tidegate_tls_handshakes_total", &[&format!("result=\"{result}\"")]).unwrap_or(0.0)
    }
}

/// A byte each 50 ms, for as long as they are taken.
fn drip(to: &mut impl Write, bytes: &[u8]) {
    for byte in bytes {
        if to.write_all(&[*byte]).and_then(|()| to.flush()).is_err() {
            return;
        }
        after(Duration::from_millis(50));
    }
    panic!("{} bytes were taken, one by one", bytes.len());
}

/// The other end says nothing more; an alert is no word of HTTP.
fn ends(secure: &mut Secure) {
    match secure.stream.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => panic!("an answer to nothing"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}"),
    }
}

const HEADER: &str = "timeout = { header = \"500ms\" }";
/// Far more than the deadline, far less than what has no end.
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_handshake_in_drips_buys_no_time() {
    let scene = started(HEADER);
    let name = "a.example".try_into().expect("a name");
    let mut session = ClientConnection::new(scene.client.clone(), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("a vector takes all");
    assert!(hello.len() > 400, "or it would be over before the test is");
    let mut socket = TcpStream::connect(scene.secure).expect("a connection");
    let since = Instant::now();
    drip(&mut socket, &hello);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    scene.proxy.metric_becomes("tidegate_tls_handshakes_total", &["result=\"timeout\""], 1.0);
}

#[test]
fn silence_behind_a_handshake_is_let_go_whatever_was_agreed_on() {
    let scene = started(HEADER);
    for protocols in [&[][..], &["http/1.1"], &["h2"], &["h2", "http/1.1"]] {
        let mut secure = scene.shaken(protocols);
        let since = Instant::now();
        // Over HTTP/2 we may have begun to speak.
        let mut said = Vec::new();
        let _ = secure.stream.read_to_end(&mut said);
        assert!(since.elapsed() < SOON, "{protocols:?}: {:?}", since.elapsed());
    }
}

#[test]
fn a_handshake_and_a_head_share_one_deadline() {
    let scene = started("timeout = { header = \"4s\" }");
    let since = Instant::now();
    let socket = TcpStream::connect(scene.secure).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    after(Duration::from_secs(3));
    let mut secure = Secure::over(socket, "a.example", &scene.client).expect("a handshake");
    secure.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.ex").expect("is taken");
    let (head, _) = secure.answer().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    // Two deadlines would have been seven seconds.
    assert!(since.elapsed() < Duration::from_millis(6500), "{:?}", since.elapsed());
}

#[test]
fn a_head_in_drips_under_tls_is_a_408() {
    let scene = started(HEADER);
    let mut secure = scene.shaken(&[]);
    let since = Instant::now();
    drip(&mut secure.stream, format!("GET / HTTP/1.1\r\nHost: {}", "a".repeat(400)).as_bytes());
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

#[test]
fn a_preface_and_talk_are_no_request() {
    let scene = started(HEADER);
    for mut client in scene.both() {
        let since = Instant::now();
        client.begin();
        let ping = Frame::new(PING, 0, 0, [0; 8]).bytes();
        while client.try_write(&ping).is_ok() && !client.ended_meanwhile() {
            assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
            after(Duration::from_millis(50));
        }
    }
}

/// A head without an end, and without enough of it to be too long.
#[test]
fn a_head_that_goes_on_for_ever_has_the_same_deadline() {
    let scene = started("timeout = { header = \"500ms\", idle = \"500ms\" }");
    for asked_before in [false, true] {
        for mut client in scene.both() {
            client.begin();
            let mut stream = 1;
            if asked_before {
                client.get(stream, "/");
                let mut upstream = scene.backend.accept();
                upstream.head();
                upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                assert_eq!(client.message(stream).status(), 200);
                stream += 2;
            }
            let since = Instant::now();
            let block = block(&request("GET", "/"));
            let _ = client.try_write(Frame::new(HEADERS, END_STREAM, stream, block).bytes());
            let more = Frame::new(CONTINUATION, 0, stream, hpack::encode(&[("x", b"y")])).bytes();
            while client.try_write(&more).is_ok() && !client.ended_meanwhile() {
                assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
                after(Duration::from_millis(50));
            }
        }
    }
}

// ---- bodies

const BODY: &str = "timeout = { body = \"400ms\" }";

#[test]
fn a_body_in_drips_is_a_408_under_tls() {
    let scene = started(BODY);
    let mut secure = scene.shaken(&["http/1.1"]);
    secure.stream.write_all(b"POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10000\r\n\r\n").expect("a head");
    let _upstream = scene.backend.accept();
    let since = Instant::now();
    // Each byte in time, and all of them too slow: 240 a second are owed.
    drip(&mut secure.stream, &[b'x'; 400]);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(scene.proxy.access("/slow")["reason"], "body_too_slow");
}

#[test]
fn a_body_in_drips_is_a_408_over_http2() {
    let scene = started(BODY);
    for (mut client, path) in scene.both().into_iter().zip(["/plain", "/secure"]) {
        client.begin();
        client.head(1, &request("POST", path), false);
        let _upstream = scene.backend.accept();
        let since = Instant::now();
        // A frame that is all padding brings nothing, an empty one neither.
        let pieces = [Frame::new(DATA, 0, 1, *b"x"), Frame::new(DATA, PADDED, 1, [7; 8]), Frame::new(DATA, 0, 1, [])];
        for piece in pieces.iter().cycle() {
            assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
            client.send(piece.clone());
            if client.round().iter().any(|frame| frame.stream == 1 && frame.kind == HEADERS) {
                break;
            }
            after(Duration::from_millis(50));
        }
        assert_eq!(client.message(1).status(), 408);
        assert_eq!(scene.proxy.access(path)["reason"], "body_too_slow");
        // Only that stream is over.
        client.get(3, "/next");
        let mut upstream = scene.backend.accept();
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(client.message(3).status(), 200);
    }
}

#[test]
fn a_body_without_progress_is_a_408_under_tls() {
    let scene = started(BODY);
    let mut secure = scene.shaken(&["http/1.1"]);
    let (head, _) = secure.ask("POST /still HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(scene.proxy.access("/still")["reason"], "body_timeout");
}

// ---- idleness

#[test]
fn an_idle_connection_is_closed_in_order_under_tls() {
    let scene = started("timeout = { idle = \"300ms\" }");
    let answer = |scene: &Scene| {
        let mut upstream = scene.backend.accept();
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut secure = scene.shaken(&["http/1.1"]);
    secure.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("a request");
    answer(&scene);
    secure.answer().expect("an answer");
    assert_eq!(secure.stream.read(&mut [0]).expect("a word of farewell"), 0);

    let mut client = Frames::under_tls(scene.shaken(&["h2"]));
    client.begin();
    client.get(1, "/");
    answer(&scene);
    assert_eq!(client.message(1).status(), 200);
    assert_eq!(client.goaway(), (0x7fff_ffff, NO_ERROR));
    client.assert_ends();
}

// ---- who has how many

#[test]
fn an_address_has_so_many_connections_under_tls_and_the_rest_cost_no_handshake() {
    let scene = started("limits = { connections_per_address = 2 }");
    let held = [scene.shaken(&["h2"]), scene.shaken(&["http/1.1"])];
    for _ in 0..3 {
        assert!(Secure::connect(scene.secure, "a.example", &scene.client).is_err());
        let (said, _) = Wire::connect(scene.secure).rest();
        assert!(said.is_empty(), "not even an alert");
    }
    let turned_away = ["listener=\"secure\"", "reason=\"too_many_connections\""];
    scene.proxy.metric_becomes("tidegate_connections_turned_away_total", &turned_away, 6.0);
    scene.proxy.metric_becomes("tidegate_tls_handshakes_total", &["result=\"full\""], 2.0);
    assert_eq!(scene.handshakes("closed") + scene.handshakes("timeout"), 0.0);
    // The other listener counts for itself.
    assert!(scene.proxy.connect().is_quiet());
    drop(held);
    crate::support::until("the places to come free", || Secure::connect(scene.secure, "a.example", &scene.client).ok());
}

// ---- what is spoken

#[test]
fn http2_that_was_not_agreed_on_is_not_spoken_under_tls() {
    let scene = started(HEADER);
    for protocols in [&[][..], &["http/1.1"]] {
        let mut secure = scene.shaken(protocols);
        secure.stream.write_all(PREFACE).expect("is taken");
        let (head, _) = secure.answer().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 505"), "{protocols:?}: {head}");
        ends(&mut secure);
    }
    // And whoever agreed on it speaks nothing else.
    let mut secure = scene.shaken(&["h2"]);
    secure.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("is taken");
    let mut said = Vec::new();
    let _ = secure.stream.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1"), "{}", String::from_utf8_lossy(&said));
}
