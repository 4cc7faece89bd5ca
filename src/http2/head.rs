//! Heads and trailers between HTTP/2 and us: what makes a message (RFC 9113 8), and no more than HTTP/1.1 would let through.
//!
//! `h2` has refused what is malformed as HTTP/2 sees it: upper case in names, NUL, CR and LF, fields that speak of a connection, pseudo
//! fields that are unknown, repeated, missing or late. What is left to us is where a request would change its meaning as it goes on
//! over HTTP/1.1: blanks around a value, a target that is no path, an authority with a user in it or that is not the Host's, a second
//! Content-Length.

use std::sync::LazyLock;

use bytes::Bytes;
use h2::ext::Protocol;
use http::request::Parts;
use http::uri::{self, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};

use crate::failure::{Failure, Malformed};
use crate::io::clock;
use crate::message::body::content_length;
use crate::message::fields::{Names, digits};
use crate::message::forwarding::asks_for_trailers;
use crate::message::path::TARGET_BYTES_MAX;
use crate::message::trailers::may_trail;
use crate::message::websocket;
use crate::message::{Authority, Fields, Head, Length, Method, Name, Version};

/// Fields that mean a connection (RFC 9113 8.2.2); `te` has a rule of its own.
const OF_CONNECTION: Names =
    Names::of(&[Name::Connection, Name::KeepAlive, Name::ProxyConnection, Name::TransferEncoding, Name::Upgrade, Name::HttpTwoSettings]);

/// What a tunnel may be opened for (RFC 8441).
const WEBSOCKET: &str = "websocket";

/// The names that we know, as `http` has them: looked up once, and not for each field of each answer.
static NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| Name::KNOWN.iter().map(|name| HeaderName::from_static(name.as_str())).collect());

/// A request, and the length of its content where it was said. One that opens a WebSocket becomes the GET that it is in HTTP/1.1, with
/// the fields of an upgrade; nothing else can have an Upgrade field here.
pub fn request(parts: &Parts, fields_max: usize) -> Result<(Head, Option<u64>), Failure> {
    let malformed = |what| Err(Failure::RequestMalformed(what));
    let mut name = parts.method.as_str().as_bytes();
    let mut method = Method::of(name);
    let opens = method == Method::Connect;
    if opens {
        if parts.extensions.get::<Protocol>().is_none_or(|protocol| protocol.as_str() != WEBSOCKET) {
            return Err(Failure::MethodUnsupported);
        }
        (name, method) = (b"GET", Method::Get);
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes();
    if target.len() > TARGET_BYTES_MAX {
        return Err(Failure::TargetTooLong);
    }
    let is_path = target.first() == Some(&b'/') || (target == b"*" && method == Method::Options);
    if !is_path || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#') {
        return malformed(Malformed::Target);
    }
    let authority = authority(parts)?;

    let mut head = Head::request(name, target, authority, Version::Http2);
    let host = head.authority_span();
    head.fields.append_copy(Name::Host, host);
    let mut length = None;
    let mut crumbs = Vec::new();
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if has_blanks_around(value) {
            return malformed(Malformed::FieldValue);
        }
        match Name::of(name) {
            Name::Host => continue,
            Name::Cookie => {
                // RFC 9113 8.2.3: in one field again for whoever does not know of crumbs.
                if !crumbs.is_empty() {
                    crumbs.extend_from_slice(b"; ");
                }
                crumbs.extend_from_slice(value);
                continue;
            }
            Name::ContentLength if length.is_some() || opens => return malformed(Malformed::ContentLength),
            Name::ContentLength => length = Some(content_length(value).map_err(Failure::RequestMalformed)?),
            known if OF_CONNECTION.contains(known) => return malformed(Malformed::FieldName),
            // RFC 8441 5: not used there.
            Name::Other if opens && name == websocket::KEY.as_bytes() => continue,
            _ => {}
        }
        head.fields.append(name, value);
    }
    if !crumbs.is_empty() {
        head.fields.append_known(Name::Cookie, &crumbs);
    }
    if opens {
        head.fields.append_known(Name::Upgrade, WEBSOCKET.as_bytes());
        head.fields.append(websocket::KEY.as_bytes(), websocket::key().as_bytes());
    }
    if head.fields.len() > fields_max {
        return Err(Failure::HeadTooLarge);
    }
    Ok((head, length))
}

/// Of `:authority` and Host, which may not differ; one of them has to be there.
fn authority(parts: &Parts) -> Result<&[u8], Failure> {
    let malformed = Failure::RequestMalformed(Malformed::Host);
    let mut hosts = parts.headers.get_all(http::header::HOST).iter().map(HeaderValue::as_bytes);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(malformed);
    }
    let said = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let parse = |bytes| Authority::parse(bytes).ok_or(malformed);
    match (said, host) {
        (None, None) => Err(malformed),
        (Some(one), None) | (None, Some(one)) => parse(one).map(|_| one),
        (Some(said), Some(host)) => {
            let default = if parts.uri.scheme_str() == Some("https") { 443 } else { 80 };
            if parse(said)?.is_same(&parse(host)?, default) { Ok(said) } else { Err(malformed) }
        }
    }
}

