//! The keys of a cache, and of a route whose answers are kept in one.

use super::{Key, Kind, TIME, key};
use crate::config::model::StatusField;

pub(super) const CACHE: &[Key] = &[
    key(
        "memory",
        Kind::Size { min: 1 << 20, max: 1 << 44, unlimited: false },
        "What it may hold, keys, heads and all. A change keeps what fits.",
        "\"512MiB\"",
    )
    .or("256MiB"),
    key(
        "max_object",
        Kind::Size { min: 1 << 10, max: 1 << 40, unlimited: false },
        "Answers with a longer content pass by and are not kept. At most a quarter of `memory`. Left out: 16MiB, or that quarter.",
        "\"64MiB\"",
    ),
    key(
        "warm",
        Kind::Text,
        "A file of URLs that are asked for when the process has started, as if clients wanted them: one a line, or a sitemap; the first \
         100,000. What is no URL in it is left out. The next reload that changes something ends it. Relative to the directory of the \
         configuration.",
        "\"popular.txt\"",
    ),
    key(
        "warm_at_once",
        Kind::Number { min: 1, max: 1024, word: None },
        "How many of these, and of those in `hottest`, are under way at a time.",
        "32",
    )
    .or("8"),
    key(
        "hottest",
        Kind::Text,
        "A file that the process writes when it ends, with the URLs of the answers that were used most, and asks for when it starts; \
         `FILE.new` beside it is written first. Only the user of the process can read it. Relative to the directory of the configuration.",
        "\"/var/lib/tidegate/hottest.txt\"",
    ),
    key("hottest_urls", Kind::Number { min: 1, max: 100_000, word: None }, "How many URLs are written to `hottest`.", "200").or("1000"),
];

pub(super) const ROUTE_CACHE: &[Key] = &[
    key("use", Kind::Text, "Required. The cache, as `[cache.NAME]` calls it.", "\"main\""),
    key(
        "default_ttl",
        TIME,
        "How long an answer is fresh that does not say so itself. Left out: a tenth of the time since its `Last-Modified`, at most a day.",
        "\"10s\"",
    ),
    key(
        "default_ttl_by_status",
        Kind::Pairs,
        "The same for answers of these statuses, errors too, before `default_ttl`.",
        "{ 404 = \"5s\", 500-504 = \"1s\" }",
    ),
    key(
        "override_ttl",
        TIME,
        "How long an answer is fresh, whatever it says. Not even this keeps what is private, sets a cookie, or says `no-store`.",
        "\"1m\"",
    ),
    key("override_ttl_by_status", Kind::Pairs, "The same for answers of these statuses, before `override_ttl`.", "{ 301 = \"1h\" }"),
    key(
        "stale_while_revalidate",
        TIME,
        "How long an answer that does not say so itself is still used once it is stale, while it is fetched anew in the background.",
        "\"1m\"",
    ),
    key("stale_if_error", TIME, "How long such an answer is used when the origin fails.", "\"1h\""),
    key(
        "refresh_ahead",
        Kind::Flag,
        "Answers that are asked for often are fetched anew, in the background, shortly before they become stale; the sooner, the longer the \
         fetch takes.",
        "true",
    )
    .or("false"),
    key("ttl_jitter", Kind::Share, "Each answer is fresh for less time, by up to this share, so that they do not become stale together.", "\"10%\""),
    key(
        "set_cookie",
        Kind::Word(&["refuse", "strip"]),
        "Answers that set cookies. `refuse`: they are not kept. `strip`: they are kept, and sent, without the cookies.",
        "\"strip\"",
    )
    .or("refuse"),
    key(
        "ignore_query",
        Kind::Many(&Kind::Text),
        "Parameters of the query that make no difference: a name, or the beginning of names with `*` behind; `*` is all of them. The origin \
         still sees those of the request that it is asked for.",
        "[\"utm_*\", \"fbclid\"]",
    ),
    key("sort_query", Kind::Flag, "`?a=1&b=2` and `?b=2&a=1` are the same.", "true").or("false"),
    key(
        "vary_by",
        Kind::Many(&Kind::Text),
        "What else tells answers apart, whatever they say of it: `header:NAME` or `cookie:NAME`.",
        "[\"header:x-country\", \"cookie:beta\"]",
    ),
    key(
        "lock_age",
        TIME,
        "Requests for the same answer wait for the first of them. When that one has no answer after this time, the next one asks too.",
        "\"1s\"",
    )
    .or("5s"),
    key(
        "purge_from",
        Kind::Many(&Kind::Network),
        "Networks whose clients may take an answer out of the cache with the method `PURGE`. From others it is answered with 403; where \
         this is left out, with 405. It never goes on to a backend.",
        "[\"10.0.0.0/8\"]",
    ),
    key(
        "status_header",
        Kind::Word(StatusField::WORDS),
        "`Cache-Status` (RFC 9211) on answers: what the cache had, and why not. `key`: with the URL that they are kept under.",
        "\"off\"",
    )
    .or("on"),
];
