//! Configuration and state to table. It can not fail: what could be wrong was refused when the text was read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Action, Caching, Listener, ListenerTls, Pool, PoolTls, Route, State, Sticky, Table, Timeouts};
use crate::address::Address;
use crate::backend::{Backend, Start};
use crate::balance::{self, Member, Set};
use crate::config::model::{self, Algorithm, BackendAddress, BackendSpec, Config, HashOn, Protocol};
use crate::failure::Failure;
use crate::message::Secure;
use crate::route::{Router, Rule};
use crate::tls;
use crate::upstream::{Rules, Ward};

/// A first probe waits for its turn among many; a request that waits for its verdict allows for that.
const PROBES_LATE: Duration = Duration::from_millis(500);

/// `before`: the table in force, whose balancers are kept where nothing that they see has changed.
pub fn build(config: &Config, state: &State, before: Option<&Table>) -> Table {
    state.caches(&config.caches);
    let pools: Vec<Arc<Pool>> = config.pools.iter().map(|pool| Arc::new(build_pool(pool, state, before))).collect();
    let position: HashMap<&str, usize> = config.pools.iter().enumerate().map(|(at, pool)| (pool.name.as_str(), at)).collect();
    let routes: Vec<Arc<Route>> = config
        .routes
        .iter()
        .map(|route| {
            Arc::new(Route {
                name: route.name.as_str().into(),
                action: build_action(route, config, &position),
                body_limit: route.body_limit,
                request_headers: route.request_headers.clone(),
                response_headers: route.response_headers.clone(),
                strip_prefix: route.strip_prefix.clone(),
                cache: route.cache.as_ref().and_then(|cache| Caching::of(cache, route, state)).map(Arc::new),
                series: state.registry.route(&route.name),
            })
        })
        .collect();
    spell(&routes, state);
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let built = Arc::new(build_listener(listener, config, state, before));
        for address in &listener.addresses {
            let at = state.seat(&listener.name, address);
            if listeners.len() <= at {
                listeners.resize_with(at + 1, || None);
            }
            listeners[at] = Some(built.clone());
        }
    }
    state.forget_the_gone();
    Table { generation: before.map_or(1, |table| table.generation + 1), listeners, routes, pools }
}

/// Tells each cache in which spellings its routes look for a URL.
fn spell(routes: &[Arc<Route>], state: &State) {
    for cache in state.each_cache() {
        let of_cache = routes.iter().filter_map(|route| route.cache.as_ref()).filter(|caching| Arc::ptr_eq(&caching.cache, &cache));
        cache.spell(of_cache.map(|caching| caching.recipe.spelling.clone()));
    }
}

fn build_pool(pool: &model::Pool, state: &State, before: Option<&Table>) -> Pool {
    let present = present(pool, state);
    let member = |(address, spec): &(Address, BackendSpec)| {
        let backend = state.backend(&pool.name, address);
        let weight = backend.weight_by_hand().unwrap_or(spec.weight);
        Member { weight, max_requests: spec.max_requests, backup: spec.backup, backend }
    };
    let set = Set { members: present.iter().map(member).collect(), slow_start: pool.slow_start, bound: pool.hash.bound };
    set.members.iter().for_each(|member| check(&member.backend, pool.health.as_ref()));
    let waits = pool.backends.iter().all(|spec| spec.weight == 0 || is_unresolved(&pool.name, spec, state));
    let old = before.and_then(|table| table.pools.iter().find(|old| *old.name == *pool.name));
    if let Some(old) = old {
        ramp_up(&old.set, &set);
    }
    let same = old.filter(|old| old.algorithm == pool.algorithm && *old.set == set);
    let balancer = match same {
        Some(old) => old.balancer.clone(),
        None => balance::of(pool.algorithm, &set),
    };
    let sticky = pool.sticky.as_ref().map(|spec| {
        let secret = spec.secret.as_ref().map_or_else(|| state.secret(), |secret| secret.bytes());
        Sticky::of(spec, secret, &pool.name, &set)
    });
    let (name, set): (Arc<str>, _) = (pool.name.as_str().into(), Arc::new(set));
    let queue = state.queue(&pool.name);
    // Who waits there gets slots of this set from now on: of backends that were added, up to limits that were raised.
    queue.adopt(set.clone(), balancer.clone());
    let patience = pool.health.as_ref().map_or(Duration::ZERO, |health| health.timeout + PROBES_LATE);
    let rules = Rules { eject: pool.eject.clone(), when_all_down: pool.when_all_down, patience };
    let ward = Ward::new(name.clone(), set.clone(), rules, state.rounds(&pool.name), queue.clone());
    Pool {
        name,
        sticky,
        protocol: pool.protocol,
        tls: pool.tls.as_ref().map(|tls| build_pool_tls(tls, pool.protocol, &set, old.and_then(|old| old.tls.as_ref()))),
        algorithm: pool.algorithm,
        set,
        balancer,
        nobody: if waits { Failure::NameUnresolved } else { Failure::NoBackend },
        hash_on: match pool.algorithm {
            Algorithm::IpHash => Some(HashOn::ClientIp),
            hashing if hashing.hashes() => Some(pool.hash.on.clone()),
            _ => None,
        },
        idle_connections: pool.idle_connections,
        idle_timeout: pool.timeout.idle,
        retry: pool.retry.clone(),
        queue_limits: pool.queue,
        queue,
        health: pool.health.clone().map(Arc::new),
        ward: Arc::new(ward),
        send_proxy_protocol: pool.send_proxy_protocol,
        series: state.registry.pool(&pool.name),
    }
}

