//! Certificates that change while they are in use: taken without a reload, and never anything less than a whole pair.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::certificates::{Authority, Signed};
use crate::support::proxy::{after, replace};
use crate::support::secure::{Secure, SecureBackend, client, showing};
use crate::support::{Counting, Proxy, Site, until};

const CURRENT: &str = "tidegate_tls_certificate_last_load_successful";
const DAY: Duration = Duration::from_hours(24);
/// Longer than what is unsettled may be passed over.
const SEEN: Duration = Duration::from_millis(800);

struct Scene {
    authority: Authority,
    client: Arc<ClientConfig>,
    /// Keeps what the backend says.
    _backend: Counting,
    site: Site,
    proxy: Proxy,
}

/// A proxy with these keys of `tls`, and the files that `place` puts into its directory.
fn started(tls: &str, place: impl FnOnce(&Authority, &Path)) -> Scene {
    let authority = Authority::new();
    let backend = Counting::start("hello");
    let dir = TempDir::new().expect("a directory");
    place(&authority, dir.path());
    let site = Site::to([backend.address()]).listen(&format!("tls = {{ {tls} }}"));
    // Every handshake is a whole one.
    let mut config = client(authority.roots());
    config.resumption = Resumption::disabled();
    let proxy = site.start_in(dir);
    Scene { authority, client: Arc::new(config), _backend: backend, site, proxy }
}

/// With one pair, for `a.example`.
fn with_one() -> (Scene, Signed) {
    let mut first = None;
    let scene = started(ONE, |authority, dir| {
        let signed = authority.sign(&["a.example"]);
        signed.write(dir, "a");
        first = Some(signed);
    });
    (scene, first.expect("it was placed"))
}

const ONE: &str = "certificates = [{ certificate = \"a.pem\", key = \"a.key\" }]";

impl Scene {
    fn dir(&self) -> &Path {
        self.proxy.dir.path()
    }

    fn shown(&self, name: &str) -> CertificateDer<'static> {
        Secure::connect(self.proxy.web, name, &self.client).expect("a handshake").shown()
    }

    #[track_caller]
    fn becomes(&self, name: &str, signed: &Signed) {
        until("the new certificate to be shown", || (self.shown(name) == signed.chain()[0]).then_some(()));
    }

    fn status(&self) -> Value {
        let status: Value = serde_json::from_str(&self.proxy.admin("GET", "/api/status").text()).expect("JSON");
        status["certificates"].clone()
    }
}

