//! The commands a person types. Each takes its arguments and a console, and says whether it worked; nothing here serves traffic.
//!
//! Exit codes: 0 it worked, 1 it did not (an invalid configuration, nobody there, a request without a route), 2 wrong usage.

mod args;
mod check;
mod client;
mod console;
mod demo;
mod explain;
mod reload;
mod run;
mod schema;
mod serve;
mod status;
mod verbs;
mod warm;

#[cfg(test)]
mod samples;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command, Completions, Man};
use self::console::{Console, Stream};

/// How a command ended, where it said all there is to say itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
}

/// Wrong usage, as clap counts it.
const USAGE: u8 = 2;

pub fn main() -> ExitCode {
    // Not locked: the proxy logs from other threads while a command runs.
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut console = Console { out: Stream::of_terminal(&mut out), err: Stream::of_terminal(&mut err) };
    ExitCode::from(execute(std::env::args_os(), &mut console))
}

/// Runs the command that `arguments` spell (the program's name first); the exit code.
fn execute(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let done = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli.command, console),
        Err(usage) => return say_usage(&usage, console),
    };
    let outcome = done.and_then(|outcome| {
        console.out.flush()?;
        Ok(outcome)
    });
    match outcome {
        Ok(Outcome::Success) => 0,
        Ok(Outcome::Failure) => 1,
        Err(error) => {
            // Where standard error is gone too, the exit code has to do.
            let _ = writeln!(console.err, "{} {error:#}", console.err.bold("tidegate:"));
            1
        }
    }
}

fn dispatch(command: Command, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    match command {
        Command::Run(run) => run::run(&run, console),
        Command::Check(check) => check::check(&check, console),
        Command::Demo(demo) => demo::demo(&demo, console),
        Command::Explain(explain) => explain::explain(&explain, console),
        Command::Reload(reload) => reload::reload(&reload, console),
        Command::Drain(drain) => verbs::drain(&drain, console),
        Command::Eject(eject) => verbs::eject(&eject, console),
        Command::Resume(resume) => verbs::resume(&resume, console),
        Command::Weight(weight) => verbs::weight(&weight, console),
        Command::Purge(purge) => verbs::purge(&purge, console),
        Command::Warm(warm) => warm::warm(&warm, console),
        Command::Status(status) => status::status(&status, console),
        Command::Schema(schema) => schema::schema(&schema, console),
        Command::Completions(completions) => print_completions(&completions, console),
        Command::Man(man) => print_man(&man, console),
    }
}

/// Help and version are answers; everything else clap has to say is a complaint.
fn say_usage(usage: &clap::Error, console: &mut Console<'_>) -> u8 {
    let to = if usage.use_stderr() { &mut console.err } else { &mut console.out };
    let text = usage.render();
    let said = if to.colour { write!(to, "{}", text.ansi()) } else { write!(to, "{text}") };
    match said.and_then(|()| to.flush()) {
        Ok(()) => u8::try_from(usage.exit_code()).unwrap_or(USAGE),
        Err(_) => 1,
    }
}

fn print_completions(completions: &Completions, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    // Into memory first: it panics where its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "tidegate", &mut script);
    console.out.write_all(&script)?;
    Ok(Outcome::Success)
}

fn print_man(man: &Man, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let mut all = Cli::command();
    all.build();
    let page = match &man.command {
        None => all,
        Some(name) => match all.find_subcommand(name) {
            Some(command) => command.clone(),
            None => anyhow::bail!("no command `{name}`: `tidegate help` lists them"),
        },
    };
    clap_mangen::Man::new(page).render(&mut console.out)?;
    Ok(Outcome::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exit code, standard output, standard error.
    pub(super) fn tidegate(line: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console { out: Stream::plain(&mut out), err: Stream::plain(&mut err) };
        let code = execute(["tidegate"].iter().chain(line).map(OsString::from), &mut console);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn help_and_version_are_answers_and_wrong_usage_is_a_complaint() {
        for (line, code, said) in [
            (&["--version"][..], 0, "tidegate "),
            (&["--help"], 0, "tidegate demo"),
            (&["run", "--help"], 0, "SIGHUP"),
            (&["help", "explain"], 0, "Examples:"),
            (&[], 2, "Usage:"),
            (&["schema"], 0, "{"),
            (&["rnu"], 2, "unrecognized subcommand 'rnu'"),
            (&["check"], 2, "FILES"),
        ] {
            let (exit, out, err) = tidegate(line);
            assert_eq!(exit, code, "{line:?}: {out}{err}");
            let (said_in, silent) = if code == 0 { (out, err) } else { (err, out) };
            assert!(said_in.contains(said) && silent.is_empty(), "{line:?}: {said_in} / {silent}");
        }
    }

    #[test]
    fn completions_and_manual_pages_are_complete() {
        for (line, said) in [
            (&["completions", "bash"][..], "explain"),
            (&["completions", "fish"], "explain"),
            (&["completions", "zsh"], "explain"),
            (&["man"], ".TH tidegate 1"),
            (&["man", "run"], ".TH tidegate-run 1"),
        ] {
            let (exit, out, err) = tidegate(line);
            assert!(exit == 0 && out.contains(said), "{line:?}: {out}{err}");
        }
        let (exit, _, err) = tidegate(&["man", "rnu"]);
        assert!(exit == 1 && err.contains("no command `rnu`"), "{err}");
    }
}
