//! What every algorithm must do, asked of each by its configuration name.

use std::collections::VecDeque;
use std::iter::{repeat_n, successors};

use proptest::prelude::*;

use super::*;

/// All algorithms, one after the other. A new one does not compile before it has a place here, and so passes the whole suite.
fn next(algorithm: &Algorithm) -> Option<Algorithm> {
    match algorithm {
        Algorithm::RoundRobin => Some(Algorithm::WeightedRoundRobin),
        Algorithm::WeightedRoundRobin => Some(Algorithm::P2c),
        Algorithm::P2c => Some(Algorithm::LeastConnections),
        Algorithm::LeastConnections => None,
    }
}

fn all() -> impl Iterator<Item = Algorithm> {
    successors(Some(Algorithm::RoundRobin), next)
}

fn follows_weights(algorithm: Algorithm) -> bool {
    algorithm != Algorithm::RoundRobin
}

fn set(weights: impl IntoIterator<Item = u32>) -> Set {
    let backend = || Arc::new(Backend::new(([127, 0, 0, 1], 80).into()));
    Set { members: weights.into_iter().map(|weight| Member { backend: backend(), weight, max_requests: None }).collect() }
}

fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

fn pick(balancer: &dyn Balancer, set: &Set, tried: &[usize], random: &mut fastrand::Rng) -> Option<usize> {
    balancer.pick(set, &mut Hint { tried, random })
}

/// Picks as they come where every request has ended before the next.
fn idle(balancer: &dyn Balancer, set: &Set, picks: usize) -> Vec<u64> {
    let mut counts = vec![0; set.members.len()];
    let random = &mut random();
    for _ in 0..picks {
        counts[pick(balancer, set, &[], random).expect("somebody is up")] += 1;
    }
    counts
}

/// Picks as they come where so many requests are always in flight, and the oldest ends when a new one begins.
fn saturated(balancer: &dyn Balancer, set: &Set, picks: usize, in_flight: usize) -> Vec<u64> {
    let mut counts = vec![0; set.members.len()];
    let mut running = VecDeque::new();
    let random = &mut random();
    for at in 0..in_flight + picks {
        if running.len() == in_flight {
            let ended: usize = running.pop_front().expect("some are in flight");
            set.members[ended].backend.end();
        }
        let picked = pick(balancer, set, &[], random).expect("somebody is up");
        set.members[picked].backend.begin();
        running.push_back(picked);
        counts[picked] += u64::from(at >= in_flight);
    }
    running.into_iter().for_each(|index| set.members[index].backend.end());
    counts
}

/// Chi-squared over those that may be picked: five standard deviations above its mean, and some more where they are few.
fn assert_shares(algorithm: Algorithm, set: &Set, counts: &[u64], what: &str) {
    let share = |index: usize| match set.members[index].weight {
        _ if !set.is_eligible(index, &[]) => 0,
        weight if follows_weights(algorithm) => weight,
        _ => 1,
    };
    let shares: Vec<f64> = (0..counts.len()).map(|index| f64::from(share(index))).collect();
    let (picks, total) = (counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let mut chi_squared = 0.0;
    for (count, share) in counts.iter().zip(&shares) {
        let expected = picks * share / total;
        if *share == 0.0 {
            assert_eq!(*count, 0, "{algorithm:?} {what}: picked one that is out");
        } else {
            chi_squared += (*count as f64 - expected).powi(2) / expected;
        }
    }
    let freedom = shares.iter().filter(|share| **share > 0.0).count() as f64 - 1.0;
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0;
    assert!(
        chi_squared <= bound,
        "{algorithm:?} {what}: chi-squared {chi_squared:.1} over {bound:.1}, counts {counts:?} for shares {shares:?}"
    );
}

const WEIGHTS: &[&[u32]] =
    &[&[1], &[7], &[1, 1, 1], &[3, 1], &[5, 1, 1], &[0, 2, 1], &[1, 2, 3, 4, 5, 6, 7, 8], &[100, 1, 100], &[1_000_000, 999_999, 500_000]];

#[test]
fn an_idle_pool_is_shared_by_weight() {
    for algorithm in all() {
        for weights in WEIGHTS {
            let set = set(weights.iter().copied());
            assert_shares(algorithm, &set, &idle(&*of(algorithm, &set), &set, 20_000), "idle");
        }
    }
}

#[test]
fn a_saturated_pool_is_shared_by_weight() {
    for algorithm in all() {
        for weights in WEIGHTS {
            let set = set(weights.iter().copied());
            assert_shares(algorithm, &set, &saturated(&*of(algorithm, &set), &set, 20_000, 2_000), "saturated");
        }
    }
}

#[test]
fn whoever_is_out_leaves_the_shares_of_the_others_in_proportion() {
    for algorithm in all() {
        for (weights, out) in [(&[5, 1, 1][..], &[0][..]), (&[5, 1, 1], &[1]), (&[1, 1, 1, 1, 4], &[1, 2]), (&[1_000_000, 3, 1], &[0])] {
            let set = set(weights.iter().copied());
            out.iter().for_each(|index: &usize| set.members[*index].backend.drain(true));
            let balancer = of(algorithm, &set);
            assert_shares(algorithm, &set, &idle(&*balancer, &set, 20_000), "one out");
            assert_shares(algorithm, &set, &saturated(&*balancer, &set, 20_000, 500), "one out, saturated");
            out.iter().for_each(|index| set.members[*index].backend.drain(false));
            assert!(
                idle(&*balancer, &set, 20_000).iter().all(|count| *count > 0 || weights[0] == 1_000_000),
                "{algorithm:?}: back, and not picked"
            );
        }
    }
}

#[test]
fn equal_turns_are_exact() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::LeastConnections] {
        let set = set([1, 1, 1, 1]);
        set.members[2].backend.drain(true);
        assert_eq!(idle(&*of(algorithm, &set), &set, 300), [100, 100, 0, 100], "{algorithm:?}");
    }
}