#[test]
fn a_hundred_renewals_under_load_cost_no_handshake() {
    const NAMES: usize = 10;
    const ROUNDS: usize = 10;
    let names: Vec<String> = (0..NAMES).map(|at| format!("n{at}.example")).collect();
    let each: Vec<_> = (0..NAMES).map(|at| format!("{{ certificate = \"n{at}.pem\", key = \"n{at}.key\" }}")).collect();
    let scene = started(&format!("certificates = [{}]", each.join(", ")), |authority, dir| {
        names.iter().enumerate().for_each(|(at, name)| authority.sign(&[name]).write(dir, &format!("n{at}")));
    });
    let (over, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for from in 0..2 {
            let (names, scene, over, shaken) = (&names, &scene, &over, &shaken);
            scope.spawn(move || {
                for name in names.iter().cycle().skip(from * NAMES / 2) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut secure = Secure::connect(scene.proxy.web, name, &scene.client).expect("a handshake");
                    assert_eq!(secure.get(name, "/").expect("an answer").1, b"hello");
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let renewals = || {
            for round in 0..ROUNDS {
                let signed: Vec<Signed> = names.iter().map(|name| scene.authority.sign(&[name])).collect();
                let path = |at: usize, end: &str| scene.dir().join(format!("n{at}.{end}"));
                let put = |file: &Path, text: &str| match round % 2 {
                    0 => fs::write(file, text).expect("write in place"),
                    _ => replace(file, text),
                };
                for (at, signed) in signed.iter().enumerate() {
                    put(&path(at, "pem"), &signed.certificate);
                    // One pair stays mismatched for so long that it is looked at.
                    if at == 0 {
                        after(SEEN);
                    }
                    put(&path(at, "key"), &signed.key);
                }
                for (name, signed) in names.iter().zip(&signed) {
                    scene.becomes(name, signed);
                }
            }
        };
        // Whatever comes of it, the load has to end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(renewals));
        over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    });
    assert!(shaken.load(Ordering::Relaxed) > NAMES);
    let log = scene.proxy.logged("is not that of the certificate");
    // What is in force is said a moment later.
    let told = || scene.proxy.stderr().matches("a certificate was replaced").count();
    until("each to be told", || (told() >= NAMES * ROUNDS).then_some(()));
    assert_eq!(told(), NAMES * ROUNDS, "each once");
    assert!(!log.contains("reload"), "none of this is one");
    for failed in ["broken", "refused", "not_tls", "nothing_in_common", "timeout"] {
        let label = format!("result=\"{failed}\"");
        assert!(scene.proxy.metric("tidegate_tls_handshakes_total", &[&label]).is_none_or(|count| count == 0.0), "{failed}");
    }
}

#[test]
fn what_is_open_goes_on_and_sessions_are_resumed_over_a_renewal() {
    let (scene, first) = with_one();
    let config = Arc::new(client(scene.authority.roots()));
    let mut open = Secure::connect(scene.proxy.web, "a.example", &config).expect("a handshake");
    open.get("a.example", "/").expect("an answer");
    let second = scene.authority.sign(&["a.example"]);
    second.write(scene.dir(), "a");
    scene.becomes("a.example", &second);
    open.get("a.example", "/").expect("the connection is the old one");
    assert_eq!(open.shown(), first.chain()[0]);
    let mut again = Secure::connect(scene.proxy.web, "a.example", &config).expect("a handshake");
    again.get("a.example", "/").expect("an answer");
    assert!(again.is_resumed(), "tickets are not the certificate's");
}

#[test]
fn what_is_broken_is_said_and_the_last_good_pair_stays() {
    let (scene, first) = with_one();
    let other = scene.authority.sign(&["a.example"]);
    let (pem, key) = (scene.dir().join("a.pem"), scene.dir().join("a.key"));
    let half = &other.certificate[..other.certificate.len() / 2];
    let expired = scene.authority.sign_until(&["a.example"], SystemTime::now() - DAY);
    for (certificate, its_key, said) in [
        (Some(""), &first.key, "there is no certificate in it"),
        (Some(&*other.certificate), &first.key, "the private key in it is not that of the certificate"),
        (Some(half), &other.key, "a certificate in it cannot be read"),
        (None, &other.key, "there is no such file"),
        (Some(&expired.certificate), &expired.key, "the certificate in it has expired"),
    ] {
        match certificate {
            Some(text) => fs::write(&pem, text).expect("write a certificate"),
            None => fs::remove_file(&pem).expect("remove a certificate"),
        }
        fs::write(&key, its_key).expect("write a key");
        let log = scene.proxy.logged(said);
        assert!(log.contains("a certificate can not be used: the last good one stays in force"), "{log}");
        assert_eq!(scene.shown("a.example"), first.chain()[0], "{said}");
        scene.proxy.metric_becomes(CURRENT, &["listener=\"web\"", "certificate=\"a.pem\""], 0.0);
        let status = scene.status();
        assert!(status[0]["error"].as_str().is_some_and(|error| error.contains(said)), "{status}");
    }
    // An edit meanwhile is taken: it has nothing to do with it.
    scene.proxy.edit(&scene.site.clone().pool("idle_connections = 7"));
    let log = scene.proxy.logged("reload: changed pool app");
    assert!(!log.contains("reload refused"), "{log}");
    assert_eq!(scene.shown("a.example"), first.chain()[0]);
    other.write(scene.dir(), "a");
    scene.becomes("a.example", &other);
    scene.proxy.metric_becomes(CURRENT, &["listener=\"web\"", "certificate=\"a.pem\""], 1.0);
    assert_eq!(scene.status()[0]["error"], Value::Null);
}

#[test]
fn a_reload_keeps_the_last_good_pair_where_the_files_are_broken() {
    let (scene, first) = with_one();
    fs::remove_file(scene.dir().join("a.key")).expect("remove a key");
    scene.proxy.edit(&scene.site.clone().pool("idle_connections = 7"));
    let log = scene.proxy.logged("reload: changed pool app");
    assert!(log.contains("what was read there last stays in force"), "{log}");
    assert_eq!(scene.shown("a.example"), first.chain()[0]);
    scene.proxy.logged("a certificate can not be used: the last good one stays in force");
    fs::write(scene.dir().join("a.key"), &first.key).expect("write a key");
    scene.proxy.logged("a certificate can be read again, and is the one in force");
}

#[test]
fn the_symlink_swap_of_a_secret_is_seen_again_and_again() {
    let publish = |mount: &Path, version: &str, signed: &Signed| {
        fs::create_dir(mount.join(format!("..{version}"))).expect("a directory");
        signed.write(&mount.join(format!("..{version}")), "tls");
        symlink(format!("..{version}"), mount.join("..data_tmp")).expect("a symlink");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("swap");
    };
    let scene = started("certificates = [{ certificate = \"mount/tls.pem\", key = \"mount/tls.key\" }]", |authority, dir| {
        let mount = dir.join("mount");
        fs::create_dir(&mount).expect("a directory");
        publish(&mount, "one", &authority.sign(&["a.example"]));
        for name in ["tls.pem", "tls.key"] {
            symlink(format!("..data/{name}"), mount.join(name)).expect("a symlink");
        }
    });
    for (version, gone) in [("two", "..one"), ("three", "..two")] {
        let signed = scene.authority.sign(&["a.example"]);
        let mount = scene.dir().join("mount");
        publish(&mount, version, &signed);
        fs::remove_dir_all(mount.join(gone)).expect("remove the old");
        scene.becomes("a.example", &signed);
    }
    assert!(!scene.proxy.stderr().contains("can not be used"), "{}", scene.proxy.stderr());
}

#[test]
fn whom_clients_are_signed_by_may_change() {
    let scene = started(&format!("{ONE}, client_ca = \"ca.pem\""), |authority, dir| {
        authority.sign(&["a.example"]).write(dir, "a");
        fs::write(dir.join("ca.pem"), authority.pem()).expect("write");
    });
    let new = Authority::new();
    let [of_old, of_new] = [&scene.authority, &new].map(|authority| showing(scene.authority.roots(), &authority.sign(&["worker"])));
    let gets = |config| Secure::connect(scene.proxy.web, "a.example", config).and_then(|mut secure| secure.get("a.example", "/")).is_ok();
    assert!(gets(&of_old) && !gets(&of_new));
    fs::write(scene.dir().join("ca.pem"), "").expect("write");
    scene.proxy.logged("there is no certificate in it");
    assert!(gets(&of_old) && !gets(&of_new), "nobody is let in because a file is empty");
    fs::write(scene.dir().join("ca.pem"), new.pem()).expect("write");
    until("the new ones to be let in", || gets(&of_new).then_some(()));
    assert!(!gets(&of_old));
    scene.proxy.logged("certificates of authorities were replaced");
}

#[test]
fn a_pool_follows_its_authorities_and_its_own_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    // It is of the new authority itself, and wants to be shown what the new authority signed.
    let backend = SecureBackend::start(&new.sign(&["app.internal"]), false, Some(new.roots()));
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("ca.pem"), old.pem()).expect("write");
    old.sign(&["proxy"]).write(dir.path(), "own");
    let keys = "server_name = \"app.internal\", ca = \"ca.pem\", certificate = \"own.pem\", key = \"own.key\"";
    let site = Site::to([backend.address()]).pool(&format!("tls = {{ {keys} }}"));
    let proxy = site.start_in(dir);
    assert_eq!(proxy.get("/").status(), 502);
    fs::write(proxy.dir.path().join("ca.pem"), new.pem()).expect("write");
    proxy.logged("certificates of authorities were replaced");
    assert_eq!(proxy.get("/").status(), 502, "it is believed, and does not believe");
    new.sign(&["proxy"]).write(proxy.dir.path(), "own");
    until("the backend to believe", || (proxy.get("/").status() == 200).then_some(()));
    proxy.metric_becomes(CURRENT, &["pool=\"app\"", "certificate=\"own.pem\""], 1.0);
    proxy.metric_becomes(CURRENT, &["pool=\"app\"", "certificate=\"ca.pem\""], 1.0);
}

