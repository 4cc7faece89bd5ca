//! HTTP/2 as other makes of servers speak it: nginx and Node, by prior knowledge and under TLS. Ignored unless asked for, like `peers`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::peers::{Checker, SIZES, Server, stocked};
use crate::support::certificates::Authority;
use crate::support::proxy::{free_address, get};
use crate::support::{Proxy, Site, Wire, until};

/// Requests that nginx takes on one connection before it leaves: few, so that a test sees it leave often.
const ON_ONE_CONNECTION: usize = 100;

/// What nginx sends `/echo` on to. It sends back what came once that is whole: nginx does not read an answer while it sends.
fn echo() -> Server {
    const SCRIPT: &str = "
        require('http').createServer((request, response) => {
            const pieces = [];
            request.on('data', piece => pieces.push(piece)).on('end', () => response.end(Buffer.concat(pieces)));
        }).listen(process.argv[1], '127.0.0.1');";
    let address = free_address();
    let mut command = Command::new("node");
    command.args(["-e", SCRIPT, &address.port().to_string()]);
    Server::start(command, address)
}

/// Files, and `/echo`.
fn nginx(root: &Path, work: &Path, secure: bool, echo: &Server) -> Server {
    let (address, place) = (free_address(), work.display());
    let tls = format!("ssl_certificate {place}/site.pem; ssl_certificate_key {place}/site.key;");
    let (listen, tls) = if secure { ("ssl http2", tls.as_str()) } else { ("http2", "") };
    let configuration = format!(
        "daemon off; user root; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;\n\
         events {{ worker_connections 2000; }}\n\
         http {{\n\
         access_log off; client_max_body_size 0; keepalive_requests {ON_ONE_CONNECTION};\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
         server {{ listen {address} {listen}; root {}; {tls}\n\
         location /none {{ return 204; }}\n\
         location /took {{ return 200 took; }}\n\
         location /echo {{ proxy_pass http://{}; proxy_http_version 1.1; }}\n\
         }} }}\n",
        root.display(),
        echo.address
    );
    let file = format!("{place}/nginx.conf");
    fs::write(&file, configuration).expect("write nginx's configuration");
    let mut command = Command::new("nginx");
    command.args(["-p", &place.to_string(), "-e", "stderr", "-c", &file]);
    Server::start(command, address)
}

/// Files; what is sent to `/echo` comes back; `/sum` answers with trailers, to a request with some; `/leave` says GOAWAY; those who ask
/// for `/crowd` are answered when there are as many as `crowd` of them.
fn node(root: &Path, work: &Path, secure: bool, crowd: usize) -> Server {
    const SCRIPT: &str = "
        const [root, work, secure, crowd, port] = process.argv.slice(1), fs = require('fs'), http2 = require('http2');
        const pem = name => fs.readFileSync(work + '/site.' + name), waiting = [];
        const server = secure === 'true' ? http2.createSecureServer({ key: pem('key'), cert: pem('pem') }) : http2.createServer();
        server.on('stream', (stream, head) => {
            stream.on('error', () => {});
            const path = head[':path'], say = text => { stream.respond({ ':status': 200 }); stream.end(text); };
            if (path === '/echo') { stream.respond({ ':status': 200 }); return stream.pipe(stream); }
            if (path === '/none') return stream.respond({ ':status': 204 }, { endStream: true });
            if (path === '/took') { stream.on('end', () => say('took')); return stream.resume(); }
            if (path === '/leave') { say('left'); stream.session.goaway(); return stream.session.close(); }
            if (path === '/crowd') {
                waiting.push(() => say('here'));
                return waiting.length < crowd || waiting.splice(0).forEach(answer => answer());
            }
            if (path === '/sum') {
                let bytes = 0, said = '';
                stream.on('data', piece => bytes += piece.length);
                stream.on('trailers', fields => said = fields['x-said']);
                stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': bytes + ' ' + said }));
                stream.on('end', () => { stream.respond({ ':status': 200 }, { waitForTrailers: true }); stream.end('sum'); });
                return;
            }
            if (head[':method'] === 'HEAD') {
                stream.respond({ ':status': 200, 'content-length': fs.statSync(root + path).size }, { endStream: true });
                return;
            }
            stream.respondWithFile(root + path);
        });
        server.listen(port, '127.0.0.1');";
    let address = free_address();
    let mut command = Command::new("node");
    command.args(["-e", SCRIPT]).args([root, work]).args([secure.to_string(), crowd.to_string(), address.port().to_string()]);
    Server::start(command, address)
}

/// Both makes, plain and under TLS, each behind a proxy of its own.
struct Stage {
    name: String,
    server: Server,
    proxy: Proxy,
    is_node: bool,
}

