//! `tidegate check`: is the file right? For a person before a reload, and for a pipeline before a rollout.

use std::io::Write;
use std::path::Path;

use super::Outcome;
use super::args::Check;
use super::console::Console;
use crate::config::{self, Config};

/// Every file is read, whatever was wrong with those before it.
pub(super) fn check(check: &Check, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Success;
    for path in &check.files {
        match config::load(path) {
            Ok(_) if check.quiet => {}
            Ok((config, warnings)) => {
                if !warnings.is_empty() {
                    writeln!(console.err, "{}\n", warnings.render(console.err.colour))?;
                }
                writeln!(console.out, "{}", summary(path, &config, warnings.problems().len()))?;
            }
            Err(report) => {
                outcome = Outcome::Failure;
                writeln!(console.err, "{}\n", report.render(console.err.colour))?;
            }
        }
    }
    Ok(outcome)
}

fn summary(path: &Path, config: &Config, warnings: usize) -> String {
    let backends = config.pools.iter().map(|pool| pool.backends.len()).sum();
    let mut line = format!(
        "{}: ok, {}, {}, {}, {}",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.pools.len(), "pool"),
        count(backends, "backend"),
        count(config.routes.len(), "route"),
    );
    if warnings > 0 {
        line.push_str(", ");
        line.push_str(&count(warnings, "warning"));
    }
    line
}

/// `1 pool`, `2 pools`.
pub(super) fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

#[cfg(test)]
mod tests {
    use crate::cli::samples;
    use crate::cli::tests::tidegate;

    #[test]
    fn a_right_file_is_summed_up_and_a_wrong_one_fails_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let good = file("good.toml", samples::TEXT);
        let warned = file("warned.toml", &samples::MINIMAL.replace("\"10.0.0.1:80\"", "{ address = \"10.0.0.1:80\", weight = 2 }"));
        let bad = file("bad.toml", &samples::MINIMAL.replace("round_robin", "round_robbin"));
        let absent = folder.path().join("absent.toml").to_str().unwrap().to_owned();
        for (line, code, out, err) in [
            (vec![&*good], 0, "good.toml: ok, 2 listeners, 2 pools, 3 backends, 7 routes\n", ""),
            (vec!["--quiet", &good], 0, "", ""),
            (vec![&warned], 0, "warned.toml: ok, 1 listener, 1 pool, 1 backend, 1 route, 1 warning\n", "weighted_round_robin"),
            (vec!["-q", &warned], 0, "", ""),
            (vec![&bad, &good], 1, "good.toml: ok", "round_robin"),
            (vec![&bad, &absent], 1, "", "no such file"),
        ] {
            let (exit, said, complained) = tidegate(&[&["check"], &line[..]].concat());
            assert_eq!(exit, code, "{line:?}: {said}{complained}");
            assert!(said.contains(out) && said.is_empty() == out.is_empty(), "{line:?}: {said}");
            assert!(complained.contains(err) && complained.is_empty() == err.is_empty(), "{line:?}: {complained}");
        }
    }
}
