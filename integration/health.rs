//! Backends that are not well: found out by checks, put out, let back in; and what becomes of requests meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::proxy::{after, free_address, outcome, tidegate};
use crate::support::{Backend, Counting, Proxy, Site, Wire, until};

/// Quick checks. A tenth of a second less or more is nothing to them.
const CHECK: &str = "health = { path = \"/healthz\", every = \"100ms\", timeout = \"500ms\", rise = 2, fall = 3 }";

/// How a backend of `Moody` is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// Checks are answered with this status, requests with 200.
    Says(u16),
    /// Everything is answered with 500.
    Fails,
    /// Requests and checks are read, and nothing is answered.
    Hangs,
    /// Checks pass; requests are answered with half an answer and a reset.
    Breaks,
}

/// A backend whose mood a test changes while it runs. It tells checks from requests by their path.
struct Moody {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    probes: AtomicUsize,
    requests: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Moody {
    fn start(mood: Mood) -> Moody {
        let backend = Backend::bind();
        let address = backend.address();
        let (probes, requests) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { mood: Mutex::new(mood), probes, requests, heads: Mutex::default() });
        std::thread::spawn({
            let shared = shared.clone();
            // The thread and its socket end with the test's process.
            move || {
                loop {
                    if let Some(wire) = backend.accepted() {
                        let shared = shared.clone();
                        std::thread::spawn(move || shared.serve(wire));
                    } else {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        });
        Moody { address, shared }
    }

    fn becomes(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut wire: Wire) {
        loop {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                match wire.some() {
                    Some(more) => seen.extend(more),
                    None => return,
                }
            }
            let head = String::from_utf8_lossy(&seen).into_owned();
            let check = head.contains(" /healthz");
            self.heads.lock().unwrap().push(head);
            if check { &self.probes } else { &self.requests }.fetch_add(1, Ordering::SeqCst);
            let status = match (*self.mood.lock().unwrap(), check) {
                (Mood::Well | Mood::Breaks, true) | (Mood::Well | Mood::Says(_), false) => 200,
                (Mood::Says(status), true) => status,
                (Mood::Fails, _) => 500,
                (Mood::Hangs, _) => {
                    let _ = wire.rest_within(Duration::from_secs(20));
                    return;
                }
                (Mood::Breaks, false) => {
                    let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                    // For the proxy to read it before the reset throws it away.
                    std::thread::sleep(Duration::from_millis(5));
                    return wire.reset();
                }
            };
            if wire.try_send(format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nready")).is_err() {
                return;
            }
        }
    }
}

/// What the admin says of a backend of the pool `app`.
fn backend(proxy: &Proxy, address: SocketAddr) -> Value {
    let status: Value = serde_json::from_str(&proxy.admin("GET", "/api/status").text()).expect("JSON");
    let backends = status["pools"][0]["backends"].as_array().expect("backends").clone();
    backends.into_iter().find(|backend| backend["address"] == address.to_string()).expect("the backend")
}

fn becomes(proxy: &Proxy, address: SocketAddr, state: &str) -> Value {
    until(&format!("{address} to be {state}"), || Some(backend(proxy, address)).filter(|backend| backend["state"] == state))
}

/// Clients that count what they get: statuses, and broken answers as 0.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<HashMap<u16, usize>>>,
}

impl Load {
    fn start(proxy: &Proxy, clients: usize) -> Load {
        let over = Arc::new(AtomicBool::new(false));
        let web = proxy.web;
        let client = |_| {
            let over = over.clone();
            std::thread::spawn(move || {
                let mut seen = HashMap::new();
                let mut wire = Wire::connect(web);
                while !over.load(Ordering::Relaxed) {
                    wire.send("GET /load HTTP/1.1\r\nHost: a\r\n\r\n");
                    let head = wire.head();
                    let length = head.get("content-length").map_or(0, |length| length.parse().expect("a length"));
                    let whole = wire.up_to(length) == length;
                    *seen.entry(if whole { head.status() } else { 0 }).or_default() += 1;
                    if !whole || head.lists("connection", "close") {
                        wire = Wire::connect(web);
                    }
                }
                seen
            })
        };
        Load { clients: (0..clients).map(client).collect(), over }
    }

