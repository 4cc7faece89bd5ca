//! The configuration as meant: every default filled in, every reference checked, every unit a type.
//!
//! Made only by `config::load`; whoever holds a `Config` may rely on what the field docs promise.
//! It is compared field by field to tell what a reload changes, hence `PartialEq` everywhere.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::ServerName;

use crate::tls;

use crate::address::Address;

/// A closed set of words: the enum, and the one place where each word stands.
macro_rules! words {
    ($( #[$doc:meta] )* $name:ident { $( $variant:ident = $word:literal, )+ }) => {
        $( #[$doc] )*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $variant, )+ }

        impl $name {
            /// Every word, in the order in which the reference lists them.
            pub const WORDS: &'static [&'static str] = &[$( $word, )+];
            pub const ALL: &'static [$name] = &[$( $name::$variant, )+];

            /// As the file has it.
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }

            /// `None`: not one of `WORDS`.
            pub fn of(word: &str) -> Option<$name> {
                match word { $( $word => Some($name::$variant), )+ _ => None }
            }
        }
    };
}

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: Server,
    /// In the order of the file; names are unique; at least one.
    pub listeners: Vec<Listener>,
    /// In the order of the file; names are unique.
    pub pools: Vec<Pool>,
    /// In the order of the file; names are unique.
    pub caches: Vec<Cache>,
    /// In the order of the file; at least one. No two are ambiguous (see `validate`).
    pub routes: Vec<Route>,
    /// `None`: no admin listener at all.
    pub admin: Option<Admin>,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// At least 1; `"auto"` is already resolved to the cores this process may use.
    pub workers: usize,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    /// Name servers to ask; empty: as the system is configured, `/etc/hosts` included.
    pub resolver: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub name: String,
    /// At least one; no address stands in two listeners.
    pub addresses: Vec<Address>,
    /// Of the files of Unix sockets among them; `None`: as the process makes files.
    pub socket_mode: Option<u32>,
    /// Networks whose `X-Forwarded-*` we believe; empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks from which every connection begins with a PROXY header; empty: none.
    pub proxy_protocol: Vec<IpNet>,
    /// Clients may speak HTTP/2.
    pub http2: bool,
    pub timeout: ListenTimeouts,
    pub limits: ListenLimits,
    /// `None`: plain.
    pub tls: Option<ListenTls>,
    /// Requests are sent to https at this port. Never with `tls`.
    pub redirect_https: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenTls {
    /// At least one; the first is the default.
    pub certificates: Vec<Certificate>,
    /// `None`: clients need no certificate.
    pub client_ca: Option<AuthoritiesFile>,
    pub min_version: tls::Oldest,
    /// `None`: browsers are not told to come by https only.
    pub hsts: Option<Duration>,
}

/// A certificate with its key: where they are, and what was there when the files were read last.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    pub files: PairFiles,
    pub pair: tls::Pair,
}

/// As the file has them; they may be one and the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AuthoritiesFile {
    pub file: PathBuf,
    pub authorities: tls::Authorities,
}

