//! Real servers and real clients: nginx, HAProxy, Python's and Node's own HTTP, `curl` and `wrk`. Ignored unless asked for, as they need those
//! programs; `integration/run` installs and asks.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::proxy::{free_address, get};
use crate::support::{Site, Wire, until};

pub const SIZES: [(&str, u64); 4] = [("empty", 0), ("byte", 1), ("medium", 64 << 10), ("large", 10 << 20)];
const HUGE: (&str, u64) = ("huge", 1 << 30);

/// A length that divides no buffer size: whatever is lost, doubled or out of order shows.
const PERIOD: usize = 65_521;

/// Content that a reader can check at any offset without holding it.
fn pattern() -> Vec<u8> {
    let mut state = 1u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(PERIOD).collect()
}

fn write_content(file: &Path, size: u64) {
    let block = pattern().repeat(16);
    let mut file = File::create(file).expect("create a file to serve");
    let mut left = size;
    while left > 0 {
        let piece = left.min(block.len() as u64) as usize;
        file.write_all(&block[..piece]).expect("write a file to serve");
        left -= piece as u64;
    }
}

/// Compares a stream with the pattern, piece by piece.
pub struct Checker {
    /// Twice the pattern, so that any piece of up to one period is one comparison.
    pattern: Vec<u8>,
    pub offset: u64,
}

impl Checker {
    pub fn new() -> Checker {
        Checker { pattern: pattern().repeat(2), offset: 0 }
    }

    pub fn check(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PERIOD) {
            let from = (self.offset % PERIOD as u64) as usize;
            assert!(piece == &self.pattern[from..from + piece.len()], "other bytes from offset {}", self.offset);
            self.offset += piece.len() as u64;
        }
    }
}

