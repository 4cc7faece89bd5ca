//! What a head loses and gains when it passes through the proxy, in each direction.
//!
//! Hop-by-hop fields end here, and so do those that `Connection` names, with one limit: a name that this proxy acts on can not be
//! named away. Otherwise a client could strip `Authorization`, `X-Forwarded-For` or `Content-Length` from what the backend sees.
//! For the same reason these edits come before those that a route's configuration makes.
//!
//! CGI and its heirs (WSGI, PHP) read `X_Forwarded_For` as `X-Forwarded-For`; a field that spells one of ours so is dropped.
//!
//! What a client says about who it is counts only when it is a trusted proxy. `X-Forwarded-*` is always rebuilt, as one line each;
//! from a trusted peer the list in `X-Forwarded-For` grows at its right end and the others stay if they can be read. `Forwarded`
//! is dropped from untrusted peers and passed on as it is from trusted ones: two lists that say the same thing in two syntaxes are
//! how backends come to disagree with the proxy, so we extend only one.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::authority::{self, Authority};
use super::fields::{Fields, Name, Names, digits};
use super::handler::Conn;
use super::head::{Head, Version};

/// Fields that mean this hop only (RFC 9110 7.6.1), those that only `Connection` could announce included. `Proxy` is no field at
/// all: CGI backends would take it for the environment variable HTTP_PROXY.
const HOP_BY_HOP: Names = Names::of(&[
    Name::Connection,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::Proxy,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
    Name::HttpTwoSettings,
]);

/// What clients say about themselves and the way behind them.
const CLAIMS: Names = Names::of(&[Name::XForwardedFor, Name::XForwardedProto, Name::XForwardedHost, Name::XForwardedPort, Name::Forwarded]);

/// Of these there is one each when we are done.
const REBUILT: Names = CLAIMS.without(Name::Forwarded);

/// Members of `X-Forwarded-For` that are looked at, from the right.
const ADDRESSES_MAX: usize = 64;

/// The longest text of an address is one of IPv6.
const ADDRESS_BYTES: usize = 39;

/// Whether we believe what the peer says about others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Untrusted,
    Trusted,
}

/// What backends are told about a client connection. Made once per connection, its fields are copied to each request.
#[derive(Debug)]
pub struct Hop {
    /// X-Forwarded-For, -Proto and -Port as this connection has them; X-Client-Subject where it has shown a certificate.
    fields: Fields,
}

impl Hop {
    pub fn new(peer: SocketAddr, local: SocketAddr, secure: bool) -> Hop {
        let mut fields = Fields::with_capacity(128, 3);
        let (mut text, mut room) = ([0; ADDRESS_BYTES], [0; 20]);
        fields.append_known(Name::XForwardedFor, write_address(peer.ip().to_canonical(), &mut text));
        fields.append_known(Name::XForwardedProto, if secure { b"https" } else { b"http" });
        // A Unix socket has no port: then it is the scheme's.
        let port = match local.port() {
            0 if secure => 443,
            0 => 80,
            port => port,
        };
        fields.append_known(Name::XForwardedPort, digits(port.into(), &mut room));
        Hop { fields }
    }

    /// Whether the client has shown a certificate.
    pub fn has_subject(&self) -> bool {
        self.fields.contains(Name::XClientSubject)
    }

    /// The client has proved to be this.
    pub fn set_subject(&mut self, subject: &str) {
        self.fields.append_known(Name::XClientSubject, subject.as_bytes());
    }

    fn own(&self, name: Name) -> &[u8] {
        self.fields.get(name).expect("`new` sets it")
    }
}

/// An address as text, without the formatter of the standard library for the kind that most are of: it costs a tenth of a connection
/// that brings one request.
fn write_address(address: IpAddr, text: &mut [u8; ADDRESS_BYTES]) -> &[u8] {
    let mut rest = &mut text[..];
    // What is too long for it does not exist.
    let _ = match address {
        IpAddr::V4(address) => address.octets().into_iter().enumerate().try_for_each(|(at, octet)| {
            rest.write_all(if at == 0 { b"" } else { b"." })?;
            rest.write_all(digits(octet.into(), &mut [0; 20]))
        }),
        IpAddr::V6(address) => write!(rest, "{address}"),
    };
    let left = rest.len();
    &text[..ADDRESS_BYTES - left]
}

