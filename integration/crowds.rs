//! Many clients, and one who would like to be many: limits by address, and ten thousand connections that only wait.

use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::{Counting, End, Proxy, Site, Wire, until};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// As many open files as this process may have, if that is so many; else says that the test is skipped.
pub fn allow_files(wanted: u64) -> Option<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit on open files");
    if hard < wanted {
        eprintln!("skipped: {hard} open files are allowed, and this takes {wanted}");
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("more open files");
    Some(hard)
}

/// One of many addresses of this machine, as the ports of one would not last beside the other tests.
pub fn many_addresses(n: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 1 + (n / 250) as u8, 1 + (n % 250) as u8], 0))
}

fn refused(proxy: &Proxy) -> f64 {
    proxy.metric("tidegate_connections_turned_away_total", &["listener=\"web\"", "reason=\"too_many_connections\""]).unwrap_or(0.0)
}

/// A connection that is served.
fn served(mut client: Wire) -> Wire {
    client.send(ASK);
    assert_eq!(client.answer().status(), 200);
    client
}

#[test]
fn an_address_has_so_many_connections_over_all_workers_and_no_more() {
    let app = Counting::start("app");
    let proxy = Site::to([app.address()]).workers(2).listen("limits = { connections_per_address = 3 }").start();
    let mut held: Vec<Wire> = (0..3).map(|_| served(proxy.connect())).collect();
    for _ in 0..5 {
        // Closed without a word; what it said unread may make it a reset.
        assert!(proxy.connect().rest().0.is_empty());
    }
    assert_eq!(refused(&proxy), 5.0);
    proxy.logged("connections are turned away");
    assert_eq!(proxy.stderr().matches("connections are turned away").count(), 1);
    held.iter_mut().for_each(|client| assert!(client.is_quiet(), "those that are there stay"));
    drop(held.pop());
    until("the place to come free", || {
        let mut client = proxy.connect();
        let _ = client.try_send(ASK);
        client.answer_or_end().filter(|answer| answer.status() == 200)
    });
}

#[test]
fn who_comes_by_way_of_a_balancer_counts_by_his_own_address() {
    let app = Counting::start("app");
    let proxy = Site::to([app.address()]).listen("proxy_protocol = \"127.0.0.1\"\nlimits = { connections_per_address = 1 }").start();
    let introduced = |client: &str, family: &str| {
        let mut wire = proxy.connect();
        wire.send(format!("PROXY {family} {client} {client} 1 80\r\n{ASK}"));
        wire
    };
    let mut first = introduced("192.0.2.1", "TCP4");
    assert_eq!(first.answer().status(), 200);
    assert!(introduced("192.0.2.1", "TCP4").rest().0.is_empty());
    assert_eq!(introduced("192.0.2.2", "TCP4").answer().status(), 200);
    let mut household = introduced("2001:db8:1:2::1", "TCP6");
    assert_eq!(household.answer().status(), 200);
    assert!(introduced("2001:db8:1:2::2", "TCP6").rest().0.is_empty());
    assert_eq!(refused(&proxy), 2.0);
}

/// Ten thousand clients that have asked once and wait, while others are served. Needs a descriptor for each on both sides.
#[test]
fn ten_thousand_idle_connections_are_held() {
    const IDLE: u64 = 10_000;
    let wanted = IDLE + 2_000;
    if allow_files(wanted).is_none() {
        return;
    }
    let proxy = Site::new()
        .listen(&format!("limits = {{ connections = {wanted} }}\ntimeout = {{ idle = \"10m\" }}"))
        .with("[[route]]\nrespond = { body = \"here\" }")
        .start();
    let before = proxy.resident_kib();
    let mut idle: Vec<Wire> = Vec::new();
    for n in 0..IDLE {
        let mut client = Wire::connect_from(many_addresses(n), proxy.web);
        client.send(ASK);
        idle.push(client);
    }
    for client in &mut idle {
        assert_eq!(client.answer().status(), 200);
    }
    proxy.metric_becomes("tidegate_worker_connections", &[], IDLE as f64);
    let each = (proxy.resident_kib() - before) * 1024 / IDLE;
    println!("bytes for each idle connection: {each}");
    assert!(each < 4096, "{each} bytes for each idle connection");
    for _ in 0..100 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    // All of them are still good.
    for client in idle.iter_mut().step_by(97) {
        client.send(ASK);
        assert_eq!(client.answer().status(), 200);
    }
    idle.iter_mut().for_each(Wire::finish);
    for client in &mut idle {
        assert_eq!(client.end(), End::Closed);
    }
}
