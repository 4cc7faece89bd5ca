//! The keys of a pool: its backends, how one of them is picked, and how it is spoken to.

use super::health::{EJECT, HEALTH};
use super::overload::{QUEUE, RETRY};
use super::{Key, Kind, TIME, TIME_OR_NONE, key};
use crate::config::model::{Algorithm, Protocol, ProxyVersion, WhenAllDown};

pub(super) const POOL: &[Key] = &[
    key(
        "algorithm",
        Kind::Word(Algorithm::WORDS),
        "How a backend is picked. `round_robin`: equal turns, weights ignored. `weighted_round_robin`: turns by weight, smoothly. `random`: a \
         draw by weight. `p2c`: of two drawn at random, the one with fewer requests in flight for its weight. `least_connections`: of all, the \
         one with the fewest. `least_time`: of all, the one that would answer soonest by its average time to the first byte and its queue. \
         `peak_ewma`: of two drawn, the one that would, judged by an average that remembers peaks. `consistent_hash` (a ketama ring), \
         `maglev` and `rendezvous`: always the same one for the same `hash.on`. `ip_hash`: for the same client address. `first`: in order, \
         each until it is full.",
        "\"least_connections\"",
    )
    .or("p2c"),
    key(
        "backends",
        Kind::Entries(BACKEND),
        "Required. The servers: `\"address:port\"`, `\"unix:/path\"`, or a table where one has a weight, is a backup, or is found by a DNS name.",
        "[\"10.0.0.1:8080\", { address = \"10.0.0.2:8080\", weight = 3 }]",
    ),
    key(
        "hash",
        Kind::Table(HASH),
        "What decides under `consistent_hash`, `maglev` and `rendezvous`, and how far; under `ip_hash`, how far. The others ignore it.",
        "{ on = \"header:x-user\", bound = 1.25 }",
    ),
    key(
        "slow_start",
        TIME_OR_NONE,
        "How long a backend that joins a pool at work, or comes back, takes to its full share; it begins with a tenth of it. Under every \
         algorithm. Not when all backends of a pool are new.",
        "\"30s\"",
    )
    .or("none"),
    key(
        "protocol",
        Kind::Word(Protocol::WORDS),
        "What is spoken with the backends. `http2`: over TLS by ALPN, which has to agree on it; over plain sockets with prior knowledge. Many \
         requests at once share a connection; another one is opened where a backend takes no more on those that there are.",
        "\"http2\"",
    )
    .or("http1"),
    key(
        "sticky",
        Kind::Table(STICKY),
        "Sessions that stay on one backend, by a signed cookie. A client without one, or whose backend is out, is picked for, and gets one. \
         Backends do not see it. A backend of weight 0, or a drained one, keeps its sessions and gets no new ones.",
        "{ cookie = \"tidegate\", secret_file = \"sticky.key\" }",
    ),
    key("timeout", Kind::Table(POOL_TIMEOUT), "How long a backend may keep us waiting.", "{ first_byte = \"5s\" }"),
    key(
        "idle_connections",
        Kind::Number { min: 0, max: 65_536, word: None },
        "Idle connections kept per backend, over all workers; 0 opens one per request.",
        "64",
    )
    .or("256"),
    key(
        "health",
        Kind::Short(HEALTH),
        "Active checks: each backend is probed on a connection of its own, and gets no requests while it is down. `health = \"/healthz\"` is \
         short for a table with only that `path`. Left out: nothing is probed, every backend counts as up.",
        "{ path = \"/healthz\", every = \"2s\" }",
    ),
    key(
        "eject",
        Kind::Table(EJECT),
        "Passive ejection, **on by default**: a backend whose answers to real requests fail several times in a row is left out for a while, then \
         tried with one request. Never a lone backend, never the last one that is up. `{ errors = \"off\" }` turns it off.",
        "{ errors = 10, base = \"30s\" }",
    ),
    key(
        "when_all_down",
        Kind::Word(WhenAllDown::WORDS),
        "When every backend is down or ejected. `fail_open`: pick among them as if they were up, for the checks may be wrong. `fail`: answer \
         503. Either is logged once when it begins and once when it ends.",
        "\"fail\"",
    )
    .or("fail_open"),
    key(
        "send_proxy_protocol",
        Kind::Word(ProxyVersion::WORDS),
        "Each connection to a backend begins with a PROXY header of this version, which says whose it is: so it carries the requests of one \
         client connection only. Probes say that they are our own. Left out: no header.",
        "\"v2\"",
    ),
    key(
        "tls",
        Kind::Table(POOL_TLS),
        "TLS to the backends, health checks included: `{}` is enough. Their certificates are verified, always. Where that fails the client gets \
         502, and it counts as a failed connect.",
        "{ server_name = \"app.internal\", ca = \"ca.pem\" }",
    ),
    key(
        "retry",
        Kind::Table(RETRY),
        "Another try where one came to nothing: at another backend while there is one. Only requests that may be repeated are (idempotent \
         methods), unless no byte of the request was sent.",
        "{ tries = 3, on = [\"connect\", \"reset\", \"timeout\", \"503\"] }",
    ),
    key(
        "queue",
        Kind::Table(QUEUE),
        "Requests wait for a free slot while all backends have their `max_requests`. Left out: they are refused at once, with 503.",
        "{ max = 1000, wait = \"200ms\" }",
    ),
];