fn each(crowd: usize, mut run: impl FnMut(&Path, &Stage)) {
    let (root, _) = stocked(&SIZES);
    let echo = echo();
    for (is_node, secure) in [(false, false), (false, true), (true, false), (true, true)] {
        let (work, dir, authority) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"), Authority::new());
        authority.sign(&["127.0.0.1"]).write(work.path(), "site");
        fs::write(dir.path().join("ca.pem"), authority.pem()).expect("write a certificate");
        let server = match is_node {
            true => node(root.path(), work.path(), secure, crowd),
            false => nginx(root.path(), work.path(), secure, &echo),
        };
        let tls = if secure { "tls = { ca = \"ca.pem\" }" } else { "" };
        let proxy = Site::to([server.address]).pool(&format!("protocol = \"http2\"\n{tls}")).start_in(dir);
        let name = format!("{}{}", if is_node { "Node" } else { "nginx" }, if secure { ", TLS" } else { "" });
        run(root.path(), &Stage { name, server, proxy, is_node });
    }
}

#[test]
#[ignore = "needs nginx, node and curl"]
fn messages_of_all_kinds_come_through_byte_for_byte() {
    each(0, |root, Stage { name, proxy, is_node, .. }| {
        for (file, size) in SIZES {
            let answer = get(proxy.web, &format!("/{file}"));
            let mut checker = Checker::new();
            checker.check(&answer.body);
            assert_eq!((answer.status(), checker.offset), (200, size), "{name}: {file}");

            let mut client = proxy.connect();
            client.send(format!("HEAD /{file} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head();
            assert_eq!((head.status(), head.get("content-length")), (200, Some(size.to_string().as_str())), "{name}: {file}");

            // In both directions at once.
            let mut command = Command::new("curl");
            command.args(["-sS", "--fail", "--max-time", "20", "--data-binary"]).arg(format!("@{}", root.join(file).display()));
            let output = command.arg(format!("http://{}/echo", proxy.web)).output().expect("run curl");
            assert!(output.status.success(), "{name}: {file}: {}", String::from_utf8_lossy(&output.stderr));
            let mut checker = Checker::new();
            checker.check(&output.stdout);
            assert_eq!(checker.offset, size, "{name}: {file}");
        }
        let mut client = proxy.connect();
        for _ in 0..2 {
            client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.answer().status(), 204, "{name}");
        }
        if *is_node {
            client.send(
                "POST /sum HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\nTrailer: x-said\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Said: yes\r\n\r\n",
            );
            assert_eq!(client.head().status(), 200);
            let sum = ("x-sum".to_owned(), "5 yes".to_owned());
            assert_eq!(client.chunked(), (b"sum".to_vec(), vec![sum]), "{name}");
        }
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
        assert_eq!(proxy.metric("tidegate_failures_total", &[]), None, "{name}: {:?}", proxy.access_lines());
    });
}

#[test]
#[ignore = "needs nginx and node"]
fn no_request_is_lost_as_they_leave() {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 400;
    each(0, |_, Stage { name, server, proxy, is_node }| {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // nginx leaves by itself after some requests; it does so as well when it is told to read its configuration again.
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(200));
                    if !is_node {
                        signal::kill(Pid::from_raw(server.child.id() as i32), Signal::SIGHUP).expect("signal nginx");
                    }
                }
            });
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask_often(name, proxy, *is_node, REQUESTS))).collect();
            let asked: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            over.store(true, Ordering::Relaxed);
            asked.into_iter().for_each(|asked| asked.expect("every request is answered"));
        });
        // They have left often indeed.
        until(&format!("{name} to have left often"), || {
            proxy.metric("tidegate_upstream_connections_opened_total", &[]).filter(|opened| *opened >= 20.0)
        });
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    });
}

fn ask_often(name: &str, proxy: &Proxy, is_node: bool, requests: usize) {
    let mut client = Wire::connect(proxy.web);
    for turn in 0..requests {
        let (request, expected) = match turn % 20 {
            7 if is_node => ("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n", "left"),
            // One that may not be sent twice.
            even if even % 2 == 0 => ("POST /took HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "took"),
            _ => ("GET /took HTTP/1.1\r\nHost: a\r\n\r\n", "took"),
        };
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, expected), "{name}: {turn}");
    }
}

#[test]
#[ignore = "needs nginx and node"]
fn five_hundred_at_once_are_all_answered() {
    const CROWD: usize = 500;
    each(CROWD, |_, Stage { name, proxy, is_node, .. }| {
        // Node holds all of them until they are there.
        let path = if *is_node { "/crowd" } else { "/medium" };
        for _ in 0..2 {
            let mut clients: Vec<Wire> = (0..CROWD).map(|_| proxy.ask(path)).collect();
            for client in &mut clients {
                let answer = client.answer();
                let size = if *is_node { 4 } else { 64 << 10 };
                assert_eq!((answer.status(), answer.body.len()), (200, size), "{name}");
            }
        }
        proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    });
}