/// TLS to the backends of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolTls {
    /// `None`: each backend's own address.
    pub server_name: Option<ServerName<'static>>,
    /// Whose certificates are believed.
    pub authorities: tls::Authorities,
    /// Where they stand; `None`: they are the system's.
    pub ca: Option<PathBuf>,
    /// What is shown to backends that ask.
    pub certificate: Option<Certificate>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenTimeouts {
    /// From accept, or from the first byte of a request, to the end of its head.
    pub header: Duration,
    /// Without progress while a request body is read.
    pub body: Duration,
    /// Between two requests on a kept-alive connection.
    pub idle: Duration,
    /// Without progress while an answer is written.
    pub write: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenLimits {
    /// A request head's bytes, start line included.
    pub header_bytes: usize,
    /// A request's header fields.
    pub headers: usize,
    /// A request body's bytes; `None`: unlimited.
    pub body: Option<u64>,
    /// Connections open at once on this listener, over all workers.
    pub connections: usize,
    /// Of one client address; `None`: as many as `connections`.
    pub connections_per_address: Option<NonZeroU32>,
    /// Bytes of a request body a second; 0: however few.
    pub body_rate: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pub name: String,
    pub algorithm: Algorithm,
    /// What the hashing algorithms go by.
    pub hash: Hashing,
    /// How long a backend that joins or comes back takes to its full share; `None`: no time.
    pub slow_start: Option<Duration>,
    /// At least one; addresses and names are unique.
    pub backends: Vec<BackendSpec>,
    /// What is spoken with them.
    pub protocol: Protocol,
    /// `None`: plain.
    pub tls: Option<PoolTls>,
    /// `None`: sessions are not sticky.
    pub sticky: Option<Sticky>,
    pub timeout: PoolTimeouts,
    /// Idle connections kept per backend, over all workers.
    pub idle_connections: usize,
    pub retry: Retry,
    /// `None`: who finds no slot is refused at once.
    pub queue: Option<Queue>,
    /// `None`: not probed.
    pub health: Option<Health>,
    /// `None`: turned off.
    pub eject: Option<Eject>,
    pub when_all_down: WhenAllDown,
    /// Connections to its backends begin with a header of this version; `None`: with the first request.
    pub send_proxy_protocol: Option<ProxyVersion>,
}

/// How the backends of a pool are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub probe: Probe,
    /// From the end of one probe to the beginning of the next.
    pub every: Duration,
    pub timeout: Duration,
    /// At least 1.
    pub rise: u32,
    /// At least 1.
    pub fall: u32,
    pub start: Start,
    /// Of the pool: a probe speaks as requests do.
    pub protocol: Protocol,
    /// Of the pool: its backends expect a header from probes too.
    pub send_proxy_protocol: Option<ProxyVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is made.
    Tcp,
    /// A request is answered.
    Http {
        /// A token.
        method: String,
        /// In origin form, query included.
        path: String,
        /// `None`: the backend's address.
        host: Option<String>,
        headers: Vec<(String, String)>,
        /// Never empty.
        expect: Vec<Statuses>,
        /// What the first 64 KiB of the body must contain.
        body: Option<String>,
    },
    /// `grpc.health.v1.Health/Check` says that it serves.
    Grpc {
        /// Empty: the server as a whole.
        service: String,
        /// `None`: the backend's address.
        host: Option<String>,
    },
}

/// A range of statuses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    pub first: u16,
    pub last: u16,
}

impl Statuses {
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// When a backend that answers badly is left out, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eject {
    /// In a row; at least 1.
    pub errors: u32,
    pub base: Duration,
    /// 1 to 100.
    pub max_percent: u32,
    pub on: Faults,
}

/// What counts as an error of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    pub connect: bool,
    pub reset: bool,
    pub timeout: bool,
    pub malformed: bool,
    pub statuses: Vec<Statuses>,
}

words! {
    /// What a check does.
    ProbeKind {
        Http = "http",
        Tcp = "tcp",
        Grpc = "grpc",
    }
}

words! {
    /// What a pool's backends speak.
    Protocol {
        Http1 = "http1",
        Http2 = "http2",
    }
}

words! {
    /// Of the PROXY protocol: a line of text, or a binary header.
    ProxyVersion {
        V1 = "v1",
        V2 = "v2",
    }
}

words! {
    /// How a backend that nobody has probed yet begins.
    Start {
        Wait = "wait",
        Up = "up",
        Down = "down",
    }
}

