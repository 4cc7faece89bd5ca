//! Which requests go where, and what is edited on the way.

use crate::support::proxy::{free_address, get};
use crate::support::{Backend, Counting, Message, Proxy, Site};

/// What answers a request with this head (start line and fields without the end); the bodies of the routes say who they are.
#[track_caller]
fn ask(proxy: &Proxy, head: &str) -> Message {
    let mut client = proxy.connect();
    let host = if head.to_ascii_lowercase().contains("\r\nhost:") { "" } else { "Host: unknown.example\r\n" };
    let (start, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
    client.send(format!("{start} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\r\n"));
    client.answer()
}

/// Routes that answer with their own name.
fn site(routes: &[(&str, &str)]) -> Site {
    routes.iter().fold(Site::new(), |site, (name, keys)| {
        site.with(&format!("[[route]]\nname = \"{name}\"\n{keys}\nrespond = {{ body = \"{name}\" }}"))
    })
}

#[track_caller]
fn assert_routes(proxy: &Proxy, cases: &[(&str, &str)]) {
    for (head, expected) in cases {
        let answer = ask(proxy, head);
        let found = if answer.status() == 404 { "none".to_owned() } else { answer.text() };
        assert_eq!(found, *expected, "{head}");
    }
}

#[test]
fn by_host() {
    let proxy = site(&[
        ("exact", "host = \"example.com\""),
        ("wildcard", "host = \"*.example.com\""),
        ("deeper", "host = \"*.b.example.com\""),
        ("any", ""),
    ])
    .start();
    assert_routes(
        &proxy,
        &[
            ("GET /\r\nHost: example.com", "exact"),
            ("GET /\r\nHost: EXAMPLE.com", "exact"),
            ("GET /\r\nHost: example.com:8080", "exact"),
            ("GET /\r\nHost: example.com.", "exact"),
            ("GET http://example.com/\r\nHost: example.com", "exact"),
            ("GET /\r\nHost: a.example.com", "wildcard"),
            ("GET /\r\nHost: x.y.example.com", "wildcard"),
            ("GET /\r\nHost: a.b.example.com", "deeper"),
            ("GET /\r\nHost: notexample.com", "any"),
            ("GET /\r\nHost: example.com.evil.org", "any"),
            ("GET /\r\nHost: [::1]:80", "any"),
        ],
    );
}

#[test]
fn by_path() {
    let proxy = site(&[
        ("exact", "path = \"/api/x\""),
        ("longer", "path = \"/api/v1/*\""),
        ("shorter", "path = \"/api/*\""),
        ("two", "path = [\"/one\", \"/two/*\"]"),
    ])
    .start();
    assert_routes(
        &proxy,
        &[
            ("GET /api/x", "exact"),
            ("GET /api/x?y", "exact"),
            ("GET /api/%78", "exact"),
            ("GET /api/x/", "shorter"),
            ("GET /api", "shorter"),
            ("GET /api/", "shorter"),
            ("GET /api/y", "shorter"),
            ("GET /api/v1", "longer"),
            ("GET /api/v1/", "longer"),
            ("GET /api/v1/z", "longer"),
            ("GET /api/v1%2fz", "shorter"),
            ("GET /api/v12", "shorter"),
            ("GET /apix", "none"),
            ("GET /API/x", "none"),
            ("GET /one", "two"),
            ("GET /one/", "none"),
            ("GET /two/2", "two"),
            ("GET /", "none"),
        ],
    );
}

#[test]
fn by_method_header_query_and_cookie() {
    // One predicate each puts no order between them: the priority does.
    let proxy = site(&[
        ("read", "method = [\"GET\", \"HEAD\"]\npriority = 4"),
        ("team", "header = { x-team = \"a\" }\npriority = 3"),
        ("query", "query = { v = \"2\" }\npriority = 2"),
        ("cookie", "cookie = { beta = \"1\" }\npriority = 1"),
        ("all", "method = \"POST\"\nheader = { x-team = \"a\" }\nquery = { v = \"2\" }"),
        ("rest", ""),
    ])
    .start();
    assert_routes(
        &proxy,
        &[
            ("GET /", "read"),
            ("PUT /", "rest"),
            ("PUT /\r\nX-Team: a", "team"),
            ("PUT /\r\nX-Team: b", "rest"),
            ("PUT /?v=2", "query"),
            ("PUT /?w=1&v=2", "query"),
            ("PUT /?v=20", "rest"),
            ("PUT /?xv=2", "rest"),
            ("PUT /\r\nCookie: alpha=0; beta=1", "cookie"),
            ("PUT /\r\nCookie: alphabeta=1", "rest"),
            ("POST /?v=2\r\nX-Team: a", "all"),
            ("POST /?v=2", "query"),
        ],
    );
}

#[test]
fn priority_orders_the_equally_specific() {
    let proxy = site(&[
        ("low", "path = \"/x\"\nheader = { a = \"1\" }\npriority = 1"),
        ("high", "path = \"/x\"\nheader = { b = \"1\" }\npriority = 2"),
        ("exact", "path = \"/x\"\npriority = -5"),
        ("loud", "path = \"/*\"\npriority = 100"),
    ])
    .start();
    assert_routes(&proxy, &[("GET /x\r\nA: 1\r\nB: 1", "high"), ("GET /x\r\nA: 1", "low"), ("GET /x", "exact"), ("GET /y", "loud")]);
}

#[test]
fn by_listener() {
    let other = free_address();
    let proxy = site(&[("web", "listen = \"web\""), ("other", "listen = \"other\"")])
        .with(&format!("[listen.other]\naddress = \"{other}\""))
        .start();
    assert_eq!(proxy.get("/").text(), "web");
    assert_eq!(get(other, "/").text(), "other");
}

#[test]
fn redirects_and_fixed_answers() {
    let proxy = Site::new()
        .with("[[route]]\npath = \"/old/*\"\nredirect = { to = \"https://example.com/new/\", status = 308 }")
        .with("[[route]]\npath = \"/moved\"\nredirect = { to = \"/here\" }")
        .with("[[route]]\npath = \"/soon\"\nrespond = { status = 503, body = '{\"back\":\"soon\"}', content_type = \"application/json\" }")
        .with("[[route]]\npath = \"/empty\"\nrespond = { status = 204 }")
        .start();
    let answer = ask(&proxy, "GET /old/x?y");
    assert_eq!((answer.status(), answer.head.get("location")), (308, Some("https://example.com/new/")));
    let answer = ask(&proxy, "POST /moved");
    assert_eq!((answer.status(), answer.head.get("location")), (307, Some("/here")));
    let answer = ask(&proxy, "GET /soon");
    assert_eq!((answer.status(), answer.head.get("content-type")), (503, Some("application/json")));
    assert_eq!(answer.text(), "{\"back\":\"soon\"}");
    let mut client = proxy.connect();
    client.send("HEAD /soon HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status(), head.get("content-length")), (503, Some("15")));
    assert!(client.is_quiet(), "no body for HEAD");
    client.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
}

#[test]
fn a_fixed_answer_takes_no_harm_from_a_body() {
    let proxy = Site::new().with("[[route]]\nrespond = { body = \"fixed\" }").start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "fixed");
    // In step: either closed, or the body was read and thrown away.
    if client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
        && let Some(second) = client.answer_or_end()
    {
        assert_eq!(second.text(), "fixed");
    }
}

#[test]
fn fields_are_edited_both_ways() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()])
        .route("request_headers = { set = { x-team = \"a\" }, add = { x-tag = \"2\" }, remove = [\"x-debug\"] }")
        .route("response_headers = { set = { x-frame = \"DENY\" }, add = { vary = \"x-team\" }, remove = [\"server\"] }")
        .start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Team: b\r\nX-TEAM: c\r\nX-Tag: 1\r\nX-Debug: 1\r\nx-debug: 2\r\n\r\n");
    let mut upstream = backend.accept();
    let head = upstream.request().head;
    assert_eq!(head.all("x-team"), ["a"]);
    assert_eq!(head.all("x-tag"), ["1", "2"]);
    assert_eq!(head.all("x-debug"), [""; 0]);
    upstream.send("HTTP/1.1 200 OK\r\nServer: x\r\nX-Frame: ANY\r\nVary: accept\r\nContent-Length: 0\r\n\r\n");
    let head = client.answer().head;
    assert_eq!(head.all("server"), [""; 0]);
    assert_eq!(head.all("x-frame"), ["DENY"]);
    assert_eq!(head.all("vary").join(", "), "accept, x-team");
}

