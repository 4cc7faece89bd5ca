use proptest::prelude::*;

use super::*;
use crate::backend::{Finding, Start};
use crate::balance::Member;
use crate::upstream::ejection::tests::rules;

/// A pool and its ward.
fn ward(weights: &[u32], eject: Option<Eject>, when_all_down: WhenAllDown) -> Ward {
    started(weights, eject, when_all_down, Start::Up)
}

fn started(weights: &[u32], eject: Option<Eject>, when_all_down: WhenAllDown, start: Start) -> Ward {
    let member = |(at, weight): (usize, &u32)| {
        let backend = Arc::new(Backend::new(([127, 0, 0, 1], at as u16 + 1).into()));
        backend.checked(start);
        Member { weight: *weight, ..Member::plain(backend) }
    };
    let set = Arc::new(Set::new(weights.iter().enumerate().map(member)));
    let rules = Rules { eject, when_all_down, patience: Duration::from_secs(1) };
    Ward::new("app".into(), set, rules, Arc::default(), Arc::default())
}

/// Ejects after 3 errors, for 10 s, half of the pool at most.
fn of(n: usize) -> Ward {
    ward(&vec![1; n], Some(rules()), WhenAllDown::FailOpen)
}

impl Ward {
    fn backend(&self, at: usize) -> &Backend {
        &self.set.members[at].backend
    }

    /// After a reload: only these are left of the pool.
    fn reduced_to(&self, kept: &[usize]) -> Ward {
        let set = Arc::new(Set::new(kept.iter().map(|at| self.set.members[*at].clone())));
        Ward::new(self.pool.clone(), set, self.rules.clone(), self.rounds.clone(), self.queue.clone())
    }

    fn errs(&self, at: usize, times: usize) {
        (0..times).for_each(|_| self.failed(self.backend(at), false, Failure::UpstreamReset));
    }

    fn words(&self) -> Vec<&'static str> {
        self.set.members.iter().map(|member| member.backend.standing().word()).collect()
    }

    fn available(&self) -> Vec<bool> {
        self.set.members.iter().map(|member| member.backend.is_available()).collect()
    }

    /// Its checks say so.
    fn probed(&self, at: usize, passed: bool) {
        let finding = if passed { Finding::Passed } else { Finding::Reset };
        self.backend(at).probed(finding, Duration::ZERO, 1, 1, std::time::SystemTime::now());
        self.look();
    }
}

#[test]
fn errors_in_a_row_eject_and_a_good_answer_makes_up_for_them() {
    let ward = of(4);
    ward.errs(0, 2);
    ward.backend(0).answered();
    ward.errs(0, 2);
    assert_eq!(ward.words(), ["up"; 4]);
    ward.failed(ward.backend(0), false, Failure::ClientGone);
    ward.failed(ward.backend(0), false, Failure::ResourcesExhausted);
    assert_eq!(ward.words(), ["up"; 4], "neither is the backend's fault");
    ward.errs(0, 1);
    assert_eq!(ward.words(), ["ejected", "up", "up", "up"]);
    assert_eq!(ward.backend(0).ejections().reason, Some("upstream_reset"));
}

#[test]
fn no_more_than_the_share_and_never_the_last_that_is_up() {
    let four = of(4);
    (0..4).for_each(|at| four.errs(at, 5));
    assert_eq!(four.words(), ["ejected", "ejected", "up", "up"]);
    let one = of(1);
    one.errs(0, 50);
    assert_eq!(one.words(), ["up"]);
    let with_a_spare = ward(&[1, 0], Some(rules()), WhenAllDown::FailOpen);
    with_a_spare.errs(0, 50);
    assert_eq!(with_a_spare.words(), ["up", "up"], "a backend of weight 0 takes nothing over");
    let half_down = of(2);
    half_down.probed(0, false);
    half_down.errs(1, 50);
    assert_eq!(half_down.words(), ["down", "up"]);
}

#[test]
fn a_pool_that_shrinks_keeps_to_its_share_at_once() {
    for (kept, expected) in [
        (&[0, 1, 2, 3][..], &["ejected", "ejected", "up", "up"][..]),
        (&[0, 1, 2], &["up", "ejected", "up"]),
        (&[0, 1], &["up", "ejected"]),
        (&[1], &["up"]),
        (&[0, 3], &["ejected", "up"]),
    ] {
        let before = of(4);
        before.errs(0, 3);
        before.errs(1, 3);
        let after = before.reduced_to(kept);
        after.look();
        assert_eq!(after.words(), expected, "{kept:?}");
        assert!(!after.fails_open(), "{kept:?}");
    }
}

