//! What gRPC asks of an intermediary: how its messages are known, how long a call may take, how it ended, and how a client is told that
//! one has failed.
//!
//! A client of gRPC reads trailers, not statuses: a failure is an answer of 200 without content whose one block of fields says why
//! ("Trailers-Only" in the protocol's words).

use std::time::Duration;

use super::fields::{Fields, Name};
use crate::failure::Failure;

/// `application/grpc`, with whatever follows: `+proto`, `-web`, parameters.
const MEDIA: &[u8] = b"application/grpc";
/// The protocol's own bound on a deadline's digits.
const DIGITS_MAX: usize = 8;

/// Codes by name, in the order of their numbers; the last stands for all that have none.
pub const WORDS: [&str; 18] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
    "other",
];

/// Whether a request, or an answer, is one of gRPC's.
pub fn is_spoken(fields: &Fields) -> bool {
    fields.get(Name::ContentType).and_then(|value| value.get(..MEDIA.len())).is_some_and(|media| media.eq_ignore_ascii_case(MEDIA))
}

/// How long the client of a request of gRPC will wait; `None`: it does not say, or not in a way that we understand.
pub fn timeout(fields: &Fields) -> Option<Duration> {
    if !is_spoken(fields) {
        return None;
    }
    let (unit, digits) = fields.find("grpc-timeout").next()?.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// How a call ended, by its trailers or by a head without any; `None`: they do not say.
pub fn told(fields: &Fields) -> Option<u8> {
    let digits = fields.find("grpc-status").next()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `grpc-status` of a failure: where gRPC has a word of its own for it, that one, else what its mapping makes of the HTTP status.
pub fn status(failure: Failure) -> u8 {
    match failure {
        Failure::TotalTimeout => DEADLINE_EXCEEDED,
        Failure::BodyTooLarge | Failure::HeadTooLarge | Failure::TargetTooLong => RESOURCE_EXHAUSTED,
        failure => match failure.status() {
            400 => INTERNAL,
            404 => UNIMPLEMENTED,
            429 | 502..=504 => UNAVAILABLE,
            _ => UNKNOWN,
        },
    }
}

const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit_and_nothing_else_is_one() {
        for (value, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("100000000m", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("-1S", None),
            ("1.5S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(&Fields::of(&[("content-type", "application/grpc+proto"), ("grpc-timeout", value)])), expected, "{value}");
            assert_eq!(timeout(&Fields::of(&[("content-type", "text/plain"), ("grpc-timeout", value)])), None, "{value}");
        }
    }

    #[test]
    fn requests_are_known_by_their_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC;x=1", true),
            ("application/grpc-web+proto", true),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_spoken(&Fields::of(&[("Content-Type", value)])), expected, "{value}");
        }
    }

    #[test]
    fn how_a_call_ended_is_read_and_nothing_else_is_a_status() {
        for (value, expected) in
            [("0", Some(0)), ("14", Some(14)), ("255", Some(255)), ("256", None), ("", None), ("+1", None), ("ok", None)]
        {
            assert_eq!(told(&Fields::of(&[("Grpc-Status", value)])), expected, "{value}");
        }
        assert_eq!(told(&Fields::of(&[("grpc-message", "0")])), None);
    }

    #[test]
    fn failures_have_the_status_that_the_mapping_gives_them() {
        for (failure, expected) in [
            (Failure::NoRoute, 12),
            (Failure::NoBackend, 14),
            (Failure::ConnectRefused, 14),
            (Failure::FirstByteTimeout, 14),
            (Failure::TotalTimeout, 4),
            (Failure::BodyTooLarge, 8),
            (Failure::Internal, 2),
        ] {
            assert_eq!(status(failure), expected, "{failure}");
        }
    }
}
