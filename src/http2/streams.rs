//! The streams that run on a connection: futures of one kind, each in a place that is used again.
//!
//! What a request needs from its head to its answer's last byte is some kilobytes, more than an allocator has at hand; a place that has
//! become free costs nothing. A busy connection keeps a few, an idle one hardly any.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Free places that are kept while others run, and when none does.
const FREE_MAX: usize = 32;
const FREE_MAX_IDLE: usize = 2;

type Place<F> = Pin<Box<Option<F>>>;

pub struct Streams<F> {
    running: FuturesUnordered<Running<F>>,
    free: Vec<Place<F>>,
}

impl<F: Future<Output = ()>> Streams<F> {
    pub fn new() -> Streams<F> {
        Streams { running: FuturesUnordered::new(), free: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins with the next `poll`.
    pub fn push(&mut self, stream: F) {
        let mut place = self.free.pop().unwrap_or_else(|| Box::pin(None));
        place.set(Some(stream));
        self.running.push(Running(Some(place)));
    }

    /// Goes on with all that were woken.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(place)) = self.running.poll_next_unpin(cx) {
            if self.free.len() < FREE_MAX {
                self.free.push(place);
            }
        }
        if self.running.is_empty() {
            self.free.truncate(FREE_MAX_IDLE);
        }
    }
}

/// One that runs, and the place that it leaves when it has ended.
struct Running<F>(Option<Place<F>>);

impl<F: Future<Output = ()>> Future for Running<F> {
    type Output = Place<F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place<F>> {
        let place = self.0.as_mut().expect("it is polled until it has ended");
        let stream = place.as_mut().as_pin_mut().expect("a place that runs is taken");
        ready!(stream.poll(cx));
        let mut place = self.0.take().expect("as above");
        place.set(None);
        Poll::Ready(place)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    #[test]
    fn places_are_used_again_and_what_was_in_them_is_gone() {
        let done = Rc::new(Cell::new(0));
        let stream = || {
            let (done, mut turns) = (done.clone(), 3);
            poll_fn(move |cx| {
                turns -= 1;
                if turns > 0 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                done.set(done.get() + 1);
                Poll::Ready(())
            })
        };
        let mut streams = Streams::new();
        let cx = &mut Context::from_waker(Waker::noop());
        for round in 1..=3 {
            (0..100).for_each(|_| streams.push(stream()));
            assert_eq!(Rc::strong_count(&done), 101, "each holds what it has");
            // It lets others run in between when so many wake themselves.
            (0..1000).for_each(|_| streams.poll(cx));
            assert_eq!((done.get(), Rc::strong_count(&done), streams.is_empty()), (100 * round, 1, true));
            assert_eq!(streams.free.len(), FREE_MAX_IDLE);
        }
        assert!(streams.free.iter().all(|place| place.is_none()));
    }
}
