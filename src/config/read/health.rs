//! How a pool finds out which of its backends are well: `health` and `eject`.

use super::super::file::Section;
use super::super::model::{Eject, Faults, Health, Probe, ProbeKind, Protocol, ProxyVersion, Start};
use super::super::report::Problem;
use super::super::value::{self, Mistake};

/// Fields of a probe's request that the prober writes itself.
const OWN_FIELDS: &[&str] =
    &["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect", "keep-alive"];

/// Keys of `health` that are about a request.
const OF_REQUESTS: &[&str] = &["path", "method", "host", "headers", "expect", "body", "service"];
/// Of these, the ones that a check by gRPC says itself.
const OF_HTTP: &[&str] = &["path", "method", "headers", "expect", "body"];

pub(super) fn health(pool: &Section<'_>, place: &str, protocol: Protocol, send_proxy_protocol: Option<ProxyVersion>) -> Option<Health> {
    let (path, section) = pool.short("health", place)?;
    let path = match path {
        Some(path) => section.check(&path.span, value::probe_path(&path.value)),
        None => Some(section.parsed("path", value::probe_path).map_or_else(|| "/".to_owned(), |path| path.value)),
    };
    let kind = section.word("kind", ProbeKind::of);
    let none = |names: &[&str], why: &str| {
        for name in names {
            if let Some(span) = section.key_span(name) {
                let problem = Problem::error(span, format!("{why}: `{name}` has no meaning"));
                section.note(problem.help("take it out, or take `kind` out for an HTTP check"));
            }
        }
    };
    let probe = match kind {
        ProbeKind::Tcp => {
            none(OF_REQUESTS, "a check of kind \"tcp\" sends no request");
            Probe::Tcp
        }
        ProbeKind::Grpc => {
            none(OF_HTTP, "a check of kind \"grpc\" has a request of its own");
            if let (Protocol::Http1, Some(span)) = (protocol, section.value_span("kind")) {
                let problem = Problem::error(span, "a check of kind \"grpc\" speaks HTTP/2");
                section.note(problem.help("write `protocol = \"http2\"` in the pool"));
            }
            let host = section.parsed("host", value::probe_host).map(|host| host.value);
            Probe::Grpc { service: section.parsed("service", service).map_or_else(String::new, |service| service.value), host }
        }
        ProbeKind::Http => {
            none(&["service"], "a check of kind \"http\" asks for a path");
            request(&section, path.unwrap_or_default())
        }
    };
    Some(Health {
        probe,
        every: section.duration("every"),
        timeout: section.duration("timeout"),
        rise: section.number("rise").value as u32,
        fall: section.number("fall").value as u32,
        start: section.word("start", Start::of),
        protocol,
        send_proxy_protocol,
    })
}

/// The longest name of a service; that of a method is longer, and has to fit into a path.
const SERVICE_BYTES_MAX: usize = 1024;

fn service(text: &str) -> Result<String, Mistake> {
    match text.len() {
        0..=SERVICE_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(Mistake::new("this is too long for the name of a service").help("`package.Service`, as the backend registers it")),
    }
}

fn request(section: &Section<'_>, path: String) -> Probe {
    let method = section.parsed("method", |text| match text {
        "CONNECT" => Err(Mistake::new("a probe cannot open a tunnel").help("for a check that only connects, write `kind = \"tcp\"`")),
        text => value::method(text),
    });
    let expect = section.many("expect", value::statuses);
    let expect = match expect.is_empty() {
        true => value::statuses("200-399").into_iter().collect(),
        false => expect.into_iter().map(|statuses| statuses.value).collect(),
    };
    let body = section.parsed("body", |text| match text {
        "" => Err(Mistake::new("every body contains nothing").help("leave `body` out, or write what must be in it")),
        text => Ok(text.to_owned()),
    });
    if let (Some(body), Some(method)) = (&body, &method)
        && method.value == "HEAD"
    {
        let problem = Problem::error(body.span.clone(), "an answer to HEAD has no body");
        section.note(problem.also(method.span.clone(), "the method is chosen here").help("use GET, or take `body` out"));
    }
    let mut headers = Vec::new();
    for (name, content) in section.pairs("headers") {
        let ours = OWN_FIELDS.contains(&name.value.to_ascii_lowercase().as_str());
        let allowed = match ours {
            true if name.value.eq_ignore_ascii_case("host") => {
                Err(Mistake::new("`host` is a key of its own").help("write `host = \"...\"`"))
            }
            true => Err(Mistake::new(format!("`{}` cannot be set", name.value)).help("the prober writes it itself")),
            false => value::edited_field(&name.value),
        };
        section.check(&name.span, allowed);
        section.check(&content.span, value::field_value(&content.value));
        headers.push((name.value, content.value));
    }
    Probe::Http {
        method: method.map_or_else(|| "GET".to_owned(), |method| method.value),
        path,
        host: section.parsed("host", value::probe_host).map(|host| host.value),
        headers,
        expect,
        body: body.map(|body| body.value),
    }
}

pub(super) fn eject(section: &Section<'_>) -> Option<Eject> {
    let errors = section.number_or_word("errors");
    let mut faults = Faults::default();
    let words = section.many("on", |text| Ok(text.to_owned()));
    for word in &words {
        section.check(&word.span, value::fault(&word.value, &mut faults));
    }
    if words.is_empty() {
        faults = Faults { connect: true, reset: true, timeout: true, malformed: true, statuses: Vec::new() };
    }
    let (base, max_percent) = (section.duration("base"), section.share("max"));
    if let (0, Some(span)) = (max_percent, section.value_span("max")) {
        section.note(Problem::error(span, "`max` cannot be 0%").help("for no ejection at all, write `errors = \"off\"`"));
    }
    if errors.is_none() {
        for name in ["on", "base", "max"] {
            if let Some(span) = section.key_span(name) {
                section.note(Problem::warning(span, format!("`{name}` has no effect while `errors` is \"off\"")));
            }
        }
    }
    // The table of keys bounds it to a thousand.
    Some(Eject { errors: errors?.value as u32, base, max_percent, on: faults })
}