#[test]
fn what_old_requests_report_is_not_judged_by_the_pool_that_was() {
    let before = of(4);
    let after = before.reduced_to(&[0, 1]);
    after.errs(1, 3);
    assert_eq!(after.words(), ["up", "ejected"]);
    before.errs(0, 50);
    assert_eq!(after.words(), ["up", "ejected"], "2 and 3 are gone, and would not take over");
    // Those who have left do not speak for those who are there.
    after.probed(0, false);
    assert!(after.fails_open());
    before.look();
    assert!(after.fails_open() && after.available() == [true, true]);
}

#[test]
fn an_ejection_limits_no_check() {
    let ward = of(2);
    ward.errs(0, 3);
    ward.probed(1, false);
    assert_eq!(ward.words(), ["ejected", "down"]);
    assert_eq!(ward.available(), [true, true], "and so the pool fails open");
}

#[test]
fn after_its_time_one_request_decides() {
    let ward = of(2);
    ward.errs(0, 3);
    let start = Instant::now();
    ward.tick(start);
    assert_eq!(ward.words()[0], "ejected");
    ward.tick(start + Duration::from_secs(10));
    assert_eq!((ward.words()[0], ward.available()), ("trial", vec![true, true]));
    // Somebody else's late failure is no part of the trial.
    ward.errs(0, 5);
    assert_eq!(ward.words()[0], "trial");

    assert!(ward.backend(0).claim() && ward.backend(0).begins_trial());
    assert_eq!(ward.available(), [false, true]);
    ward.failed(ward.backend(0), true, Failure::FirstByteTimeout);
    assert_eq!((ward.words()[0], ward.backend(0).ejections().times), ("ejected", 2));
    ward.tick(start + Duration::from_secs(19));
    assert_eq!(ward.words()[0], "ejected", "for twice as long");
    ward.tick(start + Duration::from_secs(21));

    assert!(ward.backend(0).claim() && ward.backend(0).begins_trial());
    assert!(ward.answered(ward.backend(0), true, 200));
    assert_eq!(ward.words(), ["up", "up"]);
    // Back, but not yet trusted: it has answered with a head and no more.
    ward.errs(0, 1);
    assert_eq!((ward.words()[0], ward.backend(0).ejections().times), ("ejected", 3));
}

#[test]
fn a_status_ejects_only_where_it_is_told_to() {
    let plain = of(2);
    assert!((0..10).all(|_| plain.answered(plain.backend(0), false, 503)));
    assert_eq!(plain.words()[0], "up");
    let mut told = rules();
    told.on.statuses = vec![crate::config::model::Statuses { first: 500, last: 599 }];
    let told = ward(&[1, 1], Some(told), WhenAllDown::FailOpen);
    assert!((0..3).all(|_| !told.answered(told.backend(0), false, 503)));
    assert_eq!((told.words()[0], told.backend(0).ejections().reason), ("ejected", Some("status")));
}

#[test]
fn turning_ejection_off_lets_everybody_back() {
    let ejecting = of(2);
    ejecting.errs(0, 3);
    let rules = Rules { eject: None, ..ejecting.rules.clone() };
    let off = Ward::new("app".into(), ejecting.set.clone(), rules, Arc::default(), Arc::default());
    off.tick(Instant::now());
    assert_eq!(off.words(), ["up", "up"]);
    off.errs(0, 100);
    assert_eq!(off.words(), ["up", "up"]);
}

#[test]
fn all_down_fails_open_or_not_and_spares_what_was_done_by_hand() {
    for (when_all_down, open) in [(WhenAllDown::FailOpen, true), (WhenAllDown::Fail, false)] {
        let ward = ward(&[1, 1, 1, 0], Some(rules()), when_all_down);
        ward.backend(2).hold(true);
        ward.probed(0, false);
        assert!(!ward.fails_open());
        ward.probed(1, false);
        assert_eq!((ward.available(), ward.fails_open()), (vec![open, open, false, true], open), "weight 0 is the balancers' affair");
        ward.probed(1, true);
        assert_eq!((ward.available(), ward.fails_open()), (vec![false, true, false, true], false));
    }
}

