//! From the first bind to the last byte: starting, being told to end, and ending well.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::proxy::{access_lines, after, free_address, get, outcome, tidegate};
use crate::support::{Backend, Counting, End, Site, Wire, until};

#[test]
fn told_to_end_it_says_so_and_serves_on_for_the_delay() {
    let a = Counting::start("a");
    let mut proxy = Site::to([a.address()]).server("drain_delay = \"60s\"").start();
    let mut kept = proxy.connect();
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    kept.answer();
    assert_eq!(proxy.admin("GET", "/ready").status(), 200);
    proxy.signal(Signal::SIGTERM);
    until("/ready to say no", || (proxy.admin("GET", "/ready").status() == 503).then_some(()));
    assert_eq!(proxy.get("/").text(), "a", "new connections are served");
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = kept.answer();
    assert_eq!((answer.text().as_str(), answer.head.lists("connection", "close")), ("a", false), "kept ones as well, and stay");

    let since = Instant::now();
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    assert!(since.elapsed() < Duration::from_secs(5), "a second signal ends at once, not after {:?}", since.elapsed());
}

#[test]
fn draining_finishes_what_runs_and_starts_nothing_new() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let backend = Backend::bind();
        let mut proxy = Site::to([backend.address()]).start();
        let mut idle = proxy.connect();
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        idle.answer();

        let mut thinking = proxy.connect();
        thinking.send("GET /thinking HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut thinker = backend.accept();
        thinker.request();
        let mut streaming = proxy.connect();
        streaming.send("GET /streaming HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut streamer = backend.accept();
        streamer.request();
        streamer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        streaming.head();
        streaming.expect("hello");

        proxy.signal(signal);
        assert_eq!(idle.end(), End::Closed, "what is idle is closed");
        until("new connections to be refused", || TcpStream::connect(proxy.web).is_err().then_some(()));
        proxy.assert_running();
        thinker.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nthought");
        let answer = thinking.answer();
        assert_eq!((answer.text().as_str(), answer.head.lists("connection", "close")), ("thought", true), "{answer:?}");
        assert_eq!(thinking.end(), End::Closed);
        streamer.send("world");
        streaming.expect("world");
        streaming.end();
        assert_eq!(proxy.exit().code(), Some(0));
        assert_eq!(access_lines(&proxy.stdout()).len(), 3, "every request has its line");
    }
}

#[test]
fn draining_has_an_end() {
    let backend = Backend::bind();
    let mut proxy = Site::to([backend.address()]).server("drain_delay = \"0s\"\ndrain_timeout = \"300ms\"").start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    let since = Instant::now();
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    assert!(since.elapsed() > Duration::from_millis(200), "after {:?}", since.elapsed());
    client.rest();
    upstream.end();
}

/// Nothing but a reset tells an HTTP/1.0 client that its answer has not ended with the connection.
#[test]
fn an_answer_that_lasts_until_the_close_is_cut_with_a_reset_when_the_process_ends_in_it() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let backend = Backend::bind();
        let mut proxy = Site::to([backend.address()]).server("drain_delay = \"0s\"\ndrain_timeout = \"300ms\"").start();
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.request();
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        client.head();
        client.expect("hello");
        proxy.signal(signal);
        proxy.exit();
        assert_eq!(client.rest(), (Vec::new(), End::Reset), "{signal}");
    }
}

#[test]
fn nothing_is_lost_while_clients_come_on_new_connections_and_it_drains() {
    let a = Counting::start("a");
    let mut proxy = Site::to([a.address()]).server("drain_delay = \"500ms\"").start();
    let web = proxy.web;
    let stopping = Instant::now();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                // Within the delay nothing may fail; what comes later may be refused.
                while stopping.elapsed() < Duration::from_millis(400) {
                    assert_eq!(get(web, "/").text(), "a");
                }
            })
        })
        .collect();
    proxy.signal(Signal::SIGTERM);
    for client in clients {
        client.join().expect("no request fails");
    }
    assert_eq!(proxy.exit().code(), Some(0));
}

#[track_caller]
fn assert_names(said: &str, address: SocketAddr) {
    assert!(said.contains(&address.port().to_string()) && said.contains(&address.ip().to_string()), "{said}");
}

#[test]
fn a_taken_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let taken = taken.local_addr().expect("a local address");
    let site = |web, admin| {
        let mut site = Site::to([free_address()]);
        (site.web, site.admin) = (web, admin);
        site
    };
    for (what, site) in [("listener", site(taken, free_address())), ("admin", site(free_address(), taken))] {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, site.text()).expect("write");
        let mut proxy = site.spawn_at(dir, file);
        assert_eq!(proxy.exit().code(), Some(1), "{what}");
        assert_names(&proxy.stderr(), taken);
    }
}

#[test]
fn a_second_instance_does_not_share_the_address() {
    let a = Counting::start("a");
    let site = Site::to([a.address()]);
    let proxy = site.start();
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("tidegate.toml");
    let mut second = site.clone();
    second.admin = free_address();
    fs::write(&file, second.text()).expect("write");
    let mut second = second.spawn_at(dir, file);
    assert_eq!(second.exit().code(), Some(1));
    assert_names(&second.stderr(), proxy.web);
}

#[test]
fn an_address_can_be_taken_again_at_once() {
    let a = Counting::start("a");
    let site = Site::to([a.address()]);
    for _ in 0..3 {
        let mut proxy = site.start();
        assert_eq!(proxy.get("/").text(), "a");
        proxy.signal(Signal::SIGTERM);
        assert_eq!(proxy.exit().code(), Some(0));
    }
}

