//! The closed list of what can go wrong with a request: who is to blame, which status it becomes, whether it may be retried.
//!
//! The code is the same word in the access log, in the metric label and in `Proxy-Status` (RFC 9209). A failure is small and
//! `Copy`: it travels through bodies and futures, and only `proxy::reply` turns one into an answer.

use std::fmt;

/// Whose fault a failure is: it decides which counter moves and whether a backend is held to account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    Downstream,
    Upstream,
    Proxy,
}

/// What is wrong with the bytes of a message; the same rules hold in both directions (RFC 9112).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    StartLine,
    Target,
    Version,
    FieldName,
    FieldValue,
    /// CR without LF, or LF without CR.
    BareLineEnd,
    /// A field continued on a second line (obs-fold).
    Folded,
    /// Content-Length together with Transfer-Encoding.
    BothFramings,
    /// Not plain digits, too large, or two that differ.
    ContentLength,
    /// Anything but a single, final `chunked`; or any at all from HTTP/1.0.
    TransferEncoding,
    /// None where HTTP/1.1 wants one, more than one, not a host, or not the one of the absolute-form target.
    Host,
    /// Dot segments, an encoded NUL or a backslash in the path.
    Path,
    /// A frame of HTTP/2, or its place among others.
    Frame,
    ChunkSize,
    /// Data not followed by CRLF, or an extension over its bound.
    Chunk,
    Trailers,
}

macro_rules! failures {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $blame:ident, $says:literal; )+) => {
        /// One way for a request to fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failure {
            $( $(#[$doc])* $name, )+
            /// The client's bytes break the protocol.
            RequestMalformed(Malformed),
            /// The backend's bytes break the protocol.
            ResponseMalformed(Malformed),
        }

        impl Failure {
            /// How many there are: indexes run from 0 to `COUNT - 1`.
            pub const COUNT: usize = [$( $code, )+ "request_malformed", "response_malformed"].len();
            /// Every code, in the order of `index`.
            pub const CODES: [&'static str; Self::COUNT] = [$( $code, )+ "request_malformed", "response_malformed"];

            /// The word for logs, metric labels and headers.
            pub fn code(self) -> &'static str {
                match self {
                    $( Failure::$name => $code, )+
                    Failure::RequestMalformed(_) => "request_malformed",
                    Failure::ResponseMalformed(_) => "response_malformed",
                }
            }

            /// The status of the answer, where there can still be one. 499 and 0 of the peers are not ours: a client that left
            /// is logged with its reason and the status that had been sent.
            pub fn status(self) -> u16 {
                match self {
                    $( Failure::$name => $status, )+
                    Failure::RequestMalformed(Malformed::Version) => 505,
                    Failure::RequestMalformed(_) => 400,
                    Failure::ResponseMalformed(_) => 502,
                }
            }

            pub fn blame(self) -> Blame {
                match self {
                    $( Failure::$name => Blame::$blame, )+
                    Failure::RequestMalformed(_) => Blame::Downstream,
                    Failure::ResponseMalformed(_) => Blame::Upstream,
                }
            }

            /// One sentence for the body of the answer; says nothing about the inside of the house.
            pub fn says(self) -> &'static str {
                match self {
                    $( Failure::$name => $says, )+
                    Failure::RequestMalformed(what) => what.says(),
                    Failure::ResponseMalformed(_) => "The backend's answer breaks the HTTP protocol.",
                }
            }
        }
    };
}

