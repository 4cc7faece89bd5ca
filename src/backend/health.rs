//! What the checks of a backend have found: the verdict in force, and the account of how it came about.
//!
//! Written by the prober on the main thread, read by status and metrics; balancers see nothing of it but the bits in `standing`. So
//! the account may stand behind a lock, and whoever reads it sees one moment and not a mixture of two.

use std::fmt;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::Backend;

/// How a backend that nobody has probed yet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Takes requests, until `fall` probes in a row have failed.
    Up,
    /// Takes none until its first probe has ended. Passed is up, failed is down; a probe that nobody answered in time says neither, and
    /// the backend begins as `Up` would have it, with one failure to its account.
    Wait,
    /// Takes none until `rise` probes in a row have passed.
    Down,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Passed,
    ConnectRefused,
    ConnectFailed,
    /// No connection, or no whole answer, in time.
    Timeout,
    /// The connection ended before an answer.
    Reset,
    /// What was answered is not HTTP.
    Malformed,
    /// An answer with a status that is not expected.
    Status(u16),
    /// The expected text is not in the body.
    BodyMismatch,
    /// The backend's certificate is not believed.
    Untrusted,
    TlsFailed,
    /// A service of gRPC says that it does not serve.
    NotServing,
    /// A check by gRPC was answered with this status of gRPC's own.
    GrpcStatus(u8),
}

impl Finding {
    pub const LABELS: [&'static str; 12] = [
        "passed",
        "connect_refused",
        "connect_failed",
        "timeout",
        "reset",
        "malformed",
        "status",
        "body_mismatch",
        "untrusted",
        "tls_failed",
        "not_serving",
        "grpc_status",
    ];

    pub fn passed(self) -> bool {
        self == Finding::Passed
    }

    /// Position in `LABELS`.
    pub fn index(self) -> usize {
        match self {
            Finding::Passed => 0,
            Finding::ConnectRefused => 1,
            Finding::ConnectFailed => 2,
            Finding::Timeout => 3,
            Finding::Reset => 4,
            Finding::Malformed => 5,
            Finding::Status(_) => 6,
            Finding::BodyMismatch => 7,
            Finding::Untrusted => 8,
            Finding::TlsFailed => 9,
            Finding::NotServing => 10,
            Finding::GrpcStatus(_) => 11,
        }
    }
}

/// The label, and behind `status` which one.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::LABELS[self.index()])?;
        match self {
            Finding::Status(status) => write!(f, " {status}"),
            Finding::GrpcStatus(status) => write!(f, " {status}"),
            _ => Ok(()),
        }
    }
}

/// The account at one moment.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What the last probe found; `None`: none has ended since the check is what it is.
    pub finding: Option<Finding>,
    /// So many in a row have passed, or have failed, of those of this check.
    pub streak: u32,
    /// Of the last probe, to its verdict.
    pub latency: Duration,
    /// Since when the backend is up, or down, for the checks; `None`: they have not said anything yet.
    pub since: Option<SystemTime>,
    /// `None`: the next probe is under way or waits for its turn.
    pub next: Option<Instant>,
    /// Probes that ended, by `Finding::index`.
    pub probes: [u64; Finding::LABELS.len()],
    /// How long they all took.
    pub spent: Duration,
}

/// The account, and whether there is anything to tell.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// A check is in force.
    checked: bool,
    /// The backend has been in force, checked or not: it does not start any more.
    started: bool,
    /// Probes have had a say: what comes after is a recovery, not a beginning.
    decided: bool,
    verdict: Verdict,
}

/// What a probe changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The first verdict is up: takes requests from now on.
    Begins,
    Down,
    /// It was down, and is no more.
    Recovers,
}

impl Backend {
    fn health(&self) -> MutexGuard<'_, Health> {
        // A panic between two lines of bookkeeping leaves a figure that is off by one.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is in force without a check, which is as good as up.
    pub fn unchecked(&self) {
        let mut health = self.health();
        if health.checked || !health.started {
            *health = Health { started: true, ..Health::default() };
            self.standing.decided_up();
        }
    }

    /// A check is in force. A backend that was in force before goes on as it was, whatever `start` says.
    pub fn checked(&self, start: Start) {
        let mut health = self.health();
        health.checked = true;
        if !std::mem::replace(&mut health.started, true) {
            match start {
                Start::Up => {}
                Start::Wait => self.standing.undecided(),
                Start::Down => self.standing.down(),
            }
        }
    }

    /// The check is another one: what the old one counted is not what the new one asks. The verdict stays until there is a new one.
    pub fn check_changed(&self) {
        let mut health = self.health();
        health.verdict =
            Verdict { since: health.verdict.since, probes: health.verdict.probes, spent: health.verdict.spent, ..Verdict::default() };
    }

