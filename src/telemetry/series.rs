//! Counters by route, pool and worker: one shared series each, and a local for every worker.
//!
//! A worker counts in `Cell`s and flushes each second: on the path of a request no cache line is shared. Shared series live in the
//! `Registry` under their name, so a reload that keeps the name keeps the count; locals belong to whoever made them and flush when
//! dropped. A gauge is flushed as a difference, so what began under one local may end under another.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::histogram::{Histogram, LocalHistogram};
use super::names;
use super::registry::Exporter;
use crate::config::model::Reason;
use crate::failure::Failure;
use crate::message::{Code, Handshake, Told, Version, grpc};

/// Values of the label `class`, by hundreds of the status.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// How an attempt at a backend ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// An answer, whole, whatever its status.
    Ok,
    ConnectRefused,
    ConnectFailed,
    ConnectTimeout,
    /// The backend's certificate is not believed.
    Untrusted,
    TlsFailed,
    /// The backend speaks another protocol than its pool's.
    NotHttp2,
    /// The backend said that it had not looked at the request.
    Refused,
    /// The connection broke before a byte of the answer.
    Reset,
    /// No first byte in time, or none more for too long.
    Timeout,
    /// The answer breaks the protocol.
    Malformed,
    /// The answer was cut.
    Truncated,
    /// Given up from our side: the client left, or the proxy failed. Says nothing about the backend.
    Cancelled,
}

impl Outcome {
    const LABELS: [&'static str; 13] = [
        "ok",
        "connect_refused",
        "connect_failed",
        "connect_timeout",
        "untrusted",
        "tls_failed",
        "not_http2",
        "refused",
        "reset",
        "timeout",
        "malformed",
        "truncated",
        "cancelled",
    ];
}

/// Why a request got no slot, in the order of the counters.
const REFUSALS: [Failure; 4] = [Failure::BackendsFull, Failure::QueueFull, Failure::QueueTooLong, Failure::QueueTimeout];

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        match failure {
            Failure::ConnectRefused => Outcome::ConnectRefused,
            Failure::ConnectFailed => Outcome::ConnectFailed,
            Failure::ConnectTimeout => Outcome::ConnectTimeout,
            Failure::UpstreamUntrusted => Outcome::Untrusted,
            Failure::UpstreamTlsFailed => Outcome::TlsFailed,
            Failure::UpstreamNotHttp2 => Outcome::NotHttp2,
            Failure::UpstreamRefused => Outcome::Refused,
            Failure::UpstreamReset => Outcome::Reset,
            Failure::FirstByteTimeout | Failure::TryTimeout | Failure::StallTimeout | Failure::TotalTimeout => Outcome::Timeout,
            Failure::ResponseMalformed(_) | Failure::ResponseHeadTooLarge | Failure::UpgradeUnexpected => Outcome::Malformed,
            Failure::ResponseTruncated => Outcome::Truncated,
            // An answer like any other, only not one for this client.
            Failure::UpgradeIgnored => Outcome::Ok,
            _ => Outcome::Cancelled,
        }
    }
}

/// A count of one worker's since the last flush.
#[derive(Debug, Default)]
struct Count(Cell<u64>);

impl Count {
    #[inline]
    fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    fn flush(&self, shared: &Counter) {
        let counted = self.0.take();
        if counted > 0 {
            shared.increment(counted);
        }
    }
}

/// A level's change on one worker since the last flush.
#[derive(Debug, Default)]
struct Delta(Cell<i64>);

impl Delta {
    #[inline]
    fn add(&self, n: i64) {
        self.0.set(self.0.get() + n);
    }

    fn flush(&self, shared: &Gauge) {
        let change = self.0.take();
        if change != 0 {
            shared.increment(change as f64);
        }
    }
}

/// A local flushes what it has when its owner lets go of it.
macro_rules! flush_on_drop {
    ($($local:ident)+) => {
        $( impl Drop for $local {
            fn drop(&mut self) {
                self.flush();
            }
        } )+
    };
}

flush_on_drop! { RouteLocal WorkerLocal CacheLocal }

