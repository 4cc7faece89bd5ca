//! Heads of kept answers: what is left out when one is kept, and what a 304 changes in it (RFC 9111 3.1 and 3.2).

use crate::message::fields::digits;
use crate::message::{Fields, Head, Name, Names, Version};

/// Not kept beyond what `forwarding` takes out: `Age` is told anew each time, the others are about one exchange.
const NOT_KEPT: Names = Names::of(&[Name::Age, Name::Trailer, Name::CacheStatus]);

/// What the content is, which only new content can change; and what lets it be recognised.
const OF_THE_CONTENT: Names = Names::of(&[Name::ContentLength, Name::ContentRange, Name::Etag]);

/// Takes out what is not kept. Hop-by-hop fields, and those that `Connection` names, must be gone already.
pub fn prepare(head: &mut Head, withheld: &[Vec<u8>]) {
    head.fields.remove_all(NOT_KEPT);
    head.fields.remove_named(b"proxy-authentication-info");
    withheld.iter().for_each(|name| head.fields.remove_named(name));
}

/// The head that a whole of this length would have, of that of a part (RFC 9110 15.3.7.3).
pub fn into_whole(head: &mut Head, length: u64) {
    let reason = head.fields.keep(b"OK");
    head.begin_response(200, reason, Version::Http11);
    head.fields.remove_all(Names::of(&[Name::ContentLength, Name::ContentRange]));
    head.fields.append_known(Name::ContentLength, digits(length, &mut [0; 20]));
    forget_digests(&mut head.fields);
}

/// What was reckoned over the content of one message (RFC 9530 2) is not true of another that has more of it, or less.
pub fn forget_digests(fields: &mut Fields) {
    fields.remove_named(b"content-digest");
    fields.remove_named(b"content-md5");
}

/// RFC 9110 6.6.1: who receives an answer without a date, and keeps it, puts it in.
pub fn dated(head: &mut Head, date: &[u8]) {
    if !head.fields.contains(Name::Date) {
        head.fields.append_known(Name::Date, date);
    }
}

/// The kept head as a 304 has changed it: its fields in place of those of the same names.
pub fn freshened(kept: &Head, confirmation: &Head) -> Head {
    let mut head = kept.clone();
    let news = &confirmation.fields;
    let counts = |known: Name, name: &[u8]| !OF_THE_CONTENT.contains(known) && !is_of_the_content(name);
    for (known, name, _) in news.iter().filter(|(known, name, _)| counts(*known, name)) {
        remove(&mut head.fields, known, name);
    }
    for (_, name, value) in news.iter().filter(|(known, name, _)| counts(*known, name)) {
        head.fields.append(name, value);
    }
    head
}

fn remove(fields: &mut Fields, known: Name, name: &[u8]) {
    match known {
        Name::Other => fields.remove_named(name),
        known => fields.remove(known),
    }
}

fn is_of_the_content(name: &[u8]) -> bool {
    [&b"content-encoding"[..], b"content-md5", b"content-digest", b"repr-digest"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// What a 304 in place of this answer leaves out: it says nothing of a content that it has not (RFC 9110 15.4.5).
pub fn into_not_modified(head: &mut Head) {
    head.fields.remove_all(Names::of(&[Name::ContentLength, Name::ContentType, Name::ContentRange]));
    for name in [&b"content-encoding"[..], b"content-language"] {
        head.fields.remove_named(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, list: &[(&str, &str)]) -> Head {
        let mut head = Head::response(status, b"", Version::Http11);
        head.fields.extend(&Fields::of(list));
        head
    }

    fn values(head: &Head, name: &str) -> Vec<String> {
        head.fields.find(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn what_is_about_one_exchange_is_not_kept() {
        let mut answer = head(200, &[("Age", "3"), ("A", "1"), ("b", "2"), ("Proxy-Authentication-Info", "x"), ("ETag", "\"e\"")]);
        prepare(&mut answer, &[b"a".to_vec()]);
        dated(&mut answer, b"now");
        assert_eq!(answer.fields.iter().map(|(_, name, _)| name.to_vec()).collect::<Vec<_>>(), [&b"b"[..], b"ETag", b"date"]);
        dated(&mut answer, b"later");
        assert_eq!(values(&answer, "date"), ["now"]);
    }

    #[test]
    fn a_part_has_the_head_of_its_whole() {
        let mut part = head(206, &[("Content-Range", "bytes 0-4/10"), ("Content-Length", "5"), ("ETag", "\"a\"")]);
        into_whole(&mut part, 10);
        assert_eq!((part.status(), values(&part, "content-length"), values(&part, "content-range")), (200, vec!["10".to_owned()], vec![]));
    }

    #[test]
    fn a_304_changes_all_but_the_content() {
        let kept = head(
            200,
            &[
                ("ETag", "\"a\""),
                ("Content-Length", "5"),
                ("Content-Encoding", "gzip"),
                ("X", "1"),
                ("X", "2"),
                ("Y", "1"),
                ("Content-Type", "a"),
            ],
        );
        let news = head(
            304,
            &[("ETag", "W/\"a\""), ("content-length", "9"), ("Content-encoding", "br"), ("x", "3"), ("x", "4"), ("Content-Type", "b")],
        );
        let fresh = freshened(&kept, &news);
        for (name, expected) in [
            ("etag", &["\"a\""][..]),
            ("content-length", &["5"]),
            ("content-encoding", &["gzip"]),
            ("x", &["3", "4"]),
            ("y", &["1"]),
            ("content-type", &["b"]),
        ] {
            assert_eq!(values(&fresh, name), expected, "{name}");
        }
        assert_eq!(fresh.status(), 200);
    }
}
