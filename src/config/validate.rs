//! What takes more than one table to see: references, clashes, routes that tie, things that nobody uses.
//!
//! Errors are what contradicts; warnings are what is harmless but probably not meant, so that editing one line never breaks a file.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::model::{
    Action, Algorithm, BackendAddress, Config, HashOn, HostPattern, MAGLEV_SLOTS, PathPattern, Pool, RING_POINTS_MAX,
    RING_POINTS_PER_WEIGHT, Route, Specificity,
};
use super::read::{BackendPlaces, Places, PoolPlaces};
use super::report::{Problem, Span};
use super::suggest;
use crate::address::Address;

/// Everything that is wrong between the tables of a configuration, in no order; gives routes without a name of their own a unique one.
pub(super) fn validate(config: &mut Config, places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    addresses(config, places, &mut problems);
    for (pool, places) in config.pools.iter().zip(&places.pools) {
        backends(pool, places, &mut problems);
        hashing(pool, places, &mut problems);
        queue(pool, places, &mut problems);
    }
    loops(config, places, &mut problems);
    references(config, places, &mut problems);
    unused_caches(config, places, &mut problems);
    written_files(config, places, &mut problems);
    strip_prefixes(config, places, &mut problems);
    route_names(config, places, &mut problems);
    ambiguous_routes(config, places, &mut problems);
    problems
}

/// Two sockets cannot listen on one address; port 0 is any free port, a different one each time.
fn addresses(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let listeners = config.listeners.iter().zip(&places.listeners);
    let mut all: Vec<(String, Address, &Span)> = Vec::new();
    for (listener, places) in listeners {
        let owner = format!("listener `{}`", listener.name);
        all.extend(listener.addresses.iter().zip(&places.addresses).map(|(address, place)| (owner.clone(), address.clone(), place)));
    }
    if let Some((admin, place)) = config.admin.as_ref().zip(places.admin.as_ref()) {
        all.push(("the admin listener".to_owned(), admin.address.into(), place));
    }
    for (at, (owner, address, place)) in all.iter().enumerate() {
        let Some((other, taken, first)) = all[..at].iter().find(|(_, earlier, _)| clash(earlier, address)) else { continue };
        let by = if other == owner { "it".to_owned() } else { other.clone() };
        let problem = Problem::error((*place).clone(), format!("{owner} cannot listen on {address}: {by} has {taken} already"));
        problems.push(problem.also((*first).clone(), "taken here").help("give one of them another port, or take it out"));
    }
}

/// Whether the second could not be bound after the first. IPv6 sockets are IPv6 only, so the families never clash.
fn clash(a: &Address, b: &Address) -> bool {
    let (Some(a), Some(b)) = (a.ip(), b.ip()) else { return a == b };
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && overlap
}

fn backends(pool: &Pool, places: &PoolPlaces, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&BackendAddress, &Span> = HashMap::new();
    for (backend, place) in pool.backends.iter().zip(&places.backends) {
        if let Some(first) = seen.insert(&backend.address, &place.address) {
            let problem = Problem::error(place.address.clone(), format!("pool `{}` has {} twice", pool.name, backend.address));
            problems.push(problem.also(first.clone(), "first here").help("take one out; a larger share is a `weight`"));
        }
    }
    if !pool.backends.is_empty() && pool.backends.iter().all(|backend| backend.weight == 0) {
        let problem = Problem::error(places.name.clone(), format!("every backend of pool `{}` has weight 0", pool.name));
        problems.push(problem.help("a backend of weight 0 takes no new requests; give at least one a weight of 1 or more"));
    }
    let uneven = pool.backends.iter().zip(&places.backends).find(|(backend, _)| backend.weight > 1);
    if let (false, Some((_, BackendPlaces { weight: Some(weight), .. }))) = (pool.algorithm.heeds_weights(), uneven) {
        let problem = Problem::warning(weight.clone(), format!("`{}` ignores weights", pool.algorithm.as_str()));
        problems.push(chosen(problem, places).help(match pool.algorithm {
            Algorithm::First => "it fills one backend after the other, in the order of the list",
            _ => "`algorithm = \"weighted_round_robin\"` gives turns by weight",
        }));
    }
    if !pool.backends.is_empty() && pool.backends.iter().all(|backend| backend.backup) {
        let problem = Problem::warning(places.name.clone(), format!("every backend of pool `{}` is a backup", pool.name));
        problems.push(problem.help("there is nobody whom they could stand in for: they are used as if none were"));
    }
}

/// Shows which line chose the algorithm that a problem is about.
fn chosen(problem: Problem, places: &PoolPlaces) -> Problem {
    match &places.algorithm {
        Some(algorithm) => problem.also(algorithm.clone(), "the algorithm is chosen here"),
        None => problem,
    }
}

