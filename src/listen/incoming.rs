//! One worker's end of a socket that is listened on: connections come out of it, of whichever family.
//!
//! The runtime is told of the socket, not of what comes out of it: many a connection brings one request, which is there already, and is
//! closed behind the answer. See `io::Io`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;

use super::Socket;

/// Both ends of a connection over a Unix socket, which has no addresses: they are on this machine. So that is what backends, logs,
/// hashes and lists of trusted networks see, for all of them want an address of a client. (nginx says `unix:`, which those who parse
/// `X-Forwarded-For` behind it do not expect.)
pub const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub struct Incoming {
    /// Listens, and is no stream: it is only asked when it is ready. The runtime's own listeners make known what they accept.
    socket: tokio::net::TcpStream,
    /// It is a Unix socket.
    here: bool,
}

impl Incoming {
    /// To be called in the runtime that is to accept.
    pub fn of(socket: Socket) -> io::Result<Incoming> {
        let (socket, here) = match socket {
            Socket::Tcp(socket) => (OwnedFd::from(socket), false),
            Socket::Unix(socket) => (OwnedFd::from(socket), true),
        };
        Ok(Incoming { socket: tokio::net::TcpStream::from_std(socket.into())?, here })
    }

    /// The next connection, nonblocking, and who has made it.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_io(Interest::READABLE, || self.accept()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = acceptfrom_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        // A Unix socket is handed out as `io::connect` does it.
        let peer = if self.here { HERE } else { peer.ok_or(io::ErrorKind::NotConnected)?.try_into()? };
        Ok((stream.into(), peer))
    }
}
