//! Everybody wants the same at once: what may be shared is fetched once and read by all as it comes; what may not makes nobody wait.
//!
//! The origin is in the tests' hands, so that "at once" needs no clock: it goes on only when all clients have what is theirs already.

use crate::crowds::{allow_files, many_addresses};
use crate::support::{Backend, Proxy, Site, Wire, until, whichever};

/// A crowd for every run. The ten thousand need as many descriptors on both sides, twice as many where each is a request of its own.
const MANY: usize = 300;
const TEN_THOUSAND: usize = 10_000;
/// Beside clients and origin: what a process has open anyway, and the other tests of this one.
const SPARE: usize = 1000;

/// Several, so that ten thousand who come at once find room in what the kernel lets wait at a socket.
fn backends() -> [Backend; 4] {
    std::array::from_fn(|_| Backend::bind())
}

/// Nobody loses patience but the test.
fn proxy(backends: &[Backend], connections: usize) -> Proxy {
    Site::to(backends.iter().map(Backend::address))
        .algorithm("round_robin")
        .log("access = \"off\"")
        .listen(&format!("limits = {{ connections = {} }}\ntimeout = {{ idle = \"10m\" }}", connections + 100))
        .pool("timeout = { connect = \"1m\", first_byte = \"10m\", stall = \"10m\" }")
        .with("[cache.main]\nmemory = \"16MiB\"\nmax_object = \"1MiB\"")
        .route("cache = { use = \"main\", lock_age = \"10m\" }")
        .start()
}

/// Clients that all ask for one URL, each by a name of its own.
fn crowd(proxy: &Proxy, clients: usize) -> Vec<Wire> {
    let one = |n: usize| {
        let mut wire = Wire::connect_from(many_addresses(n as u64), proxy.web);
        wire.send(format!("GET /wanted HTTP/1.1\r\nHost: a\r\nX-Client: {n}\r\nConnection: close\r\n\r\n"));
        wire
    };
    (0..clients).map(one).collect()
}

/// All clients are there, and the one request to the origin in the cache's name.
fn all_wait(proxy: &Proxy, clients: usize) {
    proxy.metric_becomes("tidegate_requests_in_flight", &[], (clients + 1) as f64);
}

fn shared(clients: usize) {
    let backends = backends();
    let proxy = proxy(&backends, clients);
    let mut crowd = crowd(&proxy, clients);
    let (_, mut origin) = whichever(&backends);
    origin.request();
    all_wait(&proxy, clients);
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf");
    for wire in &mut crowd {
        assert_eq!(wire.head().status(), 200);
        wire.expect("half");
    }
    origin.send(" done");
    for wire in &mut crowd {
        wire.expect(" done");
    }
    backends.iter().for_each(Backend::assert_untouched);
    proxy.metric_becomes("tidegate_cache_requests_total", &["result=\"collapsed\""], (clients - 1) as f64);
    proxy.metric_becomes("tidegate_cache_requests_total", &["result=\"miss\""], 1.0);
}

fn apart(clients: usize) {
    let backends = backends();
    let proxy = proxy(&backends, clients);
    let mut crowd = crowd(&proxy, clients);
    let (_, mut first) = whichever(&backends);
    let leader = client_of(&mut first);
    all_wait(&proxy, clients);
    backends.iter().for_each(Backend::assert_untouched);
    // The head alone says that it is for one: the others come at once, while its content is not there.
    first.send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 8\r\n\r\n");
    let mut origins: Vec<(usize, Wire)> = (1..clients)
        .map(|_| {
            let (_, mut origin) = whichever(&backends);
            (client_of(&mut origin), origin)
        })
        .collect();
    // The last to come is the first to be answered: nobody waits for anybody.
    for (client, origin) in origins.iter_mut().rev() {
        origin.send(format!("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 8\r\n\r\n{client:>8}"));
        assert_eq!(crowd[*client].answer().text(), format!("{client:>8}"), "everybody has his own");
    }
    first.send(format!("{leader:>8}"));
    assert_eq!(crowd[leader].answer().text(), format!("{leader:>8}"));
    assert_eq!(proxy.metric("tidegate_cache_entries", &[]).unwrap_or_default(), 0.0);
}

