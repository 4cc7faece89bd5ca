//! Backends by name: what a name server says is who gets the requests, as soon as it says so and for as long as it says nothing else.
//!
//! Addresses of 127.0.0.0/8 are all this machine, so that several backends can have one port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::dns::{NameServer, Says, Transport};
use crate::support::proxy::{free_address, outcome, tidegate};
use crate::support::{Backend, Counting, Proxy, Site, until};

/// Backends that share a port, on 127.0.0.1, .2 and so on, each named by its number.
fn on_one_port(count: u8) -> (u16, Vec<Counting>) {
    let port = free_address().port();
    let at = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), port));
    (port, (1..=count).map(|number| Counting::on(at(number), &number.to_string())).collect())
}

fn site(dns: &NameServer, entries: &str) -> Site {
    Site::new()
        .server(&format!("drain_delay = \"0s\"\nresolver = [\"{}\"]", dns.address()))
        .entries(entries)
        .algorithm("weighted_round_robin")
}

/// Who answers, over some requests in a row.
#[track_caller]
fn answering(proxy: &Proxy) -> String {
    let mut names: Vec<char> = (0..6)
        .map(|_| proxy.get("/"))
        .filter(|answer| answer.status() == 200)
        .flat_map(|answer| answer.text().chars().collect::<Vec<_>>())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().collect()
}

#[track_caller]
fn answered_by(proxy: &Proxy, expected: &str) {
    until(&format!("answers by {expected}"), || (answering(proxy) == expected).then_some(()));
}

fn name(proxy: &Proxy) -> Value {
    let status: Value = serde_json::from_str(&proxy.admin("GET", "/api/status").text()).expect("JSON");
    status["pools"][0]["names"][0].clone()
}

#[test]
fn every_address_is_a_backend_and_they_come_and_go_as_edits_do() {
    let dns = NameServer::start();
    let (port, backends) = on_one_port(3);
    dns.point("app.test", [backends[1].address(), backends[0].address()]);
    let proxy = site(&dns, &format!("{{ dns = \"App.test:{port}\" }}")).start();
    assert_eq!(answering(&proxy), "12", "at once: the start waits for names that can be resolved");
    assert_eq!(proxy.metric("tidegate_discovery_addresses", &[&format!("name=\"app.test:{port}\"")]), Some(2.0));
    dns.point("app.test", [backends[0].address(), backends[2].address()]);
    answered_by(&proxy, "13");
    let known = name(&proxy);
    assert_eq!((&known["result"], &known["addresses"], &known["failures"]), (&"ok".into(), &2.into(), &0.into()), "{known}");
    assert!(known["next"].as_str() > known["looked"].as_str(), "{known}");
    assert_eq!(proxy.metric("tidegate_config_generation", &[]), Some(1.0), "it is the same configuration");
}

#[test]
fn what_vanished_finishes_what_it_has() {
    let dns = NameServer::start();
    let (port, _stay) = on_one_port(1);
    let leaving = Backend::on(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port)));
    dns.point("app.test", [leaving.address()]);
    let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
    let mut client = proxy.connect();
    client.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = leaving.accept();
    upstream.request();
    dns.point("app.test", [SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    proxy.logged("removed=[127.0.0.2");
    answered_by(&proxy, "1");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    assert_eq!(client.answer().text(), "last");
}

#[test]
fn failures_keep_the_last_good_addresses() {
    for (says, result) in [
        (Says::NoSuchName, "no such name"),
        (Says::Empty, "no address"),
        (Says::ServerFailure, "failed"),
        (Says::Silence, "timed out"),
        (Says::Addresses(1, vec![IpAddr::from([0, 0, 0, 0])]), "no address"),
    ] {
        let dns = NameServer::start();
        let (port, backends) = on_one_port(2);
        dns.point("app.test", [backends[0].address()]);
        let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
        dns.say("app.test", says.clone());
        let known = until("a failure", || Some(name(&proxy)).filter(|known| known["failures"].as_u64() > Some(0)));
        assert!(known["result"].as_str().is_some_and(|said| said.starts_with(result)), "{says:?}: {known}");
        assert_eq!(answering(&proxy), "1", "{says:?}");
        proxy.logged("its last addresses stay");
        dns.point("app.test", [backends[1].address()]);
        answered_by(&proxy, "2");
        proxy.logged("a name can be resolved again");
        assert_eq!(proxy.stderr().matches("its last addresses stay").count(), 1, "it is told once");
    }
}

#[test]
fn a_name_that_is_not_there_at_the_start_is_waited_for() {
    let dns = NameServer::start();
    let (port, backends) = on_one_port(1);
    let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("(name_unresolved)"), "{}", answer.text());
    proxy.logged("its pool waits for it");
    assert_eq!(proxy.access("/")["reason"], "name_unresolved");
    dns.point("app.test", [backends[0].address()]);
    answered_by(&proxy, "1");
    assert_eq!(proxy.stderr().matches("its pool waits for it").count(), 1);
}

