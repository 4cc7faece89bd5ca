//! One lookup of one name.
//!
//! The resolver is made anew each time: it reads `/etc/resolv.conf` and `/etc/hosts`, and both may be edited while we run. It keeps no
//! cache; when to ask again is the schedule's affair. Without a file of hosts in the way (where `server.resolver` names the
//! servers, and for SRV records), only DNS is asked. A truncated answer is asked for again over TCP by the resolver itself.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::task::JoinSet;

use super::resolution::Found;
use crate::config::model::DnsName;

/// For one query, however many servers are asked. Each family of addresses has its own: silence about one does not hide the other.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// For one try at one server.
const TRY_TIMEOUT: Duration = Duration::from_millis(1400);
/// Targets of SRV records that are looked up at once.
const TARGETS_AT_ONCE: usize = 16;
/// Targets that are looked up at all.
const TARGETS_MAX: usize = 1000;
/// For the lines of a file of hosts, which have no time of their own: longer than any lookup waits.
const FOR_LONG: Duration = Duration::from_secs(3600);

/// What a lookup has found: something, if not all.
#[derive(Debug, Clone)]
pub struct Heard {
    pub found: Vec<Found>,
    /// How long it may be used.
    pub valid: Duration,
    /// Why a part of it is missing.
    pub missing: Option<Trouble>,
    /// Nothing was heard of these, so what was known of them holds.
    pub keep_ipv4: bool,
    pub keep_ipv6: bool,
}

impl Heard {
    pub fn is_whole(&self) -> bool {
        self.missing.is_none()
    }
}

/// Why a lookup found nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// NXDOMAIN.
    NoSuchName,
    /// The name is there, without what was asked for.
    NoAddress,
    Timeout,
    /// Anything else: an error of the server, of the network, of `/etc/resolv.conf`.
    Failed(Arc<str>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoSuchName => f.write_str("no such name"),
            Trouble::NoAddress => f.write_str("no address"),
            Trouble::Timeout => f.write_str("timed out"),
            Trouble::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl From<NetError> for Trouble {
    fn from(error: NetError) -> Trouble {
        match &error {
            NetError::Timeout => Trouble::Timeout,
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Trouble::NoSuchName,
                ResponseCode::NoError => Trouble::NoAddress,
                other => Trouble::Failed(other.to_string().into()),
            },
            other => Trouble::Failed(other.to_string().into()),
        }
    }
}

/// `servers`: empty for the system's. Cancel safe: a dropped call closes its sockets.
pub async fn lookup(name: &DnsName, servers: &[SocketAddr]) -> Result<Heard, Trouble> {
    let resolver = resolver(servers)?;
    match name {
        DnsName::Host { name, port } => {
            let name = parsed(name)?;
            let addresses = Addresses::of(&resolver, &name).await;
            addresses.heard(*port)
        }
        DnsName::Service(name) => service(&resolver, &parsed(name)?).await,
    }
}

/// Names that the configuration takes are names to the resolver, but for lengths that only it knows to count.
fn parsed(name: &str) -> Result<Name, Trouble> {
    Name::from_ascii(name).map_err(|error| Trouble::Failed(error.to_string().into()))
}

#[derive(Clone)]
struct Resolver {
    dns: TokioResolver,
    hosts: Arc<Hosts>,
}

