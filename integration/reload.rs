//! Editing the file while traffic flows: what was written is in force at once, and nobody notices but by its effect.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::proxy::{free_address, get, outcome, replace, tidegate};
use crate::support::{Backend, Counting, End, Proxy, Site, Wire, until};
use crate::websocket;

/// From saving the file to its effect. Promised is a second; a machine that runs other tests meanwhile is granted more.
const PROMPTLY: Duration = Duration::from_secs(3);

/// Clients that send one request after the other on kept connections; any failure fails the test at `stop`.
pub struct Hammer {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Hammer {
    pub fn start(proxy: &Proxy) -> Hammer {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..3)
            .map(|_| {
                let (over, sent, web) = (over.clone(), sent.clone(), proxy.web);
                std::thread::spawn(move || {
                    let mut client = Wire::connect(web);
                    while !over.load(Ordering::Relaxed) {
                        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                        let answer = client.answer();
                        assert_eq!(answer.status(), 200, "{answer:?}");
                        if answer.head.lists("connection", "close") {
                            client = Wire::connect(web);
                        }
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Hammer { over, sent, clients }
    }

    #[track_caller]
    pub fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no request fails");
        }
        self.sent.load(Ordering::Relaxed)
    }
}

/// Waits for the effect of an edit, and sees that it came in time.
#[track_caller]
fn promptly(what: &str, mut ask: impl FnMut() -> bool) {
    let since = Instant::now();
    until(what, || ask().then_some(()));
    assert!(since.elapsed() < PROMPTLY, "{what} took {:?}", since.elapsed());
}

/// Asks the admin to read the file now.
pub fn reload(proxy: &Proxy) -> u16 {
    proxy.admin("POST", "/api/reload").status()
}

#[track_caller]
fn names(proxy: &Proxy, n: usize) -> String {
    (0..n).map(|_| proxy.get("/").text()).collect()
}

#[test]
fn algorithm_backends_and_routes_change_under_load_without_a_failed_request() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::new().weighted([(a.address(), 9), (b.address(), 1)]);
    let proxy = site.clone().algorithm("round_robin").start();
    let hammer = Hammer::start(&proxy);
    let settles = |site: Site, share: f64| {
        proxy.edit(&site);
        promptly(&format!("a share of {share}"), || {
            let before = (a.requests(), b.requests());
            until("some requests", || (a.requests() + b.requests() > before.0 + before.1 + 100).then_some(()));
            let (to_a, to_b) = (a.requests() - before.0, b.requests() - before.1);
            (to_a as f64 / (to_a + to_b) as f64 - share).abs() < 0.08
        });
    };
    settles(site.clone().algorithm("weighted_round_robin"), 0.9);
    settles(site.clone().algorithm("round_robin"), 0.5);
    settles(site.clone().backends([a.address()]), 1.0);
    settles(site.clone().backends([b.address()]), 0.0);
    settles(site.clone().backends([a.address(), b.address()]).algorithm("round_robin").route("path = \"/*\""), 0.5);
    let sent = hammer.stop();
    assert!(sent > 300, "{sent} requests");
    assert_eq!(proxy.metric("tidegate_config_last_reload_successful", &[]), Some(1.0));
}

#[test]
fn a_kept_connection_follows_at_its_next_request() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let proxy = site.start();
    let mut client = proxy.connect();
    let mut ask = || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().text()
    };
    assert_eq!(ask(), "a");
    proxy.edit(&site.clone().backends([b.address()]));
    assert_eq!(reload(&proxy), 200);
    assert_eq!(ask(), "b");
}

#[test]
fn a_bad_edit_changes_nothing_and_is_told_by_file_line_and_column() {
    let a = Counting::start("a");
    let site = Site::to([a.address()]);
    let proxy = site.start();
    assert_eq!(proxy.metric("tidegate_config_last_reload_successful", &[]), Some(1.0));
    let wrong = site.clone().algorithm("p2d").text();
    let line = wrong.lines().position(|line| line.contains("p2d")).expect("the line") + 1;
    fs::write(&proxy.file, wrong).expect("write");
    proxy.metric_becomes("tidegate_config_last_reload_successful", &[], 0.0);
    let log = proxy.logged("p2d");
    assert!(log.contains(&format!("tidegate.toml:{line}:")), "{log}");
    assert!(log.contains("p2c"), "says what would be right: {log}");
    assert_eq!(names(&proxy, 3), "aaa");
    assert_eq!(reload(&proxy) / 100, 4, "asked to reload it says no");
    proxy.edit(&site.clone().algorithm("least_connections"));
    proxy.metric_becomes("tidegate_config_last_reload_successful", &[], 1.0);
}

