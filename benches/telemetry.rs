//! What it costs to have seen a request: its counts, and its line in the access log in either format. Counts are on in every request and
//! have to be next to nothing; what a flush costs is paid once a second.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::address::Address;
use tidegate::config::model::AccessFormat;
use tidegate::message::Version;
use tidegate::telemetry::record::Stamp;
use tidegate::telemetry::series::Outcome;
use tidegate::telemetry::{Record, Registry};

/// What a proxied GET over kept connections is counted by.
fn counts(c: &mut Criterion) {
    let mut group = c.benchmark_group("counts");
    let registry = Registry::new();
    let (route, pool, worker) = (registry.route("api").local(), registry.pool("app").local(), registry.worker(0).local());
    group.bench_function("request", |b| {
        b.iter(|| {
            let took = black_box(Duration::from_micros(734));
            worker.request_began();
            pool.reused();
            pool.first_byte(took);
            pool.attempt(Outcome::Ok);
            pool.total(took);
            route.request(black_box(Some(200)), None, 0, 1024);
            worker.request_ended();
        });
    });
    group.bench_function("request and flush", |b| {
        b.iter(|| {
            pool.total(black_box(Duration::from_micros(734)));
            route.request(black_box(Some(200)), None, 0, 1024);
            pool.flush();
            route.flush();
        });
    });
    group.finish();
}

fn line(c: &mut Criterion) {
    let mut group = c.benchmark_group("access log");
    let backend: Address = SocketAddr::from(([10, 0, 0, 1], 8080)).into();
    let record = Record {
        time: SystemTime::now(),
        client: [203, 0, 113, 7].into(),
        peer: ([203, 0, 113, 7], 51_044).into(),
        listener: "web",
        method: b"GET",
        scheme: "https",
        host: b"www.example.com",
        target: b"/static/img/logo-2x.png?v=20260114",
        version: Version::Http11,
        status: Some(200),
        route: Some("static"),
        pool: Some("app"),
        backend: Some(&backend),
        attempts: 1,
        free_retry: false,
        retry: None,
        queued: None,
        fail_open: false,
        received: 0,
        sent: 48_211,
        connect: None,
        first_byte: Some(Duration::from_micros(734)),
        total: Duration::from_micros(1_208),
        reused: Some(true),
        upstream: Some(Version::Http11),
        call: None,
        cache: None,
        failure: None,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        referer: Some(b"https://www.example.com/articles/2026/01/14/on-the-shape-of-queues"),
    };
    let (mut stamp, mut out) = (Stamp::default(), Vec::with_capacity(4096));
    for format in [AccessFormat::Json, AccessFormat::Combined] {
        group.bench_function(BenchmarkId::from_parameter(format!("{format:?}").to_lowercase()), |b| {
            b.iter(|| {
                out.clear();
                black_box(&record).write(format, &mut stamp, &mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, counts, line);
criterion_main!(benches);
