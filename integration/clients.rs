//! Clients as people have them: `curl` in every protocol, what a browser sends, `h2load`. Ignored unless asked for, as they need those
//! programs; `integration/run` installs and asks.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::proxy::free_address;
use crate::support::{Backend, Counting, Message, Proxy, Site};

/// A proxy with a plain listener and one with TLS, for `a.example`.
struct Scene {
    proxy: Proxy,
    secure: SocketAddr,
}

fn before(backend: SocketAddr) -> Scene {
    let (authority, secure, dir) = (Authority::new(), free_address(), TempDir::new().expect("a directory"));
    authority.sign(&["a.example"]).write(dir.path(), "a");
    fs::write(dir.path().join("ca.pem"), authority.pem()).expect("write");
    let tls = "tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }] }";
    let site = Site::to([backend]).with(&format!("[listen.secure]\naddress = \"{secure}\"\n{tls}"));
    Scene { proxy: site.start_in(dir), secure }
}

impl Scene {
    fn file(&self, name: &str) -> PathBuf {
        self.proxy.dir.path().join(name)
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        let address = if scheme == "https" { self.secure } else { self.proxy.web };
        format!("{scheme}://a.example:{}{path}", address.port())
    }

    /// `curl` with these arguments, which finds `a.example` here and believes its certificate: what it said.
    #[track_caller]
    fn curl(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--noproxy", "*", "--connect-to", "a.example::127.0.0.1:"]);
        command.arg("--cacert").arg(self.file("ca.pem")).args(arguments);
        let output = command.output().expect("run curl");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// How `curl` is told what to speak, and what it calls that.
const WAYS: [(&str, &[&str], &str); 8] = [
    ("http", &["--http1.0"], "1.0"),
    ("http", &["--http1.1"], "1.1"),
    ("http", &["--http2-prior-knowledge"], "2"),
    ("https", &["--http1.0"], "1.0"),
    ("https", &["--http1.1"], "1.1"),
    ("https", &["--http2"], "2"),
    ("https", &["--http2", "--tls-max", "1.2"], "2"),
    // Offers both, as most programs do.
    ("https", &[], "2"),
];

#[test]
#[ignore = "needs curl"]
fn curl_speaks_every_protocol_with_and_without_tls() {
    let content: String = (0..2_000_000u32).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    let backend = Counting::saying(answer);
    let scene = before(backend.address());
    for (scheme, how, version) in WAYS {
        let url = scene.url(scheme, "/");
        let url = url.as_str();
        let shown = "%{http_version} %{http_code} %{num_connects}\n";
        let said = |urls: &[&str]| {
            let outputs = ["-o", "/dev/null"].repeat(urls.len());
            String::from_utf8(scene.curl(&[how, &["-w", shown], &outputs, urls].concat())).expect("text")
        };
        // Of HTTP/1.0 the answer says 1.1, as that is what we speak (RFC 9110 2.5).
        let (version, again) = if version == "1.0" { ("1.1", 1) } else { (version, 0) };
        assert_eq!(said(&[url]), format!("{version} 200 1\n"), "{scheme} {how:?}");
        // The second goes the way of the first, where that can be. curl 7.88 fails by itself where it has prior knowledge.
        if !how.contains(&"--http2-prior-knowledge") {
            assert_eq!(said(&[url, url]), format!("{version} 200 1\n{version} 200 {again}\n"), "{scheme} {how:?}");
        }
        assert!(scene.curl(&[how, &[url]].concat()) == content.as_bytes(), "{scheme} {how:?}: other content");
    }
}

#[test]
#[ignore = "needs curl"]
fn uploads_arrive_whole_by_every_protocol() {
    let backend = Backend::bind();
    let scene = before(backend.address());
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    fs::write(scene.file("upload"), &content).expect("write");
    let upload = format!("@{}", scene.file("upload").display());
    for (scheme, how, _) in WAYS {
        let chunked: &[&str] = &["-H", "Transfer-Encoding: chunked"];
        // What is chunked there has no length here; the others have no chunks.
        let lengths = if how.contains(&"--http1.1") { vec![&[][..], chunked] } else { vec![&[][..]] };
        for length in lengths {
            let url = scene.url(scheme, "/upload");
            let said = std::thread::scope(|scope| {
                let asked = scope.spawn(|| scene.curl(&[how, length, &["--data-binary", upload.as_str(), url.as_str()]].concat()));
                let mut upstream = backend.accept();
                assert!(upstream.request().body == content, "{scheme} {how:?} {length:?}");
                upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken");
                asked.join().expect("curl ends well")
            });
            assert_eq!(said, b"taken", "{scheme} {how:?} {length:?}");
        }
    }
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

/// What a browser says of itself arrives as it said it, and cookies go both ways, however they are cut into fields.
#[test]
#[ignore = "needs curl"]
fn a_browsers_name_and_its_cookies_come_through() {
    let backend = Backend::bind();
    let scene = before(backend.address());
    let jar = scene.file("jar").display().to_string();
    let like_a_browser = [
        "-A",
        BROWSER,
        "-H",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "-H",
        "Accept-Language: de-DE,de;q=0.9,en;q=0.8",
        "-H",
        "sec-ch-ua: \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"",
        "-H",
        "sec-fetch-mode: navigate",
        "-H",
        "Upgrade-Insecure-Requests: 1",
        "--compressed",
    ];
    let visit = |how: &[&str], url: &str, answer: &str| -> Message {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| scene.curl(&[how, &like_a_browser, &["-b", &jar, "-c", &jar, "-o", "/dev/null", url]].concat()));
            let mut upstream = backend.accept();
            let request = upstream.request();
            upstream.send(answer);
            asked.join().expect("curl ends well");
            request
        })
    };
    for (scheme, how, _) in WAYS {
        let _ = fs::remove_file(scene.file("jar"));
        let url = scene.url(scheme, "/");
        // Two fields of one name, one with a comma in it.
        let set = "Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly\r\n\
                   Set-Cookie: theme=\"dark\"; Expires=Fri, 31 Dec 2099 23:59:59 GMT; Path=/\r\n";
        let first = visit(how, &url, &format!("HTTP/1.1 200 OK\r\n{set}Content-Length: 0\r\nConnection: close\r\n\r\n"));
        assert_eq!(first.head.get("user-agent"), Some(BROWSER), "{scheme} {how:?}");
        assert_eq!(first.head.get("sec-ch-ua"), Some("\"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\""), "{scheme} {how:?}");
        assert_eq!(first.head.get("accept-language"), Some("de-DE,de;q=0.9,en;q=0.8"), "{scheme} {how:?}");
        assert_eq!(first.head.get("cookie"), None, "{scheme} {how:?}");
        let second = visit(how, &url, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        let cookies: Vec<_> = second.head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
        assert_eq!(cookies.len(), 1, "one field for whoever does not know of crumbs: {cookies:?}");
        let mut crumbs: Vec<_> = cookies[0].1.split("; ").collect();
        crumbs.sort_unstable();
        assert_eq!(crumbs, ["session=0123456789abcdef", "theme=\"dark\""], "{scheme} {how:?}");
    }
}

#[test]
#[ignore = "needs h2load"]
fn h2load_sees_no_failure() {
    const REQUESTS: usize = 5_000;
    let backend = Counting::start("hello");
    let scene = before(backend.address());
    let mut asked = 0;
    for (scheme, how) in [("http", &[][..]), ("https", &[]), ("https", &["--h1"]), ("https", &["-w", "16", "-W", "16"])] {
        let address = if scheme == "https" { scene.secure } else { scene.proxy.web };
        let mut command = Command::new("h2load");
        command.args(["-n", &REQUESTS.to_string(), "-c", "10", "-m", "8", "-T", "20"]).args(how);
        command.args(["-H", &format!("user-agent: {BROWSER}"), "-H", "cookie: a=1; b=2"]);
        let output = command.arg(format!("{scheme}://{address}/")).output().expect("run h2load");
        let said = String::from_utf8_lossy(&output.stdout);
        let all = format!("{REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(output.status.success() && said.contains(&all), "{scheme} {how:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        asked += REQUESTS;
        assert_eq!(backend.requests(), asked, "{scheme} {how:?}");
    }
    let failed = scene.proxy.metric("tidegate_failures_total", &[]).unwrap_or(0.0);
    assert_eq!(failed, 0.0);
}
