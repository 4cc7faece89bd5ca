//! Who wakes a connection's task, and when that is not needed.
//!
//! A stream that writes wakes its connection, as if that ran in another task. Here it is the same task, which will look anyway: such a
//! word is noted and costs nothing, where a wake would cost another turn of the runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Stir {
    /// The task is running, and looks at `stirred` before it stops.
    running: AtomicBool,
    stirred: AtomicBool,
    /// The task's own.
    task: Mutex<Option<Waker>>,
}

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, and the other one in `run`: from whichever thread the word comes, one of both sees it.
        self.stirred.store(true, Ordering::SeqCst);
        if !self.running.load(Ordering::SeqCst)
            && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

/// The waker of everything that one task drives.
pub struct Turn {
    stir: Arc<Stir>,
    waker: Waker,
}

/// Turns that a task may take before others get theirs.
const TURNS_MAX: usize = 32;

impl Turn {
    pub fn new() -> Turn {
        let stir = Arc::new(Stir::default());
        Turn { waker: stir.clone().into(), stir }
    }

    /// Calls `look` until nothing has stirred since it began, or it is ready.
    pub fn run<T>(&self, cx: &Context<'_>, mut look: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let mut task = self.stir.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        self.stir.running.store(true, Ordering::SeqCst);
        let mut polled = Poll::Pending;
        for _ in 0..TURNS_MAX {
            self.stir.stirred.store(false, Ordering::SeqCst);
            polled = look(&mut Context::from_waker(&self.waker));
            if polled.is_ready() || !self.stir.stirred.load(Ordering::SeqCst) {
                break;
            }
        }
        self.stir.running.store(false, Ordering::SeqCst);
        if polled.is_pending() && self.stir.stirred.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_word_from_within_is_another_look_and_one_from_without_is_a_wake() {
        let count = Arc::new(Count::default());
        let waker = count.clone().into();
        let cx = Context::from_waker(&waker);
        let (turn, mut looks, mut kept) = (Turn::new(), 0, None);
        let polled: Poll<()> = turn.run(&cx, |cx| {
            looks += 1;
            kept = Some(cx.waker().clone());
            if looks < 3 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((looks, count.0.load(Ordering::SeqCst)), (3, 0));
        kept.expect("it was called").wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_stirs_without_end_lets_others_run() {
        let count = Arc::new(Count::default());
        let waker = count.clone().into();
        let polled: Poll<()> = Turn::new().run(&Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