impl Drop for PoolLocal {
    fn drop(&mut self) {
        // Its connections go with the worker's view of the pool, or to the next view.
        self.idle(0);
        self.by_streams(0, 0);
        self.flush();
    }
}

/// What is counted of a route. Its series appear with its first request, all classes together (so that the first 500 is already a
/// rise from 0): ten thousand routes cost a scrape only what is used of them.
pub struct RouteSeries {
    name: String,
    exporter: Exporter,
    counters: OnceLock<RouteCounters>,
    /// By `Failure::index`; each appears with its first failure.
    failures: OnceLock<Box<[OnceLock<Counter>; Failure::COUNT]>>,
}

struct RouteCounters {
    classes: [Counter; CLASSES.len()],
    received: Counter,
    sent: Counter,
}

impl RouteSeries {
    pub(super) fn new(name: &str, exporter: &Exporter) -> RouteSeries {
        RouteSeries { name: name.to_owned(), exporter: exporter.clone(), counters: OnceLock::new(), failures: OnceLock::new() }
    }

    pub fn local(self: &Arc<Self>) -> RouteLocal {
        RouteLocal {
            shared: Arc::clone(self),
            classes: Default::default(),
            received: Count::default(),
            sent: Count::default(),
            calls: OnceCell::new(),
        }
    }

    fn counters(&self) -> &RouteCounters {
        let route = ("route", self.name.as_str());
        self.counters.get_or_init(|| RouteCounters {
            classes: CLASSES.map(|class| self.exporter.counter(names::REQUESTS, &[route, ("class", class)])),
            received: self.exporter.counter(names::RECEIVED_BYTES, &[route]),
            sent: self.exporter.counter(names::SENT_BYTES, &[route]),
        })
    }

    /// Shared at once, without a local: failures are few, and an array of them per route and worker would be kilobytes of zeros.
    #[cold]
    fn failed(&self, failure: Failure) {
        let failures = self.failures.get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let labels = [("route", self.name.as_str()), ("reason", failure.code())];
        failures[failure.index()].get_or_init(|| self.exporter.counter(names::FAILURES, &labels)).increment(1);
    }
}

/// One worker's counts of a route.
pub struct RouteLocal {
    shared: Arc<RouteSeries>,
    classes: [Count; CLASSES.len()],
    received: Count,
    sent: Count,
    /// Of gRPC, by status; made with the first of them.
    calls: OnceCell<Box<[Count; grpc::WORDS.len()]>>,
}

impl RouteLocal {
    /// A request has ended. `status`: what was sent, `None` where no answer was begun. `received`, `sent`: bytes of content.
    #[inline]
    pub fn request(&self, status: Option<u16>, failure: Option<Failure>, received: u64, sent: u64) {
        let class = usize::from(status.unwrap_or(0) / 100);
        self.classes[if class < CLASSES.len() { class } else { 0 }].add(1);
        self.received.add(received);
        self.sent.add(sent);
        if let Some(failure) = failure {
            self.shared.failed(failure);
        }
    }

    /// One of them was a call of gRPC that ended so.
    pub fn call(&self, status: u8) {
        self.calls.get_or_init(Box::default)[usize::from(status).min(grpc::WORDS.len() - 1)].add(1);
    }

    pub fn flush(&self) {
        if self.classes.iter().all(|class| class.0.get() == 0) {
            return;
        }
        let counters = self.shared.counters();
        for (local, shared) in self.classes.iter().zip(&counters.classes) {
            local.flush(shared);
        }
        self.received.flush(&counters.received);
        self.sent.flush(&counters.sent);
        if let Some(calls) = self.calls.get() {
            let shared = &self.shared;
            let counter = |status| shared.exporter.counter(names::GRPC_CALLS, &[("route", &shared.name), ("status", status)]);
            flush_used(calls, &grpc::WORDS, counter);
        }
    }
}

