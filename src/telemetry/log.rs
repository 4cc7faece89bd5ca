//! The process log: what the process did and could not do, one line each, on standard error.
//!
//! Our own lines follow the configured level; the libraries' are shown from warnings up, whatever the level, because at `debug`
//! theirs would bury ours. A standard error that can not be written is ignored: a log must not end what it reports on.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::model::Level;

/// The log of this process. It lives as long as the process; this is the handle to its level.
#[derive(Clone)]
pub struct ProcessLog {
    filter: reload::Handle<Targets, Registry>,
}

/// Starts the log: compact text, with colours on a terminal only. Fails where the process has one already.
pub fn init(level: Level) -> Result<ProcessLog, TryInitError> {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer()
        .compact()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        // The layer would report a failed write to standard error by `eprintln!`, which panics there.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(ProcessLog { filter: handle })
}

impl ProcessLog {
    pub fn set_level(&self, level: Level) {
        // It fails only when the subscriber is gone, and with it every line that a level could hold back.
        let _ = self.filter.reload(targets(level));
    }
}

fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(env!("CARGO_CRATE_NAME"), level)
}

#[cfg(test)]
mod tests {
    use tracing::Level as Of;

    use super::*;

    #[test]
    fn our_lines_follow_the_level_and_the_libraries_stay_at_warnings() {
        for (level, ours, theirs) in [
            (Level::Error, Of::ERROR, Of::ERROR),
            (Level::Warn, Of::WARN, Of::WARN),
            (Level::Info, Of::INFO, Of::WARN),
            (Level::Trace, Of::TRACE, Of::WARN),
        ] {
            let targets = targets(level);
            for of in [Of::ERROR, Of::WARN, Of::INFO, Of::DEBUG, Of::TRACE] {
                assert_eq!(targets.would_enable("tidegate::proxy", &of), of <= ours, "{level:?}: ours at {of}");
                assert_eq!(targets.would_enable("hyper::proto", &of), of <= theirs, "{level:?}: theirs at {of}");
            }
        }
    }
}
