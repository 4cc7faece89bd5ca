//! Starting the proxy for a command, and telling a person why it did not start or did not end well.

use std::io::Write;

use anyhow::anyhow;

use super::Outcome;
use super::console::Console;
use crate::address::Address;
use crate::app;

pub(super) use app::Source;

/// Runs the proxy until it is told to end. `ready` is called once it has its addresses; `taken` says what to do about an address
/// that somebody else has.
pub(super) fn serve(
    source: Source,
    console: &mut Console<'_>,
    ready: impl FnOnce() + Send + 'static,
    taken: impl FnOnce(&Address) -> String,
) -> anyhow::Result<Outcome> {
    let Err(error) = app::run(app::Options { source, ready: Box::new(ready) }) else {
        return Ok(Outcome::Success);
    };
    match error {
        app::Error::Configuration(report) => {
            writeln!(console.err, "{}", report.render(console.err.colour))?;
            Ok(Outcome::Failure)
        }
        app::Error::AddressTaken { address, .. } => Err(anyhow!(taken(&address))),
        other => Err(other.into()),
    }
}