    /// How many there were of each status.
    fn stop(self) -> HashMap<u16, usize> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = HashMap::new();
        for client in self.clients {
            for (status, count) in client.join().expect("a client") {
                *all.entry(status).or_default() += count;
            }
        }
        all
    }
}

fn failures(seen: &HashMap<u16, usize>) -> usize {
    seen.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum()
}

#[test]
fn a_backend_killed_and_restarted_under_load_fails_no_get() {
    let (first, second, place) = (Counting::start("a"), Counting::start("b"), free_address());
    let mut third = Some(Counting::on(place, "c"));
    let proxy = Site::to([first.address(), second.address(), place]).pool(CHECK).start();
    becomes(&proxy, place, "up");
    let load = Load::start(&proxy, 4);
    for _ in 0..2 {
        drop(third.take());
        let down = becomes(&proxy, place, "down");
        assert_eq!((&down["check"]["finding"], &down["available"]), (&"connect_refused".into(), &false.into()), "{down}");
        let back = Counting::on(place, "c");
        becomes(&proxy, place, "up");
        let before = back.requests();
        until("requests to it", || (back.requests() > before + 20).then_some(()));
        third = Some(back);
    }
    let seen = load.stop();
    assert_eq!(failures(&seen), 0, "{seen:?}");
    assert!(seen[&200] > 100, "{seen:?}");
}

#[test]
fn a_failing_check_takes_a_backend_out_and_a_passing_one_brings_it_back() {
    let (sick, well) = (Moody::start(Mood::Well), Moody::start(Mood::Well));
    let proxy = Site::to([sick.address, well.address]).pool(CHECK).algorithm("round_robin").start();
    becomes(&proxy, sick.address, "up");
    sick.becomes(Mood::Says(500));
    let down = becomes(&proxy, sick.address, "down");
    assert_eq!(down["check"]["finding"], "status 500", "{down}");
    assert!(down["check"]["streak"].as_u64() >= Some(3), "{down}");
    assert!(down["check"]["since"].is_string() && down["check"]["latency_ms"].is_f64(), "{down}");
    let before = sick.requests();
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status(), 200));
    assert_eq!(sick.requests(), before, "not while it is down");
    assert_eq!(proxy.metric("tidegate_backend_up", &[&format!("backend=\"{}\"", sick.address)]), Some(0.0));
    assert_eq!(proxy.metric("tidegate_pool_backends_up", &["pool=\"app\""]), Some(1.0));

    sick.becomes(Mood::Well);
    becomes(&proxy, sick.address, "up");
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status(), 200));
    assert_eq!(sick.requests(), before + 5);
    for (line, times) in [("backend is down", 1), ("backend is up again", 1)] {
        let log = proxy.logged(line);
        assert_eq!(log.matches(line).count(), times, "{log}");
    }
    let mine = format!("backend=\"{}\"", sick.address);
    assert!(proxy.metric("tidegate_probes_total", &[&mine, "outcome=\"status\""]) >= Some(3.0));
    assert!(proxy.metric("tidegate_probes_total", &[&mine, "outcome=\"passed\""]) >= Some(3.0));
    assert!(proxy.metric("tidegate_probe_seconds_total", &[&mine]) > Some(0.0));
    assert!(proxy.metric("tidegate_probe_latency_seconds", &[&mine]) > Some(0.0));
}

#[test]
fn fewer_failures_in_a_row_than_fall_take_nothing_out() {
    // The script answers the first connections as they come: two failures, one pass, two failures, ...
    let script = Backend::bind();
    let address = script.address();
    let check = "health = { path = \"/healthz\", every = \"20ms\", timeout = \"5s\", rise = 2, fall = 3, start = \"up\" }";
    let proxy = Site::to([address]).pool(check).start();
    let answer = |status: u16| {
        let mut probe = script.accept();
        let head = probe.request().head;
        assert_eq!(head.start, "GET /healthz HTTP/1.1");
        assert!(head.lists("connection", "close") && head.get("host") == Some(&address.to_string()), "{head:?}");
        probe.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        probe.end();
    };
    let state = || backend(&proxy, address)["state"].clone();
    for _ in 0..3 {
        answer(503);
        answer(503);
        answer(200);
        assert_eq!(state(), "up");
    }
    (0..3).for_each(|_| answer(503));
    until("it to be down", || (state() == "down").then_some(()));
    answer(200);
    answer(404);
    answer(200);
    assert_eq!(state(), "down");
    answer(200);
    until("it to be up", || (state() == "up").then_some(()));
}

