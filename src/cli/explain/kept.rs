//! `tidegate explain --cache URL`: what a running proxy keeps under a URL, and why.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::Outcome;
use crate::admin::KeptQuery;
use crate::cli::args::Explain;
use crate::cli::client;
use crate::cli::console::Console;
use crate::cli::{status, verbs};

/// The admin answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// Success: something is kept.
pub(super) fn explain(url: &str, asked: &Explain, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let answer = client::send(asked.at.admin, KeptQuery::PATH, &json!({ "url": url }).to_string(), PATIENCE)?;
    if !answer.is_success() {
        return verbs::show(&verbs::report(&answer, asked.at.admin)?, console);
    }
    let said: Value =
        serde_json::from_str(&answer.body).with_context(|| format!("what the admin at {} says is not JSON", asked.at.admin))?;
    match asked.json {
        true => writeln!(console.out, "{}", answer.body.trim_end())?,
        false => {
            let text = status::shown(&said, console.out.colour);
            console.out.write_all(text.as_bytes())?;
        }
    }
    Ok(if said["stored"] == json!(true) { Outcome::Success } else { Outcome::Failure })
}
