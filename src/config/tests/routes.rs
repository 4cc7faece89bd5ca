//! How routes read: patterns, names, precedence, and which of them tie.

use super::*;

/// A file with these routes; `$` stands for the line that gives one its pool.
fn routes(tables: &[&str]) -> String {
    let head = "[listen.a]\naddress = \"127.0.0.1:1\"\n[listen.b]\naddress = \"127.0.0.1:2\"\n[pool.app]\nbackends = [\"10.0.0.1:80\"]\n";
    tables.iter().fold(head.to_owned(), |text, table| text + "[[route]]\npool = \"app\"\n" + table + "\n")
}

#[test]
fn only_routes_that_one_request_can_match_with_equal_right_are_refused() {
    for (first, second, tie) in [
        ("", "", true),
        ("path = '/a'", "path = '/a'", true),
        ("path = '/a'", "path = '/a/*'", false),
        ("path = '/a/*'", "path = '/a/b/*'", false),
        ("path = ['/a', '/b']", "path = ['/c', '/b']", true),
        ("path = '/%61'", "path = '/a'", true),
        ("host = 'a.example'", "", false),
        ("host = 'a.example'", "host = 'A.EXAMPLE.'", true),
        ("host = 'a.example'", "host = '*.example'", false),
        ("host = '*.a.example'", "host = '*.example'", false),
        ("host = ['a.example', 'b.example']", "host = ['b.example', '*.example']", true),
        ("path = '/*'", "", true),
        ("listen = 'a'", "listen = 'b'", false),
        ("listen = 'a'", "", true),
        ("listen = ['a', 'b']", "listen = 'b'", true),
        ("method = 'GET'", "", false),
        ("method = 'GET'", "method = 'POST'", false),
        ("method = ['GET', 'HEAD']", "method = ['HEAD', 'POST']", true),
        ("method = 'GET'", "header = { x = '1' }", true),
        ("header = { x = '1' }", "header = { x = '2' }", false),
        ("header = { x = '1' }", "header = { X = '1' }", true),
        ("header = { x = '1' }", "header = { y = '1' }", true),
        ("header = { x = '1' }", "header = { x = '1', y = '1' }", false),
        ("header = { x = '1', y = '1' }", "header = { x = '1', y = '2' }", false),
        ("query = { v = '1' }", "query = { v = '2' }", false),
        ("query = { v = '1' }", "query = { V = '2' }", true),
        ("cookie = { v = '1' }", "cookie = { v = '2' }", false),
        ("cookie = { v = '1' }", "query = { v = '1' }", true),
        ("priority = 1", "", false),
        ("priority = 1", "priority = 1", true),
    ] {
        for (one, other) in [(first, second), (second, first)] {
            let lines = told(&routes(&[one, other]));
            let told = lines.iter().any(|line| line.contains("match the same requests"));
            assert_eq!(told, tie, "[{one}] and [{other}]: {lines:?}");
            assert!(tie || lines.is_empty(), "[{one}] and [{other}]: {lines:?}");
        }
    }
}

#[test]
fn one_tie_is_told_for_each_route_that_makes_one() {
    let lines = told(&routes(&["", "", "path = '/x'", ""]));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("`/*` and `/* #2`"), "{lines:?}");
    assert!(lines[1].contains("`/*` and `/* #3`"), "{lines:?}");
}

#[test]
fn patterns_have_one_form() {
    let table =
        "host = ['A.Example.', '*.B.example', '[2001:DB8::0:1]', '192.0.2.1']\npath = ['/', '/*', '/%7euser', '/caf\u{e9}/*', '/a/']";
    let (config, _) = parse_pure(&routes(&[table])).unwrap();
    let route = &config.routes[0];
    let exact = |text: &str| HostPattern::Exact(text.to_owned());
    assert_eq!(
        route.hosts,
        [exact("a.example"), HostPattern::Wildcard("b.example".to_owned()), exact("[2001:db8::1]"), exact("192.0.2.1")]
    );
    let shown: Vec<String> = route.paths.iter().map(PathPattern::to_string).collect();
    assert_eq!(shown, ["/", "/*", "/~user", "/caf%C3%A9/*", "/a/"]);
    assert_eq!(route.paths[1], PathPattern::Prefix(String::new()));
    // The form in which requests are looked up, or the pattern would never match.
    for host in &route.hosts {
        if let HostPattern::Exact(host) = host {
            assert_eq!(crate::message::path::host(host.as_bytes()).as_deref(), Some(host.as_str()));
        }
    }
}