/// What `hash` says to an algorithm that does not listen, and tables that would be too large or too coarse.
fn hashing(pool: &Pool, places: &PoolPlaces, problems: &mut Vec<Problem>) {
    let algorithm = pool.algorithm.as_str();
    if let (false, Some(hash)) = (pool.algorithm.hashes(), &places.hash) {
        // A bound too: who tries another algorithm for an hour should not have to take the line out and put it back.
        let problem = Problem::warning(hash.clone(), format!("`{algorithm}` ignores `hash`"));
        problems.push(chosen(problem, places).help("\"consistent_hash\", \"maglev\" and \"rendezvous\" go by it"));
    }
    if let (Algorithm::IpHash, Some(on)) = (pool.algorithm, &places.hash_on)
        && pool.hash.on != HashOn::ClientIp
    {
        let problem = Problem::warning(on.clone(), format!("`ip_hash` hashes the client's address, not `{}`", pool.hash.on));
        problems.push(chosen(problem, places).help("`algorithm = \"rendezvous\"` is the same over what `hash.on` says"));
    }
    let weights = || pool.backends.iter().map(|backend| u64::from(backend.weight)).filter(|weight| *weight > 0);
    let place = places.algorithm.as_ref().unwrap_or(&places.name);
    match pool.algorithm {
        Algorithm::ConsistentHash => {
            let points = weights().sum::<u64>() / weights().fold(0, greatest_common_divisor).max(1) * RING_POINTS_PER_WEIGHT;
            if points > RING_POINTS_MAX {
                let message = format!(
                    "the ring of pool `{}` would have {points} points, {RING_POINTS_PER_WEIGHT} for each unit of weight; {RING_POINTS_MAX} \
                     (32 MiB) are allowed",
                    pool.name
                );
                problems.push(
                    Problem::error(place.clone(), message)
                        .help("write smaller weights (3 and 1 for 3000 and 1001), or use \"rendezvous\" or \"maglev\""),
                );
            }
        }
        Algorithm::Maglev => {
            let count = weights().count();
            if count > MAGLEV_SLOTS {
                let message = format!("pool `{}` has {count} backends; the table of `maglev` has {MAGLEV_SLOTS} slots", pool.name);
                problems.push(Problem::error(place.clone(), message).help("use \"rendezvous\", or several pools"));
            } else if count > MAGLEV_SLOTS / MAGLEV_SLOTS_WANTED {
                let message = format!(
                    "with {count} backends, the shares of `maglev` are more than 1 % off: each has some {} slots",
                    MAGLEV_SLOTS / count
                );
                problems.push(
                    Problem::warning(place.clone(), message)
                        .help("\"rendezvous\" is exact, and costs a look at every backend for every request"),
                );
            }
        }
        _ => {}
    }
}

/// Slots of `maglev` per backend that make shares good to 1 %.
const MAGLEV_SLOTS_WANTED: usize = 100;

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// A queue forms where all backends are full, so at least one must have a limit; and one without takes whatever comes.
fn queue(pool: &Pool, places: &PoolPlaces, problems: &mut Vec<Problem>) {
    let Some(place) = &places.queue else { return };
    if pool.backends.is_empty() {
        return;
    }
    let mut unlimited = pool.backends.iter().zip(&places.backends).filter(|(backend, _)| backend.max_requests.is_none());
    if pool.backends.iter().all(|backend| backend.max_requests.is_none()) {
        let problem =
            Problem::error(place.clone(), format!("nobody can wait in the queue of pool `{}`: no backend is ever full", pool.name));
        problems.push(
            problem.help(format!(
                "give its backends a `max_requests`: `{{ address = \"{}\", max_requests = 100 }}`",
                pool.backends[0].address
            )),
        );
    } else if let Some((backend, at)) = unlimited.find(|(backend, _)| backend.weight > 0) {
        let message = format!("backend {} has no `max_requests`: while it is up, nobody waits in the queue", backend.address);
        problems.push(Problem::warning(at.address.clone(), message).also(place.clone(), "the queue"));
    }
}

/// A backend that is one of our own listeners: a request could go round for ever.
fn loops(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    for (pool, pool_places) in config.pools.iter().zip(&places.pools) {
        for (backend, place) in pool.backends.iter().zip(&pool_places.backends) {
            // Where a name leads is not known yet.
            let Some(address) = backend.address.fixed() else { continue };
            let reaches = |listening: &Address| {
                let (Some(listening), Some(address)) = (listening.ip(), address.ip()) else { return listening == address };
                let everywhere = listening.ip().is_unspecified() && listening.is_ipv4() == address.is_ipv4() && address.ip().is_loopback();
                listening.port() == address.port() && (listening.ip() == address.ip() || everywhere)
            };
            if let Some(listener) = config.listeners.iter().find(|listener| listener.addresses.iter().any(reaches)) {
                let message = format!("backend {address} of pool `{}` is this proxy itself: listener `{}`", pool.name, listener.name);
                problems
                    .push(Problem::warning(place.address.clone(), message).help("a request that comes round to the same route never ends"));
            }
        }
    }
}

