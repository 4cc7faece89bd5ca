//! The public conformance suite for HTTP caches (https://cache-tests.fyi, npm package `http-cache-tests`), run by Node against the proxy with
//! the suite's own origin behind it.
//!
//! `cargo test --test integration -- --ignored --nocapture conformance` prints the score. What fails stands in `conformance.txt`, each with
//! its reason: a test that fails and is not there makes this one fail, and so does one that is there and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::proxy::free_address;
use crate::support::{Site, until};

const PACKAGE: &str = "http-cache-tests@0.4.5";
const KNOWN: &str = include_str!("conformance.txt");

struct Origin(Child);

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the package is; fetched once from the registry.
fn package() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance");
    let package = dir.join("node_modules/http-cache-tests");
    if !package.join("cli.mjs").exists() {
        fs::create_dir_all(&dir).expect("a directory");
        let mut npm = Command::new("npm");
        let fetched = npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&dir).arg(PACKAGE).stdout(Stdio::null()).status();
        assert!(fetched.is_ok_and(|status| status.success()), "npm can not fetch {PACKAGE}");
    }
    package
}

/// Node in the package's directory. The suite reads what it is told as npm would tell it.
fn node(package: &Path, settings: &[(&str, String)]) -> Command {
    let mut node = Command::new("node");
    node.current_dir(package).arg("--no-warnings").stderr(Stdio::null());
    node.env("npm_config_protocol", "http").env("npm_package_config_id", "").envs(settings.iter().map(|(name, value)| (*name, value)));
    node
}

/// By test, its kind: `required`, `optimal`, or `check`, which only asks how a cache behaves.
fn kinds(package: &Path) -> BTreeMap<String, String> {
    const LIST: &str = "import('./tests/index.mjs').then(({ default: suites }) => console.log(JSON.stringify(Object.fromEntries(
        suites.flatMap(suite => suite.tests).map(test => [test.id, test.kind || 'required'])))))";
    let listed = node(package, &[]).args(["-e", LIST]).output().expect("run node");
    serde_json::from_slice(&listed.stdout).expect("a list of tests")
}

fn results(package: &Path, origin: SocketAddr) -> BTreeMap<String, Value> {
    let dir = tempfile::TempDir::new().expect("a directory");
    let settings = [("npm_config_port", origin.port().to_string()), ("npm_config_pidfile", dir.path().join("pid").display().to_string())];
    let server = node(package, &settings).arg("server/server.mjs").stdout(Stdio::null()).spawn().expect("start node");
    let _server = Origin(server);
    until("the suite's origin to listen", || TcpStream::connect(origin).ok());
    let proxy = Site::to([origin]).pool("eject = { errors = \"off\" }").route("cache = \"main\"").with("[cache.main]").start();
    let base = [("npm_config_base", format!("http://{}", proxy.web))];
    let ran = node(package, &base).arg("cli.mjs").output().expect("run node");
    serde_json::from_slice(&ran.stdout).expect("the suite's results")
}

#[test]
#[ignore = "wants Node and npm's registry"]
fn the_public_suite_fails_where_it_is_known_to_and_nowhere_else() {
    let package = package();
    let (kinds, results) = (kinds(&package), results(&package, free_address()));
    let known: BTreeSet<&str> =
        KNOWN.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next()).collect();
    let passes = |id: &str| results.get(id) == Some(&Value::Bool(true));
    for kind in ["required", "optimal", "check"] {
        let of_kind: Vec<&String> = kinds.iter().filter(|(_, of)| *of == kind).map(|(id, _)| id).collect();
        let passed = of_kind.iter().filter(|id| passes(id)).count();
        eprintln!("{kind:>9}: {passed} of {}", of_kind.len());
    }
    let judged = kinds.iter().filter(|(_, kind)| *kind != "check").map(|(id, _)| id.as_str());
    let (failed, passed): (Vec<&str>, Vec<&str>) = judged.partition(|id| !passes(id));
    let new: Vec<&&str> = failed.iter().filter(|id| !known.contains(*id)).collect();
    let gone: Vec<&&str> = passed.iter().filter(|id| known.contains(*id)).collect();
    assert!(new.is_empty(), "these fail now: {new:?}");
    assert!(gone.is_empty(), "these pass now: take them off the list: {gone:?}");
}