words! {
    /// What becomes of requests when every backend of the pool is down or ejected.
    WhenAllDown {
        FailOpen = "fail_open",
        Fail = "fail",
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct BackendSpec {
    pub address: BackendAddress,
    /// Relative share, 0 to 1,000,000; 0 takes no new requests.
    pub weight: u32,
    /// At most so many requests in flight, over all workers; `None`: as many as come.
    pub max_requests: Option<NonZeroU32>,
    /// Used only when no other is there.
    pub backup: bool,
}

/// When a request is tried once more.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, 1 to 10.
    pub tries: usize,
    /// What makes another one; each reason once.
    pub on: Vec<Reason>,
    /// Retries as a share of the requests, in per cent.
    pub budget_percent: u32,
    /// For one attempt, up to the head of its answer; `None`: as long as the pool's timeouts allow.
    pub try_timeout: Option<Duration>,
    /// The longest pause before the first retry; zero: none before any.
    pub backoff: Duration,
}

words! {
    /// A word of `retry.on`: what makes another try.
    Reason {
        Connect = "connect",
        Reset = "reset",
        Timeout = "timeout",
        Status500 = "500",
        Status502 = "502",
        Status503 = "503",
        Status504 = "504",
    }
}

impl Reason {
    /// Where `retry.on` is left out. Statuses are not among them: they are answers, and only who runs the backends knows what they mean.
    pub const DEFAULT: [Reason; 3] = [Reason::Connect, Reason::Reset, Reason::Timeout];

    /// `None`: no status to make another try for.
    pub fn of_status(status: u16) -> Option<Reason> {
        match status {
            500 => Some(Reason::Status500),
            502 => Some(Reason::Status502),
            503 => Some(Reason::Status503),
            504 => Some(Reason::Status504),
            _ => None,
        }
    }
}

/// Waiting for a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queue {
    /// Requests that may wait, over all workers; at least 1.
    pub max: usize,
    /// How long one may wait.
    pub wait: Duration,
}

/// Where a backend is; or what knows where backends are, each of which is then as the entry says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    Fixed(Address),
    Dns(DnsName),
}

impl BackendAddress {
    /// `None`: known only while the process runs.
    pub fn fixed(&self) -> Option<&Address> {
        match self {
            BackendAddress::Fixed(address) => Some(address),
            BackendAddress::Dns(_) => None,
        }
    }
}

/// A name whose addresses are backends. In lower case; one that ends in a dot is taken as it is, another is also tried in the
/// system's search domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DnsName {
    /// `app.internal:8080`: every address of the name, at this port.
    Host { name: String, port: u16 },
    /// `_http._tcp.app.internal`: SRV records, which have ports and weights of their own (RFC 2782).
    Service(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sticky {
    /// The cookie's name: a token.
    pub cookie: String,
    /// `None`: a random one of the process.
    pub secret: Option<Secret>,
    /// At least a second; `None`: the browser's session.
    pub max_age: Option<Duration>,
}

/// What signs cookies: read from its file with the configuration, and never shown.
#[derive(Clone, PartialEq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes.into())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

words! {
    /// The word after `algorithm =`. The registry in `balance` makes a balancer of each.
    Algorithm {
        RoundRobin = "round_robin",
        WeightedRoundRobin = "weighted_round_robin",
        Random = "random",
        P2c = "p2c",
        LeastConnections = "least_connections",
        LeastTime = "least_time",
        PeakEwma = "peak_ewma",
        IpHash = "ip_hash",
        ConsistentHash = "consistent_hash",
        Maglev = "maglev",
        Rendezvous = "rendezvous",
        First = "first",
    }
}

impl Algorithm {
    /// Whether something of the request decides, and not chance or load.
    pub fn hashes(self) -> bool {
        matches!(self, Algorithm::IpHash | Algorithm::ConsistentHash | Algorithm::Maglev | Algorithm::Rendezvous)
    }

    /// Whether it goes by how long backends take to answer.
    pub fn measures(self) -> bool {
        matches!(self, Algorithm::LeastTime | Algorithm::PeakEwma)
    }

    /// Whether a weight above 1 means something to it.
    pub fn heeds_weights(self) -> bool {
        !matches!(self, Algorithm::RoundRobin | Algorithm::First)
    }
}

/// Points on the ring of `consistent_hash` for each unit of weight, and how many there may be: a point takes 8 bytes, so a pool's
/// ring is 32 MiB at most.
pub const RING_POINTS_PER_WEIGHT: u64 = 160;
pub const RING_POINTS_MAX: u64 = 1 << 22;

/// Slots in the table of `maglev`; prime, so that every step from slot to slot reaches all.
pub const MAGLEV_SLOTS: usize = 65_537;

#[derive(Debug, Clone, PartialEq)]
pub struct Hashing {
    pub on: HashOn,
    /// How many times its share of the load a backend may carry, 1 or more; `None`: any load.
    pub bound: Option<f64>,
}

/// What of a request the hashing algorithms hash; `ip_hash` always takes the client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// Path and query as they came.
    Uri,
    Path,
    ClientIp,
    /// A valid field name, in lower case.
    Header(String),
    Cookie(String),
    Query(String),
}