/// What the cache had for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CacheResult {
    /// A fresh answer.
    Hit,
    /// A stale one: while it is revalidated, because the request takes it, or because the origin fails.
    Stale,
    /// The origin has confirmed what was kept.
    Revalidated,
    /// Somebody else was fetching it.
    Collapsed,
    /// Nothing of this URL.
    Miss,
    /// Only answers for other requests.
    VaryMiss,
    /// Some of it, but not all of what was asked for.
    Partial,
    /// Too old, and the origin had a new one.
    Expired,
    /// The request is not one for the cache.
    Bypass,
    /// `only-if-cached`, and it was not.
    Refused,
}

impl CacheResult {
    const LABELS: [&'static str; 10] =
        ["hit", "stale", "revalidated", "collapsed", "miss", "vary_miss", "partial", "expired", "bypass", "refused"];

    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        CacheResult::LABELS[self as usize]
    }
}

/// What is counted of a cache.
pub struct CacheSeries {
    pub(super) name: String,
    results: [Counter; CacheResult::LABELS.len()],
    fills: Counter,
    pub(super) fill_seconds: Histogram,
    purged: Counter,
    bytes: Gauge,
    entries: Gauge,
    evicted: Counter,
}

impl CacheSeries {
    pub(super) fn new(name: &str, exporter: &Exporter) -> CacheSeries {
        let cache = ("cache", name);
        CacheSeries {
            name: name.to_owned(),
            results: CacheResult::LABELS.map(|result| exporter.counter(names::CACHE_REQUESTS, &[cache, ("result", result)])),
            fills: exporter.counter(names::CACHE_FILLS, &[cache]),
            fill_seconds: Histogram::default(),
            purged: exporter.counter(names::CACHE_PURGED, &[cache]),
            bytes: exporter.gauge(names::CACHE_BYTES, &[cache]),
            entries: exporter.gauge(names::CACHE_ENTRIES, &[cache]),
            evicted: exporter.counter(names::CACHE_EVICTED, &[cache]),
        }
    }

    /// How full it is, and how many entries have had to go so far.
    pub fn level(&self, bytes: u64, entries: usize, evicted: u64) {
        self.bytes.set(bytes as f64);
        self.entries.set(entries as f64);
        self.evicted.absolute(evicted);
    }

    /// An answer was stored, so long after it was asked for.
    pub fn filled(&self, took: Duration) {
        self.fills.increment(1);
        self.fill_seconds.record(took);
    }

    pub fn purged(&self, entries: usize) {
        self.purged.increment(entries as u64);
    }

    pub fn local(self: &Arc<Self>) -> CacheLocal {
        CacheLocal { shared: Arc::clone(self), results: Default::default() }
    }
}

/// What lists that caches are warmed with have come to.
pub struct WarmSeries {
    answered: Counter,
    failed: Counter,
    left: Gauge,
}

impl WarmSeries {
    pub(super) fn new(exporter: &Exporter) -> WarmSeries {
        let [answered, failed] = ["answered", "failed"].map(|result| exporter.counter(names::WARM_REQUESTS, &[("result", result)]));
        WarmSeries { answered, failed, left: exporter.gauge(names::WARM_LEFT, &[]) }
    }

    pub fn ended(&self, well: bool) {
        let counter = if well { &self.answered } else { &self.failed };
        counter.increment(1);
    }

    pub fn left(&self, urls: usize) {
        self.left.set(urls as f64);
    }
}

/// One worker's counts of a cache.
pub struct CacheLocal {
    shared: Arc<CacheSeries>,
    results: [Count; CacheResult::LABELS.len()],
}

impl CacheLocal {
    #[inline]
    pub fn request(&self, result: CacheResult) {
        self.results[result as usize].add(1);
    }

    pub fn flush(&self) {
        self.results.iter().zip(&self.shared.results).for_each(|(local, shared)| local.flush(shared));
    }
}

/// What is counted of a pool, over all its backends.
pub struct PoolSeries {
    pub(super) name: String,
    attempts: [Counter; Outcome::LABELS.len()],
    free_retries: Counter,
    retries: [Counter; Reason::ALL.len()],
    budget_exhausted: Counter,
    queued: Gauge,
    refused: [Counter; REFUSALS.len()],
    failed_open: Counter,
    opened: Counter,
    reused: Counter,
    idle: Gauge,
    lines: Gauge,
    streams: Gauge,
    tunnels: Gauge,
    pub(super) queue_wait: Histogram,
    pub(super) connect: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) total: Histogram,
}

