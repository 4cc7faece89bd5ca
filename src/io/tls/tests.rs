use std::future::poll_fn;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Settings of two who believe each other.
fn settings() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("a certificate");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
    let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).expect("a pair");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

/// Both ends of one connection, nothing said yet.
async fn strangers() -> (Tls, Tls) {
    let (server, client) = settings();
    connected(server, client).await
}

async fn connected(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (Tls, Tls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (far, _) = listener.accept().await.expect("a connection");
    near.set_nodelay(true).expect("TCP_NODELAY");
    let name = ServerName::try_from("a.example").expect("a name");
    (Tls::server(far, server).expect("a session"), Tls::client(near, client, name).expect("a session"))
}

async fn acquainted() -> (Tls, Tls) {
    let (mut server, mut client) = strangers().await;
    let (shaken, greeted) = tokio::join!(poll_fn(|cx| server.poll_handshake(cx)), poll_fn(|cx| client.poll_handshake(cx)));
    (shaken.and(greeted)).expect("a handshake");
    (server, client)
}

/// All of it, at once.
async fn write(tls: &mut Tls, bytes: &[u8]) {
    let mut written = 0;
    while written < bytes.len() {
        written += poll_fn(|cx| tls.poll_write(cx, &[IoSlice::new(&bytes[written..])])).await.expect("is taken");
    }
}

/// What comes next, once something has.
async fn read(tls: &mut Tls) -> io::Result<Vec<u8>> {
    let mut space = [0; 64];
    loop {
        poll_fn(|cx| tls.poll_read_ready(cx)).await;
        match tls.read_now(&mut space) {
            Ok(n) => return Ok(space[..n].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::test]
async fn who_has_said_all_still_gets_an_answer() {
    let (mut server, mut client) = acquainted().await;
    write(&mut client, b"question").await;
    poll_fn(|cx| client.poll_shutdown(cx)).await.expect("it has said all");
    assert_eq!(read(&mut server).await.expect("content"), b"question");
    assert_eq!(read(&mut server).await.expect("an end"), b"");
    assert_eq!(read(&mut server).await.expect("it stays one"), b"");
    write(&mut server, b"answer").await;
    assert_eq!(read(&mut client).await.expect("content"), b"answer");
    drop(server);
    assert_eq!(read(&mut client).await.expect("an end"), b"");
}

#[tokio::test]
async fn a_connection_that_only_ends_was_cut() {
    let (mut server, mut client) = acquainted().await;
    write(&mut client, b"half of it").await;
    client.abandon(true);
    poll_fn(|cx| Pin::new(&mut client.socket).poll_shutdown(cx)).await.expect("a FIN");
    assert_eq!(read(&mut server).await.expect("content"), b"half of it");
    assert_eq!(read(&mut server).await.expect_err("no end").kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_comes_together_with_the_handshakes_end_is_kept() {
    let (mut server, mut client) = strangers().await;
    // Polled in turns, so that the client's last words of the handshake and its first of content lie in the socket together.
    while poll_fn(|cx| Poll::Ready(client.poll_handshake(cx).is_pending())).await {
        let waits = poll_fn(|cx| Poll::Ready(server.poll_handshake(cx).is_pending())).await;
        assert!(waits, "the client has the last word");
        tokio::task::yield_now().await;
    }
    write(&mut client, b"early").await;
    poll_fn(|cx| server.poll_handshake(cx)).await.expect("a handshake");
    assert_eq!(read(&mut server).await.expect("content"), b"early");
    assert!(!server.has_news());
}

#[tokio::test]
async fn half_a_record_is_no_content_yet() {
    let (mut server, mut client) = acquainted().await;
    client.seal(&[IoSlice::new(b"in two pieces")]).expect("is sealed");
    let record = client.outgoing.data().to_vec();
    let (first, rest) = record.split_at(record.len() / 2);
    rustix::io::write(&client.socket, first).expect("is taken");
    poll_fn(|cx| server.poll_read_ready(cx)).await;
    let mut space = [0; 64];
    assert_eq!(server.read_now(&mut space).expect_err("nothing yet").kind(), io::ErrorKind::WouldBlock);
    rustix::io::write(&client.socket, rest).expect("is taken");
    assert_eq!(read(&mut server).await.expect("content"), b"in two pieces");
    client.abandon(true);
}

#[tokio::test]
async fn a_record_that_was_tampered_with_ends_it_and_the_other_side_is_told() {
    let (mut server, mut client) = acquainted().await;
    client.seal(&[IoSlice::new(b"good"), IoSlice::new(b"bad")]).expect("is sealed");
    let mut records = client.outgoing.data().to_vec();
    *records.last_mut().expect("bytes") ^= 1;
    rustix::io::write(&client.socket, &records).expect("is taken");
    // What came before is none the worse for it.
    assert_eq!(read(&mut server).await.expect("content"), b"good");
    assert_eq!(read(&mut server).await.expect_err("an error").kind(), io::ErrorKind::InvalidData);
    let error = loop {
        match read(&mut client).await {
            Ok(said) => assert_eq!(said, b"", "nothing but the alert"),
            Err(error) => break error,
        }
    };
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    assert_eq!(told, Some(&rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
}

#[tokio::test]
async fn who_has_nothing_in_common_with_us_is_told_so() {
    let (server, client) = settings();
    let (mut server, mut client) = (ServerConfig::clone(&server), ClientConfig::clone(&client));
    server.alpn_protocols = vec![b"h2".to_vec()];
    client.alpn_protocols = vec![b"else".to_vec()];
    let (mut server, mut client) = connected(server.into(), client.into()).await;
    let (refused, told) = tokio::join!(poll_fn(|cx| server.poll_handshake(cx)), poll_fn(|cx| client.poll_handshake(cx)));
    let error = |outcome: io::Result<()>| {
        let error = outcome.expect_err("no handshake");
        error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned()
    };
    assert_eq!(error(refused), Some(rustls::Error::NoApplicationProtocol));
    assert_eq!(error(told), Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)));
}

/// Bytes of a write that waits are offered again; what comes out at the other end is each of them once, in order.
#[tokio::test]
async fn a_slow_reader_gets_every_byte_once() {
    let (mut server, mut client) = acquainted().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < content.len() {
            seen.extend(read(&mut client).await.expect("content"));
        }
        seen
    };
    let ((), seen) = tokio::join!(write(&mut server, &content), reading);
    assert!(seen == content);
}
