//! One `[[route]]`: what it matches, what it does, what it changes.

use std::collections::HashMap;

use super::RoutePlaces;
use crate::config::file::{Section, Written};
use crate::config::model::{Action, HeaderEdits, PathPattern, Route, RouteTimeouts};
use crate::config::report::Problem;
use crate::config::value::{self, Mistake};
use crate::message::fields::is_token;

const REDIRECT_STATUSES: [i64; 5] = [301, 302, 303, 307, 308];
/// Their answers end with the head (RFC 9110, 15.3.5, 15.3.6 and 15.4.5).
const STATUSES_WITHOUT_BODY: [u16; 3] = [204, 205, 304];

pub(super) fn read(section: &Section<'_>) -> (Route, RoutePlaces) {
    let errors_before = section.error_count();
    let hosts = section.many("host", value::host);
    let paths = section.many("path", value::path_pattern);
    let (listeners, listener_places) = super::split(section.many("listen", |name| Ok(name.to_owned())));
    let pool = section.text("pool");
    let name = section.parsed("name", value::route_name);
    let timeout = section.table("timeout", "route");
    let rewrite = section.table("rewrite", "route");
    let strip_prefix = rewrite.parsed("strip_prefix", value::strip_prefix);
    let action = action(section, pool.as_ref());
    let (cache, cache_place) = super::cache::of_route(section).unzip();
    let route = Route {
        name: name.as_ref().map_or_else(|| name_by_pattern(section), |name| name.value.clone()),
        listeners,
        hosts: values(hosts),
        paths: if section.key_span("path").is_some() { values(paths) } else { vec![PathPattern::Prefix(String::new())] },
        methods: methods(section),
        headers: header_predicates(section),
        queries: predicates(
            section,
            "query",
            |name| if name.is_empty() { Err(Mistake::new("a query parameter has a name")) } else { Ok(()) },
        ),
        cookies: predicates(section, "cookie", |name| match is_token(name.as_bytes()) {
            true => Ok(()),
            false => Err(Mistake::new(format!("`{}` is not the name of a cookie", name.escape_debug()))),
        }),
        priority: section.number("priority").value as i32,
        action,
        timeout: RouteTimeouts {
            connect: timeout.duration_override("connect").flatten(),
            first_byte: timeout.duration_override("first_byte").flatten(),
            stall: timeout.duration_override("stall").flatten(),
            tunnel: timeout.duration_override("tunnel").flatten(),
            total: timeout.duration_override("total"),
        },
        body_limit: section.table("limits", "route").size_override("body"),
        request_headers: edits(section, "request_headers"),
        response_headers: edits(section, "response_headers"),
        strip_prefix: strip_prefix.as_ref().map(|prefix| prefix.value.clone()),
        cache,
    };
    warn_of_what_needs_a_pool(section, &route);
    let places = RoutePlaces {
        head: section.span.clone(),
        name: name.map(|name| name.span),
        listeners: listener_places,
        pool: pool.map(|pool| pool.span),
        strip_prefix: strip_prefix.map(|prefix| prefix.span),
        cache: cache_place,
        sound: section.error_count() == errors_before,
    };
    (route, places)
}

fn values<T>(written: Vec<Written<T>>) -> Vec<T> {
    written.into_iter().map(|written| written.value).collect()
}

/// The first host and path, as written; not as normalised, for it is searched for in the file.
fn name_by_pattern(section: &Section<'_>) -> String {
    let host = section.first_text("host").unwrap_or_default();
    let path = section.first_text("path").unwrap_or_else(|| "/*".to_owned());
    host + &path
}

fn action(section: &Section<'_>, pool: Option<&Written<String>>) -> Action {
    let chosen: Vec<_> = ["pool", "redirect", "respond"].into_iter().filter_map(|name| Some((name, section.key_span(name)?))).collect();
    match chosen.as_slice() {
        [] => section.note(
            Problem::error(section.span.clone(), "the route does nothing")
                .help("give it one of `pool = \"...\"`, `redirect = { to = \"...\" }` and `respond = { status = ... }`"),
        ),
        [_] => {}
        [(first, first_at), (second, second_at), ..] => section.note(
            Problem::error(second_at.clone(), format!("a route has either `{first}` or `{second}`, not both"))
                .also(first_at.clone(), format!("`{first}` is here"))
                .help("make two routes of it, or take one out"),
        ),
    }
    let redirect = redirect(&section.table("redirect", "route"));
    let respond = respond(&section.table("respond", "route"));
    match (pool, section.key_span("redirect").is_some()) {
        (Some(pool), _) => Action::Pool(pool.value.clone()),
        (None, true) => redirect,
        (None, false) => respond,
    }
}