impl PoolSeries {
    pub(super) fn new(name: &str, exporter: &Exporter) -> PoolSeries {
        let pool = ("pool", name);
        PoolSeries {
            name: name.to_owned(),
            attempts: Outcome::LABELS.map(|outcome| exporter.counter(names::ATTEMPTS, &[pool, ("outcome", outcome)])),
            free_retries: exporter.counter(names::FREE_RETRIES, &[pool]),
            retries: std::array::from_fn(|at| exporter.counter(names::RETRIES, &[pool, ("reason", Reason::WORDS[at])])),
            budget_exhausted: exporter.counter(names::BUDGET_EXHAUSTED, &[pool]),
            queued: exporter.gauge(names::QUEUED, &[pool]),
            refused: REFUSALS.map(|reason| exporter.counter(names::REFUSED, &[pool, ("reason", reason.code())])),
            failed_open: exporter.counter(names::FAIL_OPEN_REQUESTS, &[pool]),
            opened: exporter.counter(names::UPSTREAM_OPENED, &[pool]),
            reused: exporter.counter(names::UPSTREAM_REUSED, &[pool]),
            idle: exporter.gauge(names::UPSTREAM_IDLE, &[pool]),
            lines: exporter.gauge(names::UPSTREAM_LINES, &[pool]),
            streams: exporter.gauge(names::UPSTREAM_STREAMS, &[pool]),
            tunnels: exporter.gauge(names::TUNNELS, &[pool]),
            queue_wait: Histogram::default(),
            connect: Histogram::default(),
            first_byte: Histogram::default(),
            total: Histogram::default(),
        }
    }

    pub fn local(self: &Arc<Self>) -> PoolLocal {
        PoolLocal {
            shared: Arc::clone(self),
            attempts: Default::default(),
            free_retries: Count::default(),
            retries: Default::default(),
            budget_exhausted: Count::default(),
            queued: Delta::default(),
            refused: Default::default(),
            failed_open: Count::default(),
            opened: Count::default(),
            reused: Count::default(),
            idle: Level::default(),
            lines: Level::default(),
            streams: Level::default(),
            tunnels: Delta::default(),
            queue_wait: LocalHistogram::default(),
            connect: LocalHistogram::default(),
            first_byte: LocalHistogram::default(),
            total: LocalHistogram::default(),
        }
    }
}

/// One worker's counts of a pool.
pub struct PoolLocal {
    shared: Arc<PoolSeries>,
    attempts: [Count; Outcome::LABELS.len()],
    free_retries: Count,
    retries: [Count; Reason::ALL.len()],
    budget_exhausted: Count,
    queued: Delta,
    refused: [Count; REFUSALS.len()],
    failed_open: Count,
    opened: Count,
    reused: Count,
    idle: Level,
    lines: Level,
    streams: Level,
    tunnels: Delta,
    queue_wait: LocalHistogram,
    connect: LocalHistogram,
    first_byte: LocalHistogram,
    total: LocalHistogram,
}

impl PoolLocal {
    #[inline]
    pub fn attempt(&self, outcome: Outcome) {
        self.attempts[outcome as usize].add(1);
    }

    #[inline]
    pub fn free_retry(&self) {
        self.free_retries.add(1);
    }

    /// Another attempt, because of this.
    pub fn retry(&self, reason: Reason) {
        self.retries[reason as usize].add(1);
    }

    /// There would have been another attempt, had there been budget for it.
    pub fn budget_exhausted(&self) {
        self.budget_exhausted.add(1);
    }

    /// A request waits for a slot, until the return value is dropped.
    pub fn queued(&self) -> impl Drop {
        self.queued.add(1);
        Queued(&self.queued)
    }

    pub fn tunnel_opened(&self) {
        self.tunnels.add(1);
    }

    pub fn tunnel_closed(&self) {
        self.tunnels.add(-1);
    }

