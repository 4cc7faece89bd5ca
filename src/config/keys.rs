//! Every key there is: name, kind, default, meaning, example. The one table that the reader, the suggestions, the JSON Schema and
//! the reference share, so that none of them can know a key that the others do not.

use super::model::{AccessFormat, Algorithm, Level, ProbeKind, Protocol, ProxyVersion, Reason, Start, StatusField, WhenAllDown};

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

const LISTEN: &[Key] = &[
    key(
        "address",
        Kind::Many(&Kind::Address),
        "Required. IP address and port, or a list of them; `0.0.0.0` and `[::]` are all addresses of IPv4 and of IPv6. Or `unix:` and the \
         path of a Unix socket, whose clients count as 127.0.0.1.",
        "[\"0.0.0.0:8080\", \"[::]:8080\"]",
    ),
    key(
        "socket_mode",
        Kind::Text,
        "Who may connect to a Unix socket, as the mode of its file in octal. Left out: as the process makes files, by its umask.",
        "\"660\"",
    ),
    key(
        "trusted_proxies",
        Kind::Many(&Kind::Network),
        "Networks of the proxies in front whose `X-Forwarded-*` is believed. Left out: nobody's.",
        "[\"10.0.0.0/8\"]",
    ),
    key("timeout", Kind::Table(LISTEN_TIMEOUT), "How long a client may keep us waiting.", "{ header = \"5s\", idle = \"60s\" }"),
    key("limits", Kind::Table(LISTEN_LIMITS), "How much a client may send.", "{ body = \"10MiB\" }"),
    key("http2", Kind::Flag, "Whether clients may speak HTTP/2: with prior knowledge on a plain listener, by ALPN over TLS.", "false")
        .or("true"),
    key(
        "proxy_protocol",
        Kind::Many(&Kind::Network),
        "Networks of the load balancers in front that say by the PROXY protocol (version 1 or 2) whose connection they pass on: who connects \
         from there must begin with such a header, and it is believed. From others it is no request. Left out: nobody's.",
        "[\"10.0.0.0/8\"]",
    ),
    key(
        "tls",
        Kind::Table(LISTEN_TLS),
        "TLS from clients, 1.2 and 1.3; the only thing that is then spoken on the listener's addresses.",
        "{ certificates = [{ certificate = \"site.pem\", key = \"site.key\" }] }",
    ),
    key(
        "redirect_https",
        Kind::Number { min: 1, max: 65_535, word: None },
        "On a listener without `tls`: every request is sent to the same URL under https, at this port, with 308. Only those for \
         `/.well-known/acme-challenge/` still find their route, for certificates to be renewed.",
        "443",
    ),
];

const LISTEN_TLS: &[Key] = &[
    key(
        "certificates",
        Kind::Entries(CERTIFICATE),
        "Required. Clients are shown the one for the name that they ask for (SNI), an exact name before a wildcard; else the first. The files \
         are watched, and a renewed pair is taken without a reload; where one is broken, half-written or expired, the last good one stays. A \
         request for a host whose certificate another one is than the client was shown gets 421.",
        "[{ certificate = \"site.pem\", key = \"site.key\" }, { certificate = \"other.pem\", key = \"other.key\" }]",
    ),
    key(
        "client_ca",
        Kind::Text,
        "A file with the certificates of authorities: clients must show a certificate that one of them signed. Backends are told its subject \
         in `X-Client-Subject` (RFC 4514), which nobody else can send. Sessions are then not resumed, so that each connection is checked. The file is \
         watched as certificates are.",
        "\"clients.pem\"",
    ),
    key("min_version", Kind::Word(&["1.2", "1.3"]), "The oldest version of TLS that is spoken.", "\"1.3\"").or("1.2"),
    key(
        "hsts",
        TIME,
        "Browsers are told to use nothing but https for this host for so long (`Strict-Transport-Security`), where a backend does not say \
         so itself. Left out: they are not told. It can not be taken back: begin with a short time.",
        "\"8760h\"",
    ),
];

