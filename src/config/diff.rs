//! What a reload changes: the lines of its report, and what it cannot change without a restart.
//!
//! Both configurations are laid out as things with keys and values, named as a person would, and the layouts are compared: there
//! is one place to think of a new key, and no comparison of its own to forget.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::SignedDuration;

use super::model::{
    Action, Admin, AuthoritiesFile, BackendSpec, Cache, Certificate, Config, Eject, Faults, Hashing, Health, ListenLimits, ListenTimeouts,
    ListenTls, Listener, Log, Pool, PoolTimeouts, PoolTls, Probe, Queue, Retry, Route, RouteCache, RouteTimeouts, Secret, Server, Statuses,
    Sticky,
};
use super::value::Size;
use crate::tls::Pair;

/// The differences, in the order of the report: `added`, `changed`, `removed`, and apart from these what waits for a restart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// `pool app`, `pool app: backend 10.0.0.1:8080`
    pub added: Vec<String>,
    /// `pool app: algorithm p2c -> round_robin`
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// `server: workers 2 -> 4`: written, but not in force until the process starts again.
    pub needs_restart: Vec<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty() && self.needs_restart.is_empty()
    }
}

/// One line per difference; `nothing changed` where there is none.
impl Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        let kinds =
            [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed), ("needs a restart:", &self.needs_restart)];
        let lines = kinds.into_iter().flat_map(|(kind, lines)| lines.iter().map(move |line| (kind, line)));
        for (at, (kind, line)) in lines.enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{kind} {line}")?;
        }
        Ok(())
    }
}

/// From `old`, in force, to `new`.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let (old, new) = (layout(old), layout(new));
    let mut changes = Changes::default();
    let before = index(&old);
    let after = index(&new);
    for thing in &new {
        match before.get(thing.name.as_str()) {
            Some(old) => compare(old, thing, &mut changes),
            None if thing.live => changes.added.push(thing.name.clone()),
            None => changes.needs_restart.push(format!("{} added", thing.name)),
        }
    }
    for thing in &old {
        if !after.contains_key(thing.name.as_str()) {
            match thing.live {
                true => changes.removed.push(thing.name.clone()),
                false => changes.needs_restart.push(format!("{} removed", thing.name)),
            }
        }
    }
    changes
}

fn compare(old: &Thing, new: &Thing, changes: &mut Changes) {
    let index = |thing: &Thing| -> HashMap<String, String> { thing.keys.iter().map(|key| (key.name.clone(), key.value.clone())).collect() };
    let (before, after) = (index(old), index(new));
    for Key { name, value, shown } in &new.keys {
        let subject = format!("{}: {name}", new.name);
        match before.get(name) {
            None => changes.added.push(subject),
            Some(was) if was == value => {}
            Some(was) => {
                let line = if *shown { format!("{subject} {was} -> {value}") } else { subject };
                if new.live && name != NEEDS_RESTART { &mut changes.changed } else { &mut changes.needs_restart }.push(line);
            }
        }
    }
    let gone = old.keys.iter().filter(|key| !after.contains_key(&key.name));
    changes.removed.extend(gone.map(|key| format!("{}: {}", new.name, key.name)));
}

/// The one key that waits for a restart in a table that is otherwise changed live.
const NEEDS_RESTART: &str = "workers";

/// A table of the configuration as the report names it.
struct Thing {
    name: String,
    /// Whether it can be added, changed and removed while the process runs.
    live: bool,
    /// A key that is only on one side is itself something added or removed: a backend.
    keys: Vec<Key>,
}

struct Key {
    name: String,
    value: String,
    /// Header fields, cookies and bodies may carry secrets, and the report goes to the log: of these only the key is told.
    shown: bool,
}

impl Key {
    fn shown(name: impl Into<String>, value: String) -> Key {
        Key { name: name.into(), value, shown: true }
    }

    fn hidden(name: &str, value: String) -> Key {
        Key { name: name.to_owned(), value, shown: false }
    }
}

fn index(things: &[Thing]) -> HashMap<&str, &Thing> {
    things.iter().map(|thing| (thing.name.as_str(), thing)).collect()
}

