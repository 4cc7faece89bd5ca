//! Signals as a stream of events, so that one loop decides what a running proxy does next.
//!
//! SIGTERM and SIGINT mean the same thing: an orchestrator sends the one, a person at a terminal the other. The first asks for a
//! drain, and whoever sends a second does not want to wait for it. SIGPIPE needs no handler: Rust's runtime ignores it before
//! `main`, and a write to a closed pipe is an error like any other.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the process was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Finish what runs, start nothing new (SIGTERM or SIGINT).
    Drain,
    /// End at once (SIGTERM or SIGINT again).
    End,
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Open the access log file again: it was moved away (SIGUSR1).
    ReopenLogs,
}

/// The handlers of this process. From `install` on, none of the four signals ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    draining: bool,
}

impl Signals {
    /// Needs a tokio runtime with its IO driver on. A signal sent from here on is kept until `next` is called.
    pub fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            draining: false,
        })
    }

    /// The next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        // `recv` yields `None` only when its driver has gone, and then this future is not polled either.
        tokio::select! {
            // In this order: whoever wants an end is not kept waiting by a flood of reloads.
            biased;
            _ = self.terminate.recv() => self.asked_to_end(),
            _ = self.interrupt.recv() => self.asked_to_end(),
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user1.recv() => Event::ReopenLogs,
        }
    }

    fn asked_to_end(&mut self) -> Event {
        if std::mem::replace(&mut self.draining, true) { Event::End } else { Event::Drain }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Unix, raise};

    use super::*;

    // One test for all: handlers belong to the process, and two tests would read each other's signals.
    #[tokio::test]
    async fn each_signal_becomes_its_event_and_a_second_end_is_at_once() {
        let mut signals = Signals::install().unwrap();
        for (sent, expected) in [
            (Unix::SIGHUP, Event::Reload),
            (Unix::SIGUSR1, Event::ReopenLogs),
            (Unix::SIGTERM, Event::Drain),
            (Unix::SIGHUP, Event::Reload),
            (Unix::SIGINT, Event::End),
            (Unix::SIGTERM, Event::End),
        ] {
            raise(sent).unwrap();
            assert_eq!(signals.next().await, expected, "after {sent}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_closed_pipe_does_not_end_the_process() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        assert_ne!(ignored & (1 << (Unix::SIGPIPE as u64 - 1)), 0, "SIGPIPE is not ignored: {ignored:x}");
    }
}
