//! Whether a request is tried once more: pure, from what is known when an attempt has ended.
//!
//! Two things are never bargained with. A request that must not happen twice (RFC 9110 9.2.2) is repeated only where no byte of it
//! was sent; and once a byte of an answer has come, that is the answer, unless the answer itself is one of the statuses that
//! the configuration names. Whether there is budget, and anybody to go to, is asked after that.
//!
//! It never goes to the same backend twice. One that just failed is the likeliest to fail again, by this very request if that is what
//! it fails at; one that did not answer in time still has the first in hand. So there are at most as many attempts as backends, and
//! where the only one fails, its failure is the answer. For the same reason a `Retry-After` of a 503 need not be heeded: it
//! speaks for the backend that sent it, and the other try goes to another.

use crate::config::model::{Reason, Retry};
use crate::failure::Failure;

/// How an attempt ended, other than well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// `None`: it is not the backend that failed, or failed so that another try is pointless.
    pub reason: Option<Reason>,
    /// Not a byte of the request can have been seen.
    pub untouched: bool,
}

/// What the request allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// To send it twice is as good as once.
    pub idempotent: bool,
    /// All of its content could be sent again.
    pub whole: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What has happened is what the client gets.
    Stop,
    Again(Again),
}

/// Another attempt, and its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    pub reason: Reason,
    /// It costs a retry of the budget: the request may have been seen.
    pub spends: bool,
    /// A pause first.
    pub pause: bool,
}

/// `attempts`: made so far.
pub fn verdict(policy: &Retry, attempts: usize, request: Request, end: End) -> Verdict {
    let Some(reason) = end.reason.filter(|reason| attempts < policy.tries && policy.on.contains(reason)) else { return Verdict::Stop };
    if !request.whole || !(end.untouched || request.idempotent) {
        return Verdict::Stop;
    }
    Verdict::Again(Again {
        reason,
        spends: !end.untouched,
        // Whoever could not connect goes on at once, and time has passed for who waited in vain.
        pause: !matches!(reason, Reason::Connect | Reason::Timeout),
    })
}

impl End {
    /// `begun`: a byte of an answer has come.
    pub fn of(failure: Failure, untouched: bool, begun: bool) -> End {
        let reason = match failure {
            failure if failure.is_of_connect() => Some(Reason::Connect),
            _ if begun => None,
            Failure::UpstreamReset | Failure::UpstreamRefused => Some(Reason::Reset),
            Failure::FirstByteTimeout | Failure::StallTimeout | Failure::TryTimeout => Some(Reason::Timeout),
            _ => None,
        };
        End { reason, untouched }
    }

    pub fn answered(status: u16) -> End {
        End { reason: Reason::of_status(status), untouched: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn policy(tries: usize, on: &[Reason]) -> Retry {
        Retry { tries, on: on.to_vec(), budget_percent: 20, try_timeout: None, backoff: Duration::ZERO }
    }

    const GET: Request = Request { idempotent: true, whole: true };
    const POST: Request = Request { idempotent: false, whole: true };
    const POST_SENT: Request = Request { idempotent: false, whole: false };
    const LARGE_PUT: Request = Request { idempotent: true, whole: false };

    #[test]
    fn a_request_is_tried_again_where_it_can_not_happen_twice() {
        let failed = |failure| End::of(failure, false, false);
        let unsent = |failure| End::of(failure, true, false);
        let begun = |failure| End::of(failure, false, true);
        let free = |reason, pause| Verdict::Again(Again { reason, spends: false, pause });
        let paid = |reason, pause| Verdict::Again(Again { reason, spends: true, pause });
        for (request, end, expected) in [
            (GET, unsent(Failure::ConnectRefused), free(Reason::Connect, false)),
            (POST, unsent(Failure::ConnectRefused), free(Reason::Connect, false)),
            (POST, unsent(Failure::ConnectTimeout), free(Reason::Connect, false)),
            (LARGE_PUT, unsent(Failure::ConnectFailed), Verdict::Stop),
            (POST, unsent(Failure::UpstreamReset), free(Reason::Reset, true)),
            (POST, unsent(Failure::UpstreamRefused), free(Reason::Reset, true)),
            (POST, unsent(Failure::UpstreamNotHttp2), free(Reason::Connect, false)),
            (GET, failed(Failure::UpstreamReset), paid(Reason::Reset, true)),
            (POST, failed(Failure::UpstreamReset), Verdict::Stop),
            (POST_SENT, failed(Failure::UpstreamReset), Verdict::Stop),
            (LARGE_PUT, failed(Failure::UpstreamReset), Verdict::Stop),
            (GET, begun(Failure::UpstreamReset), Verdict::Stop),
            (GET, failed(Failure::FirstByteTimeout), paid(Reason::Timeout, false)),
            (GET, failed(Failure::TryTimeout), paid(Reason::Timeout, false)),
            (GET, failed(Failure::StallTimeout), paid(Reason::Timeout, false)),
            (GET, begun(Failure::FirstByteTimeout), Verdict::Stop),
            (POST, failed(Failure::FirstByteTimeout), Verdict::Stop),
            (GET, failed(Failure::TotalTimeout), Verdict::Stop),
            (GET, unsent(Failure::ResourcesExhausted), Verdict::Stop),
            (GET, failed(Failure::ClientGone), Verdict::Stop),
            (GET, failed(Failure::BodyTimeout), Verdict::Stop),
            (GET, failed(Failure::TooManyInterims), Verdict::Stop),
            (GET, End::answered(503), paid(Reason::Status503, true)),
            (POST, End::answered(503), Verdict::Stop),
            (LARGE_PUT, End::answered(503), Verdict::Stop),
            (GET, End::answered(500), paid(Reason::Status500, true)),
            (GET, End::answered(501), Verdict::Stop),
            (GET, End::answered(200), Verdict::Stop),
        ] {
            assert_eq!(verdict(&policy(2, Reason::ALL), 1, request, end), expected, "{request:?} {end:?}");
            assert_eq!(verdict(&policy(2, Reason::ALL), 2, request, end), Verdict::Stop, "{request:?} {end:?} was the last try");
            assert_eq!(verdict(&policy(2, &[]), 1, request, end), Verdict::Stop, "{request:?} {end:?} is no reason");
        }
    }

    #[test]
    fn statuses_are_answers_unless_the_file_says_otherwise() {
        for status in [500, 502, 503, 504] {
            let end = End::answered(status);
            assert_eq!(verdict(&policy(2, &Reason::DEFAULT), 1, GET, end), Verdict::Stop, "{status}");
        }
    }
}
