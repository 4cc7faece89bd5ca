//! What one thread lends to those who run on it: byte streams, buffers, timers, the clock.
//!
//! Nothing here is shared between threads; a worker keeps the wheel and the clock going (`tick`).

pub mod arrears;
pub mod both_ways;
pub mod buffer;
pub mod clock;
pub mod connect;
pub mod linger;
pub mod stream;
pub mod timer;
pub mod tls;

pub use buffer::{Buffer, Scratch};
pub use connect::connect;
pub use linger::linger;
pub use stream::Io;
pub use timer::Timer;
pub use tls::Tls;

/// Keeps this thread's wheel and clock going. Runs until dropped.
pub async fn tick() {
    let mut every = tokio::time::interval(timer::TICK);
    // A thread that was busy needs one tick now, not all it missed.
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        every.tick().await;
        clock::refresh();
        timer::advance();
    }
}
