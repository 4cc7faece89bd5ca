//! Behaviour over real sockets: the program is started as a user would start it, and judged by the bytes that come out on both
//! sides. One file per behaviour.

#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests wait, block, start threads and give up as they need"
)]

mod architecture;
mod balancing;
mod broken;
mod cache;
mod cache_soak;
mod certificates;
mod clients;
mod commands;
mod conformance;
mod crowds;
mod deadlines;
mod discovery;
mod endurance;
mod faults;
mod fields;
mod forwarding;
mod grpc;
mod health;
mod http2;
mod http2_backends;
mod http2_costs;
mod http2_frames;
mod http2_peers;
mod http2_websocket;
mod lifecycle;
mod observability;
mod overload;
mod parts;
mod peers;
mod proxy_protocol;
mod reload;
mod responses;
mod retries;
mod routing;
mod soak;
mod stampede;
mod sticky;
mod strictness;
mod support;
mod timeouts;
mod tls;
mod unix_sockets;
mod verbs;
mod warm;
mod websocket;