/// What a trusted proxy says of the URL that it was asked for, each thing said once and well, or not at all.
struct Claims<'a> {
    proto: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Claims<'a> {
    fn of(fields: &'a Fields) -> Claims<'a> {
        let said = |name, is_valid: fn(&[u8]) -> bool| {
            let mut values = fields.get_all(name);
            values.next().filter(|value| is_valid(value) && values.next().is_none())
        };
        Claims {
            proto: said(Name::XForwardedProto, |value| matches!(value, b"http" | b"https")),
            port: said(Name::XForwardedPort, |value| authority::port(value).is_some()),
            host: said(Name::XForwardedHost, |value| Authority::parse(value).is_some()),
        }
    }
}

/// What `to_upstream` tells a backend of the URL that the client asked for, by which its answers may differ.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub secure: bool,
    pub host: &'a [u8],
    /// The host of the request itself, where `host` is a trusted proxy's word.
    pub instead_of: Option<&'a [u8]>,
    pub port: &'a [u8],
    /// It is sent a `Forwarded` that came so.
    pub forwarded: bool,
}

impl<'a> Told<'a> {
    /// `peer` is asked only where it matters.
    pub fn of(head: &'a Head, conn: &'a Conn, peer: impl FnOnce() -> Peer) -> Told<'a> {
        let (secure, host, port) = (conn.secure, head.authority(), conn.hop.own(Name::XForwardedPort));
        let own = Told { secure, host, instead_of: None, port, forwarded: false };
        if !head.fields.may_have(CLAIMS) || peer() == Peer::Untrusted {
            return own;
        }
        let claims = Claims::of(&head.fields);
        Told {
            secure: claims.proto.map_or(secure, |proto| proto == b"https"),
            host: claims.host.unwrap_or(host),
            instead_of: claims.host.map(|_| host),
            port: claims.port.unwrap_or(port),
            forwarded: head.fields.contains(Name::Forwarded),
        }
    }
}

/// A request on its way to a backend. `upgrade`: it may switch protocols, so this hop asks for that too.
pub fn to_upstream(head: &mut Head, hop: &Hop, peer: Peer, upgrade: bool) {
    let wants_trailers = head.fields.may_have(Names::of(&[Name::Te]))
        && (head.version == Version::Http2 || head.connection_has("te"))
        && asks_for_trailers(&head.fields);
    remove_hop_by_hop(head, upgrade);
    remove_spelled_with_underscores(&mut head.fields);
    if wants_trailers {
        head.fields.append_known(Name::Te, b"trailers");
    }
    match (upgrade, wants_trailers) {
        (true, true) => head.fields.append_known(Name::Connection, b"upgrade, te"),
        (true, false) => head.fields.append_known(Name::Connection, b"upgrade"),
        (false, true) => head.fields.append_known(Name::Connection, b"te"),
        (false, false) => {}
    }
    if !head.fields.contains(Name::Host) {
        // From HTTP/1.0; RFC 9112 3.2 wants the field even where there is nothing to say.
        let authority = head.authority().to_vec();
        head.fields.append_known(Name::Host, &authority);
    }
    // Whoever claims to be somebody has to prove it on this connection; a trusted proxy can not do that for another.
    head.fields.remove(Name::XClientSubject);
    if peer == Peer::Trusted && head.fields.may_have(REBUILT) {
        extend_claims(head, hop);
        if let Some(subject) = hop.fields.get(Name::XClientSubject) {
            head.fields.append_known(Name::XClientSubject, subject);
        }
    } else {
        if peer == Peer::Untrusted {
            head.fields.remove_all(CLAIMS);
        }
        head.fields.extend(&hop.fields);
        forward_host(head);
    }
    let version = head.version;
    head.fields.append_ready(Name::Via, via(version));
}

/// An answer on its way to a client. `upgrade`: the backend has switched protocols, and this hop does too.
pub fn to_downstream(head: &mut Head, upgrade: bool) {
    remove_hop_by_hop(head, upgrade);
    if upgrade {
        head.fields.append_known(Name::Connection, b"upgrade");
    }
    let version = head.version;
    head.fields.append_ready(Name::Via, via(version));
}

