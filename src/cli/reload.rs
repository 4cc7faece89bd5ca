//! `tidegate reload`: what SIGHUP does, but with an answer.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;

use super::Outcome;
use super::args::Reload;
use super::client;
use super::console::Console;
use crate::admin::ReloadReport;

/// A configuration of ten thousand routes is read and built well within this.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn reload(reload: &Reload, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let answer = client::ask(reload.at.admin, "POST", "/api/reload", PATIENCE)?;
    // What is no report comes from somebody who is not the admin, or from one that could not carry it out.
    let said: Result<ReloadReport, _> = serde_json::from_str(&answer.body);
    match said {
        Ok(said) if said.ok => {
            writeln!(console.out, "{}", said.report.trim_end())?;
            Ok(Outcome::Success)
        }
        Ok(said) => {
            writeln!(console.err, "{}", said.report.trim_end())?;
            writeln!(console.err, "refused: the configuration in force has not changed")?;
            Ok(Outcome::Failure)
        }
        Err(_) => bail!("the admin at {} did not reload ({}): {}", reload.at.admin, answer.status, answer.body.trim()),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::client::tests::once;
    use crate::cli::tests::tidegate;

    #[test]
    fn the_report_goes_out_and_a_refusal_fails() {
        for (answer, code, out, err) in [
            (
                &b"HTTP/1.1 200 OK\r\n\r\n{\"ok\":true,\"report\":\"changed pool app: algorithm p2c -> round_robin\"}"[..],
                0,
                "changed pool app: algorithm p2c -> round_robin\n",
                "",
            ),
            (
                b"HTTP/1.1 422 Unprocessable\r\n\r\n{\"ok\":false,\"report\":\"a.toml:1:1: wrong\\n\"}",
                1,
                "",
                "a.toml:1:1: wrong\nrefused: the configuration in force has not changed\n",
            ),
        ] {
            let (address, answering) = once(answer);
            let ended = tidegate(&["reload", "--admin", &address.to_string()]);
            assert_eq!(ended, (code, out.to_owned(), err.to_owned()));
            answering.join().unwrap();
        }
    }

    #[test]
    fn nobody_there_is_one_line() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (exit, out, err) = tidegate(&["reload", "--admin", &address]);
        assert!(exit == 1 && out.is_empty() && err.lines().count() == 1, "{err}");
        assert!(err.starts_with(&format!("tidegate: no Tidegate admin at {address}: is it running")), "{err}");
    }
}
