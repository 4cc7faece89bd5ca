//! Conditions (RFC 9110 13): those that clients set, answered from a kept answer, and those that we set to ask the origin about it.

use super::times;
use crate::message::body::content_length;
use crate::message::{Fields, Head, Name, Names};

/// Conditions that only the origin can judge.
pub const FOR_THE_ORIGIN: Names = Names::of(&[Name::IfMatch, Name::IfUnmodifiedSince]);
/// Conditions that a kept answer can be held against.
pub const FOR_US: Names = Names::of(&[Name::IfNoneMatch, Name::IfModifiedSince]);

/// Whether the client has this very answer, so that 304 is what it wants (RFC 9111 4.3.2).
pub fn is_not_modified(request: &Fields, kept: &Head) -> bool {
    if !request.may_have(FOR_US) || kept.status() != 200 {
        return false;
    }
    if request.contains(Name::IfNoneMatch) {
        // It counts alone: `If-Modified-Since` beside it is for those who do not know it.
        let tag = kept.fields.get(Name::Etag);
        return request
            .get_all(Name::IfNoneMatch)
            .flat_map(tags)
            .any(|asked| asked == b"*" || tag.is_some_and(|tag| is_weakly_same(asked, tag)));
    }
    let mut since = request.get_all(Name::IfModifiedSince);
    let (Some(since), None) = (since.next().and_then(times::date), since.next()) else { return false };
    let changed = kept.fields.get(Name::LastModified).or_else(|| kept.fields.get(Name::Date)).and_then(times::date);
    changed.is_some_and(|changed| changed <= since)
}

/// Asks the origin whether the kept answer still holds, in place of what the client had asked.
pub fn ask(request: &mut Fields, kept: &Head) {
    request.remove_all(FOR_US);
    if let Some(tag) = kept.fields.get(Name::Etag) {
        request.append_known(Name::IfNoneMatch, tag);
    }
    if let Some(date) = kept.fields.get(Name::LastModified) {
        request.append_known(Name::IfModifiedSince, date);
    }
}

/// Whether a 304 is about the kept answer (RFC 9111 4.3.4): one that names another entity tag, or where no tags can be compared another date,
/// is about something else. One that names nothing is about what was asked for.
pub fn confirms(confirmation: &Head, kept: &Head) -> bool {
    let of = |name| (confirmation.fields.get(name), kept.fields.get(name));
    match (of(Name::Etag), of(Name::LastModified)) {
        // Weakly, since servers that compress weaken the tag of an answer, but not always that of its confirmation.
        ((Some(said), Some(kept)), _) => is_weakly_same(said, kept),
        (_, (Some(said), Some(kept))) => said == kept || times::date(said).is_some_and(|said| times::date(kept) == Some(said)),
        // A tag that is new is of nothing that was kept.
        ((said, _), _) => said.is_none(),
    }
}

/// Whether both are parts of one content: they have the same strong entity tag (RFC 9110 15.3.7.3).
pub fn are_of_one(one: &Head, other: &Head) -> bool {
    strong_tag(one).is_some_and(|tag| strong_tag(other) == Some(tag))
}

