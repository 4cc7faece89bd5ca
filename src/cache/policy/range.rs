//! Ranges of bytes out of a whole (RFC 9110 14).

use std::ops::Range;

use crate::message::{Fields, Name};

/// Whoever asks for more ranges than this at once gets the whole: each costs a head of its own.
const RANGES_MAX: usize = 16;

/// What a `Range` field makes of a content of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As if the field were not there: it is malformed, of another unit, or asks for too many ranges, or for the same bytes twice.
    Whole,
    Bytes(Range<u64>),
    /// More than one, none of them empty, none over another, in the order in which they were asked for.
    Several(Vec<Range<u64>>),
    /// 416: all begin behind the end.
    Nothing,
}

/// Whether a request is for all bytes from the first on, as those who play media ask for what they begin to read.
pub fn is_all(request: &Fields) -> bool {
    let mut fields = request.get_all(Name::Range);
    match (fields.next(), fields.next()) {
        (Some(field), None) => specs(field).is_some_and(|spec| spec == b"0-"),
        _ => false,
    }
}

/// Whether a request is for one part, wherever the content ends.
pub fn is_one(request: &Fields) -> bool {
    let mut fields = request.get_all(Name::Range);
    match (fields.next(), fields.next()) {
        (Some(field), None) => matches!(part(field, u64::MAX), Part::Bytes(_)),
        _ => false,
    }
}

/// Which bytes an answer has, of a whole of which length. `None`: several parts, or it does not say, or says what can not be.
pub fn sent(answer: &Fields) -> Option<(Range<u64>, u64)> {
    let mut fields = answer.get_all(Name::ContentRange);
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (unit, said) = field.trim_ascii().split_at_checked(6)?;
    let slash = said.iter().position(|byte| *byte == b'/')?;
    let dash = said[..slash].iter().position(|byte| *byte == b'-')?;
    let (first, last, whole) = (number(&said[..dash])?, number(&said[dash + 1..slash])?, number(&said[slash + 1..])?);
    (unit.eq_ignore_ascii_case(b"bytes ") && first <= last && last < whole).then(|| (first..last + 1, whole))
}

pub fn part(field: &[u8], length: u64) -> Part {
    let Some(specs) = specs(field) else { return Part::Whole };
    let (mut ranges, mut asked): (Vec<Range<u64>>, _) = (Vec::new(), false);
    for (at, spec) in specs.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()).enumerate() {
        asked = true;
        match one(spec, length) {
            _ if at >= RANGES_MAX => return Part::Whole,
            Part::Whole => return Part::Whole,
            Part::Bytes(range) => ranges.push(range),
            _ => {}
        }
    }
    let are_apart =
        |(at, range): (usize, &Range<u64>)| ranges[..at].iter().all(|other| other.end <= range.start || range.end <= other.start);
    match ranges.len() {
        0 if asked => Part::Nothing,
        0 => Part::Whole,
        1 => Part::Bytes(ranges.remove(0)),
        _ if ranges.iter().enumerate().all(are_apart) => Part::Several(ranges),
        _ => Part::Whole,
    }
}

/// What stands behind the unit; `None`: it is none that we know.
fn specs(field: &[u8]) -> Option<&[u8]> {
    let field = field.trim_ascii();
    match field.split_at_checked(6) {
        Some((unit, specs)) if unit.eq_ignore_ascii_case(b"bytes=") => Some(specs.trim_ascii()),
        _ => None,
    }
}

fn one(spec: &[u8], length: u64) -> Part {
    let Some(dash) = spec.iter().position(|byte| *byte == b'-') else { return Part::Whole };
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => within(first, last.saturating_add(1), length),
        (Some(first), None) if last.is_empty() => within(first, length, length),
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(suffix)) if first.is_empty() => within(length.saturating_sub(suffix), length, length),
        _ => Part::Whole,
    }
}

