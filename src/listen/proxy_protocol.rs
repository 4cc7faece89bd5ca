//! The PROXY protocol: what a load balancer in front says of a connection before its first byte, and the same for backends of ours.
//!
//! Version 1 is a line of text, version 2 a binary header ("The PROXY protocol", Willy Tarreau, revision of 2020/03/05). It is believed
//! without proof, so `greet` asks for it from listed networks only, and then insists on it. Nothing here touches a socket.
//!
//! Read as strictly as the text allows, for what a lenient reader skips a stricter one behind it may take for a request: exactly
//! one blank between words, no leading zeros, addresses of the family that was announced, no more than 107 bytes of a line; known
//! commands, families and transports only, a length that holds the addresses, extensions (TLVs) that fill the rest exactly, and the
//! checksum where there is one. What extensions say (authority, TLS, a unique id) is not used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use crate::config::model::ProxyVersion as Version;

/// What the header says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: it is the sender's own (a health check), or of a kind that has no IP addresses. The socket's addresses hold.
    Own,
    /// It is somebody else's, passed on.
    Relayed(Relayed),
}

/// Who connected to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// Not a PROXY header, or a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The longest line of version 1, CR and LF included.
pub const LINE_BYTES_MAX: usize = 107;
/// What of a header of version 2 may follow its first 16 bytes: addresses of any family, and room for extensions (a client
/// certificate among them is read over, larger ones are refused).
pub const EXTRA_BYTES_MAX: usize = 4096;
/// The longest header.
pub const BYTES_MAX: usize = HEAD + EXTRA_BYTES_MAX;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2: the signature, version and command, family and transport, length.
const HEAD: usize = 16;
/// What every line of version 1 begins with.
const WORD: &[u8] = b"PROXY ";

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const CRC32C: u8 = 0x03;

/// Reads a header at the front of `bytes`: what it says, and how long it is. `None`: more is needed, and it may still become one.
pub fn read(bytes: &[u8]) -> Result<Option<(Origin, usize)>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(is, should)| is == should);
    match bytes.first() {
        None => Ok(None),
        _ if begins(SIGNATURE) => read_binary(bytes),
        _ if begins(WORD) => read_line(bytes),
        _ => Err(Malformed("it does not begin like one")),
    }
}

// ---- version 1

fn read_line(bytes: &[u8]) -> Result<Option<(Origin, usize)>, Malformed> {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Malformed("the line is too long")) };
    };
    let text = line[..end].strip_suffix(b"\r").and_then(|text| text.strip_prefix(WORD));
    let text = text.ok_or(Malformed("the line does not end in CRLF"))?;
    // The specification has whatever follows that word ignored.
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Ok(Some((Origin::Own, end + 1)));
    }
    let text = std::str::from_utf8(text).map_err(|_| Malformed("the line is not text"))?;
    let words: Vec<&str> = text.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else {
        return Err(Malformed("the line has not five words"));
    };
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed("an address is not of IPv4")),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed("an address is not of IPv6")),
        _ => Err(Malformed("the family is unknown")),
    };
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
    Ok(Some((Origin::Relayed(Relayed { source, destination }), end + 1)))
}

/// Plain digits without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed("a port is no number"))
}

// ---- version 2

fn read_binary(bytes: &[u8]) -> Result<Option<(Origin, usize)>, Malformed> {
    // What is wrong is said as soon as it is there: nobody waits for the rest of it.
    let command = match bytes.get(12) {
        None => return Ok(None),
        Some(command @ (&LOCAL | &PROXY)) => *command,
        Some(_) => return Err(Malformed("the version or the command is unknown")),
    };
    let kind = match bytes.get(13) {
        None => return Ok(None),
        Some(kind) => Kind::of(*kind)?,
    };
    let Some(&[high, low]) = bytes.get(14..HEAD) else { return Ok(None) };
    let extra = usize::from(u16::from_be_bytes([high, low]));
    if extra > EXTRA_BYTES_MAX {
        return Err(Malformed("it is too long"));
    }
    // Of a connection that is the sender's own, the addresses are to be ignored, and may be left out.
    let addresses = if command == LOCAL && extra < kind.bytes() { 0 } else { kind.bytes() };
    if extra < addresses {
        return Err(Malformed("it is too short for its addresses"));
    }
    let Some(header) = bytes.get(..HEAD + extra) else { return Ok(None) };
    if command == PROXY || addresses == kind.bytes() {
        check_extensions(header, HEAD + addresses)?;
    }
    let origin = if command == LOCAL { Origin::Own } else { kind.origin(&header[HEAD..HEAD + addresses]) };
    Ok(Some((origin, header.len())))
}

