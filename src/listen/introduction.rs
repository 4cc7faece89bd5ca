//! Reads a PROXY header off a fresh connection, and not a byte more: what follows belongs to TLS or HTTP, who read for themselves.
//!
//! The header's length is known only once it is there, so it is looked at (`MSG_PEEK`) until it is whole, and then taken. Its sender
//! sends it at once and in one piece, so that is two system calls as a rule; one that trickles costs a look for each piece, and the
//! greeting's deadline ends it.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::proxy_protocol::{self, BYTES_MAX, Malformed, Origin};

/// `None`: the client left before it had said anything, as those do who only look whether somebody listens. Cancel safe.
pub async fn hear(stream: &TcpStream) -> Result<Option<Origin>, Malformed> {
    let mut space = vec![0; BYTES_MAX];
    loop {
        let Ok(ready) = stream.ready(Interest::READABLE).await else { return Ok(None) };
        let looked = stream.try_io(Interest::READABLE, || {
            let (seen, _) = recv(stream, &mut space[..], RecvFlags::PEEK)?;
            match proxy_protocol::read(&space[..seen]) {
                Ok(None) if seen == 0 => Ok(Ok(None)),
                // Nothing more has come yet: said so, the runtime waits for the kernel's next word.
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                whole => Ok(whole),
            }
        });
        match looked {
            Ok(Ok(Some((origin, len)))) => {
                return Ok(take(stream, &mut space[..len]).then_some(origin));
            }
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(malformed)) => return Err(malformed),
            // All that was sent before the end was there to be seen, and the runtime never forgets an end: no waiting for more.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => return Err(Malformed("it is cut off")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Takes what was seen there. `false`: the connection broke meanwhile.
fn take(stream: &TcpStream, mut space: &mut [u8]) -> bool {
    while !space.is_empty() {
        match recv(stream, &mut *space, RecvFlags::empty()) {
            Ok((n @ 1.., _)) => space = &mut space[n..],
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, socket.accept().await.unwrap().0)
    }

    const LINE: &[u8] = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";

    #[tokio::test]
    async fn what_follows_the_header_is_left_where_it_is() {
        let (mut client, mut server) = pair().await;
        client.write_all(&[LINE, b"GET"].concat()).await.unwrap();
        assert!(matches!(hear(&server).await, Ok(Some(Origin::Relayed(_)))));
        let mut rest = [0; 3];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET");
    }

    #[tokio::test]
    async fn a_header_may_come_in_pieces_and_costs_a_look_for_each() {
        let (mut client, server) = pair().await;
        let heard = tokio::spawn(async move { hear(&server).await });
        for byte in LINE {
            client.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(matches!(heard.await.unwrap(), Ok(Some(Origin::Relayed(_)))));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_rest_does_not_spin() {
        let (mut client, server) = pair().await;
        client.write_all(b"PROXY ").await.unwrap();
        let began = cpu();
        assert!(tokio::time::timeout(Duration::from_millis(300), hear(&server)).await.is_err());
        let spent = cpu().saturating_sub(began);
        assert!(spent < Duration::from_millis(100), "{spent:?}");
    }

    #[tokio::test]
    async fn an_end_is_noticed_before_the_first_byte_and_in_the_middle() {
        let (client, server) = pair().await;
        drop(client);
        assert_eq!(hear(&server).await, Ok(None));
        let (mut client, server) = pair().await;
        client.write_all(b"PROXY ").await.unwrap();
        let heard = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            client.shutdown().await.unwrap();
        };
        let (heard, ()) = tokio::join!(hear(&server), heard);
        assert_eq!(heard, Err(Malformed("it is cut off")));
    }

    /// Of this thread.
    fn cpu() -> Duration {
        let spent = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
        let (user, system) = (spent.user_time(), spent.system_time());
        Duration::from_micros((user.tv_sec() + system.tv_sec()) as u64 * 1_000_000 + (user.tv_usec() + system.tv_usec()) as u64)
    }
}
