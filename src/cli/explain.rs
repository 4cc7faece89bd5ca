//! `tidegate explain`: where a request would go, and why there. Nothing is sent. (With `--cache`: what is kept, see `kept`.)

mod judgement;
mod kept;
mod question;

use std::fmt::{self, Write as _};
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use anyhow::bail;
use serde::Serialize;

use self::judgement::{judge, preference, why_after};
use self::question::Question;
use super::Outcome;
use super::args::Explain;
use super::check::count;
use super::console::{Console, Stream};
use crate::address::Address;
use crate::config;
use crate::config::model::{Action, BackendAddress, BackendSpec, Config, Listener, Pool, Route};
use crate::message::forwarding;

/// Routes that a person is shown among those that did not win; `--json` has them all.
const OTHERS_SHOWN: usize = 10;

pub(super) fn explain(asked: &Explain, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    if let Some(url) = &asked.cache {
        return kept::explain(url, asked, console);
    }
    let config = match config::load(asked.file.as_deref().unwrap_or(Path::new(""))) {
        Ok((config, _)) => config,
        Err(report) => {
            writeln!(console.err, "{}", report.render(console.err.colour))?;
            return Ok(Outcome::Failure);
        }
    };
    let explanation = Explanation::of(&config, asked)?;
    if asked.json {
        writeln!(console.out, "{}", serde_json::to_string_pretty(&explanation)?)?;
    } else {
        let text = explanation.text(&console.out);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(if explanation.route.is_some() { Outcome::Success } else { Outcome::Failure })
}

#[derive(Debug, Serialize)]
struct Explanation<'a> {
    method: &'a str,
    url: &'a str,
    listener: Arrival<'a>,
    /// What the routes were asked for.
    host: String,
    path: String,
    /// `None`: no route matches, the answer is 404.
    route: Option<Taken<'a>>,
    /// Those that could have taken the request first, in the order of preference; then those nearest to it.
    others: Vec<Other<'a>>,
}

#[derive(Debug, Serialize)]
struct Arrival<'a> {
    name: &'a str,
    addresses: &'a [Address],
    because: &'static str,
    /// Whether the listener believes `--from`; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Client>,
}

#[derive(Debug, Serialize)]
struct Client {
    address: IpAddr,
    /// Its `X-Forwarded-*` are believed.
    trusted: bool,
    /// Its connections begin with a PROXY header, and the client is whom that names.
    introduces: bool,
}

