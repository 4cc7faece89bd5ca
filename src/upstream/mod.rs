//! Connections to backends, and what a request needs before it may have one: made, kept idle, lent out; slots, a place in line, a
//! retry to spend.
//!
//! Which of them are well is found out in two ways that never meet: `health` probes them, `ejection` judges their answers to real
//! requests. `ward` looks at a pool as a whole.
//!
//! A worker has a `Seat` per backend: its idle connections, newest on top. What workers share is the `Backend` itself, whose in-flight
//! count a `Lease` holds for as long as it lives, and the `Queue` of a pool, touched only while all of its backends are full.

pub mod breaker;
pub mod budget;
pub mod connect;
pub mod ejection;
pub mod health;
pub mod lease;
pub mod lines;
pub mod queue;
pub mod seat;
pub mod ward;

pub use breaker::Taken;
pub use budget::Budget;
pub use connect::{connect, connect_http2};
pub use lease::Lease;
pub use lines::Lines;
pub use queue::Queue;
pub use seat::Seat;
pub use ward::{Rounds, Rules, Ward};
