//! From accept to the first request: what a listener asks of a connection before HTTP, and which HTTP it is.
//!
//! In order: who the client is, where a load balancer in front says so (PROXY protocol); TLS; the protocol, by ALPN. On a plain
//! listener `http1` tells by the first bytes. One deadline (`Welcome::timeout`) covers all of it and the first request's head, so that a
//! client that stops anywhere on the way, or never begins, costs its place no longer than that.
//!
//! What is asked comes from the table of the moment, so that a reload applies to the next connection. The steps live on the heap while
//! they last; where nothing is asked there are none, and a connection costs what its protocol costs.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tracing::debug;

use super::incoming::HERE;
use super::introduction;
use super::proxy_protocol::{Malformed, Origin, Relayed};
use crate::failure::Failure;
use crate::io::timer::Elapsed;
use crate::io::{Buffer, Io, Timer, Tls};
use crate::message::crowd::Presence;
use crate::message::{Conn, Handler, Handshake, Secure, Welcome, forwarding};
use crate::tls::{self, Named};
use crate::{http1, http2};

/// A connection as it was accepted.
pub struct Arrival {
    pub stream: TcpStream,
    /// As in `Conn`.
    pub listener: usize,
    pub peer: SocketAddr,
    pub local: SocketAddr,
}

/// A connection that is ready for requests.
struct Greeted {
    io: Io,
    conn: Rc<Conn>,
    /// Set to when the first request's head must be here.
    timer: Timer,
    protocol: Protocol,
}

/// What the client and we will speak.
enum Protocol {
    /// On a plain listener the first bytes may turn out to be HTTP/2's.
    Http1,
    Http2,
}

/// Serves one connection, from accept to its end, in a task of its own. `held` is dropped when that ends. Nothing but the runtime ends
/// the task before.
pub fn spawn<H: Handler + 'static>(arrival: Arrival, handler: Rc<H>, held: impl Sized + 'static) {
    let timer = Timer::new();
    let welcome = handler.welcome(arrival.listener);
    timer.set(welcome.timeout);
    if welcome.is_plain() {
        if let Some(presence) = admit(&arrival, &welcome, &*handler) {
            tokio::task::spawn_local(serve(plain(arrival, timer), handler, (held, presence)));
        }
        return;
    }
    // Boxed out here: what is moved into the task's future stays in it to the end.
    let greeting = Box::pin(greet(arrival, welcome, timer, handler.clone()));
    tokio::task::spawn_local(async move {
        if let Some((greeted, presence)) = greeting.await {
            serve(greeted, handler, (held, presence)).await;
        }
    });
}

/// One future for every protocol: as small as that of an idle HTTP/1.1 connection. Other protocols keep theirs on the heap.
fn serve<H: Handler>(greeted: Greeted, handler: Rc<H>, held: impl Sized) -> impl Future<Output = ()> {
    let Greeted { io, conn, timer, protocol } = greeted;
    async move {
        match protocol {
            Protocol::Http1 => {
                if let Some(found) = http1::server::serve(io, conn, timer, handler).await {
                    http2(*found).await;
                }
            }
            Protocol::Http2 => http2(http1::server::Http2 { io, conn, timer, handler, read: Buffer::new() }).await,
        }
        drop(held);
    }
}

/// A client that speaks HTTP/2, as was agreed by ALPN or as it turned out.
fn http2<H: Handler>(found: http1::server::Http2<H>) -> Pin<Box<impl Future<Output = ()>>> {
    let http1::server::Http2 { io, conn, timer, handler, read } = found;
    Box::pin(http2::server::serve(io, conn, timer, handler, read))
}

/// Nothing to ask: the first byte belongs to a request.
fn plain(Arrival { stream, listener, peer, local }: Arrival, timer: Timer) -> Greeted {
    Greeted { io: Io::tcp(stream), conn: Rc::new(Conn::new(listener, peer, local, false)), timer, protocol: Protocol::Http1 }
}

/// Everything that comes before the first request. `None`: there will be none.
async fn greet<H: Handler>(
    mut arrival: Arrival,
    welcome: Rc<Welcome>,
    timer: Timer,
    handler: Rc<H>,
) -> Option<(Greeted, Option<Box<Presence>>)> {
    if forwarding::is_trusted(arrival.peer.ip(), &welcome.proxy_protocol) {
        introduce(&mut arrival, &timer, &*handler).await?;
    }
    // As early as it is known who it is: refusing is to cost less than serving.
    let presence = admit(&arrival, &welcome, &*handler)?;
    let greeted = match &welcome.tls {
        None => plain(arrival, timer),
        Some(secure) => shake_hands(arrival, secure, timer, &*handler).await?,
    };
    Some((greeted, presence))
}

/// A place among those of its address, where they are counted. `None`: it has all its places, and the connection is closed without a
/// word, as an answer would cost what the limit is to save.
fn admit<H: Handler>(arrival: &Arrival, welcome: &Welcome, handler: &H) -> Option<Option<Box<Presence>>> {
    let Some((crowd, most)) = welcome.crowd.as_ref().filter(|_| arrival.local != HERE) else { return Some(None) };
    let presence = crowd.join(arrival.peer.ip(), most.get());
    if presence.is_none() {
        handler.turn_away(arrival.listener, arrival.peer, Failure::TooManyConnections, &"");
    }
    presence.map(Some)
}

