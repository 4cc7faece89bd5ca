use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;
use crate::config::model::{Protocol, Start, Statuses};

fn check(probe: Probe) -> Health {
    let (every, timeout) = (Duration::from_secs(5), Duration::from_millis(300));
    Health { probe, every, timeout, rise: 2, fall: 3, start: Start::Up, protocol: Protocol::Http1, send_proxy_protocol: None }
}

fn http(body: Option<&str>) -> Probe {
    Probe::Http {
        method: "GET".into(),
        path: "/healthz?deep=1".into(),
        host: None,
        headers: vec![("x-probe".into(), "1".into())],
        expect: vec![Statuses { first: 200, last: 299 }, Statuses { first: 304, last: 304 }],
        body: body.map(str::to_owned),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a probe finds where one connection is answered so; and what was asked.
fn answered(probe: Probe, answer: Vec<u8>) -> (Finding, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answering = thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut piece) = (Vec::new(), [0; 1024]);
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                n => seen.extend_from_slice(&piece[..n]),
            }
        }
        // The prober may have seen enough before this is all out.
        let _ = stream.write_all(&answer);
        String::from_utf8(seen).unwrap()
    });
    let (finding, took) = runtime().block_on(super::probe(&check(probe), address.into(), None)).unwrap();
    assert!(took <= Duration::from_millis(300));
    (finding, answering.unwrap().join().unwrap())
}

fn finding(body: Option<&str>, answer: impl Into<Vec<u8>>) -> Finding {
    answered(http(body), answer.into()).0
}

#[test]
fn an_answer_is_judged_by_status_and_body() {
    for (body, answer, expected) in [
        (None, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Finding::Passed),
        (None, "HTTP/1.0 204 No Content\r\n\r\n", Finding::Passed),
        (None, "HTTP/1.1 304 Not Modified\r\n\r\n", Finding::Passed),
        (None, "HTTP/1.1 200 OK\r\n\r\nuntil it closes", Finding::Passed),
        (None, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Finding::Passed),
        (None, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Finding::Status(302)),
        (None, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Finding::Status(503)),
        (Some("ready"), "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall's ready", Finding::Passed),
        (Some("ready"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n", Finding::Passed),
        (Some("ready"), "HTTP/1.1 200 OK\r\n\r\nit is ready", Finding::Passed),
        (Some("ready"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread", Finding::BodyMismatch),
        (Some("ready"), "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nready", Finding::Status(503)),
        (Some("ready"), "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nnot al", Finding::Reset),
        (None, "SSH-2.0-OpenSSH_9.2\r\n\r\n", Finding::Malformed),
        (None, "", Finding::Reset),
        (None, "HTTP/1.1 20", Finding::Reset),
    ] {
        assert_eq!(finding(body, answer), expected, "{body:?} in {answer:?}");
    }
}

#[test]
fn of_a_body_only_the_beginning_is_looked_at() {
    let answer = |before: usize| {
        let body = format!("{}ready{}", "x".repeat(before), "x".repeat(100_000));
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    assert_eq!(finding(Some("ready"), answer(BODY_BYTES - 5)), Finding::Passed);
    assert_eq!(finding(Some("ready"), answer(BODY_BYTES - 4)), Finding::BodyMismatch);
}

#[test]
fn the_request_says_what_it_was_told_to() {
    let answer = || b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (_, asked) = answered(http(None), answer());
    assert!(asked.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{asked}");
    for line in ["host: 127.0.0.1:", "x-probe: 1\r\n", "connection: close\r\n", concat!("user-agent: ", "tidegate/")] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
    let Probe::Http { path, headers, expect, body, .. } = http(None) else { unreachable!() };
    let (finding, asked) =
        answered(Probe::Http { method: "HEAD".into(), path, host: Some("app.example.com".into()), headers, expect, body }, answer());
    assert_eq!(finding, Finding::Passed);
    assert!(asked.starts_with("HEAD ") && asked.contains("host: app.example.com\r\n"), "{asked}");
}

#[test]
fn a_connection_alone_can_be_enough() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let probe = |kind: Probe| runtime().block_on(super::probe(&check(kind), address.into(), None)).unwrap();
    assert_eq!(probe(Probe::Tcp).0, Finding::Passed);
    // Nobody accepts, nobody answers.
    assert_eq!(probe(http(None)), (Finding::Timeout, Duration::from_millis(300)));
    drop(listener);
    assert_eq!(probe(Probe::Tcp).0, Finding::ConnectRefused);
    assert_eq!(probe(http(None)).0, Finding::ConnectRefused);
}
