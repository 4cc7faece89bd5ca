//! What every algorithm must do, asked of each by its configuration name.

use std::collections::VecDeque;
use std::iter::repeat_n;

use proptest::prelude::*;

use super::hashing::tests::ring_points;
use super::*;
use crate::config::model::{MAGLEV_SLOTS, RING_POINTS_MAX, RING_POINTS_PER_WEIGHT};

/// Every word that `algorithm =` takes: a new one passes the whole suite, or it does not go in.
fn all() -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.iter().copied()
}

/// Those that share a pool out; `first` does not mean to.
fn sharing() -> impl Iterator<Item = Algorithm> {
    all().filter(|algorithm| *algorithm != Algorithm::First)
}

/// Those that look at every backend, or many: their shares are shown on small pools.
fn scans(algorithm: Algorithm) -> bool {
    use Algorithm::*;
    matches!(algorithm, LeastConnections | LeastTime | Rendezvous | IpHash)
}

/// No two of one address: hashing tells them apart by it.
pub(super) fn member(number: u32, weight: u32) -> Member {
    let [_, b, c, d] = number.to_be_bytes();
    Member { weight, ..Member::plain(Arc::new(Backend::new(([10, b, c, d], 80).into()))) }
}

pub(super) fn set(weights: impl IntoIterator<Item = u32>) -> Set {
    let crew = Arc::default();
    let member = |(number, weight)| {
        let address = member(number, weight).backend.address.clone();
        Member { weight, ..Member::plain(Arc::new(Backend::with(address, Arc::clone(&crew)))) }
    };
    Set::new((0..).zip(weights).map(member))
}

fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

