//! How a route uses a cache, as a request reads it.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::State;
use crate::cache::Cache;
use crate::cache::key::{Ignored, Part, Recipe, Spelling};
use crate::cache::policy::{Rules, TtlByStatus};
use crate::config::model::{Action, Route, RouteCache, StatusField, Statuses, VaryBy};

pub struct Caching {
    pub cache: Arc<Cache>,
    /// What the origin sees beside the client's request: the pool, and how the route edits it. Routes that would have different answers
    /// to one URL never share them.
    pub partition: String,
    pub recipe: Recipe,
    pub rules: Rules,
    pub refresh_ahead: bool,
    pub lock_age: Duration,
    /// Who may purge by method; empty: nobody.
    pub purge_from: Vec<IpNet>,
    pub status_field: StatusField,
}

impl Caching {
    /// `None`: the cache has gone since, which can only be in a test.
    pub fn of(spec: &RouteCache, route: &Route, state: &State) -> Option<Caching> {
        let by_status = |list: &[(Statuses, Duration)]| {
            TtlByStatus(list.iter().map(|(statuses, ttl)| ((statuses.first, statuses.last), *ttl)).collect())
        };
        let rules = Rules {
            default_ttl: spec.default_ttl,
            override_ttl: spec.override_ttl,
            default_by_status: by_status(&spec.default_ttl_by_status),
            override_by_status: by_status(&spec.override_ttl_by_status),
            stale_while_revalidate: spec.stale_while_revalidate,
            stale_if_error: spec.stale_if_error,
            strip_cookies: spec.strip_cookies,
            jitter_percent: spec.ttl_jitter_percent,
        };
        let part = |part: &VaryBy| match part {
            VaryBy::Header(name) => Part::Header(name.clone()),
            VaryBy::Cookie(name) => Part::Cookie(name.clone()),
        };
        let spelling = Spelling { ignored: ignored(&spec.ignore_query), sort_query: spec.sort_query };
        let recipe = Recipe { spelling, vary_by: spec.vary_by.iter().map(part).collect() };
        let cache = state.cache(&spec.uses)?;
        let (refresh_ahead, lock_age, status_field) = (spec.refresh_ahead, spec.lock_age, spec.status_header);
        let partition = partition(route);
        let purge_from = spec.purge_from.clone();
        Some(Caching { cache, partition, recipe, rules, refresh_ahead, lock_age, purge_from, status_field })
    }
}

fn partition(route: &Route) -> String {
    let pool = match &route.action {
        Action::Pool(name) => name.as_str(),
        _ => "",
    };
    let (edits, prefix) = (&route.request_headers, &route.strip_prefix);
    match edits.set.is_empty() && edits.add.is_empty() && edits.remove.is_empty() && prefix.is_none() {
        true => pool.to_owned(),
        // No name has a line end in it.
        false => format!("{pool}\n{edits:?}\n{prefix:?}"),
    }
}

fn ignored(names: &[String]) -> Ignored {
    let mut ignored = Ignored::default();
    for name in names {
        match name.strip_suffix('*') {
            Some("") => ignored.all = true,
            Some(prefix) => ignored.prefixes.push(prefix.to_owned()),
            None => ignored.names.push(name.clone()),
        }
    }
    ignored
}
