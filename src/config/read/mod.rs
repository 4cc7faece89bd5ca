//! From the file as written to the configuration as meant: table by table, every key once, defaults put in.
//!
//! What one table can know of itself is checked here; what takes two tables (a pool that does not exist, an address twice) is left
//! to `validate`, which is why the places of such things are handed on beside the configuration.

mod cache;
mod health;
mod overload;
mod route;
mod tls;

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::file::{Named, Section, Written};
use super::model::{
    AccessFormat, Admin, Algorithm, BackendAddress, BackendSpec, Config, Hashing, Level, ListenLimits, ListenTimeouts, Listener, Log, Pool,
    PoolTimeouts, Protocol, ProxyVersion, Secret, Server, Sticky, WhenAllDown,
};
use super::report::{Problem, Span};
use super::value::{self, Mistake};
use crate::address::Address;
use crate::message::fields::is_token;

/// Where things stand in the text, index for index as in the `Config` they belong to.
#[derive(Debug)]
pub(super) struct Places {
    pub listeners: Vec<ListenerPlaces>,
    pub pools: Vec<PoolPlaces>,
    pub caches: Vec<Span>,
    pub routes: Vec<RoutePlaces>,
    pub admin: Option<Span>,
}

#[derive(Debug)]
pub(super) struct ListenerPlaces {
    pub name: Span,
    pub addresses: Vec<Span>,
}

#[derive(Debug)]
pub(super) struct PoolPlaces {
    pub name: Span,
    pub algorithm: Option<Span>,
    /// The key `hash`, and in it the value of `on`.
    pub hash: Option<Span>,
    pub hash_on: Option<Span>,
    pub backends: Vec<BackendPlaces>,
    pub queue: Option<Span>,
}

#[derive(Debug)]
pub(super) struct BackendPlaces {
    pub address: Span,
    pub weight: Option<Span>,
}

#[derive(Debug)]
pub(super) struct RoutePlaces {
    pub head: Span,
    /// The `name` key; `None`: the name was made up.
    pub name: Option<Span>,
    pub listeners: Vec<Span>,
    pub pool: Option<Span>,
    pub strip_prefix: Option<Span>,
    /// Where it names its cache.
    pub cache: Option<Span>,
    /// Read without a mistake: only such a route can be compared with others.
    pub sound: bool,
}

/// Reads the whole file. Mistakes are noted in the file; where there are any, the configuration is full of stand-ins.
pub(super) fn read(file: &Section<'_>) -> (Config, Places) {
    let (listeners, listener_places) = file.named("listen").into_iter().map(listener).unzip();
    let (pools, pool_places) = file.named("pool").into_iter().map(pool).unzip();
    let (caches, cache_places) = file.named("cache").into_iter().map(cache::cache).unzip();
    let (routes, route_places): (Vec<_>, Vec<_>) = file.repeated("route").iter().map(route::read).unzip();
    let (admin, admin_place) = admin(&file.table("admin", "")).unzip();
    let (server, log) = (server(&file.table("server", "")), log(&file.table("log", "")));
    let config = Config { server, listeners, pools, caches, routes, admin, log };
    let places = Places { listeners: listener_places, pools: pool_places, caches: cache_places, routes: route_places, admin: admin_place };
    (config, places)
}

fn server(section: &Section<'_>) -> Server {
    let workers = match section.number_or_word("workers") {
        Some(workers) => workers.value as usize,
        None => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(1024)),
    };
    Server {
        workers,
        drain_delay: section.duration("drain_delay"),
        drain_timeout: section.duration("drain_timeout"),
        resolver: split(section.many("resolver", value::name_server)).0,
    }
}

fn listener(Named { name, section }: Named<'_>) -> (Listener, ListenerPlaces) {
    let place = format!("listen.{}", name.value);
    let addresses = section.many("address", value::any_address);
    if section.key_span("address").is_none() {
        let problem = Problem::error(name.span.clone(), format!("listener `{}` has no `address`", name.value));
        section.note(problem.help("write where it listens: `address = \"0.0.0.0:8080\"`"));
    }
    let (addresses, address_places) = split(addresses);
    let timeout = section.table("timeout", &place);
    let limits = section.table("limits", &place);
    let listener = Listener {
        name: name.value,
        socket_mode: socket_mode(&section, &addresses),
        addresses,
        trusted_proxies: networks(
            &section,
            "trusted_proxies",
            "any client can then claim any address with X-Forwarded-For; name the networks of your proxies",
        ),
        proxy_protocol: networks(
            &section,
            "proxy_protocol",
            "whoever reaches the listener can then claim any address; name the networks of your load balancers",
        ),
        http2: section.flag("http2"),
        timeout: ListenTimeouts {
            header: timeout.duration("header"),
            body: timeout.duration("body"),
            idle: timeout.duration("idle"),
            write: timeout.duration("write"),
        },
        limits: ListenLimits {
            header_bytes: limits.size("header_bytes") as usize,
            headers: limits.number("headers").value as usize,
            body: limits.size_or_unlimited("body"),
            connections: limits.number("connections").value as usize,
            // The table of keys bounds both.
            connections_per_address: NonZeroU32::new(limits.number("connections_per_address").value as u32),
            body_rate: limits.size("body_rate") as u32,
        },
        tls: tls::listener(&section.table("tls", &place), &place),
        redirect_https: tls::redirect(&section),
    };
    (listener, ListenerPlaces { name: name.span, addresses: address_places })
}

