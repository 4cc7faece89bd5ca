//! Sockets to listen on: one per worker and address, all on the same port.
//!
//! With SO_REUSEPORT the kernel spreads connections over the workers, and each worker accepts without a lock. The price is that a
//! second process could bind the same port unnoticed; so the port is first bound without the option, which fails where anybody has it.

pub mod greet;
pub mod proxy_protocol;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per socket; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that can not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can not listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl BindError {
    /// Somebody else has the port.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// `count` sockets on one address, nonblocking and listening. Port 0: one free port for all of them.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let failed = |source| BindError { address, source };
    let probe = socket(address, false).map_err(failed)?;
    // Two sockets that only bind may share a port by SO_REUSEADDR; one that listens shares with nobody.
    probe.listen(1).map_err(failed)?;
    let bound = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    drop(probe);
    let listen = || -> io::Result<TcpListener> {
        let socket = socket(bound, true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    (0..count).map(|_| listen().map_err(failed)).collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process may linger on the port; they must not keep a new one from starting.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses; without this the first would take both.
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
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
    fn all_sockets_share_one_port_and_a_second_owner_is_refused() {
        let sockets = bind(loopback(), 3).expect("binds");
        let address = sockets[0].local_addr().expect("is bound");
        assert!(sockets.iter().all(|socket| socket.local_addr().is_ok_and(|other| other == address)));
        let refused = bind(address, 1).expect_err("is taken");
        assert!(refused.is_taken(), "{refused}");
        drop(sockets);
        bind(address, 1).expect("is free again");
    }

    #[test]
    fn both_wildcards_of_one_port_live_side_by_side() {
        let v6 = bind("[::]:0".parse().expect("is an address"), 1).expect("binds");
        let port = v6[0].local_addr().expect("is bound").port();
        bind(SocketAddr::from(([0, 0, 0, 0], port)), 1).expect("binds beside it");
    }
}
