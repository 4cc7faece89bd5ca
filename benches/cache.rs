//! What a cache hit costs, by its parts: the key of a request, the look into the store, what the request demands of an answer and
//! whether the kept one may be used, and its head as it is sent again. The store must cost the same with ten answers and with a
//! hundred thousand.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::cache::fill::Opened;
use tidegate::cache::key::{Recipe, Spelling, Url};
use tidegate::cache::policy::{self, Admitted, Asked, Demands, Received, Rules};
use tidegate::cache::{Cache, Found, Join, Sought};
use tidegate::message::forwarding::Told;
use tidegate::message::{Fields, Head, Length, Method, Version};
use tidegate::telemetry::Registry;

const CONTENT: Bytes = Bytes::from_static(&[b'x'; 1024]);

fn request() -> Head {
    let mut head = Head::request(b"GET", b"/", b"www.example.com", Version::Http11);
    for (name, value) in [("User-Agent", "curl/8.5.0"), ("Accept", "*/*"), ("Accept-Language", "de"), ("Accept-Encoding", "gzip")] {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    head
}

fn answer(vary: &str) -> Head {
    let mut head = Head::response(200, b"OK", Version::Http11);
    let fields = [
        ("Server", "nginx"),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Last-Modified", "Tue, 13 Jan 2026 18:00:00 GMT"),
        ("ETag", "\"65a3c1f0-400\""),
        ("Cache-Control", "public, max-age=3600"),
        ("Vary", vary),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    head
}

fn target(n: usize) -> String {
    format!("/articles/2026/01/{n}/on-the-shape-of-queues?page=2")
}

fn seek(recipe: &Recipe, target: &str, request: &Fields, sought: &mut Sought) {
    const HOST: &[u8] = b"www.example.com";
    let told = Told { secure: false, host: HOST, instead_of: None, port: b"80", forwarded: false };
    let url = Url { secure: told.secure, authority: told.host, target: target.as_bytes() };
    sought.set(|out| recipe.spelling.write(&url, out), |out| recipe.write_situation("app", &told, request, out));
}

fn admitted(answer: &Head) -> Admitted {
    let asked = Asked { method: Method::Get, authorized: false, no_store: false };
    let received = Received { at: Instant::now(), wall: SystemTime::now(), delay: Duration::ZERO };
    policy::admit(asked, answer, received, &Rules::default(), 0.5).expect("it may be kept")
}

/// With so many answers in it.
fn cache(entries: usize, vary: &str) -> Arc<Cache> {
    let cache = Arc::new(Cache::new("main", 1 << 30, 1 << 20, Registry::new().cache("main")));
    let (recipe, request, mut sought) = (Recipe::default(), request(), Sought::default());
    for n in 0..entries {
        seek(&recipe, &target(n), &request.fields, &mut sought);
        cache.find(&mut sought, &request.fields);
        let Join::Lead(mut lead) = cache.join(&sought, Instant::now()) else { panic!("nobody else fetches it") };
        let head = answer(vary);
        let admitted = admitted(&head);
        lead.open(Opened { head, admitted, variant: Vec::new(), length: Length::Exact(CONTENT.len() as u64) });
        lead.pour(CONTENT);
        lead.finish(&request.fields);
    }
    cache
}

fn key(c: &mut Criterion) {
    let mut group = c.benchmark_group("cache key");
    let (request, target, mut sought) = (request(), target(17), Sought::default());
    let recipes = [
        ("plain", Recipe::default()),
        ("sorted", Recipe { spelling: Spelling { sort_query: true, ..Spelling::default() }, ..Recipe::default() }),
    ];
    for (name, recipe) in recipes {
        group.bench_function(name, |b| b.iter(|| seek(&recipe, black_box(&target), &request.fields, &mut sought)));
    }
    group.finish();
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("cache find");
    let (recipe, request, mut sought) = (Recipe::default(), request(), Sought::default());
    for (name, vary) in [("hit", ""), ("hit that varies", "Accept-Language")] {
        for entries in [10, 1_000, 100_000] {
            let cache = cache(entries, vary);
            seek(&recipe, &target(entries / 2), &request.fields, &mut sought);
            assert!(matches!(cache.find(&mut sought, &request.fields), Found::Object(_)));
            group.bench_function(BenchmarkId::new(name, entries), |b| b.iter(|| cache.find(black_box(&mut sought), &request.fields)));
        }
    }
    let cache = cache(1_000, "");
    seek(&recipe, "/nothing", &request.fields, &mut sought);
    group.bench_function("miss", |b| b.iter(|| cache.find(black_box(&mut sought), &request.fields)));
    group.finish();
}

/// Whether and how an answer is kept: once for each fetch.
fn admit(c: &mut Criterion) {
    let head = answer("Accept-Language");
    c.bench_function("cache admit", |b| b.iter(|| admitted(black_box(&head))));
}

/// All that a hit is made of, between the request's head and the answer's.
fn hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("cache hit");
    let (recipe, request, mut sought) = (Recipe::default(), request(), Sought::default());
    let (cache, target, now) = (cache(1_000, ""), target(500), Instant::now());
    group.bench_function("demands", |b| b.iter(|| Demands::of(black_box(&request.fields))));
    group.bench_function("whole", |b| {
        b.iter(|| {
            seek(&recipe, black_box(&target), &request.fields, &mut sought);
            let Found::Object(object) = cache.find(&mut sought, &request.fields) else { panic!("it is kept") };
            black_box(object.terms.judge(&Demands::of(&request.fields), object.is_expired(), now));
            (object.head.copy(), object.content.body(None))
        });
    });
    group.finish();
}

criterion_group!(benches, key, find, hit, admit);
criterion_main!(benches);
