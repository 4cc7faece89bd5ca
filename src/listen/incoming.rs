//! One worker's end of a socket that is listened on: connections come out of it, of whichever family.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::Socket;
use crate::io::connect::as_stream;

/// Both ends of a connection over a Unix socket, which has no addresses: they are on this machine. So that is what backends, logs,
/// hashes and lists of trusted networks see, for all of them want an address of a client. (nginx says `unix:`, which those who parse
/// `X-Forwarded-For` behind it do not expect.)
pub const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub enum Incoming {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Incoming {
    /// To be called in the runtime that is to accept.
    pub fn of(socket: Socket) -> io::Result<Incoming> {
        Ok(match socket {
            Socket::Tcp(socket) => Incoming::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Socket::Unix(socket) => Incoming::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// The next connection, and who has made it.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match self {
            Incoming::Tcp(socket) => socket.poll_accept(cx),
            Incoming::Unix(socket) => {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                Poll::Ready(Ok((as_stream(stream)?, HERE)))
            }
        }
    }
}
