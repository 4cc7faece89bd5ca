//! One range of bytes out of a whole (RFC 9110 14). Several at once are not taken apart: the whole is a valid answer to them too.

use std::ops::Range;

/// What a `Range` field makes of a content of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As if the field were not there: it is malformed, of another unit, or asks for several ranges.
    Whole,
    Bytes(Range<u64>),
    /// 416: it begins behind the end.
    Nothing,
}

pub fn part(field: &[u8], length: u64) -> Part {
    let field = field.trim_ascii();
    let spec = match field.split_at_checked(6) {
        Some((unit, spec)) if unit.eq_ignore_ascii_case(b"bytes=") => spec.trim_ascii(),
        _ => return Part::Whole,
    };
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
            ("bytes=0-1,3-4", Part::Whole),
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

    proptest! {
        #[test]
        fn a_part_lies_within_the_whole(field in "(bytes=)?[0-9a,-]{0,24}", raw in proptest::collection::vec(any::<u8>(), 0..20), length: u64) {
            for field in [field.as_bytes(), &raw] {
                if let Part::Bytes(range) = part(field, length) {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }
    }
}