/// Backends that join others begin slowly. Where none of the old ones has stayed there is nobody to take the rest of their share.
/// The clock starts whether the pool has a slow start or not: it is a store, and the key may come with the next edit.
fn ramp_up(old: &Set, new: &Set) {
    let worked: HashSet<&Address> = old.members.iter().filter(|member| member.weight > 0).map(|member| &member.backend.address).collect();
    let (at_work, joined): (Vec<&Member>, Vec<&Member>) =
        new.members.iter().filter(|member| member.weight > 0).partition(|member| worked.contains(&member.backend.address));
    if !at_work.is_empty() {
        let now = Instant::now();
        joined.iter().for_each(|member| member.backend.ramp_from(now));
    }
}

/// The most that SRV weights can make of a weight: what a file may say.
const WEIGHT_MAX: u32 = 1_000_000;

/// The backends of a pool as they are now, each address once: names stand for what they resolve to, in their place. An address that
/// is met again is as it was said first.
pub fn present(pool: &model::Pool, state: &State) -> Vec<(Address, BackendSpec)> {
    let mut seen = HashSet::new();
    let each = pool.backends.iter().flat_map(|spec| match &spec.address {
        BackendAddress::Fixed(address) => vec![(address.clone(), spec.clone())],
        BackendAddress::Dns(name) => {
            let found = state.found(&pool.name, name);
            let as_said = |weight: u32| BackendSpec { weight: spec.weight.saturating_mul(weight).min(WEIGHT_MAX), ..spec.clone() };
            found.iter().map(|found| (found.address.into(), as_said(found.weight))).collect()
        }
    });
    each.filter(|(address, _)| seen.insert(address.clone())).collect()
}

fn is_unresolved(pool: &str, spec: &BackendSpec, state: &State) -> bool {
    match &spec.address {
        BackendAddress::Fixed(_) => false,
        BackendAddress::Dns(name) => state.found(pool, name).is_empty(),
    }
}

/// Before the first request can pick it, a backend stands as its check wants it to begin.
fn check(backend: &Backend, health: Option<&model::Health>) {
    match health.map(|health| health.start) {
        None => backend.unchecked(),
        Some(model::Start::Up) => backend.checked(Start::Up),
        Some(model::Start::Wait) => backend.checked(Start::Wait),
        Some(model::Start::Down) => backend.checked(Start::Down),
    }
}

/// Offered to backends by ALPN: the one that is spoken with them.
fn upstream_protocols(protocol: Protocol) -> &'static [&'static [u8]] {
    match protocol {
        Protocol::Http1 => &[b"http/1.1"],
        Protocol::Http2 => &[b"h2"],
    }
}