/// A server of another make, ended with the test.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(mut command: Command, address: SocketAddr) -> Server {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("start {program:?}: {error}"));
        until(&format!("{program:?} to listen"), || std::net::TcpStream::connect(address).ok());
        Server { child, address }
    }

    fn nginx(root: &Path, work: &Path) -> Server {
        let (address, work) = (free_address(), work.display());
        let configuration = format!(
            "daemon off; master_process off; pid {work}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 2000; }}\n\
             http {{\n\
             access_log off; sendfile on; keepalive_requests 1000000;\n\
             client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;\n\
             uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;\n\
             server {{ listen {address}; root {}; }}\n\
             }}\n",
            root.display()
        );
        let file = format!("{work}/nginx.conf");
        fs::write(&file, configuration).expect("write nginx's configuration");
        let mut command = Command::new("nginx");
        command.args(["-p", &work.to_string(), "-e", "stderr", "-c", &file]);
        Server::start(command, address)
    }

    /// HTTP/1.0, one request for each connection.
    fn python(root: &Path) -> Server {
        let address = free_address();
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(root).arg(address.port().to_string());
        Server::start(command, address)
    }

    /// Files with a length, or chunked with `?chunked`; what is sent to `/echo` comes back.
    fn node(root: &Path) -> Server {
        const SCRIPT: &str = "
            const [root, port] = process.argv.slice(1), fs = require('fs');
            require('http').createServer((request, response) => {
                response.setHeader('Server', 'node');
                if (request.url === '/echo') return request.pipe(response);
                const [name, how] = request.url.split('?'), file = root + name;
                if (how !== 'chunked') response.setHeader('Content-Length', fs.statSync(file).size);
                fs.createReadStream(file).pipe(response);
            }).listen(port, '127.0.0.1');";
        let address = free_address();
        let mut command = Command::new("node");
        command.args(["-e", SCRIPT]).arg(root).arg(address.port().to_string());
        Server::start(command, address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: one that has processes of its own ends them.
        let _ = signal::kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(2) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files to serve, and a place for nginx to work in.
pub fn stocked(files: &[(&str, u64)]) -> (TempDir, TempDir) {
    let (root, work) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    for (name, size) in files {
        write_content(&root.path().join(name), *size);
    }
    (root, work)
}

#[test]
#[ignore = "needs nginx, python3 and node"]
fn three_servers_of_different_make_share_the_requests() {
    let (root, work) = stocked(&SIZES);
    let servers = [Server::nginx(root.path(), work.path()), Server::python(root.path()), Server::node(root.path())];
    let proxy = Site::to(servers.each_ref().map(|server| server.address)).algorithm("round_robin").start();
    let mut client = proxy.connect();
    let mut seen = [0; 3];
    for _ in 0..60 {
        client.send("GET /byte HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.body.len()), (200, 1));
        let make = answer.head.get("server").unwrap_or_default().to_owned();
        let at = ["nginx", "Python", "node"].iter().position(|name| make.contains(name)).unwrap_or_else(|| panic!("a server named {make}"));
        seen[at] += 1;
    }
    assert_eq!(seen, [20, 20, 20]);
}

#[test]
#[ignore = "needs nginx, python3 and node"]
fn the_client_gets_byte_for_byte_what_the_server_sent() {
    let (root, work) = stocked(&SIZES);
    let servers = [Server::nginx(root.path(), work.path()), Server::python(root.path()), Server::node(root.path())];
    for server in &servers {
        let proxy = Site::to([server.address]).start();
        for (name, size) in SIZES {
            for query in ["", "?chunked"] {
                let path = format!("/{name}{query}");
                let through = get(proxy.web, &path);
                assert_eq!(through.status(), 200, "{path}");
                let mut checker = Checker::new();
                checker.check(&through.body);
                assert_eq!(checker.offset, size, "{path}");
                // What describes the content is the server's own.
                let direct = get(server.address, &path);
                for field in ["content-type", "content-length", "last-modified", "etag", "server"] {
                    assert_eq!(through.head.get(field), direct.head.get(field), "{field} of {path}");
                }
            }
        }
    }
}

/// Reads one huge file through the proxy; `pause` is called after each piece.
fn read_huge(proxy: SocketAddr, mut pause: impl FnMut()) {
    let mut client = Wire::connect(proxy);
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", HUGE.0));
    let head = client.head();
    assert_eq!(head.get("content-length"), Some(HUGE.1.to_string().as_str()));
    let mut checker = Checker::new();
    let seen = client.pour(HUGE.1, |bytes| {
        checker.check(bytes);
        pause();
    });
    assert_eq!(seen, HUGE.1);
}

#[test]
#[ignore = "needs nginx"]
fn eight_slow_readers_of_a_gigabyte_each_cost_little_memory() {
    const READERS: usize = 8;
    const LIMIT_KIB: u64 = 64 << 10;
    let (root, work) = stocked(&[HUGE]);
    let server = Server::nginx(root.path(), work.path());
    let proxy = Site::to([server.address]).start();
    read_huge(proxy.web, || ());
    let finished = AtomicUsize::new(0);
    let mut most = 0;
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut pieces = 0u64;
                read_huge(proxy.web, || {
                    // At first as good as not at all, then so that it ends.
                    let pause = if pieces < 20 { Duration::from_millis(100) } else { Duration::from_micros(300) };
                    std::thread::sleep(pause);
                    pieces += 1;
                });
                finished.fetch_add(1, Ordering::SeqCst);
            });
        }
        while finished.load(Ordering::SeqCst) < READERS && most < LIMIT_KIB {
            most = most.max(proxy.resident_kib());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(most < LIMIT_KIB, "{most} KiB");
}

#[test]
#[ignore = "needs curl and node"]
fn curl_uploads_and_gets_it_back() {
    let (root, _work) = stocked(&SIZES);
    let server = Server::node(root.path());
    let proxy = Site::to([server.address]).start();
    for (name, size) in SIZES {
        // curl asks for 100 (Continue) before a large body.
        for extra in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect: 100-continue"], &["--http1.0"]] {
            let mut command = Command::new("curl");
            command.args(["-sS", "--fail", "--max-time", "20", "--data-binary"]).arg(format!("@{}", root.path().join(name).display()));
            let output = command.args(extra).arg(format!("http://{}/echo", proxy.web)).output().expect("run curl");
            assert!(output.status.success(), "{name} {extra:?}: {}", String::from_utf8_lossy(&output.stderr));
            let mut checker = Checker::new();
            checker.check(&output.stdout);
            assert_eq!(checker.offset, size, "{name} {extra:?}");
        }
    }
}