#[test]
fn a_connection_is_a_check_of_its_own() {
    let (here, gone) = (Backend::bind(), free_address());
    let check = "health = { kind = \"tcp\", every = \"50ms\" }";
    let proxy = Site::to([here.address(), gone]).pool(check).start();
    becomes(&proxy, here.address(), "up");
    let down = becomes(&proxy, gone, "down");
    assert_eq!(down["check"]["finding"], "connect_refused");
}

#[test]
fn how_a_backend_starts_is_a_choice() {
    let check = |start: &str| format!("health = {{ path = \"/healthz\", every = \"100ms\", timeout = \"10s\", start = \"{start}\" }}");
    // Up: a request goes there, whatever the check says a moment later.
    let hung = Moody::start(Mood::Well);
    let proxy = Site::to([hung.address]).pool(&check("up")).start();
    assert_eq!(proxy.get("/").status(), 200);
    drop(proxy);

    // Wait: the request is held until the first probe has ended.
    let script = Backend::bind();
    let proxy = Site::to([script.address()]).pool(&check("wait")).start();
    let mut probe = script.accept();
    probe.request();
    assert_eq!(backend(&proxy, script.address())["state"], "undecided");
    let mut client = proxy.connect();
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.metric_becomes("tidegate_requests_in_flight", &[], 1.0);
    assert_eq!(backend(&proxy, script.address())["state"], "undecided");
    script.assert_untouched();
    probe.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    probe.end();
    let mut upstream = until("the request", || {
        let mut wire = script.accept();
        let head = wire.request().head;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        (head.start == "GET /held HTTP/1.1").then_some(wire)
    });
    assert_eq!(client.answer().status(), 200);
    upstream.end();
    drop(proxy);

    // Down: not before `rise` probes have passed; and what starts down is down when all are.
    let well = Moody::start(Mood::Well);
    let slow = format!("{}\nwhen_all_down = \"fail\"", check("down").replace("100ms", "1s"));
    let proxy = Site::to([well.address]).pool(&slow).start();
    assert_eq!((proxy.get("/early").status(), well.requests()), (503, 0));
    becomes(&proxy, well.address, "up");
    assert!(well.probes() >= 2);
    assert_eq!(proxy.get("/late").status(), 200);
}

#[test]
fn all_down_fails_open_and_says_so_once() {
    let (one, two) = (Moody::start(Mood::Well), Moody::start(Mood::Well));
    let proxy = Site::to([one.address, two.address]).pool(CHECK).start();
    for round in 1..=2 {
        one.becomes(Mood::Says(503));
        two.becomes(Mood::Says(503));
        proxy.metric_becomes("tidegate_pool_fail_open", &["pool=\"app\""], 1.0);
        for n in 0..10 {
            let target = format!("/open/{round}/{n}");
            assert_eq!(proxy.get(&target).status(), 200);
            let line = proxy.access(&target);
            assert_eq!((&line["fail_open"], &line["reason"]), (&true.into(), &Value::Null), "{line}");
        }
        proxy.metric_becomes("tidegate_fail_open_attempts_total", &["pool=\"app\""], 10.0 * f64::from(round));
        let status: Value = serde_json::from_str(&proxy.admin("GET", "/api/status").text()).expect("JSON");
        assert_eq!(status["pools"][0]["fail_open"], true);
        one.becomes(Mood::Well);
        proxy.metric_becomes("tidegate_pool_fail_open", &["pool=\"app\""], 0.0);
        let target = format!("/closed/{round}");
        assert_eq!(proxy.get(&target).status(), 200);
        let line = proxy.access(&target);
        assert_eq!((&line["fail_open"], &line["backend"]), (&false.into(), &one.address.to_string().into()), "{line}");
        let log = proxy.stderr();
        assert_eq!(log.matches("failing open").count(), round as usize, "{log}");
        assert_eq!(log.matches("has a backend that is up again").count(), round as usize, "{log}");
    }
}

