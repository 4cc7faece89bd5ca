//! What can be typed: the commands, their options, and an example of each.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use jiff::SignedDuration;

use crate::address::Address;
use crate::admin::WarmOrder;
use crate::config::model::Algorithm;

/// A load-balancing reverse proxy: one TOML file, followed as it is edited.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  tidegate demo                        see it work: three backends, a proxy, a file to edit
  tidegate run tidegate.toml           run what the file says, and follow its edits
  tidegate check tidegate.toml         is the file right?

Exit codes: 0 done, 1 failed or invalid configuration, 2 wrong usage.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Check(Check),
    Demo(Demo),
    Explain(Explain),
    Reload(Reload),
    Status(Status),
    Drain(Drain),
    Eject(Eject),
    Resume(Resume),
    Weight(Weight),
    Purge(Purge),
    Warm(Warm),
    Schema(Schema),
    Completions(Completions),
    Man(Man),
}

/// Run the proxy
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate run tidegate.toml
  tidegate run --to 127.0.0.1:9001,127.0.0.1:9002 --listen 127.0.0.1:8080 --algorithm p2c

Signals: SIGHUP reads the file again, SIGUSR1 opens the access log file again, SIGTERM or Ctrl-C drains and ends, a second one ends at once.")]
pub struct Run {
    /// The configuration; edits to it are put in force while the proxy runs
    #[arg(required_unless_present = "to")]
    pub file: Option<PathBuf>,
    /// Backends, in place of a file
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', value_parser = address, conflicts_with = "file")]
    pub to: Vec<SocketAddr>,
    /// Where to accept connections
    #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with = "file", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How to choose a backend
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Algorithm::WORDS), conflicts_with = "file", default_value = "p2c")]
    pub algorithm: String,
    /// Where to serve metrics, status and readiness; nowhere unless given
    #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with = "file")]
    pub admin: Option<SocketAddr>,
}

