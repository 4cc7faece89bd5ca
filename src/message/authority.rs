//! A host with an optional port, as in `Host` and in absolute targets, checked as an attacker's.
//!
//! Stricter than RFC 3986, whose registered names may hold percent escapes and sub-delimiters: no real name has them, and each
//! is read differently by somebody (`a,b` as two hosts, `a%2eb` as `a.b`). Letters, digits and `-._~`, an IPv4 address, or an
//! IPv6 address in brackets; no user information, no zone, no empty port.

use std::net::Ipv6Addr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Never empty; an IPv6 address with its brackets. Case as received.
    pub host: &'a [u8],
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// `None`: not a host with an optional port.
    pub fn parse(bytes: &'a [u8]) -> Option<Authority<'a>> {
        let end = match bytes.first()? {
            b'[' => {
                let close = bytes.iter().position(|byte| *byte == b']')?;
                let _: Ipv6Addr = std::str::from_utf8(&bytes[1..close]).ok()?.parse().ok()?;
                close + 1
            }
            _ => bytes.iter().position(|byte| !NAME_BYTES[*byte as usize]).unwrap_or(bytes.len()),
        };
        let (host, rest) = bytes.split_at(end);
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        (!host.is_empty()).then_some(Authority { host, port })
    }

    /// Whether both mean the same place, where `default` is the port that goes without saying.
    pub fn is_same(&self, other: &Authority<'_>, default: u16) -> bool {
        self.port.unwrap_or(default) == other.port.unwrap_or(default) && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// Bytes that a name or an IPv4 address is made of.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// A port in plain digits.
pub(super) fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let number = digits.iter().try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))?;
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_a_port() {
        for (text, host, port) in [
            ("a.example", "a.example", None),
            ("A.example:80", "A.example", Some(80)),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8080", "[2001:db8::1]", Some(8080)),
            ("under_score.x", "under_score.x", None),
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), Some(Authority { host: host.as_bytes(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "",
            ":80",
            "a:",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:8x",
            "a:80:80",
            "u@a",
            "u:p@a",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            " a",
            "a,b",
            "a%2e",
            "a\\b",
            "a;b",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[10.0.0.1]",
            "::1",
            "ä.example",
            "a\0",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_default_port_and_case_make_no_difference() {
        for (one, other, default, same) in [
            ("a.example", "A.EXAMPLE", 80, true),
            ("a.example", "a.example:80", 80, true),
            ("a.example", "a.example:80", 443, false),
            ("a.example:81", "a.example:80", 80, false),
            ("a.example", "b.example", 80, false),
        ] {
            let (one, other) = (Authority::parse(one.as_bytes()).unwrap(), Authority::parse(other.as_bytes()).unwrap());
            assert_eq!(one.is_same(&other, default), same, "{one:?} {other:?}");
        }
    }
}