/// Sessions are kept for backends that stay, where nothing of the settings has changed.
fn build_pool_tls(tls: &model::PoolTls, protocol: Protocol, set: &Set, old: Option<&PoolTls>) -> PoolTls {
    let spec = tls::Client {
        server_name: tls.server_name.clone(),
        authorities: tls.authorities.clone(),
        pair: tls.certificate.as_ref().map(|certificate| certificate.pair.clone()),
        protocols: upstream_protocols(protocol),
    };
    let old = old.filter(|old| old.spec == spec);
    let config = old.map_or_else(|| Arc::new(tls::client(&spec)), |old| old.config.clone());
    let peer = |address: &Address| match old.and_then(|old| old.peers.get(address)) {
        Some(known) => known.clone(),
        None => spec.peer(&config, address.ip().map(|address| address.ip())),
    };
    let peers = set.members.iter().map(|member| (member.backend.address.clone(), peer(&member.backend.address))).collect();
    PoolTls { peers, spec, config }
}

/// Offered by ALPN, the one that we like best first. Who asks for HTTP/1.0 (`curl --http1.0`) names nothing else, and would be refused.
fn protocols(http2: bool) -> &'static [&'static [u8]] {
    if http2 { &[b"h2", b"http/1.1", b"http/1.0"] } else { &[b"http/1.1", b"http/1.0"] }
}

/// Settings of TLS are kept where nothing that they are made of has changed, for names bring many tables of one configuration.
fn build_tls(tls: &model::ListenTls, http2: bool, old: Option<&ListenerTls>) -> ListenerTls {
    let spec = tls::Server {
        pairs: tls.certificates.iter().map(|certificate| certificate.pair.clone()).collect(),
        client_ca: tls.client_ca.as_ref().map(|file| file.authorities.clone()),
        oldest: tls.min_version,
        protocols: protocols(http2),
    };
    let secure = match old.filter(|old| old.spec == spec) {
        Some(old) => old.secure.clone(),
        None => {
            let (config, names) = tls::server(&spec);
            Secure { config: Arc::new(config), names }
        }
    };
    ListenerTls { spec, secure, hsts: tls.hsts.map(|time| format!("max-age={}", time.as_secs())) }
}

fn build_listener(listener: &model::Listener, config: &Config, state: &State, before: Option<&Table>) -> Listener {
    let mine = |route: &model::Route| route.listeners.is_empty() || route.listeners.contains(&listener.name);
    let rules = config.routes.iter().enumerate().filter(|(_, route)| mine(route)).map(|(at, route)| rule(route, at)).collect();
    let old = before.and_then(|table| table.listeners.iter().flatten().find(|old| *old.name == *listener.name));
    Listener {
        tls: listener.tls.as_ref().map(|tls| build_tls(tls, listener.http2, old.and_then(|old| old.tls.as_ref()))),
        redirect_https: listener.redirect_https,
        name: listener.name.as_str().into(),
        timeout: listener.timeout.clone(),
        limits: listener.limits.clone(),
        trusted_proxies: listener.trusted_proxies.clone(),
        proxy_protocol: listener.proxy_protocol.as_slice().into(),
        turned_away: state.registry.turned_away(&listener.name),
        crowd: listener.limits.connections_per_address.map(|most| (state.crowd(&listener.name), most)),
        http2: listener.http2,
        router: Router::build(rules),
    }
}

/// What a route asks of a request, leading to `target`.
pub fn rule<T>(route: &model::Route, target: T) -> Rule<T> {
    Rule {
        hosts: route.hosts.clone(),
        paths: route.paths.clone(),
        methods: route.methods.clone(),
        headers: route.headers.clone(),
        queries: route.queries.clone(),
        cookies: route.cookies.clone(),
        priority: route.priority,
        target,
    }
}