#[track_caller]
fn client_of(origin: &mut Wire) -> usize {
    origin.request().head.get("x-client").and_then(|client| client.parse().ok()).expect("the client's own field")
}

#[test]
fn a_crowd_at_a_cold_key_is_one_request_at_the_origin() {
    shared(MANY);
}

#[test]
fn a_crowd_at_what_is_private_waits_for_nobody() {
    apart(MANY);
}

#[test]
#[ignore = "takes ten thousand descriptors on both sides; run by integration/run"]
fn ten_thousand_at_a_cold_key_are_one_request_at_the_origin() {
    if allow_files((TEN_THOUSAND + SPARE) as u64).is_some() {
        shared(TEN_THOUSAND);
    }
}

#[test]
#[ignore = "takes twenty thousand descriptors on both sides, or as many as there may be; run by integration/run"]
fn ten_thousand_at_what_is_private_wait_for_nobody() {
    let Some(most) = allow_files((TEN_THOUSAND / 2) as u64) else { return };
    let clients = TEN_THOUSAND.min((most as usize - SPARE) / 2);
    println!("{clients} clients");
    apart(clients);
}

/// A purge that meets a hundred thousand answers, while others ask.
#[test]
fn a_large_purge_stalls_nobody() {
    purge_under_load(20_000);
}

#[test]
#[ignore = "fills the cache with a hundred thousand answers, which takes a minute; run by integration/run"]
fn a_purge_of_a_hundred_thousand_stalls_nobody() {
    purge_under_load(100_000);
}

fn purge_under_load(entries: usize) {
    use crate::support::Counting;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nCache-Tag: all\r\nContent-Length: 1\r\n\r\nx";
    let origin = Counting::saying(answer);
    let proxy = Site::to([origin.address()])
        .log("access = \"off\"")
        .with("[cache.main]\nmemory = \"512MiB\"")
        .route("cache = \"main\"")
        .with("[[route]]\npath = \"/plain\"\nrespond = { body = \"here\" }")
        .start();
    fill(&proxy, entries);
    proxy.metric_becomes("tidegate_cache_entries", &[], entries as f64);
    let over = AtomicBool::new(false);
    let ask = || {
        let mut wire = proxy.connect();
        let (mut slowest, mut asked) = (Duration::ZERO, 0);
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            // One that no purge meets, and one from the cache.
            for target in ["/plain", "/0"] {
                wire.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                assert_eq!(wire.answer().status(), 200);
            }
            slowest = slowest.max(began.elapsed());
            asked += 1;
        }
        (slowest, asked)
    };
    let (took, askers) = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..2).map(|_| scope.spawn(ask)).collect();
        let began = Instant::now();
        let said = proxy.command(&["purge", "--tag", "all"]).1;
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        let met: usize = said.split_whitespace().nth(1).and_then(|count| count.parse().ok()).unwrap_or_default();
        assert!((entries..entries + 100).contains(&met), "{said}");
        (took, askers.into_iter().map(|asker| asker.join().expect("it asks to the end")).collect::<Vec<_>>())
    });
    eprintln!("{entries} entries purged in {took:?}; slowest answer meanwhile and how many: {askers:?}");
    // Generous: the other tests run beside it. A purge that held a lock, or a worker, would take all of its time from one of them.
    for (slowest, _) in askers {
        assert!(slowest < Duration::from_millis(500).max(took / 2), "{slowest:?} of {took:?}");
    }
    until("the purge to be counted", || (proxy.metric("tidegate_cache_entries", &[])? < 10.0).then_some(()));
}

/// Asks for so many URLs, many ahead of their answers.
fn fill(proxy: &Proxy, entries: usize) {
    const AHEAD: usize = 100;
    let mut wire = proxy.connect();
    for first in (0..entries).step_by(AHEAD) {
        let batch = first..(first + AHEAD).min(entries);
        wire.send(batch.clone().map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect::<String>());
        batch.for_each(|_| assert_eq!(wire.answer().status(), 200));
    }
}
