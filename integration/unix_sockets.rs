//! Unix sockets as backends: named by a path wherever another is named by its address, and reached as any other.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Counting, Site, Wire};

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
fn a_request_whose_socket_is_gone_goes_to_another() {
    let app = Socket::bind();
    let other = Counting::start("other");
    let proxy = Site::new().entries(&format!("\"{}\", {{ address = \"{}\", backup = true }}", app.address(), other.address())).start();
    drop(app);
    assert_eq!(proxy.get("/x").text(), "other");
    let line = proxy.access("/x");
    assert_eq!((line["attempts"].as_u64(), line["retry"].as_str()), (Some(2), Some("connect")));
}