#[test]
fn all_down_can_be_an_error_instead() {
    let (one, two) = (Moody::start(Mood::Says(503)), Moody::start(Mood::Says(503)));
    let proxy = Site::to([one.address, two.address]).pool(CHECK).pool("when_all_down = \"fail\"").start();
    becomes(&proxy, one.address, "down");
    becomes(&proxy, two.address, "down");
    assert_eq!(proxy.get("/none").status(), 503);
    assert_eq!(proxy.access("/none")["reason"], "no_backend");
    assert_eq!((one.requests(), two.requests()), (0, 0));
    assert_eq!(proxy.metric("tidegate_pool_fail_open", &["pool=\"app\""]), Some(0.0));
    proxy.logged("requests are answered with 503");
    one.becomes(Mood::Well);
    becomes(&proxy, one.address, "up");
    assert_eq!(proxy.get("/one").status(), 200);
}

#[test]
fn what_has_no_weight_is_no_last_resort() {
    let (down, spare) = (Moody::start(Mood::Says(503)), Moody::start(Mood::Well));
    let proxy = Site::new().weighted([(down.address, 1), (spare.address, 0)]).pool(CHECK).start();
    becomes(&proxy, down.address, "down");
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status(), 200));
    assert_eq!((down.requests(), spare.requests()), (10, 0));
}

/// The checks see nothing; only real answers do.
const EJECT: &str = "timeout = { first_byte = \"200ms\" }\neject = { errors = 3, base = \"2s\", max = \"50%\" }";

#[test]
fn a_hung_backend_is_ejected_and_comes_back_when_it_answers() {
    let (hung, well) = (Moody::start(Mood::Hangs), Moody::start(Mood::Well));
    let proxy = Site::to([hung.address, well.address]).pool(EJECT).algorithm("round_robin").start();
    let load = Load::start(&proxy, 4);
    let ejected = becomes(&proxy, hung.address, "ejected");
    assert_eq!((&ejected["ejection"]["reason"], &ejected["ejection"]["count"]), (&"first_byte_timeout".into(), &1.into()), "{ejected}");
    assert!(ejected["ejection"]["until"].is_string() && ejected["available"] == false, "{ejected}");
    assert_eq!(backend(&proxy, well.address)["state"], "up");
    // Its time passes, one request tries it, and it is out for longer.
    until("a second ejection", || (backend(&proxy, hung.address)["ejection"]["count"] == 2).then_some(()));
    let requests = hung.requests();
    proxy.logged("backend failed its trial");
    assert!(requests <= 8, "{requests} requests went to the hung backend: three errors, one per client under way, one trial");
    hung.becomes(Mood::Well);
    becomes(&proxy, hung.address, "up");
    proxy.logged("backend is back");
    until("full share", || (hung.requests() > requests + 50).then_some(()));
    let seen = load.stop();
    assert!(failures(&seen) <= requests, "{seen:?}: one for each request that hung, at most");
    assert_eq!(proxy.metric("tidegate_backend_ejections_total", &[&format!("backend=\"{}\"", hung.address)]), Some(2.0));
}

#[test]
fn a_trial_that_its_client_breaks_off_is_left_to_the_next() {
    let (hung, well) = (Moody::start(Mood::Hangs), Moody::start(Mood::Well));
    let eject = "timeout = { first_byte = \"2s\" }\neject = { errors = 1, base = \"1s\" }";
    let proxy = Site::to([hung.address, well.address]).pool(eject).algorithm("round_robin").start();
    (0..2).for_each(|_| assert_eq!(proxy.get("/").status(), 200, "tried again at the other"));
    becomes(&proxy, hung.address, "ejected");
    for round in 1..=3 {
        becomes(&proxy, hung.address, "trial");
        let before = hung.requests();
        let client = until("a request to be the trial", || {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            // Where it is not the trial it is answered, and at once.
            until("either of the two", || (hung.requests() > before || !client.is_quiet()).then_some(()));
            (hung.requests() > before).then_some(client)
        });
        assert_eq!(backend(&proxy, hung.address)["available"], false, "one is enough");
        client.reset();
        until("the trial to be given back", || (backend(&proxy, hung.address)["available"] == true).then_some(()));
        let seen = backend(&proxy, hung.address);
        assert_eq!((&seen["state"], &seen["ejection"]["count"]), (&"trial".into(), &1.into()), "round {round}: {seen}");
    }
    hung.becomes(Mood::Well);
    until("the trial to pass", || {
        assert_eq!(proxy.get("/").status(), 200);
        (backend(&proxy, hung.address)["state"] == "up").then_some(())
    });
}

