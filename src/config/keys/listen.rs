//! The keys of a listener.

use super::{BODY, Key, Kind, TIME, key};

pub(super) const LISTEN: &[Key] = &[
    key(
        "address",
        Kind::Many(&Kind::Address),
        "Required. IP address and port, or a list of them; `0.0.0.0` and `[::]` are all addresses of IPv4 and of IPv6. Or `unix:` and the \
         path of a Unix socket, whose clients count as 127.0.0.1.",
        "[\"0.0.0.0:8080\", \"[::]:8080\"]",
    ),
    key(
        "socket_mode",
        Kind::Text,
        "Who may connect to a Unix socket, as the mode of its file in octal. Left out: as the process makes files, by its umask.",
        "\"660\"",
    ),
    key(
        "trusted_proxies",
        Kind::Many(&Kind::Network),
        "Networks of the proxies in front whose `X-Forwarded-*` is believed. Left out: nobody's.",
        "[\"10.0.0.0/8\"]",
    ),
    key("timeout", Kind::Table(LISTEN_TIMEOUT), "How long a client may keep us waiting.", "{ header = \"5s\", idle = \"60s\" }"),
    key("limits", Kind::Table(LISTEN_LIMITS), "How much a client may send.", "{ body = \"10MiB\" }"),
    key("http2", Kind::Flag, "Whether clients may speak HTTP/2: with prior knowledge on a plain listener, by ALPN over TLS.", "false")
        .or("true"),
    key(
        "proxy_protocol",
        Kind::Many(&Kind::Network),
        "Networks of the load balancers in front that say by the PROXY protocol (version 1 or 2) whose connection they pass on: who connects \
         from there must begin with such a header, and it is believed. From others it is no request. Left out: nobody's.",
        "[\"10.0.0.0/8\"]",
    ),
    key(
        "tls",
        Kind::Table(LISTEN_TLS),
        "TLS from clients, 1.2 and 1.3; the only thing that is then spoken on the listener's addresses.",
        "{ certificates = [{ certificate = \"site.pem\", key = \"site.key\" }] }",
    ),
    key(
        "redirect_https",
        Kind::Number { min: 1, max: 65_535, word: None },
        "On a listener without `tls`: every request is sent to the same URL under https, at this port, with 308. Only those for \
         `/.well-known/acme-challenge/` still find their route, for certificates to be renewed.",
        "443",
    ),
];

const LISTEN_TLS: &[Key] = &[
    key(
        "certificates",
        Kind::Entries(CERTIFICATE),
        "Required. Clients are shown the one for the name that they ask for (SNI), an exact name before a wildcard; else the first. The files \
         are watched, and a renewed pair is taken without a reload; where one is broken, half-written or expired, the last good one stays. A \
         request for a host whose certificate another one is than the client was shown gets 421.",
        "[{ certificate = \"site.pem\", key = \"site.key\" }, { certificate = \"other.pem\", key = \"other.key\" }]",
    ),
    key(
        "client_ca",
        Kind::Text,
        "A file with the certificates of authorities: clients must show a certificate that one of them signed. Backends are told its subject \
         in `X-Client-Subject` (RFC 4514), which nobody else can send. Sessions are then not resumed, so that each connection is checked. The file is \
         watched as certificates are.",
        "\"clients.pem\"",
    ),
    key("min_version", Kind::Word(&["1.2", "1.3"]), "The oldest version of TLS that is spoken.", "\"1.3\"").or("1.2"),
    key(
        "hsts",
        TIME,
        "Browsers are told to use nothing but https for this host for so long (`Strict-Transport-Security`), where a backend does not say \
         so itself. Left out: they are not told. It can not be taken back: begin with a short time.",
        "\"8760h\"",
    ),
];

const CERTIFICATE: &[Key] = &[
    key(
        "certificate",
        Kind::Text,
        "A file in PEM: the certificate, then those that lead to its authority. Relative to the directory of this file, like all files.",
        "\"site.pem\"",
    ),
    key("key", Kind::Text, "A file in PEM with the private key. Left out: it is in the same file as the certificate.", "\"site.key\""),
];

const LISTEN_TIMEOUT: &[Key] = &[
    key(
        "header",
        TIME,
        "From accepting the connection, or from the first byte of a later request, to the end of the request's head.",
        "\"5s\"",
    )
    .or("10s"),
    key("body", TIME, "Without progress while a request's body is read.", "\"1m\"").or("30s"),
    key("idle", TIME, "Between two requests on a connection that is kept alive.", "\"2m\"").or("75s"),
    key("write", TIME, "Without progress while an answer is written.", "\"1m\"").or("30s"),
];

const LISTEN_LIMITS: &[Key] = &[
    key(
        "header_bytes",
        Kind::Size { min: 1 << 10, max: 1 << 20, unlimited: false },
        "A request's head: start line and header fields. Larger ones are answered with 431. At most 1MiB, as a head is held in memory whole.",
        "\"64KiB\"",
    )
    .or("32KiB"),
    key(
        "headers",
        Kind::Number { min: 1, max: 1000, word: None },
        "A request's header fields. More are answered with 431. At most 1000, as rules look at every field of every request.",
        "200",
    )
    .or("100"),
    key("body", BODY, "A request's body. Larger ones are answered with 413.", "\"1GiB\"").or("256MiB"),
    key(
        "connections",
        Kind::Number { min: 1, max: 1_000_000, word: None },
        "Connections open at once on this listener, over all its addresses and all workers, exactly; more wait in the kernel's queue.",
        "50000",
    )
    .or("10000"),
    key(
        "connections_per_address",
        Kind::Number { min: 0, max: 1_000_000, word: None },
        "Of these, how many one client address may have (of IPv6 one /64); more are closed at once. Where `proxy_protocol` says who the client \
         is, that address counts. Clients of Unix sockets do not. 0 is no limit of its own.",
        "100",
    )
    .or("0"),
    key(
        "body_rate",
        Kind::Size { min: 0, max: 1 << 30, unlimited: false },
        "What a client must send of a request's body in a second. Time in which we wait for it is owed, bytes pay it back at this rate, and who \
         owes as much as `timeout.body` gets 408: one byte now and then does not hold a request for ever. Time in which the backend is slow to \
         take is not counted. `0B` asks for nothing.",
        "\"1KiB\"",
    )
    .or("240B"),
];
