//! What a pick costs, by algorithm and size of the pool. Only `least_connections` may grow with it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::backend::Backend;
use tidegate::balance::{self, Hint, Member, Set};
use tidegate::config::model::Algorithm;

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::P2c, Algorithm::LeastConnections] {
        for backends in [3u32, 100, 10_000] {
            let member = |n| Member { backend: Arc::new(Backend::new(([127, 0, 0, 1], 80).into())), weight: n % 3 + 1, max_requests: None };
            let set = Set { members: (0..backends).map(member).collect() };
            let balancer = balance::of(algorithm, &set);
            let mut random = fastrand::Rng::with_seed(1);
            group.bench_function(BenchmarkId::new(format!("{algorithm:?}"), backends), |b| {
                b.iter(|| balancer.pick(black_box(&set), &mut Hint { tried: &[], random: &mut random }));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pick);
criterion_main!(benches);