failures! {
    TargetTooLong = "target_too_long", 414, Downstream, "The request target is too long.";
    HeadTooLarge = "head_too_large", 431, Downstream, "The request header is too large.";
    BodyTooLarge = "body_too_large", 413, Downstream, "The request body is too large.";
    /// A connection from a network in `proxy_protocol` did not begin with a PROXY header, or with a wrong one.
    ProxyHeaderMalformed = "proxy_header_malformed", 400, Downstream, "The PROXY header is malformed.";
    /// The PROXY header had not come whole within `timeout.header`.
    ProxyHeaderTimeout = "proxy_header_timeout", 408, Downstream, "The PROXY header took too long.";
    HeaderTimeout = "header_timeout", 408, Downstream, "The request header took too long.";
    BodyTimeout = "body_timeout", 408, Downstream, "The request body took too long.";
    /// Its bytes came slower than `limits.body_rate`.
    BodyTooSlow = "body_too_slow", 408, Downstream, "The request body comes too slowly.";
    MethodUnsupported = "method_unsupported", 501, Downstream, "This method is not supported.";
    TransferCodingUnsupported = "transfer_coding_unsupported", 501, Downstream, "This transfer coding is not supported.";
    /// To switch protocols, where the backends speak HTTP/2: it has no such thing.
    UpgradeUnsupported = "upgrade_unsupported", 501, Downstream, "Protocols can not be switched here: the backends speak HTTP/2.";
    /// The client went away: reset, or closed where it had more to say.
    ClientGone = "client_gone", 400, Downstream, "The client closed the connection.";
    /// The client took no byte for `timeout.write`.
    WriteTimeout = "write_timeout", 408, Downstream, "The client reads too slowly.";
    /// The request wanted an answer from the cache or none.
    NotCached = "not_cached", 504, Downstream, "There is no answer in the cache that may be used.";
    /// Requests were sent by the hundred only to be taken back (rapid reset, CVE-2023-44487).
    RequestsTakenBack = "requests_taken_back", 400, Downstream, "Too many requests were taken back.";
    /// Frames that say nothing, more than a connection bears with.
    Flood = "flood", 400, Downstream, "The connection says too much and asks too little.";
    /// `PURGE` on a route with a cache and without `purge_from`.
    PurgeNotAllowed = "purge_not_allowed", 405, Downstream, "Nothing can be purged here by this method.";
    /// `PURGE` from an address outside of `purge_from`.
    PurgeForbidden = "purge_forbidden", 403, Downstream, "This address may not purge.";
    /// For a host that the certificate shown on this connection does not speak for.
    Misdirected = "misdirected", 421, Downstream, "This connection was made for another host.";
    NoRoute = "no_route", 404, Proxy, "No route matches this request.";
    /// Every backend of the pool is out, or has weight 0.
    NoBackend = "no_backend", 503, Proxy, "No backend is available.";
    /// The pool's backends are found by name, and no name has been resolved yet.
    NameUnresolved = "name_unresolved", 503, Proxy, "The names of the backends are not resolved yet.";
    /// Every backend that is up has all the requests in flight that it may have, and the pool has no queue.
    BackendsFull = "backends_full", 503, Proxy, "All backends are busy.";
    /// As many requests as `queue.max` allows wait already.
    QueueFull = "queue_full", 503, Proxy, "All backends are busy, and too many requests wait.";
    /// At the pace at which slots come free, it would wait longer than `queue.wait`.
    QueueTooLong = "queue_too_long", 503, Proxy, "All backends are busy, and the wait would be too long.";
    /// It waited for a slot for `queue.wait`.
    QueueTimeout = "queue_timeout", 503, Proxy, "All backends were busy for too long.";
    /// The request came on a connection whose listener a reload has removed.
    ListenerClosed = "listener_closed", 503, Proxy, "This listener is closed.";
    /// Its address has as many as `limits.connections_per_address` allows.
    TooManyConnections = "too_many_connections", 503, Proxy, "Too many connections.";
    /// Out of file descriptors or local ports: never held against a backend.
    ResourcesExhausted = "resources_exhausted", 503, Proxy, "The proxy is out of resources.";
    Internal = "internal", 500, Proxy, "The proxy failed.";
    ConnectRefused = "connect_refused", 502, Upstream, "The backend refused the connection.";
    ConnectFailed = "connect_failed", 502, Upstream, "The backend can not be reached.";
    ConnectTimeout = "connect_timeout", 504, Upstream, "The backend did not accept the connection in time.";
    /// The backend's certificate is not for its name, has expired, or is signed by nobody whom we believe.
    UpstreamUntrusted = "upstream_untrusted", 502, Upstream, "The backend's certificate is not trusted.";
    /// There was no TLS to be had with the backend.
    UpstreamTlsFailed = "upstream_tls_failed", 502, Upstream, "The backend can not be spoken to by TLS.";
    /// The backend speaks another protocol than its pool's: it did not agree on `h2`, or answered with something else.
    UpstreamNotHttp2 = "upstream_not_http2", 502, Upstream, "The backend does not speak HTTP/2.";
    /// The backend said that it has not looked at the request, and will not.
    UpstreamRefused = "upstream_refused", 502, Upstream, "The backend did not take the request.";
    /// The connection broke before a byte of the answer.
    UpstreamReset = "upstream_reset", 502, Upstream, "The backend closed the connection without an answer.";
    FirstByteTimeout = "first_byte_timeout", 504, Upstream, "The backend did not answer in time.";
    /// The attempt took longer than `retry.try_timeout`.
    TryTimeout = "try_timeout", 504, Upstream, "The backend did not answer in time.";
    StallTimeout = "stall_timeout", 504, Upstream, "The backend stopped in the middle.";
    TotalTimeout = "total_timeout", 504, Upstream, "The exchange took too long.";
    ResponseHeadTooLarge = "response_head_too_large", 502, Upstream, "The backend's answer has a header that is too large.";
    /// The answer was cut: its body ended early.
    ResponseTruncated = "response_truncated", 502, Upstream, "The backend's answer was cut off.";
    /// One end of a tunnel was reset.
    TunnelBroken = "tunnel_broken", 502, Downstream, "The tunnel broke.";
    /// No byte in either direction for `timeout.tunnel`.
    TunnelIdle = "tunnel_idle", 504, Proxy, "The tunnel was idle.";
    TooManyInterims = "too_many_interims", 502, Upstream, "The backend sends interim answers without end.";
    NotModifiedUnasked = "not_modified_unasked", 502, Upstream, "The backend says that something has not changed, and was not asked.";
    /// 101 without an upgrade asked for, or to another protocol.
    UpgradeUnexpected = "upgrade_unexpected", 502, Upstream, "The backend switched protocols unasked.";
    /// A success, but no 101, to a request that had to be an upgrade: the client wants a tunnel (RFC 8441) and would take it for one.
    UpgradeIgnored = "upgrade_ignored", 502, Upstream, "The backend did not switch protocols.";
}

