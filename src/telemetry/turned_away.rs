//! Connections that a listener closed before they had a request: counted by reason, and told in the log when that begins and in sum
//! when it has been over for a while. One a minute or ten thousand a second, the log has two lines.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use metrics::Counter;
use tracing::{info, warn};

use super::names;
use super::regime::Regime;
use super::registry::Exporter;
use crate::failure::Failure;

/// Of one listener, by name. A reason appears with its first connection.
pub struct TurnedAway {
    listener: String,
    exporter: Exporter,
    /// By `Failure::index`.
    reasons: Box<[OnceLock<Reason>; Failure::COUNT]>,
}

struct Reason {
    counter: Counter,
    spell: Regime,
}

impl TurnedAway {
    pub(super) fn new(listener: &str, exporter: &Exporter) -> TurnedAway {
        TurnedAway {
            listener: listener.to_owned(),
            exporter: exporter.clone(),
            reasons: Box::new(std::array::from_fn(|_| OnceLock::new())),
        }
    }

    /// `detail`: what the reason does not say.
    #[cold]
    pub fn count(&self, failure: Failure, peer: SocketAddr, detail: &dyn Display) {
        let reason = self.reasons[failure.index()].get_or_init(|| {
            let labels = [("listener", self.listener.as_str()), ("reason", failure.code())];
            Reason { counter: self.exporter.counter(names::TURNED_AWAY, &labels), spell: Regime::default() }
        });
        reason.counter.increment(1);
        if reason.spell.holds(Instant::now()) {
            warn!(listener = %self.listener, reason = failure.code(), %peer, %detail, "connections are turned away: this is the first");
        }
        reason.spell.count_one();
    }

    /// Once a second.
    pub(super) fn look_back(&self) {
        let now = Instant::now();
        for (reason, code) in self.reasons.iter().zip(Failure::CODES) {
            if let Some(past) = reason.get().and_then(|reason| reason.spell.take_over(now)) {
                info!(listener = %self.listener, reason = code, lasted = ?past.lasted, connections = past.count, "no more are turned away");
            }
        }
    }
}
