//! Caches that have what is wanted before anybody asks: lists at the start and by hand, and what was hottest in the last run.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Backend, Counting, Message, Proxy, Site, until};

/// With a cache that has these keys as well.
fn site(backend: SocketAddr, keys: &str) -> Site {
    Site::to([backend]).with(&format!("[cache.main]\nmemory = \"16MiB\"\n{keys}")).route("cache = \"main\"")
}

fn origin() -> Counting {
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx";
    Counting::answering("127.0.0.1:0".parse().expect("an address"), answer.to_owned(), Duration::from_millis(1))
}

/// A directory where this list is `popular.txt`.
fn with_list(text: impl AsRef<[u8]>) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("popular.txt"), text).expect("write the list");
    dir
}

fn numbered(urls: usize) -> String {
    (0..urls).map(|n| format!("http://a/{n}\n")).collect()
}

fn ask(proxy: &Proxy, host: &str, target: &str) -> Message {
    let mut wire = proxy.connect();
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    wire.answer()
}

#[track_caller]
fn assert_hit(proxy: &Proxy, host: &str, target: &str) {
    let answer = ask(proxy, host, target);
    let said = answer.head.get("cache-status").unwrap_or_default();
    assert!(said.contains("; hit"), "{host}{target}: {said:?}");
}

fn progress(proxy: &Proxy) -> Value {
    serde_json::from_str(&proxy.admin("GET", "/api/warm").text()).expect("JSON")
}

#[test]
fn what_is_listed_is_there_before_anybody_asks() {
    let backend = origin();
    let dir = with_list(format!("# popular\n{}", numbered(100)));
    let proxy = site(backend.address(), "warm = \"popular.txt\"\nwarm_at_once = 3").start_in(dir);
    proxy.logged("the caches are warmed");
    assert_eq!(backend.requests(), 100);
    assert!(backend.peak() <= 3, "{} at once", backend.peak());
    assert_hit(&proxy, "a", "/99");
    proxy.metric_becomes("tidegate_warm_requests_total", &["result=\"answered\""], 100.0);
    proxy.metric_becomes("tidegate_warm_urls_left", &[], 0.0);
    // It counts and is logged as any request, and as one that was answered whole.
    let is_its = |line: &Value| line["target"] == "/99" && line["user_agent"] == "tidegate-warm";
    let line = until("its line", || proxy.access_lines().into_iter().find(is_its));
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &Value::Null), "{line}");
}

#[test]
fn a_list_is_fetched_on_demand() {
    let backend = origin();
    let site = site(backend.address(), "");
    let proxy = site.with("[[route]]\nhost = \"gone\"\nrespond = { status = 404 }").start();
    let dir = TempDir::new().expect("a directory");
    let sitemap = dir.path().join("sitemap.xml");
    fs::write(&sitemap, "<urlset><url><loc>http://b/?x=1&amp;y=2</loc></url><url><loc>http://gone/</loc></url></urlset>")
        .expect("write it");
    let sitemap = sitemap.display().to_string();
    let (code, said, complaint) = proxy.command(&["warm", &sitemap, "http://b/more"]);
    assert_eq!((code, said.as_str()), (Some(1), "warmed: 2 of 3 URLs, 1 failed\n"), "{complaint}");
    assert_eq!(complaint, "http://gone/: 404\n");
    assert_eq!(backend.requests(), 2);
    assert_hit(&proxy, "b", "/?x=1&y=2");
    assert_eq!(proxy.command(&["warm", "http://b/more"]), (Some(0), "warmed: 1 of 1 URLs, 0 failed\n".to_owned(), String::new()));
    assert_eq!(backend.requests(), 2, "they were there");
    assert_eq!(proxy.command(&["warm", "/no/such/file"]).0, Some(1));
    assert_eq!(proxy.command(&["warm", "--stop"]), (Some(1), String::new(), "no list is being fetched\n".to_owned()));
}

#[test]
fn what_is_wrong_in_a_list_is_left_out_and_nothing_is_asked_of_who_is_not_served() {
    let backend = origin();
    let dir = with_list(b"http://a/1\nhttp://a/\xff\xfe\0\n\nnonsense\nhttp://stranger/\nhttp://a/2\nhttp://a/.../../x\nhttp");
    let site = Site::to([backend.address()]).route("cache = \"main\"\nhost = \"a\"");
    let proxy = site.with("[cache.main]\nwarm = \"popular.txt\"").start_in(dir);
    proxy.logged("the caches are warmed, but for some");
    let log = proxy.logged("what is no URL in a list is left out");
    assert!(log.contains("wrong=3"), "{log}");
    assert_eq!(backend.requests(), 2);
    let report = progress(&proxy);
    assert_eq!((&report["answered"], &report["failed"]), (&2.into(), &2.into()), "{report}");
    let misses: Vec<_> = report["misses"].as_array().expect("a list").iter().map(|miss| (&miss["url"], &miss["why"])).collect();
    assert!(misses.contains(&(&"http://stranger/".into(), &"there is no route for it".into())), "{report}");
    assert_hit(&proxy, "a", "/2");

    let missing = Site::to([backend.address()]).route("cache = \"main\"").with("[cache.main]\nwarm = \"no.txt\"").start();
    assert!(missing.logged("a list of URLs is left out").contains("`warm`: `no.txt` cannot be read"), "{}", missing.stderr());
    assert_eq!(ask(&missing, "a", "/").status(), 200);
}