/// Names that routes use exist.
fn references(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let pools: HashSet<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    let listeners: HashSet<&str> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    for (route, places) in config.routes.iter().zip(&places.routes) {
        if let (Action::Pool(pool), Some(place)) = (&route.action, &places.pool)
            && !pools.contains(pool.as_str())
        {
            problems.push(missing("pool", pool, place, config.pools.iter().map(|pool| pool.name.as_str())));
        }
        if let (Some(cache), Some(place)) = (&route.cache, &places.cache)
            && !config.caches.iter().any(|known| known.name == cache.uses)
        {
            problems.push(missing("cache", &cache.uses, place, config.caches.iter().map(|cache| cache.name.as_str())));
        }
        for (listener, place) in route.listeners.iter().zip(&places.listeners) {
            if !listeners.contains(listener.as_str()) {
                problems.push(missing("listener", listener, place, config.listeners.iter().map(|listener| listener.name.as_str())));
            }
        }
    }
}

fn unused_caches(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    for (cache, place) in config.caches.iter().zip(&places.caches) {
        if !config.routes.iter().any(|route| route.cache.as_ref().is_some_and(|used| used.uses == cache.name)) {
            let problem = Problem::warning(place.clone(), format!("no route uses cache `{}`", cache.name));
            problems.push(problem.help(format!("write `cache = \"{}\"` in the routes whose answers are to be kept", cache.name)));
        }
    }
}

/// What the process writes at its end must be nobody else's; that goes for the file too which it writes first, beside the other.
fn written_files(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let plain = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    let written = |path: &Path| {
        let path = plain(path).into_os_string();
        let mut beside = path.clone();
        beside.push(".new");
        [PathBuf::from(path), PathBuf::from(beside)]
    };
    for (at, (cache, place)) in config.caches.iter().zip(&places.caches).enumerate() {
        let Some(file) = &cache.hottest else { continue };
        let ours = written(file);
        let clash = |problem: String| Problem::error(place.clone(), problem).help("name another file in `hottest`");
        if config.caches[..at]
            .iter()
            .filter_map(|other| other.hottest.as_ref())
            .flat_map(|other| written(other))
            .any(|other| ours.contains(&other))
        {
            problems.push(clash(format!("cache `{}` writes its `hottest` where another one does", cache.name)));
        }
        if config.caches.iter().filter_map(|other| other.warm.as_ref()).any(|other| ours.contains(&plain(other))) {
            problems.push(clash(format!("cache `{}` would write its `hottest` over the list of a `warm`", cache.name)));
        }
    }
}

fn missing<'a>(what: &str, name: &str, place: &Span, known: impl Iterator<Item = &'a str> + Clone) -> Problem {
    let problem = Problem::error(place.clone(), format!("there is no {what} `{}`", name.escape_debug()));
    let table = if what == "listener" { "listen" } else { what };
    if let Some(meant) = suggest::closest(name, known.clone()) {
        return problem.help(format!("did you mean `{meant}`?"));
    }
    let names: Vec<String> = known.take(10).map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => problem.help(format!("add a `[{table}.{}]`", name.escape_debug())),
        names => problem.help(suggest::there_are(names)),
    }
}

/// A prefix that none of the route's paths can have is never taken off.
fn strip_prefixes(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let under = |path: &str, prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    for (route, places) in config.routes.iter().zip(&places.routes) {
        let (Some(strip), Some(place)) = (&route.strip_prefix, &places.strip_prefix) else { continue };
        let possible = |path: &PathPattern| match path {
            PathPattern::Exact(path) => under(path, strip),
            PathPattern::Prefix(prefix) => under(prefix, strip) || under(strip, prefix),
        };
        if places.sound && !route.paths.iter().any(possible) {
            let problem =
                Problem::warning(place.clone(), format!("no path of this route begins with `{strip}`: there is nothing to strip"));
            problems.push(problem.help(format!("`path = \"{strip}/*\"` would")));
        }
    }
}

