//! Deadlines by the thousand: one coarse wheel per thread.
//!
//! A connection sets a deadline at every step it takes and almost never meets one. So setting must cost next to nothing: a later
//! deadline only overwrites a number, and the wheel finds out when it comes by. Deadlines are met up to two ticks late, never early.
//! (A hashed wheel, Varghese and Lauck 1987, with lazy re-insertion.)

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How coarse deadlines are.
pub const TICK: Duration = Duration::from_millis(20);
/// Ticks that may be missed and made up for.
const LAG_MAX: u64 = 5;
const TICKS_PER_SECOND: u64 = 1_000_000_000 / TICK.subsec_nanos() as u64;
/// One lap is 20 s; whatever is further away is looked at once a lap.
const SLOTS: usize = 1024;

const NONE: u32 = u32::MAX;
const OFF: u64 = u64::MAX;

struct Entry {
    /// In ticks; `OFF`: no deadline.
    deadline: u64,
    /// The tick at which the wheel looks at this entry next; `OFF`: it is in no slot.
    queued: u64,
    before: u32,
    after: u32,
    waker: Option<Waker>,
}

struct Wheel {
    began: Instant,
    /// Ticks since `began`, all of them looked at.
    now: u64,
    slots: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
}

thread_local! {
    static WHEEL: RefCell<Wheel> = RefCell::new(Wheel {
        began: Instant::now(),
        now: 0,
        slots: vec![NONE; SLOTS],
        entries: Vec::new(),
        free: Vec::new(),
    });
}

impl Wheel {
    fn link(&mut self, at: u32, tick: u64) {
        let slot = (tick % SLOTS as u64) as usize;
        let head = self.slots[slot];
        let entry = &mut self.entries[at as usize];
        (entry.queued, entry.before, entry.after) = (tick, NONE, head);
        if head != NONE {
            self.entries[head as usize].before = at;
        }
        self.slots[slot] = at;
    }

    fn unlink(&mut self, at: u32) {
        let Entry { queued, before, after, .. } = self.entries[at as usize];
        if queued == OFF {
            return;
        }
        if before == NONE {
            self.slots[(queued % SLOTS as u64) as usize] = after;
        } else {
            self.entries[before as usize].after = after;
        }
        if after != NONE {
            self.entries[after as usize].before = before;
        }
        self.entries[at as usize].queued = OFF;
    }

    fn set(&mut self, at: u32, after: Duration) {
        // Two more: the present tick has partly passed, and rounding down must not make it early.
        let ticks =
            after.as_secs().saturating_mul(TICKS_PER_SECOND).saturating_add(2 + u64::from(after.subsec_nanos() / TICK.subsec_nanos()));
        let deadline = self.now.saturating_add(ticks).min(OFF - 1);
        let entry = &mut self.entries[at as usize];
        entry.deadline = deadline;
        if entry.queued > deadline {
            self.unlink(at);
            self.link(at, deadline);
        }
    }

    fn wait(&mut self, at: u32, cx: &mut Context<'_>) {
        let waker = &mut self.entries[at as usize].waker;
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Looks at all slots up to `tick`; hands out the wakers of those who are due.
    fn advance(&mut self, tick: u64, due: &mut Vec<Waker>) {
        // After a long stop one lap sees every entry.
        let from = self.now.max(tick.saturating_sub(SLOTS as u64));
        self.now = tick;
        for passing in from + 1..=tick {
            let mut at = self.slots[(passing % SLOTS as u64) as usize];
            while at != NONE {
                let next = self.entries[at as usize].after;
                if self.entries[at as usize].queued <= tick {
                    self.unlink(at);
                    let deadline = self.entries[at as usize].deadline;
                    if deadline <= tick {
                        due.extend(self.entries[at as usize].waker.take());
                    } else if deadline != OFF {
                        self.link(at, deadline);
                    }
                }
                at = next;
            }
        }
    }
}

/// Wakes those whose deadline has passed. Called by the thread's tick.
pub fn advance() {
    let mut due = Vec::new();
    WHEEL.with_borrow_mut(|wheel| {
        let mut tick = (wheel.began.elapsed().as_millis() / TICK.as_millis()) as u64;
        let lag = tick.saturating_sub(wheel.now + LAG_MAX);
        if lag > 0 {
            // The thread could not run. Deadlines that are set before this tick count from the last one: what nobody could use does
            // not count, or they would be met early.
            wheel.began += TICK.saturating_mul(u32::try_from(lag).unwrap_or(u32::MAX));
            tick -= lag;
        }
        if tick > wheel.now {
            wheel.advance(tick, &mut due);
        }
    });
    // Outside the borrow: a waker may run code that sets timers.
    due.into_iter().for_each(Waker::wake);
}

/// The wheel's idea of now, since some moment in the past: as coarse as a tick, and free of system calls.
pub fn now() -> Duration {
    WHEEL.with_borrow(|wheel| Duration::from_millis(wheel.now.saturating_mul(TICK.as_millis() as u64)))
}

/// Wakes everybody who waits with a timer, due or not: something that they all look at has changed.
pub fn wake_all() {
    let waiting: Vec<Waker> = WHEEL.with_borrow_mut(|wheel| wheel.entries.iter_mut().filter_map(|entry| entry.waker.take()).collect());
    waiting.into_iter().for_each(Waker::wake);
}

/// The time had run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// One deadline, set again and again. Belongs to its thread.
pub struct Timer {
    at: u32,
    // Indexes mean nothing on another thread.
    _local: std::marker::PhantomData<*const ()>,
}

impl Default for Timer {
    fn default() -> Timer {
        Timer::new()
    }
}

impl Timer {
    pub fn new() -> Timer {
        WHEEL.with_borrow_mut(|wheel| {
            let entry = Entry { deadline: OFF, queued: OFF, before: NONE, after: NONE, waker: None };
            let at = match wheel.free.pop() {
                Some(at) => {
                    wheel.entries[at as usize] = entry;
                    at
                }
                None => {
                    wheel.entries.push(entry);
                    (wheel.entries.len() - 1) as u32
                }
            };
            Timer { at, _local: std::marker::PhantomData }
        })
    }

