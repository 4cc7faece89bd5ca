//! One fetch for all who want the same answer: who leads it pours it in, and everybody reads it while it grows, on any thread.
//!
//! Up to the head nobody knows whether the answer may be shared. Then it is *open*: its pieces are there for all readers, each at
//! its own pace; or it is *settled*: the kept answer holds, or everybody is let go at once to ask for himself, or the origin failed and
//! one of those who wait is to ask next. A leader that is dropped settles it so too. Readers never hold up the leader, but for answers that have turned out too large to be kept: these become a
//! window of `WINDOW_BYTES` at the pace of the slowest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes};

use super::object::Object;
use super::policy::Admitted;
use crate::failure::Failure;
use crate::message::{Body, Frame, Head, Length, Source};

/// Of an answer that is not kept, what is held for its readers.
pub const WINDOW_BYTES: u64 = 1 << 20;

pub struct Fill {
    pub began: Instant,
    shared: Mutex<Shared>,
}

struct Shared {
    stage: Stage,
    /// Woken at each change.
    waiting: Vec<Waker>,
    pieces: VecDeque<Bytes>,
    /// Pieces that all readers are past, and which are gone.
    passed: usize,
    /// Bytes poured in so far, and of these gone.
    poured: u64,
    dropped: u64,
    /// Where each reader is, in pieces; `None`: it has left.
    readers: Vec<Option<usize>>,
    /// It will not be kept: readers have to keep pace.
    window: bool,
    leader: Option<Waker>,
    end: Option<Result<(), Failure>>,
    /// What was asked for before may be out of date: not to be kept.
    tainted: bool,
    /// Others may wait for it.
    shared: bool,
}

#[derive(Clone)]
enum Stage {
    Asked,
    Open(Arc<Opened>),
    Settled(Settled),
}

/// An answer that may be shared, up to its head.
pub struct Opened {
    pub head: Head,
    pub admitted: Admitted,
    /// What the leader's request has of the fields that the answer varies on.
    pub variant: Vec<u8>,
    pub length: Length,
}

/// How it ended without a content to share.
#[derive(Clone)]
pub enum Settled {
    /// What is kept may be used: the origin has confirmed it, or can not be asked.
    Kept(Arc<Object>),
    /// Everybody asks for himself.
    Released,
    /// The origin could not be asked, or (`None`) answered that it fails: one who waits asks next, and the others go on waiting.
    Failed(Option<Failure>),
}

/// What those who wait learn.
pub enum Seen {
    Open(Arc<Opened>),
    Settled(Settled),
}

/// Whether the leader may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Go,
    /// Nobody reads any more, and it is not kept.
    Stop,
}

