//! Seconds and dates as fields have them.

use std::time::{Duration, SystemTime};

/// What a number of seconds that is too large means (RFC 9111 1.2.2).
pub const SECONDS_MAX: u64 = 1 << 31;

/// A non-negative whole number of seconds; `None`: it is none.
pub fn seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0u64, |number, digit| (number * 10 + u64::from(digit - b'0')).min(SECONDS_MAX));
    Some(Duration::from_secs(number))
}

/// A date in any of the three forms of RFC 9110 5.6.7, which are case-sensitive; `None`: it is none.
pub fn date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_are_digits_and_nothing_else() {
        for (text, expected) in [
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483649", Some(SECONDS_MAX)),
            ("99999999999999999999999999", Some(SECONDS_MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1 ", None),
            ("'1'", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn all_three_forms_are_one_date() {
        let expected = Some(UNIX_EPOCH + Duration::from_secs(784_111_777));
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
        for text in ["", "0", "-1", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 24:00:00 GMT", "\u{e9}", "1994-11-06T08:49:37Z"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (seconds(&text), date(&text));
        }

        #[test]
        fn what_is_written_is_read(second in 0u64..253_402_300_800) {
            let when = UNIX_EPOCH + Duration::from_secs(second);
            prop_assert_eq!(date(httpdate::fmt_http_date(when).as_bytes()), Some(when));
        }
    }
}