impl Resolver {
    async fn query(&self, name: &Name, kind: RecordType) -> Result<Lookup, Trouble> {
        let answer = tokio::time::timeout(QUERY_TIMEOUT, self.dns.lookup(name.clone(), kind)).await;
        answer.map_err(|_| Trouble::Timeout)?.map_err(Trouble::from)
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<Resolver, Trouble> {
    let asking = |servers: &[SocketAddr]| {
        let config = ResolverConfig::from_name_servers(servers.iter().map(name_server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = match servers {
        // Without a usable file, the server on this machine is the system's (resolv.conf(5)).
        [] => TokioResolver::builder_tokio().unwrap_or_else(|_| asking(&[SocketAddr::from(([127, 0, 0, 1], 53))])),
        servers => asking(servers),
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = TRY_TIMEOUT.min(options.timeout);
    // The file of hosts is looked into first, and by ourselves: a name that is in it with one family is not asked for the other.
    options.use_hosts_file = ResolveHosts::Never;
    let hosts = if servers.is_empty() { Hosts::from_system().unwrap_or_default() } else { Hosts::default() };
    Ok(Resolver { dns: builder.build()?, hosts: Arc::new(hosts) })
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

/// The addresses of one host, each family heard of by itself.
struct Addresses {
    ipv4: Family,
    ipv6: Family,
}

type Family = Result<(Vec<IpAddr>, Duration), Trouble>;

impl Addresses {
    async fn of(resolver: &Resolver, name: &Name) -> Addresses {
        let written = [RecordType::A, RecordType::AAAA].map(|kind| resolver.hosts.lookup_static_host(&Query::query(name.clone(), kind)));
        if written.iter().any(Option::is_some) {
            let family = |lookup: Option<Lookup>| match lookup {
                Some(lookup) => Ok((addresses(&lookup), FOR_LONG)),
                None => Err(Trouble::NoAddress),
            };
            let [ipv4, ipv6] = written.map(family);
            return Addresses { ipv4, ipv6 };
        }
        let (ipv4, ipv6) = tokio::join!(resolver.query(name, RecordType::A), resolver.query(name, RecordType::AAAA));
        let family = |lookup: Result<Lookup, Trouble>| {
            let lookup = lookup?;
            match addresses(&lookup) {
                none if none.is_empty() => Err(Trouble::NoAddress),
                addresses => Ok((addresses, valid(&lookup))),
            }
        };
        Addresses { ipv4: family(ipv4), ipv6: family(ipv6) }
    }

    /// Only "it has no such address" is an answer for one family beside the other; that the name does not exist would contradict it.
    fn heard(self, port: u16) -> Result<Heard, Trouble> {
        let unheard = |family: &Family| family.as_ref().err().filter(|trouble| **trouble != Trouble::NoAddress).cloned();
        let missing = [unheard(&self.ipv4), unheard(&self.ipv6)];
        let mut heard = Heard {
            found: Vec::new(),
            valid: FOR_LONG,
            keep_ipv4: missing[0].is_some(),
            keep_ipv6: missing[1].is_some(),
            missing: missing.into_iter().flatten().next(),
        };
        for (addresses, valid) in [self.ipv4, self.ipv6].into_iter().flatten() {
            heard.found.extend(addresses.into_iter().map(|ip| Found { address: SocketAddr::new(ip, port), weight: 1 }));
            heard.valid = heard.valid.min(valid);
        }
        match heard.found.is_empty() {
            false => Ok(heard),
            true => Err(heard.missing.unwrap_or(Trouble::NoAddress)),
        }
    }
}

/// RFC 2782. Of several priorities, the most urgent is used: the others are what its clients should turn to when all of it is out.
async fn service(resolver: &Resolver, name: &Name) -> Result<Heard, Trouble> {
    let lookup = resolver.query(name, RecordType::SRV).await?;
    let records = lookup.answers().iter().filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None });
    // A target that is the root says that there is no such service here.
    let records: Vec<&SRV> = records.filter(|srv| srv.port > 0 && !srv.target.is_root()).collect();
    let urgent = records.iter().map(|srv| srv.priority).min().ok_or(Trouble::NoAddress)?;
    let records: Vec<SRV> = records.into_iter().filter(|srv| srv.priority == urgent).take(TARGETS_MAX).cloned().collect();
    // Weight 0 beside others is "hardly ever" (RFC 2782), and 0 in the file is "never": 1 is the nearest.
    let mut heard = Heard { found: Vec::new(), valid: valid(&lookup), missing: None, keep_ipv4: false, keep_ipv6: false };
    let mut targets = JoinSet::new();
    let mut waiting = records.into_iter();
    loop {
        while targets.len() < TARGETS_AT_ONCE
            && let Some(srv) = waiting.next()
        {
            let resolver = resolver.clone();
            targets.spawn(async move { (Addresses::of(&resolver, &srv.target).await.heard(srv.port), u32::from(srv.weight.max(1))) });
        }
        let Some(target) = targets.join_next().await else { break };
        match target.map_err(|error| Trouble::Failed(error.to_string().into()))? {
            (Ok(target), weight) => {
                heard.found.extend(target.found.iter().map(|found| Found { weight, ..*found }));
                heard.valid = heard.valid.min(target.valid);
                heard.keep_ipv4 |= target.keep_ipv4;
                heard.keep_ipv6 |= target.keep_ipv6;
                heard.missing = heard.missing.or(target.missing);
            }
            (Err(trouble), _) => {
                (heard.keep_ipv4, heard.keep_ipv6) = (true, true);
                heard.missing = heard.missing.or(Some(trouble));
            }
        }
    }
    match heard.found.is_empty() {
        false => Ok(heard),
        true => Err(heard.missing.unwrap_or(Trouble::NoAddress)),
    }
}

/// What can be connected to. A server that blocks names answers with the unspecified address.
fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    let each = lookup.answers().iter().filter_map(|record| record.data.ip_addr());
    each.filter(|ip| !ip.is_unspecified() && !ip.is_multicast()).collect()
}

/// The shortest time among the records, those of aliases included.
fn valid(lookup: &Lookup) -> Duration {
    let shortest = lookup.answers().iter().map(|record| record.ttl).min();
    Duration::from_secs(shortest.unwrap_or(0).into())
}
