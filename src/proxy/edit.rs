//! What the proxy changes in heads on their way: its duties as an intermediary first, then what the route asks for.

use std::net::IpAddr;

use super::sticky::Session;
use crate::config::model::HeaderEdits;
use crate::message::forwarding::{self, Peer};
use crate::message::{Answer, Conn, Fields, Head, Name};
use crate::table::{Listener, Route};

/// What a request asks of the way it is forwarded.
#[derive(Clone, Copy)]
pub struct Asks<'a> {
    /// It wants to switch protocols.
    pub upgrade: bool,
    /// It is one of a sticky session, or begins one.
    pub session: Option<Session<'a>>,
}

/// A client's request on its way to a backend.
pub fn request(head: &mut Head, route: &Route, listener: &Listener, conn: &Conn) -> Asks<'static> {
    // The codec leaves the field only where an upgrade may be made.
    let upgrade = head.fields.contains(Name::Upgrade);
    forwarding::to_upstream(head, &conn.hop, peer(conn.peer.ip(), listener), upgrade);
    if let Some(prefix) = &route.strip_prefix {
        strip_prefix(head, prefix.as_bytes());
    }
    fields(&mut head.fields, &route.request_headers);
    Asks { upgrade, session: None }
}

/// A backend's answer on its way to the client.
pub fn response(mut answer: Answer, route: &Route) -> Answer {
    let (Answer::Reply { head, .. } | Answer::Tunnel { head, .. }) = &mut answer;
    forwarding::to_downstream(head, head.status() == 101);
    own(answer, route)
}

/// An answer that the route gives itself.
pub fn own(mut answer: Answer, route: &Route) -> Answer {
    let (Answer::Reply { head, .. } | Answer::Tunnel { head, .. }) = &mut answer;
    fields(&mut head.fields, &route.response_headers);
    answer
}

pub(super) fn peer(address: IpAddr, listener: &Listener) -> Peer {
    if !listener.trusted_proxies.is_empty() && forwarding::is_trusted(address, &listener.trusted_proxies) {
        Peer::Trusted
    } else {
        Peer::Untrusted
    }
}

/// Takes `prefix` off the path as it was sent, where it stands there at a segment boundary. A path that says the same in other
/// bytes (percent-encoded) is left alone: the backend may know it by that name.
fn strip_prefix(head: &mut Head, prefix: &[u8]) {
    let Some(rest) = head.target().strip_prefix(prefix) else { return };
    let stripped = match rest.first() {
        Some(b'/') => rest.to_vec(),
        None | Some(b'?') => [b"/", rest].concat(),
        Some(_) => return,
    };
    head.set_target(&stripped);
}

fn fields(fields: &mut Fields, edits: &HeaderEdits) {
    for name in &edits.remove {
        fields.remove_named(name.as_bytes());
    }
    for (name, value) in &edits.set {
        fields.set(name, value.as_bytes());
    }
    for (name, value) in &edits.add {
        fields.append(name.as_bytes(), value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Version;

    #[test]
    fn a_prefix_is_stripped_at_segment_boundaries_only() {
        for (target, expected) in [
            ("/api/x?q=1", "/x?q=1"),
            ("/api", "/"),
            ("/api?q", "/?q"),
            ("/api/", "/"),
            ("/apix", "/apix"),
            ("/%61pi/x", "/%61pi/x"),
            ("/other", "/other"),
        ] {
            let mut head = Head::request(b"GET", target.as_bytes(), b"a.example", Version::Http11);
            strip_prefix(&mut head, b"/api");
            assert_eq!(head.target(), expected.as_bytes(), "{target}");
        }
    }
}
