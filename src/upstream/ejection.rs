//! Passive ejection: a backend whose real answers fail several times in a row gets no requests for a while, then one.
//!
//! It is on unless turned off, with failures that no application means: no connection, no answer, a broken one. A status is an error
//! only where the configuration says so. Everything here takes data and the time, and returns a decision; `ward` carries it out.
//!
//! Invariants: at most `max` of a pool is out by ejection at once, trials included; never a lone backend; never the last that is up.
//! When a shared database dies every backend looks guilty, and an empty pool would turn slow answers into none.

use std::time::{Duration, Instant};

use crate::backend::Record;
use crate::config::model::Eject;
use crate::failure::{Blame, Failure};

/// The longest ejection, in multiples of the shortest; also how long a backend must have stayed in to be forgiven.
const LONGEST: u32 = 10;

/// Whether a failure is an error of the backend's, as these rules have it. A client that left, or a shortage of our own, never is; nor
/// is a whole exchange that took too long, for it does not say who was slow.
pub fn is_fault(rules: &Eject, failure: Failure) -> bool {
    if failure.blame() != Blame::Upstream {
        return false;
    }
    let on = &rules.on;
    match failure {
        failure if failure.is_of_connect() => on.connect,
        Failure::UpstreamReset | Failure::UpstreamRefused | Failure::ResponseTruncated => on.reset,
        Failure::FirstByteTimeout | Failure::TryTimeout | Failure::StallTimeout => on.timeout,
        Failure::ResponseMalformed(_) | Failure::ResponseHeadTooLarge | Failure::TooManyInterims | Failure::UpgradeUnexpected => {
            on.malformed
        }
        _ => false,
    }
}

/// Whether an answer with this status is an error of the backend's.
pub fn is_faulty_status(rules: &Eject, status: u16) -> bool {
    rules.on.statuses.iter().any(|range| range.contains(status))
}

/// What a pool looks like to somebody who would eject one of its backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Backends that take requests when they are up: those of a weight above 0.
    pub size: usize,
    /// Of these, out by ejection: the one in question too where it is.
    pub ejected: usize,
    /// Up, apart from the one in question.
    pub others_up: usize,
}

/// Whether one more may be ejected.
pub fn allows(rules: &Eject, census: Census) -> bool {
    census.others_up > 0 && census.ejected < most(rules, census.size)
}

/// So many of a pool of this size may be out at once.
pub(super) fn most(rules: &Eject, size: usize) -> usize {
    if size < 2 { 0 } else { (size * rules.max_percent as usize / 100).max(1) }
}

/// How long a backend is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// How many in a row it makes.
    pub times: u32,
    pub length: Duration,
}

pub fn term(rules: &Eject, past: &Record, now: Instant) -> Term {
    let longest = rules.base.saturating_mul(LONGEST);
    let forgiven = past.returned.is_some_and(|returned| now.saturating_duration_since(returned) >= longest);
    let times = if forgiven { 1 } else { past.times.saturating_add(1) };
    Term { times, length: rules.base.saturating_mul(times).min(longest) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::model::{Faults, Statuses};
    use crate::failure::Malformed;

    pub fn rules() -> Eject {
        let on = Faults { connect: true, reset: true, timeout: true, malformed: true, statuses: Vec::new() };
        Eject { errors: 3, base: Duration::from_secs(10), max_percent: 50, on }
    }

    #[test]
    fn only_what_a_backend_did_is_its_error() {
        for (failure, expected) in [
            (Failure::ConnectRefused, true),
            (Failure::ConnectTimeout, true),
            (Failure::UpstreamReset, true),
            (Failure::UpstreamRefused, true),
            (Failure::UpstreamNotHttp2, true),
            (Failure::UpgradeUnsupported, false),
            (Failure::ResponseTruncated, true),
            (Failure::FirstByteTimeout, true),
            (Failure::StallTimeout, true),
            (Failure::ResponseMalformed(Malformed::StartLine), true),
            (Failure::RequestMalformed(Malformed::StartLine), false),
            (Failure::ClientGone, false),
            (Failure::TotalTimeout, false),
            (Failure::BodyTimeout, false),
            (Failure::ResourcesExhausted, false),
            (Failure::Internal, false),
            (Failure::NoBackend, false),
        ] {
            assert_eq!(is_fault(&rules(), failure), expected, "{failure:?}");
        }
        let none = Eject { on: Faults { statuses: vec![Statuses { first: 500, last: 599 }], ..Faults::default() }, ..rules() };
        assert!(!is_fault(&none, Failure::ConnectRefused));
        assert!(is_faulty_status(&none, 503) && !is_faulty_status(&none, 404) && !is_faulty_status(&rules(), 503));
    }

    #[test]
    fn the_share_rounds_down_but_allows_one_of_two() {
        for (percent, size, expected) in [
            (100, 0, 0),
            (100, 1, 0),
            (50, 2, 1),
            (50, 3, 1),
            (50, 4, 2),
            (50, 5, 2),
            (10, 5, 1),
            (10, 20, 2),
            (100, 3, 3),
            (1, 99, 1),
            (1, 200, 2),
            (50, 10_000, 5000),
        ] {
            assert_eq!(most(&Eject { max_percent: percent, ..rules() }, size), expected, "{percent}% of {size}");
        }
        for (size, ejected, others_up, expected) in
            [(1, 0, 0, false), (2, 0, 1, true), (2, 0, 0, false), (2, 1, 1, false), (4, 1, 2, true), (4, 2, 1, false), (0, 0, 0, false)]
        {
            assert_eq!(allows(&rules(), Census { size, ejected, others_up }), expected, "{size} {ejected} {others_up}");
        }
    }

    #[test]
    fn terms_grow_up_to_ten_times_and_are_forgiven() {
        let start = Instant::now();
        let mut past = Record::default();
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let term = term(&rules(), &past, start);
            lengths.push(term.length.as_secs());
            past = Record { times: term.times, returned: Some(start), ..past };
        }
        assert_eq!(lengths, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100]);
        let after = |seconds| term(&rules(), &past, start + Duration::from_secs(seconds));
        assert_eq!(after(99).length, Duration::from_secs(100));
        assert_eq!(after(100), Term { times: 1, length: Duration::from_secs(10) });
    }
}
