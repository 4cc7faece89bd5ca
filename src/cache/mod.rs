//! The response cache. It knows no backend: `proxy` asks it, and then the upstream, or the other way round.

pub mod fill;
pub mod index;
pub mod key;
pub mod named;
pub mod object;
pub mod policy;
pub mod purge;
mod runs;
pub mod store;

pub use named::{Cache, Found, Join, Lead, Sought};

#[cfg(test)]
mod simulation;
