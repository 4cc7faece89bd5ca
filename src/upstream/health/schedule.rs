//! When a backend is probed.
//!
//! Steady while nothing is in doubt, quicker while something is: a backend that is down should be back soon after it is well, and one
//! whose last probe disagrees with its verdict should not keep everybody waiting for the second opinion. Every wait is moved by up to
//! a tenth, so that probes that fell together do not stay together.

use std::time::Duration;

use crate::backend::{Standing, Verdict};
use crate::config::model::{Health, Start};

/// Quicker by this much while in doubt.
const QUICKER: u32 = 5;
/// Probing faster than this helps nobody who is starting up.
const QUICKEST: Duration = Duration::from_millis(500);
/// First probes that hold requests back go out one after the other, at this distance.
const STEP: Duration = Duration::from_millis(1);

/// From the end of one probe to the next. `random`: from 0 to 1.
pub fn wait(check: &Health, standing: Standing, verdict: &Verdict, random: f64) -> Duration {
    let agrees = |passed: bool| passed != standing.is_down();
    let settled = !standing.is_down() && verdict.finding.is_some_and(|finding| agrees(finding.passed()));
    let wait = if settled { check.every } else { (check.every / QUICKER).max(QUICKEST).min(check.every) };
    wait.mul_f64(0.9 + 0.2 * random)
}

/// To the first probe of the backend that is the `nth` of those that begin together. Where requests wait for the verdict it comes at
/// once, but not for all of them at the same instant; otherwise the probes are spread over the whole of a turn, as they then stay.
pub fn first(check: &Health, waited_for: bool, nth: usize, random: f64) -> Duration {
    if waited_for || check.start == Start::Down {
        return STEP.saturating_mul(u32::try_from(nth).unwrap_or(u32::MAX)).min(check.every);
    }
    check.every.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::{self, Backend, Finding};
    use crate::config::model::{Probe, Protocol};

    fn check(every: u64) -> Health {
        Health {
            probe: Probe::Tcp,
            every: Duration::from_millis(every),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            start: Start::Up,
            protocol: Protocol::Http1,
            send_proxy_protocol: None,
        }
    }

    #[test]
    fn quicker_while_down_or_in_doubt() {
        for (every, findings, expected) in [
            (5000, "", 1000),
            (5000, "p", 5000),
            (5000, "pf", 1000),
            (5000, "pfp", 5000),
            (5000, "fff", 1000),
            (5000, "fffp", 1000),
            (5000, "fffpp", 5000),
            (1000, "fff", 500),
            (300, "fff", 300),
            (60_000, "fff", 12_000),
        ] {
            let backend = Backend::new(([127, 0, 0, 1], 80).into());
            backend.checked(backend::Start::Up);
            for finding in findings.chars() {
                let finding = if finding == 'p' { Finding::Passed } else { Finding::Reset };
                backend.probed(finding, Duration::ZERO, 2, 3, SystemTime::now());
            }
            let verdict = backend.verdict().unwrap();
            let wait = |random| wait(&check(every), backend.standing(), &verdict, random).as_millis();
            assert_eq!((wait(0.0), wait(0.5), wait(1.0)), (expected * 9 / 10, expected, expected * 11 / 10), "{every} {findings}");
        }
    }

    proptest! {
        #[test]
        fn first_probes_come_within_a_turn(nth in 0usize..20_000, random in 0.0..1.0f64, waited_for: bool) {
            let check = check(5000);
            let first = first(&check, waited_for, nth, random);
            prop_assert!(first <= check.every);
            prop_assert!(!waited_for || first == Duration::from_millis(nth as u64).min(check.every));
        }
    }
}
