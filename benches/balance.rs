//! What a pick costs, by algorithm, size of the pool and number of workers that pick at once. Only those that look at every backend
//! may grow with the pool: `least_connections`, `least_time`, `rendezvous`, `ip_hash`, and what hashes under a bound.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::backend::Backend;
use tidegate::balance::{self, Balancer, Hint, Member, Set};
use tidegate::config::model::Algorithm;

fn set(backends: u32) -> Set {
    let crew = Arc::default();
    let member = |n: u32| {
        let [_, b, c, d] = n.to_be_bytes();
        let backend = Arc::new(Backend::with(([10, b, c, d], 80).into(), Arc::clone(&crew)));
        backend.learn_answer(Instant::now(), Duration::from_micros(u64::from(n % 100 + 100)));
        // Few different weights: the ring of 10,000 has to fit.
        Member { weight: n % 3 + 1, ..Member::plain(backend) }
    };
    Set::new((0..backends).map(member))
}

/// As long as this many picks take, by each of the threads at once.
fn picks(balancer: &dyn Balancer, set: &Set, threads: u64, count: u64) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let now = Instant::now();
    let work = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        barrier.wait();
        let began = Instant::now();
        for _ in 0..count {
            let key = random.u64(..);
            black_box(balancer.pick(black_box(set), &mut Hint { tried: &[], key, now, random: &mut random }));
        }
        began.elapsed()
    };
    let longest = |all: Vec<Duration>| all.into_iter().max().unwrap_or_default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|seed| scope.spawn(move || work(seed))).collect();
        longest(threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect())
    })
}

fn pick(c: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = c.benchmark_group(format!("pick/{threads}"));
        for algorithm in Algorithm::ALL.iter().copied() {
            for backends in [3, 100, 10_000] {
                let set = set(backends);
                let balancer = balance::of(algorithm, &set);
                group.bench_function(BenchmarkId::new(algorithm.as_str(), backends), |b| {
                    b.iter_custom(|count| picks(&*balancer, &set, threads, count));
                });
            }
        }
        group.finish();
    }
    let mut group = c.benchmark_group("pick bounded");
    for algorithm in Algorithm::ALL.iter().copied().filter(|algorithm| algorithm.hashes()) {
        for backends in [3, 100, 10_000] {
            let set = Set { bound: Some(1.25), ..set(backends) };
            let balancer = balance::of(algorithm, &set);
            group.bench_function(BenchmarkId::new(algorithm.as_str(), backends), |b| {
                b.iter_custom(|count| picks(&*balancer, &set, 1, count));
            });
        }
    }
    group.finish();
}

/// What a reload pays for a pool whose backends have changed.
fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for algorithm in Algorithm::ALL.iter().copied() {
        for backends in [100, 10_000] {
            let set = set(backends);
            group.bench_function(BenchmarkId::new(algorithm.as_str(), backends), |b| b.iter(|| balance::of(algorithm, &set)));
        }
    }
    group.finish();
}

criterion_group!(benches, pick, build);
criterion_main!(benches);
