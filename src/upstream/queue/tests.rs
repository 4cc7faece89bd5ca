use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Duration;

use super::*;
use crate::balance::{self, Member};
use crate::config::model::Algorithm;

const LONG: model::Queue = model::Queue { max: 1_000, wait: Duration::from_secs(60) };

fn set(limits: &[u32]) -> Arc<Set> {
    let backend = |at: usize| Arc::new(Backend::new(([127, 0, 0, 1], 1_000 + at as u16).into()));
    let member = |(at, most): (usize, &u32)| Member { max_requests: NonZeroU32::new(*most), ..Member::plain(backend(at)) };
    Arc::new(Set::new(limits.iter().enumerate().map(member)))
}

/// The same backends with other limits.
fn with(set: &Set, limits: &[u32]) -> Arc<Set> {
    let member = |(member, most): (&Member, &u32)| Member { max_requests: NonZeroU32::new(*most), ..member.clone() };
    Arc::new(Set::new(set.members.iter().zip(limits).map(member)))
}

fn queue(set: &Arc<Set>) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    queue.adopt(set.clone(), balance::of(Algorithm::P2c, set));
    queue
}

fn fill(set: &Set) {
    for member in &set.members {
        while member.try_begin() {}
    }
}

/// Counts how often it was told.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A place that is waited at: whether it has its slot by now, and whether it was woken for it.
struct Waiting {
    place: Place,
    bell: Arc<Bell>,
}

impl Waiting {
    fn at(place: Place) -> Waiting {
        let waiting = Waiting { place, bell: Arc::default() };
        assert!(waiting.look().is_none());
        waiting
    }

