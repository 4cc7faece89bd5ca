//! `tidegate drain`, `eject`, `resume` and `weight`: orders to one backend of a running proxy; `purge`: one to its caches.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::Outcome;
use super::args::{Drain, Eject, OneBackend, Purge, Resume, Weight};
use super::client;
use super::console::Console;
use crate::admin::VerbReport;

/// A table of ten thousand backends is built well within this.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn drain(drain: &Drain, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    tell(&drain.to, "/api/drain", drain.deadline.map(|deadline| ("deadline", json!(format!("{deadline:#}")))), console)
}

pub(super) fn eject(eject: &Eject, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    tell(&eject.to, "/api/eject", eject.r#for.map(|time| ("for", json!(format!("{time:#}")))), console)
}

pub(super) fn resume(resume: &Resume, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    tell(&resume.to, "/api/resume", None, console)
}

pub(super) fn weight(weight: &Weight, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    tell(&weight.to, "/api/weight", Some(("weight", json!(weight.weight))), console)
}

pub(super) fn purge(purge: &Purge, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let mut order = json!({ "soft": purge.soft, "all": purge.all });
    for (name, value) in [("url", &purge.url), ("tag", &purge.tag), ("cache", &purge.cache)] {
        if let Some(value) = value {
            order[name] = json!(value);
        }
    }
    send(purge.at.admin, "/api/purge", &order, console)
}

fn tell(to: &OneBackend, path: &str, more: Option<(&str, Value)>, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let mut order = json!({ "pool": to.pool, "backend": to.backend.to_string() });
    if let Some((name, value)) = more {
        order[name] = value;
    }
    send(to.at.admin, path, &order, console)
}

fn send(admin: SocketAddr, path: &str, order: &Value, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let answer = client::send(admin, path, &order.to_string(), PATIENCE)?;
    show(&report(&answer, admin)?, console)
}

/// What the admin says of an order.
pub(super) fn report(answer: &client::Answer, admin: SocketAddr) -> anyhow::Result<VerbReport> {
    // What is no report comes from somebody who is not the admin, from an older one, or from one that could not carry it out.
    serde_json::from_str(&answer.body)
        .map_err(|_| anyhow!("the admin at {} did not do it ({}): {}", admin, answer.status, answer.body.trim()))
}

pub(super) fn show(said: &VerbReport, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    if said.ok {
        writeln!(console.out, "{}", said.report.trim_end())?;
        Ok(Outcome::Success)
    } else {
        writeln!(console.err, "{}", said.report.trim_end())?;
        Ok(Outcome::Failure)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::client::tests::once;
    use crate::cli::tests::tidegate;

    #[test]
    fn the_report_goes_out_and_a_refusal_fails() {
        for (answer, code, out, err) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n{\"ok\":true,\"report\":\"draining\"}"[..], 0, "draining\n", ""),
            (b"HTTP/1.1 404 No\r\n\r\n{\"ok\":false,\"report\":\"there is no pool `ap`\"}", 1, "", "there is no pool `ap`\n"),
        ] {
            let (address, answering) = once(answer);
            let ended = tidegate(&["drain", "app", "10.0.0.1:80", "--admin", &address.to_string()]);
            assert_eq!(ended, (code, out.to_owned(), err.to_owned()));
            answering.join().unwrap();
        }
    }
}
