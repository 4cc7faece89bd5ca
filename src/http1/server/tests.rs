use std::cell::RefCell;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::message::{Handshake, Welcome};

const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

/// A client's end and ours, with so little room between them that a few kilobytes fill it.
async fn narrow() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let client = TcpSocket::new_v4().expect("a socket");
    client.set_recv_buffer_size(4 << 10).expect("a small buffer");
    let client = client.connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (ours, peer) = listener.accept().await.expect("a connection");
    socket2::SockRef::from(&ours).set_send_buffer_size(4 << 10).expect("a small buffer");
    (client, ours, peer)
}

/// Says something ahead of its answer for as long as the client takes it.
struct Chatty {
    /// Told when it takes no more.
    full: RefCell<Option<oneshot::Sender<Failure>>>,
}

impl Handler for Chatty {
    async fn answer(&self, _: &Rc<Conn>, _: Instant, _: Head, _: Body, interim: &mut dyn Interim) -> Answer {
        let mut early = Head::response(103, b"Early Hints", Version::Http11);
        early.fields.append(b"Link", &[b'x'; 30_000]);
        loop {
            if let Err(failure) = interim.send(&early).await {
                let full = self.full.borrow_mut().take().expect("it fails once");
                full.send(failure).expect("the test waits for it");
                return Answer::Reply { head: Head::response(408, b"Final", Version::Http11), body: Body::empty() };
            }
        }
    }

    fn terms(&self, _: &Conn) -> Rc<Terms> {
        Rc::new(Terms { write_timeout: WRITE_TIMEOUT, last: false, ..Terms::last() })
    }

    fn welcome(&self, _: usize) -> Rc<Welcome> {
        unreachable!("nobody greets here")
    }

    fn http2(&self, _: crate::message::Told) {
        unreachable!("no HTTP/2 here")
    }

    fn handshake(&self, _: Handshake) {
        unreachable!("nobody shakes hands here")
    }

    fn refuse(&self, _: &Rc<Conn>, _: Instant, _: Failure) -> Answer {
        unreachable!("the request is in order")
    }

    fn turn_away(&self, _: usize, _: SocketAddr, _: Failure, _: &dyn std::fmt::Display) {
        unreachable!("nobody greets here")
    }
}

#[tokio::test]
async fn nothing_follows_an_interim_answer_that_was_cut() {
    let local = tokio::task::LocalSet::new();
    let seen = local.run_until(async {
        tokio::task::spawn_local(crate::io::tick());
        let (mut client, ours, peer) = narrow().await;
        let conn = Rc::new(Conn::new(0, peer, ours.local_addr().expect("an address"), false));
        let (full, filled) = oneshot::channel();
        tokio::task::spawn_local(serve(Io::tcp(ours), conn, Timer::new(), Rc::new(Chatty { full: RefCell::new(Some(full)) })));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("a request");
        // Only now it reads, which makes room for whatever is still to come.
        assert_eq!(filled.await, Ok(Failure::WriteTimeout));
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.expect("an end");
        String::from_utf8(seen).expect("text")
    });
    let seen = seen.await;
    assert!(seen.starts_with("HTTP/1.1 103 "), "{seen}");
    assert!(!seen.contains("Final"), "{seen}");
}
