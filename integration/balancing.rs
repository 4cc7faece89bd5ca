//! Who gets the next request: the spread that each algorithm promises, and what a dead backend costs.

use crate::support::proxy::free_address;
use crate::support::{Backend, Counting, Proxy, Site, Wire, until};

fn three() -> [Counting; 3] {
    ["a", "b", "c"].map(Counting::start)
}

/// The names of those that answered `n` requests on one connection.
fn turns(proxy: &Proxy, n: usize) -> String {
    let mut client = proxy.connect();
    let mut names = String::new();
    for _ in 0..n {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{answer:?}");
        names.push_str(&answer.text());
    }
    names
}

fn count(names: &str) -> [usize; 3] {
    ["a", "b", "c"].map(|name| names.matches(name).count())
}

#[test]
fn round_robin_gives_equal_turns_over_all_workers() {
    let backends = three();
    let proxy = Site::to(backends.each_ref().map(Counting::address)).algorithm("round_robin").start();
    for _ in 0..10 {
        turns(&proxy, 3);
    }
    assert_eq!(backends.each_ref().map(Counting::requests), [10, 10, 10]);
}

#[test]
fn weighted_round_robin_gives_shares_smoothly() {
    let backends = three();
    let weights = backends.each_ref().map(Counting::address).into_iter().zip([5, 1, 1]);
    let proxy = Site::new().weighted(weights).algorithm("weighted_round_robin").start();
    let names = turns(&proxy, 70);
    assert_eq!(count(&names), [50, 10, 10]);
    assert_eq!(&names[..14], "aabacaaaabacaa", "not five in a row");
}

#[test]
fn weight_zero_takes_nothing() {
    for algorithm in ["weighted_round_robin", "p2c", "least_connections"] {
        let backends = three();
        let weights = backends.each_ref().map(Counting::address).into_iter().zip([1, 0, 1]);
        let proxy = Site::new().weighted(weights).algorithm(algorithm).start();
        let [a, b, c] = count(&turns(&proxy, 40));
        assert!(a > 0 && b == 0 && c > 0, "{algorithm}: {a} {b} {c}");
    }
}

/// One request that a backend holds: the client and the backend's end.
struct Held {
    at: usize,
    client: Wire,
    upstream: Wire,
}

impl Held {
    /// Sends a request and finds the backend that it came to.
    fn open(proxy: &Proxy, backends: &[Backend]) -> Held {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (at, mut upstream) = until("the request at a backend", || {
            backends.iter().enumerate().find_map(|(at, backend)| backend.accepted().map(|upstream| (at, upstream)))
        });
        upstream.request();
        Held { at, client, upstream }
    }

    /// Answers it; the backend's connection closes, so that the next request is seen to arrive.
    fn answer(mut self) {
        self.upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(self.client.answer().status(), 200);
        self.upstream.end();
    }
}

fn loads(held: &[Held]) -> [usize; 3] {
    [0, 1, 2].map(|at| held.iter().filter(|held| held.at == at).count())
}

fn scripted(algorithm: &str) -> (Vec<Backend>, Proxy) {
    let backends: Vec<Backend> = (0..3).map(|_| Backend::bind()).collect();
    let proxy = Site::to(backends.iter().map(Backend::address)).algorithm(algorithm).start();
    (backends, proxy)
}

#[test]
fn least_connections_fills_the_emptiest() {
    let (backends, proxy) = scripted("least_connections");
    let mut held = Vec::new();
    for n in 1..=12 {
        held.push(Held::open(&proxy, &backends));
        let loads = loads(&held);
        let (most, least) = (loads.iter().max(), loads.iter().min());
        assert!(most <= least.map(|least| least + 1).as_ref(), "after {n}: {loads:?}");
    }
    // Two finish on one backend: the next two go there.
    for _ in 0..2 {
        let at = held.iter().position(|held| held.at == 1).expect("the second has some");
        held.swap_remove(at).answer();
    }
    for _ in 0..2 {
        held.push(Held::open(&proxy, &backends));
    }
    assert_eq!(loads(&held), [4, 4, 4]);
}

#[test]
fn p2c_never_picks_the_fullest() {
    let (backends, proxy) = scripted("p2c");
    let mut held = Vec::new();
    for n in 1..=24 {
        held.push(Held::open(&proxy, &backends));
        let mut loads = loads(&held);
        loads.sort_unstable();
        assert!(loads[2] <= loads[1] + 1, "after {n}: {loads:?}");
    }
    assert!(loads(&held).iter().all(|load| *load > 2), "{:?}", loads(&held));
}

#[test]
fn a_dead_backend_among_three_fails_no_request() {
    for algorithm in ["round_robin", "weighted_round_robin", "p2c", "least_connections"] {
        let (first, last) = (Counting::start("a"), Counting::start("b"));
        let proxy = Site::to([first.address(), free_address(), last.address()]).algorithm(algorithm).start();
        let [a, b, _] = count(&turns(&proxy, 60));
        assert_eq!(a + b, 60);
        assert!(a > 5 && b > 5, "{algorithm}: {a} and {b}");
    }
}

#[test]
fn what_was_not_sent_may_go_elsewhere_whatever_the_method() {
    let alive = Counting::start("a");
    let proxy = Site::to([free_address(), alive.address()]).algorithm("round_robin").start();
    let body = "x".repeat(300_000);
    for _ in 0..10 {
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.answer().text(), "a");
    }
    assert_eq!(alive.requests(), 10);
}

#[test]
fn a_backend_that_comes_back_gets_requests_again() {
    let (first, place) = (Counting::start("a"), free_address());
    let proxy = Site::to([first.address(), place]).algorithm("round_robin").start();
    assert_eq!(turns(&proxy, 10), "a".repeat(10));
    let second = Counting::on(place, "b");
    until("the second to be asked", || (turns(&proxy, 4).contains('b')).then_some(()));
    drop(second);
    assert_eq!(turns(&proxy, 10), "a".repeat(10), "and is missed by nobody when it goes");
}

#[test]
fn all_dead_is_one_502() {
    let proxy = Site::to([free_address(), free_address(), free_address()]).start();
    assert_eq!(proxy.get("/dead").status(), 502);
    assert_eq!(proxy.access("/dead")["reason"], "connect_refused");
}