impl Fill {
    /// `shared`: others may wait for it.
    pub fn new(now: Instant, shared: bool) -> Fill {
        let shared = Shared {
            stage: Stage::Asked,
            waiting: Vec::new(),
            pieces: VecDeque::new(),
            passed: 0,
            poured: 0,
            dropped: 0,
            readers: Vec::new(),
            window: false,
            leader: None,
            end: None,
            tainted: false,
            shared,
        };
        Fill { began: now, shared: Mutex::new(shared) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing is left half changed by a panic: each change is one assignment or one push.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once it is known whether the answer can be shared.
    pub fn poll_seen(&self, cx: &mut Context<'_>) -> Poll<Seen> {
        let mut shared = self.shared();
        match &shared.stage {
            Stage::Asked => {
                shared.wait(cx);
                Poll::Pending
            }
            Stage::Open(opened) => Poll::Ready(Seen::Open(opened.clone())),
            Stage::Settled(settled) => Poll::Ready(Seen::Settled(settled.clone())),
        }
    }

    /// The content from its beginning; `None`: it is gone already.
    pub fn reader(self: &Arc<Self>) -> Option<Body> {
        let mut shared = self.shared();
        let Stage::Open(opened) = &shared.stage else { return None };
        let known = match (&shared.end, opened.length) {
            (Some(Ok(())), _) => Length::Exact(shared.poured),
            (_, length) => length,
        };
        if shared.passed > 0 {
            return None;
        }
        let seat = shared.readers.len();
        shared.readers.push(Some(0));
        drop(shared);
        let reader = Reader { fill: self.clone(), seat, next: 0, piece: Bytes::new(), read: 0, length: known, woken_by: None };
        Some(Body::source(Box::new(reader)))
    }

    // ---- the leader's side

    pub fn open(&self, opened: Opened) {
        self.change(|shared| shared.stage = Stage::Open(Arc::new(opened)));
    }

    pub fn settle(&self, settled: Settled) {
        self.change(|shared| shared.stage = Stage::Settled(settled));
    }

    pub fn pour(&self, piece: Bytes) {
        self.change(|shared| {
            shared.poured += piece.len() as u64;
            shared.pieces.push_back(piece);
        });
    }

    pub fn end(&self, how: Result<(), Failure>) {
        self.change(|shared| {
            shared.end.get_or_insert(how);
        });
    }

    /// From now on it is not kept, and readers have to keep pace.
    pub fn narrow(&self) {
        let mut shared = self.shared();
        shared.window = true;
        shared.drop_passed();
    }

    /// Ready when there is room for more.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Flow> {
        let mut shared = self.shared();
        if !shared.window {
            return Poll::Ready(Flow::Go);
        }
        shared.drop_passed();
        if shared.readers.iter().all(Option::is_none) {
            return Poll::Ready(Flow::Stop);
        }
        if shared.poured - shared.dropped < WINDOW_BYTES {
            return Poll::Ready(Flow::Go);
        }
        shared.leader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What was poured in, to be kept.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.shared().pieces.iter().cloned().collect()
    }

    pub fn takes_waiters(&self) -> bool {
        self.shared().shared
    }

    /// Nobody joins it any more.
    pub fn close(&self) {
        self.shared().shared = false;
    }

    pub fn is_narrow(&self) -> bool {
        self.shared().window
    }

    pub fn poured(&self) -> u64 {
        self.shared().poured
    }

    /// Something was purged that this may be: it is not kept, and who comes from now on gets something newer.
    pub fn taint(&self) {
        let shared = &mut *self.shared();
        shared.tainted = true;
        shared.shared = false;
    }

    pub fn is_tainted(&self) -> bool {
        self.shared().tainted
    }

    /// What is known of the answer so far.
    pub fn opened(&self) -> Option<Arc<Opened>> {
        match &self.shared().stage {
            Stage::Open(opened) => Some(opened.clone()),
            _ => None,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let woken = {
            let mut shared = self.shared();
            change(&mut shared);
            std::mem::take(&mut shared.waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    fn wait(&mut self, cx: &Context<'_>) {
        self.waiting.push(cx.waker().clone());
    }

    /// Lets go of what all readers are past, where it is not to be kept.
    fn drop_passed(&mut self) {
        let slowest = self.readers.iter().flatten().min().copied().unwrap_or(self.passed + self.pieces.len());
        while self.window && self.passed < slowest {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.dropped += piece.len() as u64;
            self.passed += 1;
        }
    }

    fn wake_leader(&mut self) {
        self.drop_passed();
        if let Some(leader) = self.leader.take() {
            leader.wake();
        }
    }
}

/// One of those who read it as it grows.
struct Reader {
    fill: Arc<Fill>,
    /// Its place among the readers.
    seat: usize,
    /// The piece behind the one at hand.
    next: usize,
    piece: Bytes,
    /// Bytes consumed.
    read: u64,
    length: Length,
    /// Who waits in its name already, at how many pieces: nobody needs to wait twice.
    woken_by: Option<(Waker, usize)>,
}

impl Reader {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let mut shared = self.fill.shared();
        if let Some(piece) = shared.pieces.get(self.next - shared.passed) {
            self.piece = piece.clone();
            self.next += 1;
            let (seat, next) = (self.seat, self.next);
            shared.readers[seat] = Some(next);
            if shared.window {
                shared.wake_leader();
            }
            return Poll::Ready(Ok(true));
        }
        match shared.end {
            Some(Ok(())) => Poll::Ready(Ok(false)),
            Some(Err(failure)) => Poll::Ready(Err(failure)),
            None => {
                let waits = self.woken_by.as_ref().is_some_and(|(waker, at)| *at == self.next && waker.will_wake(cx.waker()));
                if !waits {
                    shared.wait(cx);
                    self.woken_by = Some((cx.waker().clone(), self.next));
                }
                Poll::Pending
            }
        }
    }
}

impl Source for Reader {
    fn length(&self) -> Length {
        match self.length {
            Length::Exact(whole) => Length::Exact(whole - self.read),
            Length::Unknown => Length::Unknown,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        self.poll_piece(cx)
    }

    fn data(&self) -> &[u8] {
        &self.piece
    }

    fn consume(&mut self, n: usize) {
        self.read += n as u64;
        self.piece.advance(n);
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        self.poll_piece(cx).map(|filled| match filled {
            Ok(true) => {
                self.read += self.piece.len() as u64;
                Some(Ok(Frame::Data(std::mem::take(&mut self.piece))))
            }
            Ok(false) => None,
            Err(failure) => Some(Err(failure)),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut shared = self.fill.shared();
        shared.readers[self.seat] = None;
        if shared.window {
            shared.wake_leader();
        }
    }
}

#[cfg(test)]
mod tests;
