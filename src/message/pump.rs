//! The rest of a request body, on its way to a backend in a task of its own: the answer may come, and stream, meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use super::body::Stop;
use crate::failure::Failure;

#[derive(Default)]
struct Progress {
    over: Cell<bool>,
    whole: Cell<bool>,
    failure: Cell<Option<Failure>>,
    waiting: Cell<Option<Waker>>,
}

/// The task. Dropping it stops it.
pub struct Pump {
    progress: Rc<Progress>,
    task: JoinHandle<()>,
}

impl Pump {
    /// `sends` owns the body: when it has ended, the client's connection has its buffer back.
    pub fn start(sends: impl Future<Output = Result<(), Stop>> + 'static) -> Pump {
        let progress = Rc::new(Progress::default());
        let seen = progress.clone();
        let task = tokio::task::spawn_local(async move {
            match sends.await {
                Ok(()) => seen.whole.set(true),
                Err(Stop::Body(failure)) => seen.failure.set(Some(failure)),
                Err(Stop::Elapsed) => seen.failure.set(Some(Failure::StallTimeout)),
                // The backend does not want the rest. Its answer, if there is one, says why.
                Err(Stop::Broken) => {}
            }
            seen.over.set(true);
            if let Some(waker) = seen.waiting.take() {
                waker.wake();
            }
        });
        Pump { progress, task }
    }

    /// Why the request can not be sent whole, where the backend is not the reason.
    pub fn failure(&self) -> Option<Failure> {
        self.progress.failure.get()
    }

    /// Whether the backend has been sent the whole request.
    pub fn is_whole(&self) -> bool {
        self.progress.whole.get()
    }

    /// Ready once nothing more will be sent.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.progress.over.get() {
            return Poll::Ready(());
        }
        self.progress.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}
