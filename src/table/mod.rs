//! What a request may read: routes, pools, what listeners grant. Built once per reload, never changed, replaced whole.
//!
//! What was learned comes from `State` by identity, whatever else changed: a reload is not an outage. What names stand for is learned
//! too: new addresses make a new table of the same configuration. A balancer keeps its turn
//! where its pool's algorithm and backends stayed the same.

pub mod build;
pub mod caching;
pub mod current;
pub mod state;
mod sticky;
mod token;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::ClientConfig;

pub use build::build;
pub use caching::Caching;
pub use current::Current;
pub use state::State;
pub use sticky::Sticky;

use crate::address::Address;
use crate::balance::{Balancer, Set};
use crate::config::model::{
    Algorithm, HashOn, HeaderEdits, Health, ListenLimits, ListenTimeouts, Protocol, ProxyVersion, Queue as QueueLimits, Retry,
};
use crate::failure::Failure;
use crate::message::{Crowd, Secure};
use crate::route::Router;
use crate::telemetry::{PoolSeries, RouteSeries, TurnedAway};
use crate::tls;
use crate::upstream::{Queue, Ward};

pub struct Table {
    /// Rises by one with every table.
    pub generation: u64,
    /// By position in the registry of addresses that listeners have; `None`: not in this configuration.
    pub listeners: Vec<Option<Arc<Listener>>>,
    pub routes: Vec<Arc<Route>>,
    pub pools: Vec<Arc<Pool>>,
}

pub struct Listener {
    pub name: Arc<str>,
    pub timeout: ListenTimeouts,
    pub limits: ListenLimits,
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: Arc<[IpNet]>,
    pub turned_away: Arc<TurnedAway>,
    /// How many connections one client address may have; `None`: as many as there are.
    pub crowd: Option<(Arc<Crowd>, NonZeroU32)>,
    /// Clients may speak HTTP/2.
    pub http2: bool,
    /// `None`: plain.
    pub tls: Option<ListenerTls>,
    /// Every request is sent to https at this port.
    pub redirect_https: Option<u16>,
    /// To positions in `Table::routes`.
    pub router: Router<usize>,
}

pub struct ListenerTls {
    /// What `secure` was made of.
    pub spec: tls::Server,
    pub secure: Secure,
    /// The value of `Strict-Transport-Security`.
    pub hsts: Option<String>,
}

pub struct Route {
    pub name: Arc<str>,
    pub action: Action,
    /// `None`: the listener's; `Some(None)`: unlimited.
    pub body_limit: Option<Option<u64>>,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    pub strip_prefix: Option<String>,
    /// `None`: its answers are not kept.
    pub cache: Option<Arc<Caching>>,
    pub series: Arc<RouteSeries>,
}

pub enum Action {
    Forward {
        /// Position in `Table::pools`.
        pool: usize,
        timeouts: Timeouts,
    },
    Redirect {
        to: String,
        status: u16,
    },
    Respond {
        status: u16,
        body: bytes::Bytes,
        content_type: String,
    },
}

/// TLS with the backends of a pool.
pub struct PoolTls {
    /// What the settings were made of.
    pub spec: tls::Client,
    pub config: Arc<ClientConfig>,
    pub peers: HashMap<Address, tls::Peer>,
}

impl PoolTls {
    /// For new connections; a backend that came after this table has no sessions in it.
    pub fn peer(&self, address: &Address) -> tls::Peer {
        match self.peers.get(address) {
            Some(peer) => peer.clone(),
            None => self.spec.peer(&self.config, address.ip().map(|address| address.ip())),
        }
    }
}

/// A pool's, with what the route puts in their place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub stall: Duration,
    pub tunnel: Duration,
    pub total: Option<Duration>,
}

pub struct Pool {
    pub name: Arc<str>,
    pub algorithm: Algorithm,
    pub set: Arc<Set>,
    pub balancer: Arc<dyn Balancer>,
    /// What of a request the balancer goes by; `None`: it does not hash.
    pub hash_on: Option<HashOn>,
    /// What is spoken with its backends.
    pub protocol: Protocol,
    /// `None`: plain.
    pub tls: Option<PoolTls>,
    /// `None`: every request is picked for.
    pub sticky: Option<Sticky>,
    /// What a request is told where none can be picked.
    pub nobody: Failure,
    /// Idle connections kept per backend, over all workers.
    pub idle_connections: usize,
    pub idle_timeout: Duration,
    pub retry: Retry,
    /// `None`: who finds no slot is refused at once.
    pub queue_limits: Option<QueueLimits>,
    /// Where requests wait for a slot. Whatever makes a backend eligible again has to `kick` it.
    pub queue: Arc<Queue>,
    /// How the backends are probed; `None`: not at all.
    pub health: Option<Arc<Health>>,
    pub ward: Arc<Ward>,
    /// Connections begin with a header that says whose they are; `None`: with the first request.
    pub send_proxy_protocol: Option<ProxyVersion>,
    pub series: Arc<PoolSeries>,
}
