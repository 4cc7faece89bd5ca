//! The configuration as meant: every default filled in, every reference checked, every unit a type.
//!
//! Made only by `config::load`; whoever holds a `Config` may rely on what the field docs promise.
//! It is compared field by field to tell what a reload changes, hence `PartialEq` everywhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: Server,
    /// In the order of the file; names are unique; at least one.
    pub listeners: Vec<Listener>,
    /// In the order of the file; names are unique.
    pub pools: Vec<Pool>,
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
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub name: String,
    /// At least one; no address stands in two listeners.
    pub addresses: Vec<SocketAddr>,
    /// Networks whose `X-Forwarded-*` we believe; empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    pub timeout: ListenTimeouts,
    pub limits: ListenLimits,
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
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pub name: String,
    pub algorithm: Algorithm,
    /// At least one; addresses are unique.
    pub backends: Vec<BackendSpec>,
    pub timeout: PoolTimeouts,
    /// Idle connections kept per backend, over all workers.
    pub idle_connections: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BackendSpec {
    pub address: SocketAddr,
    /// Relative share, 0 to 1,000,000; 0 takes no new requests.
    pub weight: u32,
}

/// The word after `algorithm =`. The registry in `balance` makes a balancer of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    RoundRobin,
    WeightedRoundRobin,
    P2c,
    LeastConnections,
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
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub access: AccessFormat,
    /// `None`: standard output.
    pub access_file: Option<PathBuf>,
    pub level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    Off,
    Json,
    Combined,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
