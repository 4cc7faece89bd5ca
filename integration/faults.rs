//! One sick backend of three, under load: how many requests fail for it. Real servers (Node), so that they die as servers die.
//!
//! `cargo test --test integration -- --ignored --nocapture faults` prints the counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::proxy::free_address;
use crate::support::{Site, Wire, until};

const CLIENTS: usize = 8;
const REQUESTS: usize = 4000;

const CHECKS: &str = "health = { path = \"/healthz\", every = \"100ms\", timeout = \"500ms\" }";
const FIRST_BYTE: &str = "timeout = { first_byte = \"500ms\" }";

/// Answers 1 KiB, or fails in the way that it is told to; a hanging one hangs its checks too, the others pass them.
const SCRIPT: &str = "
    const [mode, port] = process.argv.slice(1), body = 'x'.repeat(1024);
    require('http').createServer((request, response) => {
        if (mode === 'hangs') return;
        if (mode === 'fails' && request.url !== '/healthz') { response.statusCode = 500; return response.end('sorry'); }
        if (mode === 'breaks' && request.url !== '/healthz') {
            response.setHeader('Content-Length', body.length);
            response.write(body.slice(512));
            return setTimeout(() => request.socket.resetAndDestroy(), 5);
        }
        response.end(body);
    }).listen(port, '127.0.0.1');";

struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    fn start(mode: &str, address: SocketAddr) -> Node {
        let mut command = Command::new("node");
        command.args(["-e", SCRIPT, mode, &address.port().to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start node");
        until("node to listen", || std::net::TcpStream::connect(address).ok());
        Node { child, address }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends all requests over a few kept connections, `meanwhile` something happens; how many came to each status, 0 being a broken answer.
fn storm(web: SocketAddr, meanwhile: impl FnOnce()) -> HashMap<u16, usize> {
    let client = |_| {
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut wire = Wire::connect(web);
            for _ in 0..REQUESTS / CLIENTS {
                wire.send("GET /load HTTP/1.1\r\nHost: a\r\n\r\n");
                let head = wire.head();
                let length = head.get("content-length").map_or(0, |length| length.parse().expect("a length"));
                let whole = wire.up_to(length) == length;
                seen.push(if whole { head.status() } else { 0 });
                if !whole || head.lists("connection", "close") {
                    wire = Wire::connect(web);
                }
            }
            seen
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    meanwhile();
    let mut seen = HashMap::new();
    for status in clients.into_iter().flat_map(|client| client.join().expect("a client")) {
        *seen.entry(status).or_default() += 1;
    }
    seen
}

/// How many of the requests failed with one backend in this mode.
fn failed(mode: &str, keys: &str) -> usize {
    let sick = free_address();
    let well = [Node::start("well", free_address()), Node::start("well", free_address())];
    let mut third = Some(Node::start(mode, sick));
    let proxy = Site::to(well.iter().map(|node| node.address).chain([sick])).pool(FIRST_BYTE).pool(keys).start();
    let seen = storm(proxy.web, || {
        if mode == "killed" {
            std::thread::sleep(Duration::from_millis(100));
            drop(third.take());
            std::thread::sleep(Duration::from_millis(400));
            third = Some(Node::start("well", sick));
        }
    });
    let failed = REQUESTS - seen.get(&200).copied().unwrap_or_default();
    eprintln!("{mode:>8} | {keys:<70} | {failed:>4} of {REQUESTS} failed {seen:?}");
    failed
}

#[test]
#[ignore = "needs node"]
fn a_sick_backend_costs_few_requests() {
    for keys in ["", CHECKS] {
        assert_eq!(failed("killed", keys), 0);
        assert_eq!(failed("hangs", keys), 0);
        // Once a byte of an answer has gone to the client nothing can be tried again: what is lost until it is ejected is lost.
        let broken = failed("breaks", keys);
        assert!(broken < 4 * CLIENTS, "{broken}");
    }
    // A status is an answer like another, unless the configuration says that it is a failure.
    assert!(failed("fails", "") > REQUESTS / 4);
    assert_eq!(
        failed(
            "fails",
            "retry = { on = [\"connect\", \"reset\", \"timeout\", \"500\"] }\neject = { on = [\"connect\", \"reset\", \"timeout\", \"5xx\"] }"
        ),
        0
    );
}