/// As the file has it.
impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashOn::Uri => f.write_str("uri"),
            HashOn::Path => f.write_str("path"),
            HashOn::ClientIp => f.write_str("client_ip"),
            HashOn::Header(name) => write!(f, "header:{name}"),
            HashOn::Cookie(name) => write!(f, "cookie:{name}"),
            HashOn::Query(name) => write!(f, "query:{name}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct PoolTimeouts {
    pub connect: Duration,
    /// From the end of the request head to the first byte of the answer.
    pub first_byte: Duration,
    /// Without progress, in either direction, once a body is moving.
    pub stall: Duration,
    /// Without a byte in either direction in a tunnel.
    pub tunnel: Duration,
    /// How long an idle upstream connection is kept.
    pub idle: Duration,
    /// The whole exchange; `None`: unlimited.
    pub total: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// For logs and metrics: the `name` key, or the first host and path as written, such as `example.com/api/*`.
    /// Unique.
    pub name: String,
    /// Names of listeners; empty: all of them.
    pub listeners: Vec<String>,
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// Never empty; a route without `path` has the prefix `/`.
    pub paths: Vec<PathPattern>,
    /// Upper case as in RFC 9110; empty: any method.
    pub methods: Vec<String>,
    /// All must hold; names are lower case.
    pub headers: Vec<(String, String)>,
    pub queries: Vec<(String, String)>,
    pub cookies: Vec<(String, String)>,
    pub priority: i32,
    pub action: Action,
    pub timeout: RouteTimeouts,
    /// `None`: the listener's; `Some(None)`: unlimited.
    pub body_limit: Option<Option<u64>>,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    /// Taken off the front of the path that is sent upstream, at a segment boundary; begins with `/`, never ends in one.
    pub strip_prefix: Option<String>,
    /// `None`: its answers are not kept.
    pub cache: Option<RouteCache>,
}

impl Route {
    /// How many predicates narrow it beyond host and path.
    pub fn predicates(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.queries.len() + self.cookies.len()
    }

    /// Where the route stands among all those that match a request, by the host and path patterns of its own that did:
    /// the greatest wins. `host`: `None` where the route has no hosts.
    pub fn specificity(&self, host: Option<&HostPattern>, path: &PathPattern) -> Specificity {
        let host = match host {
            None => HostRank::Any,
            Some(HostPattern::Wildcard(suffix)) => HostRank::Wildcard(suffix.len()),
            Some(HostPattern::Exact(_)) => HostRank::Exact,
        };
        let path = match path {
            PathPattern::Prefix(prefix) => PathRank::Prefix(prefix.len()),
            PathPattern::Exact(_) => PathRank::Exact,
        };
        Specificity { host, path, predicates: self.predicates(), priority: self.priority }
    }
}

/// The order of precedence; `validate` refuses routes that tie, and the index of routes sorts by it. Fields count from the first:
/// the host decides before the path, the path before the predicates, these before `priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Specificity {
    pub host: HostRank,
    pub path: PathRank,
    pub predicates: usize,
    pub priority: i32,
}

