//! Sessions that stay where they are: by a cookie that nobody can make up, for as long as their backend may have them.

use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::proxy::after;
use crate::support::{Backend, Counting, Message, Proxy, Site, named, scripted, until};
use crate::websocket;

const PLAIN: &str = "sticky = { cookie = \"at\" }";
const WITH_FILE: &str = "sticky = { cookie = \"at\", secret_file = \"sticky.key\" }";

fn three(sticky: &str) -> ([Counting; 3], Site) {
    let (backends, site) = named(["a", "b", "c"]);
    (backends, site.algorithm("weighted_round_robin").pool(sticky))
}

/// Another proxy to the same, with the secret in a file.
fn with_file(backends: &[Counting; 3]) -> Site {
    Site::to(backends.each_ref().map(Counting::address)).algorithm("weighted_round_robin").pool(WITH_FILE)
}

/// One request with this Cookie field, if any.
#[track_caller]
fn ask(proxy: &Proxy, cookie: Option<&str>) -> Message {
    let mut wire = proxy.connect();
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
    let answer = wire.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

/// The cookie that an answer sets: `at=...`.
#[track_caller]
fn set(answer: &Message) -> String {
    let field = answer.head.get("set-cookie").unwrap_or_else(|| panic!("no cookie in {answer:?}"));
    field.split(';').next().unwrap_or_default().to_owned()
}

/// Several requests of one session come to one backend, and set no cookie any more.
#[track_caller]
fn stays(proxy: &Proxy, cookie: &str, name: &str) {
    for _ in 0..6 {
        let answer = ask(proxy, Some(cookie));
        assert_eq!((answer.text().as_str(), answer.head.get("set-cookie")), (name, None));
    }
}

#[test]
fn a_session_stays_and_the_others_are_spread() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let sessions: Vec<_> = (0..3).map(|_| ask(&proxy, None)).map(|answer| (set(&answer), answer.text())).collect();
    let mut names: Vec<_> = sessions.iter().map(|(_, name)| name.clone()).collect();
    names.sort();
    assert_eq!(names.concat(), "abc");
    sessions.iter().for_each(|(cookie, name)| stays(&proxy, cookie, name));
    let field = ask(&proxy, None).head.get("set-cookie").expect("a cookie").to_owned();
    assert!(field.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{field}");
    for backend in &backends {
        let SocketAddr::V4(address) = backend.address() else { panic!("IPv4") };
        // Not by less: a few digits may stand in a token by chance.
        let in_hex = format!("{:08x}", u32::from(*address.ip()));
        assert!(!field.contains(&address.ip().to_string()) && !field.contains(&in_hex), "{field} tells of {address}");
    }
}

#[test]
fn the_backend_does_not_see_the_cookie_and_sees_the_others() {
    let backend = Backend::bind();
    let proxy = Site::to([backend.address()]).pool(PLAIN).start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: one=1; at=forged; two=2\r\nCookie: at=x\r\n\r\n");
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().head.all("cookie"), ["one=1; two=2"]);
    upstream.send("HTTP/1.1 200 OK\r\nSet-Cookie: theirs=1\r\nContent-Length: 0\r\n\r\n");
    let answer = client.answer();
    let fields = answer.head.all("set-cookie");
    assert!(fields.len() == 2 && fields[0] == "theirs=1" && fields[1].starts_with("at="), "{fields:?}");
}

#[test]
fn a_forged_cookie_is_as_good_as_none() {
    let (_backends, site) = three(PLAIN);
    let proxy = site.start();
    let good = set(&ask(&proxy, None));
    let last = if good.ends_with('0') { "1" } else { "0" };
    for forged in
        ["at=".to_owned(), "at=a".to_owned(), format!("{}{last}", &good[..good.len() - 1]), format!("{good}0"), good.to_uppercase()]
    {
        let (first, second) = (ask(&proxy, Some(&forged)), ask(&proxy, Some(&forged)));
        assert_ne!(first.text(), second.text(), "{forged} leads nowhere");
        let renewed = set(&first);
        stays(&proxy, &renewed, &first.text());
    }
}

#[test]
fn where_its_backend_is_down_the_session_moves() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let cookie = set(&ask(&proxy, None));
    let [a, _b, _c] = backends;
    stays(&proxy, &cookie, "a");
    drop(a);
    let answer = ask(&proxy, Some(&cookie));
    assert_ne!(answer.text(), "a");
    stays(&proxy, &set(&answer), &answer.text());
}

#[test]
fn a_drained_backend_keeps_its_sessions_until_the_deadline() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let cookie = set(&ask(&proxy, None));
    let a = backends[0].address().to_string();
    let (_, said, _) = proxy.command(&["drain", "app", &a]);
    assert!(said.contains("but those of its sticky sessions"), "{said}");
    stays(&proxy, &cookie, "a");
    assert!((0..6).all(|_| ask(&proxy, None).text() != "a"), "no new ones");
    proxy.command(&["drain", "app", &a, "--deadline", "1s"]);
    stays(&proxy, &cookie, "a");
    after(std::time::Duration::from_millis(1100));
    let answer = ask(&proxy, Some(&cookie));
    assert_ne!(answer.text(), "a");
    stays(&proxy, &set(&answer), &answer.text());
    proxy.command(&["resume", "app", &a]);
    stays(&proxy, &cookie, "a");
}

