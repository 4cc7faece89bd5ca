//! `[cache.NAME]`, and what a route says of the cache that it uses.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file::{Named, Section};
use super::super::model::{Cache, HashOn, RouteCache, StatusField, Statuses, VaryBy};
use super::super::report::{Problem, Span};
use super::super::value::{self, Mistake, Size};

/// The largest object where the file does not say.
const MAX_OBJECT: u64 = 16 << 20;
/// An object may take so much of the memory: what is larger would push out most of the rest.
const OBJECT_PART: u64 = 4;

pub(super) fn cache(Named { name, section }: Named<'_>) -> (Cache, Span) {
    let memory = section.size("memory");
    let most = memory / OBJECT_PART;
    let written = section.size_override("max_object").flatten();
    if let (Some(size), Some(span)) = (written.filter(|size| *size > most), section.value_span("max_object")) {
        let problem = Problem::error(span, format!("`max_object` of {} is too large for a memory of {}", Size(size), Size(memory)));
        section.note(problem.help(format!("it can be a quarter of `memory` at most: \"{}\"", Size(most))));
    }
    let max_object = written.unwrap_or(MAX_OBJECT.min(most));
    let warm = section.text("warm").map(|path| {
        // Only a warning: a list that is not there yet is no reason not to serve.
        if let Err(mistake) = section.try_read(&path.value, "warm") {
            let problem = Problem::warning(path.span, mistake.message);
            section.note(problem.help("it is read again at the next start; until then nothing is fetched from it"));
        }
        PathBuf::from(path.value)
    });
    let cache = Cache {
        name: name.value,
        memory,
        max_object,
        warm,
        warm_at_once: section.number("warm_at_once").value as usize,
        hottest: section.text("hottest").map(|path| path.value.into()),
        hottest_urls: section.number("hottest_urls").value as usize,
    };
    (cache, name.span)
}

/// And where the route names its cache.
pub(super) fn of_route(route: &Section<'_>) -> Option<(RouteCache, Span)> {
    let (short, section) = route.short("cache", "route")?;
    let uses = short.or_else(|| section.text("use"));
    if uses.is_none() && section.key_span("use").is_none() {
        let problem = Problem::error(section.span.clone(), "the route does not say which cache it uses");
        section.note(problem.help("write `cache = { use = \"main\", ... }`"));
    }
    let strip_cookies = section.word("set_cookie", |word| match word {
        "refuse" => Some(false),
        "strip" => Some(true),
        _ => None,
    });
    let time = |name| section.duration_override(name).flatten();
    let cache = RouteCache {
        uses: uses.as_ref().map(|uses| uses.value.clone()).unwrap_or_default(),
        default_ttl: time("default_ttl"),
        override_ttl: time("override_ttl"),
        default_ttl_by_status: by_status(&section, "default_ttl_by_status"),
        override_ttl_by_status: by_status(&section, "override_ttl_by_status"),
        stale_while_revalidate: time("stale_while_revalidate").unwrap_or_default(),
        stale_if_error: time("stale_if_error").unwrap_or_default(),
        refresh_ahead: section.flag("refresh_ahead"),
        ttl_jitter_percent: section.parsed("ttl_jitter", value::share).map_or(0, |share| share.value),
        strip_cookies,
        ignore_query: section.many("ignore_query", parameter).into_iter().map(|name| name.value).collect(),
        sort_query: section.flag("sort_query"),
        vary_by: section.many("vary_by", vary_by).into_iter().map(|part| part.value).collect(),
        lock_age: section.duration("lock_age"),
        purge_from: super::networks(&section, "purge_from", "everybody could empty the cache: list the networks of your own applications"),
        status_header: section.word("status_header", StatusField::of),
    };
    let place = uses?.span;
    Some((cache, place))
}

fn by_status(section: &Section<'_>, name: &str) -> Vec<(Statuses, Duration)> {
    let each = section.pairs(name).into_iter().filter_map(|(status, ttl)| {
        let statuses = section.check(&status.span, value::statuses(&status.value));
        let ttl = section.check(&ttl.span, value::duration(&ttl.value, true));
        Some((statuses?, ttl?))
    });
    each.collect()
}

fn parameter(text: &str) -> Result<String, Mistake> {
    let name = text.strip_suffix('*').unwrap_or(text);
    if text.is_empty() || name.contains('*') || name.bytes().any(|byte| matches!(byte, b'&' | b'=' | b'#') || !byte.is_ascii_graphic()) {
        let mistake = Mistake::new(format!("`{}` is not the name of a parameter", text.escape_debug()));
        return Err(mistake.help("write a name, or its beginning with `*` behind: \"utm_*\""));
    }
    Ok(text.to_owned())
}

fn vary_by(text: &str) -> Result<VaryBy, Mistake> {
    match value::hash_on(text) {
        Ok(HashOn::Header(name)) => Ok(VaryBy::Header(name)),
        Ok(HashOn::Cookie(name)) => Ok(VaryBy::Cookie(name)),
        _ => Err(Mistake::new(format!("answers cannot be told apart by `{}`", text.escape_debug()))
            .help("write \"header:NAME\" or \"cookie:NAME\"; the URL counts anyway")),
    }
}
