//! The index by host: a hash map for exact names, one for wildcards, and the rules for any host.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::paths::Paths;
use crate::config::model::HostPattern;

/// Clients choose the keys that are looked up, hence the random seed.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<String, Paths, RandomState>,
    /// By the name behind `*.`.
    wildcard: HashMap<String, Paths, RandomState>,
    /// Length of the longest key in `wildcard`: no longer suffix of a host needs a look.
    wildcard_bytes_max: usize,
    any: Paths,
}

impl Hosts {
    pub(super) fn entry(&mut self, pattern: &HostPattern) -> &mut Paths {
        match pattern {
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::Wildcard(name) => {
                self.wildcard_bytes_max = self.wildcard_bytes_max.max(name.len());
                self.wildcard.entry(name.clone()).or_default()
            }
        }
    }

    pub(super) fn any_mut(&mut self) -> &mut Paths {
        &mut self.any
    }

    /// The paths under each pattern that this host matches, most specific first.
    pub(super) fn find<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths> {
        // A wildcard stands for at least one label: the first suffix begins behind the first dot.
        let first = if self.wildcard.is_empty() { None } else { behind_dot(host) };
        let wildcards = std::iter::successors(first, |suffix| behind_dot(suffix))
            .filter(|suffix| suffix.len() <= self.wildcard_bytes_max)
            .filter_map(|suffix| self.wildcard.get(suffix));
        self.exact.get(host).into_iter().chain(wildcards).chain([&self.any])
    }
}

fn behind_dot(name: &str) -> Option<&str> {
    name.bytes().position(|byte| byte == b'.').map(|at| &name[at + 1..])
}
