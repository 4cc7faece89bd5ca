//! `tidegate schema`: the keys of the configuration, for an editor or for a reader. Both are generated from the table that checks
//! them.

use std::io::Write;

use super::Outcome;
use super::args::Schema;
use super::console::Console;
use crate::config;

pub(super) fn schema(schema: &Schema, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let text = if schema.reference { config::reference() } else { config::schema() };
    writeln!(console.out, "{}", text.trim_end())?;
    Ok(Outcome::Success)
}
