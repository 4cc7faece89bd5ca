//! The proxy under test: a process with a configuration of its own, in a directory of its own, on ports of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{Backend, Counting, Message, Wire, until};

/// A loopback address that nobody listens on, and that the kernel gives nobody meanwhile.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const PORTS: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Another run of the tests at the same time begins elsewhere.
        let start = (std::process::id() % 180) as u16 * 100;
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        // Asked for without binding it: a process that another test starts at this moment would inherit the socket, and hold the
        // port until it executes its program.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(address).is_err() {
            return address;
        }
    }
}

/// A configuration in pieces: what every test needs stands already, and a test adds the lines that it is about.
#[derive(Debug, Clone)]
pub struct Site {
    pub web: SocketAddr,
    pub admin: SocketAddr,
    workers: usize,
    backends: Vec<String>,
    server: String,
    listen: String,
    pool: String,
    route: String,
    rest: String,
    log: String,
}

impl Site {
    /// One listener, nothing behind it; the test adds routes.
    pub fn new() -> Site {
        Site {
            web: free_address(),
            admin: free_address(),
            workers: 2,
            backends: Vec::new(),
            server: "drain_delay = \"0s\"\ndrain_timeout = \"5s\"\n".to_owned(),
            listen: String::new(),
            pool: String::new(),
            route: String::new(),
            rest: String::new(),
            log: "access = \"json\"\n".to_owned(),
        }
    }

    /// One listener, one pool named `app`, one route.
    pub fn to(backends: impl IntoIterator<Item = SocketAddr>) -> Site {
        Site::new().backends(backends)
    }

    pub fn backends(mut self, backends: impl IntoIterator<Item = SocketAddr>) -> Site {
        self.backends = backends.into_iter().map(|address| format!("\"{address}\"")).collect();
        self
    }

    pub fn weighted(mut self, backends: impl IntoIterator<Item = (SocketAddr, u32)>) -> Site {
        self.backends = backends.into_iter().map(|(address, weight)| format!("{{ address = \"{address}\", weight = {weight} }}")).collect();
        self
    }

    /// The backends as the file has them, in place of addresses.
    pub fn entries(mut self, entries: &str) -> Site {
        self.backends = vec![entries.to_owned()];
        self
    }

    /// Each with its `max_requests`.
    pub fn limited(mut self, backends: impl IntoIterator<Item = (SocketAddr, u32)>) -> Site {
        self.backends =
            backends.into_iter().map(|(address, most)| format!("{{ address = \"{address}\", max_requests = {most} }}")).collect();
        self
    }

    pub fn workers(mut self, workers: usize) -> Site {
        self.workers = workers;
        self
    }

    /// The keys of `[server]`, in place of a drain without delay.
    pub fn server(mut self, keys: &str) -> Site {
        self.server = format!("{keys}\n");
        self
    }

    /// More keys of `[listen.web]`.
    pub fn listen(mut self, keys: &str) -> Site {
        self.listen.push_str(&format!("{keys}\n"));
        self
    }

    pub fn algorithm(self, algorithm: &str) -> Site {
        self.pool(&format!("algorithm = \"{algorithm}\""))
    }

    /// More keys of `[pool.app]`.
    pub fn pool(mut self, keys: &str) -> Site {
        self.pool.push_str(&format!("{keys}\n"));
        self
    }

    /// More keys of the route to `app`.
    pub fn route(mut self, keys: &str) -> Site {
        self.route.push_str(&format!("{keys}\n"));
        self
    }

    /// The keys of `[log]`, in place of an access log in JSON.
    pub fn log(mut self, keys: &str) -> Site {
        self.log = format!("{keys}\n");
        self
    }

    /// More tables.
    pub fn with(mut self, tables: &str) -> Site {
        self.rest.push_str(&format!("\n{tables}\n"));
        self
    }

    /// The same on other ports.
    pub fn elsewhere(&self) -> Site {
        Site { web: free_address(), admin: free_address(), ..self.clone() }
    }

    /// What `with` has added is taken out again.
    pub fn without_tables(mut self) -> Site {
        self.rest.clear();
        self
    }

    pub fn text(&self) -> String {
        let Site { web, admin, workers, server, listen, log, rest, .. } = self;
        let app = match self.backends.join(", ") {
            none if none.is_empty() => String::new(),
            backends => format!("[pool.app]\nbackends = [{backends}]\n{}\n[[route]]\npool = \"app\"\n{}", self.pool, self.route),
        };
        format!(
            "[server]\nworkers = {workers}\n{server}\n[listen.web]\naddress = \"{web}\"\n{listen}\n[admin]\naddress = \"{admin}\"\n\n\
             [log]\n{log}\n{app}{rest}"
        )
    }

    /// Started and ready.
    #[track_caller]
    pub fn start(&self) -> Proxy {
        self.start_in(TempDir::new().expect("a directory"))
    }

