//! Where shared series are found by name, and the page that shows them all.
//!
//! Counters and gauges are handles of the `metrics` crate's Prometheus exporter; histograms (see `histogram`) and what is read at
//! the moment of a scrape (backends, the process) are appended behind its page. A series stays when its route or pool leaves the
//! configuration: a counter that goes away looks like a fault, and their number is bounded by the names that files have held.
//! Backends are different: discovery may bring new addresses for ever, so theirs are rendered from the live set only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::names::{self, Kind, Metric};
use super::series::{CacheSeries, LogSeries, PoolSeries, RouteSeries, WarmSeries, WorkerSeries};
use super::turned_away::TurnedAway;
use super::{process, text};
use crate::address::Address;

/// A pool at the moment of a scrape.
#[derive(Debug, Clone)]
pub struct PoolSample {
    pub name: String,
    pub fail_open: bool,
    pub backends: Vec<BackendSample>,
}

#[derive(Debug, Clone)]
pub struct BackendSample {
    pub address: Address,
    pub weight: u32,
    pub in_flight: u32,
    pub up: bool,
    /// A word of a closed list.
    pub state: &'static str,
    pub errors: u32,
    pub ejections: u64,
    /// `None`: it is not checked.
    pub probes: Option<ProbeSample>,
}

#[derive(Debug, Clone)]
pub struct ProbeSample {
    /// Outcomes that there were, and how often.
    pub outcomes: Vec<(&'static str, u64)>,
    pub spent: Duration,
    /// `None`: no probe has ended yet.
    pub latency: Option<Duration>,
}

/// A name among a pool's backends at the moment of a scrape.
#[derive(Debug, Clone)]
pub struct NameSample {
    pub pool: String,
    pub name: String,
    pub addresses: usize,
    /// The last lookup answered whole.
    pub resolved: bool,
    pub failures: u64,
}

/// A file with certificates as one listener or pool has it, at the moment of a scrape.
#[derive(Debug, Clone)]
pub struct CertificateSample {
    /// What it is, and its name: `listener`, `web`.
    pub owner: (&'static str, String),
    /// As in the configuration.
    pub file: String,
    /// The first name that it is for; empty: none, or there are many certificates in it.
    pub name: String,
    /// In seconds since 1970, as all here; `None`: it has those of authorities.
    pub not_after: Option<i64>,
    pub loaded: i64,
    /// What is in the file is in force.
    pub is_current: bool,
}

/// Makes handles for counters and gauges.
#[derive(Clone)]
pub(super) struct Exporter {
    recorder: Arc<PrometheusRecorder>,
}

impl Exporter {
    fn new() -> Exporter {
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in names::ALL {
            let name = KeyName::from_const_str(metric.name);
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, metric.help.into()),
                Kind::Gauge => recorder.describe_gauge(name, None, metric.help.into()),
                // Rendered by us.
                Kind::Histogram => {}
            }
        }
        Exporter { recorder: Arc::new(recorder) }
    }

