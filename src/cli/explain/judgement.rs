//! Why a route takes a request or does not, one predicate at a time.
//!
//! Each predicate is put to a router that has nothing but that predicate: what `explain` says can not differ from what the proxy
//! does, for there is no second reading of a rule here.

use super::question::Question;
use crate::config::model::{HostPattern, PathPattern, Route, Specificity};
use crate::route::{Request, Router, Rule};
use crate::table;

/// What there is to say about one route.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    /// Each predicate that the route has and that holds, in words.
    pub holds: Vec<String>,
    /// Each that does not; empty where the route could take the request.
    pub fails: Vec<String>,
}

pub fn judge(route: &Route, listener: &str, question: &Question) -> Judgement {
    let mut judgement = Judgement::default();
    let mut say = |holds: bool, predicate: String| {
        if holds { &mut judgement.holds } else { &mut judgement.fails }.push(predicate);
    };
    if !route.listeners.is_empty() {
        say(route.listeners.iter().any(|name| name == listener), format!("listener is {}", any_of(&route.listeners)));
    }
    let hosts: Vec<_> = route.hosts.iter().map(shown_host).collect();
    if !hosts.is_empty() {
        let held = asks(Rule { hosts: route.hosts.clone(), ..anything() }, question);
        let shown = if held { any_of(&held_hosts(route, question).map(shown_host).collect::<Vec<_>>()) } else { any_of(&hosts) };
        say(held, format!("host is {shown}"));
    }
    let held: Vec<_> = held_paths(route, question).map(shown_path).collect();
    let shown = if held.is_empty() { any_of(&route.paths.iter().map(shown_path).collect::<Vec<_>>()) } else { any_of(&held) };
    say(!held.is_empty(), format!("path is {shown}"));
    if !route.methods.is_empty() {
        say(asks(Rule { methods: route.methods.clone(), ..anything() }, question), format!("method is {}", any_of(&route.methods)));
    }
    for pair @ (name, value) in &route.headers {
        say(asks(Rule { headers: vec![pair.clone()], ..anything() }, question), format!("header {name} is `{value}`"));
    }
    for pair @ (name, value) in &route.queries {
        say(asks(Rule { queries: vec![pair.clone()], ..anything() }, question), format!("query {name} is `{value}`"));
    }
    for pair @ (name, value) in &route.cookies {
        say(asks(Rule { cookies: vec![pair.clone()], ..anything() }, question), format!("cookie {name} is `{value}`"));
    }
    judgement
}

/// The routes of a listener that could take the request, in the order of preference; positions in `routes`.
pub fn preference(routes: &[Route], listener: &str, question: &Question) -> Vec<usize> {
    let here =
        routes.iter().enumerate().filter(|(_, route)| route.listeners.is_empty() || route.listeners.iter().any(|name| name == listener));
    let rules = here.map(|(at, route)| table::build::rule(route, at));
    Router::build(rules.collect()).matches(&request(question)).into_iter().copied().collect()
}

/// Why `winner` goes before `loser`, where both could take the request.
pub fn why_after(loser: &Route, winner: &Route, question: &Question) -> String {
    let (Some((lost, lost_host, lost_path)), Some((won, won_host, won_path))) = (best(loser, question), best(winner, question)) else {
        return String::new();
    };
    if lost.host != won.host {
        let shown = |host: Option<&HostPattern>| host.map_or("any host".to_owned(), shown_host);
        format!("{} is less specific than {}", shown(lost_host), shown(won_host))
    } else if lost.path != won.path {
        format!("{} is less specific than {}", shown_path(lost_path), shown_path(won_path))
    } else if lost.predicates != won.predicates {
        format!("it has fewer predicates ({}, not {})", lost.predicates, won.predicates)
    } else if lost.priority != won.priority {
        format!("priority {} is lower than {}", lost.priority, won.priority)
    } else {
        "it stands later in the file".to_owned()
    }
}

/// By which of its patterns a route takes the request.
fn best<'a>(route: &'a Route, question: &'a Question) -> Option<(Specificity, Option<&'a HostPattern>, &'a PathPattern)> {
    let hosts: Vec<_> = if route.hosts.is_empty() { vec![None] } else { held_hosts(route, question).map(Some).collect() };
    let pairs = hosts.into_iter().flat_map(|host| held_paths(route, question).map(move |path| (route.specificity(host, path), host, path)));
    pairs.max_by_key(|(specificity, ..)| *specificity)
}

fn anything() -> Rule<()> {
    Rule {
        hosts: Vec::new(),
        paths: vec![PathPattern::Prefix(String::new())],
        methods: Vec::new(),
        headers: Vec::new(),
        queries: Vec::new(),
        cookies: Vec::new(),
        priority: 0,
        target: (),
    }
}

fn asks(rule: Rule<()>, question: &Question) -> bool {
    Router::build(vec![rule]).find(&request(question)).is_some()
}

fn request(question: &Question) -> Request<'_> {
    Request { host: &question.host, path: &question.path, head: &question.head }
}

fn held_hosts<'a>(route: &'a Route, question: &'a Question) -> impl Iterator<Item = &'a HostPattern> {
    route.hosts.iter().filter(|host| asks(Rule { hosts: vec![(*host).clone()], ..anything() }, question))
}

fn held_paths<'a>(route: &'a Route, question: &'a Question) -> impl Iterator<Item = &'a PathPattern> {
    route.paths.iter().filter(|path| asks(Rule { paths: vec![(*path).clone()], ..anything() }, question))
}

fn shown_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(name) => format!("*.{name}"),
    }
}

fn shown_path(path: &PathPattern) -> String {
    match path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(prefix) => format!("{prefix}/*"),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn any_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
