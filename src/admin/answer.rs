//! One admin request to one answer.
//!
//! The listener stands on loopback by default, where every web page in the operator's browser can reach it. So: a Host that is not
//! an address, `localhost` or a name from the configuration is refused (a page that has its own name resolve to 127.0.0.1 sends its
//! own name), and a write wants a header that no page can send across origins without being asked first, to which nobody here says
//! yes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::Sources;
use super::kept::KeptQuery;
use super::purge::PurgeOrder;
use super::readiness::Stage;
use super::status::Command;
use super::verb::{Order, VerbReport};
use super::warm::WarmOrder;

const BODY_BYTES: usize = 4 << 10;
/// For `app` to carry out a command; less than an exchange may take, so that the answer still gets out.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "\
Tidegate admin

GET  /metrics     metrics in the Prometheus text format
GET  /ready       200 while this process wants traffic, else 503
GET  /live        200 while it runs
GET  /api/status  workers, listeners, pools, backends, certificates (JSON)
GET  /api/config  the file and the generation in force (JSON)
POST /api/reload  read the file again; send the header X-Tidegate: 1
POST /api/drain   pool, backend, deadline (JSON): no new requests; sticky sessions until the deadline, if there is one
POST /api/eject   pool, backend, for (JSON): no requests at all, for that time or until it is resumed
POST /api/resume  pool, backend (JSON): as the file has it again
POST /api/weight  pool, backend, weight (JSON): another weight than the file's
POST /api/purge   url, tag or all, cache, soft (JSON): takes answers out of the caches; a url ending in * is a prefix
POST /api/warm    urls, at_once (JSON): fetches these into the caches; GET says how far it is, DELETE ends it
POST /api/cache   url (JSON): what the caches have under it, and why
";

type Answer = Response<Full<Bytes>>;

pub async fn answer(request: Request<Incoming>, sources: &Sources) -> Answer {
    let (head, body) = request.into_parts();
    if !host_is_ours(&head.headers, &sources.hosts) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "The Host of this request is neither an address, nor localhost, nor in `admin.hosts`.\n",
        );
    }
    // Read even where nothing is expected: an unread body would cut the answer off as the connection closes.
    // A page in somebody's browser can send a body here, and is refused below; it is not to have much of it kept until then.
    let is_list = head.method == Method::POST && head.uri.path() == WarmOrder::PATH && is_deliberate(&head.headers);
    let most = if is_list { WarmOrder::BODY_BYTES } else { BODY_BYTES };
    let Ok(body) = Limited::new(body, most).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "The request body is broken or too large.\n");
    };
    let path = head.uri.path();
    // HEAD is answered as GET is; hyper keeps the body back.
    let method = if head.method == Method::HEAD { Method::GET } else { head.method };
    match (method.as_str(), path) {
        ("GET", "/") => text(StatusCode::OK, INDEX),
        ("GET", "/metrics") => {
            let page = sources.registry.render(&(sources.pools)(), &(sources.names)(), &(sources.certificates)());
            respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
        }
        ("GET", "/live") => text(StatusCode::OK, "live\n"),
        ("GET", "/ready") => match sources.readiness.stage() {
            Stage::Ready => text(StatusCode::OK, "ready\n"),
            other => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", other.as_str())),
        },
        ("GET", "/api/status") => told(ask(sources, |reply| Command::Status { reply }).await),
        ("GET", "/api/config") => match ask(sources, |reply| Command::Status { reply }).await {
            Some(status) => json(StatusCode::OK, &json!({ "file": status.config_file, "generation": status.generation })),
            None => no_reply(),
        },
        ("POST" | "DELETE", path) if is_write(path) && !is_deliberate(&head.headers) => {
            text(StatusCode::FORBIDDEN, "Send the header X-Tidegate: 1, or Content-Type: application/json.\n")
        }
        ("POST", "/api/reload") => match ask(sources, |reply| Command::Reload { reply }).await {
            Some(report) => json(if report.ok { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, &report),
            None => no_reply(),
        },
        ("POST", path) if Order::PATHS.contains(&path) => match Order::read(path, &body.to_bytes()) {
            Ok(order) => obeyed(ask(sources, |reply| Command::Tell { order, reply }).await, StatusCode::NOT_FOUND),
            Err(report) => misread(report),
        },
        ("POST", PurgeOrder::PATH) => match PurgeOrder::read(&body.to_bytes()) {
            Ok(order) => obeyed(ask(sources, |reply| Command::Purge { order, reply }).await, StatusCode::NOT_FOUND),
            Err(report) => misread(report),
        },
        ("GET", WarmOrder::PATH) => told(ask(sources, |reply| Command::Warmed { reply }).await),
        ("POST", WarmOrder::PATH) => match WarmOrder::read(&body.to_bytes()) {
            Ok(order) => obeyed(ask(sources, |reply| Command::Warm { order, reply }).await, StatusCode::CONFLICT),
            Err(report) => misread(report),
        },
        ("DELETE", WarmOrder::PATH) => obeyed(ask(sources, |reply| Command::StopWarming { reply }).await, StatusCode::CONFLICT),
        ("POST", KeptQuery::PATH) => match KeptQuery::read(&body.to_bytes()) {
            Ok(query) => told(ask(sources, |reply| Command::Kept { query, reply }).await),
            Err(report) => misread(report),
        },
        (_, "/" | "/metrics" | "/live" | "/ready" | "/api/status" | "/api/config") => not_allowed("GET, HEAD"),
        (_, WarmOrder::PATH) => not_allowed("GET, HEAD, POST, DELETE"),
        (_, path) if is_write(path) => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, "There is nothing here; see /.\n"),
    }
}

fn is_write(path: &str) -> bool {
    path == "/api/reload" || path == PurgeOrder::PATH || path == KeptQuery::PATH || path == WarmOrder::PATH || Order::PATHS.contains(&path)
}

/// `None`: `app` is ending, or too busy to answer in time.
async fn ask<T>(sources: &Sources, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        sources.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(COMMAND_TIMEOUT, asked).await.ok().flatten()
}

/// Whether every Host names an address, `localhost` or one of `names`. None at all is fine: browsers always send one.
fn host_is_ours(headers: &HeaderMap, names: &[String]) -> bool {
    headers.get_all(HOST).iter().all(|value| {
        let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let named = host.strip_suffix('.').unwrap_or(host);
        host.eq_ignore_ascii_case("localhost")
            || bare.parse::<std::net::IpAddr>().is_ok()
            || names.iter().any(|name| name.eq_ignore_ascii_case(named))
    })
}

/// Whether the request carries what a foreign page can not send unasked.
fn is_deliberate(headers: &HeaderMap) -> bool {
    let is_json = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    headers.contains_key("x-tidegate") || headers.get(CONTENT_TYPE).is_some_and(is_json)
}

/// What was asked for; `None`: see `ask`.
fn told(answer: Option<impl Serialize>) -> Answer {
    answer.map_or_else(no_reply, |answer| json(StatusCode::OK, &answer))
}

/// What has become of an order. `otherwise`: the status where it was not carried out.
fn obeyed(report: Option<VerbReport>, otherwise: StatusCode) -> Answer {
    report.map_or_else(no_reply, |report| json(if report.ok { StatusCode::OK } else { otherwise }, &report))
}

/// What is wrong with the body of a request.
fn misread(report: String) -> Answer {
    json(StatusCode::BAD_REQUEST, &VerbReport { ok: false, report })
}

fn no_reply() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "The process is busy or ending.\n")
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("Here only: {methods}.\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, TEXT, body)
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => respond(status, "application/json", body),
        // A path that is not UTF-8 is the one thing here that JSON can not hold.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