/// An answer's head. `length`: of the content that follows; `None`: none does, and a Content-Length in the head stays as it is (HEAD, 304).
/// An error where a field can not be said in HTTP/2.
pub fn response(head: &Head, length: Option<Length>) -> Result<Response<()>, Failure> {
    // RFC 9110 8.6: where there never is content its length is not said either.
    let never = matches!(head.status(), 100..=199 | 204);
    let mut dropped = OF_CONNECTION.with(Name::Te);
    let mut exact = match length {
        Some(Length::Exact(length)) if !never => Some(length),
        _ => None,
    };
    // Most often it stands there already.
    if exact.is_some_and(|length| head.fields.get_all(Name::ContentLength).eq([digits(length, &mut [0; 20])])) {
        exact = None;
    } else if never || length.is_some() {
        dropped = dropped.with(Name::ContentLength);
    }
    let mut fields = map(&head.fields, dropped, 2).ok_or(Failure::ResponseMalformed(Malformed::FieldValue))?;
    if let Some(length) = exact {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if head.status() >= 200
        && !head.fields.contains(Name::Date)
        && let Ok(date) = HeaderValue::from_bytes(&clock::date())
    {
        fields.insert(http::header::DATE, date);
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).map_err(|_| Failure::ResponseMalformed(Malformed::StartLine))?;
    *response.headers_mut() = fields;
    Ok(response)
}

/// The head of a tunnel that has been opened: what a backend says with 101 is a success here, and has no more to do with a connection.
pub fn opening(head: &Head) -> Result<Response<()>, Failure> {
    let mut response = response(head, None)?;
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().remove(websocket::ACCEPT);
    Ok(response)
}

/// A request as it goes to a backend. `length`: of the content that follows; `None`: none does.
/// An error where something in it can not be said in HTTP/2.
pub fn request_out(head: &Head, secure: bool, length: Option<Length>) -> Result<Request<()>, Failure> {
    let malformed = |what| Failure::RequestMalformed(what);
    const DROPPED: Names = OF_CONNECTION.with(Name::Te).with(Name::Host).with(Name::ContentLength);
    let mut fields = map(&head.fields, DROPPED, 2).ok_or(malformed(Malformed::FieldValue))?;
    let exact = match length {
        Some(Length::Exact(length)) => Some(length),
        Some(Length::Unknown) => None,
        // Who said that there is nothing may go on saying it.
        None => head.fields.contains(Name::ContentLength).then_some(0),
    };
    if let Some(length) = exact {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if asks_for_trailers(&head.fields) {
        fields.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(head.method_bytes()).map_err(|_| malformed(Malformed::StartLine))?;
    *request.uri_mut() = uri(head, secure)?;
    *request.headers_mut() = fields;
    Ok(request)
}

/// Host becomes `:authority` (RFC 9113 8.3.1), as a route may have edited it. From HTTP/1.0 there may be none.
fn uri(head: &Head, secure: bool) -> Result<Uri, Failure> {
    let target = PathAndQuery::try_from(head.target()).map_err(|_| Failure::RequestMalformed(Malformed::Target))?;
    let host = head.fields.get(Name::Host).unwrap_or(head.authority());
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(target);
    if !host.is_empty() {
        parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(uri::Authority::try_from(host).map_err(|_| Failure::RequestMalformed(Malformed::Host))?);
    }
    Uri::from_parts(parts).map_err(|_| Failure::RequestMalformed(Malformed::Target))
}

/// What a backend may send as the head of an answer: as over HTTP/1.1.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_FIELDS_MAX: usize = 256;

/// A backend's answer, and the length of its content where it was said.
pub fn response_in(answer: &http::response::Parts) -> Result<(Head, Option<u64>), Failure> {
    let malformed = |what| Err(Failure::ResponseMalformed(what));
    let status = answer.status;
    let mut head = Head::response(status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes(), Version::Http2);
    let mut length = None;
    for (name, value) in &answer.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if has_blanks_around(value) {
            return malformed(Malformed::FieldValue);
        }
        match Name::of(name) {
            Name::ContentLength if length.is_some() => return malformed(Malformed::ContentLength),
            Name::ContentLength => length = Some(content_length(value).map_err(Failure::ResponseMalformed)?),
            known if OF_CONNECTION.contains(known) => return malformed(Malformed::FieldName),
            _ => {}
        }
        head.fields.append(name, value);
    }
    if head.fields.len() > ANSWER_FIELDS_MAX || head.fields.arena().len() > ANSWER_BYTES_MAX {
        return Err(Failure::ResponseHeadTooLarge);
    }
    Ok((head, length))
}

/// RFC 9113 8.2.1: what HTTP/1.1 would take for padding.
fn has_blanks_around(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

/// `None`: one of them has bytes that HTTP/2 does not allow. The values share one copy of the arena. `more`: fields that will be added.
fn map(fields: &Fields, dropped: Names, more: usize) -> Option<HeaderMap> {
    let arena = Bytes::copy_from_slice(fields.arena());
    let mut map = HeaderMap::with_capacity(fields.len() + more);
    for (known, name, value) in fields.spans() {
        if dropped.contains(known) {
            continue;
        }
        let name = match NAMES.get(known as usize) {
            Some(name) => name.clone(),
            None => HeaderName::from_bytes(fields.bytes(name)).ok()?,
        };
        let value = HeaderValue::from_maybe_shared(arena.slice(value.range())).ok()?;
        map.try_append(name, value).ok()?;
    }
    Some(map)
}

/// Trailers that came; those that may be there.
pub fn trailers_in(trailers: &HeaderMap) -> Option<Fields> {
    let mut fields = Fields::with_capacity(128, trailers.len());
    for (name, value) in trailers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if may_trail(Name::of(name), name) {
            fields.append(name, value.trim_ascii());
        }
    }
    (!fields.is_empty()).then_some(fields)
}

/// Trailers as they go out. What HTTP/2 can not say is left out: there is no way left to refuse the message.
pub fn trailers_out(trailers: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(trailers.len());
    for (_, name, value) in trailers.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // Their number is bounded by whoever read them.
            let _ = map.try_append(name, value);
        }
    }
    map
}

#[cfg(test)]
mod tests;
