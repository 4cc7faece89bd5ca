//! One probe: a connection of its own, a request where the check asks for one, and what came of it.
//!
//! Never a connection of the pool's: a check that passes because an old connection is still open says nothing about the next
//! client, and one that fails must not take a request's place. hyper reads the answer, or `h2` where that is spoken; this is not the data
//! path.

mod grpc;
mod http2;

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::backend::Finding;
use crate::config::model::{Health, Probe, Protocol};
use crate::failure::Failure;
use crate::io;
use crate::listen::proxy_protocol::{self, Origin};
use crate::tls::Peer;
use crate::upstream::connect::{judge, judge_handshake};

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"), " (health)");
/// Of a body, so much is looked at.
const BODY_BYTES: usize = 64 << 10;
/// What nobody asked about is read for so long, so that the backend sees its answer taken and not its connection reset.
const COURTESY: Duration = Duration::from_millis(50);

/// What was found, and how long it took. `None`: no descriptor or port was left on our side, which says nothing about the backend.
/// Cancel safe: dropping it closes the connection.
pub async fn probe(check: &Health, address: Address, tls: Option<&Peer>) -> Option<(Finding, Duration)> {
    let began = Instant::now();
    let found = match tokio::time::timeout(check.timeout, run(check, address, tls)).await {
        Ok(found) => found?,
        Err(_) => Finding::Timeout,
    };
    Some((found, began.elapsed().min(check.timeout)))
}

async fn run(check: &Health, address: Address, tls: Option<&Peer>) -> Option<Finding> {
    let connected = async {
        let mut stream = io::connect(&address).await?;
        if let Some(version) = check.send_proxy_protocol {
            let mut introduction = Vec::new();
            proxy_protocol::write(version, Origin::Own, &mut introduction);
            stream.write_all(&introduction).await?;
        }
        Ok(stream)
    };
    let stream = match connected.await {
        Ok(stream) => stream,
        Err(error) => {
            return match judge(&error) {
                Failure::ResourcesExhausted => None,
                Failure::ConnectRefused => Some(Finding::ConnectRefused),
                Failure::ConnectTimeout => Some(Finding::Timeout),
                _ => Some(Finding::ConnectFailed),
            };
        }
    };
    let Some(peer) = tls else { return Some(question(check, &address, Scheme::HTTP, stream).await) };
    match TlsConnector::from(peer.config.clone()).connect(peer.name.clone(), stream).await {
        Ok(stream) if !peer.agrees_on(stream.get_ref().1.alpn_protocol()) => Some(Finding::TlsFailed),
        Ok(stream) => Some(question(check, &address, Scheme::HTTPS, stream).await),
        Err(error) => Some(match judge_handshake(&error) {
            Failure::UpstreamUntrusted => Finding::Untrusted,
            _ => Finding::TlsFailed,
        }),
    }
}

async fn question(check: &Health, address: &Address, scheme: Scheme, stream: impl AsyncRead + AsyncWrite + Unpin) -> Finding {
    let asked = match (&check.probe, check.protocol) {
        (Probe::Tcp, _) => Ok(Finding::Passed),
        (probe, Protocol::Http1) => ask(probe, address, stream).await,
        (probe, Protocol::Http2) => http2::ask(probe, request(probe, address), scheme, stream).await,
    };
    asked.unwrap_or_else(|failed| failed)
}

/// Asks, and judges the answer; either way a finding.
async fn ask(check: &Probe, address: &Address, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Finding, Finding> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let asked = async {
        let answer = sender.send_request(request(check, address)).await.map_err(|error| broken(&error))?;
        judge_answer(check, answer.status().as_u16(), Content::Http1(answer.into_body())).await
    };
    beside(connection, asked).await
}

/// The connection does the reading. What it comes to is told to whoever asked.
async fn beside<T>(connection: impl Future, asked: impl Future<Output = T>) -> T {
    let (mut asked, mut connection) = (pin!(asked), pin!(connection));
    let mut over = false;
    poll_fn(|cx| {
        over = over || connection.as_mut().poll(cx).is_ready();
        asked.as_mut().poll(cx)
    })
    .await
}

async fn judge_answer(check: &Probe, status: u16, content: Content) -> Result<Finding, Finding> {
    let Probe::Http { expect, body, .. } = check else { return Ok(Finding::Passed) };
    if !expect.iter().any(|range| range.contains(status)) {
        return Err(Finding::Status(status));
    }
    match body {
        Some(wanted) => contains(content, wanted.as_bytes()).await,
        None => {
            let _ = tokio::time::timeout(COURTESY, contains(content, b"")).await;
            Ok(Finding::Passed)
        }
    }
}

/// The content of an answer, as it comes.
enum Content {
    Http1(Incoming),
    Http2(h2::RecvStream),
}

impl Content {
    fn is_over(&self) -> bool {
        match self {
            Content::Http1(body) => body.is_end_stream(),
            Content::Http2(stream) => stream.is_end_stream(),
        }
    }

    /// The next piece; `None`: that was all.
    async fn next(&mut self) -> Option<Result<Bytes, Finding>> {
        match self {
            Content::Http1(body) => match body.frame().await? {
                Ok(frame) => Some(Ok(frame.into_data().unwrap_or_default())),
                Err(error) => Some(Err(broken(&error))),
            },
            Content::Http2(stream) => Some(http2::next(stream).await?),
        }
    }
}

fn broken(error: &hyper::Error) -> Finding {
    if error.is_parse() { Finding::Malformed } else { Finding::Reset }
}

/// Everything in it was checked when the configuration was read.
fn request(check: &Probe, address: &Address) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let (method, path, host, headers) = match check {
        Probe::Tcp => return request,
        Probe::Http { method, path, host, headers, .. } => (method.as_str(), path.as_str(), host, headers.as_slice()),
        Probe::Grpc { host, .. } => ("POST", grpc::PATH, host, &[][..]),
    };
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
    let fields = request.headers_mut();
    let host = host.clone().unwrap_or_else(|| match address {
        Address::Ip(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    });
    fields.extend(HeaderValue::from_str(&host).ok().map(|host| (HOST, host)));
    fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            fields.append(name, value);
        }
    }
    // Asked for so that the backend closes first, and keeps nothing for us.
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}

/// Whether the first `BODY_BYTES` of the body have this in them. Reads no further than it must.
async fn contains(mut content: Content, wanted: &[u8]) -> Result<Finding, Finding> {
    let mut seen = Vec::new();
    loop {
        let whole = content.is_over();
        let enough = whole || seen.len() >= BODY_BYTES;
        seen.truncate(BODY_BYTES);
        if !wanted.is_empty() && seen.windows(wanted.len()).any(|window| window == wanted) {
            return Ok(Finding::Passed);
        }
        if enough {
            return Err(Finding::BodyMismatch);
        }
        match content.next().await {
            Some(Ok(piece)) => seen.extend_from_slice(&piece),
            Some(Err(finding)) => return Err(finding),
            None => return if wanted.is_empty() { Ok(Finding::Passed) } else { Err(Finding::BodyMismatch) },
        }
    }
}

#[cfg(test)]
mod tests;
