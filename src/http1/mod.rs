//! HTTP/1.1, both sides: a codec that does no IO (`head`, `framing`, `writer`), and the two loops around it.
//!
//! The codec decides over bytes that somebody else has read, so that every rule of RFC 9112 can be tested byte by byte, and the
//! same rules hold towards clients and backends. What it refuses it refuses for good: the connection closes behind the error.

pub mod framing;
pub mod head;
mod lately;
mod scan;
pub mod writer;

pub mod client;
mod relay;
pub mod server;
mod tunnel;
