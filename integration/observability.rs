//! What the proxy says of its work: the access log, the metrics page, and the commands that ask it.

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::proxy::{free_address, outcome, tidegate};
use crate::support::{Backend, Counting, Proxy, Site, Wire, until};

fn named() -> (Counting, Proxy) {
    let a = Counting::start("a");
    let proxy = Site::to([a.address()])
        .route("name = \"main\"")
        .with("[[route]]\nname = \"gone\"\npath = \"/gone/*\"\nrespond = { status = 410 }")
        .start();
    (a, proxy)
}

#[test]
fn every_request_has_a_line() {
    let (a, proxy) = named();
    let mut client = proxy.connect();
    client.send(
        "POST /up?x=1 HTTP/1.1\r\nHost: Example.com\r\nUser-Agent: probe \"1\"\r\nReferer: http://r/\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(client.answer().status(), 200);
    let line = proxy.access("/up?x=1");
    for (field, expected) in [
        ("method", "POST".into()),
        ("host", "Example.com".into()),
        ("version", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("listener", "web".into()),
        ("route", "main".into()),
        ("pool", "app".into()),
        ("backend", Value::from(a.address().to_string())),
        ("client", "127.0.0.1".into()),
        ("attempts", 1.into()),
        ("reused", false.into()),
        ("upstream_protocol", "http/1.1".into()),
        ("grpc_status", Value::Null),
        ("received", 5.into()),
        ("sent", 1.into()),
        ("user_agent", "probe \"1\"".into()),
        ("referer", "http://r/".into()),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert!(line["reason"].is_null(), "{line}");
    for phase in ["connect", "first_byte", "total"] {
        let took = line[phase].as_f64().unwrap_or_else(|| panic!("{phase} in {line}"));
        assert!((0.0..15.0).contains(&took), "{phase} in {line}");
    }
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
}

#[test]
fn what_went_wrong_is_said_by_its_code() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    // Not even a request.
    let mut client = proxy.connect();
    client.send("BAD\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    until("a line about it", || {
        proxy.access_lines().into_iter().find(|line| line["reason"] == "request_malformed" && line["status"] == 400)
    });
    // A client that leaves before the answer.
    let mut client = proxy.connect();
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    client.reset();
    let line = proxy.access("/left");
    assert_eq!(line["reason"], "client_gone");
    // An answer that is cut.
    let mut client = proxy.connect();
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    drop(upstream);
    client.rest();
    let line = proxy.access("/cut");
    assert_eq!((&line["reason"], &line["status"], &line["sent"]), (&"response_truncated".into(), &200.into(), &5.into()));
}

#[test]
fn hostile_bytes_do_not_break_the_lines() {
    let a = Counting::start("a");
    let proxy = Site::to([a.address()]).start();
    let mut client = proxy.connect();
    client.send(b"GET /x\"y{}' HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\"\\\t\xe4\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    // `access` parses every line as JSON.
    let line = proxy.access("/x\"y{}'");
    assert!(line["user_agent"].as_str().is_some_and(|agent| agent.contains("\"\\")), "{line}");
}

#[test]
fn the_combined_format_is_the_one_that_tools_read() {
    let a = Counting::start("abc");
    let proxy = Site::to([a.address()]).log("access = \"combined\"").start();
    let mut client = proxy.connect();
    client.send("GET /x?y HTTP/1.1\r\nHost: a\r\nUser-Agent: probe\r\nReferer: http://r/\r\n\r\n");
    client.answer();
    let line = until("the line", || proxy.stdout().lines().find(|line| line.contains("/x?y")).map(str::to_owned));
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /x?y HTTP/1.1\" 200 3 \"http://r/\" \"probe\""), "{line}");
}

#[test]
fn off_is_off() {
    let a = Counting::start("a");
    let mut proxy = Site::to([a.address()]).log("access = \"off\"").start();
    proxy.get("/");
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    assert_eq!(proxy.stdout(), "");
}

#[test]
fn the_metrics_page_is_well_formed_and_counts() {
    let (_a, proxy) = named();
    for _ in 0..7 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    proxy.get("/gone/x");
    proxy.metric_becomes("tidegate_requests_total", &["route=\"main\"", "class=\"2xx\""], 7.0);
    proxy.metric_becomes("tidegate_requests_total", &["route=\"gone\"", "class=\"4xx\""], 1.0);
    proxy.metric_becomes("tidegate_upstream_attempts_total", &["pool=\"app\"", "outcome=\"ok\""], 7.0);
    proxy.metric_becomes("tidegate_request_duration_seconds_count", &["pool=\"app\""], 7.0);
    let opened = proxy.metric("tidegate_upstream_connections_opened_total", &["pool=\"app\""]).expect("a counter");
    let reused = proxy.metric("tidegate_upstream_connections_reused_total", &["pool=\"app\""]).expect("a counter");
    assert_eq!(opened + reused, 7.0);
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 0.0);
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    assert_eq!(proxy.metric("tidegate_backend_up", &["pool=\"app\""]), Some(1.0));
    assert_eq!(proxy.metric("tidegate_connections_accepted_total", &[]), Some(8.0));

    let page = proxy.admin("GET", "/metrics");
    assert!(page.head.get("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")), "{:?}", page.head);
    assert_well_formed(&page.text());
}

