//! TLS with clients: which certificate, which sessions, who gets in, and what becomes of those who do not.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::client::ClientConfig;
use tempfile::TempDir;

use crate::support::certificates::{Authority, Signed};
use crate::support::secure::{Secure, SecureBackend, client, showing};
use crate::support::{Backend, Counting, Proxy, Site, Wire, until};

/// A proxy whose listener has TLS with certificates for `a.example` and `*.b.example`, signed by an authority that the client believes.
struct Scene {
    authority: Authority,
    a: Signed,
    b: Signed,
    client: Arc<ClientConfig>,
    proxy: Proxy,
    site: Site,
}

const TWO: &str = "certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, { certificate = \"b.pem\", key = \"b.key\" }]";

fn started(site: Site, tls: &str) -> Scene {
    let authority = Authority::new();
    let (a, b) = (authority.sign(&["a.example"]), authority.sign(&["*.b.example", "127.0.0.1"]));
    let dir = TempDir::new().expect("a directory");
    a.write(dir.path(), "a");
    b.write(dir.path(), "b");
    fs::write(dir.path().join("ca.pem"), authority.pem()).expect("write");
    let site = site.listen(&format!("tls = {{ {tls} }}"));
    let client = Arc::new(client(authority.roots()));
    let proxy = site.start_in(dir);
    Scene { authority, a, b, client, proxy, site }
}

impl Scene {
    fn connect(&self, name: &str) -> std::io::Result<Secure> {
        Secure::connect(self.proxy.web, name, &self.client)
    }

    /// A client that shows this certificate.
    fn showing(&self, signed: &Signed) -> Arc<ClientConfig> {
        showing(self.authority.roots(), signed)
    }

    #[track_caller]
    fn handshakes(&self, result: &str, count: f64) {
        self.proxy.metric_becomes("tidegate_tls_handshakes_total", &[&format!("result=\"{result}\"")], count);
    }
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]), TWO);
    for (name, shown) in [("a.example", &scene.a), ("x.b.example", &scene.b)] {
        let mut secure = scene.connect(name).expect("a handshake");
        assert_eq!(secure.shown(), shown.chain()[0], "{name}");
        for _ in 0..3 {
            let (head, content) = secure.get(name, "/").expect("an answer");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(content, b"hello");
        }
    }
    // Anybody else gets the first, and does not believe it.
    assert!(scene.connect("x.y.b.example").is_err());
    assert!(scene.connect("c.example").is_err());
    scene.handshakes("full", 2.0);
    scene.handshakes("refused", 2.0);
}

#[test]
fn backends_are_told_that_the_client_came_by_tls() {
    let backend = Backend::bind();
    let scene = started(Site::to([backend.address()]), TWO);
    let mut secure = scene.connect("a.example").expect("a handshake");
    secure
        .stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Client-Subject: CN=root\r\nX_Client_Subject: CN=root\r\n\r\n")
        .expect("a request");
    let mut upstream = backend.accept();
    let request = upstream.request();
    assert_eq!(request.head.get("x-forwarded-proto"), Some("https"));
    assert!(!format!("{:?}", request.head).to_lowercase().contains("subject"), "{:?}", request.head);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(secure.answer().expect("an answer").1, b"ok");
}

#[test]
fn a_request_for_a_host_of_another_certificate_is_misdirected() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]), TWO);
    for (asked, host, status) in [
        ("a.example", "a.example:443", "200"),
        ("a.example", "A.Example", "200"),
        ("a.example", "x.b.example", "421"),
        ("x.b.example", "y.b.example", "200"),
        ("x.b.example", "a.example", "421"),
        ("x.b.example", "c.example", "421"),
    ] {
        let mut secure = scene.connect(asked).expect("a handshake");
        let (head, _) = secure.get(host, "/").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{host} on a connection for {asked}: {head}");
    }
    // Who asks for no name is promised none.
    let mut nameless = ClientConfig::clone(&scene.client);
    nameless.enable_sni = false;
    let mut secure = Secure::connect(scene.proxy.web, "a.example", &Arc::new(nameless)).expect("a handshake");
    let (head, _) = secure.get("x.b.example", "/").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn bodies_of_any_size_pass_both_ways() {
    let backend = Backend::bind();
    let scene = started(Site::to([backend.address()]), TWO);
    let mut secure = scene.connect("a.example").expect("a handshake");
    for size in [0, 1, 4_096, 16_383, 16_384, 16_385, 49_152, 49_153, 70_000, 1 << 20] {
        let body: Vec<u8> = (0..size).map(|at: usize| (at * 7 % 251) as u8).collect();
        let serving = std::thread::scope(|scope| {
            let serve = scope.spawn(|| {
                let mut upstream = backend.accept();
                let request = upstream.request();
                upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"));
                upstream.send(&body);
                request.body
            });
            secure
                .stream
                .write_all(format!("POST /{size} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n").as_bytes())
                .expect("a head");
            secure.stream.write_all(&body).expect("a body");
            let (_, content) = secure.answer().expect("an answer");
            assert!(content == body, "{size} bytes down");
            serve.join().expect("a backend")
        });
        assert!(serving == body, "{size} bytes up");
    }
}

