//! `tidegate demo`: backends, a proxy and a file to edit, with one command and nothing to install.
//!
//! It is the real thing: the proxy is started as `tidegate run FILE` would start it, and follows the file in the same way.

pub(super) mod backends;

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::backends::DemoBackend;
use super::Outcome;
use super::args::Demo;
use super::console::Console;
use super::serve::{Source, serve};
use crate::config::model::Algorithm;

pub(super) fn demo(demo: &Demo, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let started: io::Result<Vec<_>> = (1..=usize::from(demo.backends)).map(DemoBackend::start).collect();
    let backends = started.context("starting the demo's backends on loopback ports")?;
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();

    let folder = TemporaryFolder::make().context("making a temporary directory for the demo's configuration")?;
    let file = folder.path.join("tidegate.toml");
    let text = configuration(demo, &addresses);
    fs::write(&file, &text).with_context(|| format!("writing {}", file.display()))?;

    let greeting = greeting(demo, &file, &text);
    let greet = move || {
        // Whoever has closed standard output does not want to be greeted.
        let _ = io::stdout().write_all(greeting.as_bytes());
    };
    serve(Source::File(file), console, greet, |address| taken(demo, address.ip().unwrap_or(demo.listen)))
}

fn taken(demo: &Demo, address: SocketAddr) -> String {
    let option = if address == demo.admin { "--admin" } else { "--listen" };
    let mut other = address;
    other.set_port(address.port().checked_add(1).unwrap_or(8080));
    format!("port {} of {} is taken by another program: choose another, such as {option} {other}", address.port(), address.ip())
}

fn configuration(demo: &Demo, backends: &[SocketAddr]) -> String {
    let backends: String = backends.iter().map(|address| format!("  \"{address}\",\n")).collect();
    format!(
        r#"# Edit and save: the change is in force within a second, and no request is lost.

[server]
drain_delay = "0s"              # nobody has to be told that the demo ends

[listen.web]
address = "{listen}"

[pool.app]
# {words}
algorithm = "{algorithm}"
backends = [                    # or {{ address = "127.0.0.1:9001", weight = 3 }}
{backends}]

[[route]]
pool = "app"

[admin]
address = "{admin}"

[log]
access = "off"                  # so that a load test fills no terminal; "json" or "combined" show each request
"#,
        listen = demo.listen,
        words = Algorithm::WORDS.join(", "),
        algorithm = demo.algorithm,
        admin = demo.admin,
    )
}

/// What is running, and what to try with it.
fn greeting(demo: &Demo, file: &Path, text: &str) -> String {
    let url = format!("http://{}", demo.listen);
    let at = if demo.admin.to_string() == "127.0.0.1:9900" { String::new() } else { format!(" --admin {}", demo.admin) };
    format!(
        r"Tidegate balances {url}/ over {count} backends of this demo.

{configuration}
Try:
  curl -i {url}/
  curl {url}/echo                            what the backend sees; also /slow?ms=200, /big?bytes=1000000, /status/503
  wrk -t12 -c400 -d30s {url}/
  curl http://{admin}/metrics
  tidegate status{at}

Change the algorithm in
  {file}
and watch the spread:
  for i in $(seq 30); do curl -s {url}/; done | sort | uniq -c

The access log is off, so that wrk can be used. Ctrl-C ends the demo and removes the file.
",
        count = demo.backends,
        configuration = text.lines().map(|line| format!("    {line}\n")).collect::<String>(),
        admin = demo.admin,
        file = file.display(),
    )
}

/// A new directory that only this user may enter, removed with all that is in it when dropped.
struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    fn make() -> io::Result<TemporaryFolder> {
        loop {
            // The name need not be secret: making it fails where it exists, even as somebody's symbolic link.
            let path = std::env::temp_dir().join(format!("tidegate-demo-{:08x}", fastrand::u32(..)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(TemporaryFolder { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Left behind, it is a small file in a directory for such.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::cli::tests::tidegate;
    use crate::config;
    use crate::config::model::AccessFormat;

    fn sample() -> Demo {
        Demo {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:9900".parse().unwrap(),
            backends: 2,
            algorithm: "p2c".to_owned(),
        }
    }

    #[test]
    fn the_file_says_what_the_options_said() {
        let backends = ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let (config, warnings) = config::parse(&configuration(&sample(), &backends), "demo").unwrap_or_else(|report| panic!("{report}"));
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(config.listeners[0].addresses, [crate::address::Address::Ip(sample().listen)]);
        assert_eq!(config.admin.unwrap().address, sample().admin);
        assert_eq!(config.pools[0].algorithm, Algorithm::P2c);
        assert_eq!(config.pools[0].backends.iter().filter_map(|backend| backend.address.fixed()?.ip()).collect::<Vec<_>>(), backends);
        assert_eq!((config.log.access, config.server.drain_delay), (AccessFormat::Off, Duration::ZERO));
    }

    #[test]
    fn the_greeting_names_the_file_and_the_address_to_ask() {
        let text = greeting(&sample(), Path::new("/tmp/x/tidegate.toml"), "a = 1\n");
        for said in
            ["    a = 1\n", "  /tmp/x/tidegate.toml\n", "wrk -t12 -c400 -d30s http://127.0.0.1:8080/\n", "tidegate status\n", "Ctrl-C"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        let text = greeting(&Demo { admin: "127.0.0.1:9901".parse().unwrap(), ..sample() }, Path::new("x"), "");
        assert!(text.contains("tidegate status --admin 127.0.0.1:9901\n"), "{text}");
    }

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let demo = sample();
        assert_eq!(
            taken(&demo, demo.listen),
            "port 8080 of 127.0.0.1 is taken by another program: choose another, such as --listen 127.0.0.1:8081"
        );
        assert!(taken(&demo, demo.admin).ends_with("such as --admin 127.0.0.1:9901"));
    }

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let folder = TemporaryFolder::make().unwrap();
        fs::write(folder.path.join("tidegate.toml"), "x").unwrap();
        assert_eq!(fs::metadata(&folder.path).unwrap().permissions().mode() & 0o777, 0o700);
        let path = folder.path.clone();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_taken_port_ends_the_demo_with_one_line() {
        let [taken, free] = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let (busy, other) = (taken.local_addr().unwrap(), free.local_addr().unwrap());
        drop(free);
        for (option, free) in [("--listen", "--admin"), ("--admin", "--listen")] {
            let (exit, _, complained) = tidegate(&["demo", option, &busy.to_string(), free, &other.to_string()]);
            assert_eq!(exit, 1);
            assert!(
                complained.contains(&format!("port {} ", busy.port())) && complained.contains(&format!("such as {option} ")),
                "{complained}"
            );
            assert_eq!(complained.lines().count(), 1, "{complained}");
        }
    }
}