#[test]
fn a_route_is_called_by_its_name_or_by_what_it_matches() {
    let tables = [
        "host = ['example.com', 'b']\npath = ['/api/*', '/x']",
        "name = 'mine'",
        "name = '/y'\npath = '/z'",
        "path = '/y'",
        "method = 'GET'\npath = '/y'",
    ];
    let (config, _) = parse_pure(&routes(&tables)).unwrap();
    let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["example.com/api/*", "mine", "/y", "/y #2", "/y #3"]);
}

#[test]
fn what_a_route_says_is_what_it_does() {
    let table = r#"
listen = "b"
method = ["GET", "PURGE"]
header = { X-Team = "a b" }
query = { v = "2" }
cookie = { beta = "" }
priority = -3
timeout = { first_byte = "5m", total = "none" }
limits = { body = "unlimited" }
request_headers = { set = { Host = "inner", X-A = "" }, add = { x-a = "2" }, remove = ["X-B"] }
path = "/api/*"
rewrite = { strip_prefix = "/api" }
"#;
    let (config, _) = parse_pure(&routes(&["", table, "path = '/x'"])).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Route {
        name: "/api/*".to_owned(),
        listeners: vec!["b".to_owned()],
        hosts: vec![],
        paths: vec![PathPattern::Prefix("/api".to_owned())],
        methods: vec!["GET".to_owned(), "PURGE".to_owned()],
        headers: vec![pair("x-team", "a b")],
        queries: vec![pair("v", "2")],
        cookies: vec![pair("beta", "")],
        priority: -3,
        action: Action::Pool("app".to_owned()),
        timeout: RouteTimeouts { first_byte: Some(Duration::from_secs(300)), total: Some(None), ..RouteTimeouts::default() },
        body_limit: Some(None),
        request_headers: HeaderEdits {
            set: vec![pair("Host", "inner"), pair("X-A", "")],
            add: vec![pair("x-a", "2")],
            remove: vec!["X-B".to_owned()],
        },
        response_headers: HeaderEdits::default(),
        strip_prefix: Some("/api".to_owned()),
        cache: None,
    };
    assert_eq!(config.routes[1], expected);
    assert_eq!(config.routes[1].predicates(), 4);
}

#[test]
fn answers_without_a_pool() {
    let text = routes(&[""]).replace("pool = \"app\"\n\n", "")
        + "redirect = { to = \"/new\" }\n[[route]]\npath = '/r'\nrespond = {}\n[[route]]\npool = 'app'\npath = '/p'";
    let (config, _) = parse_pure(&text).unwrap();
    assert_eq!(config.routes[0].action, Action::Redirect { to: "/new".to_owned(), status: 307 });
    let content_type = "text/plain; charset=utf-8".to_owned();
    assert_eq!(config.routes[1].action, Action::Respond { status: 200, body: String::new(), content_type });
}

#[test]
fn the_more_specific_is_the_greater() {
    let route = |tables: &str| parse_pure(&routes(&[tables])).unwrap().0.routes.remove(0);
    let rank = |route: &Route| route.specificity(route.hosts.first(), &route.paths[0]);
    let rising = [
        "priority = 9",
        "method = 'GET'",
        "method = 'GET'\npriority = 1",
        "method = 'GET'\nheader = { a = '1', b = '2' }",
        "path = '/a/*'",
        "path = '/a/b/*'",
        "path = '/a'",
        "host = '*.example'",
        "host = '*.a.example'",
        "host = '*.a.example'\npath = '/a'",
        "host = 'b.a.example'",
    ];
    for pair in rising.windows(2) {
        assert!(rank(&route(pair[0])) < rank(&route(pair[1])), "{pair:?}");
    }
}
