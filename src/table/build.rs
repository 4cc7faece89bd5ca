//! Configuration and state to table. It can not fail: what could be wrong was refused when the text was read.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Action, Listener, Pool, Route, State, Sticky, Table, Timeouts};
use crate::balance::{self, Member, Set};
use crate::config::model::{self, BackendAddress, BackendSpec, Config};
use crate::failure::Failure;
use crate::route::{Router, Rule};

/// `before`: the table in force, whose balancers are kept where nothing that they see has changed.
pub fn build(config: &Config, state: &State, before: Option<&Table>) -> Table {
    let pools: Vec<Arc<Pool>> = config.pools.iter().map(|pool| Arc::new(build_pool(pool, state, before))).collect();
    let position: HashMap<&str, usize> = config.pools.iter().enumerate().map(|(at, pool)| (pool.name.as_str(), at)).collect();
    let routes = config
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
                series: state.registry.route(&route.name),
            })
        })
        .collect();
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let built = Arc::new(build_listener(listener, config));
        for address in &listener.addresses {
            let at = state.seat(&listener.name, *address);
            if listeners.len() <= at {
                listeners.resize_with(at + 1, || None);
            }
            listeners[at] = Some(built.clone());
        }
    }
    let present: HashMap<&str, HashSet<SocketAddr>> =
        (pools.iter()).map(|pool| (&*pool.name, pool.set.members.iter().map(|member| member.backend.address).collect())).collect();
    state.retain_backends(|pool, address| present.get(pool).is_some_and(|addresses| addresses.contains(&address)));
    state.retain_queues(|pool| present.contains_key(pool));
    Table { generation: before.map_or(1, |table| table.generation + 1), listeners, routes, pools }
}

fn build_pool(pool: &model::Pool, state: &State, before: Option<&Table>) -> Pool {
    let present = present(pool, state);
    let members = present.iter().map(|(address, spec)| {
        let backend = state.backend(&pool.name, *address);
        Member { weight: backend.weight_by_hand().unwrap_or(spec.weight), max_requests: spec.max_requests, backend }
    });
    let set = Set { members: members.collect() };
    let waits = pool.backends.iter().all(|spec| spec.weight == 0 || is_unresolved(&pool.name, spec, state));
    let same = before
        .and_then(|table| table.pools.iter().find(|old| *old.name == *pool.name))
        .filter(|old| old.algorithm == pool.algorithm && *old.set == set);
    let balancer = match same {
        Some(old) => old.balancer.clone(),
        None => balance::of(pool.algorithm, &set),
    };
    let sticky = pool.sticky.as_ref().map(|spec| {
        let secret = spec.secret.as_ref().map_or_else(|| state.secret(), |secret| secret.bytes());
        Sticky::of(spec, secret, &pool.name, &set)
    });
    let set = Arc::new(set);
    let queue = state.queue(&pool.name);
    // Who waits there gets slots of this set from now on: of backends that were added, up to limits that were raised.
    queue.adopt(set.clone(), balancer.clone());
    Pool {
        name: pool.name.as_str().into(),
        sticky,
        algorithm: pool.algorithm,
        set,
        balancer,
        nobody: if waits { Failure::NameUnresolved } else { Failure::NoBackend },
        idle_connections: pool.idle_connections,
        idle_timeout: pool.timeout.idle,
        retry: pool.retry.clone(),
        queue_limits: pool.queue,
        queue,
        series: state.registry.pool(&pool.name),
    }
}

/// The most that SRV weights can make of a weight: what a file may say.
const WEIGHT_MAX: u32 = 1_000_000;

/// The backends of a pool as they are now, each address once: names stand for what they resolve to, in their place. An address that
/// is met again is as it was said first.
pub fn present(pool: &model::Pool, state: &State) -> Vec<(SocketAddr, BackendSpec)> {
    let mut seen = HashSet::new();
    let each = pool.backends.iter().flat_map(|spec| match &spec.address {
        BackendAddress::Fixed(address) => vec![(*address, spec.clone())],
        BackendAddress::Dns(name) => {
            let found = state.found(&pool.name, name);
            let as_said = |weight: u32| BackendSpec { weight: spec.weight.saturating_mul(weight).min(WEIGHT_MAX), ..spec.clone() };
            found.iter().map(|found| (found.address, as_said(found.weight))).collect()
        }
    });
    each.filter(|(address, _)| seen.insert(*address)).collect()
}

fn is_unresolved(pool: &str, spec: &BackendSpec, state: &State) -> bool {
    match &spec.address {
        BackendAddress::Fixed(_) => false,
        BackendAddress::Dns(name) => state.found(pool, name).is_empty(),
    }
}

fn build_listener(listener: &model::Listener, config: &Config) -> Listener {
    let mine = |route: &model::Route| route.listeners.is_empty() || route.listeners.contains(&listener.name);
    let rules = config.routes.iter().enumerate().filter(|(_, route)| mine(route)).map(|(at, route)| rule(route, at)).collect();
    Listener {
        name: listener.name.as_str().into(),
        timeout: listener.timeout.clone(),
        limits: listener.limits.clone(),
        trusted_proxies: listener.trusted_proxies.clone(),
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