    fn look(&self) -> Option<Arc<Backend>> {
        let waker = Waker::from(self.bell.clone());
        match self.place.poll_slot(&mut Context::from_waker(&waker)) {
            Poll::Ready(backend) => Some(backend),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.bell.0.load(Ordering::SeqCst) > 0
    }
}

fn join(queue: &Arc<Queue>) -> Waiting {
    Waiting::at(queue.join(&LONG, Vec::new(), Instant::now()).expect("there is room"))
}

#[test]
fn slots_go_out_in_the_order_of_the_line() {
    let set = set(&[2]);
    let queue = queue(&set);
    fill(&set);
    let waiting: Vec<Waiting> = (0..4).map(|_| join(&queue)).collect();
    for (at, next) in waiting.iter().enumerate() {
        assert!(queue.has_waiters());
        queue.give_back(&set.members[0].backend);
        assert!(waiting[at + 1..].iter().all(|later| !later.is_woken()), "one slot wakes one");
        assert!(next.is_woken());
        assert!(next.look().is_some());
        assert_eq!(set.members[0].backend.in_flight(), 2, "the slot was handed over, and not free in between");
    }
    assert!(!queue.has_waiters());
    queue.give_back(&set.members[0].backend);
    assert_eq!(set.members[0].backend.in_flight(), 1);
}

#[test]
fn who_leaves_is_passed_over_and_leaves_nothing_behind() {
    let set = set(&[1]);
    let queue = queue(&set);
    fill(&set);
    let mut waiting: Vec<Waiting> = (0..3).map(|_| join(&queue)).collect();
    drop(waiting.remove(0));
    queue.give_back(&set.members[0].backend);
    assert!(waiting[0].is_woken());
    // Gone with the slot on its way: it goes to the next.
    drop(waiting.remove(0));
    assert!(waiting[0].is_woken());
    assert_eq!(set.members[0].backend.in_flight(), 1);
    drop(waiting);
    assert_eq!(set.members[0].backend.in_flight(), 0);
    assert!(!queue.has_waiters());
}

#[test]
fn a_place_that_is_taken_as_a_slot_comes_free_gets_it() {
    let set = set(&[1]);
    let queue = queue(&set);
    fill(&set);
    // Given back between the look that found nothing and the place in line.
    set.members[0].backend.end();
    let place = queue.join(&LONG, Vec::new(), Instant::now()).expect("there is room");
    assert!(place.poll_slot(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn the_line_is_as_long_as_it_may_be_and_no_longer() {
    let set = set(&[1]);
    let queue = queue(&set);
    fill(&set);
    let limits = model::Queue { max: 2, ..LONG };
    let _two = [(); 2].map(|()| queue.join(&limits, Vec::new(), Instant::now()).expect("there is room"));
    assert_eq!(queue.join(&limits, Vec::new(), Instant::now()).err(), Some(Failure::QueueFull));
}

#[test]
fn who_would_wait_too_long_is_refused_on_arrival() {
    let set = set(&[1]);
    let queue = queue(&set);
    fill(&set);
    let limits = model::Queue { max: 1_000, wait: Duration::from_secs(1) };
    let begin = Instant::now();
    let mut places: VecDeque<Place> =
        (0..100).map(|_| queue.join(&limits, Vec::new(), begin).expect("nobody can say how long it takes")).collect();
    // One slot each 100 ms: ten waiters a second.
    for slot in 0..80 {
        set.members[0].backend.end();
        queue.serve(begin + Duration::from_millis(100) * slot);
        let served = places.pop_front().expect("somebody waits");
        assert!(served.poll_slot(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    let now = begin + Duration::from_millis(7_900);
    assert_eq!(queue.join(&limits, Vec::new(), now).err(), Some(Failure::QueueTooLong), "20 are ahead: two seconds");
    places.truncate(8);
    assert!(queue.join(&limits, Vec::new(), now).is_ok(), "8 are ahead: less than a second");
    // The line was empty: what comes then is not judged by what was.
    places.clear();
    fill(&set);
    assert!(!queue.has_waiters());
    assert!(queue.join(&limits, Vec::new(), now + Duration::from_secs(3_600)).is_ok());
}

#[test]
fn a_backend_that_was_tried_is_left_to_others() {
    let set = set(&[1, 1]);
    let queue = queue(&set);
    fill(&set);
    let again = queue.join(&LONG, vec![set.members[0].backend.address.clone()], Instant::now()).map(Waiting::at).expect("there is room");
    let other = join(&queue);
    queue.give_back(&set.members[0].backend);
    assert!(!again.is_woken() && other.is_woken(), "the first has been there");
    queue.give_back(&set.members[1].backend);
    assert_eq!(again.look().map(|backend| backend.address.clone()), Some(set.members[1].backend.address.clone()));
}

#[test]
fn whatever_makes_room_serves_those_who_wait() {
    // A backend that is back.
    let set = set(&[1, 5]);
    set.members[1].backend.drain(true);
    let queue = queue(&set);
    fill(&with(&set, &[1, 1]));
    set.members[1].backend.end();
    let waiting: Vec<Waiting> = (0..12).map(|_| join(&queue)).collect();
    let served = || waiting.iter().take_while(|waiting| waiting.is_woken()).count();
    set.members[1].backend.drain(false);
    assert_eq!(served(), 0);
    queue.kick();
    assert_eq!(served(), 5);

    // A limit that was raised, and a backend that was added.
    let raised = with(&set, &[1, 7]);
    queue.adopt(raised.clone(), balance::of(Algorithm::P2c, &raised));
    assert_eq!(served(), 7);
}

/// Runs threads of requests through one queue until all have been served, and watches.
#[test]
fn eight_threads_lose_no_wake_up_and_never_have_more_in_flight_than_the_limit() {
    struct Parked(Thread, AtomicBool);
    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::SeqCst);
            self.0.unpark();
        }
    }
    const REQUESTS: usize = 15_000;
    for limits in [&[1][..], &[2, 1], &[3, 0]] {
        let set = set(limits);
        if limits[limits.len() - 1] == 0 {
            // Its limit is none; it is out, and must not be used.
            set.members[limits.len() - 1].backend.drain(true);
        }
        let queue = queue(&set);
        let over = AtomicU32::new(0);
        let queued = AtomicU32::new(0);
        thread::scope(|scope| {
            for seed in 0..8 {
                let (set, queue, over, queued) = (&set, &queue, &over, &queued);
                scope.spawn(move || {
                    let random = &mut fastrand::Rng::with_seed(seed);
                    let balancer = balance::of(Algorithm::P2c, set);
                    for _ in 0..REQUESTS {
                        let taken = match queue.has_waiters() {
                            true => Taken::Full,
                            false => breaker::take(set, &*balancer, &mut Hint { tried: &[], key: 0, now: Instant::now(), random }),
                        };
                        let backend = match taken {
                            Taken::Slot(index) => set.members[index].backend.clone(),
                            _ => {
                                queued.fetch_add(1, Ordering::Relaxed);
                                let place = queue.join(&LONG, Vec::new(), Instant::now()).expect("there is room");
                                if random.u8(0..10) == 0 {
                                    // Leaves, at whatever moment this is.
                                    continue;
                                }
                                let parked = Arc::new(Parked(thread::current(), AtomicBool::new(false)));
                                let waker = Waker::from(parked.clone());
                                loop {
                                    if let Poll::Ready(backend) = place.poll_slot(&mut Context::from_waker(&waker)) {
                                        break backend;
                                    }
                                    // Nothing but being woken helps: a wake-up that is lost is found here.
                                    let deadline = Instant::now() + Duration::from_secs(20);
                                    while !parked.1.swap(false, Ordering::SeqCst) {
                                        assert!(Instant::now() < deadline, "a wake-up was lost");
                                        thread::park_timeout(Duration::from_secs(1));
                                    }
                                }
                            }
                        };
                        let most = set.members.iter().find(|member| Arc::ptr_eq(&member.backend, &backend)).expect("one of them");
                        if most.max_requests.is_none_or(|most| backend.in_flight() > most.get()) {
                            over.fetch_add(1, Ordering::Relaxed);
                        }
                        if random.u8(0..4) == 0 {
                            thread::yield_now();
                        }
                        queue.give_back(&backend);
                    }
                });
            }
        });
        assert_eq!(over.into_inner(), 0, "{limits:?}");
        assert!(queued.into_inner() > 0, "{limits:?}: nobody ever waited");
        assert!(!queue.has_waiters() && queue.inner().granted.is_empty(), "{limits:?}");
        assert!(set.members.iter().all(|member| member.backend.in_flight() == 0), "{limits:?}");
    }
}
