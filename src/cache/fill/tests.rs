use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use super::*;
use crate::cache::policy::{Terms, Vary};
use crate::message::Version;

fn opened() -> Opened {
    let terms = Terms::fresh(Duration::from_secs(9));
    let admitted = Admitted { terms, vary: Vary::default(), withheld: Vec::new() };
    Opened { head: Head::response(200, b"", Version::Http11), admitted, variant: Vec::new(), length: Length::Unknown }
}

fn fill() -> Arc<Fill> {
    Arc::new(Fill::new(Instant::now(), true))
}

fn quiet() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What is there, and how it stands then.
fn drain(body: &mut Body) -> (usize, Poll<Result<bool, Failure>>) {
    let mut read = 0;
    loop {
        match body.poll_fill(&mut quiet()) {
            Poll::Ready(Ok(true)) => {
                read += body.data().len();
                body.consume(body.data().len());
            }
            other => return (read, other),
        }
    }
}

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn readers_follow_the_growth_each_at_its_own_pace() {
    let fill = fill();
    fill.open(opened());
    let mut first = fill.reader().expect("open");
    fill.pour(Bytes::from_static(b"one"));
    assert_eq!(drain(&mut first), (3, Poll::Pending));
    fill.pour(Bytes::from_static(b"three"));
    let mut late = fill.reader().expect("still whole");
    assert_eq!(drain(&mut late), (8, Poll::Pending));
    fill.end(Ok(()));
    assert_eq!(drain(&mut first), (5, Poll::Ready(Ok(false))));
    assert_eq!(drain(&mut late), (0, Poll::Ready(Ok(false))));
    assert_eq!(fill.reader().expect("whole").length(), Length::Exact(8));
}

#[test]
fn a_cut_is_a_cut_for_everybody() {
    let fill = fill();
    fill.open(opened());
    let mut reader = fill.reader().expect("open");
    fill.pour(Bytes::from_static(b"half"));
    fill.end(Err(Failure::ResponseTruncated));
    assert_eq!(drain(&mut reader), (4, Poll::Ready(Err(Failure::ResponseTruncated))));
}

#[test]
fn those_who_wait_are_woken_once_at_each_change() {
    let (fill, count) = (fill(), Arc::new(Counted(AtomicUsize::new(0))));
    let waker = Waker::from(count.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(fill.poll_seen(cx).is_pending());
    fill.open(opened());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let mut reader = fill.reader().expect("open");
    for _ in 0..5 {
        assert!(reader.poll_fill(cx).is_pending());
    }
    fill.pour(Bytes::from_static(b"x"));
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_not_kept_waits_for_the_slowest_and_for_nobody_who_left() {
    let fill = fill();
    fill.open(opened());
    let (mut quick, mut slow) = (fill.reader().expect("open"), fill.reader().expect("open"));
    fill.narrow();
    let piece = || Bytes::from(vec![0; (WINDOW_BYTES / 2) as usize]);
    fill.pour(piece());
    fill.pour(piece());
    assert_eq!(drain(&mut quick).0, WINDOW_BYTES as usize);
    assert!(fill.poll_room(&mut quiet()).is_pending());
    assert!(slow.poll_fill(&mut quiet()).is_ready());
    assert_eq!(fill.poll_room(&mut quiet()), Poll::Ready(Flow::Go));
    assert!(fill.reader().is_none(), "the beginning is gone");
    fill.pour(piece());
    assert!(fill.poll_room(&mut quiet()).is_pending());
    drop(slow);
    assert_eq!(drain(&mut quick).0, (WINDOW_BYTES / 2) as usize);
    assert_eq!(fill.poll_room(&mut quiet()), Poll::Ready(Flow::Go));
    drop(quick);
    assert_eq!(fill.poll_room(&mut quiet()), Poll::Ready(Flow::Stop));
}
