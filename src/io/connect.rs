//! A new connection to an address of either family.
//!
//! A connected Unix socket is handed out as a `TcpStream`: it is a descriptor on which the same system calls are made (`recv`, `send`,
//! `writev`, `shutdown`), and nothing behind the connect asks for its family. So there is one kind of stream in the house, and neither
//! `Io` nor TLS nor a codec has a branch for the other. What only TCP has (`TCP_NODELAY`, peer and local addresses) is asked for where
//! a socket is made, and nowhere else.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::address::Address;

/// The kernel does not let a connect to a Unix socket wait in a full queue without blocking: it is asked again this much later.
const QUEUE_FULL: Duration = Duration::from_millis(2);

/// Connects, for as long as that takes. Cancel safe: a dropped call closes the socket.
pub async fn connect(address: &Address) -> io::Result<TcpStream> {
    match address {
        Address::Ip(address) => connect_ip(*address).await,
        Address::Unix(path) => connect_unix(path).await,
    }
}

async fn connect_ip(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Heads and small bodies leave in one write; waiting for more would only delay them.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

async fn connect_unix(path: &Path) -> io::Result<TcpStream> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return as_stream(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_FULL).await,
            Err(error) => return Err(error),
        }
    }
}

/// A connected Unix socket as what the house calls a stream.
pub fn as_stream(stream: UnixStream) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(stream.into_std()?)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::io::Io;

    #[tokio::test(flavor = "local")]
    async fn bytes_ends_and_breaks_of_a_unix_socket_are_those_of_any_stream() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let io = Io::tcp(connect(&Address::from(&*path)).await.unwrap());
        let (mut other, _) = listener.accept().await.unwrap();

        assert!(io.is_quiet() && !io.is_broken());
        io.write_all(b"ping").await.unwrap();
        let mut four = [0; 4];
        other.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");

        other.write_all(b"pong").await.unwrap();
        io.read_ready().await;
        let mut space = [0; 16];
        assert_eq!(io.read_now(&mut space).unwrap(), 4);
        other.shutdown().await.unwrap();
        io.read_ready().await;
        assert_eq!(io.read_now(&mut space).unwrap(), 0);
        assert!(!io.is_broken(), "it has finished, and still reads");
        std::future::poll_fn(|cx| io.poll_shutdown(cx)).await.unwrap();
        assert_eq!(other.read(&mut space).await.unwrap(), 0);
        drop(other);
        assert!(io.is_broken());
    }

    #[tokio::test(flavor = "local")]
    async fn a_full_queue_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let address = Address::from(&*path);
        let _first = connect(&address).await.unwrap();
        let second = tokio::task::spawn_local(async move { connect(&address).await.is_ok() });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!second.is_finished());
        drop(socket.accept().unwrap());
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn nobody_there_is_told_from_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let (gone, dead) = (dir.path().join("gone.sock"), dir.path().join("dead.sock"));
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        let kind = async |path: &Path| connect(&Address::from(path)).await.unwrap_err().kind();
        assert_eq!(kind(&gone).await, io::ErrorKind::NotFound);
        assert_eq!(kind(&dead).await, io::ErrorKind::ConnectionRefused);
    }
}
