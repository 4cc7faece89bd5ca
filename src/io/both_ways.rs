//! Bytes in both directions, until both ends have finished: what an upgraded connection is, whatever its ends are made of.
//!
//! Each direction reads only when all it read was written, so that a slow end slows the other. An end that finishes is passed on as a
//! half-close. An end that breaks takes nothing any more, but what it had said before is still delivered; what is said to it meanwhile
//! is thrown away. Silence for too long closes both.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Timer;
use crate::failure::Failure;

/// How long an end is still listened to when there is nothing more to tell it: closing at once, with its bytes unread, makes the
/// kernel send a reset, which can overtake the last of what it was told.
const LINGER: Duration = Duration::from_secs(2);

/// Where a direction is on its way to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Reading,
    /// The reader has finished; what is buffered goes out, then the half-close.
    Ending,
    Ended,
    /// The writer is broken: what still comes is thrown away.
    Discarding,
}

impl State {
    /// Nothing more will be read.
    pub fn finish(&mut self) {
        *self = if *self == State::Reading { State::Ending } else { State::Ended };
    }

    /// Nobody is left to write to, nor to tell of an end. `true`: that is news.
    pub fn discard(&mut self) -> bool {
        let next = match self {
            State::Reading | State::Discarding => State::Discarding,
            State::Ending | State::Ended => State::Ended,
        };
        std::mem::replace(self, next) != next
    }
}

/// What a poll achieved.
#[derive(Default)]
pub struct Moved {
    pub bytes: u64,
    pub any: bool,
}

/// One direction.
pub trait Way {
    /// Ready once nothing more will come this way.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()>;

    fn state(&self) -> State;

    /// The reader broke, rather than finished.
    fn is_cut(&self) -> bool;

    /// Nobody is left to write to; what is held goes. `true`: that is news.
    fn discard(&mut self) -> bool;
}

/// Until both have ended. `idle`: without a byte either way. `sent`: told how much went down.
pub async fn drive(
    up: &mut impl Way,
    down: &mut impl Way,
    timer: &Timer,
    idle: Duration,
    mut sent: impl FnMut(u64),
) -> Result<(), Failure> {
    timer.set(idle);
    let mut broken = false;
    let mut lingering = false;
    poll_fn(|cx| {
        loop {
            let (mut went_up, mut went_down) = (Moved::default(), Moved::default());
            let over = (up.poll(cx, &mut went_up).is_ready(), down.poll(cx, &mut went_down).is_ready());
            sent(went_down.bytes);
            if (went_up.any || went_down.any) && !lingering {
                timer.set(idle);
            }
            // Who can not be read can not be written to either.
            if (up.is_cut() && down.discard()) || (down.is_cut() && up.discard()) {
                continue;
            }
            let discards = [up.state(), down.state()].map(|state| state == State::Discarding);
            broken |= up.is_cut() || down.is_cut() || discards.contains(&true);
            match over {
                (true, true) if broken => return Poll::Ready(Err(Failure::TunnelBroken)),
                (true, true) => return Poll::Ready(Ok(())),
                (up_over, down_over) => {
                    let only_listens = (up_over && discards[1]) || (down_over && discards[0]);
                    if only_listens && !lingering {
                        timer.set(LINGER);
                        lingering = true;
                    }
                }
            }
            let failure = if lingering { Failure::TunnelBroken } else { Failure::TunnelIdle };
            return timer.poll_elapsed(cx).map(|_| Err(failure));
        }
    })
    .await
}