#[test]
fn sessions_are_resumed_on_any_worker_and_after_a_reload() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]).workers(3), TWO);
    let mut resumed = 0;
    for turn in 0..12 {
        if turn == 6 {
            scene.proxy.edit(&scene.site.clone().pool("idle_connections = 7"));
            scene.proxy.logged("reload: changed pool app");
        }
        let mut secure = scene.connect("a.example").expect("a handshake");
        secure.get("a.example", "/").expect("an answer");
        resumed += usize::from(secure.is_resumed());
    }
    assert_eq!(resumed, 11, "every one but the first");
    scene.handshakes("resumed", 11.0);
}

#[test]
fn who_must_show_a_certificate_is_let_in_with_one_and_never_by_a_ticket() {
    let backend = Backend::bind();
    let scene = started(Site::to([backend.address()]), &format!("{TWO}, client_ca = \"ca.pem\""));
    // TLS 1.3 clients hear of it with their first read.
    let refused = scene.connect("a.example").and_then(|mut secure| secure.get("a.example", "/").map(drop));
    assert!(refused.is_err());
    scene.handshakes("client_certificate", 1.0);

    let stranger = scene.showing(&Authority::new().sign(&["worker"]));
    let refused = Secure::connect(scene.proxy.web, "a.example", &stranger).and_then(|mut secure| secure.get("a.example", "/").map(drop));
    assert!(refused.is_err());

    let known = scene.showing(&scene.authority.sign_as(&["worker"], "worker, O=root"));
    for _ in 0..2 {
        let mut secure = Secure::connect(scene.proxy.web, "a.example", &known).expect("a handshake");
        secure.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Client-Subject: CN=forged\r\n\r\n").expect("a request");
        let mut upstream = backend.accept();
        let request = upstream.request();
        let said: Vec<&str> = request
            .head
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-client-subject"))
            .map(|(_, value)| &**value)
            .collect();
        assert_eq!(said, ["CN=worker\\, O\\=root"]);
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        secure.answer().expect("an answer");
        assert!(!secure.is_resumed());
    }
}

#[test]
fn a_handshake_that_does_not_come_or_is_none_costs_no_more_than_the_headers_time() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]).listen("timeout = { header = \"500ms\" }"), TWO);
    let since = Instant::now();
    let (said, _) = Wire::connect(scene.proxy.web).rest();
    assert!(said.is_empty() && since.elapsed() >= Duration::from_millis(500));
    scene.handshakes("timeout", 1.0);

    let mut plain = Wire::connect(scene.proxy.web);
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (said, _) = plain.rest();
    assert_eq!(said.first(), Some(&21), "an alert");
    scene.handshakes("not_tls", 1.0);

    let mut gone = Wire::connect(scene.proxy.web);
    gone.finish();
    gone.rest();
    scene.handshakes("closed", 1.0);

    // The handshake's time and the head's are one.
    let mut secure = scene.connect("a.example").expect("a handshake");
    let since = Instant::now();
    assert_eq!(secure.stream.read(&mut [0]).expect("an orderly end"), 0);
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn only_what_both_speak_is_spoken() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]), &format!("{TWO}, min_version = \"1.3\""));
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_root_certificates(scene.authority.roots())
        .with_no_client_auth();
    assert!(Secure::connect(scene.proxy.web, "a.example", &Arc::new(old)).is_err());
    scene.handshakes("nothing_in_common", 1.0);
    let secure = scene.connect("a.example").expect("a handshake");
    let group = secure.stream.conn.negotiated_key_exchange_group().expect("a group");
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn tls_1_2_is_spoken_and_resumed() {
    let backend = Counting::start("hello");
    let scene = started(Site::to([backend.address()]), TWO);
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_root_certificates(scene.authority.roots())
        .with_no_client_auth();
    let old = Arc::new(old);
    for resumed in [false, true] {
        let mut secure = Secure::connect(scene.proxy.web, "a.example", &old).expect("a handshake");
        assert_eq!(secure.get("a.example", "/").expect("an answer").1, b"hello");
        assert_eq!(secure.is_resumed(), resumed);
    }
}

