//! One worker's view of the table: the table itself, and beside each route and backend what the worker keeps for it.
//!
//! A new view takes over what the old one had for the same backend: its idle connections. What is gone from the table is retired:
//! connections that come back to it are closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::cached::CacheSeat;
use super::record::{RouteSeat, Tally};
use crate::config::model::HeaderEdits;
use crate::message::{Terms, Welcome};
use crate::table::{Action, Caching, Listener, Pool, Route, Table};
use crate::telemetry::{Registry, RouteLocal};
use crate::upstream::{Budget, Seat};

/// The name in logs and metrics of what no route matched; a route can not have it, for it is no path.
const NO_ROUTE: &str = "none";

pub struct View {
    pub table: Arc<Table>,
    pub routes: Vec<Rc<RouteSeat>>,
    pub pools: Vec<Rc<PoolSeat>>,
    /// Each that a route uses, once.
    pub caches: Vec<Rc<CacheSeat>>,
    /// For requests that fell under no route.
    pub none: Rc<RouteSeat>,
    /// By position in the registry of addresses; a listener that is gone still greets whom it had left waiting.
    welcomes: Vec<Rc<Welcome>>,
    terms: Vec<Rc<Terms>>,
    /// For connections whose listener is gone: they may finish, and no more.
    no_terms: Rc<Terms>,
}

/// A pool, with this worker's connections to each of its backends.
pub struct PoolSeat {
    pub pool: Arc<Pool>,
    /// In the order of `pool.set`.
    pub seats: Vec<Rc<Seat>>,
    pub tally: Rc<Tally>,
    /// Retries of this worker; kept over reloads.
    pub budget: Rc<RefCell<Budget>>,
    pub random: RefCell<fastrand::Rng>,
}

impl View {
    pub fn build(table: Arc<Table>, registry: &Registry, old: Option<&View>, workers: usize, draining: bool) -> View {
        let pools: Vec<Rc<PoolSeat>> = table.pools.iter().map(|pool| Rc::new(PoolSeat::build(pool.clone(), old, workers))).collect();
        if let Some(old) = old {
            let kept = |seat: &Rc<Seat>| pools.iter().any(|pool| pool.seats.iter().any(|other| Rc::ptr_eq(seat, other)));
            old.pools.iter().flat_map(|pool| &pool.seats).filter(|seat| !kept(seat)).for_each(|seat| seat.retire());
        }
        // A series' local is one per worker whatever happens to views: what an old exchange counts is flushed with the rest.
        let known: HashMap<&str, &Rc<RouteLocal>> =
            old.map(|view| view.routes.iter().map(|seat| (&*seat.route.name, &seat.local)).collect()).unwrap_or_default();
        let local = |route: &Route| known.get(&*route.name).map_or_else(|| Rc::new(route.series.local()), |local| Rc::clone(local));
        let mut caches: Vec<Rc<CacheSeat>> = Vec::new();
        let mut cache = |caching: &Arc<Caching>| {
            // One per worker and cache, over all routes and views: what an old exchange counts is flushed with the rest.
            let known = caches.iter().chain(old.into_iter().flat_map(|view| &view.caches));
            let same = known.into_iter().find(|seat| Arc::ptr_eq(&seat.cache, &caching.cache)).cloned();
            let seat = same.unwrap_or_else(|| Rc::new(CacheSeat::new(caching.cache.clone())));
            if !caches.iter().any(|other| Rc::ptr_eq(other, &seat)) {
                caches.push(seat.clone());
            }
            seat
        };
        let seat =
            |route: &Arc<Route>| RouteSeat { local: local(route), cache: route.cache.as_ref().map(&mut cache), route: route.clone() };
        let routes = table.routes.iter().map(seat).map(Rc::new).collect();
        let none = old.map_or_else(|| Rc::new(RouteSeat::none(registry)), |view| view.none.clone());
        let no_terms = Rc::new(Terms::last());
        let terms = table
            .listeners
            .iter()
            .map(|listener| listener.as_ref().map_or_else(|| no_terms.clone(), |listener| Rc::new(terms(listener, draining))))
            .collect();
        let before = old.map_or(&[][..], |old| &old.welcomes);
        let welcomes = (0..table.listeners.len().max(before.len()))
            .map(|at| match (table.listeners.get(at), before.get(at)) {
                (Some(Some(listener)), _) => Rc::new(welcome(listener)),
                (_, Some(before)) => before.clone(),
                (_, None) => Rc::new(gone(&no_terms)),
            })
            .collect();
        View { table, routes, pools, caches, none, welcomes, terms, no_terms }
    }

