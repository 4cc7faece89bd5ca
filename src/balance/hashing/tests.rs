//! What hashing promises: who gets a key depends on nothing but the key and the backends, few keys move when a backend does, and
//! nobody is overrun. By properties, and by tables computed elsewhere (`golden/vectors.py`).

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::address::Address;
use crate::balance::conformance::{member, set};
use crate::balance::{Hint, Member, Set, of};
use crate::config::model::{Algorithm, RING_POINTS_PER_WEIGHT};

/// Points that the ring of this set has, were there no limit.
pub(in crate::balance) fn ring_points(set: &Set) -> u64 {
    let weights = || set.members.iter().map(|member| u64::from(member.weight));
    let divisor = weights().fold(0, crate::balance::turns::greatest_common_divisor).max(1);
    weights().sum::<u64>() / divisor * RING_POINTS_PER_WEIGHT
}

fn hashing() -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.iter().copied().filter(|algorithm| algorithm.hashes())
}

fn keys(count: usize) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(11);
    std::iter::repeat_with(move || random.u64(..)).take(count)
}

/// Who gets each key, by address.
fn map(algorithm: Algorithm, set: &Set, keys: impl Iterator<Item = u64>) -> Vec<Address> {
    let balancer = of(algorithm, set);
    let random = &mut fastrand::Rng::with_seed(1);
    let mut pick = |key| {
        let index = balancer.pick(set, &mut Hint { tried: &[], key, now: Instant::now(), random }).expect("somebody is up");
        set.members[index].backend.address.clone()
    };
    keys.map(&mut pick).collect()
}

fn without(set: &Set, index: usize) -> Set {
    Set::new(set.members.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, member)| member.clone()))
}

#[test]
fn mixing_is_the_published_finaliser() {
    // SplitMix64 adds the golden ratio to its state before it mixes; these are its first outputs for the seeds 0 and 1234567.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    assert_eq!(mix(GOLDEN, 0), 0xe220_a839_7b1d_cdaf);
    assert_eq!(mix(GOLDEN.wrapping_add(1_234_567), 0), 6_457_827_717_110_365_317);
    assert_eq!(mix(GOLDEN ^ 5, 5), mix(GOLDEN, 0));
}

#[test]
fn a_fraction_is_neither_0_nor_1() {
    assert!(fraction(0) > 0.0 && fraction(u64::MAX) < 1.0);
    assert_eq!(fraction(1 << 63), 0.5 + 0.5 / (1u64 << 52) as f64);
}

/// Who gets a key is what everybody else who computes it says. The table: algorithm, weights of 10.0.0.1:80 and those that follow,
/// key, index. `10.0.0.N:80` is what `member` makes of N.
#[test]
fn keys_go_where_others_compute_them_to_go() {
    let mut seen = 0;
    for line in include_str!("../golden/vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [algorithm, weights, key, expected] = words[..] else { panic!("{line}") };
        let weights = weights.split(',').map(|weight| weight.parse().unwrap());
        let set = Set::new((1..).zip(weights).map(|(number, weight)| member(number, weight)));
        let key = u64::from_str_radix(key, 16).unwrap();
        let expected: usize = expected.parse().unwrap();
        let algorithm = Algorithm::of(algorithm).unwrap();
        assert_eq!(map(algorithm, &set, [key].into_iter()), [set.members[expected].backend.address.clone()], "{line}");
        seen += 1;
    }
    assert!(seen >= 100, "{seen}");
}

#[test]
fn a_backend_that_is_out_moves_only_its_own_keys_and_gets_them_back() {
    for algorithm in hashing() {
        let set = set([1, 2, 1, 3, 1]);
        let before = map(algorithm, &set, keys(5_000));
        let out = &set.members[3].backend;
        out.drain(true);
        let moved = before.iter().zip(map(algorithm, &set, keys(5_000))).filter(|(before, now)| *before != now);
        assert!(moved.clone().count() > 1_000 && moved.into_iter().all(|(before, _)| *before == out.address), "{algorithm:?}");
        out.drain(false);
        assert_eq!(map(algorithm, &set, keys(5_000)), before, "{algorithm:?}");
    }
}

#[test]
fn the_keys_of_one_that_is_out_go_to_all_the_others() {
    for algorithm in hashing() {
        let set = set([1; 10]);
        let before = map(algorithm, &set, keys(20_000));
        let out = &set.members[3].backend;
        out.drain(true);
        let after = map(algorithm, &set, keys(20_000));
        let heirs: std::collections::HashSet<_> =
            before.iter().zip(after).filter(|(before, _)| **before == out.address).map(|(_, now)| now).collect();
        assert_eq!(heirs.len(), 9, "{algorithm:?}");
    }
}

#[test]
fn a_removed_backend_moves_few_keys_under_maglev() {
    for backends in [2u32, 5, 20, 100] {
        let set = set((0..backends).map(|_| 1));
        let before = map(Algorithm::Maglev, &set, keys(50_000));
        let after = map(Algorithm::Maglev, &without(&set, 1), keys(50_000));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count() as f64 / 50_000.0;
        assert!(moved < 2.5 / f64::from(backends), "{moved} of the keys of {backends} backends");
    }
}