/// Say whether configuration files are right
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate check tidegate.toml
  tidegate check --quiet config/*.toml && echo all right

All mistakes are reported at once. Exit code 1 if there is one in any file; warnings do not count.")]
pub struct Check {
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Print errors only
    #[arg(long, short)]
    pub quiet: bool,
}

/// Show a proxy at work, with backends of its own
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate demo
  tidegate demo --listen 127.0.0.1:8081 --admin 127.0.0.1:9901 --backends 5 --algorithm least_connections

Everything is on loopback. The configuration is written to a new temporary directory, to be edited; Ctrl-C drains, ends and removes it.")]
pub struct Demo {
    /// Where the proxy accepts connections
    #[arg(long, value_name = "ADDRESS", value_parser = fixed_address, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where it serves metrics, status and readiness
    #[arg(long, value_name = "ADDRESS", value_parser = fixed_address, default_value = "127.0.0.1:9900")]
    pub admin: SocketAddr,
    /// How many backends to start
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), default_value = "3")]
    pub backends: u8,
    /// How to choose a backend
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Algorithm::WORDS), default_value = "p2c")]
    pub algorithm: String,
}

/// Say where a request would go, and why
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate explain tidegate.toml GET http://example.com/api/x
  tidegate explain tidegate.toml POST /upload -H 'Host: example.com' -H 'X-Team: a' --listener web --json

Nothing is sent. Exit code 1 if no route matches.

  tidegate explain --cache http://example.com/api/x

asks a running proxy what its caches have under this URL, and why. Exit code 1 if there is nothing.")]
pub struct Explain {
    #[arg(required_unless_present = "cache")]
    pub file: Option<PathBuf>,
    #[arg(required_unless_present = "cache")]
    pub method: Option<String>,
    /// As a client would write it, or a path alone
    #[arg(required_unless_present = "cache")]
    pub url: Option<String>,
    /// What a running proxy keeps under this URL, in place of a file and a request
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "header", "from", "listener"])]
    pub cache: Option<String>,
    #[command(flatten)]
    pub at: Admin,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Who asks: whether its X-Forwarded-* would be believed
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,
    /// The listener that it arrives on; without this, the one on the URL's port
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// Both are there where `--cache` is not.
impl Explain {
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    pub fn url(&self) -> &str {
        self.url.as_deref().unwrap_or_default()
    }
}

/// Where a running proxy is reached.
#[derive(Debug, Args)]
pub struct Admin {
    /// The running proxy's `[admin] address`
    #[arg(long, value_name = "ADDRESS", value_parser = address, env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9900")]
    pub admin: SocketAddr,
}

/// Make a running proxy read its configuration again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate reload
  tidegate reload --admin 127.0.0.1:9901

Says what changed. Exit code 1 if the new configuration was refused; the old one is then still in force.")]
pub struct Reload {
    #[command(flatten)]
    pub at: Admin,
}

/// Show what a running proxy does
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate status
  tidegate status --json | jq .
  HEALTHCHECK CMD [\"tidegate\", \"status\", \"--ready\"]        in a Dockerfile")]
pub struct Status {
    #[command(flatten)]
    pub at: Admin,
    /// As the admin API says it
    #[arg(long)]
    pub json: bool,
    /// Only exit with 0 if it is ready for traffic, with 1 if not
    #[arg(long, conflicts_with = "json")]
    pub ready: bool,
}

/// One backend of a running proxy.
#[derive(Debug, Args)]
pub struct OneBackend {
    /// The pool's name, as in the configuration
    pub pool: String,
    /// The backend's address and port, as `tidegate status` shows it
    #[arg(value_parser = backend)]
    pub backend: Address,
    #[command(flatten)]
    pub at: Admin,
}

/// Let a backend finish what it has, and send it nothing new
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate drain app 10.0.0.2:8080
  tidegate drain app 10.0.0.2:8080 --deadline 10m     sticky sessions go elsewhere after ten minutes

It stays so over reloads, until `tidegate resume` or an edit to this backend's own entry. Exit code 1 if there is no such backend.")]
pub struct Drain {
    #[command(flatten)]
    pub to: OneBackend,
    /// How long requests of sticky sessions still come; without it, for as long as it is drained
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<SignedDuration>,
}

/// Send a backend nothing at all for a while
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate eject app 10.0.0.2:8080 --for 5m
  tidegate eject app 10.0.0.2:8080            until `tidegate resume`

Unlike after `drain`, its sticky sessions go elsewhere at once. What is in flight finishes. It stays so over reloads, but for an edit to
this backend's own entry. Exit code 1 if there is no such backend.")]
pub struct Eject {
    #[command(flatten)]
    pub to: OneBackend,
    /// Then it is back by itself; without it, when it is resumed
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub r#for: Option<SignedDuration>,
}

/// Make a backend as the file has it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate resume app 10.0.0.2:8080

Undoes `drain`, `eject` and `weight`. Exit code 1 if there is no such backend.")]
pub struct Resume {
    #[command(flatten)]
    pub to: OneBackend,
}

/// Give a backend another weight than the file does
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate weight app 10.0.0.2:8080 5
  tidegate weight app 10.0.0.2:8080 0     no new requests, but for those of sticky sessions

It stays so over reloads, until `tidegate resume` or an edit to this backend's own entry. Exit code 1 if there is no such backend.")]
pub struct Weight {
    #[command(flatten)]
    pub to: OneBackend,
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub weight: u32,
}

/// Have a running proxy fetch URLs into its caches
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate warm popular.txt
  tidegate warm sitemap.xml --at-once 32
  tidegate warm http://example.com/ http://example.com/news
  tidegate warm --stop

A list has one URL a line; of a sitemap, `<loc>` counts. They are asked for as if clients
wanted them, and the command waits until all are answered; where it is ended, the proxy goes on.
Exit code 1 if one of them could not be fetched.")]
pub struct Warm {
    /// URLs, and files of URLs
    #[arg(required_unless_present = "stop", value_name = "FILE|URL")]
    pub what: Vec<String>,
    /// How many are under way at a time
    #[arg(long, default_value_t = WarmOrder::AT_ONCE, value_parser = RangedU64ValueParser::<usize>::new().range(1..=WarmOrder::AT_ONCE_MAX as u64))]
    pub at_once: usize,
    /// End the fetching that is under way
    #[arg(long, conflicts_with = "what")]
    pub stop: bool,
    #[command(flatten)]
    pub at: Admin,
}

/// Take answers out of a running proxy's caches
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate purge http://example.com/news
  tidegate purge 'http://example.com/img/*'       all whose URL begins so
  tidegate purge --tag news --soft                only made stale: confirmed by the origin, or used where stale answers are
  tidegate purge --all --cache main

Tags are those of `Surrogate-Key` and `Cache-Tag`. Says how many entries it met. Exit code 1 if there is no such cache.")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["url", "tag", "all"]))]
pub struct Purge {
    /// As clients ask for it, query included; with `*` at the end, all that begins so
    pub url: Option<String>,
    /// All answers with this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Only in this cache; without it, in all
    #[arg(long, value_name = "NAME")]
    pub cache: Option<String>,
    /// Make it stale, and leave it there
    #[arg(long)]
    pub soft: bool,
    #[command(flatten)]
    pub at: Admin,
}

/// Print the JSON Schema of the configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidegate schema > tidegate.schema.json      for editors; name it in the file's first line: #:schema ./tidegate.schema.json
  tidegate schema --reference | less")]
pub struct Schema {
    /// Every key with its default, for reading
    #[arg(long)]
    pub reference: bool,
}

/// Print a completion script
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate"
)]
pub struct Completions {
    pub shell: Shell,
}

/// Print the manual page
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Examples:
  tidegate man > tidegate.1
  tidegate man run > tidegate-run.1"
)]
pub struct Man {
    /// Of one command; without it, of all of Tidegate
    pub command: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

fn backend(text: &str) -> Result<Address, String> {
    text.parse()
        .map_err(|_| "not an IP address and a port, such as 127.0.0.1:8080, nor a Unix socket, such as unix:/run/app.sock".to_owned())
}

fn fixed_address(text: &str) -> Result<SocketAddr, String> {
    match address(text)? {
        address if address.port() == 0 => Err("port 0 is whichever is free; name one, such as 8080".to_owned()),
        address => Ok(address),
    }
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration.is_positive() => Ok(duration),
        _ => Err("not a duration, such as 90s or 10m".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok((name.to_owned(), value.trim().to_owned())),
        _ => Err("not a header, such as 'X-Team: a'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn wrong_usage_says_what_would_be_right() {
        for (line, expected) in [
            ("run", "FILE"),
            ("run a.toml --to 127.0.0.1:1", "cannot be used with"),
            ("run a.toml --listen 127.0.0.1:1", "cannot be used with"),
            ("run --to localhost:80", "not an IP address and a port"),
            ("run --to 127.0.0.1:1,x", "not an IP address and a port"),
            ("run --to 127.0.0.1:1 --algorithm round_robbin", "'round_robin'"),
            ("demo --backends 0", "1..=64"),
            ("demo --listen 127.0.0.1:0", "port 0"),
            ("explain a.toml GET / -H X-Team", "not a header"),
            ("explain a.toml GET / --from example.com", "invalid IP address"),
            ("status --ready --json", "cannot be used with"),
            ("drain app", "BACKEND"),
            ("drain app localhost:80", "not an IP address and a port"),
            ("drain app unix:", "nor a Unix socket"),
            ("drain app 10.0.0.1:80 --deadline 10", "not a duration"),
            ("eject app 10.0.0.1:80 --for 5", "not a duration"),
            ("weight app 10.0.0.1:80 1000001", "0..=1000000"),
            ("chekc a.toml", "check"),
            ("check", "FILES"),
        ] {
            let error = Cli::try_parse_from(["tidegate"].into_iter().chain(line.split(' '))).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_needs_no_other_option_and_neither_do_backends() {
        for line in [
            "run a.toml",
            "run --to 127.0.0.1:9001,127.0.0.1:9002",
            "drain app unix:/run/app.sock",
            "run --to [::1]:1 --listen 0.0.0.0:80 --algorithm round_robin --admin 127.0.0.1:2",
        ] {
            Cli::try_parse_from(["tidegate"].into_iter().chain(line.split(' '))).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