    /// The same in a directory where the test has placed what the configuration names.
    #[track_caller]
    pub fn start_in(&self, dir: TempDir) -> Proxy {
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, self.text()).expect("write the configuration");
        self.start_at(dir, file)
    }

    /// The same from a file that the test has placed in `dir` itself.
    #[track_caller]
    pub fn start_at(&self, dir: TempDir, file: PathBuf) -> Proxy {
        let mut proxy = self.spawn_at(dir, file);
        until("the proxy to be ready", || {
            proxy.assert_running();
            TcpStream::connect(self.admin).is_ok().then(|| proxy.admin("GET", "/ready").status() == 200).filter(|ready| *ready)
        });
        proxy
    }

    /// Started, ready or not.
    pub fn spawn_at(&self, dir: TempDir, file: PathBuf) -> Proxy {
        let output = |name: &str| Stdio::from(File::create(dir.path().join(name)).expect("create an output file"));
        let child = tidegate(["run"])
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .expect("start tidegate");
        Proxy { child, dir, file, web: self.web, admin: self.admin }
    }
}

/// The program with these arguments, and nothing of the environment that could change what it does.
pub fn tidegate<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// What a command printed and how it ended.
pub fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("run tidegate");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

pub struct Proxy {
    child: Child,
    pub dir: TempDir,
    pub file: PathBuf,
    pub web: SocketAddr,
    pub admin: SocketAddr,
}

impl Proxy {
    #[track_caller]
    pub fn connect(&self) -> Wire {
        Wire::connect(self.web)
    }

    /// A GET that is under way, on a connection of its own.
    #[track_caller]
    pub fn ask(&self, target: &str) -> Wire {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Message {
        get(self.web, path)
    }

    #[track_caller]
    pub fn admin(&self, method: &str, path: &str) -> Message {
        let mut wire = Wire::connect(self.admin);
        let host = self.admin;
        wire.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Tidegate: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        wire.answer()
    }

    /// A command that asks this proxy: what it said and how it ended.
    pub fn command(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        outcome(tidegate([]).args(arguments).args(["--admin", &self.admin.to_string()]))
    }

    /// What the admin API says of the pool `app`.
    #[track_caller]
    pub fn pool(&self) -> Value {
        let status: Value = serde_json::from_str(&self.admin("GET", "/api/status").text()).expect("JSON");
        status["pools"][0].clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid() as i32), signal).expect("signal the proxy");
    }

    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("wait for the proxy") {
            panic!("the proxy ended with {status}");
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit(&mut self) -> ExitStatus {
        until("the proxy to end", || self.child.try_wait().expect("wait for the proxy"))
    }

    /// Writes a new configuration in place of the old, in the same file.
    pub fn edit(&self, site: &Site) {
        fs::write(&self.file, site.text()).expect("write the configuration");
    }

    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    fn output(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Waits until the program's log says this.
    #[track_caller]
    pub fn logged(&self, what: &str) -> String {
        until(&format!("{what:?} in the log"), || Some(self.stderr()).filter(|log| log.contains(what)))
    }

    /// Waits for the access log's line about the request for `target`.
    #[track_caller]
    pub fn access(&self, target: &str) -> Value {
        until(&format!("a line about {target} in the access log"), || self.access_lines().into_iter().find(|line| line["target"] == target))
    }

    pub fn access_lines(&self) -> Vec<Value> {
        access_lines(&self.stdout())
    }

    /// The sum of all series of this name that carry these labels, as `route="a"`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        sum(&self.admin("GET", "/metrics").text(), name, labels)
    }

    /// Waits until a metric is this.
    #[track_caller]
    pub fn metric_becomes(&self, name: &str, labels: &[&str], value: f64) {
        until(&format!("{name} {labels:?} to be {value}"), || (self.metric(name, labels) == Some(value)).then_some(()));
    }

    /// Resident memory now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the proxy's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// Ends the process whatever the test did, and tells a failing test what it had said.
impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let configuration = fs::read_to_string(&self.file).unwrap_or_default();
            eprintln!("---- configuration\n{configuration}\n---- log\n{}---- access log\n{}----", self.stderr(), self.stdout());
        }
    }
}

pub fn access_lines(text: &str) -> Vec<Value> {
    // The last line may be half written at this moment.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in access log line {line}"))).collect()
}

/// One GET on a connection of its own.
#[track_caller]
pub fn get(from: SocketAddr, path: &str) -> Message {
    let mut wire = Wire::connect(from);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n"));
    wire.answer()
}

/// Backends in the test's hands, and a site that leads to them.
pub fn scripted<const N: usize>() -> ([Backend; N], Site) {
    let backends = [(); N].map(|()| Backend::bind());
    let site = Site::to(backends.each_ref().map(Backend::address));
    (backends, site)
}

/// Backends that answer with these names, and a site that leads to them.
pub fn named<const N: usize>(names: [&str; N]) -> ([Counting; N], Site) {
    let backends = names.map(Counting::start);
    let site = Site::to(backends.each_ref().map(Counting::address));
    (backends, site)
}

/// The sum of the samples in a page of Prometheus' text format that have this name and these labels.
pub fn sum(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let values: Vec<f64> = page
        .lines()
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (base, set) = series.split_once('{').unwrap_or((series, ""));
            (base == name && labels.iter().all(|label| set.contains(label))).then(|| value.parse().expect("a sample's value"))
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// Waits as long as it takes for a thing that is about time itself, such as a limit on idleness.
pub fn after(duration: Duration) {
    std::thread::sleep(duration);
}

/// Replaces a file as editors do: a new one beside it, renamed over it.
pub fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).expect("write beside");
    fs::rename(&beside, file).expect("rename over");
}