fn thing(name: impl Into<String>, keys: Vec<(&str, String)>) -> Thing {
    Thing { name: name.into(), live: true, keys: keys.into_iter().map(|(name, value)| Key::shown(name, value)).collect() }
}

// Taken apart field by field, without `..`: a field that is new does not compile until it is laid out.

fn layout(config: &Config) -> Vec<Thing> {
    let Config { server, listeners, pools, caches, routes, admin, log } = config;
    let mut things = vec![self::server(server)];
    things.extend(listeners.iter().map(listener));
    things.extend(pools.iter().map(pool));
    things.extend(caches.iter().map(cache));
    things.extend(routes.iter().map(route));
    things.extend(admin.iter().map(self::admin));
    things.push(self::log(log));
    things
}

fn server(Server { workers, drain_delay, drain_timeout, resolver }: &Server) -> Thing {
    let resolver = if resolver.is_empty() { "the system's".to_owned() } else { list(resolver) };
    let keys = vec![
        ("workers", workers.to_string()),
        ("drain_delay", time(*drain_delay)),
        ("drain_timeout", time(*drain_timeout)),
        ("resolver", resolver),
    ];
    thing("server", keys)
}

fn admin(Admin { address, hosts }: &Admin) -> Thing {
    Thing { live: false, ..thing("admin", vec![("address", address.to_string()), ("hosts", list(hosts))]) }
}

fn log(Log { access, access_file, level }: &Log) -> Thing {
    let file = access_file.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    thing("log", vec![("access", access.as_str().to_owned()), ("access_file", file), ("level", level.as_str().to_owned())])
}

fn listener(listener: &Listener) -> Thing {
    let Listener { name, addresses, socket_mode, trusted_proxies, proxy_protocol, http2, timeout, limits, tls, redirect_https } = listener;
    let ListenTimeouts { header, body, idle, write } = timeout;
    let ListenLimits { header_bytes, headers, body: body_limit, connections, connections_per_address, body_rate } = limits;
    let keys = vec![
        ("address", list(addresses)),
        ("socket_mode", socket_mode.map_or("none".to_owned(), |mode| format!("{mode:o}"))),
        ("trusted_proxies", list(trusted_proxies)),
        ("proxy_protocol", list(proxy_protocol)),
        ("http2", http2.to_string()),
        ("timeout.header", time(*header)),
        ("timeout.body", time(*body)),
        ("timeout.idle", time(*idle)),
        ("timeout.write", time(*write)),
        ("limits.header_bytes", Size(*header_bytes as u64).to_string()),
        ("limits.headers", headers.to_string()),
        ("limits.body", size(*body_limit)),
        ("limits.connections", connections.to_string()),
        ("limits.connections_per_address", connections_per_address.map_or(0, |most| most.get()).to_string()),
        ("limits.body_rate", Size((*body_rate).into()).to_string()),
        ("redirect_https", redirect_https.map_or("none".to_owned(), |port| port.to_string())),
    ];
    let mut thing = thing(format!("listener {name}"), keys);
    thing.keys.extend(listen_tls(tls.as_ref()));
    thing
}

/// Certificates are told by their files; one that was renewed in its place is told without its contents.
fn listen_tls(tls: Option<&ListenTls>) -> Vec<Key> {
    let Some(ListenTls { certificates, client_ca, min_version, hsts }) = tls else {
        return vec![Key::shown("tls", "none".to_owned())];
    };
    let mut keys = vec![
        Key::shown("tls", "on".to_owned()),
        Key::shown("tls.min_version", format!("{min_version}")),
        Key::shown("tls.hsts", time_or_none(*hsts)),
        Key::shown("tls.client_ca", file_or_none(client_ca.as_ref())),
        Key::hidden("tls.client_ca's contents", format!("{client_ca:?}")),
    ];
    for (at, Certificate { files, pair }) in certificates.iter().enumerate() {
        keys.push(Key::shown(
            format!("tls certificate {}", files.certificate.display()),
            format!("place {}, key {}", at + 1, files.key.display()),
        ));
        keys.push(Key::hidden(&format!("tls certificate {}, its contents", files.certificate.display()), contents(pair)));
    }
    keys
}

