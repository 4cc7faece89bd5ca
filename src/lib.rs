//! Tidegate: a layer-7 load-balancing reverse proxy. The plan of the house is in `ARCHITECTURE.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests wait, block and start threads as they need"))]

pub mod address;
pub mod admin;
pub mod app;
pub mod backend;
pub mod balance;
pub mod cache;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod failure;
pub mod http1;
pub mod http2;
pub mod io;
pub mod lifecycle;
pub mod listen;
pub mod message;
pub mod proxy;
pub mod route;
#[cfg(test)]
mod spoil;
pub mod sync;
pub mod table;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod worker;