    pub fn listener(&self, at: usize) -> Option<&Listener> {
        self.table.listeners.get(at)?.as_deref()
    }

    pub fn welcome(&self, listener: usize) -> Rc<Welcome> {
        // Where another worker accepted it, on an address that came and went between two of our views: it is told that its listener is
        // gone as soon as it asks for something.
        self.welcomes.get(listener).cloned().unwrap_or_else(|| Rc::new(gone(&self.no_terms)))
    }

    pub fn terms(&self, listener: usize) -> Rc<Terms> {
        self.terms.get(listener).unwrap_or(&self.no_terms).clone()
    }

    pub fn sweep(&self) {
        for pool in &self.pools {
            // For whatever should have done so and did not.
            pool.pool.queue.kick();
            pool.seats.iter().for_each(|seat| seat.sweep());
            pool.tally.local.idle(pool.seats.iter().map(|seat| seat.idle()).sum());
            let (lines, streams) =
                pool.seats.iter().map(|seat| seat.lines.load()).fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
            pool.tally.local.by_streams(lines, streams);
            pool.tally.local.flush();
        }
        self.routes.iter().for_each(|route| route.local.flush());
        self.caches.iter().for_each(|cache| cache.local.flush());
        self.none.local.flush();
    }
}

impl PoolSeat {
    fn build(pool: Arc<Pool>, old: Option<&View>, workers: usize) -> PoolSeat {
        // Rounded up: a small number still means one each.
        let most = pool.idle_connections.div_ceil(workers);
        let before = old.and_then(|view| view.pools.iter().find(|other| other.pool.name == pool.name));
        let seats = pool.set.members.iter().map(|member| {
            // Connections that wait were made as the pool was then: plain ones, with other certificates, or of another protocol, are for
            // nobody now.
            let alike = before
                .filter(|old| old.pool.protocol == pool.protocol)
                .filter(|old| old.pool.tls.as_ref().map(|tls| &tls.spec) == pool.tls.as_ref().map(|tls| &tls.spec));
            let seat = alike.and_then(|old| old.seats.iter().find(|seat| Arc::ptr_eq(&seat.backend, &member.backend)));
            match seat {
                Some(seat) => {
                    seat.adjust(most, pool.idle_timeout);
                    seat.entrust(&pool.ward);
                    seat.clone()
                }
                None => Rc::new(Seat::new(member.backend.clone(), pool.queue.clone(), pool.ward.clone(), most, pool.idle_timeout)),
            }
        });
        let fresh = || Rc::new(Tally { name: pool.name.clone(), local: pool.series.local() });
        let tally = before.map_or_else(fresh, |old| old.tally.clone());
        let budget = before.map_or_else(Rc::default, |old| old.budget.clone());
        PoolSeat { seats: seats.collect(), tally, budget, random: RefCell::default(), pool }
    }
}

fn welcome(listener: &Listener) -> Welcome {
    Welcome {
        timeout: listener.timeout.header,
        proxy_protocol: listener.proxy_protocol.clone(),
        crowd: listener.crowd.clone(),
        http2: listener.http2,
        tls: listener.tls.as_ref().map(|tls| tls.secure.clone()),
    }
}

/// Asks for nothing, for nothing will be served.
fn gone(terms: &Terms) -> Welcome {
    Welcome { timeout: terms.header_timeout, proxy_protocol: Arc::default(), crowd: None, http2: false, tls: None }
}

fn terms(listener: &Listener, draining: bool) -> Terms {
    Terms {
        header_timeout: listener.timeout.header,
        body_timeout: listener.timeout.body,
        body_rate: listener.limits.body_rate,
        idle_timeout: listener.timeout.idle,
        write_timeout: listener.timeout.write,
        header_bytes: listener.limits.header_bytes,
        headers: listener.limits.headers,
        last: draining,
    }
}

impl RouteSeat {
    /// What stands in a route's place where there is none.
    fn none(registry: &Registry) -> RouteSeat {
        let route = Route {
            name: NO_ROUTE.into(),
            action: Action::Respond { status: 404, body: Bytes::new(), content_type: String::new() },
            body_limit: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            strip_prefix: None,
            cache: None,
            series: registry.route(NO_ROUTE),
        };
        RouteSeat { local: Rc::new(route.series.local()), cache: None, route: Arc::new(route) }
    }
}
