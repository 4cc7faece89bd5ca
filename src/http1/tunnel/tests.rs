use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

/// The far end and ours, with `room` bytes and a little more between them.
async fn pair(room: u32) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let far = TcpSocket::new_v4().expect("a socket");
    far.set_recv_buffer_size(room).expect("a small buffer");
    let far = far.connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (ours, _) = listener.accept().await.expect("a connection");
    socket2::SockRef::from(&ours).set_send_buffer_size(room as usize).expect("a small buffer");
    (far, ours)
}

/// A tunnel between a client that takes little at a time and a backend; both far ends.
async fn open(idle_timeout: Duration) -> (TcpStream, TcpStream, tokio::task::JoinHandle<()>) {
    let (client, near_client) = pair(4 << 10).await;
    let (backend, near_backend) = pair(64 << 10).await;
    let tunnel = Box::new(Tunnel { io: Io::tcp(near_backend), early: Bytes::new(), idle_timeout, ending: None, guard: Box::new(()) });
    let running = tokio::task::spawn_local(async move {
        run(&Io::tcp(near_client), Scratch::take(), Buffer::new(), tunnel, &Timer::new()).await;
    });
    (client, backend, running)
}

fn in_a_worker<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(crate::io::tick());
        test.await
    })
}

const LAST_WORDS: usize = 48 << 10;

#[test]
fn what_a_backend_said_before_it_broke_reaches_a_client_that_still_speaks() {
    in_a_worker(async {
        let (mut client, mut backend, running) = open(Duration::from_secs(60)).await;
        backend.write_all(&[b'x'; LAST_WORDS]).await.expect("room on our side");
        backend.set_zero_linger().expect("SO_LINGER");
        drop(backend);
        // The client has read nothing yet, so most of it is still ours to deliver; what the client says has nowhere to go.
        client.write_all(b"are you there?").await.expect("a living tunnel");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.expect("an end, not a reset");
        assert_eq!(heard.len(), LAST_WORDS);
        drop(client);
        running.await.expect("an end");
    });
}

#[test]
fn a_client_that_does_not_end_is_not_waited_for_once_there_is_nothing_to_deliver() {
    in_a_worker(async {
        let (mut client, backend, running) = open(Duration::from_secs(60)).await;
        backend.set_zero_linger().expect("SO_LINGER");
        drop(backend);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.expect("an end");
        tokio::time::timeout(Duration::from_secs(10), running).await.expect("in a moment").expect("an end");
    });
}
