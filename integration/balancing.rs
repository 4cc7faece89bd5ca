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
    // Ejected by then, it is tried again in a second.
    let proxy = Site::to([first.address(), place]).algorithm("round_robin").pool("eject = { base = \"1s\" }").start();
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

/// Every word that `algorithm =` takes, in the order of the reference.
const WORDS: [&str; 12] = [
    "round_robin",
    "weighted_round_robin",
    "random",
    "p2c",
    "least_connections",
    "least_time",
    "peak_ewma",
    "ip_hash",
    "consistent_hash",
    "maglev",
    "rendezvous",
    "first",
];

const HASHING: [&str; 3] = ["consistent_hash", "maglev", "rendezvous"];

#[test]
fn every_algorithm_is_here() {
    assert_eq!(WORDS, tidegate::config::model::Algorithm::WORDS);
}

/// The name of who answered one request with these fields, on a connection of its own.
fn asked(proxy: &Proxy, target: &str, fields: &str) -> String {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.text()
}

#[test]
fn the_algorithm_line_of_a_running_proxy_takes_every_word() {
    let backends = three();
    let addresses = backends.each_ref().map(Counting::address);
    // Weights, hash, slow start and a backup stay in the file whatever the line says.
    let more = "hash = { on = \"uri\", bound = 1.25 }\nslow_start = \"10s\"";
    let site = Site::new().weighted(addresses.into_iter().zip([3, 1, 1])).pool(more);
    let proxy = site.clone().algorithm("p2c").start();
    for word in WORDS.into_iter().chain(["p2c"]) {
        proxy.edit(&site.clone().algorithm(word));
        until("the algorithm to change", || proxy.admin("GET", "/api/status").text().contains(&format!("\"{word}\"")).then_some(()));
        assert_eq!(turns(&proxy, 20).len(), 20, "{word}");
    }
}

#[test]
fn all_but_first_and_hashing_use_every_backend() {
    for word in WORDS.into_iter().filter(|word| !["first", "ip_hash", "consistent_hash", "maglev", "rendezvous"].contains(word)) {
        let backends = three();
        let proxy = Site::to(backends.each_ref().map(Counting::address)).algorithm(word).start();
        let [a, b, c] = count(&turns(&proxy, 200));
        // Where time is measured the quickest of three alike may get nearly all; a probe or two goes to the others.
        assert!(a > 0 && b > 0 && c > 0 || ["least_time", "peak_ewma"].contains(&word), "{word}: {a} {b} {c}");
        assert_eq!(a + b + c, 200);
    }
}

#[test]
fn hashing_keeps_a_value_on_its_backend() {
    for word in HASHING {
        for (on, key) in [
            ("uri", None),
            ("path", None),
            ("header:x-user", Some("X-User: ")),
            ("cookie:session", Some("Cookie: a=b; session=")),
            ("query:user", None),
        ] {
            let backends = three();
            let site = Site::to(backends.each_ref().map(Counting::address)).algorithm(word).pool(&format!("hash = {{ on = \"{on}\" }}"));
            let proxy = site.start();
            let ask = |value: usize| match key {
                Some(field) => asked(&proxy, "/", &format!("{field}user{value}\r\n")),
                None if on == "query:user" => asked(&proxy, &format!("/{}?x=1&user=u{value}", another(value)), ""),
                None if on == "path" => asked(&proxy, &format!("/p{value}?{}", another(value)), ""),
                None => asked(&proxy, &format!("/p?{value}"), ""),
            };
            let names: Vec<String> = (0..30).map(ask).collect();
            assert!(count(&names.concat()).iter().all(|count| *count > 0), "{word} on {on}: {names:?}");
            assert_eq!((0..30).map(ask).collect::<Vec<_>>(), names, "{word} on {on}");
        }
    }
}

/// Something else at each call, to vary what must not count.
fn another(value: usize) -> usize {
    static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) * 100 + value
}

#[test]
fn what_cannot_be_hashed_is_spread() {
    let backends = three();
    let proxy = Site::to(backends.each_ref().map(Counting::address)).algorithm("maglev").pool("hash = { on = \"header:x-user\" }").start();
    assert!(count(&turns(&proxy, 60)).iter().all(|count| *count > 5));
}