    /// It has left the line after so long.
    pub fn waited(&self, took: Duration) {
        self.queue_wait.record(took);
    }

    /// A request got no slot; other reasons are not counted here.
    pub fn refused(&self, reason: Failure) {
        if let Some(at) = REFUSALS.iter().position(|refusal| *refusal == reason) {
            self.refused[at].add(1);
        }
    }

    /// An attempt at a backend that is down, because all of its pool is.
    #[inline]
    pub fn failed_open(&self) {
        self.failed_open.add(1);
    }

    /// A connection to a backend was opened, and took this long.
    #[inline]
    pub fn connected(&self, took: Duration) {
        self.opened.add(1);
        self.connect.record(took);
    }

    /// An idle connection was taken to be used again.
    #[inline]
    pub fn reused(&self) {
        self.reused.add(1);
    }

    /// So many connections of this worker wait for a request now.
    pub fn idle(&self, level: usize) {
        self.idle.set(level);
    }

    /// So many connections of this worker speak HTTP/2 now, with so many requests on them.
    pub fn by_streams(&self, connections: usize, streams: usize) {
        self.lines.set(connections);
        self.streams.set(streams);
    }

    /// From the end of the request's head to the first byte of the answer.
    #[inline]
    pub fn first_byte(&self, took: Duration) {
        self.first_byte.record(took);
    }

    /// A whole exchange has ended; not to be told of tunnels, whose length says nothing about speed.
    #[inline]
    pub fn total(&self, took: Duration) {
        self.total.record(took);
    }

    pub fn flush(&self) {
        let shared = &*self.shared;
        for (local, shared) in self.attempts.iter().zip(&shared.attempts) {
            local.flush(shared);
        }
        self.free_retries.flush(&shared.free_retries);
        for (local, shared) in self.retries.iter().zip(&shared.retries) {
            local.flush(shared);
        }
        self.budget_exhausted.flush(&shared.budget_exhausted);
        self.queued.flush(&shared.queued);
        for (local, shared) in self.refused.iter().zip(&shared.refused) {
            local.flush(shared);
        }
        self.queue_wait.flush(&shared.queue_wait);
        self.failed_open.flush(&shared.failed_open);
        self.opened.flush(&shared.opened);
        self.reused.flush(&shared.reused);
        self.idle.change.flush(&shared.idle);
        self.lines.change.flush(&shared.lines);
        self.streams.change.flush(&shared.streams);
        self.tunnels.flush(&shared.tunnels);
        self.connect.flush(&shared.connect);
        self.first_byte.flush(&shared.first_byte);
        self.total.flush(&shared.total);
    }
}

/// A worker's part of a gauge, told as a whole.
#[derive(Default)]
struct Level {
    now: Cell<i64>,
    change: Delta,
}

impl Level {
    fn set(&self, level: usize) {
        let level = level as i64;
        self.change.add(level - self.now.replace(level));
    }
}

struct Queued<'a>(&'a Delta);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// What is counted of a worker.
pub struct WorkerSeries {
    up: Gauge,
    accepted: Counter,
    handed_off: Counter,
    connections: Gauge,
    in_flight: Gauge,
    streams: Gauge,
    /// For counters that begin with what they count.
    exporter: Exporter,
}

impl WorkerSeries {
    pub(super) fn new(index: &str, exporter: &Exporter) -> WorkerSeries {
        let worker = [("worker", index)];
        let up = exporter.gauge(names::WORKER_UP, &worker);
        up.set(1.0);
        WorkerSeries {
            up,
            accepted: exporter.counter(names::ACCEPTED, &worker),
            handed_off: exporter.counter(names::HANDED_OFF, &worker),
            connections: exporter.gauge(names::WORKER_CONNECTIONS, &worker),
            in_flight: exporter.gauge(names::IN_FLIGHT, &worker),
            streams: exporter.gauge(names::HTTP2_STREAMS, &worker),
            exporter: exporter.clone(),
        }
    }

    /// It serves no more.
    pub fn failed(&self) {
        self.up.set(0.0);
    }