fn redirect(section: &Section<'_>) -> Action {
    let status = section.number("status");
    if !REDIRECT_STATUSES.contains(&status.value) {
        let problem = Problem::error(status.span.clone(), format!("{} is not the status of a redirect", status.value));
        section.note(problem.help("there are 301 and 308 (for good), 302 and 307 (for now), 303 (see other); 307 and 308 keep the method"));
    }
    if section.is_present() && section.key_span("to").is_none() {
        let problem = Problem::error(section.span.clone(), "the redirect has no `to`");
        section.note(problem.help("write where to: `redirect = { to = \"https://example.com/new/\" }`"));
    }
    let to = section.parsed("to", value::redirect_target).map(|to| to.value).unwrap_or_default();
    Action::Redirect { to, status: status.value as u16 }
}

fn respond(section: &Section<'_>) -> Action {
    let status = section.number("status").value as u16;
    let (body, content_type) = (section.text_or_default("body"), section.text_or_default("content_type"));
    if !body.is_empty() && STATUSES_WITHOUT_BODY.contains(&status) {
        let span = section.key_span("body").unwrap_or_else(|| section.span.clone());
        section.note(
            Problem::error(span, format!("an answer with status {status} has no body")).help("take `body` out, or choose another status"),
        );
    }
    let span = section.value_span("content_type").unwrap_or_else(|| section.span.clone());
    section.check(&span, value::field_value(&content_type));
    Action::Respond { status, body, content_type }
}

fn methods(section: &Section<'_>) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for method in section.many("method", value::method) {
        if methods.contains(&method.value) {
            section.note(Problem::warning(method.span, format!("`{}` is there already", method.value)));
        } else {
            methods.push(method.value);
        }
    }
    methods
}

fn header_predicates(section: &Section<'_>) -> Vec<(String, String)> {
    let name = |name: &str| match name.to_ascii_lowercase().as_str() {
        "host" => Err(Mistake::new("the host has its own key").help("write `host = \"example.com\"`")),
        "cookie" => Err(Mistake::new("cookies have their own key").help("write `cookie = { name = \"value\" }`")),
        _ if is_token(name.as_bytes()) => Ok(()),
        _ => Err(Mistake::new(format!("`{}` is not the name of a header field", name.escape_debug()))),
    };
    let mut headers = predicates(section, "header", name);
    for (name, _) in &mut headers {
        name.make_ascii_lowercase();
    }
    headers
}

fn predicates(section: &Section<'_>, key: &str, name_check: impl Fn(&str) -> Result<(), Mistake>) -> Vec<(String, String)> {
    let mut predicates = Vec::new();
    let mut seen = HashMap::new();
    for (name, wanted) in section.pairs(key) {
        section.check(&name.span, name_check(&name.value));
        section.check(&wanted.span, value::field_value(&wanted.value));
        let same = if key == "header" { name.value.to_ascii_lowercase() } else { name.value.clone() };
        if let Some(first) = seen.insert(same, name.span.clone()) {
            let problem =
                Problem::error(name.span.clone(), format!("`{}` stands twice; all must hold, so nothing could match", name.value));
            section.note(problem.also(first, "first here"));
        }
        predicates.push((name.value, wanted.value));
    }
    predicates
}

fn edits(section: &Section<'_>, key: &str) -> HeaderEdits {
    let table = section.table(key, "route");
    let mut seen: HashMap<String, (&'static str, crate::config::report::Span)> = HashMap::new();
    let mut check = |edit: &'static str, name: &Written<String>| {
        if table.check(&name.span, value::edited_field(&name.value)).is_none() {
            return;
        }
        let lower = name.value.to_ascii_lowercase();
        if lower == "host" && edit != "set" {
            table.note(
                Problem::error(name.span.clone(), format!("`Host` cannot be in `{edit}`"))
                    .help("a request has exactly one; it can be `set`"),
            );
        }
        // Setting and then adding a second one has a meaning; everything else that touches a field twice contradicts itself.
        match seen.get(&lower) {
            Some(("set", _)) if edit == "add" => {}
            Some((other, first)) => table.note(
                Problem::error(name.span.clone(), format!("`{}` is in `{edit}` and in `{other}`", name.value))
                    .also(first.clone(), format!("in `{other}` here"))
                    .help("one of the two is enough: `set` replaces what was there"),
            ),
            None => {
                seen.insert(lower, (edit, name.span.clone()));
            }
        }
    };
    let pairs = |edit: &'static str, check: &mut dyn FnMut(&'static str, &Written<String>)| {
        let pairs = table.pairs(edit).into_iter().map(|(name, content)| {
            check(edit, &name);
            table.check(&content.span, value::field_value(&content.value));
            (name.value, content.value)
        });
        pairs.collect()
    };
    let (set, add) = (pairs("set", &mut check), pairs("add", &mut check));
    let remove = table.many("remove", |name| Ok(name.to_owned()));
    remove.iter().for_each(|name| check("remove", name));
    HeaderEdits { set, add, remove: values(remove) }
}

fn warn_of_what_needs_a_pool(section: &Section<'_>, route: &Route) {
    if matches!(route.action, Action::Pool(_)) {
        return;
    }
    for key in ["timeout", "rewrite", "request_headers", "cache"] {
        if let Some(span) = section.key_span(key) {
            section.note(Problem::warning(span, format!("`{key}` has no effect: the route answers without a backend")).help("take it out"));
        }
    }
}
