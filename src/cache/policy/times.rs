//! Seconds and dates as fields have them.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;

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

/// A date in any of the three forms of RFC 9110 5.6.7; `None`: it is none, or before 1970. Letters count in any case, and the day of the
/// week need only be one: which it was follows from the date.
pub fn date(text: &[u8]) -> Option<SystemTime> {
    let text = text.trim_ascii();
    let (weekday, rest) = text.split_at(text.iter().position(|byte| matches!(byte, b',' | b' '))?);
    if !WEEKDAYS.iter().any(|day| weekday.eq_ignore_ascii_case(day) || weekday.eq_ignore_ascii_case(&day[..3])) {
        return None;
    }
    match *rest {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [b',', b' ', ref day @ .., b' ', m, o, n, b' ', y1, y2, y3, y4, b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', g, t, z]
            if day.len() == 2 && is_gmt([g, t, z]) =>
        {
            moment(&[y1, y2, y3, y4], [m, o, n], day, [h1, h2, m1, m2, s1, s2])
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [b',', b' ', d1, d2, b'-', m, o, n, b'-', y1, y2, b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', g, t, z] if is_gmt([g, t, z]) => {
            let century = if y1 < b'7' { *b"20" } else { *b"19" };
            moment(&[century[0], century[1], y1, y2], [m, o, n], &[d1, d2], [h1, h2, m1, m2, s1, s2])
        }
        // Sun Nov  6 08:49:37 1994
        [b' ', m, o, n, b' ', d1, d2, b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', y1, y2, y3, y4] => {
            let day = [if d1 == b' ' { b'0' } else { d1 }, d2];
            moment(&[y1, y2, y3, y4], [m, o, n], &day, [h1, h2, m1, m2, s1, s2])
        }
        _ => None,
    }
}

const WEEKDAYS: [&[u8]; 7] = [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const MONTHS: [&[u8; 3]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

fn is_gmt(zone: [u8; 3]) -> bool {
    zone.eq_ignore_ascii_case(b"gmt")
}

/// `clock`: hours, minutes, seconds, two digits each.
fn moment(year: &[u8], month: [u8; 3], day: &[u8], clock: [u8; 6]) -> Option<SystemTime> {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let month = 1 + MONTHS.iter().position(|name| month.eq_ignore_ascii_case(*name))? as i8;
    let [day, hour, minute, second] = [day, &clock[..2], &clock[2..4], &clock[4..]].map(|digits| number(digits).map(|number| number as i8));
    // A leap second is the one before it.
    let second = second.map(|second| if second == 60 { 59 } else { second });
    let moment = DateTime::new(number(year)?, month, day?, hour?, minute?, second?, 0).ok()?;
    // What is before 1970 is negative.
    Some(SystemTime::UNIX_EPOCH + Duration::try_from(moment.duration_since(EPOCH)).ok()?)
}

/// Of four digits at most.
fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))
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
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nOV 1994 08:49:37 gmt",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "\u{e9}",
            "1994-11-06T08:49:37Z",
            "Sun, 31 Apr 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun,  6 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
        ] {
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
