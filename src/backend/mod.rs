//! One backend of a pool: its identity, and what is known of it now.
//!
//! Health writes here and balancers read here; they never meet. A `Backend` is found by pool name and address in the registry of
//! `table`, so it survives every reload for as long as the configuration names it.

mod drift;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Identity and live state. Shared by all workers; every field is its own atomic, none guards another.
#[derive(Debug)]
pub struct Backend {
    pub address: SocketAddr,
    in_flight: AtomicU32,
    /// Told not to take new requests: removed from the configuration, or drained by hand.
    draining: AtomicBool,
    drift: drift::Drift,
}

impl Backend {
    pub fn new(address: SocketAddr) -> Backend {
        Backend { address, in_flight: AtomicU32::new(0), draining: AtomicBool::new(false), drift: drift::Drift::default() }
    }

    /// Whether balancers may pick it.
    pub fn is_available(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    pub fn drain(&self, on: bool) {
        self.draining.store(on, Ordering::Relaxed);
    }

    /// Requests and tunnels that hold this backend now, connects under way included.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One request more. Every `begin` has its `end`; `upstream::Lease` sees to it.
    // Relaxed: the count steers the next pick; a stale value costs one uneven choice.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One request more where there are fewer than `most`; never more than that, whoever else begins at the same moment.
    pub fn try_begin(&self, most: u32) -> bool {
        self.in_flight.try_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1)).is_ok()
    }

    // Sequentially consistent: whoever gives a slot back looks next whether anybody waits for it, and must not look before
    // (see `upstream::queue`).
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
