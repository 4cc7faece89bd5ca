//! What of a request the hashing algorithms go by, as one number.
//!
//! What a request does not have, or has empty, is no reason to send all such requests to one and the same backend: they
//! get a key by chance, and so spread by weight. (nginx and HAProxy fall back to turns there, Envoy to chance.)
//!
//! Fields are read as the backend will receive them, the target as the client sent it, before any prefix was stripped.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::config::model::HashOn;
use crate::message::{Head, Name, path};

/// The key of a request, evenly spread over all 64 bits. `client`: its address as far as it can be believed.
pub fn key(on: &HashOn, head: &Head, client: IpAddr, random: &mut fastrand::Rng) -> u64 {
    let found = match on {
        HashOn::ClientIp => return address(client),
        HashOn::Uri => Some(head.received_target()),
        HashOn::Path => head.received_target().split(|byte| *byte == b'?').next(),
        HashOn::Header(name) => head.fields.find(name).next().map(<[u8]>::trim_ascii),
        HashOn::Cookie(name) => cookie(head, name.as_bytes()),
        HashOn::Query(name) => query(head, name),
    };
    match found {
        Some(value) if !value.is_empty() => xxh3_64(value),
        _ => random.u64(..),
    }
}

/// An IPv4 address counts whole, also one that comes as IPv6. Of an IPv6 address the first 64 bits count: the rest is a household's own,
/// and its machines change it by the day.
fn address(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => xxh3_64(&address.octets()),
        IpAddr::V6(address) => xxh3_64(&address.octets()[..8]),
    }
}

fn cookie<'a>(head: &'a Head, name: &[u8]) -> Option<&'a [u8]> {
    let cookies = head.fields.get_all(Name::Cookie).flat_map(|cookies| cookies.split(|byte| *byte == b';'));
    cookies.map(<[u8]>::trim_ascii).find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix(b"="))
}

/// The value as it was sent; the name is compared percent-decoded.
fn query<'a>(head: &'a Head, name: &str) -> Option<&'a [u8]> {
    let target = head.received_target();
    let query = &target[target.iter().position(|byte| *byte == b'?')? + 1..];
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        path::decoded(&pair[..at]).eq(name.bytes()).then(|| &pair[at + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Fields, Version};

    fn head(target: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::request(b"GET", target.as_bytes(), b"a.example", Version::Http11);
        head.fields.extend(&Fields::of(fields));
        head
    }

    fn key_of(on: &HashOn, head: &Head, client: &str) -> u64 {
        key(on, head, client.parse().unwrap(), &mut fastrand::Rng::new())
    }

    #[test]
    fn each_source_is_read() {
        let mut asked = head("/api/x?a=1&b%5f=2%20&a=3", &[("X-User", " anna "), ("Cookie", "s=1; sid=x=y; t=2"), ("Cookie", "u=3")]);
        asked.set_target(b"/x");
        for (on, expected) in [
            (HashOn::Uri, "/api/x?a=1&b%5f=2%20&a=3"),
            (HashOn::Path, "/api/x"),
            (HashOn::Header("x-user".into()), "anna"),
            (HashOn::Cookie("sid".into()), "x=y"),
            (HashOn::Cookie("u".into()), "3"),
            (HashOn::Query("a".into()), "1"),
            (HashOn::Query("b_".into()), "2%20"),
        ] {
            assert_eq!(key_of(&on, &asked, "10.0.0.1"), xxh3_64(expected.as_bytes()), "{on}");
        }
    }

    #[test]
    fn what_is_missing_or_empty_is_left_to_chance() {
        let asked = head("/x?a=&b", &[("X-Empty", ""), ("Cookie", "s=; id")]);
        for on in ["header:x-empty", "header:x-user", "cookie:s", "cookie:id", "cookie:other", "query:a", "query:b", "query:c"] {
            let (of, name) = on.split_once(':').unwrap();
            let on = match of {
                "header" => HashOn::Header(name.into()),
                "cookie" => HashOn::Cookie(name.into()),
                _ => HashOn::Query(name.into()),
            };
            assert_ne!(key_of(&on, &asked, "10.0.0.1"), key_of(&on, &asked, "10.0.0.1"), "{on}");
        }
    }

    #[test]
    fn an_address_counts_as_far_as_it_is_one_clients() {
        let asked = head("/", &[]);
        let key = |client| key_of(&HashOn::ClientIp, &asked, client);
        assert_eq!(key("10.0.0.1"), key("::ffff:10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"), "the last octet counts");
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
