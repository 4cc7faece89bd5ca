//! The keys of a route: which requests it takes, and what becomes of them.

use super::cache::ROUTE_CACHE;
use super::{BODY, Key, Kind, TIME, TIME_OR_NONE, key};

pub(super) const ROUTE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "For logs and metrics; unique. Left out: the first host and path as written, such as `example.com/api/*`.",
        "\"api\"",
    ),
    key("listen", Kind::Many(&Kind::Text), "Names of listeners. Left out: all of them.", "\"web\""),
    key(
        "host",
        Kind::Many(&Kind::Text),
        "Host names without port; `*.example.com` stands for every name below `example.com`, not for itself. Left out: any host.",
        "[\"example.com\", \"*.example.com\"]",
    ),
    key(
        "path",
        Kind::Many(&Kind::Text),
        "An exact path, or a prefix that ends in `/*`: `/api/*` matches `/api`, `/api/` and `/api/x`, not `/apix`. Left out: any path.",
        "\"/api/*\"",
    ),
    key("method", Kind::Many(&Kind::Text), "Methods, in capitals. Left out: any.", "[\"GET\", \"HEAD\"]"),
    key("header", Kind::Pairs, "Header fields that must have these values. All must hold.", "{ x-team = \"a\" }"),
    key("query", Kind::Pairs, "Query parameters that must have these values. All must hold.", "{ v = \"2\" }"),
    key("cookie", Kind::Pairs, "Cookies that must have these values. All must hold.", "{ beta = \"1\" }"),
    key(
        "priority",
        Kind::Number { min: i32::MIN as i64, max: i32::MAX as i64, word: None },
        "Between routes that are equally specific, the higher wins.",
        "10",
    )
    .or("0"),
    key("pool", Kind::Text, "The pool that answers. A route has exactly one of `pool`, `redirect` and `respond`.", "\"app\""),
    key(
        "redirect",
        Kind::Table(REDIRECT),
        "An answer that sends the client elsewhere.",
        "{ to = \"https://example.com/new/\", status = 308 }",
    ),
    key("respond", Kind::Table(RESPOND), "A fixed answer.", "{ status = 503, body = \"back soon\" }"),
    key(
        "timeout",
        Kind::Table(ROUTE_TIMEOUT),
        "In place of the pool's: for long polls, event streams, uploads.",
        "{ first_byte = \"5m\" }",
    ),
    key("limits", Kind::Table(ROUTE_LIMITS), "In place of the listener's.", "{ body = \"2GiB\" }"),
    key(
        "request_headers",
        Kind::Table(EDITS),
        "Edits to the fields that the backend receives.",
        "{ set = { x-team = \"a\" }, remove = [\"x-debug\"] }",
    ),
    key(
        "response_headers",
        Kind::Table(EDITS),
        "Edits to the fields that the client receives.",
        "{ set = { x-content-type-options = \"nosniff\" } }",
    ),
    key("rewrite", Kind::Table(REWRITE), "Edits to the path that the backend receives.", "{ strip_prefix = \"/api\" }"),
    key(
        "cache",
        Kind::Short(ROUTE_CACHE),
        "The answers of this route are kept, as they themselves allow, and used again. `cache = \"main\"` is short for a table with only `use`.",
        "{ use = \"main\", default_ttl = \"10s\" }",
    ),
];

const REDIRECT: &[Key] = &[
    key(
        "to",
        Kind::Text,
        "Required. An absolute `http://` or `https://` URL, or a path that begins with `/`; sent as it is written.",
        "\"https://example.com/new/\"",
    ),
    key(
        "status",
        Kind::Number { min: 301, max: 308, word: None },
        "301, 302, 303, 307 or 308. 301 and 308 are kept by browsers for good, which is why neither is the default.",
        "308",
    )
    .or("307"),
];

const RESPOND: &[Key] = &[
    key("status", Kind::Number { min: 200, max: 599, word: None }, "The status code.", "503").or("200"),
    key("body", Kind::Text, "The body, as it is written.", "\"back soon\\n\"").or(""),
    key("content_type", Kind::Text, "The type of the body.", "\"application/json\"").or("text/plain; charset=utf-8"),
];

const ROUTE_TIMEOUT: &[Key] = &[
    key("connect", TIME, "For a connection to be made.", "\"500ms\""),
    key("first_byte", TIME, "From the end of the request's head to the first byte of the answer.", "\"5m\""),
    key("stall", TIME, "Without progress, in either direction, once a body is moving.", "\"5m\""),
    key("tunnel", TIME, "Without a byte in either direction in a WebSocket or another tunnel.", "\"24h\""),
    key("total", TIME_OR_NONE, "For the whole exchange, body included.", "\"10s\""),
];

const ROUTE_LIMITS: &[Key] = &[key("body", BODY, "A request's body. Larger ones are answered with 413.", "\"2GiB\"")];

const EDITS: &[Key] = &[
    key("set", Kind::Pairs, "One field of this name and value in place of all of that name.", "{ x-team = \"a\" }"),
    key("add", Kind::Pairs, "One field more, behind those of the same name.", "{ vary = \"x-team\" }"),
    key("remove", Kind::Many(&Kind::Text), "No field of these names.", "[\"x-debug\"]"),
];

const REWRITE: &[Key] = &[key(
    "strip_prefix",
    Kind::Text,
    "Taken off the front of the path, at a segment boundary: with `/api`, the backend sees `/x` for `/api/x`.",
    "\"/api\"",
)];
