//! The commands that a person types, by what they print and the code they end with.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::proxy::{free_address, get, outcome, sum, tidegate};
use crate::support::{Counting, Site, until};

#[test]
fn check_and_explain_say_it_by_their_codes() {
    let dir = TempDir::new().expect("a directory");
    let good = dir.path().join("good.toml");
    let site = Site::to([free_address()]).with("[[route]]\nname = \"api\"\npath = \"/api/*\"\nrespond = { body = \"api\" }");
    fs::write(&good, site.text()).expect("write");
    let bad = dir.path().join("bad.toml");
    fs::write(&bad, site.text().replace("backends", "backens").replace("workers", "worker")).expect("write");

    let (code, said, _) = outcome(tidegate(["check"]).arg(&good));
    assert_eq!(code, Some(0));
    assert!(said.contains("ok"), "{said}");
    let (code, _, complaint) = outcome(tidegate(["check"]).arg(&bad));
    assert_eq!(code, Some(1));
    assert!(complaint.contains("`backends`") && complaint.contains("`workers`"), "suggestions, all at once: {complaint}");
    assert_eq!(outcome(tidegate(["check"]).arg(&good).arg(&bad)).0, Some(1));
    assert_eq!(outcome(tidegate(["check"]).arg(dir.path().join("missing.toml"))).0, Some(1));

    let explain = |method: &str, url: &str| outcome(tidegate(["explain"]).arg(&good).args([method, url]));
    let (code, said, _) = explain("GET", "http://example.com/api/x");
    assert_eq!(code, Some(0));
    assert!(said.contains("api"), "{said}");
    let (code, said, _) = explain("GET", "/elsewhere");
    assert_eq!(code, Some(0));
    assert!(said.contains("app") && said.contains("p2c"), "{said}");
    let only = dir.path().join("only.toml");
    fs::write(&only, Site::new().with("[[route]]\npath = \"/api/*\"\nrespond = { body = \"api\" }").text()).expect("write");
    assert_eq!(outcome(tidegate(["explain"]).arg(&only).args(["GET", "/elsewhere"])).0, Some(1));
}

/// A running command, ended with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, stdout: Stdio) -> Running {
        Running(command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).spawn().expect("start tidegate"))
    }

    fn interrupt(&mut self) -> ExitStatus {
        signal::kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT).expect("signal it");
        until("the end", || self.0.try_wait().expect("wait for it"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_runs_without_a_file() {
    let a = Counting::start("a");
    let (web, admin) = (free_address(), free_address());
    let mut command = tidegate(["run", "--algorithm", "round_robin"]);
    command.args(["--to", &a.address().to_string(), "--listen", &web.to_string(), "--admin", &admin.to_string()]);
    let _running = Running::start(&mut command, Stdio::null());
    until("the listeners", || TcpStream::connect(web).and(TcpStream::connect(admin)).ok());
    assert_eq!(get(web, "/").text(), "a");
    assert_eq!(get(admin, "/ready").status(), 200);
}

#[test]
fn the_demo_shows_itself_and_cleans_up() {
    let dir = TempDir::new().expect("a directory");
    let output = dir.path().join("stdout");
    let (web, admin) = (free_address(), free_address());
    let mut command = tidegate(["demo", "--algorithm", "round_robin"]);
    command.args(["--listen", &web.to_string(), "--admin", &admin.to_string()]).env("TMPDIR", dir.path());
    let mut running = Running::start(&mut command, File::create(&output).expect("create an output file").into());
    let said = until("the greeting", || fs::read_to_string(&output).ok().filter(|said| said.contains("wrk")));
    assert!(said.contains("algorithm = \"round_robin\"") && said.contains(&web.to_string()), "{said}");
    let bodies: BTreeSet<String> = (0..6).map(|_| get(web, "/").text()).collect();
    assert_eq!(bodies.len(), 3, "three backends that say who they are: {bodies:?}");
    assert_eq!(get(admin, "/ready").status(), 200);
    // The file that it names is the one in force.
    let file = said.split_whitespace().find(|word| word.starts_with(&*dir.path().to_string_lossy())).expect("a path in the greeting");
    let text = fs::read_to_string(file).expect("the file to edit");
    fs::write(file, text.replace("\"round_robin\"", "\"least_connections\"")).expect("write");
    until("the edit to be in force", || {
        (sum(&get(admin, "/metrics").text(), "tidegate_config_generation", &[]) == Some(2.0)).then_some(())
    });
    assert_eq!(running.interrupt().code(), Some(0));
    let left: Vec<_> = fs::read_dir(dir.path()).expect("the directory").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["stdout"], "nothing stays behind");
}

#[test]
fn a_taken_port_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let taken = taken.local_addr().expect("a local address").to_string();
    for option in ["--listen", "--admin"] {
        let free = [free_address().to_string(), free_address().to_string()];
        let (listen, admin) = if option == "--listen" { (&taken, &free[0]) } else { (&free[0], &taken) };
        for mut command in [tidegate(["demo"]), tidegate(["run", "--to", &free[1]])] {
            let (code, _, complaint) = outcome(command.args(["--listen", listen, "--admin", admin]));
            assert_eq!(code, Some(1), "{command:?}");
            let port = taken.rsplit(':').next().unwrap_or_default();
            assert!(complaint.contains(port) && complaint.contains(option), "{command:?}: {complaint}");
        }
    }
}

#[test]
fn every_example_passes_check() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let dir = TempDir::new().expect("a directory");
    let signed = Authority::new().sign(&["example.com"]);
    let mut files = Vec::new();
    for entry in fs::read_dir(&examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).expect("an example");
            let file = dir.path().join(path.file_name().expect("a name"));
            fs::write(&file, &text).expect("write");
            // Certificates are whoever copies the example has.
            for name in text.split('"').filter(|name| name.ends_with(".pem") || name.ends_with(".key")) {
                fs::write(dir.path().join(name), format!("{}{}", signed.certificate, signed.key)).expect("write");
            }
            files.push(file);
        }
    }
    assert!(!files.is_empty());
    let (code, said, complaint) = outcome(tidegate(["check"]).args(&files));
    assert_eq!(code, Some(0), "{said}{complaint}");
    assert!(!said.contains("warning") && complaint.is_empty(), "not even a warning: {said}{complaint}");
}