    /// A probe has ended. `rise`, `fall`: so many in a row it takes to come up, and to go down.
    pub fn probed(&self, finding: Finding, latency: Duration, rise: u32, fall: u32, now: SystemTime) -> Option<Change> {
        let mut health = self.health();
        let Health { decided, verdict, checked, .. } = &mut *health;
        verdict.probes[finding.index()] += 1;
        verdict.spent += latency;
        if !*checked {
            // The check went while its probe was on its way.
            return None;
        }
        let same = verdict.finding.is_some_and(|last| last.passed() == finding.passed());
        verdict.streak = if same { verdict.streak.saturating_add(1) } else { 1 };
        verdict.finding = Some(finding);
        verdict.latency = latency;
        let standing = self.standing.load();
        let before = if standing.is_undecided() {
            Now::Undecided
        } else if standing.is_down() {
            Now::Down
        } else {
            Now::Up
        };
        let change = match decide(before, finding, verdict.streak, rise, fall) {
            Now::Down if before != Now::Down => Some(Change::Down),
            Now::Up if before == Now::Down && *decided => Some(Change::Recovers),
            Now::Up if before != Now::Up => Some(Change::Begins),
            _ => None,
        };
        if change.is_some() || verdict.since.is_none() {
            verdict.since = Some(now);
        }
        *decided |= change.is_some();
        match change {
            Some(Change::Down) => self.standing.down(),
            Some(Change::Begins) => {
                self.standing.decided_up();
                // It joined a pool at work, which may be long ago: it has taken no requests until now.
                if self.ramp.has_begun() {
                    self.ramp_from_now();
                }
            }
            Some(Change::Recovers) => {
                self.standing.decided_up();
                // It was down for all to see, and is back: what its answers were like before that is history.
                self.standing.readmit();
                self.recovered();
            }
            None => {}
        }
        change
    }

    pub fn next_probe(&self, at: Option<Instant>) {
        self.health().verdict.next = at;
    }

