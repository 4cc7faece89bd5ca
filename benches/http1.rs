//! What the HTTP/1.1 codec costs per message, and what forwarding does to a head between reading and writing it. Heads are those of
//! a program, of a browser, and one with as many fields as a listener admits by default.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::http1::framing::{Decoder, Step};
use tidegate::http1::head::{self, Framing, Limits};
use tidegate::http1::writer::{self, Connection};
use tidegate::message::forwarding::{self, Hop, Peer};
use tidegate::message::{Head, Method};

/// A listener's defaults.
const LIMITS: Limits = Limits { bytes: 32 << 10, fields: 100, target: 16 << 10 };

const PROGRAM: &str = "GET /api/v1/users/17 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

const BROWSER: &str = "GET /static/img/logo-2x.png?v=20260114 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Referer: https://www.example.com/articles/2026/01/14/on-the-shape-of-queues\r\n\
    Cookie: session=8f1c2b7e5a904d3c9e6f; theme=dark; seen=1737200000\r\n\
    Sec-Fetch-Dest: image\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    If-None-Match: \"65a3c1f0-4d2\"\r\n\r\n";

const ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Wed, 14 Jan 2026 09:26:53 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 1024\r\n\
    Last-Modified: Tue, 13 Jan 2026 18:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"65a3c1f0-400\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

/// With as many fields as there may be.
fn full() -> String {
    let mut text = "GET / HTTP/1.1\r\nHost: example.com\r\n".to_owned();
    for n in 1..LIMITS.fields {
        write!(text, "X-Field-{n}: value number {n}\r\n").expect("memory takes it");
    }
    text + "\r\n"
}

fn requests() -> [(&'static str, String); 3] {
    [("program", PROGRAM.to_owned()), ("browser", BROWSER.to_owned()), ("full", full())]
}

fn request(text: &str) -> Head {
    let (request, used) = head::request(text.as_bytes(), &LIMITS).expect("is right").expect("is whole");
    assert_eq!(used, text.len());
    request.head
}

fn answer() -> Head {
    let (response, _) = head::response(ANSWER.as_bytes(), &LIMITS, Method::Get).expect("is right").expect("is whole");
    response.head
}

fn hop() -> Hop {
    Hop::new(([203, 0, 113, 7], 51_044).into(), ([192, 0, 2, 1], 8080).into(), false)
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in requests() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("request", name), |b| b.iter(|| head::request(black_box(text.as_bytes()), &LIMITS)));
    }
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("response", |b| b.iter(|| head::response(black_box(ANSWER.as_bytes()), &LIMITS, Method::Get)));
    group.finish();
}

/// The edits that every intermediary owes, and the fields that tell a backend who asks.
fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    let hop = hop();
    for (name, text) in requests() {
        let head = request(&text);
        let edit = |head: &mut Head| forwarding::to_upstream(head, &hop, Peer::Untrusted, false);
        group.bench_function(BenchmarkId::new("request", name), |b| b.iter_batched_ref(|| head.clone(), edit, BatchSize::SmallInput));
    }
    let head = answer();
    let edit = |head: &mut Head| forwarding::to_downstream(head, false);
    group.bench_function("response", |b| b.iter_batched_ref(|| head.clone(), edit, BatchSize::SmallInput));
    group.finish();
}

/// What a route may ask for beside that: fields to set, to add and to take out.
fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("edit");
    let edit = |head: &mut Head| {
        head.fields.remove_named(b"x-debug");
        head.fields.remove_named(b"referer");
        head.fields.set("x-team", b"payments");
        head.fields.set("user-agent", b"hidden");
        head.fields.append(b"x-trace", b"8f1c2b7e5a904d3c");
    };
    for (name, text) in requests() {
        let head = request(&text);
        group.bench_function(BenchmarkId::new("request", name), |b| b.iter_batched_ref(|| head.clone(), edit, BatchSize::SmallInput));
    }
    group.finish();
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    let hop = hop();
    let mut out = Vec::with_capacity(LIMITS.bytes);
    for (name, text) in requests() {
        let mut head = request(&text);
        forwarding::to_upstream(&mut head, &hop, Peer::Untrusted, false);
        group.bench_function(BenchmarkId::new("request", name), |b| {
            b.iter(|| {
                out.clear();
                writer::request_head(black_box(&head), Framing::Empty, Connection::Persistent, &mut out);
            });
        });
    }
    let mut head = answer();
    forwarding::to_downstream(&mut head, false);
    group.bench_function("response", |b| {
        b.iter(|| {
            out.clear();
            writer::response_head(black_box(&head), Framing::Length(1024), Connection::Persistent, None, &mut out);
        });
    });
    group.finish();
}

/// 64 KiB of content in chunks of one size.
fn decode(c: &mut Criterion) {
    const CONTENT_BYTES: usize = 64 << 10;
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Bytes(CONTENT_BYTES as u64));
    for chunk_bytes in [16, 1 << 10, 16 << 10] {
        let mut coded = Vec::new();
        for _ in 0..CONTENT_BYTES / chunk_bytes {
            writer::chunk_head(chunk_bytes, &mut coded);
            coded.resize(coded.len() + chunk_bytes, b'x');
            coded.extend_from_slice(writer::CRLF);
        }
        writer::last_chunk(None, &mut coded);
        assert_eq!(content_bytes(&coded), CONTENT_BYTES);
        group.bench_function(BenchmarkId::new("chunks", chunk_bytes), |b| b.iter(|| content_bytes(black_box(&coded))));
    }
    group.finish();
}

fn content_bytes(coded: &[u8]) -> usize {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut at, mut content) = (0, 0);
    loop {
        match decoder.step(&coded[at..]).expect("is right") {
            Step::Data { skip, data } => {
                at += skip + data;
                content += data;
            }
            Step::More { .. } => panic!("it is all there"),
            Step::Done { .. } => return content,
        }
    }
}

criterion_group!(benches, parse, forward, edit, write, decode);
criterion_main!(benches);