#[test]
fn a_dead_name_server_holds_up_neither_the_start_nor_a_reload() {
    let dns = NameServer::start();
    dns.say("app.test", Says::Silence);
    dns.say("other.test", Says::Silence);
    let (port, backends) = on_one_port(1);
    let entries = format!("\"{}\", {{ dns = \"app.test:{port}\" }}", backends[0].address());
    let began = Instant::now();
    let site = site(&dns, &entries);
    let proxy = site.start();
    assert_eq!(answering(&proxy), "1", "the addresses in the file do not wait for the names");
    proxy.edit(&site.clone().entries(&format!("{entries}, {{ dns = \"other.test:{port}\" }}")));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    assert_eq!(answering(&proxy), "1");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[test]
fn an_edit_from_an_address_to_a_name_costs_nothing() {
    let dns = NameServer::start();
    let (port, backends) = on_one_port(2);
    dns.point("app.test", [backends[1].address()]);
    let site = site(&dns, &format!("\"{}\"", backends[0].address()));
    let proxy = site.start();
    assert_eq!(answering(&proxy), "1");
    for turn in 0..10 {
        let (entry, expected) = match turn % 2 {
            0 => (format!("{{ dns = \"app.test:{port}\" }}"), "2"),
            _ => (format!("\"{}\"", backends[0].address()), "1"),
        };
        proxy.edit(&site.clone().entries(&entry));
        assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
        assert_eq!(answering(&proxy), expected, "no request meets a pool without backends");
    }
}

#[test]
fn srv_records_bring_ports_and_weights() {
    let dns = NameServer::start();
    let backends = ["a", "b", "c"].map(Counting::start);
    let port = |at: usize| backends[at].address().port();
    let local = Says::Addresses(1, vec![IpAddr::from([127, 0, 0, 1])]);
    ["one.test", "two.test", "three.test"].into_iter().for_each(|name| dns.say(name, local.clone()));
    let records = vec![(1, 3, port(0), "one.test".into()), (1, 1, port(1), "two.test".into()), (2, 9, port(2), "three.test".into())];
    dns.say("_http._tcp.app.test", Says::Services(1, records));
    let proxy = site(&dns, "{ dns = \"_http._tcp.app.test\", weight = 2 }").start();
    (0..40).for_each(|_| drop(proxy.get("/")));
    assert_eq!(backends.each_ref().map(Counting::requests), [30, 10, 0], "the second priority is not used");
    assert_eq!(proxy.metric("tidegate_backend_weight", &[&format!("\"{}\"", backends[0].address())]), Some(6.0));
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let dns = NameServer::start();
    let (port, _backends) = on_one_port(1);
    // In a range of documentation, where nobody answers, but for the first.
    let many = (1..=200).map(|last| IpAddr::from([192, 0, 2, last])).chain([IpAddr::from([127, 0, 0, 1])]);
    dns.say("app.test", Says::Addresses(30, many.collect()));
    let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
    assert_eq!(name(&proxy)["addresses"], 201);
    assert!(dns.asked("app.test", Transport::Udp) > 0 && dns.asked("app.test", Transport::Tcp) > 0);
}

#[test]
fn a_huge_answer_is_cut_and_said() {
    let dns = NameServer::start();
    let many = (0..1200u32).map(|at| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + at)));
    dns.say("app.test", Says::Addresses(30, many.collect()));
    let proxy = site(&dns, "{ dns = \"app.test:1\" }").start();
    assert_eq!(name(&proxy)["addresses"], 1000);
    assert!(proxy.logged("too many addresses").contains("left_out=200"));
}