#[test]
fn an_added_backend_takes_its_share_from_everybody() {
    for algorithm in hashing() {
        let whole = set([1; 10]);
        let before = map(algorithm, &without(&whole, 9), keys(50_000));
        let after = map(algorithm, &whole, keys(50_000));
        let new = &whole.members[9].backend.address;
        let share = after.iter().filter(|address| *address == new).count() as f64 / 50_000.0;
        // A ring's share is good to some 8 %.
        assert!((0.07..0.13).contains(&share), "{algorithm:?}: {share}");
        for Member { backend, .. } in &whole.members[..9] {
            let lost = |(was, is): &(&Address, &Address)| **was == backend.address && *is == new;
            let lost = before.iter().zip(&after).filter(lost).count() as f64 / 50_000.0;
            assert!((0.002..0.025).contains(&lost), "{algorithm:?}: {} lost {lost}", backend.address);
        }
        if algorithm != Algorithm::Maglev {
            assert!(before.iter().zip(&after).all(|(was, is)| was == is || is == new), "{algorithm:?}: a key moved elsewhere");
        }
    }
}

#[test]
fn a_ramp_admits_more_and_more_of_the_same_keys() {
    let hour = std::time::Duration::from_secs(3600);
    for algorithm in hashing() {
        let set = Set { slow_start: Some(hour), ..set([1, 1, 1]) };
        let (balancer, begun) = (of(algorithm, &set), Instant::now());
        set.members[0].backend.ramp_from(begun);
        let random = &mut fastrand::Rng::with_seed(1);
        let mut at = |key, minutes: u32| balancer.pick(&set, &mut Hint { tried: &[], key, now: begun + hour / 60 * minutes, random });
        for key in keys(500) {
            let picks: Vec<_> = [0, 10, 30, 50, 61].map(|minutes| at(key, minutes)).into();
            let changes = picks.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 1 && (changes == 0 || picks[4] == Some(0)), "{algorithm:?}: {picks:?}");
        }
    }
}

#[test]
fn a_hot_key_overflows_to_the_same_few() {
    for algorithm in hashing() {
        let set = Set { bound: Some(1.25), ..set([1; 8]) };
        let (balancer, random) = (of(algorithm, &set), &mut fastrand::Rng::with_seed(1));
        let mut counts = [0u32; 8];
        for n in 1..=800u32 {
            let index = balancer.pick(&set, &mut Hint { tried: &[], key: 42, now: Instant::now(), random }).expect("somebody is up");
            set.members[index].backend.begin();
            counts[index] += 1;
            let most = (1.25 * f64::from(n) / 8.0).ceil() as u32;
            assert!(counts[index] <= most, "{algorithm:?}: {} of {n}", counts[index]);
        }
        assert!(
            counts.iter().filter(|count| **count > 0).count() <= 8 && *counts.iter().max().unwrap() == 125,
            "{algorithm:?}: {counts:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_order_in_the_configuration_does_not_matter(
        members in proptest::sample::subsequence((1..200u32).collect::<Vec<_>>(), 1..20).prop_shuffle(),
        weights in proptest::collection::vec(0u32..5, 20),
    ) {
        let with_weight = |number: &u32| member(*number, weights[*number as usize % 20].max(u32::from(*number == members[0])));
        let shuffled = Set::new(members.iter().map(with_weight));
        let mut sorted = members.clone();
        sorted.sort_unstable();
        let sorted = Set::new(sorted.iter().map(with_weight));
        for algorithm in hashing() {
            prop_assert_eq!(map(algorithm, &shuffled, keys(200)), map(algorithm, &sorted, keys(200)), "{:?}", algorithm);
        }
    }

    #[test]
    fn a_removed_backend_moves_only_its_own_keys(weights in proptest::collection::vec(1u32..5, 2..20), gone: proptest::sample::Index) {
        let set = set(weights);
        let gone = gone.index(set.members.len());
        // A common divisor that comes or goes with it would change every number of points.
        let divisor = |set: &Set| set.members.iter().map(|member| u64::from(member.weight)).fold(0, crate::balance::turns::greatest_common_divisor);
        let rest = without(&set, gone);
        for algorithm in hashing().filter(|algorithm| *algorithm != Algorithm::Maglev) {
            if algorithm == Algorithm::ConsistentHash && divisor(&set) != divisor(&rest) {
                continue;
            }
            let (before, after) = (map(algorithm, &set, keys(300)), map(algorithm, &rest, keys(300)));
            let kept = |(before, after): (&Address, &Address)| before == after || *before == set.members[gone].backend.address;
            prop_assert!(before.iter().zip(&after).all(kept), "{:?}", algorithm);
        }
    }

    #[test]
    fn a_bounded_load_stays_within_its_bound(
        weights in proptest::collection::vec(1u32..5, 1..12),
        bound in 1.0f64..3.0,
        few_keys in 1u64..6,
        steps in proptest::collection::vec(any::<(u64, bool)>(), 1..150),
    ) {
        for algorithm in hashing() {
            let set = Set { bound: Some(bound), ..set(weights.iter().copied()) };
            let (balancer, random) = (of(algorithm, &set), &mut fastrand::Rng::with_seed(1));
            let weight: u32 = weights.iter().sum();
            let mut running = Vec::new();
            for (number, ends) in &steps {
                if *ends && !running.is_empty() {
                    let ended: usize = running.swap_remove(*number as usize % running.len());
                    set.members[ended].backend.end();
                    continue;
                }
                let key = mix(number % few_keys, 1);
                let index = balancer.pick(&set, &mut Hint { tried: &[], key, now: Instant::now(), random }).expect("all are up");
                set.members[index].backend.begin();
                running.push(index);
                let most = (bound * running.len() as f64 * f64::from(weights[index]) / f64::from(weight)).ceil();
                prop_assert!(f64::from(set.members[index].backend.in_flight()) <= most + 1e-9, "{:?}", algorithm);
            }
        }
    }
}
