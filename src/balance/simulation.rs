//! What becomes of a pool when one of its backends is unlike the others: whole minutes of traffic in virtual time, for every algorithm.
//!
//! Four backends of 16 slots and 10 ms each (exponentially distributed, queued in order), Poisson arrivals, a client's patience of one second;
//! no retries, health checks or ejections, so that what is seen is the balancer's own doing. The last backend is the odd one.
//! Every run is the same run: one seed, and no clock but for steps of a millisecond, with which each run begins.
//!
//! The README's table is printed by
//!
//!     cargo test --lib balance::simulation::table -- --nocapture

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::conformance::set;
use super::{Balancer, Hint, Set, of};
use crate::backend::next_step;
use crate::config::model::Algorithm;

const BACKENDS: usize = 4;
const ODD: usize = BACKENDS - 1;
const SLOTS: usize = 16;
const SERVICE: f64 = 0.010;
const PATIENCE: f64 = 1.0;
/// Requests per second: a quarter of what the pool can do, and nearly two thirds.
const MODERATE: f64 = 1_600.0;
const BUSY: f64 = 4_000.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Odd {
    /// Like all others.
    None,
    /// Takes ten times as long, until then.
    SlowUntil(f64),
    /// 503 after 1 ms.
    FailsFast,
    /// Takes ten times as long at first, and as long as the others after 500 requests.
    Cold,
    /// Never answers.
    Hangs,
}

struct Scenario {
    odd: Odd,
    rate: f64,
    seconds: f64,
    slow_start: Option<Duration>,
    bound: Option<f64>,
    /// The part of the requests that all have the same key; the others have one of 10,000.
    hot: f64,
}

impl Scenario {
    fn with(odd: Odd) -> Scenario {
        Scenario { odd, rate: MODERATE, seconds: 60.0, slow_start: None, bound: None, hot: 0.0 }
    }
}

/// What came of it.
struct Run {
    /// When each request came, where it went, and how long its client waited.
    requests: Vec<(f64, usize, f64)>,
    failed: usize,
}

impl Run {
    /// The part of the requests from `from` to `to` seconds that a backend got.
    fn share(&self, backend: usize, from: f64, to: f64) -> f64 {
        let within = self.requests.iter().filter(|(at, ..)| (from..to).contains(at));
        let (all, mine) = within.fold((0.0, 0.0), |(all, mine), (_, to, _)| (all + 1.0, mine + f64::from(u8::from(*to == backend))));
        mine / all
    }

    fn busiest(&self) -> f64 {
        (0..BACKENDS).map(|backend| self.share(backend, 0.0, f64::INFINITY)).fold(0.0, f64::max)
    }

    /// In seconds.
    fn p99(&self) -> f64 {
        let mut waits: Vec<f64> = self.requests.iter().map(|(.., wait)| *wait).collect();
        waits.sort_by(f64::total_cmp);
        waits[waits.len() * 99 / 100]
    }

    fn failed(&self) -> f64 {
        self.failed as f64 / self.requests.len() as f64
    }
}

/// The end of a request: when (in nanoseconds, since floats have no order), where, since when, whether well.
type End = Reverse<(u64, usize, u64, bool)>;

const NANOS: f64 = 1e9;