const CERTIFICATE: &[Key] = &[
    key(
        "certificate",
        Kind::Text,
        "A file in PEM: the certificate, then those that lead to its authority. Relative to the directory of this file, like all files.",
        "\"site.pem\"",
    ),
    key("key", Kind::Text, "A file in PEM with the private key. Left out: it is in the same file as the certificate.", "\"site.key\""),
];

const LISTEN_TIMEOUT: &[Key] = &[
    key(
        "header",
        TIME,
        "From accepting the connection, or from the first byte of a later request, to the end of the request's head.",
        "\"5s\"",
    )
    .or("10s"),
    key("body", TIME, "Without progress while a request's body is read.", "\"1m\"").or("30s"),
    key("idle", TIME, "Between two requests on a connection that is kept alive.", "\"2m\"").or("75s"),
    key("write", TIME, "Without progress while an answer is written.", "\"1m\"").or("30s"),
];

const LISTEN_LIMITS: &[Key] = &[
    key(
        "header_bytes",
        Kind::Size { min: 1 << 10, max: 1 << 20, unlimited: false },
        "A request's head: start line and header fields. Larger ones are answered with 431. At most 1MiB, as a head is held in memory whole.",
        "\"64KiB\"",
    )
    .or("32KiB"),
    key(
        "headers",
        Kind::Number { min: 1, max: 1000, word: None },
        "A request's header fields. More are answered with 431. At most 1000, as rules look at every field of every request.",
        "200",
    )
    .or("100"),
    key("body", BODY, "A request's body. Larger ones are answered with 413.", "\"1GiB\"").or("256MiB"),
    key(
        "connections",
        Kind::Number { min: 1, max: 1_000_000, word: None },
        "Connections open at once on this listener, over all its addresses and all workers, exactly; more wait in the kernel's queue.",
        "50000",
    )
    .or("10000"),
    key(
        "connections_per_address",
        Kind::Number { min: 0, max: 1_000_000, word: None },
        "Of these, how many one client address may have (of IPv6 one /64); more are closed at once. Where `proxy_protocol` says who the client \
         is, that address counts. Clients of Unix sockets do not. 0 is no limit of its own.",
        "100",
    )
    .or("0"),
    key(
        "body_rate",
        Kind::Size { min: 0, max: 1 << 30, unlimited: false },
        "What a client must send of a request's body in a second. Time in which we wait for it is owed, bytes pay it back at this rate, and who \
         owes as much as `timeout.body` gets 408: one byte now and then does not hold a request for ever. Time in which the backend is slow to \
         take is not counted. `0B` asks for nothing.",
        "\"1KiB\"",
    )
    .or("240B"),
];

const POOL: &[Key] = &[
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

const RETRY: &[Key] = &[
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
pub const TRIES_MAX: i64 = 10;

const QUEUE: &[Key] = &[
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

const HEALTH: &[Key] = &[
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

const EJECT: &[Key] = &[
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

const POOL_TIMEOUT: &[Key] = &[
    key("connect", TIME, "For a connection to be made.", "\"500ms\"").or("1s"),
    key("first_byte", TIME, "From the end of the request's head to the first byte of the answer.", "\"5s\"").or("30s"),
    key("stall", TIME, "Without progress, in either direction, once a body is moving.", "\"1m\"").or("30s"),
    key("tunnel", TIME, "Without a byte in either direction in a WebSocket or another tunnel.", "\"10m\"").or("1h"),
    key("idle", TIME, "How long an idle connection to a backend is kept.", "\"30s\"").or("15s"),
    key("total", TIME_OR_NONE, "For the whole exchange, body included.", "\"5m\"").or("none"),
];

const ROUTE: &[Key] = &[
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

const CACHE: &[Key] = &[
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
];

const ROUTE_CACHE: &[Key] = &[
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