fn build_action(route: &model::Route, config: &Config, position: &HashMap<&str, usize>) -> Action {
    match &route.action {
        model::Action::Pool(name) => {
            let pool = position[name.as_str()];
            let (of_pool, of_route) = (&config.pools[pool].timeout, &route.timeout);
            let timeouts = Timeouts {
                connect: of_route.connect.unwrap_or(of_pool.connect),
                first_byte: of_route.first_byte.unwrap_or(of_pool.first_byte),
                stall: of_route.stall.unwrap_or(of_pool.stall),
                tunnel: of_route.tunnel.unwrap_or(of_pool.tunnel),
                total: of_route.total.unwrap_or(of_pool.total),
            };
            Action::Forward { pool, timeouts }
        }
        model::Action::Redirect { to, status } => Action::Redirect { to: to.clone(), status: *status },
        model::Action::Respond { status, body, content_type } => {
            Action::Respond { status: *status, body: body.clone().into(), content_type: content_type.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::ramp::{FLOOR, WHOLE};
    use crate::config;

    fn config(backends: &str, algorithm: &str, more: &str) -> Config {
        let text = format!(
            "[listen.web]\naddress = \"127.0.0.1:8080\"\n[pool.app]\nbackends = [{backends}]\nalgorithm = \"{algorithm}\"\n{more}\n\
             [[route]]\npool = \"app\"\n"
        );
        config::parse(&text, "test").unwrap_or_else(|report| panic!("{report}")).0
    }

    const TWO: &str = "\"10.0.0.1:80\", \"10.0.0.2:80\"";
    const THREE: &str = "\"10.0.0.1:80\", \"10.0.0.2:80\", \"10.0.0.3:80\"";
    const MINUTE: Duration = Duration::from_secs(60);

    /// What each may take of its share now.
    fn ramps(table: &Table) -> Vec<u32> {
        table.pools[0].set.members.iter().map(|member| member.backend.ramp(Instant::now(), MINUTE)).collect()
    }

    #[test]
    fn a_balancer_is_kept_where_nothing_that_it_sees_has_changed() {
        let state = State::default();
        for word in Algorithm::WORDS {
            let first = build(&config(THREE, word, ""), &state, None);
            let again = build(&config(THREE, word, "idle_connections = 1"), &state, Some(&first));
            assert!(Arc::ptr_eq(&first.pools[0].balancer, &again.pools[0].balancer), "{word}");
            for other in [config(TWO, word, ""), config(THREE, word, "slow_start = \"1m\""), config(THREE, word, "hash = { bound = 2 }")] {
                let changed = build(&other, &state, Some(&again));
                assert!(!Arc::ptr_eq(&first.pools[0].balancer, &changed.pools[0].balancer), "{word}");
            }
        }
    }

    #[test]
    fn who_joins_a_pool_at_work_ramps_and_the_clock_survives_reloads() {
        let state = State::default();
        let first = build(&config(TWO, "p2c", ""), &state, None);
        assert_eq!(ramps(&first), [WHOLE, WHOLE], "a pool that is new as a whole does not");
        let joined = build(&config(THREE, "p2c", "slow_start = \"1m\""), &state, Some(&first));
        let [WHOLE, WHOLE, share] = ramps(&joined)[..] else { panic!("{:?}", ramps(&joined)) };
        assert!(share < FLOOR + 100, "{share}");
        let edited = build(&config(THREE, "maglev", "slow_start = \"1m\""), &state, Some(&joined));
        assert!(ramps(&edited)[2] < FLOOR + 100 && ramps(&edited)[2] >= share);
        let crews = joined.pools[0].set.members.iter().map(|member| member.backend.crew());
        assert!(crews.clone().all(|crew| Arc::ptr_eq(crew, crews.clone().next().unwrap())), "all of one pool are one crew");
    }

    #[test]
    fn a_pool_whose_backends_are_all_replaced_does_not_ramp() {
        let state = State::default();
        let first = build(&config(TWO, "p2c", ""), &state, None);
        let next = build(&config("\"10.0.0.8:80\", \"10.0.0.9:80\"", "p2c", ""), &state, Some(&first));
        assert_eq!(ramps(&next), [WHOLE, WHOLE]);
    }

    #[test]
    fn who_comes_back_from_weight_zero_ramps() {
        let state = State::default();
        let out = "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", weight = 0 }";
        let first = build(&config(out, "p2c", ""), &state, None);
        let next = build(&config(TWO, "p2c", ""), &state, Some(&first));
        assert!(ramps(&next)[0] == WHOLE && ramps(&next)[1] < FLOOR + 100);
    }

    #[test]
    fn averages_are_kept_over_a_change_of_algorithm() {
        let state = State::default();
        let first = build(&config(TWO, "least_time", ""), &state, None);
        first.pools[0].set.members[0].backend.learn_answer(Instant::now(), MINUTE);
        let next = build(&config(TWO, "peak_ewma", ""), &state, Some(&first));
        assert!(next.pools[0].set.members[0].backend.latency().peak(Instant::now(), 1.0) > 1e6);
    }
}