fn route_names(config: &mut Config, places: &Places, problems: &mut Vec<Problem>) {
    let mut taken: HashMap<String, Span> = HashMap::new();
    for (route, places) in config.routes.iter().zip(&places.routes) {
        let Some(place) = &places.name else { continue };
        if let Some(first) = taken.insert(route.name.clone(), place.clone()) {
            let problem = Problem::error(place.clone(), format!("two routes are called `{}`", route.name));
            problems.push(problem.also(first, "first here").help("logs and metrics tell routes apart by their names"));
        }
    }
    // How often a pattern has been met, so that a thousand routes of one path do not each count from 1.
    let mut met: HashMap<String, usize> = HashMap::new();
    for (route, places) in config.routes.iter_mut().zip(&places.routes) {
        if places.name.is_some() {
            continue;
        }
        let number = met.entry(route.name.clone()).or_default();
        let mut unique = route.name.clone();
        loop {
            *number += 1;
            if *number > 1 {
                unique = format!("{} #{number}", route.name);
            }
            if !taken.contains_key(&unique) {
                break;
            }
        }
        taken.insert(unique.clone(), places.head.clone());
        route.name = unique;
    }
}

/// Two routes tie where one request can match both through patterns of the same rank and nothing says which should win.
/// Patterns of one rank that differ never match one request, so only routes that share a host and a path can tie.
fn ambiguous_routes(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    type Pattern<'a> = (Option<&'a HostPattern>, &'a PathPattern, Specificity);
    let mut groups: HashMap<Pattern<'_>, Vec<usize>> = HashMap::new();
    let mut told = HashSet::new();
    for (index, route) in config.routes.iter().enumerate().filter(|(index, _)| places.routes[*index].sound) {
        let hosts: Vec<Option<&HostPattern>> = if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
        for host in hosts {
            for path in &route.paths {
                let group = groups.entry((host, path, route.specificity(host, path))).or_default();
                let tie = group.iter().copied().find(|earlier| *earlier != index && overlap(&config.routes[*earlier], route));
                if let Some(earlier) = tie
                    && told.insert(index)
                {
                    problems.push(tied(&config.routes[earlier], route, &places.routes[earlier].head, &places.routes[index].head));
                }
                if group.last() != Some(&index) {
                    group.push(index);
                }
            }
        }
    }
}

fn tied(first: &Route, second: &Route, first_at: &Span, second_at: &Span) -> Problem {
    Problem::error(
        second_at.clone(),
        format!("routes `{}` and `{}` match the same requests, and neither is more specific", first.name, second.name),
    )
    .label("this route")
    .also(first_at.clone(), "and this one")
    .help("give one a higher `priority`, or a predicate that the other has with another value")
}

/// Whether one request can satisfy the listeners and the predicates of both.
fn overlap(a: &Route, b: &Route) -> bool {
    let share = |a: &[String], b: &[String]| a.is_empty() || b.is_empty() || a.iter().any(|one| b.contains(one));
    let agree = |a: &[(String, String)], b: &[(String, String)]| {
        a.iter().all(|(name, value)| b.iter().all(|(other_name, other_value)| name != other_name || value == other_value))
    };
    share(&a.listeners, &b.listeners)
        && share(&a.methods, &b.methods)
        && agree(&a.headers, &b.headers)
        && agree(&a.queries, &b.queries)
        && agree(&a.cookies, &b.cookies)
}

/// What is to be said of a file only once nothing in it is wrong: a pool whose only route has its name misspelt is not unused.
pub(super) fn completeness(config: &Config, places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.listeners.is_empty() {
        problems.push(Problem::of_file("there is no listener").help("add a `[listen.web]` with `address = \"0.0.0.0:8080\"`"));
    }
    if config.routes.is_empty() {
        problems.push(Problem::of_file("there is no route").help("add a `[[route]]` with `pool = \"...\"`"));
    }
    if problems.is_empty() {
        unused(config, places, &mut problems);
    }
    problems
}

fn unused(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let everywhere = config.routes.iter().any(|route| route.listeners.is_empty());
    let listeners: HashSet<&String> = config.routes.iter().flat_map(|route| &route.listeners).collect();
    let pools: HashSet<&String> = config
        .routes
        .iter()
        .filter_map(|route| match &route.action {
            Action::Pool(pool) => Some(pool),
            _ => None,
        })
        .collect();
    for (pool, place) in config.pools.iter().zip(&places.pools) {
        if !pools.contains(&pool.name) {
            let problem = Problem::warning(place.name.clone(), format!("no route uses pool `{}`", pool.name));
            problems.push(problem.help(format!("add a route with `pool = \"{}\"`, or take the pool out", pool.name)));
        }
    }
    for (listener, place) in config.listeners.iter().zip(&places.listeners) {
        if !everywhere && !listeners.contains(&listener.name) {
            let problem = Problem::warning(place.name.clone(), format!("no route is for listener `{}`", listener.name));
            problems.push(problem.help("it would answer every request with 404"));
        }
    }
}