const POOL_TLS: &[Key] = &[
    key(
        "server_name",
        Kind::Text,
        "The name, or the IP address, that the backends' certificates have to be for; a name is also sent to them (SNI). Left out: the name \
         behind `dns`, else each backend's own address.",
        "\"app.internal\"",
    ),
    key(
        "ca",
        Kind::Text,
        "A file with the certificates of the authorities that are believed, watched as those of listeners are. Left out: those of the system.",
        "\"ca.pem\"",
    ),
    key("certificate", Kind::Text, "A file in PEM: our own certificate, for backends that ask for one. Watched, too.", "\"proxy.pem\""),
    key("key", Kind::Text, "A file in PEM with its private key. Left out: it is in the same file as the certificate.", "\"proxy.key\""),
];

const STICKY: &[Key] = &[
    key("cookie", Kind::Text, "The cookie's name.", "\"session_at\"").or("tidegate"),
    key(
        "secret_file",
        Kind::Text,
        "A file of 32 to 4096 bytes that signs the cookies, read again at each reload; relative to the directory of this file. Left out: a \
         random secret of the process, so that a restart forgets the sessions.",
        "\"sticky.key\"",
    ),
    key("max_age", TIME, "How long a browser keeps the cookie, from when it was set. Left out: until it is closed.", "\"8h\""),
];

const BACKEND: &[Key] = &[
    key(
        "address",
        Kind::Address,
        "IP address and port, or `unix:` and the path of a Unix socket. A backend has either this or `dns`.",
        "\"10.0.0.2:8080\"",
    ),
    key(
        "dns",
        Kind::Text,
        "A name and a port: every IPv4 and IPv6 address that the name resolves to is a backend. Or a service, `_http._tcp.app.internal`, \
         whose SRV records have ports and weights of their own, which `weight` multiplies. Looked up again when the records' time is over, \
         between 1 and 30 seconds; while that fails, the last addresses stay.",
        "\"app.internal:8080\"",
    ),
    key("weight", Kind::Number { min: 0, max: 1_000_000, word: None }, "Relative share of the requests; 0 takes no new ones.", "3").or("1"),
    key(
        "max_requests",
        Kind::Number { min: 0, max: 1_000_000, word: None },
        "At most so many requests in flight, over all workers; tunnels count for as long as they are open. 0 is no limit.",
        "200",
    )
    .or("0"),
    key("backup", Kind::Flag, "Used only when none of the others that are no backups can be.", "true").or("false"),
];

const HASH: &[Key] = &[
    key(
        "on",
        Kind::Text,
        "What of the request is hashed: `uri` (path and query as they came), `path`, `client_ip`, `header:NAME`, `cookie:NAME` or \
         `query:NAME`. A request without that header, cookie or parameter, or with an empty one, goes to any backend by weight.",
        "\"cookie:session\"",
    )
    .or("uri"),
    key(
        "bound",
        Kind::Decimal { min: 1.0, max: 100.0 },
        "A backend with more than this many times its share of the pool's requests in flight takes no more; they go to the next in their \
         key's order. Left out: no bound. To know the load, every backend of the pool is looked at for every request.",
        "1.25",
    ),
];

const POOL_TIMEOUT: &[Key] = &[
    key("connect", TIME, "For a connection to be made.", "\"500ms\"").or("1s"),
    key("first_byte", TIME, "From the end of the request's head to the first byte of the answer.", "\"5s\"").or("30s"),
    key("stall", TIME, "Without progress, in either direction, once a body is moving.", "\"1m\"").or("30s"),
    key("tunnel", TIME, "Without a byte in either direction in a WebSocket or another tunnel.", "\"10m\"").or("1h"),
    key("idle", TIME, "How long an idle connection to a backend is kept.", "\"30s\"").or("15s"),
    key("total", TIME_OR_NONE, "For the whole exchange, body included.", "\"5m\"").or("none"),
];
