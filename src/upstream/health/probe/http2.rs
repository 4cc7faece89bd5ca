//! A probe's request over HTTP/2.

use bytes::Bytes;
use h2::RecvStream;
use h2::client::Builder;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE};
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Content, beside, grpc, judge_answer};
use crate::backend::Finding;
use crate::config::model::Probe;

/// Asks, and judges the answer; either way a finding. `request`: as it would go out over HTTP/1.1.
pub(super) async fn ask<T>(
    check: &Probe,
    request: Request<T>,
    scheme: Scheme,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Finding, Finding> {
    let (mut sender, connection) = Builder::new().enable_push(false).handshake::<_, Bytes>(stream).await.map_err(|error| broken(&error))?;
    let asked = async {
        let mut request = translated(request, scheme);
        let question = match check {
            Probe::Grpc { service, .. } => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
                Some(grpc::question(service))
            }
            _ => None,
        };
        let (answer, mut stream) = sender.send_request(request, question.is_none()).map_err(|error| broken(&error))?;
        if let Some(question) = question {
            stream.send_data(question, true).map_err(|error| broken(&error))?;
            let answer = answer.await.map_err(|error| broken(&error))?;
            return grpc::judge(answer).await;
        }
        let answer = answer.await.map_err(|error| broken(&error))?;
        judge_answer(check, answer.status().as_u16(), Content::Http2(answer.into_body())).await
    };
    beside(connection, asked).await
}

/// Host becomes `:authority`, and there is no connection to speak of.
fn translated<T>(request: Request<T>, scheme: Scheme) -> Request<()> {
    let (mut parts, _) = request.into_parts();
    let host: Option<HeaderValue> = parts.headers.remove(HOST);
    parts.headers.remove(CONNECTION);
    let mut uri = Parts::from(std::mem::take(&mut parts.uri));
    if let Some(authority) = host.and_then(|host| Authority::try_from(host.as_bytes()).ok()) {
        uri.scheme = Some(scheme);
        uri.authority = Some(authority);
    }
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    parts.version = Version::HTTP_11;
    Request::from_parts(parts, ())
}

/// The next piece of content; `None`: that was all.
pub(super) async fn next(stream: &mut RecvStream) -> Option<Result<Bytes, Finding>> {
    let piece = stream.data().await?.map_err(|error| broken(&error));
    if let Ok(piece) = &piece {
        // Fails only where the stream is over.
        let _ = stream.flow_control().release_capacity(piece.len());
    }
    Some(piece)
}

pub(super) fn broken(error: &h2::Error) -> Finding {
    if error.is_library() { Finding::Malformed } else { Finding::Reset }
}
