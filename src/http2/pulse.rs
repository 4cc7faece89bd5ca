//! Whether a backend is still there: asked by PING where it owes an answer and has been silent for a while.
//!
//! It bounds how long streams of a dead connection wait whose own time-outs are long. Not more pings than that takes: servers of gRPC
//! count those that come without content in between, and throw out who sends a third within five minutes of each other.

use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tracing::debug;

use super::client::Line;
use crate::io::{Timer, timer};

/// A backend that owes answers and has said nothing for so long is asked.
const SILENCE: Duration = Duration::from_secs(10);
/// It has so long to say anything at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one ping to the next where no answer has come in between.
const APART: Duration = Duration::from_secs(310);

pub struct Pulse {
    ping: Option<PingPong>,
    timer: Timer,
    /// What had been received when the timer was set; `None`: it is not set.
    since: Option<u64>,
    /// It was asked, and has said nothing.
    asked: bool,
    /// When it was asked last, and what had come of answers by then.
    last: Option<(Duration, u64)>,
}

impl Pulse {
    pub fn new(ping: Option<PingPong>) -> Pulse {
        Pulse { ping, timer: Timer::new(), since: None, asked: false, last: None }
    }

    /// Ready when nobody is there. To be polled whenever the connection was.
    pub(super) fn poll_dead(&mut self, line: &Line, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(ping) = &mut self.ping {
            // What it says does not matter, but there is no second ping before it is taken.
            let _ = ping.poll_pong(cx);
        }
        if line.streams.get() == 0 {
            (self.since, self.asked) = (None, false);
            self.timer.clear();
            return Poll::Pending;
        }
        let received = line.wire.received();
        if self.since != Some(received) {
            (self.since, self.asked) = (Some(received), false);
            self.timer.set(SILENCE);
        }
        while self.timer.poll_elapsed(cx).is_ready() {
            if self.asked && line.wire.is_waiting() {
                // The question may not have left yet. Who takes nothing has a deadline of the wire's own.
                self.timer.set(PATIENCE);
                continue;
            }
            if self.asked {
                debug!("a backend does not answer a ping: its connection is closed");
                return Poll::Ready(());
            }
            let wait = self.ask(line);
            self.timer.set(wait);
        }
        Poll::Pending
    }

    /// Until when there is nothing to do.
    fn ask(&mut self, line: &Line) -> Duration {
        let (now, answers) = (timer::now(), line.answers.get());
        if let Some((when, then)) = self.last
            && then == answers
            && let Some(left) = (when + APART).checked_sub(now)
        {
            return left;
        }
        match self.ping.as_mut().map(|ping| ping.send_ping(Ping::opaque())) {
            Some(Ok(())) => {
                (self.asked, self.last) = (true, Some((now, answers)));
                PATIENCE
            }
            _ => SILENCE,
        }
    }
}

#[cfg(test)]
mod tests;