#[test]
fn nobody_there_is_not_all_down() {
    let ward = of(2);
    ward.backend(0).drain(true);
    ward.backend(1).hold(true);
    ward.look();
    assert!(!ward.fails_open() && ward.available() == [false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_verdict_and_no_longer() {
    let undecided = || started(&[1, 1], Some(rules()), WhenAllDown::FailOpen, Start::Wait);
    let ward = undecided();
    assert_eq!(ward.available(), [false, false]);
    // One is down, the other up: the request waits for the second.
    let look = ward.second_look();
    let verdicts = async {
        tokio::task::yield_now().await;
        ward.probed(0, false);
        assert_eq!(ward.available(), [false, false], "no failing open before all have spoken");
        tokio::task::yield_now().await;
        ward.probed(1, true);
    };
    assert!(tokio::join!(look, verdicts).0);
    // Both are down: then it fails open.
    let ward = undecided();
    let verdicts = async {
        tokio::task::yield_now().await;
        (0..2).for_each(|at| ward.probed(at, false));
    };
    assert!(tokio::join!(ward.second_look(), verdicts).0);
    assert!(ward.fails_open());
    // Nobody speaks.
    let ward = undecided();
    let began = tokio::time::Instant::now();
    let turning = async {
        loop {
            tokio::time::sleep(crate::io::timer::TICK).await;
            crate::io::timer::advance();
        }
    };
    let waited = tokio::select! { waited = ward.second_look() => waited, () = turning => unreachable!() };
    assert!(!waited);
    assert!((1.0..1.1).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Errs(usize),
    Answers(usize),
    Probed(usize, bool),
    Held(usize, bool),
    Claims(usize),
    Passes(usize, bool),
    Lapses(usize),
    Ticks(u64),
}

fn event(n: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..n).prop_map(Event::Errs),
        2 => (0..n).prop_map(Event::Answers),
        2 => (0..n, any::<bool>()).prop_map(|(at, passed)| Event::Probed(at, passed)),
        1 => (0..n, any::<bool>()).prop_map(|(at, on)| Event::Held(at, on)),
        3 => (0..n).prop_map(Event::Claims),
        3 => (0..n, any::<bool>()).prop_map(|(at, good)| Event::Passes(at, good)),
        1 => (0..n).prop_map(Event::Lapses),
        3 => (0u64..200).prop_map(Event::Ticks),
    ]
}

proptest! {
    /// Whatever happens in whatever order: never more out by ejection than the share, and everybody who is well comes back.
    #[test]
    fn ejection_keeps_its_bounds_and_ends(size in 1usize..9, percent in 1u32..=100, events in proptest::collection::vec(event(8), 0..200)) {
        let eject = Eject { max_percent: percent, ..rules() };
        let most = if size < 2 { 0 } else { (size * percent as usize / 100).max(1) };
        let ward = ward(&vec![1; size], Some(eject), WhenAllDown::FailOpen);
        let mut now = Instant::now();
        for event in events {
            match event {
                Event::Errs(at) if at < size => ward.errs(at, 1),
                Event::Answers(at) if at < size => ward.backend(at).answered(),
                Event::Probed(at, passed) if at < size => ward.probed(at, passed),
                Event::Held(at, on) if at < size => ward.backend(at).hold(on),
                Event::Claims(at) if at < size => drop((ward.backend(at).claim(), ward.backend(at).begins_trial())),
                Event::Passes(at, true) if at < size => drop(ward.answered(ward.backend(at), true, 200)),
                Event::Passes(at, false) if at < size => ward.failed(ward.backend(at), true, Failure::UpstreamReset),
                Event::Lapses(at) if at < size => ward.backend(at).trial_lapses(),
                Event::Ticks(seconds) => {
                    now += Duration::from_secs(seconds);
                    ward.tick(now);
                }
                _ => {}
            }
            let out = ward.set.members.iter().filter(|member| member.backend.standing().is_ejected()).count();
            prop_assert!(out <= most, "{out} of {size} at {percent}%: {:?}", ward.words());
        }
        // The world is well again.
        for at in 0..size {
            ward.backend(at).hold(false);
            ward.probed(at, true);
            ward.backend(at).trial_lapses();
        }
        ward.tick(Instant::now() + Duration::from_secs(10_000));
        for at in 0..size {
            if ward.backend(at).claim() && ward.backend(at).begins_trial() {
                ward.answered(ward.backend(at), true, 200);
            }
        }
        prop_assert_eq!(ward.words(), vec!["up"; size]);
    }
}

#[test]
fn many_workers_that_report_at_once_do_not_eject_one_too_many() {
    for _ in 0..200 {
        let ward = of(6);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let ward = &ward;
                scope.spawn(move || (0..60).for_each(|n| ward.errs((n + worker) % 6, 1)));
            }
        });
        let out = ward.words().iter().filter(|word| **word == "ejected").count();
        assert_eq!(out, 3);
    }
}