#[test]
fn a_family_that_is_not_answered_for_does_not_hide_the_other() {
    let dns = NameServer::start();
    let (port, backends) = on_one_port(1);
    dns.say("app.test", Says::SilenceOnIpv6(1, vec![backends[0].address().ip()]));
    let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
    answered_by(&proxy, "1");
    assert_eq!(name(&proxy)["result"], "timed out");
}

#[test]
fn both_families_are_used() {
    let dns = NameServer::start();
    let (port, _backends) = on_one_port(1);
    let Ok(listener) = std::net::TcpListener::bind(("::1", port)) else { return eprintln!("no IPv6 here") };
    drop(listener);
    let _six = Counting::on(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)), "6");
    dns.say("app.test", Says::Addresses(1, vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)]));
    let proxy = site(&dns, &format!("{{ dns = \"app.test:{port}\" }}")).start();
    assert_eq!(answering(&proxy), "16");
}

#[test]
fn the_systems_own_names_work_without_a_resolver() {
    let (port, _backends) = on_one_port(1);
    let proxy = Site::new().entries(&format!("{{ dns = \"localhost:{port}\" }}")).start();
    answered_by(&proxy, "1");
    let (code, said, _) = outcome(tidegate(["explain"]).arg(&proxy.file).args(["GET", "/"]));
    assert_eq!(code, Some(0));
    assert!(said.contains(&format!("localhost:{port}, resolved when running, weight 1")), "{said}");
    let (_, said, _) = outcome(tidegate(["status", "--admin"]).arg(proxy.admin.to_string()));
    assert!(said.contains(&format!("localhost:{port}")) && said.contains("names"), "{said}");
}

#[test]
fn names_are_asked_for_again_when_their_time_is_over() {
    let dns = NameServer::start();
    dns.say("short.test", Says::Addresses(0, vec![IpAddr::from([127, 0, 0, 1])]));
    dns.say("long.test", Says::Addresses(3600, vec![IpAddr::from([127, 0, 0, 1])]));
    let proxy = site(&dns, "{ dns = \"short.test:1\" }, { dns = \"long.test:1\" }").start();
    let began = Instant::now();
    // Two queries each time, one for each family.
    until("the fourth lookup", || (dns.asked("short.test", Transport::Udp) >= 8).then_some(()));
    assert!(began.elapsed() > Duration::from_secs(2), "not more than once a second: {:?}", began.elapsed());
    assert_eq!(dns.asked("long.test", Transport::Udp), 2);
    let status: Value = serde_json::from_str(&proxy.admin("GET", "/api/status").text()).expect("JSON");
    let at =
        |field: &str| status["pools"][0]["names"][0][field].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
    let wait = at("next").duration_since(at("looked")).as_secs();
    assert!((26..=30).contains(&wait), "{wait}");
}

#[test]
fn another_resolver_is_asked_at_once() {
    let (first, second) = (NameServer::start(), NameServer::start());
    let (port, backends) = on_one_port(2);
    first.say("app.test", Says::Addresses(3600, vec![backends[0].address().ip()]));
    second.say("app.test", Says::Addresses(3600, vec![backends[1].address().ip()]));
    let entry = format!("{{ dns = \"app.test:{port}\" }}");
    let proxy = site(&first, &entry).start();
    assert_eq!(answering(&proxy), "1");
    let mut moved = site(&second, &entry);
    (moved.web, moved.admin) = (proxy.web, proxy.admin);
    proxy.edit(&moved);
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    assert_eq!(answering(&proxy), "2");
}