#[test]
fn a_prefix_is_taken_off_what_the_backend_sees() {
    let backend = Backend::bind();
    let proxy = Site::new().backends([backend.address()]).route("path = \"/api/*\"\nrewrite = { strip_prefix = \"/api\" }").start();
    let mut client = proxy.connect();
    let mut upstream = None;
    for (asked, seen) in [
        ("/api/x", "/x"),
        ("/api/x/?y=/api/z", "/x/?y=/api/z"),
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?q", "/?q"),
        ("/api/a%2Fb%20c", "/a%2Fb%20c"),
        ("/api/api/x", "/api/x"),
    ] {
        client.send(format!("GET {asked} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let upstream = upstream.get_or_insert_with(|| backend.accept());
        assert_eq!(upstream.request().head.start, format!("GET {seen} HTTP/1.1"), "{asked}");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        client.answer();
    }
}

#[test]
fn a_route_has_its_own_limit_for_bodies() {
    let backend = Counting::start("a");
    let proxy = Site::to([backend.address()])
        .listen("limits = { body = \"10B\" }")
        .with("[[route]]\npath = \"/up\"\npool = \"app\"\nlimits = { body = \"100B\" }")
        .with("[[route]]\npath = \"/small\"\npool = \"app\"\nlimits = { body = \"1B\" }")
        .start();
    for (path, size, status) in
        [("/", 10, 200), ("/", 11, 413), ("/up", 100, 200), ("/up", 101, 413), ("/small", 1, 200), ("/small", 2, 413)]
    {
        let mut client = proxy.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size)));
        assert_eq!(client.answer().status(), status, "{size} bytes to {path}");
    }
    assert_eq!(backend.requests(), 3);
}

#[test]
fn failures_are_told_in_the_form_that_is_asked_for() {
    let proxy = site(&[("only", "path = \"/only\"")]).start();
    for (accept, json) in [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/html\r\n", false),
        ("Accept: application/json\r\n", true),
        ("Accept: application/problem+json, text/plain;q=0.1\r\n", true),
    ] {
        let mut client = proxy.connect();
        client.send(format!("GET /nothing HTTP/1.1\r\nHost: a\r\n{accept}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), 404);
        let kind = answer.head.get("content-type").unwrap_or_default().to_owned();
        assert_eq!(kind.contains("json"), json, "{accept}: {kind}");
        if json {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert!(body.to_string().contains("no_route"), "{body}");
        } else {
            assert!(kind.starts_with("text/plain"), "{accept}: {kind}");
        }
        // An answer of ours is no reason to close.
        client.send("GET /only HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().text(), "only");
    }
    assert_eq!(proxy.access("/nothing")["reason"], "no_route");
}