#[test]
fn what_expires_is_told_beforehand() {
    let scene = started(
        "certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, { certificate = \"b.pem\", key = \"b.key\" }]",
        |authority, dir| {
            authority.sign_until(&["a.example"], SystemTime::now() + 3 * DAY + DAY / 2).write(dir, "a");
            authority.sign_until(&["b.example"], SystemTime::now() - DAY).write(dir, "b");
        },
    );
    let log = scene.proxy.logged("a certificate has expired");
    let line = log.lines().find(|line| line.contains("a certificate expires soon")).expect("of the other, too");
    assert!(line.contains("a.pem") && line.contains("a.example") && line.contains("days=3"), "{line}");
    let labels = ["listener=\"web\"", "certificate=\"a.pem\"", "name=\"a.example\""];
    let expires = scene.proxy.metric("tidegate_tls_certificate_not_after_timestamp_seconds", &labels).expect("a metric");
    let loaded = scene.proxy.metric("tidegate_tls_certificate_last_load_timestamp_seconds", &labels[..2]).expect("a metric");
    let left = expires - loaded;
    assert!((3.4 * 86_400.0..3.5 * 86_400.0 + 60.0).contains(&left), "{left}");
    let (code, out, err) = scene.proxy.command(&["status"]);
    assert_eq!((code, &*err), (Some(0), ""));
    let line = out.lines().find(|line| line.trim_start().starts_with("a.pem")).unwrap_or_else(|| panic!("{out}"));
    for said in ["a.example", "a.key", "listener web"] {
        assert!(line.contains(said), "{line}");
    }
    // Nobody would believe one that has expired, but there is none else.
    assert!(Secure::connect(scene.proxy.web, "b.example", &scene.client).is_err());
    let renewed = scene.authority.sign(&["b.example"]);
    renewed.write(scene.dir(), "b");
    until("the new certificate to be shown", || {
        Secure::connect(scene.proxy.web, "b.example", &scene.client).ok().filter(|secure| secure.shown() == renewed.chain()[0])
    });
}