#[test]
fn a_backend_that_breaks_off_its_answers_is_ejected() {
    // The heads of its answers are fine: it is by their ends that it is judged.
    let (broken, well) = (Moody::start(Mood::Breaks), Moody::start(Mood::Well));
    let proxy = Site::to([broken.address, well.address]).pool(CHECK).pool(EJECT).algorithm("round_robin").start();
    becomes(&proxy, broken.address, "up");
    let load = Load::start(&proxy, 2);
    let ejected = becomes(&proxy, broken.address, "ejected");
    assert_eq!(ejected["ejection"]["reason"], "response_truncated", "{ejected}");
    assert_eq!(ejected["check"]["finding"], "passed", "{ejected}");
    let seen = load.stop();
    assert!(failures(&seen) <= 4 && failures(&seen) >= 3, "{seen:?}");
}

#[test]
fn a_status_ejects_where_the_configuration_says_so() {
    for (on, state) in [("", "up"), (", on = [\"5xx\"]", "ejected")] {
        let (failing, well) = (Moody::start(Mood::Fails), Moody::start(Mood::Well));
        let eject = format!("eject = {{ errors = 3, base = \"1m\"{on} }}");
        let proxy = Site::to([failing.address, well.address]).pool(&eject).algorithm("round_robin").start();
        let fives = (0..20).filter(|_| proxy.get("/").status() == 500).count();
        assert_eq!(backend(&proxy, failing.address)["state"], state);
        assert_eq!(fives, if state == "up" { 10 } else { 3 });
    }
}

#[test]
fn a_lone_backend_and_one_whose_clients_left_are_not_ejected() {
    let (one, two) = (Backend::bind(), Backend::bind());
    let eject = "eject = { errors = 3, base = \"1m\" }";
    let proxy = Site::to([one.address(), two.address()]).pool(eject).algorithm("round_robin").start();
    for _ in 0..10 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = until("the request", || one.accepted().or_else(|| two.accepted()));
        upstream.request();
        client.reset();
        upstream.end();
    }
    for address in [one.address(), two.address()] {
        let seen = backend(&proxy, address);
        assert_eq!((&seen["state"], &seen["ejection"]["errors"]), (&"up".into(), &0.into()), "{seen}");
    }
    let gone = free_address();
    let proxy = Site::to([gone]).pool(eject).start();
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status(), 502));
    assert_eq!(backend(&proxy, gone)["state"], "up");
}