fn pick(balancer: &dyn Balancer, set: &Set, tried: &[usize], random: &mut fastrand::Rng) -> Option<usize> {
    let (key, now) = (random.u64(..), Instant::now());
    balancer.pick(set, &mut Hint { tried, key, now, random })
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

/// Chi-squared over those that may be picked: five standard deviations above its mean, and some more where they are few, or where
/// the algorithm's table promises shares only so exactly.
fn assert_shares(algorithm: Algorithm, set: &Set, counts: &[u64], what: &str) {
    let share = |index: usize| match set.members[index].weight {
        _ if !set.is_eligible(index, &[]) => 0,
        weight if algorithm.heeds_weights() => weight,
        _ => 1,
    };
    let shares: Vec<f64> = (0..counts.len()).map(|index| f64::from(share(index))).collect();
    let (picks, total) = (counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let (mut chi_squared, mut inexact) = (0.0, 0.0);
    let points = ring_points(set);
    for (count, share) in counts.iter().zip(&shares) {
        let expected = picks * share / total;
        if *share == 0.0 {
            assert_eq!(*count, 0, "{algorithm:?} {what}: picked one that is out");
        } else {
            chi_squared += (*count as f64 - expected).powi(2) / expected;
            inexact += expected
                * match algorithm {
                    // Arcs between points at random vary as much as their number says.
                    Algorithm::ConsistentHash => 1.0 / (points as f64 * share / total),
                    // A slot more or less.
                    Algorithm::Maglev => (total / share / MAGLEV_SLOTS as f64).powi(2),
                    _ => 0.0,
                };
        }
    }
    let freedom = shares.iter().filter(|share| **share > 0.0).count() as f64 - 1.0;
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0 + 5.0 * inexact;
    assert!(
        chi_squared <= bound,
        "{algorithm:?} {what}: chi-squared {chi_squared:.1} over {bound:.1}, counts {counts:?} for shares {shares:?}"
    );
}

/// Whether it is made for these weights: a ring that would be too large is refused with the configuration.
fn takes(algorithm: Algorithm, set: &Set) -> bool {
    algorithm != Algorithm::ConsistentHash || ring_points(set) <= RING_POINTS_MAX
}

const WEIGHTS: &[&[u32]] =
    &[&[1], &[7], &[1, 1, 1], &[3, 1], &[5, 1, 1], &[0, 2, 1], &[1, 2, 3, 4, 5, 6, 7, 8], &[100, 1, 100], &[1_000_000, 999_999, 500_000]];

#[test]
fn an_idle_pool_is_shared_by_weight() {
    for algorithm in sharing() {
        for set in WEIGHTS.iter().map(|weights| set(weights.iter().copied())).filter(|set| takes(algorithm, set)) {
            assert_shares(algorithm, &set, &idle(&*of(algorithm, &set), &set, 20_000), "idle");
        }
    }
}

#[test]
fn a_saturated_pool_is_shared_by_weight() {
    for algorithm in sharing() {
        for set in WEIGHTS.iter().map(|weights| set(weights.iter().copied())).filter(|set| takes(algorithm, set)) {
            assert_shares(algorithm, &set, &saturated(&*of(algorithm, &set), &set, 20_000, 2_000), "saturated");
        }
    }
}

#[test]
fn whoever_is_out_leaves_the_shares_of_the_others_in_proportion() {
    for algorithm in sharing() {
        for (weights, out) in [(&[5, 1, 1][..], &[0][..]), (&[5, 1, 1], &[1]), (&[1, 1, 1, 1, 4], &[1, 2]), (&[1_000_000, 3, 1], &[0])] {
            let set = set(weights.iter().copied());
            if !takes(algorithm, &set) {
                continue;
            }
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
    for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::LeastConnections, Algorithm::LeastTime] {
        let set = set([1, 1, 1, 1]);
        set.members[2].backend.drain(true);
        assert_eq!(idle(&*of(algorithm, &set), &set, 300), [100, 100, 0, 100], "{algorithm:?}");
    }
}

#[test]
fn smooth_turns_are_those_of_the_incumbent() {
    let set = set([5, 1, 1]);
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::LeastConnections, Algorithm::LeastTime] {
        let (balancer, random) = (of(algorithm, &set), &mut random());
        let order: String =
            repeat_n((), 14).filter_map(|()| pick(&*balancer, &set, &[], random)).map(|index| ["a", "b", "c"][index]).collect();
        assert_eq!(order, "aabacaaaabacaa", "{algorithm:?}");
    }
}

#[test]
fn first_takes_whoever_is_first() {
    let set = set([1, 0, 3, 1]);
    let balancer = of(Algorithm::First, &set);
    assert_eq!(idle(&*balancer, &set, 10), [10, 0, 0, 0]);
    assert_eq!(pick(&*balancer, &set, &[0], &mut random()), Some(2));
    set.members[0].backend.drain(true);
    assert_eq!(idle(&*balancer, &set, 10), [0, 0, 10, 0]);
}

#[test]
fn load_aware_algorithms_pass_over_the_loaded() {
    for algorithm in [Algorithm::P2c, Algorithm::LeastConnections, Algorithm::LeastTime, Algorithm::PeakEwma] {
        let set = set([3, 1]);
        repeat_n((), 4).for_each(|()| set.members[0].backend.begin());
        // 4 / 3 against 1 / 1, then against 2 / 1.
        set.members[1].backend.begin();
        // But for a probe or two.
        let most = if algorithm.measures() { 45..=50 } else { 50..=50 };
        assert!(most.contains(&idle(&*of(algorithm, &set), &set, 50)[1]), "{algorithm:?}");
        set.members[1].backend.begin();
        assert!(most.contains(&idle(&*of(algorithm, &set), &set, 50)[0]), "{algorithm:?}");
    }
}

#[test]
fn eight_threads_at_once_keep_the_shares() {
    for algorithm in sharing() {
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

/// Those who come and go, answer and fail while eight threads pick and hold: nobody is picked who was out all the time, and all
/// that began has ended.
#[test]
fn eight_threads_at_once_while_everything_changes() {
    for algorithm in all() {
        let set = Set { slow_start: Some(Duration::from_millis(5)), bound: Some(1.25), ..set([3, 1, 1, 2, 0, 1]) };
        set.members[5].backend.drain(true);
        let balancer = of(algorithm, &set);
        let work = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut held = VecDeque::new();
            for _ in 0..4_000 {
                let picked = pick(&*balancer, &set, &[], &mut random).expect("the first is always up");
                assert!(picked < 4, "{algorithm:?} picked {picked}");
                let backend = &set.members[picked].backend;
                backend.begin();
                held.push_back(backend);
                if held.len() > 10 {
                    let (ended, took) = (held.pop_front().expect("there are some"), Duration::from_micros(random.u64(1..10_000)));
                    ended.end();
                    if random.u8(..) < 10 { ended.learn_failure(Instant::now(), took) } else { ended.learn_answer(Instant::now(), took) }
                }
                let other = &set.members[random.usize(1..4)].backend;
                match random.u8(..) {
                    0..8 => other.drain(true),
                    8..40 => other.drain(false),
                    40..44 => other.ramp_from_now(),
                    _ => {}
                }
            }
            held.into_iter().for_each(|backend| backend.end());
        };
        std::thread::scope(|scope| (0..8).for_each(|seed| drop(scope.spawn(move || work(seed)))));
        assert!(set.members.iter().all(|member| member.backend.in_flight() == 0), "{algorithm:?}");
    }
}

#[test]
fn ten_thousand_backends_are_all_picked() {
    for algorithm in sharing() {
        for weights in [|_: u32| 1, |n: u32| n % 7 + 1, |n: u32| n * 31 + 1] {
            let set = set((0..10_000).map(weights));
            if !takes(algorithm, &set) {
                continue;
            }
            let picks = if scans(algorithm) { 2_000 } else { 100_000 };
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

const RAMP: Duration = Duration::from_secs(3600);

/// Equal weights, a slow start of an hour; the first has just begun.
fn with_one_ramping(backends: usize) -> Set {
    let set = Set { slow_start: Some(RAMP), ..set(repeat_n(1, backends)) };
    set.members[0].backend.ramp_from_now();
    set
}

#[test]
fn slow_start_begins_with_a_tenth_of_the_share() {
    for algorithm in all() {
        let set = with_one_ramping(4);
        let balancer = of(algorithm, &set);
        let whole = if algorithm == Algorithm::First { 40_000.0 } else { 10_000.0 };
        let part = idle(&*balancer, &set, 40_000)[0] as f64 / whole;
        // A turn that is declined is nobody's, so three others share 3.1 turns of 4: it comes to 13 %.
        assert!((0.08..0.14).contains(&part), "{algorithm:?}: {part} of its share when idle");
        // Where load decides, it may be less: it is both seldom a candidate and quickly full.
        let part = saturated(&*balancer, &set, 40_000, 400)[0] as f64 / whole;
        assert!((0.03..0.14).contains(&part), "{algorithm:?}: {part} of its share when saturated");
    }
}

#[test]
fn slow_start_ends_with_the_share() {
    for algorithm in sharing() {
        let set = Set { slow_start: Some(Duration::from_millis(1)), ..set([1, 1, 1, 1]) };
        set.members[0].backend.ramp_from(Instant::now().checked_sub(Duration::from_millis(100)).expect("the machine is older"));
        assert_shares(algorithm, &set, &idle(&*of(algorithm, &set), &set, 20_000), "after the ramp");
    }
}

#[test]
fn where_all_ramp_all_are_picked() {
    for algorithm in sharing() {
        let set = Set { slow_start: Some(RAMP), ..set([1, 1, 1]) };
        set.members.iter().for_each(|member| member.backend.ramp_from_now());
        let counts = idle(&*of(algorithm, &set), &set, 30_000);
        assert!(counts.iter().all(|count| (8_000..12_000).contains(count)), "{algorithm:?}: {counts:?}");
        set.members[1..].iter().for_each(|member| member.backend.drain(true));
        assert_eq!(idle(&*of(algorithm, &set), &set, 1_000), [1_000, 0, 0], "{algorithm:?}: the only one that is up");
    }
}

#[test]
fn backups_are_picked_when_nobody_else_can_be() {
    for algorithm in all() {
        let mut set = set([1, 1, 2, 1]);
        set.members[2..].iter_mut().for_each(|member| member.backup = true);
        let (balancer, random) = (of(algorithm, &set), &mut random());
        assert_eq!(idle(&*balancer, &set, 2_000)[2..], [0, 0], "{algorithm:?}");
        set.members[0].backend.drain(true);
        assert_eq!(idle(&*balancer, &set, 2_000), [0, 2_000, 0, 0], "{algorithm:?}: one of them is enough");
        assert!(pick(&*balancer, &set, &[1], random) >= Some(2), "{algorithm:?}: when it has been tried they are next");
        set.members[1].backend.drain(true);
        if algorithm != Algorithm::First {
            assert_shares(algorithm, &set, &idle(&*balancer, &set, 20_000), "backups only");
        }
        set.members[2..].iter().for_each(|member| member.backend.drain(true));
        assert_eq!(pick(&*balancer, &set, &[], random), None, "{algorithm:?}");
        set.members[1].backend.drain(false);
        assert_eq!(pick(&*balancer, &set, &[], random), Some(1), "{algorithm:?}: back again");
    }
}

#[test]
fn a_primary_in_slow_start_goes_before_a_backup() {
    for algorithm in all() {
        let mut set = Set { slow_start: Some(RAMP), ..set([1, 1, 1]) };
        set.members[2].backup = true;
        set.members[..2].iter().for_each(|member| member.backend.ramp_from_now());
        let balancer = of(algorithm, &set);
        assert_eq!(idle(&*balancer, &set, 500)[2], 0, "{algorithm:?}");
        set.members[0].backend.drain(true);
        assert_eq!(idle(&*balancer, &set, 500), [0, 500, 0], "{algorithm:?}");
    }
}

#[test]
fn a_limit_that_changes_is_heeded_by_a_balancer_that_is_kept() {
    for algorithm in all() {
        let mut set = set([1, 1]);
        set.members[1].backup = true;
        let balancer = of(algorithm, &set);
        set.members[0].backend.begin();
        set.members[0].max_requests = NonZeroU32::new(1);
        assert_eq!(idle(&*balancer, &set, 100), [0, 100], "{algorithm:?}: the first is full");
        set.members[0].max_requests = NonZeroU32::new(2);
        assert_eq!(idle(&*balancer, &set, 100), [100, 0], "{algorithm:?}");
    }
}

#[test]
fn first_fills_one_after_the_other() {
    let mut set = set([1, 1, 1]);
    set.members.iter_mut().for_each(|member| member.max_requests = NonZeroU32::new(2));
    let (balancer, random) = (of(Algorithm::First, &set), &mut random());
    let mut order = Vec::new();
    while let Some(index) = pick(&*balancer, &set, &[], random) {
        assert!(set.members[index].try_begin());
        order.push(index);
    }
    assert_eq!(order, [0, 0, 1, 1, 2, 2]);
    set.members[0].backend.end();
    assert_eq!(pick(&*balancer, &set, &[], random), Some(0));
}

#[test]
fn backups_alone_are_as_if_they_were_none() {
    for algorithm in sharing() {
        let mut set = set([2, 1]);
        set.members.iter_mut().for_each(|member| member.backup = true);
        assert_shares(algorithm, &set, &idle(&*of(algorithm, &set), &set, 20_000), "all are backups");
    }
}

#[test]
fn sets_are_equal_when_a_balancer_may_go_on_with_both() {
    let [one, other] = [set([1, 2]), set([1, 2])];
    let with = |change: fn(&mut Vec<Member>)| {
        let mut members = one.members.to_vec();
        change(&mut members);
        Set::new(members)
    };
    assert_eq!(one, with(|_| {}));
    assert_ne!(one, other, "the backends are others, though their addresses are the same");
    assert_ne!(one, with(|members| members[0].weight = 3));
    assert_ne!(one, with(|members| members[0].backup = true));
    assert_ne!(one, with(|members| members.reverse()));
    assert_ne!(one, with(|members| members.truncate(1)));
    assert_ne!(one, Set { slow_start: Some(RAMP), ..with(|_| {}) });
    assert_ne!(one, Set { bound: Some(1.5), ..with(|_| {}) });
}

#[test]
fn the_bounds_of_the_tables_are_those_of_the_configuration() {
    assert_eq!(ring_points(&set(repeat_n(3, 10_000))), 10_000 * RING_POINTS_PER_WEIGHT);
    assert!(ring_points(&set(repeat_n(3, 10_000))) <= RING_POINTS_MAX, "a pool of 10,000 equal backends has its ring");
}

proptest! {
    #[test]
    fn a_pick_is_eligible_and_there_is_one_where_there_can_be(
        members in proptest::collection::vec((0u32..4, any::<bool>(), 0u32..5, any::<(bool, bool)>()), 0..8),
        tried in proptest::collection::vec(0usize..10, 0..4),
        slow_start: bool,
        bound: bool,
        seed: u64,
    ) {
        let mut set = set(members.iter().map(|(weight, ..)| *weight));
        set.slow_start = slow_start.then_some(RAMP);
        set.bound = bound.then_some(1.25);
        for (member, (_, up, in_flight, (ramping, backup))) in set.members.iter_mut().zip(&members) {
            member.backend.drain(!up);
            member.backup = *backup;
            (0..*in_flight).for_each(|_| member.backend.begin());
            if *ramping {
                member.backend.ramp_from_now();
            }
        }
        let random = &mut fastrand::Rng::with_seed(seed);
        for algorithm in all() {
            let balancer = of(algorithm, &set);
            for _ in 0..5 {
                match pick(&*balancer, &set, &tried, random) {
                    Some(index) => {
                        prop_assert!(set.is_eligible(index, &tried), "{:?} picked {}", algorithm, index);
                        let primary = |index: usize| set.is_eligible(index, &tried) && !set.members[index].backup;
                        prop_assert!(!set.members[index].backup || !(0..set.members.len()).any(primary), "{:?}: a backup", algorithm);
                    }
                    None => prop_assert!(!(0..set.members.len()).any(|index| set.is_eligible(index, &tried)), "{:?} found nobody", algorithm),
                }
            }
        }
    }
}
