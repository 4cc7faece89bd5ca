//! The keys of a pool for what fails once and for what is too much.

use super::{Key, Kind, TIME, TIME_OR_ZERO, key};
use crate::config::model::Reason;

pub(super) const RETRY: &[Key] = &[
    key(
        "tries",
        Kind::Number { min: 1, max: TRIES_MAX, word: None },
        "Attempts in all, the first one included; 1 makes no other.",
        "3",
    )
    .or("2"),
    key(
        "on",
        Kind::Many(&Kind::Word(Reason::WORDS)),
        "What makes another try: `connect` (no connection in time), `reset` (the connection ended before a byte of the answer), `timeout` \
         (`first_byte`, `try_timeout`, or `stall` while the request was sent), or an answer of that status. Left out: `connect`, `reset`, \
         `timeout`.",
        "[\"connect\", \"reset\", \"timeout\", \"502\", \"503\"]",
    ),
    key(
        "budget",
        Kind::Share,
        "Retries as a share of the requests of the last ten seconds, and ten a second besides; each worker has its own. Failed connects are \
         bounded by `tries` alone.",
        "\"10%\"",
    )
    .or("20%"),
    key(
        "try_timeout",
        TIME,
        "For one attempt, from the choice of the backend to the head of its answer. Holds only for requests that may be repeated; left out: \
         the timeouts of the pool alone.",
        "\"2s\"",
    ),
    key(
        "backoff",
        TIME_OR_ZERO,
        "Before a try that follows a reset or a status, a pause of between nothing and this; for each further one, of up to twice as much, at \
         most ten times. After a failed connect or a timeout the next backend is tried at once.",
        "\"50ms\"",
    )
    .or("25ms"),
];

/// What is more than this is a storm, whatever the budget.
const TRIES_MAX: i64 = 10;

pub(super) const QUEUE: &[Key] = &[
    key(
        "max",
        Kind::Number { min: 1, max: 1_000_000, word: None },
        "Requests that may wait, over all workers. More are refused with 503.",
        "100",
    )
    .or("1000"),
    key(
        "wait",
        TIME,
        "How long one may wait. Who would wait longer, by the pace at which slots come free now, is refused at once.",
        "\"1s\"",
    )
    .or("200ms"),
];
