//! Tidegate: a layer-7 load-balancing reverse proxy. The plan of the house is in `ARCHITECTURE.md`.

pub mod backend;
pub mod balance;
pub mod config;
pub mod failure;
pub mod io;
pub mod message;
