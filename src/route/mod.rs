//! Which route a request takes: the most specific one whose predicates hold, whatever the order in the file.
//!
//! Host and path are looked up in an index, so that ten thousand routes cost what ten do; predicates are asked only of the few
//! rules that the index hands out, and read the head only then. Preference, first to last: exact host, wildcard of more labels,
//! of fewer, any host; exact path, longer prefix, shorter; more predicates; higher `priority`; order in the file. A rule whose
//! predicates do not hold gives way to the next in that order, across paths and hosts alike.

mod hosts;
mod paths;
mod predicates;
#[cfg(test)]
mod tests;

use crate::config::model::{HostPattern, PathPattern};
use crate::message::Head;
use hosts::Hosts;

/// What a request must be like to be sent to `target`. Fields as in `config::model::Route`.
#[derive(Debug, Clone)]
pub struct Rule<T> {
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// Empty: no path, so never.
    pub paths: Vec<PathPattern>,
    /// Empty: any method.
    pub methods: Vec<String>,
    /// All must hold, as all of `queries` and `cookies`; names are lower case.
    pub headers: Vec<(String, String)>,
    pub queries: Vec<(String, String)>,
    pub cookies: Vec<(String, String)>,
    pub priority: i32,
    pub target: T,
}

/// What a route is looked up by.
pub struct Request<'a> {
    /// As `message::path::host` makes it.
    pub host: &'a str,
    /// As `message::path::normalise` makes it.
    pub path: &'a str,
    pub head: &'a Head,
}

/// Rules with their index. Built once per table, then only read.
#[derive(Debug)]
pub struct Router<T> {
    /// Those with more predicates, then with higher priority, first: a list of positions in rising order is in order of preference.
    rules: Vec<Rule<T>>,
    hosts: Hosts,
    asks_for_host: bool,
}

impl<T> Router<T> {
    pub fn build(mut rules: Vec<Rule<T>>) -> Router<T> {
        // Stable: rules that nothing else tells apart stay in the order of the file.
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.predicates(), rule.priority)));
        let mut hosts = Hosts::default();
        for (at, rule) in rules.iter().enumerate() {
            if rule.hosts.is_empty() {
                hosts.any_mut().insert(&rule.paths, at);
            }
            for host in &rule.hosts {
                hosts.entry(host).insert(&rule.paths, at);
            }
        }
        let asks_for_host = rules.iter().any(|rule| !rule.hosts.is_empty());
        Router { rules, hosts, asks_for_host }
    }

    /// Whether any rule has a host; if none has, `Request::host` may be anything.
    pub fn asks_for_host(&self) -> bool {
        self.asks_for_host
    }

    /// The target of the rule that this request falls under. Does not allocate.
    pub fn find(&self, request: &Request<'_>) -> Option<&T> {
        self.candidates(request).map(|at| &self.rules[at]).find(|rule| rule.holds(request.head)).map(|rule| &rule.target)
    }

    /// All targets whose rules hold, in order of preference: `find` takes the first.
    pub fn matches(&self, request: &Request<'_>) -> Vec<&T> {
        let mut found = Vec::new();
        for at in self.candidates(request) {
            // A rule with several hosts or paths may be handed out more than once.
            if !found.contains(&at) && self.rules[at].holds(request.head) {
                found.push(at);
            }
        }
        found.into_iter().map(|at| &self.rules[at].target).collect()
    }

    /// Positions of the rules whose host and path match, in order of preference.
    fn candidates<'a>(&'a self, request: &Request<'a>) -> impl Iterator<Item = usize> + 'a {
        self.hosts.find(request.host).flat_map(|paths| paths.find(request.path))
    }
}
