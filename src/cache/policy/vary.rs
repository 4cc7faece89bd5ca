//! `Vary`: which fields of a request an answer depends on, and the text that two requests for the same answer have in common.
//!
//! Values are compared as RFC 9111 4.1 allows: blanks around list members do not count, and several lines are one list. In the
//! `Accept` family the case and the order of members mean nothing either (what ranks them are their weights), and so they are
//! brought into one.

use crate::message::fields::is_token;
use crate::message::{Fields, Name};

/// An answer that depends on more fields than this is not worth keeping: hardly two requests would agree on all.
const NAMES_MAX: usize = 16;
/// And so many names, the same ones several times, nobody means.
const MEMBERS_MAX: usize = 256;

/// Names in lower case, sorted, each once; none: the answer is for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vary(Box<[Box<[u8]>]>);

impl Vary {
    /// `None`: no other request can be known to want this answer (`*`, or what is no field name).
    pub fn of(answer: &Fields) -> Option<Vary> {
        let mut names = Vec::new();
        for member in answer.members(Name::Vary) {
            if !is_token(member) || member.contains(&b'*') || is_of_the_way(member) {
                return None;
            }
            names.push(member.to_ascii_lowercase().into_boxed_slice());
            if names.len() > MEMBERS_MAX {
                return None;
            }
        }
        names.sort_unstable();
        names.dedup();
        (names.len() <= NAMES_MAX).then(|| Vary(names.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What answers of both kinds together depend on; `None`: on too much.
    pub fn and(&self, other: &Vary) -> Option<Vary> {
        let mut names: Vec<Box<[u8]>> = self.0.iter().chain(&other.0).cloned().collect();
        names.sort_unstable();
        names.dedup();
        (names.len() <= NAMES_MAX).then(|| Vary(names.into()))
    }

    /// Bytes held on the heap.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum()
    }

    /// Appends what of the request this answer depends on, so that no two requests that differ in it get the same bytes.
    pub fn write(&self, request: &Fields, out: &mut Vec<u8>) {
        for name in &self.0 {
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            let known = Name::of(name);
            let mut there = false;
            let mut each = |value: &[u8]| {
                there = true;
                push_members(value, out);
            };
            match (known, std::str::from_utf8(name)) {
                (Name::Other, Ok(text)) => request.find(text).for_each(&mut each),
                (Name::Other, Err(_)) => {}
                _ => request.get_all(known).for_each(&mut each),
            }
            if name.starts_with(b"accept") {
                sort_members(&mut out[at + 4..]);
            }
            // A field that is not there is not one that is empty.
            let len = if there { (out.len() - at - 4) as u32 } else { u32::MAX };
            out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        }
    }
}

/// Members without the blanks around them, each behind a comma.
fn push_members(value: &[u8], out: &mut Vec<u8>) {
    for member in value.split(|byte| *byte == b',') {
        out.push(b',');
        out.extend_from_slice(member.trim_ascii());
    }
}

fn sort_members(list: &mut [u8]) {
    list.make_ascii_lowercase();
    let mut members: Vec<Vec<u8>> = list.split(|byte| *byte == b',').skip(1).map(<[u8]>::to_vec).collect();
    members.sort_unstable();
    let mut at = 0;
    for member in members {
        list[at] = b',';
        list[at + 1..at + 1 + member.len()].copy_from_slice(&member);
        at += 1 + member.len();
    }
}

/// What we write ourselves into each request: it is another one for every client, and not in what a client sends.
fn is_of_the_way(name: &[u8]) -> bool {
    matches!(Name::of(name), Name::XForwardedFor | Name::XForwardedPort | Name::Forwarded | Name::Via)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vary(value: &str) -> Option<Vary> {
        Vary::of(&Fields::of(&[("Vary", value)]))
    }

    fn written(on: &str, request: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        vary(on).expect("a list of names").write(&Fields::of(request), &mut out);
        out
    }

    #[test]
    fn a_star_anywhere_and_what_is_no_name_match_nothing() {
        for value in ["*", "*, *", ", *", "Foo, *", "*, Foo", "a b", "\u{e9}", "X-Forwarded-For"] {
            assert_eq!(vary(value), None, "{value}");
        }
        assert_eq!(Vary::of(&Fields::of(&[("Vary", ""), ("Vary", "*")])), None);
        assert_eq!(Vary::of(&Fields::of(&[])), Some(Vary::default()));
        assert_eq!(vary("Foo, bar,,FOO"), vary("bar, foo"));
        let many: Vec<String> = (0..=NAMES_MAX).map(|at| format!("x{at}")).collect();
        assert_eq!(vary(&many.join(",")), None);
    }

    #[test]
    fn requests_that_mean_the_same_are_written_the_same() {
        for (on, one, other) in [
            ("Foo", &[("Foo", "1, 2")][..], &[("Foo", "1"), ("foo", "2")][..]),
            ("Foo", &[("Foo", "1,2")], &[("FOO", " 1,  2 ")]),
            ("Accept-Language", &[("Accept-Language", "en, de")], &[("accept-language", "De,eN")]),
            ("Accept-Encoding", &[("Accept-Encoding", "gzip, br;q=0.5")], &[("Accept-Encoding", "br;q=0.5,gzip")]),
            ("Foo, Bar", &[("Foo", "1"), ("Other", "x")], &[("Foo", "1"), ("Other", "y")]),
        ] {
            assert_eq!(written(on, one), written(on, other), "{on}: {one:?} {other:?}");
        }
        for (on, one, other) in [
            ("Foo", &[("Foo", "1")][..], &[("Foo", "2")][..]),
            ("Foo", &[("Foo", "1")], &[]),
            ("Foo", &[("Foo", "")], &[]),
            ("Foo", &[("Foo", "a")], &[("Foo", "A")]),
            ("Foo", &[("Foo", "1, 2")], &[("Foo", "2, 1")]),
            ("Foo, Bar", &[("Foo", "12")], &[("Foo", "1"), ("Bar", "2")]),
            ("Foo, Bar", &[("Foo", "1")], &[("Bar", "1")]),
        ] {
            assert_ne!(written(on, one), written(on, other), "{on}: {one:?} {other:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_strange_and_two_values_never_flow_together(
            a in proptest::collection::vec(any::<u8>(), 0..12),
            b in proptest::collection::vec(any::<u8>(), 0..12),
            list in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut answer = Fields::default();
            answer.append(b"Vary", &list);
            let _ = Vary::of(&answer);
            let on = vary("x, y").expect("names");
            let write = |x: &[u8], y: &[u8]| {
                let (mut fields, mut out) = (Fields::default(), Vec::new());
                fields.append(b"x", x);
                fields.append(b"y", y);
                on.write(&fields, &mut out);
                out
            };
            let plain = |bytes: &[u8]| bytes.split(|byte| *byte == b',').map(|part| part.trim_ascii().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(write(&a, &b) == write(&b, &a), plain(&a) == plain(&b));
        }
    }
}
