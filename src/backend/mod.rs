//! One backend of a pool: its identity, and what is known of it now.
//!
//! Health and ejection write here and balancers read here; they never meet. A `Backend` is found by pool name and address in the
//! registry of `table`, so it survives every reload for as long as the configuration names it.

mod drift;
mod ejection;
mod health;
pub mod latency;
pub mod ramp;
mod standing;

use std::cmp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::address::Address;
use crate::sync::AtomicU32;
use latency::Latency;
use ramp::{LastRamp, Ramp};

pub use ejection::Record;
pub use health::{Change, Finding, Start, Verdict};
pub use standing::Standing;

/// Identity and live state, shared by all workers. What requests read are atomics, of which none guards another.
#[derive(Debug)]
pub struct Backend {
    pub address: Address,
    /// XXH3 of the address as text: what hashing knows of it. The same in every process, on every machine.
    pub identity: u64,
    in_flight: AtomicU32,
    standing: standing::Word,
    /// Errors in a row, as ejection counts them.
    errors: AtomicU32,
    health: Mutex<health::Health>,
    ejection: Mutex<Record>,
    drift: drift::Drift,
    ramp: Ramp,
    latency: Latency,
    crew: Arc<Crew>,
}

/// The backends of one pool, as far as each has to be seen beside the others.
#[derive(Debug, Default)]
pub struct Crew {
    last_ramp: LastRamp,
    /// What is usual among them.
    latency: Latency,
}

impl Backend {
    /// One that is alone in its pool.
    pub fn new(address: std::net::SocketAddr) -> Backend {
        Backend::with(address.into(), Arc::default())
    }

    pub fn with(address: Address, crew: Arc<Crew>) -> Backend {
        Backend {
            identity: xxh3_64(address.to_string().as_bytes()),
            address,
            in_flight: AtomicU32::new(0),
            standing: standing::Word::default(),
            errors: AtomicU32::new(0),
            health: Mutex::default(),
            ejection: Mutex::default(),
            drift: drift::Drift::default(),
            ramp: Ramp::default(),
            latency: Latency::default(),
            crew,
        }
    }

    /// An order of backends that is the same everywhere, whatever their order in a file.
    pub fn identity_order(&self, other: &Backend) -> cmp::Ordering {
        self.identity.cmp(&other.identity).then_with(|| self.address.cmp(&other.address))
    }

    /// Whether balancers may pick it.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.standing.is_available()
    }

    /// Why it may be picked, or may not.
    pub fn standing(&self) -> Standing {
        self.standing.load()
    }

    /// Told to take no new requests: removed from the configuration, or by hand.
    pub fn drain(&self, on: bool) {
        self.standing.drain(on);
    }

    /// Ejected by hand, and let back in by hand; a share that `eject.max` sets does not ask about it.
    pub fn hold(&self, on: bool) {
        self.standing.hold(on);
    }

    /// All of its pool is down, and it is to be picked although it is; what was done by hand is heeded still.
    pub fn fail_open(&self, on: bool) {
        self.standing.fail_open(on);
    }

    /// It was out, and takes requests again. The one place where that is noted, whoever had put it out: what must begin anew with
    /// a backend that is back begins here.
    pub fn recovered(&self) {
        self.errors.store(0, Ordering::Relaxed);
        self.ramp_from_now();
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
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1)).is_ok()
    }

    // Sequentially consistent: whoever gives a slot back looks next whether anybody waits for it, and must not look before
    // (see `upstream::queue`).
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// It has joined a pool that was at work, or has come back: where the pool has a slow start, it begins now.
    pub fn ramp_from_now(&self) {
        self.ramp_from(Instant::now());
    }

    pub fn ramp_from(&self, now: Instant) {
        self.ramp.start(now);
        self.crew.last_ramp.start(now);
    }

    /// How much of its share it may take, in 1,024ths; `duration`: the pool's slow start.
    pub fn ramp(&self, now: Instant, duration: Duration) -> u32 {
        self.ramp.share(now, duration)
    }

    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// It has answered, `took` after the request.
    pub fn learn_answer(&self, now: Instant, took: Duration) {
        self.latency.answered(now, took, &self.crew.latency);
    }

    /// It has failed, or its answer says that it has.
    pub fn learn_failure(&self, now: Instant, took: Duration) {
        self.latency.failed(now, took, &self.crew.latency);
    }
}

impl Crew {
    /// Whether one of them may be ramping; `duration`: the pool's slow start.
    #[inline]
    pub fn is_ramping(&self, now: Instant, duration: Duration) -> bool {
        self.last_ramp.runs(now, duration)
    }

    /// What is usual among them: `usual_mean`, `usual_peak`.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The next moment at which the clock of the atomics steps: whoever counts from there counts the same each time.
#[cfg(test)]
pub fn next_step(now: Instant) -> Instant {
    *EPOCH + Duration::from_millis(millis(now))
}

/// A moment as a number that fits into an atomic; never 0, which stands for "never".
fn millis(now: Instant) -> u64 {
    1 + now.saturating_duration_since(*EPOCH).as_millis() as u64
}