/// A family and a transport.
#[derive(Clone, Copy)]
enum Kind {
    Unspecified,
    Ipv4,
    Ipv6,
    Unix,
}

impl Kind {
    fn of(byte: u8) -> Result<Kind, Malformed> {
        match byte {
            0x00 => Ok(Kind::Unspecified),
            0x11 => Ok(Kind::Ipv4),
            0x21 => Ok(Kind::Ipv6),
            0x31 => Ok(Kind::Unix),
            0x12 | 0x22 | 0x32 => Err(Malformed("it speaks of datagrams on a stream")),
            _ => Err(Malformed("the family or the transport is unknown")),
        }
    }

    /// How many bytes both addresses have.
    fn bytes(self) -> usize {
        match self {
            Kind::Unspecified => 0,
            Kind::Ipv4 => 12,
            Kind::Ipv6 => 36,
            Kind::Unix => 216,
        }
    }

    fn origin(self, addresses: &[u8]) -> Origin {
        let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
        let v4 = |at: usize| <[u8; 4]>::try_from(&addresses[at..at + 4]).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
        let v6 = |at: usize| <[u8; 16]>::try_from(&addresses[at..at + 16]).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
        match self {
            Kind::Unspecified | Kind::Unix => Origin::Own,
            Kind::Ipv4 => Origin::Relayed(Relayed { source: (v4(0), port(8)).into(), destination: (v4(4), port(10)).into() }),
            Kind::Ipv6 => Origin::Relayed(Relayed { source: (v6(0), port(32)).into(), destination: (v6(16), port(34)).into() }),
        }
    }
}

/// Extensions fill the header from `at` to its end, and a checksum among them is right.
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), Malformed> {
    let cut = Malformed("an extension is cut");
    while at < header.len() {
        let &[kind, high, low] = header.get(at..at + 3).ok_or(cut)? else { return Err(cut) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        at = value.end;
        let said = header.get(value.clone()).ok_or(cut)?;
        if kind == CRC32C {
            let said = <[u8; 4]>::try_from(said).map_err(|_| Malformed("the checksum has not four bytes"))?;
            // Over the whole header, with zeros in its own place.
            let sum = crc32c(&[&header[..value.start], &[0; 4], &header[value.end..]]);
            if u32::from_be_bytes(said) != sum {
                return Err(Malformed("the checksum is wrong"));
            }
        }
    }
    Ok(())
}

/// RFC 4960, appendix B: the polynomial of Castagnoli, bits reversed. Bit by bit: headers are short, and few have one.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !parts.iter().copied().flatten().fold(u32::MAX, byte)
}

// ---- for backends

/// Appends a header that says this.
pub fn write(version: Version, origin: Origin, to: &mut Vec<u8>) {
    let relayed = match origin {
        Origin::Own => None,
        Origin::Relayed(relayed) => Some(one_family(relayed)),
    };
    match version {
        Version::V1 => write_line(relayed, to),
        Version::V2 => write_binary(relayed, to),
    }
}

/// A header has one family for both addresses. IPv4 has a place in IPv6, the other way round there is none.
fn one_family(Relayed { source, destination }: Relayed) -> Relayed {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(ip) => SocketAddr::new(ip.into(), address.port()),
    };
    let (source, destination) = (plain(source), plain(destination));
    match source.is_ipv4() == destination.is_ipv4() {
        true => Relayed { source, destination },
        false => Relayed { source: mapped(source), destination: mapped(destination) },
    }
}

fn write_line(relayed: Option<Relayed>, to: &mut Vec<u8>) {
    let line = match relayed {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Relayed { source, destination }) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port())
        }
    };
    to.extend_from_slice(line.as_bytes());
}

fn write_binary(relayed: Option<Relayed>, to: &mut Vec<u8>) {
    to.extend_from_slice(SIGNATURE);
    let Some(Relayed { source, destination }) = relayed else { return to.extend([LOCAL, 0, 0, 0]) };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(at)) => {
            to.extend([PROXY, 0x11, 0, 12]);
            to.extend(from.octets().iter().chain(&at.octets()));
        }
        (from, at) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            to.extend([PROXY, 0x21, 0, 36]);
            to.extend(octets(from).iter().chain(&octets(at)));
        }
    }
    to.extend(source.port().to_be_bytes().iter().chain(&destination.port().to_be_bytes()));
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
