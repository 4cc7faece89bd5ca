//! Whether this process wants traffic: what `/ready` says to a load balancer in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// A process goes through these once, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Not every listener is bound yet.
    Starting,
    Ready,
    /// Told to end: everything is still served, but nothing new should come.
    Draining,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Starting => "starting",
            Stage::Ready => "ready",
            Stage::Draining => "draining",
        }
    }
}

/// The stage, shared. Begins as `Starting`.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Draining,
        }
    }

    /// Goes on to this stage; never back, so that a start that finishes late does not undo a drain.
    pub fn advance(&self, to: Stage) {
        self.0.fetch_max(to as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_not_undone_by_a_late_start() {
        let readiness = Readiness::default();
        assert_eq!(readiness.stage(), Stage::Starting);
        readiness.advance(Stage::Draining);
        readiness.advance(Stage::Ready);
        assert_eq!(readiness.stage(), Stage::Draining);
    }
}