#[test]
fn smooth_turns_are_those_of_the_incumbent() {
    let set = set([5, 1, 1]);
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::LeastConnections] {
        let (balancer, random) = (of(algorithm, &set), &mut random());
        let order: String =
            repeat_n((), 14).filter_map(|()| pick(&*balancer, &set, &[], random)).map(|index| ["a", "b", "c"][index]).collect();
        assert_eq!(order, "aabacaaaabacaa", "{algorithm:?}");
    }
}

#[test]
fn load_aware_algorithms_pass_over_the_loaded() {
    for algorithm in [Algorithm::P2c, Algorithm::LeastConnections] {
        let set = set([3, 1]);
        repeat_n((), 4).for_each(|()| set.members[0].backend.begin());
        // 4 / 3 against 1 / 1, then against 2 / 1.
        set.members[1].backend.begin();
        assert_eq!(idle(&*of(algorithm, &set), &set, 50), [0, 50], "{algorithm:?}");
        set.members[1].backend.begin();
        assert_eq!(idle(&*of(algorithm, &set), &set, 50), [50, 0], "{algorithm:?}");
    }
}

#[test]
fn eight_threads_at_once_keep_the_shares() {
    for algorithm in all() {
        let set = set([5, 1, 1, 3]);
        let balancer = of(algorithm, &set);
        let count = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut counts = vec![0; set.members.len()];
            for _ in 0..5_000 {
                counts[pick(&*balancer, &set, &[], &mut random).expect("all are up")] += 1;
            }
            counts
        };
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || count(seed))).collect();
            let each = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
            each.reduce(|all, one| all.iter().zip(one).map(|(all, one)| all + one).collect::<Vec<u64>>()).expect("there are threads")
        });
        assert_shares(algorithm, &set, &counts, "eight threads");
    }
}

#[test]
fn ten_thousand_backends_are_all_picked() {
    for algorithm in all() {
        for weights in [|_: u32| 1, |n: u32| n % 7 + 1, |n: u32| n * 31 + 1] {
            let set = set((0..10_000).map(weights));
            // The full scan has its price, and its shares are shown above.
            let picks = if algorithm == Algorithm::LeastConnections { 2_000 } else { 100_000 };
            let counts = idle(&*of(algorithm, &set), &set, picks);
            if picks >= 100_000 {
                assert_shares(algorithm, &set, &counts, "10,000 backends");
            } else {
                assert!(counts.iter().filter(|count| **count > 0).count() > 1_000, "{algorithm:?}: always the same few");
            }
        }
    }
}

#[test]
fn only_one_of_ten_thousand_is_up() {
    for algorithm in all() {
        let set = set(repeat_n(1, 10_000));
        set.members.iter().for_each(|member| member.backend.drain(true));
        let balancer = of(algorithm, &set);
        assert_eq!(pick(&*balancer, &set, &[], &mut random()), None, "{algorithm:?}");
        set.members[9_000].backend.drain(false);
        assert_eq!(pick(&*balancer, &set, &[], &mut random()), Some(9_000), "{algorithm:?}");
    }
}

#[test]
fn an_empty_set_has_nobody() {
    for algorithm in all() {
        let set = set([]);
        assert_eq!(pick(&*of(algorithm, &set), &set, &[], &mut random()), None, "{algorithm:?}");
    }
}

#[test]
fn sets_are_equal_when_a_balancer_may_go_on_with_both() {
    let [one, other] = [set([1, 2]), set([1, 2])];
    let with = |change: fn(&mut Vec<Member>)| {
        let mut members = one
            .members
            .iter()
            .map(|member| Member { backend: member.backend.clone(), weight: member.weight, max_requests: None })
            .collect();
        change(&mut members);
        Set { members: members.into() }
    };
    assert_eq!(one, with(|_| {}));
    assert_ne!(one, other, "the backends are others, though their addresses are the same");
    assert_ne!(one, with(|members| members[0].weight = 3));
    assert_ne!(one, with(|members| members.reverse()));
    assert_ne!(one, with(|members| members.truncate(1)));
}

proptest! {
    #[test]
    fn a_pick_is_eligible_and_there_is_one_where_there_can_be(
        members in proptest::collection::vec((0u32..4, any::<bool>(), 0u32..5), 0..8),
        tried in proptest::collection::vec(0usize..10, 0..4),
        seed: u64,
    ) {
        let set = set(members.iter().map(|(weight, ..)| *weight));
        for (member, (_, up, in_flight)) in set.members.iter().zip(&members) {
            member.backend.drain(!up);
            (0..*in_flight).for_each(|_| member.backend.begin());
        }
        let random = &mut fastrand::Rng::with_seed(seed);
        for algorithm in all() {
            let balancer = of(algorithm, &set);
            for _ in 0..5 {
                match pick(&*balancer, &set, &tried, random) {
                    Some(index) => prop_assert!(set.is_eligible(index, &tried), "{:?} picked {}", algorithm, index),
                    None => prop_assert!(set.eligible(&tried).next().is_none(), "{:?} found nobody", algorithm),
                }
            }
        }
    }
}
