//! What it takes that a client comes by TLS, and by the right one.
//!
//! A plain listener may send everybody to https. Under TLS, a request has to be for a host that the certificate shown on its connection
//! speaks for: a client that asked for one name and requests another has been misled, or tries to reach what is behind the other
//! without asking for it (RFC 9110 7.4).

use crate::failure::{Failure, Malformed};
use crate::message::{Answer, Conn, Head, path};
use crate::proxy::reply;
use crate::table::{Listener, ListenerTls};

/// Where certificate authorities look for the proof that a host is ours, and do so without TLS (RFC 8555 8.3).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";
const HTTPS_PORT: u16 = 443;

/// `Some`: the request goes no further, and this is its answer.
pub fn admit(listener: &Listener, conn: &Conn, head: &Head) -> Result<Option<Answer>, Failure> {
    if let Some(tls) = &listener.tls {
        return directed(tls, conn, head).map(|()| None);
    }
    match listener.redirect_https {
        Some(port) if !head.path().starts_with(CHALLENGES) => to_https(head, port).map(Some),
        _ => Ok(None),
    }
}

fn directed(tls: &ListenerTls, conn: &Conn, head: &Head) -> Result<(), Failure> {
    let Some(asked) = &conn.asked else { return Ok(()) };
    if head.authority() == asked.as_bytes() {
        return Ok(());
    }
    let host = path::host(head.authority()).ok_or(Failure::RequestMalformed(Malformed::Host))?;
    // From HTTP/1.0, which may name none.
    if host.is_empty() || tls.secure.names.may_serve(asked, &host) { Ok(()) } else { Err(Failure::Misdirected) }
}

fn to_https(head: &Head, port: u16) -> Result<Answer, Failure> {
    let host = path::host(head.authority()).filter(|host| !host.is_empty()).ok_or(Failure::RequestMalformed(Malformed::Host))?;
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    // `OPTIONS *` is about the server as a whole.
    let target = if head.target().starts_with(b"/") { head.target() } else { b"/" };
    Ok(reply::redirect(308, &[b"https://", host.as_bytes(), port.as_bytes(), target].concat()))
}

/// Tells browsers to stay with https, where the backend has not said what it wants of them.
pub fn stamp(answer: &mut Answer, listener: Option<&Listener>) {
    let (Answer::Reply { head, .. } | Answer::Tunnel { head, .. }) = answer;
    if let Some(policy) = listener.and_then(|listener| listener.tls.as_ref()?.hsts.as_ref())
        && head.fields.find(STRICT).next().is_none()
    {
        head.fields.append(STRICT.as_bytes(), policy.as_bytes());
    }
}

const STRICT: &str = "strict-transport-security";
