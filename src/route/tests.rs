use proptest::prelude::*;

use super::*;
use crate::message::Version;

fn rule<T>(host: &str, path: &str, target: T) -> Rule<T> {
    let hosts = match host.strip_prefix("*.") {
        _ if host.is_empty() => vec![],
        Some(name) => vec![HostPattern::Wildcard(name.to_owned())],
        None => vec![HostPattern::Exact(host.to_owned())],
    };
    let paths = vec![match path.strip_suffix("/*") {
        Some(prefix) => PathPattern::Prefix(prefix.to_owned()),
        None => PathPattern::Exact(path.to_owned()),
    }];
    Rule { hosts, paths, methods: vec![], headers: vec![], queries: vec![], cookies: vec![], priority: 0, target }
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::request(method.as_bytes(), target.as_bytes(), b"", Version::Http11);
    for (name, value) in fields {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    head
}

fn find<'r, T>(router: &'r Router<T>, host: &str, path: &str, head: &Head) -> Option<&'r T> {
    router.find(&Request { host, path, head })
}

#[test]
fn the_most_specific_path_wins_in_any_order() {
    let mut rules: Vec<_> = ["/*", "/api/*", "/api/v1/*", "/api/v1", "/api/", "/"].map(|path| rule("", path, path)).into();
    for turned in 0..2 {
        let router = Router::build(rules.clone());
        for (path, expected) in [
            ("/", "/"),
            ("*", "/*"),
            ("//", "/*"),
            ("/apix", "/*"),
            ("/ap", "/*"),
            ("/api", "/api/*"),
            ("/api/", "/api/"),
            ("/api/x", "/api/*"),
            ("/api/v1", "/api/v1"),
            ("/api/v1/", "/api/v1/*"),
            ("/api/v1/x/y", "/api/v1/*"),
            ("/api/v10", "/api/*"),
            ("/api%2Fv1", "/*"),
            ("/API", "/*"),
        ] {
            assert_eq!(find(&router, "a", path, &head("GET", path, &[])), Some(&expected), "path {path}, order {turned}");
        }
        rules.reverse();
    }
}

#[test]
fn the_most_specific_host_wins_and_gives_way_where_it_has_no_path() {
    let router = Router::build(vec![
        rule("", "/*", "any"),
        rule("*.example.com", "/*", "wildcard"),
        rule("*.b.example.com", "/b/*", "longer wildcard"),
        rule("a.b.example.com", "/exact", "exact"),
        rule("[::1]", "/*", "six"),
    ]);
    for (host, path, expected) in [
        ("a.b.example.com", "/exact", "exact"),
        ("a.b.example.com", "/b/x", "longer wildcard"),
        ("a.b.example.com", "/", "wildcard"),
        ("b.example.com", "/b", "wildcard"),
        ("x.y.z.b.example.com", "/b", "longer wildcard"),
        ("example.com", "/", "any"),
        ("notexample.com", "/", "any"),
        ("com", "/", "any"),
        ("", "/", "any"),
        ("[::1]", "/", "six"),
    ] {
        assert_eq!(find(&router, host, path, &head("GET", path, &[])), Some(&expected), "host {host}, path {path}");
    }
}

#[test]
fn each_predicate_holds_for_what_it_names_and_nothing_else() {
    let with = |edit: fn(&mut Rule<()>)| {
        let mut rule = rule("", "/*", ());
        edit(&mut rule);
        rule
    };
    let method = with(|rule| rule.methods = vec!["GET".to_owned(), "PURGE".to_owned()]);
    let header = with(|rule| rule.headers = pair("x-team", "a"));
    let query = with(|rule| rule.queries = pair("v", "1 +"));
    let flag = with(|rule| rule.queries = pair("debug", ""));
    let cookie = with(|rule| rule.cookies = pair("beta", "1"));
    for (rule, request, holds) in [
        (&method, head("GET", "/", &[]), true),
        (&method, head("PURGE", "/", &[]), true),
        (&method, head("get", "/", &[]), false),
        (&header, head("GET", "/", &[("X-Team", " a ")]), true),
        (&header, head("GET", "/", &[("x-team", "b"), ("X-TEAM", "a")]), true),
        (&header, head("GET", "/", &[("x-team", "A")]), false),
        (&header, head("GET", "/", &[("x-team", "a, b")]), false),
        (&header, head("GET", "/", &[]), false),
        (&query, head("GET", "/?v=1%20+", &[]), true),
        (&query, head("GET", "/?x&v=2&%76=%31%20%2b", &[]), true),
        (&query, head("GET", "/?v=1++", &[]), false),
        (&query, head("GET", "/?w=v=1%20+", &[]), false),
        (&query, head("GET", "/", &[]), false),
        (&flag, head("GET", "/?debug", &[]), true),
        (&flag, head("GET", "/?debug=", &[]), true),
        (&flag, head("GET", "/?debug=1", &[]), false),
        (&cookie, head("GET", "/", &[("Cookie", "a=b; beta=1")]), true),
        (&cookie, head("GET", "/", &[("Cookie", "a=b"), ("cookie", "beta=1;c=d")]), true),
        (&cookie, head("GET", "/", &[("Cookie", "beta=12; xbeta=1; beta")]), false),
    ] {
        assert_eq!(rule.holds(&request), holds, "{rule:?} of {} {request:?}", String::from_utf8_lossy(request.target()));
    }
}