#[test]
fn an_answer_that_lasts_until_the_close_ends_in_order_or_not_at_all() {
    let backend = Backend::bind();
    let scene = started(Site::to([backend.address()]), TWO);
    for whole in [true, false] {
        let mut secure = scene.connect("a.example").expect("a handshake");
        secure.stream.write_all(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n").expect("a request");
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        if whole {
            upstream.send("0\r\n\r\n");
        } else {
            upstream.finish();
        }
        let mut said = Vec::new();
        let end = secure.stream.read_to_end(&mut said);
        assert!(String::from_utf8_lossy(&said).ends_with("hello") || !whole);
        match (whole, end) {
            (true, Ok(_)) => {}
            (false, Err(error)) => assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}"),
            (whole, end) => panic!("whole: {whole}, end: {end:?}"),
        }
    }
}

#[test]
fn a_plain_listener_sends_everybody_to_https_and_browsers_are_told_to_stay() {
    let backend = Counting::start("hello");
    let plain = crate::support::proxy::free_address();
    let site = Site::to([backend.address()])
        .with(&format!("[listen.plain]\naddress = \"{plain}\"\nredirect_https = 8443"))
        .with("[[route]]\npath = \"/.well-known/acme-challenge/*\"\nrespond = { status = 200, body = \"token\" }");
    let scene = started(site, &format!("{TWO}, hsts = \"1h\""));
    for (head, location) in [
        ("GET /a/b?c=d HTTP/1.1\r\nHost: a.example\r\n", Some("https://a.example:8443/a/b?c=d")),
        ("POST /x HTTP/1.1\r\nHost: A.example:80\r\nContent-Length: 0\r\n", Some("https://a.example:8443/x")),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n", Some("https://a.example:8443/")),
        ("GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a.example\r\n", None),
    ] {
        let mut wire = Wire::connect(plain);
        wire.send(format!("{head}\r\n"));
        let answer = wire.answer();
        assert_eq!(answer.head.get("location"), location, "{head}");
        assert_eq!(answer.status(), if location.is_some() { 308 } else { 200 });
        assert_eq!(answer.head.get("strict-transport-security"), None, "RFC 6797 7.2");
    }
    let (head, _) = scene.connect("a.example").expect("a handshake").get("a.example", "/").expect("an answer");
    assert!(head.to_ascii_lowercase().contains("strict-transport-security: max-age=3600\r\n"), "{head}");
}

/// A proxy before these, with `tls = { ... }` on its pool and the authority's `ca.pem` beside its file.
fn before(backends: &[std::net::SocketAddr], tls: &str, more: &str, authority: &Authority, own: &Signed) -> Proxy {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("ca.pem"), authority.pem()).expect("write");
    own.write(dir.path(), "own");
    let site = Site::to(backends.iter().copied()).pool(&format!("tls = {{ {tls} }}\n{more}"));
    site.start_in(dir)
}

#[test]
fn a_backend_is_believed_for_its_name_or_not_at_all() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.sign(&["proxy"]);
    let good = SecureBackend::start(&authority.sign(&["app.internal", "127.0.0.1"]), true, None);
    let foreign = SecureBackend::start(&stranger.sign(&["app.internal", "127.0.0.1"]), true, None);
    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let plain_address = plain.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in plain.incoming().map_while(Result::ok) {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let check = "health = { path = \"/\", every = \"100ms\" }\neject = { errors = \"off\" }\nwhen_all_down = \"fail_open\"";
    for (address, tls, reason) in [
        (good.address(), "server_name = \"app.internal\", ca = \"ca.pem\"", None),
        (good.address(), "ca = \"ca.pem\"", None),
        (good.address(), "server_name = \"other.internal\", ca = \"ca.pem\"", Some("upstream_untrusted")),
        (foreign.address(), "server_name = \"app.internal\", ca = \"ca.pem\"", Some("upstream_untrusted")),
        (plain_address, "server_name = \"app.internal\", ca = \"ca.pem\"", Some("upstream_tls_failed")),
    ] {
        let proxy = before(&[address], tls, check, &authority, &own);
        for _ in 0..3 {
            let answer = proxy.get("/");
            match reason {
                None => assert_eq!(answer.text(), "secret", "{tls}"),
                Some(reason) => {
                    assert_eq!(answer.status(), 502, "{tls}: {answer:?}");
                    assert!(answer.text().contains(reason), "{tls}: {answer:?}");
                }
            }
        }
        let outcome = match reason {
            None => "passed",
            Some("upstream_untrusted") => "untrusted",
            Some(_) => "tls_failed",
        };
        until("a probe", || proxy.metric("tidegate_probes_total", &[&format!("outcome=\"{outcome}\"")]).filter(|count| *count > 0.0));
    }
}