/// The text format: each family has its type once and before its samples, and its samples stand together.
#[track_caller]
fn assert_well_formed(page: &str) {
    let mut families: Vec<(&str, &str)> = Vec::new();
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with("# HELP ")) {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(families.iter().all(|(other, _)| *other != name), "{name} is declared twice");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            families.push((name, kind));
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let (family, kind) = families.last().unwrap_or_else(|| panic!("{line} before any type"));
        let of_family = match *kind {
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|suffix| name.strip_suffix(suffix) == Some(family)),
            _ => name == *family,
        };
        assert!(of_family, "{line} among the samples of {family}");
    }
    assert!(!families.is_empty());
}

#[test]
fn the_admin_answers_to_addresses_and_to_the_names_that_it_is_given() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("tidegate.toml");
    let site = Site::new().with("[[route]]\nrespond = { status = 204 }");
    let named = "[admin]\nhosts = [\"Tidegate.monitoring.svc\", \"tidegate\"]\n";
    std::fs::write(&file, site.text().replace("[admin]\n", named)).expect("write");
    let proxy = site.start_at(dir, file);
    let port = proxy.admin.port();
    for (host, status) in [
        ("127.0.0.1".to_owned(), 200),
        (format!("localhost:{port}"), 200),
        (format!("tidegate.monitoring.svc:{port}"), 200),
        ("TIDEGATE.monitoring.svc.".to_owned(), 200),
        ("tidegate".to_owned(), 200),
        ("monitoring.svc".to_owned(), 421),
        ("x.tidegate".to_owned(), 421),
        ("rebound.example".to_owned(), 421),
    ] {
        let mut client = Wire::connect(proxy.admin);
        client.send(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status(), status, "{host}");
    }
}

#[test]
fn failures_are_counted_by_reason() {
    let proxy = Site::to([free_address()]).route("name = \"main\"").start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 502);
    }
    proxy.metric_becomes("tidegate_failures_total", &["route=\"main\"", "reason=\"connect_refused\""], 3.0);
    proxy.metric_becomes("tidegate_requests_total", &["route=\"main\"", "class=\"5xx\""], 3.0);
    proxy.metric_becomes("tidegate_upstream_attempts_total", &["outcome=\"connect_refused\""], 3.0);
}

#[test]
fn what_runs_now_is_shown() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    proxy.metric_becomes("tidegate_backend_in_flight", &["pool=\"app\""], 1.0);
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 1.0);
    proxy.metric_becomes("tidegate_worker_connections", &[], 1.0);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.answer();
    drop(client);
    proxy.metric_becomes("tidegate_backend_in_flight", &["pool=\"app\""], 0.0);
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 0.0);
    proxy.metric_becomes("tidegate_worker_connections", &[], 0.0);
}

#[test]
fn the_status_command_tells_and_its_code_says_ready() {
    let (a, proxy) = named();
    let admin = proxy.admin.to_string();
    let (code, said, complaint) = outcome(tidegate(["status", "--admin"]).arg(&admin));
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains("app") && said.contains(&a.address().to_string()), "{said}");
    let (code, said, _) = outcome(tidegate(["status", "--json", "--admin"]).arg(&admin));
    assert_eq!(code, Some(0));
    assert!(serde_json::from_str::<Value>(&said).is_ok_and(|status| status.is_object()), "{said}");
    let (code, said, _) = outcome(tidegate(["status", "--ready", "--admin"]).arg(&admin));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let nobody = free_address().to_string();
    for arguments in [["status", "--admin"], ["reload", "--admin"]] {
        let (code, _, complaint) = outcome(tidegate(arguments).arg(&nobody));
        assert_eq!(code, Some(1));
        assert!(complaint.contains(&nobody), "{complaint}");
    }
    assert_eq!(outcome(&mut tidegate(["status", "--wrong"])).0, Some(2));
}

#[test]
fn a_draining_proxy_is_not_ready() {
    let a = Counting::start("a");
    let proxy = Site::to([a.address()]).server("drain_delay = \"60s\"").start();
    proxy.signal(Signal::SIGTERM);
    until("the command to say no", || {
        let (code, _, _) = outcome(tidegate(["status", "--ready", "--admin"]).arg(proxy.admin.to_string()));
        (code == Some(1)).then_some(())
    });
}

#[test]
fn the_admin_answers_what_it_is_not_asked_for() {
    let (_a, proxy) = named();
    assert_eq!(proxy.admin("GET", "/nothing").status(), 404);
    assert_eq!(proxy.admin("GET", "/api/reload").status(), 405, "a link must not reload");
    assert_eq!(proxy.admin("POST", "/metrics").status(), 405);
    // A page in somebody's browser can send this, but not with the field that shows intent.
    let mut page = Wire::connect(proxy.admin);
    page.send(format!("POST /api/reload HTTP/1.1\r\nHost: {}\r\nOrigin: http://evil\r\nContent-Length: 0\r\n\r\n", proxy.admin));
    assert_eq!(page.answer().status(), 403);
}