#[test]
fn verdicts_and_ejections_survive_a_reload() {
    let (down, broken, well) = (Moody::start(Mood::Says(503)), Moody::start(Mood::Breaks), Moody::start(Mood::Well));
    let backends = [down.address, broken.address, well.address];
    let eject = "eject = { errors = 3, base = \"1m\" }";
    let site = Site::to(backends);
    let proxy = site.clone().algorithm("round_robin").pool(eject).pool(CHECK).start();
    becomes(&proxy, down.address, "down");
    let load = Load::start(&proxy, 1);
    becomes(&proxy, broken.address, "ejected");
    load.stop();

    // The algorithm changes, nothing that is known does.
    let before = backend(&proxy, down.address);
    proxy.edit(&site.clone().algorithm("p2c").pool(eject).pool(CHECK));
    proxy.logged("algorithm round_robin -> p2c");
    let seen = backend(&proxy, down.address);
    assert_eq!((&seen["state"], &seen["check"]["since"]), (&"down".into(), &before["check"]["since"]), "{seen}");
    assert!(seen["check"]["streak"].as_u64() >= before["check"]["streak"].as_u64(), "{seen}");
    assert_eq!(backend(&proxy, broken.address)["state"], "ejected");

    // Another check: the verdict stays until it has one of its own, and its count begins anew.
    let other = CHECK.replace("100ms", "30s").replace("/healthz", "/healthz?2");
    proxy.edit(&site.clone().pool(eject).pool(&other));
    proxy.logged("health.path /healthz -> /healthz?2");
    let seen = backend(&proxy, down.address);
    assert_eq!(seen["state"], "down", "{seen}");
    assert!(seen["check"]["streak"].as_u64() <= Some(1), "{seen}");

    // No check: no verdict.
    proxy.edit(&site.clone().pool(eject));
    proxy.logged("removed pool app: health.path");
    let seen = backend(&proxy, down.address);
    assert_eq!((&seen["state"], &seen["check"]), (&"up".into(), &Value::Null), "{seen}");
    let probes = down.probes();
    after(Duration::from_millis(400));
    assert_eq!(down.probes(), probes, "and no probes");

    // Ejection turned off: everybody is back.
    proxy.edit(&site.pool("eject = { errors = \"off\" }"));
    becomes(&proxy, broken.address, "up");
}

#[test]
fn one_address_in_two_pools_has_two_verdicts() {
    let shared = Moody::start(Mood::Says(503));
    let other = format!(
        "[pool.other]\nbackends = [\"{}\"]\nhealth = {{ path = \"/healthz\", every = \"100ms\", expect = \"503\" }}\n[[route]]\npath = \"/other\"\npool = \"other\"",
        shared.address
    );
    let proxy = Site::to([shared.address]).pool(CHECK).with(&other).start();
    until("two verdicts", || {
        let up = |pool: &str| proxy.metric("tidegate_backend_up", &[&format!("pool=\"{pool}\"")]);
        let found = |pool: &str| proxy.metric("tidegate_probes_total", &[&format!("pool=\"{pool}\"")]) > Some(0.0);
        (found("app") && found("other") && up("app") == Some(0.0) && up("other") == Some(1.0)).then_some(())
    });
}

#[test]
fn status_shows_what_the_checks_saw() {
    let (down, up) = (Moody::start(Mood::Says(503)), Moody::start(Mood::Well));
    let proxy = Site::to([down.address, up.address]).pool(CHECK).start();
    becomes(&proxy, down.address, "down");
    becomes(&proxy, up.address, "up");
    let (code, out, err) = outcome(tidegate(["status", "--admin"]).arg(proxy.admin.to_string()));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let row = |address: SocketAddr| out.lines().find(|line| line.contains(&address.to_string())).unwrap_or_else(|| panic!("{out}"));
    let header = out.lines().find(|line| line.contains("check.finding")).unwrap_or_else(|| panic!("{out}"));
    for column in ["address", "state", "weight", "in_flight", "check.streak", "check.latency_ms", "check.since", "ejection.errors"] {
        assert!(header.contains(column), "{column} in {out}");
    }
    assert!(row(down.address).contains(" down ") && row(down.address).contains(" status 503 "), "{out}");
    assert!(row(up.address).contains(" up ") && row(up.address).contains(" passed "), "{out}");
    assert!(!out.contains('\x1b'), "no colours but on a terminal: {out:?}");
}

#[test]
fn checks_leave_no_trace_on_the_pools_connections() {
    let well = Moody::start(Mood::Well);
    let proxy = Site::to([well.address]).pool(CHECK).start();
    becomes(&proxy, well.address, "up");
    let began = Instant::now();
    until("ten probes", || (well.probes() >= 10).then_some(()));
    assert!(began.elapsed() > Duration::from_millis(500), "ten probes in {:?}", began.elapsed());
    assert_eq!(proxy.metric("tidegate_upstream_connections_opened_total", &["pool=\"app\""]).unwrap_or(0.0), 0.0);
    assert_eq!(backend(&proxy, well.address)["in_flight"], 0);
    let heads = well.shared.heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.starts_with("GET /healthz HTTP/1.1\r\n") && head.contains("user-agent: tidegate/")), "{heads:?}");
}
