//! Connections to backends: made, kept idle, lent out.
//!
//! A worker has a `Seat` per backend: its idle connections, newest on top. Nothing here is shared between workers but the
//! `Backend` itself, whose in-flight count a `Lease` raises for as long as it lives.

pub mod connect;
pub mod lease;
pub mod seat;

pub use connect::connect;
pub use lease::Lease;
pub use seat::Seat;