/// Who sent the request: the peer, or, if that is a trusted proxy, whom it names. The list is walked from the right, where each
/// proxy adds whom it saw, to the first address that is not trusted; what stands left of it anybody may have made up. A member
/// that is no address ends the walk, at the last one that could be believed.
pub fn client_address(head: &Head, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    let mut members = head.fields.members(Name::XForwardedFor).rev().take(ADDRESSES_MAX);
    while is_trusted(address, trusted) {
        let Some(next) = members.next().and_then(address_of) else { break };
        address = next;
    }
    address
}

/// Whether `address` (IPv4 in IPv6 counts as IPv4) lies in one of the networks.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// An address, alone or with a port as some proxies write it.
fn address_of(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))?;
    Some(address.to_canonical())
}

fn remove_hop_by_hop(head: &mut Head, upgrade: bool) {
    if !head.fields.may_have(HOP_BY_HOP) {
        return;
    }
    if !head.fields.get_all(Name::Connection).all(is_plain_option) {
        remove_named_by_connection(&mut head.fields);
    }
    head.fields.remove_all(if upgrade { HOP_BY_HOP.without(Name::Upgrade) } else { HOP_BY_HOP });
}

fn remove_named_by_connection(fields: &mut Fields) {
    // The codec bounds their number.
    let options: Vec<Vec<u8>> = fields.members(Name::Connection).map(<[u8]>::to_vec).collect();
    for option in options {
        if Name::of(&option) == Name::Other && !is_plain_option(&option) {
            fields.remove_named(&option);
        }
    }
}

/// Whether `Connection` keeps a field from the backend: then the head that the backend sees says less than this one.
pub fn withholds_fields(head: &Head) -> bool {
    head.fields.members(Name::Connection).any(|option| Name::of(option) == Name::Other && !is_plain_option(option))
}

/// The options that are not names of fields, and by far the most frequent.
fn is_plain_option(option: &[u8]) -> bool {
    matches!(option, b"keep-alive" | b"close") || option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
}

fn remove_spelled_with_underscores(fields: &mut Fields) {
    let is_alias = |known: Name, name: &[u8]| known == Name::Other && Name::is_mimicked_by(name);
    if fields.may_have(Names::of(&[Name::Other])) && fields.iter().any(|(known, name, _)| is_alias(known, name)) {
        fields.retain(|known, name, _| !is_alias(known, name));
    }
}

/// Whether who sent this takes trailers.
pub fn asks_for_trailers(fields: &Fields) -> bool {
    fields.members(Name::Te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// The peer is a proxy of ours: what it says stays, and the list grows by its own address.
fn extend_claims(head: &mut Head, hop: &Hop) {
    let mut list = Vec::with_capacity(64);
    for value in head.fields.get_all(Name::XForwardedFor).filter(|value| !value.is_empty()) {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(hop.own(Name::XForwardedFor));
    let claims = Claims::of(&head.fields);
    let [proto, port, host] = [claims.proto, claims.port, claims.host].map(|claim| claim.map(<[u8]>::to_vec));

    head.fields.remove_all(REBUILT);
    head.fields.append_known(Name::XForwardedFor, &list);
    head.fields.append_known(Name::XForwardedProto, proto.as_deref().unwrap_or(hop.own(Name::XForwardedProto)));
    head.fields.append_known(Name::XForwardedPort, port.as_deref().unwrap_or(hop.own(Name::XForwardedPort)));
    match host {
        Some(host) => head.fields.append_known(Name::XForwardedHost, &host),
        None => forward_host(head),
    }
}

fn forward_host(head: &mut Head) {
    if !head.authority().is_empty() {
        let authority = head.authority_span();
        head.fields.append_copy(Name::XForwardedHost, authority);
    }
}

/// RFC 9110 7.6.3: the version that the message came by.
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"via: 1.0 tidegate\r\n",
        Version::Http11 => b"via: 1.1 tidegate\r\n",
        Version::Http2 => b"via: 2.0 tidegate\r\n",
    }
}

#[cfg(test)]
mod tests;