fn pool_tls(tls: Option<&PoolTls>) -> Vec<Key> {
    let Some(PoolTls { server_name, authorities, ca, certificate }) = tls else {
        return vec![Key::shown("tls", "none".to_owned())];
    };
    let name = server_name.as_ref().map_or("each backend's address".to_owned(), |name| name.to_str().into_owned());
    let shown = certificate.as_ref().map_or("none".to_owned(), |own| own.files.certificate.display().to_string());
    vec![
        Key::shown("tls", "on".to_owned()),
        Key::shown("tls.server_name", name),
        Key::shown("tls.ca", ca.as_ref().map_or("the system's".to_owned(), |ca| ca.display().to_string())),
        Key::shown("tls.certificate", shown),
        Key::hidden("tls.ca's contents", format!("{authorities:?}")),
        Key::hidden("tls.certificate's contents", certificate.as_ref().map_or(String::new(), |own| contents(&own.pair))),
    ]
}

fn file_or_none(file: Option<&AuthoritiesFile>) -> String {
    file.map_or("none".to_owned(), |file| file.file.display().to_string())
}

/// Equal where the certificates are.
fn contents(pair: &Pair) -> String {
    let mut hasher = DefaultHasher::new();
    pair.certified().cert.iter().for_each(|certificate| certificate.as_ref().hash(&mut hasher));
    hasher.finish().to_string()
}

fn pool(pool: &Pool) -> Thing {
    let Pool {
        name,
        algorithm,
        hash,
        slow_start,
        backends,
        protocol,
        tls,
        sticky,
        timeout,
        idle_connections,
        retry,
        queue,
        health,
        eject,
        when_all_down,
        send_proxy_protocol,
    } = pool;
    let Hashing { on: hash_on, bound } = hash;
    let PoolTimeouts { connect, first_byte, stall, tunnel, idle, total } = timeout;
    let Retry { tries, on, budget_percent, try_timeout, backoff } = retry;
    let on: Vec<&str> = on.iter().map(|reason| reason.as_str()).collect();
    let keys = vec![
        ("algorithm", algorithm.as_str().to_owned()),
        ("hash.on", hash_on.to_string()),
        ("hash.bound", bound.map_or("none".to_owned(), |bound| bound.to_string())),
        ("slow_start", time_or_none(*slow_start)),
        ("protocol", protocol.as_str().to_owned()),
        ("timeout.connect", time(*connect)),
        ("timeout.first_byte", time(*first_byte)),
        ("timeout.stall", time(*stall)),
        ("timeout.tunnel", time(*tunnel)),
        ("timeout.idle", time(*idle)),
        ("timeout.total", time_or_none(*total)),
        ("idle_connections", idle_connections.to_string()),
        ("retry.tries", tries.to_string()),
        ("retry.on", list(&on)),
        ("retry.budget", format!("{budget_percent}%")),
        ("retry.try_timeout", time_or_none(*try_timeout)),
        ("retry.backoff", time(*backoff)),
        ("queue", queue.map_or("none".to_owned(), |Queue { max, wait }| format!("max {max}, wait {}", time(wait)))),
        ("when_all_down", when_all_down.as_str().to_owned()),
        ("send_proxy_protocol", send_proxy_protocol.map_or("none".to_owned(), |version| version.as_str().to_owned())),
    ];
    let mut thing = thing(format!("pool {name}"), keys);
    thing.keys.extend(self::sticky(sticky.as_ref()));
    thing.keys.extend(pool_tls(tls.as_ref()));
    thing.keys.extend(health.iter().flat_map(self::health));
    thing.keys.extend(self::eject(eject.as_ref()));
    let backend = |BackendSpec { address, weight, max_requests, backup }: &BackendSpec| {
        let most = max_requests.map(|most| format!(", max_requests {most}")).unwrap_or_default();
        let backup = if *backup { ", backup" } else { "" };
        Key::shown(format!("backend {address}"), format!("weight {weight}{most}{backup}"))
    };
    thing.keys.extend(backends.iter().map(backend));
    thing
}