#[test]
fn ip_hash_goes_by_the_address_that_can_be_trusted() {
    let backends = three();
    let site = Site::to(backends.each_ref().map(Counting::address)).algorithm("ip_hash");
    let proxy = site.clone().listen("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let from = |client: usize| asked(&proxy, "/", &format!("X-Forwarded-For: 192.0.2.{client}\r\n"));
    let names: Vec<String> = (0..30).map(from).collect();
    assert!(count(&names.concat()).iter().all(|count| *count > 0), "{names:?}");
    assert_eq!((0..30).map(from).collect::<Vec<_>>(), names);

    drop(proxy);
    let proxy = site.start();
    let claimed: Vec<String> = (0..30).map(|client| asked(&proxy, "/", &format!("X-Forwarded-For: 192.0.2.{client}\r\n"))).collect();
    assert!(claimed.iter().all(|name| *name == claimed[0]), "nobody is believed: all are one client: {claimed:?}");
}

#[test]
fn a_dead_backend_moves_no_key_of_the_others() {
    for word in HASHING {
        let (a, b, place) = (Counting::start("a"), Counting::start("b"), free_address());
        let proxy = Site::to([a.address(), b.address(), place]).algorithm(word).start();
        let third = Counting::on(place, "c");
        let names: Vec<String> = (0..30).map(|n| asked(&proxy, &format!("/{n}"), "")).collect();
        drop(third);
        for (n, before) in names.iter().enumerate() {
            let now = asked(&proxy, &format!("/{n}"), "");
            assert!(if before == "c" { now != "c" } else { now == *before }, "{word}: {before} became {now}");
        }
    }
}

#[test]
fn first_fills_the_first() {
    let backends = three();
    let proxy = Site::to(backends.each_ref().map(Counting::address)).algorithm("first").start();
    assert_eq!(turns(&proxy, 20), "a".repeat(20));
    drop(backends.into_iter().next());
}

#[test]
fn a_bound_takes_a_hot_key_elsewhere() {
    for word in HASHING {
        let backends: Vec<Backend> = (0..3).map(|_| Backend::bind()).collect();
        let site = Site::to(backends.iter().map(Backend::address)).algorithm(word).pool("hash = { bound = 1.5 }");
        let proxy = site.start();
        let mut held = Vec::new();
        for n in 1..=12 {
            held.push(Held::open(&proxy, &backends));
            let most = (1.5 * f64::from(n) / 3.0).ceil() as usize;
            assert!(loads(&held).iter().all(|load| *load <= most), "{word} after {n}: {:?}", loads(&held));
        }
    }
}

/// Answers that take time, or say that something is wrong, are held against a backend.
#[test]
fn a_backend_that_fails_fast_gets_less_where_time_is_measured() {
    for word in ["least_time", "peak_ewma"] {
        let (good, failing) = (Backend::bind(), Backend::bind());
        let proxy = Site::to([good.address(), failing.address()]).algorithm(word).start();
        let backends = [good, failing];
        let mut failed = 0;
        for _ in 0..120 {
            let Held { at, mut client, mut upstream } = Held::open(&proxy, &backends);
            let status = ["200 OK", "503 Service Unavailable"][at];
            upstream.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            client.answer();
            upstream.end();
            failed += at;
        }
        assert!(failed < 20, "{word}: {failed} of 120");
    }
}

#[test]
fn backups_serve_when_nobody_else_can() {
    for word in WORDS {
        let (a, place, backup) = (Counting::start("a"), free_address(), Counting::start("c"));
        let list = |first: &str| format!("[\"{first}\", {{ address = \"{}\", backup = true }}]", backup.address());
        let with = |first: &str| {
            Site::new().with(&format!("[pool.app]\nalgorithm = \"{word}\"\nbackends = {}\n[[route]]\npool = \"app\"", list(first)))
        };
        let proxy = with(&a.address().to_string()).start();
        assert_eq!(turns(&proxy, 10), "a".repeat(10), "{word}");
        let proxy = with(&place.to_string()).start();
        assert_eq!(turns(&proxy, 10), "c".repeat(10), "{word}: the other is dead");
    }
}

#[test]
fn a_backend_that_joins_begins_slowly() {
    let backends = three();
    let [a, b, c] = backends.each_ref().map(Counting::address);
    for word in ["round_robin", "p2c", "least_connections", "maglev"] {
        let site = Site::to([a, b]).algorithm(word).pool("slow_start = \"1h\"");
        let proxy = site.start();
        let ask = |n: usize| asked(&proxy, &format!("/{n}"), "");
        assert_eq!((0..20).map(ask).collect::<String>().matches('c').count(), 0);
        proxy.edit(&site.clone().backends([a, b, c]));
        until("the third to be there", || proxy.admin("GET", "/api/status").text().contains(&c.to_string()).then_some(()));
        let joined = (0..300).map(ask).collect::<String>().matches('c').count();
        assert!((1..30).contains(&joined), "{word}: {joined} of 300, where the whole share is 100");
    }
}