/// Of two wildcards that match one host, the longer is the closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRank {
    Any,
    Wildcard(usize),
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathRank {
    Prefix(usize),
    Exact,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    pub name: String,
    /// Bytes.
    pub memory: u64,
    /// Bytes of content; at most a quarter of `memory`.
    pub max_object: u64,
    /// The list of what is fetched at the start, so many at once.
    pub warm: Option<PathBuf>,
    pub warm_at_once: usize,
    /// Where the URLs of the most popular answers outlive the process, and how many.
    pub hottest: Option<PathBuf>,
    pub hottest_urls: usize,
}

/// A URL that is asked for without a client. The authority is in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUrl {
    pub secure: bool,
    pub authority: String,
    pub target: String,
}

impl fmt::Display for WarmUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.target)
    }
}

/// How a route uses a cache.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteCache {
    /// The name of a cache that exists.
    pub uses: String,
    pub default_ttl: Option<Duration>,
    pub override_ttl: Option<Duration>,
    pub default_ttl_by_status: Vec<(Statuses, Duration)>,
    pub override_ttl_by_status: Vec<(Statuses, Duration)>,
    /// Zero: only what answers say.
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    pub refresh_ahead: bool,
    pub ttl_jitter_percent: u32,
    pub strip_cookies: bool,
    /// Names, beginnings that end in `*`, or `*` alone.
    pub ignore_query: Vec<String>,
    pub sort_query: bool,
    pub vary_by: Vec<VaryBy>,
    pub lock_age: Duration,
    /// Whose `PURGE` is obeyed; empty: nobody's.
    pub purge_from: Vec<IpNet>,
    pub status_header: StatusField,
}

/// What tells answers apart beside the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaryBy {
    /// A valid field name, in lower case.
    Header(String),
    Cookie(String),
}

words! {
    /// What answers say of the cache.
    StatusField {
        On = "on",
        Key = "key",
        Off = "off",
    }
}

/// As the file has it.
impl fmt::Display for VaryBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VaryBy::Header(name) => write!(f, "header:{name}"),
            VaryBy::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// What a route puts in place of its pool's timeouts; `None`: the pool's. `total`: `Some(None)` is unlimited.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteTimeouts {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub stall: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub total: Option<Option<Duration>>,
}

/// Lower case, without port or trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com` is kept as `example.com`; one or more labels in front match, the bare name does not.
    Wildcard(String),
}

/// Normalised as `message::path` does it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    Exact(String),
    /// `/api/*` is kept as `/api` and matches `/api`, `/api/` and `/api/x`, not `/apix`; `/*` is kept as the empty string.
    Prefix(String),
}

/// As the file has it, but for the key of a name.
impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendAddress::Fixed(address) => address.fmt(f),
            BackendAddress::Dns(name) => write!(f, "dns {name}"),
        }
    }
}

/// As the file has it.
impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsName::Host { name, port } => write!(f, "{name}:{port}"),
            DnsName::Service(name) => f.write_str(name),
        }
    }
}

/// As the file has it.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// As the file has it.
impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// As the file has it.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Exact(path) => f.write_str(path),
            PathPattern::Prefix(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The name of a pool that exists.
    Pool(String),
    Redirect {
        /// As written; `{path}` and `{query}` are not expanded.
        to: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    Respond {
        /// 200 to 599.
        status: u16,
        body: String,
        content_type: String,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderEdits {
    /// Names as written (valid tokens), values checked for control bytes. Never a framing or hop-by-hop field.
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    pub address: SocketAddr,
    /// In lower case, without a final dot.
    pub hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub access: AccessFormat,
    /// `None`: standard output.
    pub access_file: Option<PathBuf>,
    pub level: Level,
}

words! {
    AccessFormat {
        Json = "json",
        Combined = "combined",
        Off = "off",
    }
}

words! {
    Level {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}
