//! What a request is matched on: one spelling of its path, and of its host. What is forwarded stays as the client wrote it.
//!
//! Whoever routes by one reading of a path while the backend acts on another has a hole: `/%61dmin` must not pass by a route for
//! `/admin`. So every spelling of a path comes down to one: bytes that may stand plain stand plain, all others are escaped in
//! upper case, and the result is ASCII. What no two programs read alike is refused instead: dot segments in every disguise,
//! encoded NUL, backslashes, escapes that are none. An encoded slash is data, as RFC 3986 2.2 has it, and never a separator.
//!
//! This runs for every request, and nearly every path is in its normal form already: one pass of a table over its bytes says so,
//! and the path is borrowed.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::failure::Malformed;

/// The longest request target: RFC 9112 3 asks for at least 8,000 bytes.
pub const TARGET_BYTES_MAX: usize = 16 << 10;

/// Stands for itself in a normal path: `pchar` of RFC 3986 3.3, or a slash.
const PLAIN: u8 = 0;
/// The same, but two of them may be a dot segment.
const DOT: u8 = 1;
/// An escape, a byte that has to be escaped, or one that is refused.
const OTHER: u8 = 2;

const CLASS: [u8; 256] = {
    let plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,;=:@/";
    let mut class = [OTHER; 256];
    let mut at = 0;
    while at < plain.len() {
        class[plain[at] as usize] = PLAIN;
        at += 1;
    }
    class[b'.' as usize] = DOT;
    class
};

/// The normal form of a path in origin-form without its query (or of `*`), all ASCII. Borrowed where the path is normal already.
pub fn normalise(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    match raw {
        [b'/', ..] => {}
        b"*" => return Ok(Cow::Borrowed("*")),
        _ => return Err(Malformed::Target),
    }
    let seen = raw.iter().fold(PLAIN, |seen, byte| seen | CLASS[*byte as usize]);
    if seen >= OTHER {
        return rewrite(raw).map(Cow::Owned);
    }
    let path = std::str::from_utf8(raw).map_err(|_| Malformed::Path)?;
    if seen == DOT && raw.array_windows().any(|pair| pair == b"/.") && has_dot_segment(path) {
        return Err(Malformed::Path);
    }
    Ok(Cow::Borrowed(path))
}

fn rewrite(raw: &[u8]) -> Result<String, Malformed> {
    let mut path = String::with_capacity(raw.len() + 16);
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        let escaped = *first == b'%';
        let byte = if escaped {
            let [high, low, tail @ ..] = tail else { return Err(Malformed::Path) };
            rest = tail;
            digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).ok_or(Malformed::Path)?
        } else {
            rest = tail;
            *first
        };
        match (byte, escaped) {
            (b'\\', _) | (0, true) => return Err(Malformed::Path),
            // A fragment or a query here, a blank or a control byte: some servers cut the path there.
            (0..=b' ' | 0x7f | b'?' | b'#', false) => return Err(Malformed::Target),
            (b'/', true) => path.push_str("%2F"),
            _ if CLASS[byte as usize] != OTHER => path.push(byte as char),
            _ => {
                const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
                path.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    if path.contains('.') && has_dot_segment(&path) { Err(Malformed::Path) } else { Ok(path) }
}

/// Of a path in normal form. An encoded slash bounds a segment here, since backends that decode before they resolve dots see
/// one; and `..;x` is `..` to servlet containers, which take parameters off first.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').flat_map(|segment| segment.split("%2F")).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The bytes that percent-encoded text stands for. A `%` that begins no escape stands for itself.
pub fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if let (b'%', [high, low, tail @ ..]) = (first, tail)
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            rest = tail;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(*first)
    })
}

/// A DNS name is no longer (RFC 1035 2.3.4), which bounds the work that a name of a thousand labels can ask for.
const HOST_BYTES_MAX: usize = 253;

/// A byte of a host, as it should be.
const LOWER: u8 = 0;
const UPPER: u8 = 1;
const REFUSED: u8 = 2;

const HOST_CLASS: [u8; 256] = {
    let mut class = [REFUSED; 256];
    let mut at = 0;
    while at < class.len() {
        match at as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => class[at] = LOWER,
            b'A'..=b'Z' => class[at] = UPPER,
            _ => {}
        }
        at += 1;
    }
    class
};