/// A load balancer says whose connection it is.
async fn introduce<H: Handler>(arrival: &mut Arrival, timer: &Timer, handler: &H) -> Option<()> {
    let (listener, peer) = (arrival.listener, arrival.peer);
    match timer.limit_to(None, introduction::hear(&arrival.stream)).await {
        Ok(Ok(Some(Origin::Relayed(Relayed { source, destination })))) => (arrival.peer, arrival.local) = (source, destination),
        Ok(Ok(Some(Origin::Own))) => {}
        Ok(Ok(None)) => return None,
        Ok(Err(Malformed(why))) => {
            handler.turn_away(listener, peer, Failure::ProxyHeaderMalformed, &why);
            return None;
        }
        Err(_) => {
            handler.turn_away(listener, peer, Failure::ProxyHeaderTimeout, &"");
            return None;
        }
    }
    Some(())
}

async fn shake_hands<H: Handler>(arrival: Arrival, secure: &Secure, timer: Timer, handler: &H) -> Option<Greeted> {
    let Arrival { stream, listener, peer, local } = arrival;
    let named = Arc::new(Named::new(secure.names.clone()));
    let mut config = rustls::ServerConfig::clone(&secure.config);
    config.cert_resolver = named.clone();
    // Fails only where the settings contradict themselves, and these do not.
    let mut stream = Box::new(Tls::server(stream, Arc::new(config)).ok()?);
    let shaken = timer.limit_to(None, poll_fn(|cx| stream.poll_handshake(cx))).await;
    let how = match &shaken {
        Ok(Ok(())) if stream.is_resumed() => Handshake::Resumed,
        Ok(Ok(())) => Handshake::Full,
        Ok(Err(error)) => judge(error),
        Err(Elapsed) => Handshake::Timeout,
    };
    handler.handshake(how);
    if !matches!(how, Handshake::Full | Handshake::Resumed) {
        debug!(%peer, reason = Handshake::WORDS[how as usize], "no TLS with a client");
        return None;
    }
    let subject = stream.certificate().and_then(tls::subject);
    let conn = Conn::new(listener, peer, local, true).secured(named.asked(), subject.as_deref());
    let protocol = match stream.protocol() {
        Some(b"h2") => Protocol::Http2,
        // Whoever does not negotiate speaks what everybody speaks.
        Some(_) | None => Protocol::Http1,
    };
    Some(Greeted { io: Io::tls(stream), conn: Rc::new(conn), timer, protocol })
}

/// Why a handshake failed.
fn judge(error: &io::Error) -> Handshake {
    use rustls::{AlertDescription as Alert, Error};
    let Some(Ok(error)) = error.get_ref().map(|inner| inner.downcast_ref::<Error>().ok_or(())) else { return Handshake::Closed };
    match error {
        Error::InvalidMessage(_) => Handshake::NotTls,
        Error::PeerIncompatible(_) => Handshake::NothingInCommon,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Handshake::ClientCertificate,
        // No complaint: whoever only looked (a scanner, a health check) takes its leave so.
        Error::AlertReceived(Alert::CloseNotify | Alert::UserCanceled) => Handshake::Closed,
        Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity) => Handshake::NothingInCommon,
        Error::AlertReceived(_) => Handshake::Refused,
        Error::NoApplicationProtocol => Handshake::NothingInCommon,
        _ => Handshake::Broken,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;
    use std::time::Instant;

    use super::*;
    use crate::message::{Answer, Body, Head, Interim, Terms};

    /// Nobody asks it anything.
    struct Mute;

    impl Handler for Mute {
        async fn answer(&self, _: &Rc<Conn>, _: Instant, _: Head, _: Body, _: &mut dyn Interim) -> Answer {
            unreachable!()
        }

        fn welcome(&self, _: usize) -> Rc<Welcome> {
            unreachable!()
        }

        fn terms(&self, _: &Conn) -> Rc<Terms> {
            unreachable!()
        }

        fn http2(&self, _: crate::message::Told) {
            unreachable!()
        }

        fn handshake(&self, _: Handshake) {
            unreachable!()
        }

        fn refuse(&self, _: &Rc<Conn>, _: Instant, _: Failure) -> Answer {
            unreachable!()
        }

        fn turn_away(&self, _: usize, _: SocketAddr, _: Failure, _: &dyn Display) {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn an_idle_connection_pays_for_the_greeting_with_its_arguments() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let local = socket.local_addr().expect("an address");
        let connected = async || {
            let stream = TcpStream::connect(local).await.expect("a connection");
            plain(Arrival { stream, listener: 0, peer: local, local }, Timer::new())
        };
        let handler = Rc::new(Mute);
        let Greeted { io, conn, .. } = connected().await;
        let bare = size_of_val(&http1::server::serve(io, conn, Timer::new(), handler.clone()));
        let whole = size_of_val(&serve(connected().await, handler, ()));
        // The connection, which is moved on, where the future stands, and the one of a client that turns out to speak HTTP/2.
        assert!(whole <= bare + size_of::<Greeted>() + 2 * size_of::<usize>(), "{whole} bytes, without the greeting {bare}");
    }
}
