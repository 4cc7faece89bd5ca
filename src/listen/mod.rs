//! Sockets to listen on: one per worker and address, all on the same port. Unix sockets are another matter: `unix`.
//!
//! With SO_REUSEPORT the kernel spreads connections over the workers, and each worker accepts without a lock. The price is that a
//! second process could bind the same port unnoticed; so the port is first bound without the option, which fails where anybody has it.

pub mod greet;
pub mod incoming;
mod introduction;
pub mod proxy_protocol;
pub mod unix;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, Type};

pub use unix::SocketFile;

use crate::address::Address;

/// Connections that wait to be accepted, per socket; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that can not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can not listen on {address}: {source}")]
pub struct BindError {
    pub address: Address,
    pub source: io::Error,
}

/// One worker's socket, nonblocking and listening.
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An address that is listened on.
pub struct Bound {
    pub sockets: Vec<Socket>,
    /// Of a Unix socket.
    pub file: Option<SocketFile>,
}

impl BindError {
    /// Somebody else has the port.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// `count` sockets on one address. `mode`: of a Unix socket's file.
pub fn bind(address: &Address, mode: Option<u32>, count: usize) -> Result<Bound, BindError> {
    let bound = match address {
        Address::Ip(address) => {
            bind_ip(*address, count).map(|sockets| Bound { sockets: sockets.into_iter().map(Socket::Tcp).collect(), file: None })
        }
        Address::Unix(path) => unix::bind(path, mode, count)
            .map(|(sockets, file)| Bound { sockets: sockets.into_iter().map(Socket::Unix).collect(), file: Some(file) }),
    };
    bound.map_err(|source| BindError { address: address.clone(), source })
}

/// Port 0: one free port for all of them.
pub fn bind_ip(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let probe = socket(address, false)?;
    // Two sockets that only bind may share a port by SO_REUSEADDR; one that listens shares with nobody.
    probe.listen(1)?;
    let bound = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    let listen = || -> io::Result<TcpListener> {
        let socket = socket(bound, true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    (0..count).map(|_| listen()).collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process may linger on the port; they must not keep a new one from starting.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses; without this the first would take both.
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Answers leave in as few writes as they can; what is written should not wait for more. Connections have it from their listener.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("is an address")
    }

    #[test]
    fn connections_have_their_options_from_the_socket() {
        let socket = bind_ip(loopback(), 1).expect("a free port").remove(0);
        let _client = std::net::TcpStream::connect(socket.local_addr().expect("is bound")).expect("it listens");
        let (stream, _) = loop {
            match socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                accepted => break accepted.expect("a client has come"),
            }
        };
        assert!(stream.nodelay().expect("is open"));
    }

    #[test]
    fn all_sockets_share_one_port_and_a_second_owner_is_refused() {
        let sockets = bind_ip(loopback(), 3).expect("binds");
        let address = sockets[0].local_addr().expect("is bound");
        assert!(sockets.iter().all(|socket| socket.local_addr().is_ok_and(|other| other == address)));
        let Err(refused) = bind(&address.into(), None, 1) else { panic!("is taken") };
        assert!(refused.is_taken(), "{refused}");
        drop(sockets);
        bind_ip(address, 1).expect("is free again");
    }

    #[test]
    fn both_wildcards_of_one_port_live_side_by_side() {
        // The port may be somebody's in the other family.
        let is_shared = (0..10).any(|_| {
            let v6 = bind_ip("[::]:0".parse().expect("is an address"), 1).expect("binds");
            let port = v6[0].local_addr().expect("is bound").port();
            bind_ip(SocketAddr::from(([0, 0, 0, 0], port)), 1).is_ok()
        });
        assert!(is_shared);
    }
}
