//! Unix sockets on both sides: named by a path wherever another is named by its address, and otherwise like any other.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::frames::*;
use crate::support::{Backend, Counting, Frames, Proxy, Site, Wire};

/// A socket in a directory of its own.
struct Socket {
    _dir: TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn bind() -> Socket {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("app.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        Socket { _dir: dir, path, listener }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    fn accept(&self) -> Wire {
        Wire::over_unix(self.listener.accept().expect("accept").0)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_backend_may_be_a_unix_socket() {
    let app = Socket::bind();
    let other = Counting::start("other");
    let entries = format!("\"{}\", {{ address = \"{}\", backup = true }}", app.address(), other.address());
    let proxy = Site::new().entries(&entries).start();

    let mut client = proxy.connect();
    client.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    let mut upstream = app.accept();
    let request = upstream.request();
    assert_eq!((request.body.as_slice(), request.head.get("host")), (&b"body"[..], Some("a")));
    upstream.send(OK);
    assert_eq!(client.answer().text(), "hi");
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.request();
    upstream.send(OK);
    assert_eq!(client.answer().text(), "hi");

    let line = proxy.access("/second");
    assert_eq!((line["backend"].as_str(), line["reused"].as_bool()), (Some(&*app.address()), Some(true)));
    assert_eq!(proxy.pool()["backends"][0]["address"].as_str(), Some(&*app.address()));
    assert!(proxy.metric("tidegate_backend_in_flight", &[&format!("backend=\"{}\"", app.address())]).is_some());

    let (code, said, complaint) = proxy.command(&["drain", "app", &app.address()]);
    assert!(code == Some(0) && said.contains(&app.address()), "{said}{complaint}");
    assert_eq!(proxy.get("/drained").text(), "other");
}

#[test]
fn a_socket_that_nobody_has_is_a_backend_that_is_down() {
    let app = Socket::bind();
    let other = Counting::start("other");
    let entries = format!("\"{}\", {{ address = \"{}\", backup = true }}", app.address(), other.address());
    let proxy = Site::new().entries(&entries).pool("health = { kind = \"tcp\", every = \"50ms\", fall = 1, rise = 1 }").start();
    let state = || proxy.pool()["backends"][0]["state"].as_str().map(str::to_owned);
    crate::support::until("the socket to be up", || (state()? == "up").then_some(()));
    let Socket { _dir, path, listener } = app;
    drop(listener);
    crate::support::until("the socket to be down", || (state()? == "down").then_some(()));
    assert_eq!(proxy.get("/").text(), "other");
    std::fs::remove_file(&path).expect("remove the socket");
    let _again = UnixListener::bind(&path).expect("bind");
    crate::support::until("the socket to be up again", || (state()? == "up").then_some(()));
}

#[test]
fn a_probe_of_a_socket_asks_for_localhost() {
    let app = Socket::bind();
    let _proxy = Site::new().entries(&format!("\"{}\"", app.address())).pool("health = \"/up\"").start();
    let request = app.accept().request();
    assert_eq!((request.head.start.as_str(), request.head.get("host")), ("GET /up HTTP/1.1", Some("localhost")));
}

#[test]
fn a_request_whose_socket_is_gone_goes_to_another() {
    let app = Socket::bind();
    let other = Counting::start("other");
    let proxy = Site::new().entries(&format!("\"{}\", {{ address = \"{}\", backup = true }}", app.address(), other.address())).start();
    drop(app);
    assert_eq!(proxy.get("/x").text(), "other");
    let line = proxy.access("/x");
    assert_eq!((line["attempts"].as_u64(), line["retry"].as_str()), (Some(2), Some("connect")));
}

/// A proxy that listens on a socket besides its port; in a directory that outlives it.
fn listening(app: &Backend, more: &str) -> (TempDir, PathBuf, Site, Proxy) {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("web.sock");
    let site = Site::to([app.address()]).with(&format!("[listen.local]\naddress = \"unix:{}\"\n{more}", path.display()));
    let proxy = site.start();
    (dir, path, site, proxy)
}

/// One request through, and what the backend saw of it.
fn exchange(path: &Path, app: &Backend, target: &str) -> crate::support::Message {
    let mut client = Wire::connect_unix(path);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let mut upstream = app.accept();
    let request = upstream.request();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    assert_eq!(client.answer().text(), "hi");
    request
}

#[test]
fn a_listener_may_be_a_unix_socket_and_its_clients_are_on_this_machine() {
    let app = Backend::bind();
    let (_dir, path, site, proxy) = listening(&app, "socket_mode = \"660\"\ntrusted_proxies = \"127.0.0.1\"");
    let mode = || std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o660);
    proxy.edit(&site.without_tables().with(&format!("[listen.local]\naddress = \"unix:{}\"\nsocket_mode = \"600\"", path.display())));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    assert_eq!(mode(), 0o600);
    let request = exchange(&path, &app, "/x");
    assert_eq!((request.head.get("x-forwarded-for"), request.head.get("x-forwarded-port")), (Some("127.0.0.1"), Some("80")));
    let line = proxy.access("/x");
    assert_eq!((line["client"].as_str(), line["listener"].as_str()), (Some("127.0.0.1"), Some("local")));
    for n in 0..20 {
        exchange(&path, &app, &format!("/{n}"));
    }
}

#[test]
fn the_file_goes_when_the_listener_goes() {
    let app = Backend::bind();
    let (_dir, path, site, proxy) = listening(&app, "");
    proxy.edit(&site.clone().without_tables());
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    crate::support::until("the socket to go", || (!path.exists()).then_some(()));
    proxy.edit(&site);
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    exchange(&path, &app, "/again");
    let mut proxy = proxy;
    proxy.signal(Signal::SIGTERM);
    proxy.exit();
    assert!(!path.exists());
}

#[test]
fn what_a_killed_process_left_is_replaced_and_a_live_one_is_not() {
    let app = Backend::bind();
    let (_dir, path, site, mut proxy) = listening(&app, "");
    let other = site.elsewhere();
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("tidegate.toml");
    std::fs::write(&file, other.text()).expect("write the configuration");
    let mut second = other.spawn_at(dir, file);
    assert!(!second.exit().success());
    assert!(second.stderr().contains("taken"), "{}", second.stderr());
    exchange(&path, &app, "/mine");

    proxy.signal(Signal::SIGKILL);
    proxy.exit();
    assert!(path.exists());
    let _third = other.start();
    exchange(&path, &app, "/third");
}

/// From one socket to another, all of it by streams.
#[test]
fn http2_is_spoken_on_sockets_of_both_sides() {
    let app = Socket::bind();
    let web = TempDir::new().expect("a directory");
    let path = web.path().join("web.sock");
    let site = Site::new().entries(&format!("\"{}\"", app.address())).pool("protocol = \"http2\"").workers(1);
    let proxy = site.with(&format!("[listen.local]\naddress = \"unix:{}\"", path.display())).start();
    let mut client = Frames::connect_unix(&path);
    client.head(1, &request("POST", "/one"), false);
    client.data(1, "hi", true);
    client.get(3, "/two");
    let mut upstream = Frames::accept_unix(&app.listener, &[]);
    assert_eq!(upstream.message(1).body, b"hi");
    let (stream, fields, _) = upstream.request();
    for (name, value) in [(":path", "/two"), (":authority", "a.example"), ("x-forwarded-for", "127.0.0.1")] {
        assert!(fields.contains(&(name.to_owned(), value.to_owned())), "{name}: {fields:?}");
    }
    upstream.head(stream, &[(":status", "404")], true);
    upstream.head(1, &[(":status", "200")], false);
    upstream.data(1, "hello", true);
    assert_eq!(client.message(3).status(), 404);
    assert_eq!(client.message(1).body, b"hello");
    let line = proxy.access("/two");
    assert_eq!((line["backend"].as_str(), line["upstream_protocol"].as_str()), (Some(&*app.address()), Some("h2")));

    // A socket that is gone is one that nobody has.
    let Socket { _dir, listener, .. } = app;
    drop((upstream, listener));
    client.get(5, "/three");
    assert_eq!(client.message(5).status(), 502);
    assert_eq!(proxy.access("/three")["reason"], "connect_refused");
}