#[test]
fn a_file_renamed_over_the_old_one_is_seen() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let proxy = site.start();
    for (backend, name) in [(&b, "b"), (&a, "a"), (&b, "b")] {
        replace(&proxy.file, &site.clone().backends([backend.address()]).text());
        promptly("the renamed file", || names(&proxy, 1) == name);
    }
}

#[test]
fn a_symlink_swapped_beside_it_is_seen() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let dir = TempDir::new().expect("a directory");
    // As a kubelet mounts a ConfigMap: file -> ..data/file, ..data -> ..version, and the middle one is replaced.
    let publish = |root: &Path, version: &str, text: &str| {
        fs::create_dir(root.join(version)).expect("a directory");
        fs::write(root.join(version).join("tidegate.toml"), text).expect("write");
        symlink(version, root.join("..data_tmp")).expect("a symlink");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("rename");
    };
    publish(dir.path(), "..1", &site.text());
    let file = dir.path().join("tidegate.toml");
    symlink("..data/tidegate.toml", &file).expect("a symlink");
    let proxy = site.start_at(dir, file);
    assert_eq!(names(&proxy, 2), "aa");
    for (version, backend, name) in [("..2", &b, "b"), ("..3", &a, "a")] {
        publish(proxy.dir.path(), version, &site.clone().backends([backend.address()]).text());
        promptly("the swapped directory", || names(&proxy, 1) == name);
    }
    fs::remove_dir_all(proxy.dir.path().join("..2")).expect("the old version goes");
    assert_eq!(names(&proxy, 1), "a");
}

#[test]
fn a_deleted_file_changes_nothing_until_it_is_back() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let proxy = site.start();
    fs::remove_file(&proxy.file).expect("remove");
    assert_eq!(reload(&proxy) / 100, 4);
    assert_eq!(names(&proxy, 3), "aaa");
    proxy.edit(&site.clone().backends([b.address()]));
    promptly("the new file", || names(&proxy, 1) == "b");
}

#[test]
fn a_half_written_file_does_not_count() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let proxy = site.start();
    let text = site.clone().backends([b.address()]).text();
    fs::write(&proxy.file, &text[..text.len() / 2]).expect("write");
    fs::write(&proxy.file, &text).expect("write");
    promptly("the whole file", || names(&proxy, 1) == "b");
    assert_eq!(proxy.metric("tidegate_config_last_reload_successful", &[]), Some(1.0));
}

#[test]
fn sighup_and_the_command_read_the_file_again() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let elsewhere = TempDir::new().expect("a directory");
    let proxy = site.start();
    // Written by its other name, in a directory that nobody watches.
    let other_name = elsewhere.path().join("other");
    if fs::hard_link(&proxy.file, &other_name).is_err() {
        return;
    }
    fs::write(&other_name, site.clone().backends([b.address()]).text()).expect("write");
    proxy.signal(Signal::SIGHUP);
    promptly("the effect of the signal", || names(&proxy, 1) == "b");
    fs::write(&other_name, site.text()).expect("write");
    let (code, said, complaint) = outcome(tidegate(["reload", "--admin"]).arg(proxy.admin.to_string()));
    assert_eq!(code, Some(0), "{said}{complaint}");
    assert!(said.contains("app") && !said.starts_with('{'), "says to a person what changed: {said}");
    assert_eq!(names(&proxy, 2), "aa");
    fs::write(&other_name, "[listen.web]\naddres = 1\n").expect("write");
    let (code, _, complaint) = outcome(tidegate(["reload", "--admin"]).arg(proxy.admin.to_string()));
    assert_eq!(code, Some(1));
    assert!(complaint.contains("address"), "{complaint}");
}

#[test]
fn listeners_come_and_go() {
    let a = Counting::start("a");
    let site = Site::to([a.address()]);
    let proxy = site.start();
    let second = free_address();
    for _ in 0..3 {
        proxy.edit(&site.clone().with(&format!("[listen.second]\naddress = \"{second}\"")));
        assert_eq!(reload(&proxy), 200);
        assert_eq!(get(second, "/").text(), "a");
        let mut kept = Wire::connect(second);
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        kept.answer();
        proxy.edit(&site);
        assert_eq!(reload(&proxy), 200);
        until("the listener to be gone", || TcpStream::connect(second).is_err().then_some(()));
        // What is idle there goes with it.
        assert_eq!(kept.end(), End::Closed);
        assert_eq!(proxy.get("/").text(), "a");
    }
}

