//! Looking up a route must cost the same among ten rules and among ten thousand.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::config::model::{HostPattern, PathPattern};
use tidegate::message::{Head, Version, path};
use tidegate::route::{Request, Router, Rule};

fn rule(host: Option<HostPattern>, path: PathPattern) -> Rule<()> {
    Rule {
        hosts: Vec::from_iter(host),
        paths: vec![path],
        methods: vec![],
        headers: vec![],
        queries: vec![],
        cookies: vec![],
        priority: 0,
        target: (),
    }
}

/// Half of the rules stand under a host of their own, half are prefixes under one host; one catches the rest.
fn router(rules: usize) -> Router<()> {
    let exact = |name: String| Some(HostPattern::Exact(name));
    let half = rules / 2;
    let hosts = (0..half).map(|n| rule(exact(format!("h{n}.example.com")), PathPattern::Prefix(String::new())));
    let paths = (half..rules - 1).map(|n| rule(exact("example.com".to_owned()), PathPattern::Prefix(format!("/api/v{}/s{n}", n % 10))));
    Router::build(hosts.chain(paths).chain([rule(None, PathPattern::Prefix(String::new()))]).collect())
}

fn find(c: &mut Criterion) {
    let head = Head::request(b"GET", b"/", b"example.com", Version::Http11);
    let mut group = c.benchmark_group("route");
    for rules in [10, 1_000, 10_000] {
        let router = router(rules);
        let deep = format!("/api/v{}/s{}/users/17", (rules - 2) % 10, rules - 2);
        for (name, host, path) in
            [("host", "h3.example.com", "/x"), ("prefix", "example.com", &*deep), ("fallback", "other.example", "/a/b/c")]
        {
            let request = Request { host, path, head: &head };
            assert!(router.find(&request).is_some());
            group.bench_function(BenchmarkId::new(name, rules), |b| b.iter(|| router.find(black_box(&request))));
        }
    }
    group.finish();
}

fn normalise(c: &mut Criterion) {
    let mut group = c.benchmark_group("path");
    for path in ["/", "/static/img/logo-2x.png", "/api/v1/users/17/orders/2024/items", "/api/caf%C3%A9/%7Eme"] {
        group.bench_function(path, |b| b.iter(|| path::normalise(black_box(path.as_bytes())).is_ok()));
    }
    group.bench_function("host", |b| b.iter(|| path::host(black_box(b"www.example.com:8080")).is_some()));
    group.finish();
}

criterion_group!(benches, find, normalise);
criterion_main!(benches);