#[test]
fn predicates_come_before_priority_and_fall_through_when_they_fail() {
    let urgent = Rule { priority: 9, ..rule("", "/api/*", "urgent") };
    let posts = Rule { methods: vec!["POST".to_owned()], ..rule("", "/api/*", "posts") };
    let team = Rule { headers: pair("x-team", "a"), queries: pair("v", "2"), ..rule("a.example", "/api/x", "team") };
    let router = Router::build(vec![rule("", "/*", "rest"), rule("", "/api/*", "plain"), urgent, posts, team]);
    for (host, request, expected) in [
        ("", head("GET", "/api/x", &[]), "urgent"),
        ("", head("POST", "/api/x", &[]), "posts"),
        ("a.example", head("POST", "/api/x?v=2", &[("x-team", "a")]), "team"),
        ("a.example", head("POST", "/api/x?v=3", &[("x-team", "a")]), "posts"),
        ("a.example", head("GET", "/x", &[]), "rest"),
    ] {
        let path = String::from_utf8_lossy(request.path()).into_owned();
        assert_eq!(find(&router, host, &path, &request), Some(&expected), "{host} {request:?}");
    }
    let request = head("POST", "/api/x", &[]);
    assert_eq!(router.matches(&Request { host: "", path: "/api/x", head: &request }), [&"posts", &"urgent", &"plain", &"rest"]);
}

#[test]
fn nothing_matches_nothing() {
    let request = head("GET", "/", &[]);
    assert_eq!(find(&Router::<()>::build(vec![]), "a", "/", &request), None);
    assert_eq!(find(&Router::build(vec![rule("", "/x", ())]), "a", "/", &request), None);
    assert_eq!(find(&Router::build(vec![rule("b", "/*", ())]), "a", "/", &request), None);
}

/// How well a rule's host and path match, worked out rule by rule: the order that the index must reproduce.
fn specificity<T>(rule: &Rule<T>, host: &str, path: &str) -> Option<(usize, usize)> {
    let of_host = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (name == host).then_some(usize::MAX),
        HostPattern::Wildcard(name) => {
            host.strip_suffix(name.as_str()).filter(|front| front.len() > 1 && front.ends_with('.')).map(|_| name.len())
        }
    };
    let of_path = |pattern: &PathPattern| match pattern {
        PathPattern::Exact(exact) => (exact == path).then_some(usize::MAX),
        PathPattern::Prefix(prefix) => path
            .strip_prefix(prefix.as_str())
            .filter(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
            .map(|_| prefix.len()),
    };
    let by_host = if rule.hosts.is_empty() { Some(0) } else { rule.hosts.iter().filter_map(of_host).max() };
    by_host.zip(rule.paths.iter().filter_map(of_path).max())
}

fn reference<'r, T>(rules: &'r [Rule<T>], request: &Request<'_>) -> Vec<&'r T> {
    let mut found: Vec<_> = rules
        .iter()
        .filter(|rule| rule.holds(request.head))
        .filter_map(|rule| {
            specificity(rule, request.host, request.path).map(|specificity| (specificity, rule.predicates(), rule.priority, rule))
        })
        .collect();
    found.sort_by_key(|(specificity, predicates, priority, _)| std::cmp::Reverse((*specificity, *predicates, *priority)));
    found.into_iter().map(|(.., rule)| &rule.target).collect()
}

fn any_host() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
}

fn any_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]{0,2}", 0..4)
        .prop_map(|segments| segments.iter().fold(String::new(), |path, segment| path + "/" + segment))
}

fn any_rule() -> impl Strategy<Value = Rule<usize>> {
    let host =
        (any_host(), any::<bool>()).prop_map(|(name, exact)| if exact { HostPattern::Exact(name) } else { HostPattern::Wildcard(name) });
    let path = (any_path(), any::<bool>())
        .prop_map(|(path, exact)| if exact && !path.is_empty() { PathPattern::Exact(path) } else { PathPattern::Prefix(path) });
    let (hosts, paths) = (proptest::collection::vec(host, 0..3), proptest::collection::vec(path, 1..3));
    (hosts, paths, any::<bool>(), any::<bool>(), -1..2).prop_map(|(hosts, paths, post, team, priority)| Rule {
        methods: if post { vec!["POST".to_owned()] } else { vec![] },
        headers: if team { pair("x-team", "a") } else { vec![] },
        hosts,
        paths,
        priority,
        ..rule("", "/*", 0)
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_reading_every_rule_finds(
        mut rules in proptest::collection::vec(any_rule(), 0..30),
        host in any_host(),
        path in any_path(),
        post: bool,
        team: bool,
    ) {
        let path = if path.is_empty() { "*".to_owned() } else { path };
        for (at, rule) in rules.iter_mut().enumerate() {
            rule.target = at;
        }
        let head = head(if post { "POST" } else { "GET" }, &path, if team { &[("X-Team", "a")] } else { &[] });
        let request = Request { host: &host, path: &path, head: &head };
        let expected = reference(&rules, &request);
        let router = Router::build(rules.clone());
        prop_assert_eq!(router.find(&request), expected.first().copied());
        prop_assert_eq!(router.matches(&request), expected);
    }
}