fn socket_mode(section: &Section<'_>, addresses: &[Address]) -> Option<u32> {
    let mode = section.parsed("socket_mode", value::mode)?;
    if addresses.iter().all(|address| address.ip().is_some()) {
        let problem = Problem::warning(mode.span, "`socket_mode` has no effect: no `address` is a Unix socket");
        section.note(problem.help("take it out, or listen on one: `address = \"unix:/run/tidegate.sock\"`"));
    }
    Some(mode.value)
}

/// Networks that are believed; `danger`: what it means to believe everybody.
fn networks(section: &Section<'_>, name: &str, danger: &str) -> Vec<ipnet::IpNet> {
    let networks = section.many(name, value::network);
    for network in &networks {
        let (net, meant) = (network.value, network.value.trunc());
        if net.prefix_len() == 0 {
            let problem = Problem::warning(network.span.clone(), format!("`{net}` trusts everybody"));
            section.note(problem.help(danger));
        } else if net != meant {
            let problem = Problem::warning(network.span.clone(), format!("`{net}` has bits beyond its {}", net.prefix_len()));
            section.note(problem.help(format!("it is read as \"{meant}\"")));
        }
    }
    networks.into_iter().map(|network| network.value.trunc()).collect()
}

fn pool(Named { name, section }: Named<'_>) -> (Pool, PoolPlaces) {
    let place = format!("pool.{}", name.value);
    let backends = backends(&section, &place);
    let none = match section.key_span("backends") {
        None => Some(name.span.clone()),
        Some(span) => section.is_empty_list("backends").then_some(span),
    };
    if let Some(span) = none {
        let problem = Problem::error(span, format!("pool `{}` has no backends", name.value));
        section.note(problem.help("write at least one: `backends = [\"10.0.0.1:8080\"]`"));
    }
    let (backends, backend_places): (Vec<_>, _) = backends.into_iter().unzip();
    let protocol = section.word("protocol", Protocol::of);
    let timeout = section.table("timeout", &place);
    let hash = section.table("hash", &place);
    let send_proxy_protocol = section.word_if_any("send_proxy_protocol", ProxyVersion::of);
    if let (Protocol::Http2, Some(span)) = (protocol, section.key_span("send_proxy_protocol")) {
        let problem = Problem::error(span, "connections of HTTP/2 are shared by clients, so they cannot begin with the address of one");
        section.note(problem.help("take it out, or write `protocol = \"http1\"`: X-Forwarded-For names the client either way"));
    }
    let pool = Pool {
        name: name.value,
        algorithm: section.word("algorithm", Algorithm::of),
        protocol,
        tls: tls::pool(&section.table("tls", &place), &backends),
        hash: Hashing { on: hash.parsed_or_default("on", value::hash_on), bound: hash.decimal("bound") },
        slow_start: section.duration_or_none("slow_start"),
        backends,
        timeout: PoolTimeouts {
            connect: timeout.duration("connect"),
            first_byte: timeout.duration("first_byte"),
            stall: timeout.duration("stall"),
            tunnel: timeout.duration("tunnel"),
            idle: timeout.duration("idle"),
            total: timeout.duration_or_none("total"),
        },
        sticky: sticky(&section.table("sticky", &place)),
        idle_connections: section.number("idle_connections").value as usize,
        retry: overload::retry(&section, &place),
        queue: overload::queue(&section, &place),
        health: health::health(&section, &place, protocol, send_proxy_protocol),
        eject: health::eject(&section.table("eject", &place)),
        when_all_down: section.word("when_all_down", WhenAllDown::of),
        send_proxy_protocol,
    };
    let places = PoolPlaces {
        name: name.span,
        algorithm: section.key_span("algorithm"),
        hash: section.key_span("hash"),
        hash_on: hash.value_span("on"),
        backends: backend_places,
        queue: section.key_span("queue"),
    };
    (pool, places)
}

/// A secret shorter than the hash that it keys is easier to guess than what it signs.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;