    pub fn counter(&self, metric: Metric, labels: &[text::Label<'_>]) -> Counter {
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    pub fn gauge(&self, metric: Metric, labels: &[text::Label<'_>]) -> Gauge {
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }
}

static METADATA: Metadata<'static> = Metadata::new("tidegate", Level::INFO, None);

fn key(metric: Metric, labels: &[text::Label<'_>]) -> Key {
    // The exporter takes `\\` for a backslash that is escaped already, and would show two different labels as one: hand it
    // backslashes in that form.
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, value.replace('\\', "\\\\"))).collect();
    Key::from_parts(metric.name, labels)
}

/// Shared series by name.
type Named<T> = Mutex<BTreeMap<String, Arc<T>>>;

/// All metrics of the process. One, behind an `Arc`; nothing here is global, so that tests have their own.
pub struct Registry {
    exporter: Exporter,
    handle: PrometheusHandle,
    routes: Named<RouteSeries>,
    pools: Named<PoolSeries>,
    caches: Named<CacheSeries>,
    workers: Named<WorkerSeries>,
    turned_away: Named<TurnedAway>,
    warm: Arc<WarmSeries>,
    access_log: Arc<LogSeries>,
    log_dropped: Counter,
    log_lost: Counter,
    reloads_ok: Counter,
    reloads_refused: Counter,
    last_reload_ok: Gauge,
    last_reload_at: Gauge,
    generation: Gauge,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// The process counts as started now.
    pub fn new() -> Registry {
        let exporter = Exporter::new();
        exporter.gauge(names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        exporter.gauge(names::PROCESS_START, &[]).set(unix_seconds());
        Registry {
            handle: exporter.recorder.handle(),
            routes: Named::default(),
            pools: Named::default(),
            caches: Named::default(),
            workers: Named::default(),
            turned_away: Named::default(),
            warm: Arc::new(WarmSeries::new(&exporter)),
            access_log: Arc::default(),
            log_dropped: exporter.counter(names::LOG_DROPPED, &[]),
            log_lost: exporter.counter(names::LOG_LOST, &[]),
            reloads_ok: exporter.counter(names::RELOADS, &[("result", "ok")]),
            reloads_refused: exporter.counter(names::RELOADS, &[("result", "refused")]),
            last_reload_ok: exporter.gauge(names::LAST_RELOAD_OK, &[]),
            last_reload_at: exporter.gauge(names::LAST_RELOAD_AT, &[]),
            generation: exporter.gauge(names::GENERATION, &[]),
            exporter,
        }
    }

    /// The series of this route; the same at each call, over reloads too. For requests without a route, `"none"`.
    pub fn route(&self, name: &str) -> Arc<RouteSeries> {
        find(&self.routes, name, || RouteSeries::new(name, &self.exporter))
    }

    pub fn pool(&self, name: &str) -> Arc<PoolSeries> {
        find(&self.pools, name, || PoolSeries::new(name, &self.exporter))
    }

    /// Connections that the listener of this name turns away.
    pub fn turned_away(&self, listener: &str) -> Arc<TurnedAway> {
        find(&self.turned_away, listener, || TurnedAway::new(listener, &self.exporter))
    }

    pub fn cache(&self, name: &str) -> Arc<CacheSeries> {
        find(&self.caches, name, || CacheSeries::new(name, &self.exporter))
    }

    pub fn worker(&self, index: usize) -> Arc<WorkerSeries> {
        let name = index.to_string();
        find(&self.workers, &name, || WorkerSeries::new(&name, &self.exporter))
    }

    pub fn warm(&self) -> Arc<WarmSeries> {
        Arc::clone(&self.warm)
    }

    pub fn access_log(&self) -> Arc<LogSeries> {
        Arc::clone(&self.access_log)
    }

    /// The configuration of the start is in force. It is not a reload, but it is the last file that was read.
    pub fn loaded(&self, generation: u64) {
        self.generation.set(generation as f64);
        self.last_reload_ok.set(1.0);
        self.last_reload_at.set(unix_seconds());
    }

    /// A reload put this generation in force.
    pub fn reloaded(&self, generation: u64) {
        self.reloads_ok.increment(1);
        self.loaded(generation);
    }

    /// A reload was refused; the configuration before it stays.
    pub fn reload_refused(&self) {
        self.reloads_refused.increment(1);
        self.last_reload_ok.set(0.0);
        self.last_reload_at.set(unix_seconds());
    }

    /// Once a second, from a timer of the main thread.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
        lock(&self.turned_away).values().for_each(|listener| listener.look_back());
    }

    /// The metrics page, in the Prometheus text format 0.0.4. It shows what workers have flushed.
    pub fn render(&self, pools: &[PoolSample], names: &[NameSample], certificates: &[CertificateSample]) -> String {
        self.log_dropped.absolute(self.access_log.dropped());
        self.log_lost.absolute(self.access_log.lost());
        let mut page = self.handle.render();
        self.render_histograms(&mut page);
        render_pools(&mut page, pools);
        render_probes(&mut page, pools);
        render_names(&mut page, names);
        render_certificates(&mut page, certificates);
        render_process(&mut page);
        page
    }

    fn render_histograms(&self, page: &mut String) {
        let pools: Vec<_> = lock(&self.pools).values().cloned().collect();
        type Of = fn(&PoolSeries) -> &super::histogram::Histogram;
        let families: [(Metric, Of); 4] = [
            (names::QUEUE_SECONDS, |pool| &pool.queue_wait),
            (names::CONNECT_SECONDS, |pool| &pool.connect),
            (names::FIRST_BYTE_SECONDS, |pool| &pool.first_byte),
            (names::TOTAL_SECONDS, |pool| &pool.total),
        ];
        for (metric, of) in families {
            text::family(page, metric);
            for pool in pools.iter().filter(|pool| metric != names::QUEUE_SECONDS || pool.queue_wait.is_used()) {
                of(pool).render(page, metric, ("pool", &pool.name));
            }
        }
        text::family(page, names::CACHE_FILL_SECONDS);
        for cache in lock(&self.caches).values() {
            cache.fill_seconds.render(page, names::CACHE_FILL_SECONDS, ("cache", &cache.name));
        }
    }
}

fn render_pools(page: &mut String, pools: &[PoolSample]) {
    type OfPool = fn(&PoolSample) -> usize;
    let families: [(Metric, OfPool); 2] = [
        (names::POOL_FAIL_OPEN, |pool| usize::from(pool.fail_open)),
        (names::POOL_BACKENDS_UP, |pool| pool.backends.iter().filter(|backend| backend.up).count()),
    ];
    for (metric, of) in families {
        text::family(page, metric);
        for pool in pools {
            text::sample(page, metric, "", &[("pool", &pool.name)], of(pool));
        }
    }
    type Of = fn(&BackendSample) -> u64;
    let families: [(Metric, Of); 5] = [
        (names::BACKEND_UP, |backend| u64::from(backend.up)),
        (names::BACKEND_WEIGHT, |backend| u64::from(backend.weight)),
        (names::BACKEND_IN_FLIGHT, |backend| u64::from(backend.in_flight)),
        (names::BACKEND_ERRORS, |backend| u64::from(backend.errors)),
        (names::BACKEND_EJECTIONS, |backend| backend.ejections),
    ];
    for (metric, of) in families {
        text::family(page, metric);
        for (pool, address, backend) in each_backend(pools) {
            text::sample(page, metric, "", &[("pool", pool), ("backend", &address)], of(backend));
        }
    }
    text::family(page, names::BACKEND_STATE);
    for (pool, address, backend) in each_backend(pools) {
        text::sample(page, names::BACKEND_STATE, "", &[("pool", pool), ("backend", &*address), ("state", backend.state)], 1);
    }
}

/// What is not checked has no series here: a counter that stays 0 looks like a check that never runs.
fn render_probes(page: &mut String, pools: &[PoolSample]) {
    let probed = || each_backend(pools).filter_map(|(pool, address, backend)| Some((pool, address, backend.probes.as_ref()?)));
    text::family(page, names::PROBES);
    for (pool, address, probes) in probed() {
        for (outcome, count) in &probes.outcomes {
            text::sample(page, names::PROBES, "", &[("pool", pool), ("backend", &*address), ("outcome", *outcome)], count);
        }
    }
    text::family(page, names::PROBE_SECONDS);
    for (pool, address, probes) in probed() {
        text::sample(page, names::PROBE_SECONDS, "", &[("pool", pool), ("backend", &address)], probes.spent.as_secs_f64());
    }
    text::family(page, names::PROBE_LATENCY);
    for (pool, address, probes) in probed() {
        if let Some(latency) = probes.latency {
            text::sample(page, names::PROBE_LATENCY, "", &[("pool", pool), ("backend", &address)], latency.as_secs_f64());
        }
    }
}

fn each_backend(pools: &[PoolSample]) -> impl Iterator<Item = (&str, String, &BackendSample)> {
    pools.iter().flat_map(|pool| pool.backends.iter().map(|backend| (&*pool.name, backend.address.to_string(), backend)))
}

fn render_names(page: &mut String, samples: &[NameSample]) {
    if samples.is_empty() {
        return;
    }
    type Of = fn(&NameSample) -> u64;
    let families: [(Metric, Of); 3] = [
        (names::NAME_ADDRESSES, |name| name.addresses as u64),
        (names::NAME_RESOLVED, |name| u64::from(name.resolved)),
        (names::NAME_FAILURES, |name| name.failures),
    ];
    for (metric, of) in families {
        text::family(page, metric);
        for sample in samples {
            text::sample(page, metric, "", &[("pool", &sample.pool), ("name", &sample.name)], of(sample));
        }
    }
}

fn render_certificates(page: &mut String, samples: &[CertificateSample]) {
    type Of = fn(&CertificateSample) -> Option<i64>;
    let families: [(Metric, Of); 3] = [
        (names::CERTIFICATE_NOT_AFTER, |certificate| certificate.not_after),
        (names::CERTIFICATE_CURRENT, |certificate| Some(i64::from(certificate.is_current))),
        (names::CERTIFICATE_LOADED, |certificate| Some(certificate.loaded)),
    ];
    for (metric, of) in families {
        let valued = || samples.iter().filter_map(|sample| Some((sample, of(sample)?)));
        if valued().next().is_some() {
            text::family(page, metric);
        }
        for (CertificateSample { owner: (kind, owner), file, name, .. }, value) in valued() {
            let labels = [(*kind, &**owner), ("certificate", file), ("name", name)];
            // The other two are about the file, not about what is in it.
            text::sample(page, metric, "", if metric == names::CERTIFICATE_NOT_AFTER { &labels } else { &labels[..2] }, value);
        }
    }
}

fn render_process(page: &mut String) {
    let families = [
        (names::PROCESS_OPEN_FDS, process::open_fds().map(|count| count as u64)),
        (names::PROCESS_MAX_FDS, process::max_fds()),
        (names::PROCESS_RSS, process::resident_bytes()),
    ];
    for (metric, value) in families {
        if let Some(value) = value {
            text::family(page, metric);
            text::sample(page, metric, "", &[], value);
        }
    }
}

fn find<T>(named: &Named<T>, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
    let mut named = lock(named);
    if let Some(found) = named.get(name) {
        return Arc::clone(found);
    }
    let made = Arc::new(new());
    named.insert(name.to_owned(), Arc::clone(&made));
    made
}

// A panic while the map was locked leaves a map without the new entry, which is as good as before.
fn lock<T>(named: &Named<T>) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<T>>> {
    named.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