    /// `None`: it is not checked.
    pub fn verdict(&self) -> Option<Verdict> {
        let health = self.health();
        health.checked.then(|| health.verdict.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Undecided,
    Up,
    Down,
}

/// `streak`: with this finding in it.
fn decide(now: Now, finding: Finding, streak: u32, rise: u32, fall: u32) -> Now {
    match now {
        Now::Undecided if finding.passed() || finding == Finding::Timeout => Now::Up,
        Now::Undecided => Now::Down,
        Now::Up if !finding.passed() && streak >= fall => Now::Down,
        Now::Down if finding.passed() && streak >= rise => Now::Up,
        unchanged => unchanged,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::ramp::WHOLE;

    const REFUSED: Finding = Finding::ConnectRefused;
    const SLOW: Finding = Finding::Timeout;
    const PASSED: Finding = Finding::Passed;

    fn backend(start: Start) -> Backend {
        let backend = Backend::new(([127, 0, 0, 1], 80).into());
        backend.checked(start);
        backend
    }

    /// With rise 2 and fall 3, whether it is available after each finding.
    fn course(backend: &Backend, findings: &[Finding]) -> Vec<bool> {
        let now = SystemTime::now();
        let probe = |finding: &Finding| {
            backend.probed(*finding, Duration::ZERO, 2, 3, now);
            backend.is_available()
        };
        findings.iter().map(probe).collect()
    }

    #[test]
    fn verdicts_take_their_number_in_a_row() {
        let (yes, no) = (true, false);
        for (start, before, findings, expected) in [
            (Start::Up, yes, &[REFUSED, REFUSED, REFUSED, REFUSED][..], &[yes, yes, no, no][..]),
            (Start::Up, yes, &[REFUSED, REFUSED, PASSED, SLOW, SLOW, SLOW], &[yes, yes, yes, yes, yes, no]),
            (Start::Up, yes, &[SLOW, SLOW, SLOW, PASSED, REFUSED, PASSED, PASSED], &[yes, yes, no, no, no, no, yes]),
            (Start::Wait, no, &[PASSED, REFUSED, REFUSED], &[yes, yes, yes]),
            (Start::Wait, no, &[REFUSED, PASSED, PASSED], &[no, no, yes]),
            (Start::Wait, no, &[Finding::Status(503), PASSED, PASSED], &[no, no, yes]),
            (Start::Wait, no, &[SLOW, SLOW, SLOW], &[yes, yes, no]),
            (Start::Down, no, &[PASSED, PASSED], &[no, yes]),
            (Start::Down, no, &[PASSED, SLOW, PASSED], &[no, no, no]),
        ] {
            let backend = backend(start);
            assert_eq!(backend.is_available(), before, "{start:?}");
            assert_eq!(course(&backend, findings), expected, "{start:?}: {findings:?}");
        }
    }

    #[test]
    fn a_first_verdict_is_a_beginning_and_only_a_later_one_a_recovery() {
        let now = SystemTime::now();
        let probed = |backend: &Backend, finding| backend.probed(finding, Duration::ZERO, 1, 1, now);
        let down = backend(Start::Down);
        assert_eq!(probed(&down, PASSED), Some(Change::Begins));
        assert_eq!(probed(&down, REFUSED), Some(Change::Down));
        assert_eq!(probed(&down, PASSED), Some(Change::Recovers));
        assert_eq!(probed(&down, PASSED), None);
        let slowly = backend(Start::Down);
        let passes = || slowly.probed(PASSED, Duration::ZERO, 3, 1, now);
        assert_eq!([passes(), passes(), passes()], [None, None, Some(Change::Begins)]);
        let wait = backend(Start::Wait);
        assert_eq!(probed(&wait, REFUSED), Some(Change::Down));
        assert_eq!(probed(&wait, PASSED), Some(Change::Recovers));
    }

    #[test]
    fn the_ramp_of_one_that_joins_begins_with_its_first_verdict() {
        const HOUR: Duration = Duration::from_secs(3600);
        for start in [Start::Down, Start::Wait] {
            let (joining, of_a_new_pool, joined) = (backend(start), backend(start), Instant::now());
            joining.ramp_from(joined);
            let whole = joined + HOUR + Duration::from_millis(1);
            assert_eq!(joining.ramp(whole, HOUR), WHOLE);
            // It takes its time to start up.
            while joined.elapsed() < Duration::from_millis(5) {
                std::thread::yield_now();
            }
            for backend in [&joining, &of_a_new_pool] {
                course(backend, &[PASSED, PASSED]);
                assert!(backend.is_available());
            }
            assert!(joining.ramp(whole, HOUR) < WHOLE, "{start:?}");
            assert_eq!(of_a_new_pool.ramp(whole, HOUR), WHOLE, "{start:?}");
        }
    }

    #[test]
    fn a_new_check_starts_counting_and_keeps_the_verdict() {
        let backend = backend(Start::Up);
        course(&backend, &[REFUSED, REFUSED, REFUSED, PASSED]);
        backend.check_changed();
        backend.checked(Start::Up);
        let verdict = backend.verdict().unwrap();
        assert_eq!((verdict.finding, verdict.streak, verdict.since.is_some()), (None, 0, true));
        assert!(!backend.is_available());
        assert_eq!(course(&backend, &[PASSED, PASSED]), [false, true], "the one that had passed before does not count");
    }

    #[test]
    fn without_a_check_it_is_up_and_a_check_that_comes_later_does_not_start_it_anew() {
        let checked = backend(Start::Up);
        course(&checked, &[REFUSED, REFUSED, REFUSED]);
        checked.unchecked();
        assert!(checked.is_available() && checked.verdict().is_none());
        checked.checked(Start::Down);
        assert!(checked.is_available(), "it was in force already");
        assert!(checked.verdict().is_some_and(|verdict| verdict.finding.is_none()));
    }

    #[test]
    fn coming_up_ends_an_ejection() {
        let backend = backend(Start::Up);
        course(&backend, &[REFUSED, REFUSED, REFUSED]);
        backend.standing.eject();
        assert_eq!(course(&backend, &[PASSED, PASSED, PASSED]), [false, true, true]);
    }

    #[test]
    fn findings_have_their_words() {
        for (at, finding) in [
            PASSED,
            REFUSED,
            Finding::ConnectFailed,
            SLOW,
            Finding::Reset,
            Finding::Malformed,
            Finding::Status(503),
            Finding::BodyMismatch,
            Finding::Untrusted,
            Finding::TlsFailed,
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(finding.index(), at);
            assert!(finding.to_string().starts_with(Finding::LABELS[at]));
        }
        assert_eq!(Finding::Status(503).to_string(), "status 503");
    }

    proptest! {
        /// Nothing short of `fall` failures takes a backend out, and nothing short of `rise` brings it back.
        #[test]
        fn the_state_changes_only_at_the_end_of_a_long_enough_row(passed in proptest::collection::vec(any::<bool>(), 0..60), rise in 1u32..5, fall in 1u32..5) {
            let backend = backend(Start::Up);
            let now = SystemTime::now();
            let mut before = true;
            for at in 0..passed.len() {
                let finding = if passed[at] { PASSED } else { REFUSED };
                backend.probed(finding, Duration::ZERO, rise, fall, now);
                let row = passed[..=at].iter().rev().take_while(|other| **other == passed[at]).count() as u32;
                let expected = match (before, passed[at]) {
                    (true, false) if row >= fall => false,
                    (false, true) if row >= rise => true,
                    _ => before,
                };
                prop_assert_eq!(backend.is_available(), expected, "at {}", at);
                before = expected;
            }
        }
    }
}