/// `None`: it has none, or more than one, or only one that other bytes may have as well.
pub fn strong_tag(head: &Head) -> Option<&[u8]> {
    let mut tags = head.fields.get_all(Name::Etag);
    match (tags.next(), tags.next()) {
        (Some(tag), None) => Some(tag).filter(|tag| tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")),
        _ => None,
    }
}

/// Whether the answer to a HEAD is about the very content that is kept, of this length (RFC 9111 4.3.5). `None`: it has nothing that could
/// tell.
pub fn is_about(answer: &Head, kept: &Head, length: u64) -> Option<bool> {
    let validators = || [Name::Etag, Name::LastModified].into_iter().filter(|name| answer.fields.contains(*name));
    let is_same = |name| answer.fields.get_all(name).eq(kept.fields.get_all(name));
    let is_as_long = answer.fields.get(Name::ContentLength).is_none_or(|said| content_length(said) == Ok(length));
    match validators().all(is_same) && is_as_long {
        false => Some(false),
        true => validators().next().map(|_| true),
    }
}

/// Whether there is anything to ask with.
pub fn can_ask(kept: &Head) -> bool {
    kept.fields.contains(Name::Etag) || kept.fields.contains(Name::LastModified)
}

/// Whether a request for a part may have it of the kept answer, or wants the whole because it has a part of another.
pub fn allows_ranges(request: &Fields, kept: &Head) -> bool {
    let mut conditions = request.get_all(Name::IfRange);
    match (conditions.next(), conditions.next()) {
        (None, _) => true,
        (Some(condition), None) => is_same_for_ranges(condition, kept),
        _ => false,
    }
}

/// `If-Range`: whether the part that the client has is of this very answer. Weak validators do not count (RFC 9110 13.1.5).
fn is_same_for_ranges(condition: &[u8], kept: &Head) -> bool {
    let condition = condition.trim_ascii();
    match times::date(condition) {
        Some(_) => {
            // The date is an exact match, and strong where the answer was a second old when it was dated (RFC 9110 8.8.2.2).
            let date = |name| kept.fields.get(name).and_then(times::date);
            kept.fields.get(Name::LastModified) == Some(condition)
                && matches!((date(Name::LastModified), date(Name::Date)), (Some(changed), Some(dated)) if changed < dated)
        }
        None => condition.starts_with(b"\"") && kept.fields.get(Name::Etag) == Some(condition),
    }
}

fn is_weakly_same(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The members of a list of entity tags; commas within quotes separate nothing.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    list.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Version;

    fn kept(list: &[(&str, &str)]) -> Head {
        let mut head = Head::response(200, b"OK", Version::Http11);
        head.fields = Fields::of(list);
        head
    }

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
    const ELEVEN: &str = "Sun, 06 Nov 1994 11:00:00 GMT";
    const ONE: &str = "Sunday, 06-Nov-94 13:00:00 GMT";

    #[test]
    fn clients_learn_that_they_have_it_already() {
        let tagged = kept(&[("ETag", "\"a,b\""), ("Last-Modified", NOON)]);
        let weak = kept(&[("ETag", "W/\"a\"")]);
        let dated = kept(&[("Date", NOON)]);
        let (none, since) = ("If-None-Match", "If-Modified-Since");
        for (head, request, expected) in [
            (&tagged, &[(none, "\"a,b\"")][..], true),
            (&tagged, &[(none, "W/\"a,b\"")], true),
            (&tagged, &[(none, "\"x\", \"a,b\", \"y\"")], true),
            (&tagged, &[(none, "\"x\""), (none, "\"a,b\"")], true),
            (&tagged, &[(none, "*")], true),
            (&tagged, &[(none, "a,b")], false),
            (&tagged, &[(none, "\"a\"")], false),
            (&tagged, &[(none, "\"x\""), (since, ONE)], false),
            (&tagged, &[(since, NOON)], true),
            (&tagged, &[(since, ONE)], true),
            (&tagged, &[(since, ELEVEN)], false),
            (&tagged, &[(since, "never")], false),
            (&tagged, &[(since, ONE), (since, ONE)], false),
            (&weak, &[(none, "\"a\"")], true),
            (&weak, &[(since, ONE)], false),
            (&dated, &[(since, NOON)], true),
            (&dated, &[], false),
        ] {
            assert_eq!(is_not_modified(&Fields::of(request), head), expected, "{request:?}");
        }
        let mut missing = kept(&[("ETag", "\"a\"")]);
        let nothing = missing.fields.keep(b"");
        missing.begin_response(404, nothing, Version::Http11);
        assert!(!is_not_modified(&Fields::of(&[(none, "\"a\"")]), &missing));
    }

    #[test]
    fn our_question_replaces_the_clients() {
        let mut request = Fields::of(&[("If-None-Match", "\"theirs\""), ("Accept", "x"), ("If-Modified-Since", ELEVEN)]);
        ask(&mut request, &kept(&[("ETag", "\"ours\""), ("Last-Modified", NOON)]));
        assert_eq!(request.get_all(Name::IfNoneMatch).collect::<Vec<_>>(), [b"\"ours\""]);
        assert_eq!(request.get_all(Name::IfModifiedSince).collect::<Vec<_>>(), [NOON.as_bytes()]);
        assert!(can_ask(&kept(&[("ETag", "x")])) && can_ask(&kept(&[("Last-Modified", NOON)])) && !can_ask(&kept(&[("Date", NOON)])));
    }

    #[test]
    fn another_tag_confirms_nothing() {
        for (said, have, expected) in [
            (&[("ETag", "\"a\"")][..], &[("ETag", "\"a\"")][..], true),
            (&[("ETag", "W/\"a\"")], &[("ETag", "\"a\"")], true),
            (&[("ETag", "\"b\"")], &[("ETag", "\"a\"")], false),
            (&[], &[("ETag", "\"a\"")], true),
            (&[("ETag", "\"a\"")], &[("Last-Modified", NOON)], false),
            (&[("ETag", "\"a\""), ("Last-Modified", NOON)], &[("Last-Modified", NOON)], true),
            (&[("ETag", "\"a\""), ("Last-Modified", ELEVEN)], &[("ETag", "\"a\""), ("Last-Modified", NOON)], true),
            (&[("Last-Modified", ELEVEN)], &[("Last-Modified", NOON)], false),
            (&[("Last-Modified", "Sunday, 06-Nov-94 12:00:00 GMT")], &[("Last-Modified", NOON)], true),
            (&[("Last-Modified", NOON)], &[("ETag", "\"a\"")], true),
            (&[("Last-Modified", "soon")], &[("Last-Modified", "later")], false),
            (&[], &[("Last-Modified", NOON)], true),
        ] {
            assert_eq!(confirms(&kept(said), &kept(have)), expected, "{said:?} {have:?}");
        }
    }

    #[test]
    fn only_strong_tags_hold_parts_together() {
        let are_of_one = |one: &[(&str, &str)], other: &[(&str, &str)]| are_of_one(&kept(one), &kept(other));
        assert!(are_of_one(&[("ETag", "\"a\"")], &[("ETag", "\"a\"")]));
        for both in [
            &[("ETag", "W/\"a\"")][..],
            &[("ETag", "a")],
            &[("ETag", "\"")],
            &[("ETag", "\"a\""), ("ETag", "\"a\"")],
            &[],
            &[("Last-Modified", NOON)],
        ] {
            assert!(!are_of_one(both, both), "{both:?}");
        }
        assert!(!are_of_one(&[("ETag", "\"a\"")], &[("ETag", "\"b\"")]) && !are_of_one(&[("ETag", "\"a\"")], &[("ETag", "W/\"a\"")]));
    }

    #[test]
    fn a_head_alone_is_about_what_it_has_the_marks_of() {
        let tagged = kept(&[("ETag", "\"a\""), ("Last-Modified", NOON)]);
        for (said, expected) in [
            (&[("ETag", "\"a\"")][..], Some(true)),
            (&[("ETag", "\"a\""), ("Last-Modified", NOON), ("Content-Length", "5")], Some(true)),
            (&[("Last-Modified", NOON)], Some(true)),
            (&[("ETag", "\"a\""), ("Last-Modified", ELEVEN)], Some(false)),
            (&[("ETag", "W/\"a\"")], Some(false)),
            (&[("ETag", "\"a\""), ("ETag", "\"b\"")], Some(false)),
            (&[("ETag", "\"a\""), ("Content-Length", "6")], Some(false)),
            (&[("ETag", "\"a\""), ("Content-Length", "five")], Some(false)),
            (&[("Content-Length", "6")], Some(false)),
            (&[("Content-Length", "5")], None),
            (&[], None),
        ] {
            assert_eq!(is_about(&kept(said), &tagged, 5), expected, "{said:?}");
        }
        assert_eq!(is_about(&tagged, &kept(&[("ETag", "\"a\"")]), 5), Some(false), "it has got a validator that what is kept has not");
    }

    #[test]
    fn only_what_is_strong_goes_on_with_a_part() {
        let head = kept(&[("ETag", "\"a\""), ("Last-Modified", ELEVEN), ("Date", NOON)]);
        for (condition, expected) in
            [("\"a\"", true), (" \"a\" ", true), ("W/\"a\"", false), ("\"b\"", false), (ELEVEN, true), (NOON, false)]
        {
            assert_eq!(is_same_for_ranges(condition.as_bytes(), &head), expected, "{condition}");
        }
        assert!(!is_same_for_ranges(b"W/\"a\"", &kept(&[("ETag", "W/\"a\"")])));
        assert!(!is_same_for_ranges(NOON.as_bytes(), &kept(&[("Last-Modified", NOON), ("Date", NOON)])));
    }

    proptest! {
        #[test]
        fn no_condition_is_too_strange(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'*'), any::<u8>()], 0..40)) {
            let head = kept(&[("ETag", "\"a\""), ("Last-Modified", NOON), ("Date", NOON)]);
            for name in [&b"If-None-Match"[..], b"If-Modified-Since"] {
                let mut request = Fields::default();
                request.append(name, &text);
                let _ = is_not_modified(&request, &head);
            }
            let _ = is_same_for_ranges(&text, &head);
        }
    }
}