#[test]
fn the_access_log_moves_to_a_new_file_when_told() {
    let a = Counting::start("a");
    let dir = TempDir::new().expect("a directory");
    let log = dir.path().join("access.log");
    let proxy = Site::to([a.address()]).log(&format!("access_file = \"{}\"", log.display())).start();
    let lines = |file: &Path| access_lines(&fs::read_to_string(file).unwrap_or_default()).len();
    proxy.get("/before");
    until("the first line", || (lines(&log) == 1).then_some(()));
    let rotated = dir.path().join("access.log.1");
    fs::rename(&log, &rotated).expect("rename");
    proxy.signal(Signal::SIGUSR1);
    // What was logged up to the signal, and a few lines of that moment, may still go to the old file; none is lost.
    let mut requests = 1;
    until("a line in the new file", || {
        proxy.get("/after");
        requests += 1;
        (lines(&log) > 0).then_some(())
    });
    until("every line in one of them", || (lines(&log) + lines(&rotated) == requests).then_some(()));
    assert!(fs::read_to_string(&log).expect("the log").contains("/after"));
}

#[test]
fn both_families_share_a_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("no IPv6 here");
        return;
    }
    let a = Counting::start("a");
    let port = free_address().port();
    let proxy = Site::to([a.address()]).with(&format!("[listen.both]\naddress = [\"0.0.0.0:{port}\", \"[::]:{port}\"]")).start();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(get(address.parse().expect("an address"), "/").text(), "a", "{address}");
    }
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn the_limit_of_connections_is_exact_over_all_addresses_and_workers_and_told_once() {
    let a = Counting::start("a");
    let addresses = [free_address(), free_address()];
    let [first, second] = addresses;
    let keys = "limits = { connections = 3 }";
    let proxy = Site::to([a.address()]).workers(4).with(&format!("[listen.two]\naddress = [\"{first}\", \"{second}\"]\n{keys}")).start();
    let mut waiting: Vec<Wire> = (0..12)
        .map(|n| {
            let mut client = Wire::connect(addresses[n % 2]);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    let mut served: Vec<Wire> = Vec::new();
    let mut take = |served: &mut Vec<Wire>| {
        until("three to be served", || {
            for mut client in waiting.extract_if(.., |client| !client.is_quiet()) {
                assert_eq!(client.answer().text(), "a");
                served.push(client);
            }
            (served.len() >= 3).then_some(())
        });
        // Whoever comes too early comes now.
        after(Duration::from_millis(150));
        assert!(waiting.iter_mut().all(Wire::is_quiet), "more than three are served");
        assert_eq!(served.len(), 3);
        waiting.len()
    };
    while take(&mut served) > 0 {
        served.remove(0);
    }
    let told = proxy.stderr().matches("has as many connections as it may").count();
    assert_eq!(told, 1, "however often it filled up again");
}

#[test]
fn a_limit_keeps_clients_waiting_not_failing() {
    let a = Counting::start("a");
    let proxy = Site::to([a.address()]).listen("limits = { connections = 3 }").start();
    let mut kept: Vec<Wire> = (0..3)
        .map(|_| {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.answer().text(), "a");
            client
        })
        .collect();
    // Whoever comes now waits until one of them has gone.
    let mut fourth = proxy.connect();
    fourth.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    kept[1].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept[1].answer().text(), "a", "those that are in are served");
    assert!(fourth.is_quiet());
    kept.pop();
    assert_eq!(fourth.answer().text(), "a");
}

#[test]
fn workers_that_can_not_start_are_an_error_at_the_start() {
    let site = Site::new().workers(20).with("[[route]]\nrespond = { body = \"x\" }");
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("tidegate.toml");
    fs::write(&file, site.text()).expect("write");
    // Enough descriptors for the sockets, not for what drives them.
    let limited = "ulimit -Sn 50 && ulimit -Hn 50 && exec \"$0\" run \"$1\"";
    let mut command = std::process::Command::new("sh");
    let (code, _, said) = outcome(command.args(["-c", limited, env!("CARGO_BIN_EXE_tidegate")]).arg(&file).env("NO_COLOR", "1"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the workers can not start"), "{said}");
}

#[test]
fn it_raises_its_file_limit() {
    let proxy = Site::new().with("[[route]]\nrespond = { body = \"x\" }").start();
    let Ok(limits) = fs::read_to_string(format!("/proc/{}/limits", proxy.pid())) else { return };
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}

#[test]
fn a_file_that_is_missing_or_wrong_is_an_error() {
    let dir = TempDir::new().expect("a directory");
    let missing = dir.path().join("missing.toml");
    let (code, _, said) = outcome(tidegate(["run"]).arg(&missing));
    assert_eq!(code, Some(1));
    assert!(said.contains("missing.toml"), "{said}");
    let wrong = dir.path().join("wrong.toml");
    fs::write(&wrong, "[listen.web]\naddress = \"127.0.0.1:0x\"\n\n[pool.app]\nbackend = []\n").expect("write");
    let (code, _, said) = outcome(tidegate(["run"]).arg(&wrong));
    assert_eq!(code, Some(1));
    assert!(said.contains("wrong.toml:2:") && said.contains("wrong.toml:5:"), "all mistakes at once: {said}");
}