#[test]
fn an_ejected_backend_keeps_nothing() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let cookie = set(&ask(&proxy, None));
    proxy.command(&["eject", "app", &backends[0].address().to_string(), "--for", "5m"]);
    let answer = ask(&proxy, Some(&cookie));
    assert_ne!(answer.text(), "a");
    stays(&proxy, &set(&answer), &answer.text());
}

#[test]
fn weight_zero_means_only_sticky_sessions() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let cookie = set(&ask(&proxy, None));
    proxy.command(&["weight", "app", &backends[0].address().to_string(), "0"]);
    stays(&proxy, &cookie, "a");
    assert!((0..6).all(|_| ask(&proxy, None).text() != "a"), "no new ones");
}

#[test]
fn a_secret_in_a_file_outlives_the_process_and_is_never_said() {
    let (backends, _) = three(PLAIN);
    let secret = "do not say this to anybody, please";
    let start = || {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("sticky.key"), secret).expect("write the secret");
        let site = with_file(&backends);
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, site.text()).expect("write the configuration");
        site.start_at(dir, file)
    };
    let mut proxy = start();
    let cookie = set(&ask(&proxy, None));
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    let proxy = start();
    stays(&proxy, &cookie, "a");
    // Another secret is read with the next reload.
    fs::write(proxy.dir.path().join("sticky.key"), "another secret that is long enough").expect("write the secret");
    stays(&proxy, &cookie, "a");
    let report = proxy.admin("POST", "/api/reload").text();
    assert!(report.contains("changed pool app: sticky.secret_file"), "{report}");
    assert_ne!(set(&ask(&proxy, Some(&cookie))), cookie);
    for said in [proxy.stderr(), proxy.stdout(), report, proxy.admin("GET", "/api/status").text()] {
        assert!(!said.contains(secret) && !said.contains("another secret"), "{said}");
    }
    assert!(!proxy.stderr().contains("a secret of this process"));
}

#[test]
fn a_secret_that_will_not_do_is_a_mistake() {
    let (backends, site) = three(PLAIN);
    let proxy = site.start();
    let mut next = with_file(&backends);
    (next.web, next.admin) = (proxy.web, proxy.admin);
    proxy.edit(&next);
    let report = proxy.admin("POST", "/api/reload");
    assert_eq!(report.status(), 422);
    assert!(report.text().contains("`secret_file`") && report.text().contains("no such file"), "{}", report.text());
    fs::write(proxy.dir.path().join("sticky.key"), "short").expect("write the secret");
    let report = proxy.admin("POST", "/api/reload");
    assert!(report.text().contains("`secret_file` has 5 bytes"), "{}", report.text());
    fs::write(proxy.dir.path().join("sticky.key"), [7; 32]).expect("write the secret");
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
}

#[test]
fn without_a_file_sessions_live_as_long_as_the_process() {
    let (_backends, site) = three(PLAIN);
    let mut proxy = site.start();
    proxy.logged("a secret of this process");
    let cookie = set(&ask(&proxy, None));
    proxy.edit(&site.clone().pool("idle_connections = 3"));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    stays(&proxy, &cookie, "a");
    assert_eq!(proxy.stderr().matches("a secret of this process").count(), 1);
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    let proxy = site.start();
    set(&ask(&proxy, Some(&cookie)));
}

#[test]
fn the_sessions_of_a_drained_backend_stand_in_no_line() {
    let (b, a) = (Counting::start("b"), Backend::bind());
    // The first of the two is asked first.
    let site = Site::new().limited([(b.address(), 1), (a.address(), 1)]).algorithm("first");
    let proxy = site.pool(PLAIN).pool("queue = { max = 10, wait = \"30s\" }").start();
    let cookie = set(&ask(&proxy, None));
    proxy.command(&["drain", "app", &b.address().to_string()]);
    let _takes_the_slot = proxy.ask("/");
    let _upstream = a.accept();
    let _waits = proxy.ask("/");
    proxy.metric_becomes("tidegate_queue_depth", &["pool=\"app\""], 1.0);
    stays(&proxy, &cookie, "b");
}

#[test]
fn a_websocket_belongs_to_a_session_too() {
    let (backends, site) = scripted::<2>();
    let proxy = site.algorithm("weighted_round_robin").pool(PLAIN).start();
    let mut client = proxy.connect();
    client.send(websocket::UPGRADE);
    let mut upstream = until("the request", || backends.iter().find_map(Backend::accepted));
    upstream.head();
    upstream.send(websocket::SWITCHING);
    let head = client.head();
    assert_eq!(head.status(), 101);
    assert!(head.get("set-cookie").is_some_and(|cookie| cookie.starts_with("at=")), "{head:?}");
}
