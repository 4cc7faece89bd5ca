//! `tidegate warm`: has a running proxy fetch URLs into its caches, and waits until it is done.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use super::Outcome;
use super::args::Warm;
use super::client;
use super::console::Console;
use crate::admin::{VerbReport, WarmOrder, WarmReport};
use crate::config::urls;

/// The admin answers from memory.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// After so many looks there is a line.
const LOOKS_PER_LINE: usize = 20;

pub(super) fn warm(warm: &Warm, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let mut all = Vec::new();
    for what in &warm.what {
        if what.contains("://") {
            all.push(urls::parse(what).ok_or_else(|| anyhow!("`{what}` is not a URL"))?);
        } else {
            let text = fs::read_to_string(what).with_context(|| format!("the list of URLs `{what}` can not be read"))?;
            all.extend(urls::list(&text).map_err(|problem| anyhow!("{what}: {problem}"))?);
        }
    }
    let written: Vec<String> = all.iter().map(ToString::to_string).collect();
    let order = json!({ "urls": written, "at_once": warm.at_once });
    let answer = client::send(warm.at.admin, WarmOrder::PATH, &order.to_string(), PATIENCE)?;
    match serde_json::from_str::<VerbReport>(&answer.body) {
        Ok(said) if said.ok => {}
        Ok(said) => {
            writeln!(console.err, "{}", said.report)?;
            return Ok(Outcome::Failure);
        }
        Err(_) => bail!("the admin at {} did not do it ({}): {}", warm.at.admin, answer.status, answer.body.trim()),
    }
    let mut looks = 0usize;
    loop {
        let answer = client::ask(warm.at.admin, "GET", WarmOrder::PATH, PATIENCE)?;
        let WarmReport { total, answered, failed, over } =
            serde_json::from_str(&answer.body).with_context(|| format!("what the admin at {} says is not JSON", warm.at.admin))?;
        if over {
            writeln!(console.out, "warmed: {answered} of {total} URLs, {failed} failed")?;
            return Ok(if failed == 0 { Outcome::Success } else { Outcome::Failure });
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_LINE) {
            writeln!(console.err, "{} of {total} URLs", answered + failed)?;
        }
        #[expect(clippy::disallowed_methods, reason = "a command serves nobody")]
        thread::sleep(LOOK);
    }
}