#[test]
fn sessions_with_a_backend_are_resumed_and_connections_used_again() {
    let authority = Authority::new();
    let own = authority.sign(&["proxy"]);
    let closing = SecureBackend::start(&authority.sign(&["127.0.0.1"]), false, None);
    let proxy = before(&[closing.address()], "ca = \"ca.pem\"", "", &authority, &own);
    (0..5).for_each(|_| assert_eq!(proxy.get("/").text(), "secret"));
    assert_eq!(closing.resumed(), 4);

    let keeping = SecureBackend::start(&authority.sign(&["127.0.0.1"]), true, None);
    let proxy = before(&[keeping.address()], "ca = \"ca.pem\"", "", &authority, &own);
    let mut client = proxy.connect();
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "secret");
    }
    // The tickets that came with the first answer are no reason to take the connection for spoiled.
    proxy.metric_becomes("tidegate_upstream_connections_opened_total", &[], 1.0);
    proxy.metric_becomes("tidegate_upstream_connections_reused_total", &[], 4.0);
}

#[test]
fn a_backend_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let own = authority.sign(&["proxy"]);
    let strict = SecureBackend::start(&authority.sign(&["127.0.0.1"]), true, Some(authority.roots()));
    let proxy = before(&[strict.address()], "ca = \"ca.pem\", certificate = \"own.pem\", key = \"own.key\"", "", &authority, &own);
    assert_eq!(proxy.get("/").text(), "secret");
    let without = before(&[strict.address()], "ca = \"ca.pem\"", "", &authority, &own);
    assert_eq!(without.get("/").status(), 502);
}

#[test]
fn what_one_certificate_is_told_is_not_told_to_another() {
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nme".to_owned();
    let backend = Counting::saying(answer);
    let site = Site::to([backend.address()]).with("[cache.main]\nmemory = \"16MiB\"\nmax_object = \"1MiB\"").route("cache = \"main\"");
    let scene = started(site, &format!("{TWO}, client_ca = \"ca.pem\""));
    for (at, name) in ["alice", "bob", "alice"].into_iter().enumerate() {
        let client = scene.showing(&scene.authority.sign_as(&["worker"], name));
        let mut secure = Secure::connect(scene.proxy.web, "a.example", &client).expect("a handshake");
        assert_eq!(secure.get("a.example", "/me").expect("an answer").1, b"me");
        assert_eq!(backend.requests(), at + 1, "{name} is asked for");
    }
}

/// A client with all the room in the world that stops reading: after `timeout.write` it is gone, its last words from us or not.
#[test]
fn who_reads_nothing_does_not_hold_a_connection() {
    const SIZE: usize = 24 << 20;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{}", "x".repeat(SIZE));
    let backend = Counting::saying(answer);
    let scene = started(Site::to([backend.address()]).listen("timeout = { write = \"500ms\" }"), TWO);
    let mut config = ClientConfig::clone(&scene.client);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(scene.proxy.web).await.expect("a connection");
        let name = "a.example".try_into().expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
        let windows =
            h2::client::Builder::new().initial_window_size(1 << 30).initial_connection_window_size(1 << 30).handshake::<_, Bytes>(stream);
        let (client, mut connection) = windows.await.expect("HTTP/2");
        let request = http::Request::get("https://a.example/").body(()).expect("a request");
        let mut client = std::pin::pin!(client.ready());
        let sent = std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut connection).poll(cx);
            client.as_mut().poll(cx)
        });
        let _answer = sent.await.expect("room for a stream").send_request(request, true).expect("is sent");
        // It goes out, and nothing is read any more.
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx).is_pending())).await;
        scene.proxy.metric_becomes("tidegate_worker_connections", &[], 1.0);
        scene.proxy.metric_becomes("tidegate_worker_connections", &[], 0.0);
    });
}

/// By ALPN, and with large answers to several streams at once, so that writes have to wait and frames share records.
#[test]
fn http2_is_agreed_on_and_carries_large_answers_whole() {
    const SIZE: usize = 700_000;
    let content: String = (0..SIZE).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{content}");
    let backend = Counting::saying(answer);
    let scene = started(Site::to([backend.address()]), TWO);
    let mut config = ClientConfig::clone(&scene.client);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(scene.proxy.web).await.expect("a connection");
        let name = "a.example".try_into().expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..6 {
            let request = http::Request::get("https://a.example/").body(()).expect("a request");
            client = client.ready().await.expect("room for a stream");
            let answer = client.send_request(request, true).expect("is sent").0;
            answers.push(tokio::spawn(async move {
                let mut body = answer.await.expect("an answer").into_body();
                let mut read = Vec::new();
                while let Some(piece) = body.data().await {
                    let piece = piece.expect("more of it");
                    read.extend_from_slice(&piece);
                    body.flow_control().release_capacity(piece.len()).expect("was lent");
                }
                read
            }));
        }
        for answer in answers {
            let read = answer.await.expect("ends");
            assert!(read == content.as_bytes(), "{} bytes", read.len());
        }
    });
    let (head, _) = scene.connect("a.example").expect("a handshake").get("a.example", "/").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "who does not ask for it speaks HTTP/1.1: {head}");
}