    /// The deadline is `after` from now, in place of any before.
    pub fn set(&self, after: Duration) {
        WHEEL.with_borrow_mut(|wheel| wheel.set(self.at, after));
    }

    /// `set` for somebody who begins to wait: wakes the task once the deadline has passed.
    pub fn set_and_wait(&self, after: Duration, cx: &mut Context<'_>) {
        WHEEL.with_borrow_mut(|wheel| {
            wheel.set(self.at, after);
            wheel.wait(self.at, cx);
        });
    }

    pub fn clear(&self) {
        WHEEL.with_borrow_mut(|wheel| wheel.entries[self.at as usize].deadline = OFF);
    }

    /// Ready once the deadline has passed; without one, never.
    pub fn poll_elapsed(&self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        WHEEL.with_borrow_mut(|wheel| {
            if wheel.entries[self.at as usize].deadline <= wheel.now {
                return Poll::Ready(Elapsed);
            }
            wheel.wait(self.at, cx);
            Poll::Pending
        })
    }

    /// Waits for `work`, but no longer than `most`.
    pub async fn limit<T>(&self, most: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        self.limit_to(Some(most), work).await
    }

    /// The same; `None`: until the deadline that is set already.
    pub async fn limit_to<T>(&self, mut most: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if let Some(most) = most.take() {
                self.set_and_wait(most, cx);
                return Poll::Pending;
            }
            self.poll_elapsed(cx).map(Err)
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // The thread may be ending, its wheel gone already.
        let _ = WHEEL.try_with(|wheel| {
            let wheel = &mut *wheel.borrow_mut();
            wheel.unlink(self.at);
            wheel.entries[self.at as usize].waker = None;
            wheel.free.push(self.at);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Runs on a thread of its own paused clock, with the wheel turning.
    fn with_wheel<F: Future>(test: impl FnOnce() -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            tokio::task::spawn_local(crate::io::tick());
            test().await;
        });
    }

    #[test]
    fn a_deadline_is_met_late_by_two_ticks_at_most_and_never_early() {
        with_wheel(|| async {
            for wait_ms in [1, 20, 999, 20_480, 75_000, 3_600_000] {
                let wait = Duration::from_millis(wait_ms);
                let timer = Timer::new();
                let began = Instant::now();
                assert_eq!(timer.limit(wait, pending::<()>()).await, Err(Elapsed));
                let took = began.elapsed();
                assert!(took >= wait && took <= wait + 3 * TICK, "{wait:?} took {took:?}");
            }
        });
    }

    #[test]
    fn a_deadline_moved_later_or_earlier_counts_from_the_last_call() {
        with_wheel(|| async {
            let (later, earlier) = (Timer::new(), Timer::new());
            later.set(Duration::from_secs(1));
            later.set(Duration::from_secs(5));
            earlier.set(Duration::from_secs(60));
            earlier.set(Duration::from_secs(2));
            let began = Instant::now();
            poll_fn(|cx| earlier.poll_elapsed(cx)).await;
            assert!(began.elapsed() < Duration::from_millis(2100));
            poll_fn(|cx| later.poll_elapsed(cx)).await;
            assert!(began.elapsed() >= Duration::from_secs(5));
        });
    }

    #[test]
    fn a_cleared_or_dropped_timer_wakes_nobody_and_its_place_is_used_again() {
        with_wheel(|| async {
            let cleared = Timer::new();
            cleared.set(Duration::from_secs(1));
            cleared.clear();
            let dropped = Timer::new();
            dropped.set(Duration::from_secs(1));
            let at = dropped.at;
            drop(dropped);
            let again = Timer::new();
            assert_eq!(again.at, at);
            tokio::time::sleep(Duration::from_secs(3)).await;
            poll_fn(|cx| {
                assert!(cleared.poll_elapsed(cx).is_pending());
                assert!(again.poll_elapsed(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
    }
}
