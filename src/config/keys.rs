//! Every key there is: name, kind, default, meaning, example. The one table that the reader, the suggestions, the JSON Schema and
//! the reference share, so that none of them can know a key that the others do not.

mod cache;
mod health;
mod listen;
mod overload;
mod pool;
mod route;

use cache::CACHE;
use listen::LISTEN;
use pool::POOL;
use route::ROUTE;

use super::model::{AccessFormat, Level};

/// One key of one table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As the file would have it, without quotes; `None`: left out means absent (or, where the doc says so, an error).
    pub default: Option<&'static str>,
    /// One or two sentences. What it means, not what its name says already.
    pub doc: &'static str,
    /// The right-hand side as TOML.
    pub example: &'static str,
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    /// One of a closed set.
    Word(&'static [&'static str]),
    Duration {
        zero: bool,
        none: bool,
    },
    Size {
        min: u64,
        max: u64,
        unlimited: bool,
    },
    /// A whole number, or where there is one, the word.
    Number {
        min: i64,
        max: i64,
        word: Option<&'static str>,
    },
    /// A share in whole per cent.
    Share,
    /// A number that may have a fraction.
    Decimal {
        min: f64,
        max: f64,
    },
    /// `true` or `false`.
    Flag,
    Address,
    Network,
    /// One or a list of them.
    Many(&'static Kind),
    /// A list whose entries are either the value of the first key alone or a table.
    Entries(&'static [Key]),
    /// A table of strings whose keys are the writer's own.
    Pairs,
    Table(&'static [Key]),
    /// A table, or the value of its first key alone.
    Short(&'static [Key]),
    /// Tables with names: `[listen.NAME]`.
    Named(&'static [Key]),
    /// Tables in order: `[[route]]`.
    Repeated(&'static [Key]),
}

const fn key(name: &'static str, kind: Kind, doc: &'static str, example: &'static str) -> Key {
    Key { name, kind, default: None, doc, example }
}

impl Key {
    const fn or(mut self, default: &'static str) -> Key {
        self.default = Some(default);
        self
    }
}

const TIME: Kind = Kind::Duration { zero: false, none: false };
const TIME_OR_ZERO: Kind = Kind::Duration { zero: true, none: false };
const TIME_OR_NONE: Kind = Kind::Duration { zero: false, none: true };
const BODY: Kind = Kind::Size { min: 0, max: 1 << 50, unlimited: true };

/// The file as a whole.
pub const FILE: &[Key] = &[
    key("server", Kind::Table(SERVER), "The process.", "{ workers = 4 }"),
    key("listen", Kind::Named(LISTEN), "A listener: where connections come in. At least one.", ""),
    key("pool", Kind::Named(POOL), "A pool: backends that answer the same requests, and how one of them is picked.", ""),
    key(
        "route",
        Kind::Repeated(ROUTE),
        "A route: which requests go where. At least one. The most specific route wins, whatever the order in the file: exact host before \
         wildcard before none, exact path before longer prefix before shorter, more predicates before fewer; then `priority`.",
        "",
    ),
    key(
        "admin",
        Kind::Table(ADMIN),
        "Metrics, readiness and status. Without this table there is no admin listener.",
        "{ address = \"127.0.0.1:9900\" }",
    ),
    key("log", Kind::Table(LOG), "The access log and the proxy's own log.", "{ access = \"off\" }"),
    key("cache", Kind::Named(CACHE), "A response cache (RFC 9111). A route says with `cache` that its answers are kept there.", ""),
];

const SERVER: &[Key] = &[
    key(
        "workers",
        Kind::Number { min: 1, max: 1024, word: Some("auto") },
        "Threads that carry traffic; `auto` is one per core that the process may use. A change needs a restart.",
        "4",
    )
    .or("auto"),
    key(
        "drain_delay",
        TIME_OR_ZERO,
        "After SIGTERM, how long everything is still served while `/ready` says no, for load balancers in front to notice.",
        "\"5s\"",
    )
    .or("3s"),
    key("drain_timeout", TIME_OR_ZERO, "How long running requests may then take to finish before they are cut.", "\"1m\"").or("30s"),
    key(
        "resolver",
        Kind::Many(&Kind::Address),
        "Name servers for `dns` backends, port 53 where none is written. Left out: the system's, with `/etc/hosts` and its search domains, \
         read anew at each lookup.",
        "[\"10.0.0.53\", \"[fd00::53]:5353\"]",
    ),
];

const ADMIN: &[Key] = &[
    key(
        "address",
        Kind::Address,
        "Where it listens. It has no password: keep it on loopback or behind a firewall. A change needs a restart.",
        "\"127.0.0.1:9900\"",
    )
    .or("127.0.0.1:9900"),
    key(
        "hosts",
        Kind::Many(&Kind::Text),
        "Names that it may be asked by, beside addresses and `localhost`; any other `Host` is answered with 421, so that no web page \
         can reach it through a name of its own. A change needs a restart.",
        "[\"tidegate.monitoring.svc\"]",
    ),
];

const LOG: &[Key] = &[
    key("access", Kind::Word(AccessFormat::WORDS), "The format of the access log.", "\"combined\"").or("json"),
    key(
        "access_file",
        Kind::Text,
        "The file of the access log, reopened on SIGUSR1. Left out: standard output.",
        "\"/var/log/tidegate/access.log\"",
    ),
    key("level", Kind::Word(Level::WORDS), "How much the proxy says of itself, on standard error.", "\"debug\"").or("info"),
];

/// Calls `visit` for every key below `keys`, parents first; `place` is the dotted path of the table that holds it, such as `pool.NAME.timeout`.
pub fn walk(keys: &'static [Key], place: &str, visit: &mut dyn FnMut(&str, &'static Key)) {
    for key in keys {
        visit(place, key);
        let below = if place.is_empty() { key.name.to_owned() } else { format!("{place}.{}", key.name) };
        match key.kind {
            Kind::Table(keys) | Kind::Short(keys) | Kind::Repeated(keys) | Kind::Entries(keys) => walk(keys, &below, visit),
            Kind::Named(keys) => walk(keys, &format!("{below}.NAME"), visit),
            _ => {}
        }
    }
}

/// Where a key of this name is at home: "under `[log]`", "under `timeout` of `[pool.NAME]`", "at the top of the file". The first three.
pub fn homes(name: &str) -> Vec<String> {
    let mut homes = Vec::new();
    walk(FILE, "", &mut |place, key| {
        if key.name == name {
            homes.push(if place.is_empty() { "at the top of the file".to_owned() } else { format!("under {}", header(place)) });
        }
    });
    homes.truncate(3);
    homes
}

/// How a table is opened in a file.
pub fn header(place: &str) -> String {
    let mut parts = place.split('.');
    let (first, rest): (&str, Vec<&str>) = (parts.next().unwrap_or_default(), parts.collect());
    let (top, inner) = match FILE.iter().find(|key| key.name == first).map(|key| key.kind) {
        Some(Kind::Repeated(_)) => (format!("`[[{first}]]`"), rest.as_slice()),
        Some(Kind::Named(_)) if !rest.is_empty() => (format!("`[{first}.{}]`", rest[0]), &rest[1..]),
        _ => (format!("`[{first}]`"), rest.as_slice()),
    };
    if inner.is_empty() { top } else { format!("`{}` of {top}", inner.join(".")) }
}
