//! Answers that the proxy gives itself: for failures, redirects and fixed responses. The only place where a failure gets a status.

use bytes::Bytes;

use crate::failure::Failure;
use crate::message::{Answer, Body, Head, Name, Version};

/// A failure as an answer: one sentence and the reason code, as JSON where the client would rather have that.
pub fn failure(failure: Failure, json: bool) -> Answer {
    let status = failure.status();
    let (text, content_type) = if json {
        let text = format!("{{\"status\":{status},\"reason\":\"{}\",\"message\":\"{}\"}}\n", failure.code(), failure.says());
        (text, "application/json")
    } else {
        (format!("{status} {}: {} ({})\n", reason(status), failure.says(), failure.code()), "text/plain; charset=utf-8")
    };
    let mut answer = fixed(status, &Bytes::from(text), content_type);
    if let (Failure::RequestMalformed(_), Answer::Reply { head, .. }) = (failure, &mut answer) {
        // Whoever sends one such request is not to be believed about where the next one begins.
        head.fields.append_known(Name::Connection, b"close");
    }
    if let (Failure::PurgeNotAllowed, Answer::Reply { head, .. }) = (failure, &mut answer) {
        head.fields.append(b"allow", b"GET, HEAD");
    }
    if let (Some(seconds), Answer::Reply { head, .. }) = (failure.retry_after(), &mut answer) {
        head.fields.append(b"retry-after", seconds.to_string().as_bytes());
    }
    answer
}

/// A failure as gRPC wants to be told of it.
pub fn grpc_failure(failure: Failure, status: u8) -> Answer {
    let mut head = Head::response(200, reason(200).as_bytes(), Version::Http11);
    head.fields.append_known(Name::ContentType, b"application/grpc");
    head.fields.append(b"grpc-status", status.to_string().as_bytes());
    // A sentence of ours, with nothing in it that would have to be escaped.
    head.fields.append(b"grpc-message", format!("{} ({})", failure.says(), failure.code()).as_bytes());
    Answer::Reply { head, body: Body::empty() }
}

pub fn fixed(status: u16, body: &Bytes, content_type: &str) -> Answer {
    let mut head = Head::response(status, reason(status).as_bytes(), Version::Http11);
    if !body.is_empty() {
        head.fields.append_known(Name::ContentType, content_type.as_bytes());
    }
    Answer::Reply { head, body: Body::full(body.clone()) }
}

pub fn redirect(status: u16, to: &[u8]) -> Answer {
    let mut head = Head::response(status, reason(status).as_bytes(), Version::Http11);
    head.fields.append_known(Name::Location, to);
    Answer::Reply { head, body: Body::empty() }
}

/// Whether `Accept` names JSON, and not HTML or text before it.
pub fn wants_json(head: &Head) -> bool {
    let media = |member: &[u8]| member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    head.fields.members(Name::Accept).map(media).find_map(|media| match media.as_slice() {
        b"application/json" | b"application/problem+json" => Some(true),
        b"text/html" | b"text/plain" | b"text/*" => Some(false),
        _ => None,
    }) == Some(true)
}

/// The phrase that goes with a status (RFC 9110 15); empty for one that has none.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_ask_for_it_first() {
        for (accept, json) in [
            ("application/json", true),
            ("Application/JSON;q=0.9, */*", true),
            ("text/html, application/json", false),
            ("application/problem+json, text/html", true),
            ("*/*", false),
            ("", false),
        ] {
            let mut head = Head::request(b"GET", b"/", b"a.example", Version::Http11);
            head.fields.append(b"Accept", accept.as_bytes());
            assert_eq!(wants_json(&head), json, "{accept}");
        }
    }
}
