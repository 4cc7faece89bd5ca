//! Configuration and state to table. It can not fail: what could be wrong was refused when the text was read.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Action, Listener, Pool, Route, State, Table, Timeouts};
use crate::balance::{self, Member, Set};
use crate::config::model::{self, Config};
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
        let at = state.listener(&listener.name);
        if listeners.len() <= at {
            listeners.resize_with(at + 1, || None);
        }
        listeners[at] = Some(Arc::new(build_listener(listener, config)));
    }
    state.retain_backends(|pool, address| {
        position.get(pool).is_some_and(|at| config.pools[*at].backends.iter().any(|backend| backend.address == address))
    });
    Table { generation: before.map_or(1, |table| table.generation + 1), listeners, routes, pools }
}

fn build_pool(pool: &model::Pool, state: &State, before: Option<&Table>) -> Pool {
    let members =
        pool.backends.iter().map(|spec| Member { backend: state.backend(&pool.name, spec.address), weight: spec.weight }).collect();
    let set = Set { members };
    let same = before
        .and_then(|table| table.pools.iter().find(|old| *old.name == *pool.name))
        .filter(|old| old.algorithm == pool.algorithm && *old.set == set);
    let balancer = match same {
        Some(old) => old.balancer.clone(),
        None => balance::of(pool.algorithm, &set),
    };
    Pool {
        name: pool.name.as_str().into(),
        algorithm: pool.algorithm,
        set: Arc::new(set),
        balancer,
        idle_connections: pool.idle_connections,
        idle_timeout: pool.timeout.idle,
        series: state.registry.pool(&pool.name),
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
