//! `tidegate warm`: has a running proxy fetch URLs into its caches, and waits until it is done.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::Outcome;
use super::args::Warm;
use super::client;
use super::console::Console;
use super::verbs;
use crate::admin::{WarmMiss, WarmOrder, WarmReport};
use crate::config::urls::{self, URLS_MAX};

/// The admin answers from memory.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// After so many looks there is a line.
const LOOKS_PER_LINE: usize = 20;

pub(super) fn warm(warm: &Warm, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    if warm.stop {
        let answer = client::ask(warm.at.admin, "DELETE", WarmOrder::PATH, PATIENCE)?;
        return verbs::show(&verbs::report(&answer, warm.at.admin)?, console);
    }
    let mut all = Vec::new();
    for what in &warm.what {
        if what.contains("://") {
            all.push(urls::parse(what).ok_or_else(|| anyhow!("`{what}` is not a URL"))?);
            continue;
        }
        let listed = urls::read(Path::new(what)).with_context(|| format!("the list of URLs `{what}`"))?;
        if let Some(first) = listed.wrong_first {
            writeln!(console.err, "{what}: {} left out that are no URLs; the first is `{first}`", listed.wrong)?;
        }
        if listed.is_cut {
            writeln!(console.err, "{what}: longer than {URLS_MAX} URLs; the rest is left out")?;
        }
        all.extend(listed.urls);
    }
    let written: Vec<String> = all.iter().map(ToString::to_string).collect();
    let order = json!({ "urls": written, "at_once": warm.at_once });
    let answer = client::send(warm.at.admin, WarmOrder::PATH, &order.to_string(), PATIENCE)?;
    let said = verbs::report(&answer, warm.at.admin)?;
    if !said.ok {
        return verbs::show(&said, console);
    }
    let mut looks = 0usize;
    loop {
        let answer = client::ask(warm.at.admin, "GET", WarmOrder::PATH, PATIENCE)?;
        let WarmReport { total, answered, failed, over, stopped, misses } =
            serde_json::from_str(&answer.body).with_context(|| format!("what the admin at {} says is not JSON", warm.at.admin))?;
        if over {
            for WarmMiss { url, why } in &misses {
                writeln!(console.err, "{url}: {why}")?;
            }
            writeln!(console.out, "warmed: {answered} of {total} URLs, {failed} failed{}", if stopped { "; broken off" } else { "" })?;
            return Ok(if answered == total { Outcome::Success } else { Outcome::Failure });
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_LINE) {
            writeln!(console.err, "{} of {total} URLs", answered + failed)?;
        }
        #[expect(clippy::disallowed_methods, reason = "a command serves nobody")]
        thread::sleep(LOOK);
    }
}
