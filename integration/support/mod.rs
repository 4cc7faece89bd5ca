//! What every test here stands on: the proxy as a process of its own, connections whose bytes a test writes and reads itself,
//! and backends that are either a script in the test's own hands or quick and counting.
//!
//! Everything waits for a condition with a deadline (`PATIENCE`); nothing sleeps and hopes. Ports of the proxy are taken from
//! below the range that the kernel hands out for outgoing connections, so that tests in parallel never meet.

pub mod backend;
pub mod certificates;
pub mod dns;
pub mod frames;
pub mod hpack;
pub mod message;
pub mod proxy;
pub mod secure;
pub mod streams;
pub mod wire;

use std::time::{Duration, Instant};

pub use backend::{Backend, Counting, whichever};
pub use frames::{Frame, Frames};
pub use message::{Head, Message};
pub use proxy::{Proxy, Site, named, scripted};
pub use streams::Streams;
pub use wire::{End, Wire};

/// How long a test waits for what must happen. Long, because two cores may run thirty proxies; nothing waits it out unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Asks until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Bytes as a person reads them in a failed assertion.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 2000;
    let mut text = bytes.iter().take(SHOWN).copied().flat_map(std::ascii::escape_default).map(char::from).collect::<String>();
    if bytes.len() > SHOWN {
        text.push_str(&format!(" ... ({} bytes)", bytes.len()));
    }
    text.replace("\\r\\n", "\\r\\n\n")
}
