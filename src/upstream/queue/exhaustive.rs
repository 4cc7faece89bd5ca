//! The hand-over of slots, in every order in which its steps can happen: `cargo test --features loom --lib exhaustive`.
//!
//! Loom runs each of these with every interleaving of its threads in which at most `SWITCHES` of them come in the middle of something,
//! and with every value that the memory model lets a load see. What the tests beside it find by luck and by the thousand, this finds or
//! excludes. Nobody here is woken by a clock: a slot that is not handed over by the time that all threads are done is a wake-up that
//! was lost.

use std::num::NonZeroU32;

use loom::thread;

use super::*;
use crate::balance::{self, Member};
use crate::config::model::Algorithm;
use crate::sync::AtomicU32;

const LONG: model::Queue = model::Queue { max: 10, wait: std::time::Duration::from_secs(60) };

/// One backend with so many slots, all of them taken, and the queue for them.
struct Full {
    set: Arc<Set>,
    queue: Arc<Queue>,
}

impl Full {
    fn of(slots: u32) -> Arc<Full> {
        let backend = Arc::new(Backend::new(([127, 0, 0, 1], 80).into()));
        let set = Arc::new(Set::new([Member { max_requests: NonZeroU32::new(slots), ..Member::plain(backend) }]));
        let queue = Arc::new(Queue::default());
        // Chance would make each run another one.
        queue.adopt(set.clone(), balance::of(Algorithm::First, &set));
        (0..slots).for_each(|_| assert!(set.members[0].try_begin()));
        Arc::new(Full { set, queue })
    }

    fn backend(&self) -> &Backend {
        &self.set.members[0].backend
    }

    fn join(&self) -> Place {
        self.queue.join(&LONG, Vec::new(), Instant::now()).expect("there is room")
    }

    fn give_back(&self) {
        self.queue.give_back(self.backend());
    }

    /// As a newcomer does it: whether there was a slot.
    fn take(&self) -> bool {
        let random = &mut fastrand::Rng::with_seed(1);
        let balancer = balance::of(Algorithm::First, &self.set);
        let hint = &mut Hint { tried: &[], key: 0, now: Instant::now(), random };
        !self.queue.has_waiters() && matches!(breaker::take(&self.set, &*balancer, hint), Taken::Slot(_))
    }

    /// In the end: this place has its slot, it is the only one that is taken, and nothing is left when it goes.
    fn assert_served(&self, place: Place) {
        assert!(place.poll_slot(&mut Context::from_waker(Waker::noop())).is_ready(), "a wake-up was lost");
        assert_eq!(self.backend().in_flight(), 1);
        self.give_back();
        self.assert_idle();
    }

    fn assert_idle(&self) {
        assert_eq!(self.backend().in_flight(), 0);
        assert!(!self.queue.has_waiters() && self.queue.inner().granted.is_empty());
    }
}

/// Bugs need one or two; without a bound, three threads take more than minutes.
const SWITCHES: usize = 3;

fn every_order(act: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(act);
}

fn beside(full: &Arc<Full>, act: impl FnOnce(&Full) + Send + 'static) -> thread::JoinHandle<()> {
    let full = full.clone();
    thread::spawn(move || act(&full))
}

#[test]
fn a_slot_that_is_given_back_as_somebody_lines_up_is_theirs() {
    every_order(|| {
        let full = Full::of(1);
        let giver = beside(&full, Full::give_back);
        let place = full.join();
        giver.join().unwrap();
        full.assert_served(place);
    });
}

#[test]
fn who_leaves_the_line_hands_on_what_was_on_its_way() {
    every_order(|| {
        let full = Full::of(1);
        let leaver = beside(&full, |full| drop(full.join()));
        let giver = beside(&full, Full::give_back);
        let place = full.join();
        leaver.join().unwrap();
        giver.join().unwrap();
        full.assert_served(place);
    });
}

#[test]
fn a_newcomer_takes_nothing_for_good() {
    every_order(|| {
        let full = Full::of(1);
        let newcomer = beside(&full, |full| {
            if full.take() {
                full.give_back();
            }
        });
        let giver = beside(&full, Full::give_back);
        let place = full.join();
        newcomer.join().unwrap();
        giver.join().unwrap();
        full.assert_served(place);
    });
}

#[test]
fn two_slots_serve_two() {
    every_order(|| {
        let full = Full::of(2);
        let one = beside(&full, Full::give_back);
        let other = beside(&full, Full::give_back);
        let places = [full.join(), full.join()];
        one.join().unwrap();
        other.join().unwrap();
        assert_eq!(full.backend().in_flight(), 2);
        for place in places {
            assert!(place.poll_slot(&mut Context::from_waker(Waker::noop())).is_ready(), "a wake-up was lost");
            full.give_back();
        }
        full.assert_idle();
    });
}

#[test]
fn a_backend_that_is_back_serves_who_lines_up_meanwhile() {
    every_order(|| {
        let full = Full::of(1);
        full.backend().drain(true);
        full.give_back();
        let verb = beside(&full, |full| {
            full.backend().drain(false);
            full.queue.kick();
        });
        let place = full.join();
        verb.join().unwrap();
        full.assert_served(place);
    });
}

#[test]
fn a_limit_is_a_limit_and_a_trial_is_one_request() {
    every_order(|| {
        let full = Full::of(1);
        full.give_back();
        full.backend().eject("test", 1, Instant::now());
        assert!(full.backend().release(Instant::now()));
        let begun = Arc::new(AtomicU32::new(0));
        let take = |begun: Arc<AtomicU32>| {
            move |full: &Full| {
                if full.set.members[0].try_begin() {
                    assert!(full.backend().in_flight() == 1 && full.backend().begins_trial());
                    begun.fetch_add(1, Ordering::Relaxed);
                    full.give_back();
                }
            }
        };
        let others = [beside(&full, take(begun.clone())), beside(&full, take(begun.clone()))];
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        full.assert_idle();
    });
}