#[test]
fn an_origin_does_not_take_it_for_a_neighbour() {
    let backend = Backend::bind();
    let proxy = site(backend.address(), "warm = \"popular.txt\"").start_in(with_list("http://a/1\n"));
    let mut origin = backend.accept();
    let request = origin.request();
    assert_eq!(request.head.get("x-forwarded-for"), Some("192.0.0.8"), "{}", request.text());
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\none");
    proxy.logged("the caches are warmed");
}

#[test]
fn a_list_ends_with_a_reload_by_hand_and_with_the_process() {
    // It answers nobody.
    let backend = Backend::bind();
    let site = site(backend.address(), "warm = \"popular.txt\"\nwarm_at_once = 2");
    let mut proxy = site.start_in(with_list(numbered(1000)));
    let _asked = (backend.accept(), backend.accept());
    assert_eq!(proxy.command(&["warm", "http://a/x"]).2, "another list is being fetched: 0 of 1000 URLs\n");
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    assert_eq!(progress(&proxy)["over"], false, "nothing has changed");
    proxy.edit(&site.clone().with("[pool.other]\nbackends = [\"127.0.0.1:9\"]"));
    let is_over = || Some(progress(&proxy)).filter(|report| report["over"] == true);
    let report = until("the list to be broken off", is_over);
    assert_eq!((&report["stopped"], &report["answered"]), (&true.into(), &0.into()), "{report}");
    proxy.logged("the caches are not warmed any further");

    let order = || proxy.command(&["warm", &proxy.dir.path().join("popular.txt").display().to_string()]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(order);
        let _asked = backend.accept();
        assert_eq!(
            proxy.command(&["warm", "--stop"]),
            (Some(0), "stopped: 1000 of 1000 URLs were still to come\n".to_owned(), String::new())
        );
        let (code, said, _) = waits.join().expect("it ends");
        assert_eq!((code, said.as_str()), (Some(1), "warmed: 0 of 1000 URLs, 0 failed; broken off\n"));
    });
    proxy.metric_becomes("tidegate_warm_urls_left", &[], 0.0);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.exit().success());
}

/// Uses two URLs, one often, and ends; what the log has said.
fn run_and_end(site: &Site) -> String {
    let mut proxy = site.start();
    ask(&proxy, "a", "/seldom");
    let mut wire = proxy.connect();
    for _ in 0..300 {
        wire.send("GET /often?x HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.answer();
    }
    wire.finish();
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.exit().success());
    proxy.stderr()
}

fn hottest(file: &Path) -> String {
    format!("hottest = {:?}\nhottest_urls = 1", file.display().to_string())
}

#[test]
fn what_was_hottest_is_there_after_a_restart() {
    let backend = origin();
    // Both runs find the same file.
    let dir = TempDir::new().expect("a directory");
    let file: PathBuf = dir.path().join("hottest.txt");
    let site = site(backend.address(), &hottest(&file));
    let log = run_and_end(&site);
    assert_eq!(fs::read_to_string(&file).expect("it is written"), "http://a/often?x\n", "{log}");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let before = backend.requests();

    let proxy = site.elsewhere().start();
    proxy.logged("the caches are warmed");
    assert_hit(&proxy, "a", "/often?x");
    assert_eq!(backend.requests(), before + 1);
}

#[test]
fn a_process_ends_well_where_nothing_can_be_written() {
    let backend = origin();
    let dir = TempDir::new().expect("a directory");
    let log = run_and_end(&site(backend.address(), &hottest(&dir.path().join("no/such/place"))));
    assert!(log.contains("what is hottest can not be written"), "{log}");
    // A device that is always full.
    let full = dir.path().join("full.txt.new");
    std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
    let log = run_and_end(&site(backend.address(), &hottest(&dir.path().join("full.txt"))).elsewhere());
    assert!(log.contains("what is hottest is written"), "{log}");
    assert_eq!(fs::read_to_string(dir.path().join("full.txt")).expect("it is there"), "http://a/often?x\n", "a link is not followed");
}