impl Failure {
    /// No connection came about, so that the backend can have seen nothing of a request.
    pub fn is_of_connect(self) -> bool {
        matches!(
            self,
            Failure::ConnectRefused
                | Failure::ConnectFailed
                | Failure::ConnectTimeout
                | Failure::UpstreamUntrusted
                | Failure::UpstreamTlsFailed
                | Failure::UpstreamNotHttp2
        )
    }

    /// Position in `CODES`; for counters kept in arrays.
    pub fn index(self) -> usize {
        match self {
            Failure::RequestMalformed(_) => Self::COUNT - 2,
            Failure::ResponseMalformed(_) => Self::COUNT - 1,
            plain => Self::CODES.iter().position(|code| *code == plain.code()).expect("every failure has its code in the list"),
        }
    }

    /// Seconds after which the client may ask again (RFC 9110 10.2.3), where it is only a matter of time. One: a queue is as long as its
    /// clients are patient, and what is refused now may well be served when it comes back.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Failure::BackendsFull | Failure::QueueFull | Failure::QueueTooLong | Failure::QueueTimeout => Some(1),
            _ => None,
        }
    }

    /// The error type of RFC 9209 section 2.3 for `Proxy-Status`.
    pub fn proxy_status(self) -> &'static str {
        match self {
            Failure::NoRoute => "destination_not_found",
            Failure::NoBackend => "destination_unavailable",
            Failure::NameUnresolved => "dns_error",
            Failure::BackendsFull | Failure::QueueFull | Failure::QueueTooLong | Failure::QueueTimeout => "connection_limit_reached",
            Failure::TooManyConnections | Failure::ResourcesExhausted => "connection_limit_reached",
            Failure::Internal => "proxy_internal_error",
            Failure::ConnectRefused => "connection_refused",
            Failure::ConnectFailed => "destination_ip_unroutable",
            Failure::ConnectTimeout => "connection_timeout",
            Failure::UpstreamUntrusted => "tls_certificate_error",
            Failure::UpstreamTlsFailed => "tls_protocol_error",
            Failure::UpstreamNotHttp2 => "http_protocol_error",
            Failure::UpstreamReset | Failure::UpstreamRefused => "connection_terminated",
            Failure::UpgradeUnsupported => "http_upgrade_failed",
            Failure::FirstByteTimeout | Failure::TryTimeout | Failure::TotalTimeout => "http_response_timeout",
            Failure::StallTimeout => "connection_read_timeout",
            Failure::ResponseHeadTooLarge => "http_response_header_section_size",
            Failure::ResponseTruncated => "http_response_incomplete",
            Failure::UpgradeUnexpected | Failure::UpgradeIgnored => "http_upgrade_failed",
            Failure::ResponseMalformed(_) => "http_protocol_error",
            _ => "http_request_error",
        }
    }
}