#[test]
#[ignore = "needs nginx and wrk"]
fn wrk_sees_no_failure_while_the_algorithm_is_edited_twenty_times() {
    let (root, work) = stocked(&SIZES);
    let works: Vec<TempDir> = (0..2).map(|_| TempDir::new().expect("a directory")).collect();
    let servers: Vec<Server> =
        [work.path(), works[0].path(), works[1].path()].into_iter().map(|work| Server::nginx(root.path(), work)).collect();
    let site = Site::to(servers.iter().map(|server| server.address)).log("access = \"off\"");
    let proxy = site.start();
    let mut wrk = Command::new("wrk");
    wrk.args(["-t4", "-c400", "-d12s", "--timeout", "10s"]).arg(format!("http://{}/byte", proxy.web));
    let wrk = wrk.stdout(Stdio::piped()).spawn().expect("run wrk");
    let algorithms = ["round_robin", "least_connections", "weighted_round_robin", "p2c"];
    for turn in 0..20 {
        std::thread::sleep(Duration::from_millis(500));
        proxy.edit(&site.clone().algorithm(algorithms[turn % algorithms.len()]));
    }
    let output = wrk.wait_with_output().expect("wait for wrk");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("requests in"), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    assert_eq!(proxy.metric("tidegate_config_last_reload_successful", &[]), Some(1.0));
}

/// A script of these tests in Python, and its server; `None`: the package that it needs is not here.
fn of_python(script: &str, module: &str, package: &str) -> Option<(PathBuf, Server)> {
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|has| has.success()) {
        eprintln!("skipped: python3 has no package {package}; `integration/run` installs it");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration").join(script);
    let address = free_address();
    let mut serve = Command::new("python3");
    serve.arg(&script).args(["serve", &address.port().to_string()]);
    Some((script, Server::start(serve, address)))
}

/// Its client finds all as it should be.
#[track_caller]
fn asks(script: &Path, whom: &str) {
    let asked = Command::new("python3").arg(script).args(["ask", whom]).output().expect("run python3");
    assert!(asked.status.success(), "{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
}

/// The `websockets` package for Python, on both ends.
#[test]
#[ignore = "needs python3 and its package websockets"]
fn websockets_as_programs_speak_them_come_through() {
    let Some((script, server)) = of_python("talk.py", "websockets.sync.client", "websockets") else { return };
    let proxy = Site::to([server.address]).start();
    asks(&script, &format!("ws://{}/chat", proxy.web));
    proxy.metric_becomes("tidegate_tunnels_open", &["pool=\"app\""], 0.0);
    let lines = until("all to be logged", || Some(proxy.access_lines()).filter(|lines| lines.len() >= 61));
    for line in lines {
        assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(101), None), "{line}");
    }
}

/// The `grpcio` package for Python, on both ends; the server is asked of its health besides.
#[test]
#[ignore = "needs python3 and its package grpcio"]
fn calls_of_grpc_as_programs_make_them_come_through() {
    let Some((script, server)) = of_python("calls.py", "grpc", "grpcio") else { return };
    let pool = "protocol = \"http2\"\nhealth = { kind = \"grpc\", every = \"100ms\" }";
    let proxy = Site::to([server.address]).pool(pool).start();
    until("the probes to pass", || (proxy.pool()["backends"][0]["check"]["finding"] == "passed").then_some(()));
    asks(&script, &proxy.web.to_string());
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
}

/// HAProxy in front and HAProxy behind: what the first says of a client, and it alone knows, arrives at the second.
#[test]
#[ignore = "needs haproxy"]
fn haproxy_is_understood_and_understands() {
    let work = TempDir::new().expect("a directory");
    for (sends, version) in [
        ("send-proxy", "v2"),
        ("send-proxy-v2", "v1"),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl", "v2"),
        ("send-proxy-v2 proxy-v2-options crc32c", "v1"),
    ] {
        let (front, behind) = (free_address(), free_address());
        let site = Site::to([behind])
            .listen("proxy_protocol = \"127.0.0.1\"")
            .pool(&format!("send_proxy_protocol = \"{version}\"\nhealth = {{ path = \"/\", every = \"100ms\" }}"));
        let configuration = format!(
            "defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen front\n mode tcp\n bind {front}\n unique-id-format %[rand]\n server next {} {sends}\n\
             frontend behind\n mode http\n bind {behind} accept-proxy\n\
             http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[req.hdr(x-forwarded-for)]\"\n",
            site.web
        );
        let file = work.path().join("haproxy.cfg");
        fs::write(&file, configuration).expect("write HAProxy's configuration");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let server = Server::start(command, behind);
        let proxy = site.start();
        // A check of ours counts as well as a client's request.
        until("the probes to pass", || (proxy.pool()["backends"][0]["check"]["finding"] == "passed").then_some(()));
        let mut clients: Vec<Wire> = (0..3).map(|_| Wire::connect(front)).collect();
        for _ in 0..2 {
            for client in &mut clients {
                client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
                let seen = client.answer().text();
                assert_eq!(seen, format!("127.0.0.1:{} 127.0.0.1", client.local_port()), "{sends} to {version}");
            }
        }
        drop(server);
    }
}