fn sticky(section: &Section<'_>) -> Option<Sticky> {
    let cookie = section.text_or_default("cookie");
    if !is_token(cookie.as_bytes()) {
        let place = section.value_span("cookie").unwrap_or_else(|| section.span.clone());
        let problem = Problem::error(place, format!("`{}` cannot be the name of a cookie", cookie.escape_debug()));
        section.note(problem.help("letters, digits, `-` and `_`"));
    }
    let secret = section.bytes("secret_file").and_then(|secret| {
        let len = secret.value.len();
        let fits = match SECRET_BYTES.contains(&len) {
            true => Ok(Secret::new(secret.value)),
            false => Err(Mistake::new(format!("the file of `secret_file` has {len} bytes"))
                .help("a secret has 32 to 4096: `head -c 32 /dev/urandom > sticky.key` makes one")),
        };
        section.check(&secret.span, fits)
    });
    let max_age = section.duration_override("max_age").flatten();
    section.is_present().then_some(Sticky { cookie, secret, max_age })
}

fn backends(section: &Section<'_>, place: &str) -> Vec<(BackendSpec, BackendPlaces)> {
    let with_port = |address: &Written<Address>| {
        let usable = match address.value {
            Address::Ip(address) if address.port() == 0 => {
                Err(Mistake::new("a backend cannot have port 0").help("write the port that it listens on"))
            }
            Address::Ip(address) if address.ip().is_unspecified() => {
                let message = format!("`{}` is every address of a machine, not one to connect to", address.ip());
                Err(Mistake::new(message).help(format!("for this machine, write \"127.0.0.1:{}\"", address.port())))
            }
            _ => Ok(()),
        };
        section.check(&address.span, usable).is_some()
    };
    let short = |text: Written<String>| {
        let value = section.check(&text.span, value::backend_address(&text.value))?;
        let address = Written { value, span: text.span };
        with_port(&address).then(|| backend(BackendAddress::Fixed(address.value), address.span, None))
    };
    let long = |entry: Section<'_>| {
        let weight = entry.number("weight");
        let weight = entry.key_span("weight").map(|_| weight);
        // The table of keys bounds it to a million.
        let max_requests = NonZeroU32::new(entry.number("max_requests").value as u32);
        let backup = entry.flag("backup");
        let more = |(spec, places): (BackendSpec, BackendPlaces)| (BackendSpec { max_requests, backup, ..spec }, places);
        match (entry.key_span("address"), entry.key_span("dns")) {
            (Some(_), None) => {
                let address = entry.parsed("address", value::backend_address).filter(with_port)?;
                Some(more(backend(BackendAddress::Fixed(address.value), address.span, weight)))
            }
            (None, Some(_)) => {
                let name = entry.parsed("dns", value::dns_name)?;
                Some(more(backend(BackendAddress::Dns(name.value), name.span, weight)))
            }
            (Some(address), Some(dns)) => {
                let problem = Problem::error(dns, "a backend has either an `address` or a `dns` name").also(address, "it has this already");
                section.note(problem.help("make two entries of it, or take one out"));
                None
            }
            (None, None) => {
                let problem = Problem::error(entry.span.clone(), "a backend has no `address`");
                section.note(problem.help("write `{ address = \"10.0.0.1:8080\" }` or `{ dns = \"app.internal:8080\" }`"));
                None
            }
        }
    };
    section.entries("backends", place, short, long)
}

fn backend(address: BackendAddress, place: Span, weight: Option<Written<i64>>) -> (BackendSpec, BackendPlaces) {
    let places = BackendPlaces { address: place, weight: weight.as_ref().map(|weight| weight.span.clone()) };
    // The table of keys bounds a weight to a million.
    let weight = weight.map_or(1, |weight| weight.value as u32);
    (BackendSpec { address, weight, max_requests: None, backup: false }, places)
}

fn admin(section: &Section<'_>) -> Option<(Admin, Span)> {
    let address = section.address_or_default("address");
    if !section.is_present() {
        return None;
    }
    let place = section.value_span("address").unwrap_or_else(|| section.span.clone());
    if !address.ip().is_loopback() {
        let problem = Problem::warning(place.clone(), format!("the admin listener on {address} can be reached from other machines"));
        section.note(problem.help("it has no password; \"127.0.0.1:9900\" keeps it to this machine"));
    }
    let hosts = section.many("hosts", value::name_of_host).into_iter().map(|host| host.value).collect();
    Some((Admin { address, hosts }, place))
}

fn log(section: &Section<'_>) -> Log {
    let access = section.word("access", AccessFormat::of);
    let file = section.parsed("access_file", |path| match path {
        "" => Err(Mistake::new("the path of the access log is empty").help("leave `access_file` out for standard output")),
        path => Ok(PathBuf::from(path)),
    });
    if let Some(file) = &file
        && access == AccessFormat::Off
    {
        section.note(Problem::warning(file.span.clone(), "`access_file` has no effect while `access` is \"off\""));
    }
    Log { access, access_file: file.map(|file| file.value), level: section.word("level", Level::of) }
}

/// Values apart from their places, index for index.
fn split<T>(written: Vec<Written<T>>) -> (Vec<T>, Vec<Span>) {
    written.into_iter().map(|written| (written.value, written.span)).unzip()
}