fn run(algorithm: Algorithm, scenario: &Scenario) -> Run {
    let set = Set { slow_start: scenario.slow_start, bound: scenario.bound, ..set([1; BACKENDS]) };
    let balancer = of(algorithm, &set);
    // Ahead of the clock's own beginning, whenever that was.
    let epoch = next_step(Instant::now() + Duration::from_secs(1));
    if scenario.odd == Odd::Cold {
        set.members[ODD].backend.ramp_from(epoch);
    }
    let random = &mut fastrand::Rng::with_seed(42);
    let mut free = [[0.0f64; SLOTS]; BACKENDS];
    let mut ends: BinaryHeap<End> = BinaryHeap::new();
    let mut came = Run { requests: Vec::new(), failed: 0 };
    let (mut now, mut served) = (0.0, 0u32);
    while now < scenario.seconds {
        now += exponential(1.0 / scenario.rate, random);
        while ends.peek().is_some_and(|Reverse((at, ..))| (*at as f64) < now * NANOS) {
            let Some(Reverse((at, index, since, well))) = ends.pop() else { break };
            let (backend, at, took) = (&set.members[index].backend, epoch + Duration::from_nanos(at), Duration::from_nanos(at - since));
            backend.end();
            if well { backend.learn_answer(at, took) } else { backend.learn_failure(at, took) }
        }
        let index = choose(&*balancer, &set, epoch + Duration::from_secs_f64(now), scenario.hot, random);
        set.members[index].backend.begin();
        let factor = match scenario.odd {
            Odd::SlowUntil(end) if index == ODD && now < end => 10.0,
            Odd::Cold if index == ODD => 1.0 + 9.0 * (1.0 - f64::from(served) / 500.0).max(0.0),
            _ => 1.0,
        };
        let odd = (index == ODD).then_some(scenario.odd);
        served += u32::from(odd.is_some());
        let (wait, well) = match odd {
            Some(Odd::Hangs) => (PATIENCE, false),
            Some(Odd::FailsFast) => (0.001, false),
            _ => {
                let slot = free[index].iter_mut().min_by(|a, b| a.total_cmp(b)).expect("there are slots");
                let start = slot.max(now);
                let wait = start - now + exponential(SERVICE * factor, random);
                // Who has waited long enough leaves, and is not served after all.
                *slot = if start > now + PATIENCE { *slot } else { now + wait.min(PATIENCE) };
                (wait.min(PATIENCE), wait < PATIENCE)
            }
        };
        came.requests.push((now, index, wait));
        came.failed += usize::from(!well);
        ends.push(Reverse((((now + wait) * NANOS) as u64, index, (now * NANOS) as u64, well)));
    }
    came
}

fn choose(balancer: &dyn Balancer, set: &Set, now: Instant, hot: f64, random: &mut fastrand::Rng) -> usize {
    let number = if random.f64() < hot { 0 } else { random.u64(1..=10_000) };
    let key = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
    balancer.pick(set, &mut Hint { tried: &[], key, now, random }).expect("all are up")
}

fn exponential(mean: f64, random: &mut fastrand::Rng) -> f64 {
    -mean * (1.0 - random.f64()).ln()
}

/// All but `first`, which fills one backend up to its `max_requests`.
fn algorithms() -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.iter().copied().filter(|algorithm| *algorithm != Algorithm::First)
}

fn slow() -> Scenario {
    Scenario::with(Odd::SlowUntil(f64::INFINITY))
}

fn cold(slow_start: Option<u64>) -> Scenario {
    Scenario { slow_start: slow_start.map(Duration::from_secs), ..Scenario::with(Odd::Cold) }
}

fn hot(bound: Option<f64>) -> Scenario {
    Scenario { bound, hot: 0.5, rate: BUSY, seconds: 20.0, ..Scenario::with(Odd::None) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.0} ms", seconds * 1000.0)
}

