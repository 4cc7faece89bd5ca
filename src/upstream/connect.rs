//! One new connection to a backend, within its time.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use rustls::AlertDescription;

use crate::address::Address;
use crate::failure::Failure;
use crate::http1::client::Connection;
use crate::http2;
use crate::io::{self, Io, Timer, Tls};
use crate::tls::Peer;

/// Connects; with `tls`, up to the end of its handshake, all within the one time. Cancel safe: a dropped call closes the socket.
/// `introduction`: goes out before anything else; may be empty.
pub async fn connect(address: &Address, introduction: &[u8], tls: Option<&Peer>, timeout: Duration) -> Result<Box<Connection>, Failure> {
    let timer = Timer::new();
    timer.set(timeout);
    let io = dial(address, introduction, &timer).await?;
    match tls {
        None => Ok(Connection::new(io)),
        // On the heap: most pools have no use for it, and every request's future would hold it.
        Some(peer) => Ok(Connection::new(Box::pin(secure(io, peer, &timer)).await?)),
    }
}

/// The same for HTTP/2, up to the backend's first frame. `stall`: how long the backend may take nothing of what is sent later.
pub async fn connect_http2(
    address: Address,
    tls: Option<Peer>,
    timeout: Duration,
    stall: Duration,
) -> Result<Rc<http2::client::Connection>, Failure> {
    let timer = Timer::new();
    timer.set(timeout);
    let io = dial(&address, &[], &timer).await?;
    let io = match &tls {
        None => io,
        Some(peer) => secure(io, peer, &timer).await?,
    };
    match timer.limit_to(None, http2::client::Connection::begin(io, stall)).await {
        Ok(begun) => begun,
        Err(_) => Err(Failure::ConnectTimeout),
    }
}

async fn dial(address: &Address, introduction: &[u8], timer: &Timer) -> Result<Io, Failure> {
    let connected = async {
        let io = Io::tcp(io::connect(address).await?);
        io.write_all(introduction).await?;
        Ok(io)
    };
    match timer.limit_to(None, connected).await {
        Ok(Ok(io)) => Ok(io),
        Ok(Err(error)) => Err(judge(&error)),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}

/// The one protocol that is offered is the one that is spoken. Who negotiates none speaks HTTP/1.1; that is no HTTP/2.
async fn secure(io: Io, peer: &Peer, timer: &Timer) -> Result<Io, Failure> {
    let stream = io.into_tcp().ok_or(Failure::Internal)?;
    let tls = Tls::client(stream, peer.config.clone(), peer.name.clone());
    let mut tls = Box::new(tls.map_err(|_| Failure::UpstreamTlsFailed)?);
    match timer.limit_to(None, poll_fn(|cx| tls.poll_handshake(cx))).await {
        Ok(Ok(())) if peer.agrees_on(tls.protocol()) => Ok(Io::tls(tls)),
        Ok(Ok(())) => Err(Failure::UpstreamNotHttp2),
        Ok(Err(error)) => Err(judge_handshake(&error)),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}

/// A backend that we do not believe is told apart from one that we can not talk to.
pub(super) fn judge_handshake(error: &std::io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => Failure::UpstreamUntrusted,
        // Only HTTP/2 is ever refused: those who know ALPN know the other.
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Failure::UpstreamNotHttp2,
        _ => Failure::UpstreamTlsFailed,
    }
}

/// Whose fault it is. Running out of descriptors or ports here says nothing about the backend.
pub(super) fn judge(error: &std::io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM) => Failure::ResourcesExhausted,
        Some(Errno::ECONNREFUSED) => Failure::ConnectRefused,
        Some(Errno::ETIMEDOUT) => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_shortage_is_not_the_backends_fault() {
        for (errno, failure) in [
            (Errno::EMFILE, Failure::ResourcesExhausted),
            (Errno::EADDRNOTAVAIL, Failure::ResourcesExhausted),
            (Errno::ECONNREFUSED, Failure::ConnectRefused),
            (Errno::EHOSTUNREACH, Failure::ConnectFailed),
            (Errno::ETIMEDOUT, Failure::ConnectTimeout),
        ] {
            assert_eq!(judge(&std::io::Error::from_raw_os_error(errno as i32)), failure, "{errno}");
        }
    }
}
