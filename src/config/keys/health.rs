//! The keys of a pool by which it finds out which of its backends are well.

use super::{Key, Kind, TIME, key};
use crate::config::model::{ProbeKind, Start};

pub(super) const HEALTH: &[Key] = &[
    key("path", Kind::Text, "The path, with a query if there is to be one, that is asked for.", "\"/healthz\"").or("/"),
    key(
        "kind",
        Kind::Word(ProbeKind::WORDS),
        "`http`: a request is answered as expected. `tcp`: a connection is made; keys about requests are then errors. `grpc`: the service of \
         `grpc.health.v1` says that it serves; needs `protocol = \"http2\"`.",
        "\"tcp\"",
    )
    .or("http"),
    key(
        "every",
        TIME,
        "From the end of one probe to the next, give or take a tenth. A fifth of it, but not under 500ms, while a backend is down or the last \
         probes do not agree with the verdict.",
        "\"2s\"",
    )
    .or("5s"),
    key("timeout", TIME, "For a probe, from the connect to the verdict.", "\"500ms\"").or("1s"),
    key("rise", Kind::Number { min: 1, max: 100, word: None }, "So many probes in a row must pass for a backend that is down to be up.", "3").or("2"),
    key("fall", Kind::Number { min: 1, max: 100, word: None }, "So many probes in a row must fail for a backend that is up to be down.", "2").or("3"),
    key(
        "expect",
        Kind::Many(&Kind::Text),
        "The status of a passed probe: one, a range, or a list of these.",
        "[\"200\", \"300-302\"]",
    )
    .or("200-399"),
    key("body", Kind::Text, "What the body must contain, within its first 64 KiB. Left out: anything will do.", "\"ready\""),
    key("method", Kind::Text, "The method of the request.", "\"HEAD\"").or("GET"),
    key("host", Kind::Text, "The `Host` of the request. Left out: the backend's address, or `localhost` where that is a Unix socket.", "\"app.example.com\""),
    key("service", Kind::Text, "Which service a `grpc` check asks about. Left out: the server as a whole.", "\"shop.Orders\""),
    key("headers", Kind::Pairs, "More header fields of the request.", "{ x-probe = \"1\" }"),
    key(
        "start",
        Kind::Word(Start::WORDS),
        "A backend that has never been probed. `wait`: takes no requests until its first probe has ended, and what that one found is the verdict; \
         if it ran out of time it found nothing, and the backend counts as up for now. A request that finds the whole pool so waits as \
         long. `up`: takes requests at once. `down`: takes none until `rise` probes in a row have passed.",
        "\"up\"",
    )
    .or("wait"),
];

pub(super) const EJECT: &[Key] = &[
    key("errors", Kind::Number { min: 1, max: 1000, word: Some("off") }, "So many errors in a row eject a backend; `off` ejects none.", "3").or("5"),
    key(
        "on",
        Kind::Many(&Kind::Text),
        "What is an error. `connect`: refused, failed or timed out. `reset`: the connection ended before or within an answer. `timeout`: no \
         first byte, or no further one, in time. `malformed`: not HTTP. A status such as `503`, or `5xx`: only if you say so, as an application \
         may have its reasons. Left out: the first four.",
        "[\"connect\", \"reset\", \"timeout\", \"5xx\"]",
    ),
    key(
        "base",
        TIME,
        "For how long. Twice as long the second time in a row, three times the third, ten times at most. A backend that then stays in for ten \
         times as long is forgiven.",
        "\"30s\"",
    )
    .or("10s"),
    key(
        "max",
        Kind::Share,
        "The most of a pool's backends that may be out by ejection at once: rounded down, but one where there are two or more. It limits \
         nothing that checks say or that is done by hand.",
        "\"30%\"",
    )
    .or("50%"),
];
