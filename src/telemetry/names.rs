//! Every metric's name, with its meaning.
//!
//! Prometheus conventions: base units, counters end in `_total`, the prefix is ours except where a name is agreed on by everybody
//! (`process_*`). Label values come from the configuration or from closed enums, never from a request.

/// A metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! metrics {
    ($( $constant:ident = $kind:ident $name:literal, $help:literal; )+) => {
        $( #[doc = $help] pub const $constant: Metric = Metric { name: $name, help: $help, kind: Kind::$kind }; )+

        /// All of them.
        pub const ALL: &[Metric] = &[$( $constant, )+];
    };
}

metrics! {
    REQUESTS = Counter "tidegate_requests_total", "Requests that ended, by route and class of the status sent; class none: no answer was begun.";
    FAILURES = Counter "tidegate_failures_total", "Requests that failed, by route and reason. A reason appears with its first failure.";
    PROTOCOLS = Counter "tidegate_requests_by_protocol_total", "Requests that ended, by the protocol they came by: http/1.0, http/1.1, h2. A protocol appears with its first request.";
    GRPC_CALLS = Counter "tidegate_grpc_calls_total", "Calls of gRPC that ended with a status, the backend's or the proxy's own, by route and status: ok, not_found and so on. A status appears with its first call.";
    RECEIVED_BYTES = Counter "tidegate_received_bytes_total", "Bytes of request content received from clients, by route.";
    SENT_BYTES = Counter "tidegate_sent_bytes_total", "Bytes of answer content sent to clients, by route.";

    ATTEMPTS = Counter "tidegate_upstream_attempts_total", "Attempts at a backend that ended, by pool and outcome. A retried request counts once per attempt.";
    FREE_RETRIES = Counter "tidegate_upstream_free_retries_total", "Requests sent again because a kept connection had died before any byte of an answer, by pool.";
    RETRIES = Counter "tidegate_upstream_retries_total", "Attempts made because the one before came to nothing, by pool and reason. Free retries are not among them.";
    BUDGET_EXHAUSTED = Counter "tidegate_upstream_retry_budget_exhausted_total", "Retries that were not made because the budget was spent, by pool.";
    QUEUED = Gauge "tidegate_queue_depth", "Requests that wait for a slot of a backend, by pool.";
    QUEUE_SECONDS = Histogram "tidegate_queue_wait_duration_seconds", "Time that a request waited for a slot of a backend, whether it got one or not, by pool. A pool appears with the first that waited.";
    REFUSED = Counter "tidegate_queue_refused_total", "Requests that got no slot of a backend, by pool and reason.";
    FAIL_OPEN_REQUESTS = Counter "tidegate_fail_open_attempts_total", "Attempts at backends that are down, because every backend of the pool is, by pool.";
    UPSTREAM_OPENED = Counter "tidegate_upstream_connections_opened_total", "Connections to backends opened, by pool.";
    UPSTREAM_REUSED = Counter "tidegate_upstream_connections_reused_total", "Times an idle connection to a backend was used again, by pool.";
    UPSTREAM_IDLE = Gauge "tidegate_upstream_connections_idle", "Connections to backends that wait to be used again, by pool.";
    UPSTREAM_LINES = Gauge "tidegate_upstream_http2_connections", "Connections to backends that speak HTTP/2, by pool. Counted once a second.";
    UPSTREAM_STREAMS = Gauge "tidegate_upstream_http2_streams", "Requests on connections to backends that speak HTTP/2, by pool. Counted once a second.";
    TUNNELS = Gauge "tidegate_tunnels_open", "Tunnels (WebSockets and other upgrades) that are open, by pool.";
    CONNECT_SECONDS = Histogram "tidegate_upstream_connect_duration_seconds", "Time to connect to a backend, by pool.";
    FIRST_BYTE_SECONDS = Histogram "tidegate_upstream_first_byte_duration_seconds", "Time from the request's head sent to the first byte of the answer, by pool.";
    TOTAL_SECONDS = Histogram "tidegate_request_duration_seconds", "Time from a request's first byte to the last byte of its answer, by pool. Tunnels are not counted.";

    CERTIFICATE_NOT_AFTER = Gauge "tidegate_tls_certificate_not_after_timestamp_seconds", "When the certificate expires, in seconds since 1970, by the listener or the pool that has it, its file and its first name.";
    CERTIFICATE_CURRENT = Gauge "tidegate_tls_certificate_last_load_successful", "0: what is in the file can not be used, and what was read there before is in force. Authorities too.";
    CERTIFICATE_LOADED = Gauge "tidegate_tls_certificate_last_load_timestamp_seconds", "When what is in force was read from the file, in seconds since 1970. Authorities too.";

    POOL_FAIL_OPEN = Gauge "tidegate_pool_fail_open", "1: no backend of the pool is up, and requests go to those that are down.";
    POOL_BACKENDS_UP = Gauge "tidegate_pool_backends_up", "Backends of the pool that are up.";

    BACKEND_UP = Gauge "tidegate_backend_up", "Whether nothing speaks against this backend: neither checks, nor its answers, nor somebody's hand.";
    BACKEND_STATE = Gauge "tidegate_backend_state", "Always 1; the label says in which state the backend is: up, down, ejected, trial, undecided, draining or held.";
    BACKEND_EJECTIONS = Counter "tidegate_backend_ejections_total", "Times the backend was ejected for its answers.";
    BACKEND_ERRORS = Gauge "tidegate_backend_errors_in_a_row", "Errors in a row, as ejection counts them.";
    PROBES = Counter "tidegate_probes_total", "Probes of the backend that ended, by outcome. An outcome appears when it first happens.";
    PROBE_SECONDS = Counter "tidegate_probe_seconds_total", "How long probes of the backend took, all together.";
    PROBE_LATENCY = Gauge "tidegate_probe_latency_seconds", "How long the last probe of the backend took.";
    BACKEND_WEIGHT = Gauge "tidegate_backend_weight", "The backend's weight in force: the file's, or one that was told by hand.";
    BACKEND_IN_FLIGHT = Gauge "tidegate_backend_in_flight", "Requests and tunnels that hold this backend now.";

    CACHE_REQUESTS = Counter "tidegate_cache_requests_total", "Requests that a cache was asked about, by cache and what it had for them.";
    CACHE_FILLS = Counter "tidegate_cache_fills_total", "Answers that were stored, by cache.";
    CACHE_FILL_SECONDS = Histogram "tidegate_cache_fill_duration_seconds", "How long answers that were stored took, from the request to their last byte, by cache.";
    CACHE_EVICTED = Counter "tidegate_cache_evicted_total", "Entries that had to go to make room, by cache.";
    CACHE_PURGED = Counter "tidegate_cache_purged_total", "Entries that were purged, by cache.";
    CACHE_BYTES = Gauge "tidegate_cache_bytes", "Memory that entries hold: keys, heads, contents and what it takes to keep them, by cache.";
    CACHE_ENTRIES = Gauge "tidegate_cache_entries", "Entries, by cache.";

    WARM_REQUESTS = Counter "tidegate_warm_requests_total", "URLs of lists that were asked for to warm caches, by result: answered, or failed.";
    WARM_LEFT = Gauge "tidegate_warm_urls_left", "URLs of such a list that are still to be asked for. Counted once a second.";

    NAME_ADDRESSES = Gauge "tidegate_discovery_addresses", "Addresses that a name among a pool's backends stands for, the last good ones where it can not be resolved.";
    NAME_RESOLVED = Gauge "tidegate_discovery_last_lookup_successful", "1: the last lookup of the name answered whole; 0: it failed, at least in part, and what was known stays.";
    NAME_FAILURES = Counter "tidegate_discovery_failures_total", "Lookups of the name that failed, at least in part.";

    IN_FLIGHT = Gauge "tidegate_requests_in_flight", "Requests and tunnels under way, by worker.";
    WORKER_UP = Gauge "tidegate_worker_up", "Whether this worker serves; 0: it failed, and only a restart of the process brings it back.";
    WORKER_CONNECTIONS = Gauge "tidegate_worker_connections", "Client connections open, by worker.";
    ACCEPTED = Counter "tidegate_connections_accepted_total", "Client connections accepted, by worker.";
    TURNED_AWAY = Counter "tidegate_connections_turned_away_total", "Client connections closed before they had a request, or for flooding, by listener and reason. A reason appears with its first connection.";
    HANDED_OFF = Counter "tidegate_connections_handed_off_total", "Client connections accepted and passed to a less loaded worker, by worker that passed them on.";

    HANDSHAKES = Counter "tidegate_tls_handshakes_total", "TLS handshakes with clients that ended, by result: full, resumed, or why there was none. A result appears when it first happens.";

    HTTP2_STREAMS = Gauge "tidegate_http2_streams_open", "HTTP/2 streams of clients that are open, by worker.";
    HTTP2_RESETS = Counter "tidegate_http2_streams_reset_total", "HTTP/2 streams of clients that were broken off, by who did so (proxy or client) and error code. A code appears when it is first sent.";
    HTTP2_GOAWAYS = Counter "tidegate_http2_goaways_total", "GOAWAYs sent to HTTP/2 clients, by error code: no_error is leaving politely. A code appears when it is first sent.";

    RELOADS = Counter "tidegate_config_reloads_total", "Reloads of the configuration, by result. The first load at start is not one.";
    LAST_RELOAD_OK = Gauge "tidegate_config_last_reload_successful", "1: the file as it was last read is in force; 0: it was refused, and an older one is in force.";
    LAST_RELOAD_AT = Gauge "tidegate_config_last_reload_timestamp_seconds", "When the file was last read, taken or refused, in seconds since 1970.";
    GENERATION = Gauge "tidegate_config_generation", "Counts the configurations that came into force; the first is 1.";

    LOG_DROPPED = Counter "tidegate_access_log_dropped_total", "Access log lines dropped because the writer was behind.";
    LOG_LOST = Counter "tidegate_access_log_lost_total", "Access log lines lost because they could not be written.";

    BUILD_INFO = Gauge "tidegate_build_info", "Always 1; the version is in the label.";
    PROCESS_START = Gauge "process_start_time_seconds", "When the process started, in seconds since 1970.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds", "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds", "The most file descriptors the process may open.";
    PROCESS_RSS = Gauge "process_resident_memory_bytes", "Resident memory.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        for (at, metric) in ALL.iter().enumerate() {
            let name = metric.name;
            assert_eq!(ALL.iter().position(|other| other.name == name), Some(at), "{name} stands twice");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_duration_seconds"), metric.kind == Kind::Histogram, "{name}");
            assert!(name.starts_with("tidegate_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }
}