/// The host of an authority, in lower case, without port and trailing dot; an IPv6 address in brackets and in the form of
/// RFC 5952. The empty authority (HTTP/1.0 without Host) has the empty host. `None`: this names no host.
///
/// Escapes, user information and bytes beyond letters, digits, `-`, `_` and dots are refused: no name in DNS has them, and
/// backends differ in what they make of them.
pub fn host(authority: &[u8]) -> Option<Cow<'_, str>> {
    match authority.first() {
        None => return Some(Cow::Borrowed("")),
        Some(b'[') => return address_literal(std::str::from_utf8(authority).ok()?).map(Cow::Owned),
        Some(_) => {}
    }
    let (name, port) = match authority.iter().position(|byte| *byte == b':') {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (authority, &[][..]),
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > HOST_BYTES_MAX || !is_port(port) {
        return None;
    }
    let (mut seen, mut before, mut has_empty_label) = (LOWER, b'.', false);
    for byte in name {
        has_empty_label |= *byte == b'.' && before == b'.';
        seen |= HOST_CLASS[*byte as usize];
        before = *byte;
    }
    has_empty_label |= before == b'.';
    if seen >= REFUSED || has_empty_label {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    Some(if seen == UPPER { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

fn address_literal(authority: &str) -> Option<String> {
    let (address, behind) = authority.strip_prefix('[')?.split_once(']')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let port = if behind.is_empty() { behind } else { behind.strip_prefix(':')? };
    is_port(port.as_bytes()).then(|| format!("[{address}]"))
}

/// RFC 3986 3.2.3 allows an empty one.
fn is_port(text: &[u8]) -> bool {
    text.len() <= 5
        && text.iter().all(u8::is_ascii_digit)
        && text.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in ["*", "/", "/api/x", "//", "/a//b/", "/x.png", "/.well-known/a", "/...", "/a..b/..c", "/~me;v=1/a:b@c,d=(e)!$&'*+"] {
            assert!(matches!(normalise(path.as_bytes()), Ok(Cow::Borrowed(same)) if same == path), "path {path}");
        }
    }

    #[test]
    fn every_spelling_comes_down_to_one() {
        for (raw, normal) in [
            ("/%61dmin", "/admin"),
            ("/%7Eme/%2D%5f%2e.x", "/~me/-_..x"),
            ("/%40a%3Bb", "/@a;b"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%3fb%23c%20d%25e", "/a%3Fb%23c%20d%25e"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/caf\u{e9}|{}", "/caf%C3%A9%7C%7B%7D"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%0a", "/%0A"),
        ] {
            assert_eq!(normalise(raw.as_bytes()).as_deref(), Ok(normal), "path {raw}");
        }
    }

    #[test]
    fn what_two_readers_would_read_in_two_ways_is_refused() {
        for path in [
            "/.",
            "/..",
            "/./a",
            "/../a",
            "/a/.",
            "/a/..",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/%2e",
            "/%2e/x",
            "/a/..%2fb",
            "/a%2F..",
            "/a%2f%2e%2e%2fb",
            "/a/..;/b",
            "/a/.;x=1/b",
            "/a/..%3b/b",
            "/a\\b",
            "/a%5cb",
            "/a%5C..%5Cb",
            "/%00",
            "/a%00.png",
            "/%",
            "/a%2",
            "/%zz",
            "/%+1",
            "/% 1",
        ] {
            assert_eq!(normalise(path.as_bytes()), Err(Malformed::Path), "path {path}");
        }
        for path in ["", "a", "**", "http://a/", "/a b", "/a\tb", "/a\0", "/a\x7f", "/a?b", "/a#/b"] {
            assert_eq!(normalise(path.as_bytes()), Err(Malformed::Target), "path {path:?}");
        }
    }

    #[test]
    fn hosts_lose_case_port_and_trailing_dot() {
        for (authority, expected) in [
            ("", ""),
            ("example.com", "example.com"),
            ("EXAMPLE.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("Example.com.:80", "example.com"),
            ("example.com:", "example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("a_b-c", "a_b-c"),
            ("[::1]", "[::1]"),
            ("[0:0::0:1]:80", "[::1]"),
            ("[FE80::A]:", "[fe80::a]"),
        ] {
            assert_eq!(host(authority.as_bytes()).as_deref(), Some(expected), "authority {authority}");
        }
        assert!(matches!(host(b"example.com:80"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let long = "a.".repeat(127) + "a";
        for authority in [
            ".",
            "..",
            ":80",
            "a..",
            "a..b",
            ".a",
            "a:b",
            "a:+80",
            "a:80:80",
            "a:65536",
            "a@b",
            "a:1@b",
            "a/b",
            "a b",
            "a%2eb",
            "a\0",
            "caf\u{e9}",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[::1%25eth0]",
            "[a.b]",
            "[]",
            &long,
        ] {
            assert_eq!(host(authority.as_bytes()), None, "authority {authority:?}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(raw in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'%'), any::<u8>()], 0..40)) {
            if let Ok(normal) = normalise(&raw) {
                prop_assert!(normal.is_ascii());
                let again = normalise(normal.as_bytes());
                prop_assert_eq!(again.as_deref(), Ok(&*normal));
            }
        }

        #[test]
        fn escaping_changes_nothing(text in "/[a-z.;@*/\u{e9}| -]{0,20}", escape in proptest::collection::vec(any::<bool>(), 80)) {
            let plain: String = text.bytes().map(|byte| if byte == b' ' { "%20".to_owned() } else { format!("%{byte:02x}").replace("%2f", "/") }).collect();
            let mixed: Vec<u8> = text.bytes().zip(escape).flat_map(|(byte, escape)| {
                if byte == b' ' || (escape && byte != b'/') { format!("%{byte:02X}").into_bytes() } else { vec![byte] }
            }).collect();
            prop_assert_eq!(normalise(plain.as_bytes()), normalise(&mixed));
        }

        #[test]
        fn decoding_undoes_escaping(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decoded(escaped.as_bytes()).collect::<Vec<_>>(), bytes);
        }
    }
}
