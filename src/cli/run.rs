//! `tidegate run`: from a file, or from a few options. Options become the text of a file, so that there is one way in and one
//! place where mistakes are found.

use std::fmt::Write as _;

use super::Outcome;
use super::args::Run;
use super::console::Console;
use super::serve::{Source, serve};
use crate::address::Address;

pub(super) fn run(run: &Run, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    let source = match &run.file {
        Some(path) => Source::File(path.clone()),
        None => Source::Text { text: from_options(run), name: "the command line".to_owned() },
    };
    serve(source, console, || {}, |address| taken(run, address))
}

fn taken(run: &Run, address: &Address) -> String {
    let other = match &run.file {
        Some(file) => format!("change it in {}", file.display()),
        None if run.admin.is_some() && run.admin == address.ip() => "choose another with --admin".to_owned(),
        None => "choose another with --listen".to_owned(),
    };
    let what = match address {
        Address::Ip(address) => format!("port {} of {}", address.port(), address.ip()),
        Address::Unix(path) => format!("the Unix socket {}", path.display()),
    };
    format!("{what} is taken by another program: end that, or {other}")
}

fn from_options(run: &Run) -> String {
    let mut text = format!("[listen.web]\naddress = \"{}\"\n\n", run.listen);
    let backends: Vec<_> = run.to.iter().map(|address| format!("\"{address}\"")).collect();
    let _ =
        write!(text, "[pool.app]\nalgorithm = \"{}\"\nbackends = [{}]\n\n[[route]]\npool = \"app\"\n", run.algorithm, backends.join(", "));
    if let Some(admin) = run.admin {
        let _ = write!(text, "\n[admin]\naddress = \"{admin}\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::cli::samples;
    use crate::cli::tests::tidegate;
    use crate::config;

    fn options(line: &str) -> String {
        let cli = Cli::try_parse_from(["tidegate", "run"].into_iter().chain(line.split(' '))).unwrap();
        let Command::Run(run) = cli.command else { panic!("not run") };
        from_options(&run)
    }

    #[test]
    fn options_become_the_file_that_one_would_write() {
        let parsed = |text: &str| config::parse(text, "test").unwrap_or_else(|report| panic!("{report}")).0;
        let written = parsed(&options("--to 127.0.0.1:9001,[::1]:9002 --listen 127.0.0.1:81 --algorithm round_robin --admin 127.0.0.1:82"));
        let expected = parsed(
            r#"
            [listen.web]
            address = "127.0.0.1:81"
            [pool.app]
            algorithm = "round_robin"
            backends = ["127.0.0.1:9001", "[::1]:9002"]
            [[route]]
            pool = "app"
            [admin]
            address = "127.0.0.1:82"
        "#,
        );
        assert_eq!(written, expected);
        assert_eq!(parsed(&options("--to 127.0.0.1:9001")).admin, None);
    }

    #[test]
    fn what_keeps_it_from_running_is_told_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, samples::MINIMAL.replace("127.0.0.1:8080", &taken)).unwrap();
        let wrong = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&wrong, samples::MINIMAL.replace("round_robin", "round_robbin")).unwrap();
        for (line, said) in [
            (vec!["--to", "127.0.0.1:1", "--listen", &taken], "choose another with --listen"),
            (vec!["--to", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", &taken], "choose another with --admin"),
            (vec![file.path().to_str().unwrap()], "change it in /"),
            (vec![wrong.path().to_str().unwrap()], "round_robin"),
            (vec!["/nowhere/at/all.toml"], "no such file"),
        ] {
            let (exit, _, complained) = tidegate(&[&["run"], &line[..]].concat());
            assert!(exit == 1 && complained.contains(said), "{line:?}: {complained}");
        }
    }
}