    pub fn local(self: &Arc<Self>) -> WorkerLocal {
        WorkerLocal {
            shared: Arc::clone(self),
            accepted: Count::default(),
            handed_off: Count::default(),
            connections: Delta::default(),
            in_flight: Delta::default(),
            handshakes: Default::default(),
            protocols: Default::default(),
            streams: Delta::default(),
            spoken: Default::default(),
        }
    }
}

/// One worker's counts of itself.
pub struct WorkerLocal {
    shared: Arc<WorkerSeries>,
    accepted: Count,
    handed_off: Count,
    connections: Delta,
    in_flight: Delta,
    /// By result; all workers count into the same.
    handshakes: [Count; Handshake::WORDS.len()],
    /// By version.
    protocols: [Count; Version::PROTOCOLS.len()],
    streams: Delta,
    /// Streams reset by us and by clients, GOAWAYs; each by code.
    spoken: [[Count; Code::WORDS.len()]; 3],
}

/// Counters that begin with what they count.
fn flush_used<const N: usize>(counts: &[Count; N], words: &[&'static str; N], counter: impl Fn(&'static str) -> Counter) {
    for (count, word) in counts.iter().zip(words).filter(|(count, _)| count.0.get() > 0) {
        count.flush(&counter(word));
    }
}

impl WorkerLocal {
    pub fn handshake(&self, how: Handshake) {
        self.handshakes[how as usize].add(1);
    }

    /// A request has ended.
    #[inline]
    pub fn protocol(&self, version: Version) {
        self.protocols[version as usize].add(1);
    }

    pub fn http2(&self, told: Told) {
        match told {
            Told::StreamOpened => self.streams.add(1),
            Told::StreamEnded => self.streams.add(-1),
            Told::Reset(code) => self.spoken[0][code.index()].add(1),
            Told::ResetByClient(code) => self.spoken[1][code.index()].add(1),
            Told::Away(code) => self.spoken[2][code.index()].add(1),
        }
    }

    #[inline]
    pub fn accepted(&self) {
        self.accepted.add(1);
    }

    #[inline]
    pub fn handed_off(&self) {
        self.handed_off.add(1);
    }

    /// This worker serves one connection more: its own, or one handed to it.
    #[inline]
    pub fn opened(&self) {
        self.connections.add(1);
    }

    #[inline]
    pub fn closed(&self) {
        self.connections.add(-1);
    }

    #[inline]
    pub fn request_began(&self) {
        self.in_flight.add(1);
    }

    #[inline]
    pub fn request_ended(&self) {
        self.in_flight.add(-1);
    }

    pub fn flush(&self) {
        self.accepted.flush(&self.shared.accepted);
        self.handed_off.flush(&self.shared.handed_off);
        self.connections.flush(&self.shared.connections);
        self.in_flight.flush(&self.shared.in_flight);
        self.streams.flush(&self.shared.streams);
        let counter = |metric, labels: &[_]| self.shared.exporter.counter(metric, labels);
        flush_used(&self.handshakes, &Handshake::WORDS, |result| counter(names::HANDSHAKES, &[("result", result)]));
        flush_used(&self.protocols, &Version::PROTOCOLS, |protocol| counter(names::PROTOCOLS, &[("protocol", protocol)]));
        let [by_us, by_clients, away] = &self.spoken;
        flush_used(by_us, &Code::WORDS, |code| counter(names::HTTP2_RESETS, &[("by", "proxy"), ("code", code)]));
        flush_used(by_clients, &Code::WORDS, |code| counter(names::HTTP2_RESETS, &[("by", "client"), ("code", code)]));
        flush_used(away, &Code::WORDS, |code| counter(names::HTTP2_GOAWAYS, &[("code", code)]));
    }
}

/// What became of access log lines that were not written. Read by the status page as well, hence atomics that are published at a
/// scrape.
#[derive(Debug, Default)]
pub struct LogSeries {
    dropped: AtomicU64,
    lost: AtomicU64,
}

impl LogSeries {
    /// The writer was behind and the buffer full.
    pub fn drop_line(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines were taken and could not be written.
    pub fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
