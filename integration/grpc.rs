//! gRPC end to end: what its clients and servers say to each other passes, and the proxy speaks its language where it fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use crate::support::frames::*;
use crate::support::streams::read;
use crate::support::{Backend, Frames, Site, Streams, until};

fn call<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&request("POST", path)[..], &[("content-type", "application/grpc+proto"), ("te", "trailers")], more].concat()
}

/// A message of this content.
fn message(content: &[u8]) -> Vec<u8> {
    [&[0][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

#[test]
fn a_call_and_its_status_pass() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").workers(1).start();
    let mut client = Frames::connect(proxy.web);
    client.head(1, &call("/a.B/C", &[("grpc-timeout", "10S"), ("x-key-bin", "AAE")]), false);
    client.data(1, message(b"hi"), false);
    let mut line = Frames::accept(&backend, &[]);
    let (stream, fields, last) = line.request();
    let get = |name| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert!(!last);
    for (name, value) in [("te", "trailers"), ("grpc-timeout", "10S"), ("x-key-bin", "AAE"), ("content-type", "application/grpc+proto")] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    assert_eq!(line.wait("the message", |frame| frame.kind == DATA).payload, message(b"hi"));
    line.head(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
    line.data(stream, message(b"yes"), false);
    client.data(1, b"", true);
    line.head(stream, &[("grpc-status", "0"), ("grpc-message", "fine")], true);
    let heard = client.message(1);
    assert_eq!(
        (&heard.body[..], heard.trailer("grpc-status"), heard.trailer("grpc-message")),
        (&message(b"yes")[..], Some("0"), Some("fine"))
    );

    // Trailers-Only, with the request's end not wanted.
    client.head(3, &call("/a.B/D", &[]), false);
    let (stream, ..) = line.request();
    line.head(stream, &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")], true);
    line.reset(stream, NO_ERROR);
    let (fields, last) = client.fields(3);
    assert!(last && fields.contains(&("grpc-status".to_owned(), "5".to_owned())), "{fields:?}");
    for (path, status, word) in [("/a.B/C", 0, "ok"), ("/a.B/D", 5, "not_found")] {
        let line = proxy.access(path);
        assert_eq!((&line["upstream_protocol"], &line["grpc_status"]), (&"h2".into(), &status.into()), "{line}");
        proxy.metric_becomes("tidegate_grpc_calls_total", &[&format!("status=\"{word}\"")], 1.0);
    }
}

#[test]
fn a_failure_of_the_proxy_is_told_in_words_of_grpc() {
    let gone = Backend::bind();
    let site = Site::to([gone.address()]).pool("protocol = \"http2\"").route("path = \"/a.B/*\"");
    drop(gone);
    let proxy = site.start();
    let mut client = Frames::connect(proxy.web);
    for (stream, path, status, reason) in [(1, "/a.B/C", "14", "connect_refused"), (3, "/other/C", "12", "no_route")] {
        client.head(stream, &call(path, &[]), true);
        let heard = client.message(stream);
        assert_eq!((heard.status(), heard.get("content-type")), (200, Some("application/grpc")), "{path}");
        assert_eq!(heard.get("grpc-status"), Some(status), "{path}");
        assert!(heard.get("grpc-message").is_some_and(|message| message.contains(reason)), "{heard:?}");
        assert!(heard.body.is_empty());
        let line = proxy.access(path);
        assert_eq!((&line["reason"], line["grpc_status"].to_string()), (&reason.into(), status.to_owned()));
        assert!(line["upstream_protocol"].is_null(), "{line}");
    }
}

#[test]
fn a_deadline_is_a_bound_and_a_cancellation_reaches_the_backend() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool("protocol = \"http2\"").workers(1).start();
    let mut client = Frames::connect(proxy.web);
    let since = Instant::now();
    client.head(1, &call("/late", &[("grpc-timeout", "300m")]), false);
    client.data(1, message(b"hi"), true);
    let mut line = Frames::accept(&backend, &[]);
    let (stream, ..) = line.request();
    let heard = client.message(1);
    assert_eq!((heard.status(), heard.get("grpc-status")), (200, Some("4")));
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    assert_eq!(line.reset_code(stream), CANCEL);

    client.head(3, &call("/cancelled", &[]), false);
    let (stream, ..) = line.request();
    line.head(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
    client.fields(3);
    client.reset(3, CANCEL);
    assert_eq!(line.reset_code(stream), CANCEL);
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

/// A server of `grpc.health.v1` that knows one service.
fn healthy(service: &'static str, status: u8) -> Streams {
    Streams::start(move |asked, mut respond| async move {
        assert_eq!(asked.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(asked.headers()["content-type"], "application/grpc");
        let question = read(asked).await;
        let mut trailers = HeaderMap::new();
        let head = Response::builder().header("content-type", "application/grpc").body(()).expect("an answer");
        let mut stream = respond.send_response(head, false).expect("is sent");
        let known = question == message(&[&[0x0a, service.len() as u8], service.as_bytes()].concat());
        if known {
            stream.send_data(Bytes::from(message(&[8, status])), false).expect("is sent");
        }
        trailers.insert("grpc-status", HeaderValue::from_static(if known { "0" } else { "5" }));
        stream.send_trailers(trailers).expect("is sent");
    })
}

#[test]
fn checks_ask_the_service_of_health() {
    for (service, status, outcome, up) in [("a.B", 1, "passed", 1.0), ("a.B", 2, "not_serving", 0.0), ("c.D", 1, "grpc_status", 0.0)] {
        let backend = healthy(service, status);
        let health = "health = { kind = \"grpc\", service = \"a.B\", every = \"500ms\" }";
        let proxy = Site::to([backend.address()]).pool(&format!("protocol = \"http2\"\n{health}")).start();
        until(outcome, || proxy.metric("tidegate_probes_total", &[&format!("outcome=\"{outcome}\"")]).filter(|count| *count > 0.0));
        proxy.metric_becomes("tidegate_backend_up", &[], up);
    }
}