#[test]
fn table() {
    let mut rows = Vec::new();
    for algorithm in algorithms() {
        let fair = run(algorithm, &Scenario::with(Odd::None));
        let slow = run(algorithm, &slow());
        let failing = run(algorithm, &Scenario::with(Odd::FailsFast));
        let [colds, ramped] = [None, Some(30)].map(|slow_start| run(algorithm, &cold(slow_start)));
        let hanging = run(algorithm, &Scenario::with(Odd::Hangs));
        let hot = [None, Some(1.25)].map(|bound| run(algorithm, &hot(bound)));
        let mut row = format!("| `{}` | {}", algorithm.as_str(), milliseconds(fair.p99()));
        row += &format!(" | {}, {}", percent(slow.share(ODD, 0.0, 60.0)), milliseconds(slow.p99()));
        row += &format!(" | {} | {}", percent(failing.failed()), percent(hanging.failed()));
        row += &format!(" | {}, {}", percent(colds.share(ODD, 0.0, 5.0)), milliseconds(colds.p99()));
        row += &format!(" | {}, {}", percent(ramped.share(ODD, 0.0, 5.0)), milliseconds(ramped.p99()));
        row += &format!(" | {}, {}", percent(hot[0].busiest()), milliseconds(hot[0].p99()));
        if algorithm.hashes() {
            row += &format!("; bound: {}, {}", percent(hot[1].busiest()), milliseconds(hot[1].p99()));
        }
        rows.push(row + " |");
    }
    println!(
        "| `algorithm =` | all alike: p99 | one 10 times slower: its share, p99 | one fails in 1 ms: failed | one hangs: failed | one joins cold: \
         share in 5 s, p99 | the same with `slow_start` | half of all requests for one key: the busiest's share, p99 |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    println!("{}", rows.join("\n"));
}

#[test]
fn a_backend_that_fails_fast_gets_less_where_time_is_measured() {
    for algorithm in [Algorithm::LeastTime, Algorithm::PeakEwma] {
        let run = run(algorithm, &Scenario::with(Odd::FailsFast));
        assert!(run.failed() < 0.03, "{algorithm:?}: {}", run.failed());
    }
    // And why that is asked: who is done at once has nothing in flight.
    for algorithm in [Algorithm::LeastConnections, Algorithm::P2c] {
        assert!(run(algorithm, &Scenario::with(Odd::FailsFast)).failed() > 0.25, "{algorithm:?}");
    }
}

#[test]
fn a_slow_backend_gets_less_where_load_or_time_counts() {
    for algorithm in [Algorithm::P2c, Algorithm::LeastConnections, Algorithm::LeastTime, Algorithm::PeakEwma] {
        let run = run(algorithm, &slow());
        assert!(run.share(ODD, 0.0, 60.0) < 0.12, "{algorithm:?}: {}", run.share(ODD, 0.0, 60.0));
    }
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random] {
        assert!(run(algorithm, &slow()).share(ODD, 0.0, 60.0) > 0.24, "{algorithm:?}");
    }
}

#[test]
fn a_hanging_backend_does_not_absorb_the_pool() {
    for algorithm in [Algorithm::P2c, Algorithm::LeastConnections, Algorithm::LeastTime, Algorithm::PeakEwma] {
        let run = run(algorithm, &Scenario::with(Odd::Hangs));
        assert!(run.failed() < 0.02, "{algorithm:?}: {}", run.failed());
    }
}

#[test]
fn nobody_is_exiled_for_good() {
    for algorithm in [Algorithm::LeastTime, Algorithm::PeakEwma] {
        for rate in [20.0, MODERATE] {
            let run = run(algorithm, &Scenario { rate, seconds: 240.0, ..Scenario::with(Odd::SlowUntil(60.0)) });
            let [before, after] = [run.share(ODD, 30.0, 60.0), run.share(ODD, 180.0, 240.0)];
            assert!(before < 0.12 && after > 0.12, "{algorithm:?} at {rate}/s: {before} while it was slow, {after} afterwards");
        }
    }
}

#[test]
fn a_cold_backend_is_spared_by_slow_start() {
    for algorithm in algorithms() {
        let run = run(algorithm, &Scenario { seconds: 120.0, ..cold(Some(30)) });
        let [first, last] = [run.share(ODD, 0.0, 5.0), run.share(ODD, 90.0, 120.0)];
        assert!(first < 0.08 && last > 0.18, "{algorithm:?}: {first} at first, {last} at last");
    }
}

#[test]
fn a_bound_spreads_a_hot_key() {
    for algorithm in algorithms().filter(|algorithm| algorithm.hashes()) {
        let [without, within] = [None, Some(1.25)].map(|bound| run(algorithm, &hot(bound)));
        assert!(without.busiest() > 0.6 && within.busiest() < 0.4, "{algorithm:?}: {} and {}", without.busiest(), within.busiest());
        assert!(within.p99() < without.p99() / 2.0, "{algorithm:?}: {} and {}", without.p99(), within.p99());
    }
}