impl Malformed {
    pub fn says(self) -> &'static str {
        match self {
            Malformed::StartLine => "The first line is malformed.",
            Malformed::Target => "The request target is malformed.",
            Malformed::Version => "This HTTP version is not supported.",
            Malformed::FieldName => "A field name is malformed.",
            Malformed::FieldValue => "A field value has a byte that may not be there.",
            Malformed::BareLineEnd => "A line does not end in CRLF.",
            Malformed::Folded => "A field is folded over two lines.",
            Malformed::BothFramings => "Content-Length and Transfer-Encoding may not stand together.",
            Malformed::ContentLength => "Content-Length is malformed.",
            Malformed::TransferEncoding => "Transfer-Encoding is malformed.",
            Malformed::Host => "Host is missing, repeated, malformed, or not the one of the target.",
            Malformed::Path => "The path has dot segments, an encoded NUL or a backslash.",
            Malformed::Frame => "A frame breaks HTTP/2.",
            Malformed::ChunkSize => "A chunk size is malformed.",
            Malformed::Chunk => "A chunk is malformed.",
            Malformed::Trailers => "The trailer section is malformed.",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::ResponseMalformed(what) => write!(f, "{}: {}", self.code(), what.says()),
            other => write!(f, "{}: {}", other.code(), other.says()),
        }
    }
}

impl std::error::Error for Failure {}

/// Why one attempt at a backend came to nothing, and what that leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    pub failure: Failure,
    /// The backend can have seen nothing of the request, or says that it has done nothing about it.
    pub untouched: bool,
    /// A byte of an answer has come.
    pub begun: bool,
}

impl Lost {
    pub fn unsent(failure: Failure) -> Lost {
        Lost { failure, untouched: true, begun: false }
    }

    pub fn sent(failure: Failure) -> Lost {
        Lost { failure, untouched: false, begun: false }
    }

    pub fn begun(failure: Failure) -> Lost {
        Lost { failure, untouched: false, begun: true }
    }

    /// What a connection does that the backend was giving up when the request came.
    pub fn is_stale(self) -> bool {
        matches!(self.failure, Failure::UpstreamReset | Failure::UpstreamRefused) && !self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_indexes_agree_with_them() {
        for (at, code) in Failure::CODES.iter().enumerate() {
            assert_eq!(Failure::CODES.iter().position(|other| other == code), Some(at), "code {code}");
        }
        assert_eq!(Failure::CODES[Failure::Internal.index()], "internal");
        assert_eq!(Failure::CODES[Failure::ResponseMalformed(Malformed::Host).index()], "response_malformed");
    }
}