#[test]
fn a_listener_of_another_name_takes_over_the_connections_of_its_address() {
    let backend = Backend::bind();
    let site = Site::to([backend.address()]).with("[[route]]\npath = \"/own\"\nrespond = { body = \"own\" }");
    let proxy = site.start();
    let own = "GET /own HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut kept: Vec<Wire> = (0..8).map(|_| proxy.connect()).collect();
    for client in &mut kept {
        client.send(own);
        assert_eq!(client.answer().text(), "own");
    }
    let mut running = proxy.connect();
    running.send("GET /running HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();

    // Renamed, and with a rule that only the new name has.
    let only = "[[route]]\nlisten = \"renamed\"\npath = \"/renamed\"\nrespond = { body = \"renamed\" }";
    fs::write(&proxy.file, site.clone().with(only).text().replace("[listen.web]", "[listen.renamed]")).expect("write");
    assert_eq!(reload(&proxy), 200);
    for client in &mut kept {
        for (path, text) in [("/own", "own"), ("/renamed", "renamed")] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.answer();
            assert_eq!((answer.text().as_str(), answer.head.lists("connection", "close")), (text, false), "{answer:?}");
        }
    }
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    assert_eq!(running.answer().text(), "done");
    running.send(own);
    assert_eq!(running.answer().text(), "own");
    assert_eq!(proxy.get("/renamed").text(), "renamed");
    assert_eq!(proxy.access("/renamed")["listener"], "renamed");
}

#[test]
fn an_address_that_is_taken_refuses_the_whole_edit() {
    let (a, b) = (Counting::start("a"), Counting::start("b"));
    let site = Site::to([a.address()]);
    let proxy = site.start();
    let taken = Backend::bind();
    proxy.edit(&site.clone().backends([b.address()]).with(&format!("[listen.second]\naddress = \"{}\"", taken.address())));
    assert_ne!(reload(&proxy), 200);
    assert!(proxy.logged(&taken.address().to_string()).contains("taken") || !proxy.stderr().is_empty());
    assert_eq!(names(&proxy, 2), "aa", "all or nothing");
}

#[test]
fn an_open_websocket_survives_fifty_reloads() {
    let backend = Backend::bind();
    let a = Counting::start("a");
    let site = Site::to([backend.address()]);
    let proxy = site.start();
    let mut client = proxy.connect();
    let mut upstream = websocket::open(&mut client, &backend);
    for turn in 0..50 {
        // Even its backend and its route go.
        let next = if turn % 2 == 0 { site.clone().backends([a.address()]).route("path = \"/new\"") } else { site.clone() };
        proxy.edit(&next);
        assert_eq!(reload(&proxy), 200);
        client.send("ping");
        upstream.expect("ping");
        upstream.send("pong");
        client.expect("pong");
    }
}

#[test]
fn a_removed_backend_finishes_what_it_has() {
    let backend = Backend::bind();
    let a = Counting::start("a");
    let site = Site::to([backend.address()]);
    let proxy = site.start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.request();
    let mut idle_client = proxy.connect();
    idle_client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = backend.accept();
    idle.request();
    idle.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    idle_client.answer();

    proxy.edit(&site.clone().backends([a.address()]));
    assert_eq!(reload(&proxy), 200);
    assert_eq!(names(&proxy, 2), "aa");
    idle.end();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    assert_eq!(client.answer().text(), "last");
    assert_eq!(upstream.end(), End::Closed, "and its connection is not kept");
}

#[test]
fn what_was_learned_stays() {
    let backends: Vec<Backend> = (0..2).map(|_| Backend::bind()).collect();
    let site = Site::to(backends.iter().map(Backend::address)).algorithm("least_connections");
    let proxy = site.start();
    // Three requests on the first: whoever forgets them in a reload sends more there.
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (at, upstream) = until("the request at a backend", || {
            backends.iter().enumerate().find_map(|(at, backend)| backend.accepted().map(|upstream| (at, upstream)))
        });
        held.push((at, client, upstream));
    }
    let (mut held, free): (Vec<_>, Vec<_>) = held.into_iter().partition(|(at, ..)| *at == 0);
    for (_, mut client, mut upstream) in free {
        upstream.request();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        client.answer();
        upstream.end();
    }
    assert_eq!(held.len(), 3);
    proxy.edit(&site.clone().listen("timeout = { idle = \"20s\" }"));
    assert_eq!(reload(&proxy), 200);
    for _ in 0..3 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = backends[1].accept();
        upstream.request();
        held.push((1, client, upstream));
    }
    backends[0].assert_untouched();
}