fn sticky(sticky: Option<&Sticky>) -> [Key; 2] {
    let shown = match sticky {
        Some(Sticky { cookie, max_age: Some(age), .. }) => format!("cookie {cookie} for {}", time(*age)),
        Some(Sticky { cookie, max_age: None, .. }) => format!("cookie {cookie}"),
        None => "none".to_owned(),
    };
    // Compared by what comes of it, so that the secret itself is not copied about.
    let mut hasher = DefaultHasher::new();
    sticky.and_then(|sticky| sticky.secret.as_ref()).map(Secret::bytes).hash(&mut hasher);
    [Key::shown("sticky", shown), Key::hidden("sticky.secret_file", hasher.finish().to_string())]
}

fn health(health: &Health) -> Vec<Key> {
    // Protocol and header are told of with the pool's own keys.
    let Health { probe, every, timeout, rise, fall, start, protocol: _, send_proxy_protocol: _ } = health;
    let mut keys = vec![
        Key::shown("health.every", time(*every)),
        Key::shown("health.timeout", time(*timeout)),
        Key::shown("health.rise", rise.to_string()),
        Key::shown("health.fall", fall.to_string()),
        Key::shown("health.start", start.as_str().to_owned()),
    ];
    match probe {
        Probe::Tcp => keys.push(Key::shown("health.kind", "tcp".to_owned())),
        Probe::Grpc { service, host } => keys.extend([
            Key::shown("health.kind", "grpc".to_owned()),
            Key::shown("health.service", service.clone()),
            Key::shown("health.host", host.clone().unwrap_or_else(|| "the backend's address".to_owned())),
        ]),
        Probe::Http { method, path, host, headers, expect, body } => keys.extend([
            Key::shown("health.kind", "http".to_owned()),
            Key::shown("health.method", method.clone()),
            Key::shown("health.path", path.clone()),
            Key::shown("health.host", host.clone().unwrap_or_else(|| "the backend's address".to_owned())),
            Key::shown("health.expect", list(expect)),
            // What is asked for may be a secret.
            Key::hidden("health.headers", format!("{headers:?}")),
            Key::hidden("health.body", format!("{body:?}")),
        ]),
    }
    keys
}

fn eject(eject: Option<&Eject>) -> Vec<Key> {
    let Some(Eject { errors, base, max_percent, on }) = eject else {
        return vec![Key::shown("eject.errors", "off".to_owned())];
    };
    let Faults { connect, reset, timeout, malformed, statuses } = on;
    let words = [(connect, "connect"), (reset, "reset"), (timeout, "timeout"), (malformed, "malformed")];
    let words = words.into_iter().filter(|(on, _)| **on).map(|(_, word)| word.to_owned());
    let on: Vec<String> = words.chain(statuses.iter().map(ToString::to_string)).collect();
    vec![
        Key::shown("eject.errors", errors.to_string()),
        Key::shown("eject.on", list(&on)),
        Key::shown("eject.base", time(*base)),
        Key::shown("eject.max", format!("{max_percent}%")),
    ]
}