fn within(first: u64, end: u64, length: u64) -> Part {
    if first >= length { Part::Nothing } else { Part::Bytes(first..end.min(length)) }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (field, expected) in [
            ("bytes=0-1", Part::Bytes(0..2)),
            ("Bytes=0-0", Part::Bytes(0..1)),
            ("bytes=1-", Part::Bytes(1..10)),
            ("bytes=-1", Part::Bytes(9..10)),
            ("bytes=-99", Part::Bytes(0..10)),
            ("bytes=5-99999999999999999999999", Part::Bytes(5..10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=10-11", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=0-1,3-4", Part::Several(vec![0..2, 3..5])),
            ("bytes=-2, 0-1 ,,", Part::Several(vec![8..10, 0..2])),
            ("bytes=0-1,20-30", Part::Bytes(0..2)),
            ("bytes=20-30,-0", Part::Nothing),
            ("bytes=0-4,4-5", Part::Whole),
            ("bytes=0-1,a-b", Part::Whole),
            ("bytes=0-1,3", Part::Whole),
            ("bytes=0-1,30-20", Part::Whole),
            ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,-0,-0,-0,-0,-0,-0,-0", Part::Whole),
            ("bytes=,", Part::Whole),
            ("bytes=2-1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(field.as_bytes(), 10), expected, "{field}");
        }
        assert_eq!(part(b"bytes=0-", 0), Part::Nothing);
        assert_eq!(part(b"bytes=-5", 0), Part::Nothing);
    }

    #[test]
    fn who_wants_all_of_it_says_so() {
        let is_all = |lines: &[&str]| is_all(&Fields::of(&lines.iter().map(|line| ("Range", *line)).collect::<Vec<_>>()));
        assert!(is_all(&["bytes=0-"]) && is_all(&["Bytes= 0- "]));
        for lines in [&[][..], &["bytes=1-"], &["bytes=0-1"], &["bytes=0-,5-"], &["bytes=0-", "bytes=0-"], &["lines=0-"], &["bytes=-0"]] {
            assert!(!is_all(lines), "{lines:?}");
        }
    }

    #[test]
    fn one_part_is_one_wherever_it_ends() {
        let is_one = |lines: &[&str]| is_one(&Fields::of(&lines.iter().map(|line| ("Range", *line)).collect::<Vec<_>>()));
        assert!(is_one(&["bytes=0-1"]) && is_one(&["Bytes= 5- "]) && is_one(&["bytes=-5"]));
        for lines in [&[][..], &["bytes=0-1,3-4"], &["bytes=0-1", "bytes=0-1"], &["bytes=2-1"], &["bytes=-0"], &["lines=0-1"]] {
            assert!(!is_one(lines), "{lines:?}");
        }
    }

    #[test]
    fn a_part_says_which_it_is() {
        for (field, expected) in [
            ("bytes 0-1/10", Some((0..2, 10))),
            ("Bytes 9-9/10", Some((9..10, 10))),
            ("bytes 0-9/10", Some((0..10, 10))),
            ("bytes 0-1/*", None),
            ("bytes */10", None),
            ("bytes 0-10/10", None),
            ("bytes 2-1/10", None),
            ("bytes=0-1/10", None),
            ("bytes 0-1", None),
            ("bytes 0/10", None),
            ("bytes -1/10", None),
            ("bytes 0-1/10, bytes 3-4/10", None),
            ("bytes 0-99999999999999999999/99999999999999999999", None),
            ("lines 0-1/10", None),
            ("", None),
        ] {
            assert_eq!(sent(&Fields::of(&[("Content-Range", field)])), expected, "{field}");
        }
        assert_eq!(sent(&Fields::of(&[])), None);
        assert_eq!(sent(&Fields::of(&[("Content-Range", "bytes 0-1/10"), ("Content-Range", "bytes 0-1/10")])), None);
    }

    proptest! {
        #[test]
        fn what_an_answer_says_lies_within_the_whole(field in "bytes [0-9]{1,2}-[0-9]{1,2}/[0-9]{1,2}|[a-z0-9/ -]{0,12}") {
            if let Some((part, whole)) = sent(&Fields::of(&[("Content-Range", &*field)])) {
                prop_assert!(part.start < part.end && part.end <= whole);
            }
        }

        #[test]
        fn a_part_lies_within_the_whole(field in "(bytes=)?[0-9a,-]{0,24}", raw in proptest::collection::vec(any::<u8>(), 0..20), length: u64) {
            for field in [field.as_bytes(), &raw] {
                let ranges = match part(field, length) {
                    Part::Bytes(range) => vec![range],
                    Part::Several(ranges) => ranges,
                    _ => continue,
                };
                prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
                prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= length);
            }
        }
    }
}