#[derive(Debug, Serialize)]
struct Taken<'a> {
    name: &'a str,
    because: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_prefix: Option<&'a str>,
    #[serde(flatten)]
    action: Taking<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Taking<'a> {
    Pool { name: &'a str, algorithm: &'static str, candidates: Vec<Candidate> },
    Redirect { to: &'a str, status: u16 },
    Respond { status: u16, content_type: &'a str, bytes: usize },
}

#[derive(Debug, Serialize)]
struct Candidate {
    #[serde(flatten)]
    place: Place,
    weight: u32,
    backup: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Address(Address),
    /// Any number of backends, known only to a proxy that runs.
    Dns(String),
}

impl From<&BackendAddress> for Place {
    fn from(address: &BackendAddress) -> Place {
        match address {
            BackendAddress::Fixed(address) => Place::Address(address.clone()),
            BackendAddress::Dns(name) => Place::Dns(name.to_string()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => address.fmt(f),
            Place::Dns(name) => write!(f, "{name}, resolved when running"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Other<'a> {
    name: &'a str,
    /// Its own predicates hold; only another route goes before it.
    matches: bool,
    because: Vec<String>,
}

impl<'a> Explanation<'a> {
    fn of(config: &'a Config, asked: &'a Explain) -> anyhow::Result<Explanation<'a>> {
        let question = Question::from_arguments(asked)?;
        let (listener, because) = arrival(config, asked.listener.as_deref(), question.port)?;
        let from = asked.from.map(|address| Client {
            address,
            trusted: forwarding::is_trusted(address, &listener.trusted_proxies),
            introduces: forwarding::is_trusted(address, &listener.proxy_protocol),
        });

        let in_order = preference(&config.routes, &listener.name, &question);
        let winner = in_order.first().map(|at| &config.routes[*at]);
        let mut others = Vec::new();
        if let Some(winner) = winner {
            others.extend(in_order[1..].iter().map(|at| &config.routes[*at]).map(|loser| Other {
                name: &loser.name,
                matches: true,
                because: vec![why_after(loser, winner, &question)],
            }));
        }
        let failed = config.routes.iter().enumerate().filter(|(at, _)| !in_order.contains(at));
        let mut failed: Vec<_> = failed
            .map(|(_, route)| Other { name: &route.name, matches: false, because: judge(route, &listener.name, &question).fails })
            .collect();
        failed.sort_by_key(|other| other.because.len());
        others.extend(failed);

        Ok(Explanation {
            method: asked.method(),
            url: asked.url(),
            listener: Arrival { name: &listener.name, addresses: &listener.addresses, because, from },
            route: winner.map(|route| Taken {
                name: &route.name,
                because: judge(route, &listener.name, &question).holds,
                strip_prefix: route.strip_prefix.as_deref(),
                action: taking(config, route),
            }),
            others,
            host: question.host,
            path: question.path,
        })
    }

    fn text(&self, out: &Stream<'_>) -> String {
        let mut text = format!("{} {}\n\n", self.method, self.url);
        // Padded first: an escape sequence would count as width.
        let mut line = |name: &str, said: &str| {
            let _ = writeln!(text, "{} {said}", out.bold(&format!("{name:<9}")));
        };
        let addresses: Vec<_> = self.listener.addresses.iter().map(ToString::to_string).collect();
        line("listener", &format!("{} on {}: {}", self.listener.name, addresses.join(", "), self.listener.because));
        if let Some(client) = &self.listener.from {
            let trust = if client.trusted {
                "is in trusted_proxies: its X-Forwarded-* are believed"
            } else {
                "is not in trusted_proxies: its X-Forwarded-* are dropped"
            };
            line("from", &format!("{} {trust}", client.address));
            if client.introduces {
                line("", "is in proxy_protocol: it must begin with a PROXY header, and the client is whom that names");
            }
        }
        line("asks for", &format!("path {} of {}", self.path, if self.host.is_empty() { "no host" } else { &self.host }));
        match &self.route {
            None => line("route", "none matches: the answer is 404"),
            Some(route) => {
                line("route", &format!("{}: {}", route.name, route.because.join(", ")));
                if let Some(prefix) = route.strip_prefix {
                    line("rewrite", &format!("{prefix} is taken off the path"));
                }
                match &route.action {
                    Taking::Pool { name, algorithm, candidates } => {
                        line("pool", &format!("{name}: {algorithm} over {}", count(candidates.len(), "backend")));
                        for candidate in candidates {
                            let drained = if candidate.weight == 0 { ", takes no new requests" } else { "" };
                            let backup = if candidate.backup { ", backup" } else { "" };
                            line("", &format!("{}, weight {}{backup}{drained}", candidate.place, candidate.weight));
                        }
                    }
                    Taking::Redirect { to, status } => line("answer", &format!("{status}, redirects to {to}")),
                    Taking::Respond { status, content_type, bytes } => {
                        line("answer", &format!("{status}, {} of {content_type}", count(*bytes, "byte")));
                    }
                }
            }
        }
        for (at, other) in self.others.iter().take(OTHERS_SHOWN).enumerate() {
            let verdict = if other.matches { "matches too, but " } else { "does not match: not " };
            let reasons = other.because.join(", not ");
            line(if at == 0 { "others" } else { "" }, &format!("{}: {verdict}{reasons}", other.name));
        }
        if let Some(more) = self.others.len().checked_sub(OTHERS_SHOWN).filter(|more| *more > 0) {
            line("", &format!("and {more} more; --json has them all"));
        }
        text
    }
}

/// The listener that the request arrives on, and why that one.
fn arrival<'a>(config: &'a Config, named: Option<&str>, port: Option<u16>) -> anyhow::Result<(&'a Listener, &'static str)> {
    let listeners = &config.listeners;
    if let Some(name) = named {
        let Some(listener) = listeners.iter().find(|listener| listener.name == name) else {
            let known: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
            bail!("no listener `{name}`; there are: {}", known.join(", "));
        };
        return Ok((listener, "--listener says so"));
    }
    let on_port = listeners
        .iter()
        .find(|listener| listener.addresses.iter().any(|address| address.ip().is_some_and(|address| Some(address.port()) == port)));
    match (listeners.as_slice(), on_port) {
        ([only], _) => Ok((only, "the only one")),
        (_, Some(listener)) => Ok((listener, "its port is the URL's")),
        ([first, ..], None) => Ok((first, "the first in the file, none has the URL's port (--listener NAME asks another)")),
        ([], None) => bail!("the configuration has no listener"),
    }
}

fn taking<'a>(config: &'a Config, route: &'a Route) -> Taking<'a> {
    match &route.action {
        Action::Pool(name) => {
            let pool = config.pools.iter().find(|pool| pool.name == *name);
            Taking::Pool {
                name,
                algorithm: pool.map_or("", |pool| pool.algorithm.as_str()),
                candidates: pool.map(candidates).unwrap_or_default(),
            }
        }
        Action::Redirect { to, status } => Taking::Redirect { to, status: *status },
        Action::Respond { status, body, content_type } => Taking::Respond { status: *status, content_type, bytes: body.len() },
    }
}

fn candidates(pool: &Pool) -> Vec<Candidate> {
    let candidate = |backend: &BackendSpec| Candidate { place: (&backend.address).into(), weight: backend.weight, backup: backend.backup };
    pool.backends.iter().map(candidate).collect()
}

#[cfg(test)]
mod tests;