fn route(route: &Route) -> Thing {
    let Route {
        name,
        listeners,
        hosts,
        paths,
        methods,
        headers,
        queries,
        cookies,
        priority,
        action,
        timeout,
        body_limit,
        request_headers,
        response_headers,
        strip_prefix,
        cache,
    } = route;
    let RouteTimeouts { connect, first_byte, stall, tunnel, total } = timeout;
    let or_pool = |duration: &Option<Duration>| duration.map_or("the pool's".to_owned(), time);
    let keys = vec![
        ("listen", list(listeners)),
        ("host", list(hosts)),
        ("path", list(paths)),
        ("method", list(methods)),
        ("priority", priority.to_string()),
        ("action", self::action(action)),
        ("timeout.connect", or_pool(connect)),
        ("timeout.first_byte", or_pool(first_byte)),
        ("timeout.stall", or_pool(stall)),
        ("timeout.tunnel", or_pool(tunnel)),
        ("timeout.total", total.map_or("the pool's".to_owned(), time_or_none)),
        ("limits.body", body_limit.map_or("the listener's".to_owned(), size)),
        ("rewrite.strip_prefix", strip_prefix.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    let mut thing = thing(format!("route {name}"), keys);
    // Debug forms: they are compared, never shown, so exact beats pretty.
    thing.keys.extend([
        Key::hidden("header", format!("{headers:?}")),
        Key::hidden("query", format!("{queries:?}")),
        Key::hidden("cookie", format!("{cookies:?}")),
        Key::hidden("request_headers", format!("{request_headers:?}")),
        Key::hidden("response_headers", format!("{response_headers:?}")),
    ]);
    thing.keys.extend(cache.iter().flat_map(route_cache));
    if let Action::Respond { body, .. } = action {
        thing.keys.push(Key::hidden("respond.body", body.clone()));
    }
    thing
}

/// A change of `warm` is felt at the next start.
fn cache(Cache { name, memory, max_object, warm, warm_at_once, hottest, hottest_urls }: &Cache) -> Thing {
    let file = |path: &Option<std::path::PathBuf>| path.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    let keys = vec![
        ("memory", Size(*memory).to_string()),
        ("max_object", Size(*max_object).to_string()),
        ("warm", file(warm)),
        ("warm_at_once", warm_at_once.to_string()),
        ("hottest", file(hottest)),
        ("hottest_urls", hottest_urls.to_string()),
    ];
    thing(format!("cache {name}"), keys)
}

fn route_cache(cache: &RouteCache) -> Vec<Key> {
    let RouteCache {
        uses,
        default_ttl,
        override_ttl,
        default_ttl_by_status,
        override_ttl_by_status,
        stale_while_revalidate,
        stale_if_error,
        refresh_ahead,
        ttl_jitter_percent,
        strip_cookies,
        ignore_query,
        sort_query,
        vary_by,
        lock_age,
        purge_from,
        status_header,
    } = cache;
    let by_status = |list: &[(Statuses, Duration)]| match list {
        [] => "none".to_owned(),
        list => list.iter().map(|(statuses, ttl)| format!("{statuses} {}", time(*ttl))).collect::<Vec<_>>().join(", "),
    };
    // What makes a key: answers that are kept under the old one are not found any more.
    let of_keys = |value: String| format!("{value} (other keys: what is kept is fetched anew)");
    let keys = [
        ("cache.use", of_keys(uses.clone())),
        ("cache.default_ttl", time_or_none(*default_ttl)),
        ("cache.override_ttl", time_or_none(*override_ttl)),
        ("cache.default_ttl_by_status", by_status(default_ttl_by_status)),
        ("cache.override_ttl_by_status", by_status(override_ttl_by_status)),
        ("cache.stale_while_revalidate", time(*stale_while_revalidate)),
        ("cache.stale_if_error", time(*stale_if_error)),
        ("cache.refresh_ahead", refresh_ahead.to_string()),
        ("cache.ttl_jitter", format!("{ttl_jitter_percent}%")),
        ("cache.set_cookie", if *strip_cookies { "strip" } else { "refuse" }.to_owned()),
        ("cache.ignore_query", of_keys(list(ignore_query))),
        ("cache.sort_query", of_keys(sort_query.to_string())),
        ("cache.vary_by", of_keys(list(vary_by))),
        ("cache.lock_age", time(*lock_age)),
        ("cache.purge_from", list(purge_from)),
        ("cache.status_header", status_header.as_str().to_owned()),
    ];
    keys.into_iter().map(|(name, value)| Key::shown(name, value)).collect()
}

fn action(action: &Action) -> String {
    match action {
        Action::Pool(pool) => format!("pool {pool}"),
        Action::Redirect { to, status } => format!("redirect {status} to {to}"),
        Action::Respond { status, content_type, .. } => format!("respond {status} {content_type}"),
    }
}

fn list<T: Display>(values: &[T]) -> String {
    match values {
        [] => "none".to_owned(),
        values => values.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn time(duration: Duration) -> String {
    // Jiff's own form is the one that the file is read in; a configuration holds no duration above a year.
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

fn time_or_none(duration: Option<Duration>) -> String {
    duration.map_or("none".to_owned(), time)
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or("unlimited".to_owned(), |bytes| Size(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse_reading, parse_with};

    const OLD: &str = r#"
[server]
workers = 2
[listen.web]
address = "127.0.0.1:8080"
[pool.app]
backends = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 2 }, "10.0.0.3:80"]
[pool.old]
backends = ["10.0.0.9:80"]
[[route]]
name = "app"
pool = "app"
request_headers = { set = { authorization = "secret one" } }
[[route]]
path = "/old"
pool = "old"
[[route]]
path = "/fixed"
respond = { body = "one" }
"#;

    fn changes(edits: &[(&str, &str)]) -> String {
        let mut text = OLD.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let read = |text: &str| parse_with(text, "test", &|_| None).unwrap_or_else(|report| panic!("{report}")).0;
        diff(&read(OLD), &read(&text)).to_string()
    }

    #[test]
    fn each_kind_of_difference_has_its_line() {
        for (edits, expected) in [
            (&[][..], "nothing changed"),
            (&[("[pool.app]", "[pool.app] # a comment\nalgorithm = \"p2c\"")], "nothing changed"),
            (
                &[("[pool.app]", "[pool.app]\nalgorithm = \"round_robin\""), ("weight = 2", "weight = 1")],
                "changed pool app: algorithm p2c -> round_robin\nchanged pool app: backend 10.0.0.2:80 weight 2 -> weight 1",
            ),
            (&[(", \"10.0.0.3:80\"", ", \"10.0.0.4:80\"")], "added pool app: backend 10.0.0.4:80\nremoved pool app: backend 10.0.0.3:80"),
            (
                &[("workers = 2", "workers = 4\ndrain_delay = \"90s\"")],
                "changed server: drain_delay 3s -> 1m 30s\nneeds a restart: server: workers 2 -> 4",
            ),
            (&[("[server]", "[admin]\n[server]")], "needs a restart: admin added"),
            (
                &[("[listen.web]", "[listen.web]\nlimits = { body = \"unlimited\" }")],
                "changed listener web: limits.body 256MiB -> unlimited",
            ),
            (&[("[listen.web]", "[listen.web]\nlimits = { body = \"1MB\" }")], "changed listener web: limits.body 256MiB -> 1MB"),
            (&[("secret one", "secret two")], "changed route app: request_headers"),
            (
                &[("[pool.old]", "[pool.old]\neject = { errors = \"off\" }\nwhen_all_down = \"fail\"")],
                "changed pool old: when_all_down fail_open -> fail\nchanged pool old: eject.errors 5 -> off\nremoved pool old: eject.on\n\
                 removed pool old: eject.base\nremoved pool old: eject.max",
            ),
            (&[("body = \"one\"", "body = \"two\"")], "changed route /fixed: respond.body"),
            (&[("path = \"/old\"", "path = \"/older\"")], "added route /older\nremoved route /old"),
            (
                &[("[pool.old]", "[pool.new]"), ("\"old\"", "\"new\"")],
                "added pool new\nchanged route /old: action pool old -> pool new\nremoved pool old",
            ),
        ] {
            assert_eq!(changes(edits), expected, "{edits:?}");
        }
    }

    #[test]
    fn another_secret_is_told_and_not_shown() {
        let with = |secret: &'static [u8]| {
            let text = OLD.replace("[pool.app]", "[pool.app]\nsticky = { secret_file = \"x\", max_age = \"8h\" }");
            parse_reading(&text, "test", &|_| None, &|_| Ok(secret.to_vec()), None).unwrap_or_else(|report| panic!("{report}")).0
        };
        let (one, two) = (with(b"one secret, as long as it has to be"), with(b"two secrets, long as they have to be"));
        assert_eq!(diff(&one, &two).to_string(), "changed pool app: sticky.secret_file");
        assert!(!format!("{one:?}").contains("secret,"));
        let without = parse_with(OLD, "test", &|_| None).unwrap_or_else(|report| panic!("{report}")).0;
        let expected = "changed pool app: sticky none -> cookie tidegate for 8h\nchanged pool app: sticky.secret_file";
        assert_eq!(diff(&without, &one).to_string(), expected);
    }

    #[test]
    fn an_admin_that_moves_needs_a_restart() {
        let with = |admin: &str| {
            let text = format!("{OLD}\n[admin]\naddress = \"{admin}\"");
            parse_with(&text, "test", &|_| None).unwrap().0
        };
        let changes = diff(&with("127.0.0.1:9900"), &with("127.0.0.1:9901"));
        assert_eq!(changes.to_string(), "needs a restart: admin: address 127.0.0.1:9900 -> 127.0.0.1:9901");
        assert!(!changes.is_empty());
    }
}
