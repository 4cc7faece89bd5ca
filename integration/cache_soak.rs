//! The cache under everything at once: URLs that never come again, popular ones that change, clients that leave, purges, reloads. No body
//! is ever another's, or older than the last purge; memory stays in its budget.
//!
//! Every body says its URL and version, and all of its bytes follow from them, so that a client can tell a right one without having
//! asked the origin. `caching` runs for as long as `TIDEGATE_SOAK_SECONDS` says (else 20), as do the modes of `integration/soak`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::reload::reload;
use crate::support::{Proxy, Site};

/// URLs that are asked for again and again, each with a version that rises.
const POPULAR: usize = 500;
const MEMORY_MIB: u64 = 32;
/// What an allocator may keep in any case, however small the budget.
const ALLOCATOR_KIB: u64 = 4 << 10;
/// Beside what is kept: connections with their buffers, fills under way, what an allocator has not given back yet.
const SLACK_KIB: u64 = 16 << 10;

#[test]
fn thirty_thousand_urls_stay_in_the_budget() {
    unique_urls(30_000, 16);
}

/// `cargo test --release --test integration -- --ignored --nocapture a_million_urls`
#[test]
#[ignore = "takes minutes; run by hand"]
fn a_million_urls_stay_in_the_budget() {
    unique_urls(1_000_000, 64);
}

fn unique_urls(urls: u64, memory_mib: u64) {
    const CLIENTS: u64 = 4;
    const AHEAD: u64 = 64;
    let origin = Origin::start();
    let proxy = site(&origin, memory_mib).start();
    let ask = |client: u64, from: u64, to: u64| {
        let mut wire = proxy.connect();
        let url = |n: u64| format!("/plain/{client}-{n}");
        for first in (from..to).step_by(AHEAD as usize) {
            let batch = first..(first + AHEAD).min(to);
            wire.send(batch.clone().map(|n| format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", url(n))).collect::<String>());
            for n in batch {
                let answer = wire.answer();
                assert_eq!(judge(&url(n), &answer.body), Some(0), "{}", url(n));
            }
        }
    };
    let ask = &ask;
    let all = |from: u64, to: u64| {
        thread::scope(|scope| {
            (0..CLIENTS).for_each(|client| drop(scope.spawn(move || ask(client, from, to))));
        });
    };
    // A proxy that has served something has its buffers.
    all(0, 16);
    let before = proxy.resident_kib();
    all(16, urls / CLIENTS);
    let after = proxy.resident_kib();
    let budget = memory_mib << 10;
    eprintln!("{urls} URLs, {budget} KiB of memory for the cache: {before} KiB resident before, {after} KiB after");
    proxy.metric_becomes("tidegate_cache_fills_total", &[], (urls / CLIENTS * CLIENTS) as f64);
    assert!(proxy.metric("tidegate_cache_evicted_total", &[]).unwrap_or_default() > 0.0, "the budget was used up");
    assert!(
        after < before + budget + budget / 10 + ALLOCATOR_KIB,
        "{before} KiB before, {after} KiB after, {budget} KiB allowed for the cache"
    );
}

#[test]
#[ignore = "takes as long as TIDEGATE_SOAK_SECONDS says; integration/run and integration/soak run it"]
fn caching() {
    let seconds = std::env::var("TIDEGATE_SOAK_SECONDS").map_or(20, |seconds| seconds.parse().expect("a number of seconds"));
    let origin = Origin::start();
    let ground = site(&origin, MEMORY_MIB);
    let sites = ["ttl_jitter = \"10%\"", "refresh_ahead = true", "stale_while_revalidate = \"1s\", lock_age = \"1s\""].map(|keys| {
        ground.clone().with(&format!(
            "[[route]]\npath = \"/popular/*\"\npool = \"app\"\ncache = {{ use = \"main\", purge_from = [\"127.0.0.1\"], {keys} }}"
        ))
    });
    let proxy = sites[0].start();
    let floors: Vec<AtomicU64> = (0..POPULAR).map(|_| AtomicU64::new(0)).collect();
    let over = AtomicBool::new(false);
    let counts: [AtomicU64; 5] = Default::default();
    let (before, mut most) = (proxy.resident_kib(), 0);
    let again = |at: usize, act: &dyn Fn(u64)| {
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            act(n);
            n += 1;
        }
        counts[at].fetch_add(n, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        let (proxy, floors, origin, again) = (&proxy, &floors, &origin, &again);
        let _ends = Ends(&over);
        for client in 0..2u64 {
            scope.spawn(move || again(0, &|n| asks_all(proxy, (0..20).map(|at| (format!("/once/{client}-{n}-{at}"), 0)))));
            scope.spawn(move || again(1, &|n| asks_all(proxy, (0..50).map(|at| popular(floors, mixed(n << 8 | client << 6 | at))))));
        }
        scope.spawn(move || again(2, &|n| leaves(proxy, &popular(floors, mixed(n)).0)));
        scope.spawn(move || again(3, &|n| changes(proxy, origin, floors, mixed(n) as usize % POPULAR)));
        let mut turn = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) && !over.load(Ordering::Relaxed) {
            turn += 1;
            thread::sleep(Duration::from_millis(250));
            most = most.max(proxy.resident_kib());
            match turn % 8 {
                3 => drop(proxy.command(&["purge", "--tag", "odd"])),
                5 if turn % 40 == 5 => drop(proxy.command(&["purge", "--all"])),
                7 => drop(proxy.command(&["purge", "http://a/once/*", "--soft"])),
                _ => {
                    proxy.edit(&sites[turn % sites.len()]);
                    assert_eq!(reload(proxy), 200, "reload {turn}");
                }
            }
        }
        counts[4].store(turn as u64, Ordering::Relaxed);
    });
    let [once, popular, left, changes, turns] = counts.map(AtomicU64::into_inner);
    eprintln!(
        "{} URLs once, {} popular, {left} left, {changes} changes, {turns} turns; {before} KiB resident at first, {most} KiB at most",
        once * 20,
        popular * 50
    );
    assert!(once > 0 && popular > 0 && left > 0 && changes > 0);
    let budget = (MEMORY_MIB << 10) * 11 / 10;
    assert!(most < before + budget + SLACK_KIB, "{before} KiB at first, {most} KiB at most, {budget} KiB allowed");
}

/// Dropped, it ends all who work until the end; a failure in between, too.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn site(origin: &Origin, memory_mib: u64) -> Site {
    Site::to([origin.address])
        .log("access = \"off\"\nlevel = \"error\"")
        .with(&format!("[cache.main]\nmemory = \"{memory_mib}MiB\"\nmax_object = \"1MiB\""))
        .route("cache = \"main\"")
}

/// A URL of those that come again, and the version that it has at least.
fn popular(floors: &[AtomicU64], chance: u64) -> (String, u64) {
    // The smaller the number, the more popular.
    let n = (chance as usize % POPULAR).min((chance >> 20) as usize % POPULAR);
    (format!("/popular/{n}"), floors[n].load(Ordering::SeqCst))
}

/// On one connection, one after the other.
fn asks_all(proxy: &Proxy, urls: impl Iterator<Item = (String, u64)>) {
    let mut wire = proxy.connect();
    for (url, least) in urls {
        if is_cut(&url) {
            asks_for_a_cut(proxy, &url);
            continue;
        }
        wire.send(format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = wire.answer();
        assert_eq!(answer.status(), 200, "{url}");
        let version = judge(&url, &answer.body).unwrap_or_else(|| panic!("{url}: another's content of {} bytes", answer.body.len()));
        assert!(version >= least, "{url}: version {version}, and {least} was the oldest that there could be");
    }
}

/// What the origin cuts off is never whole.
fn asks_for_a_cut(proxy: &Proxy, url: &str) {
    let mut wire = proxy.connect();
    wire.send(format!("GET {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let (bytes, _) = wire.rest();
    let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(&[][..], |end| &bytes[end + 4..]);
    assert!(judge(url, body).is_none() && !body.ends_with(b"\r\n0\r\n\r\n"), "{url} came whole, which it never was");
}

/// Asks, and goes away before all of it is there.
fn leaves(proxy: &Proxy, url: &str) {
    let mut wire = proxy.connect();
    wire.send(format!("GET {url}?left HTTP/1.1\r\nHost: a\r\n\r\n"));
    let _ = wire.some();
    wire.reset();
}

/// There is a new version, and what is kept of the old one is purged: from then on nobody gets it.
fn changes(proxy: &Proxy, origin: &Origin, floors: &[AtomicU64], n: usize) {
    let version = origin.versions[n].fetch_add(1, Ordering::SeqCst) + 1;
    let mut wire = proxy.connect();
    wire.send(format!("PURGE /popular/{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(wire.answer().status(), 200);
    floors[n].fetch_max(version, Ordering::SeqCst);
    asks_all(proxy, std::iter::once((format!("/popular/{n}"), version)));
    thread::sleep(Duration::from_millis(5));
}

/// Splitmix64: the same for the same number, and like no other.
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn sum(url: &str, version: u64) -> u64 {
    url.bytes().fold(mixed(version), |sum, byte| mixed(sum ^ u64::from(byte)))
}

/// Bytes of the content of this URL.
fn length(url: &str) -> usize {
    let chance = sum(url, u64::MAX) as usize;
    match chance % 400 {
        _ if url.starts_with("/plain") => 800,
        0 => 300 << 10,
        // More than is kept.
        1 => 1200 << 10,
        n if n < 40 => 20 << 10,
        _ => 100 + chance % 4000,
    }
}

/// The origin cuts these off.
fn is_cut(url: &str) -> bool {
    !url.starts_with("/plain") && sum(url, u64::MAX) % 97 == 5
}

fn content(url: &str, version: u64) -> Vec<u8> {
    let sum = sum(url, version);
    let mut content = format!("{url} {version} {sum:016x}\n").into_bytes();
    let filler = (0..).flat_map(|n: u64| mixed(sum ^ n).to_le_bytes());
    content.extend(filler.take(length(url)));
    content
}

/// The version of a content; `None`: it is not whole, or not of this URL.
fn judge(url: &str, body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = (words.next()? == url).then(|| words.next())??.parse().ok()?;
    (body == content(url, version)).then_some(version)
}

/// A thread for each connection, until the process ends.
struct Origin {
    address: SocketAddr,
    versions: Arc<Vec<AtomicU64>>,
}

impl Origin {
    fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let versions: Arc<Vec<AtomicU64>> = Arc::new((0..POPULAR).map(|_| AtomicU64::new(0)).collect());
        let known = versions.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = known.clone();
                thread::spawn(move || serve(stream, &known));
            }
        });
        Origin { address, versions }
    }
}

/// Until the connection ends, whichever way.
fn serve(mut stream: TcpStream, versions: &[AtomicU64]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut read, mut room) = (Vec::new(), [0; 16 << 10]);
    loop {
        while let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(read.drain(..end + 4).collect()).ok()?;
            let target = head.split(' ').nth(1)?.to_owned();
            let popular = target.strip_prefix("/popular/").and_then(|n| n.split('?').next()?.parse::<usize>().ok());
            let version = popular.map_or(0, |n| versions[n].load(Ordering::SeqCst));
            let body = content(&target, version);
            let chance = sum(&target, 1);
            let (control, tag) = match chance % 20 {
                _ if target.starts_with("/plain") => ("max-age=600", "plain"),
                0 | 1 => ("no-store", "odd"),
                2 => ("private", "odd"),
                3 | 4 => ("max-age=1", "odd"),
                _ => ("max-age=600", "even"),
            };
            let is_chunked = chance.is_multiple_of(3) && !target.starts_with("/plain");
            let framing = if is_chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {}", body.len()) };
            write!(stream, "HTTP/1.1 200 OK\r\nCache-Control: {control}\r\nCache-Tag: {tag}\r\n{framing}\r\n\r\n").ok()?;
            if is_cut(&target) {
                let half = &body[..body.len() / 2];
                let _ = if is_chunked {
                    write!(stream, "{:x}\r\n", half.len()).and_then(|()| stream.write_all(half))
                } else {
                    stream.write_all(half)
                };
                return None;
            }
            if is_chunked {
                for piece in body.chunks(7000) {
                    write!(stream, "{:x}\r\n", piece.len()).ok()?;
                    stream.write_all(piece).ok()?;
                    stream.write_all(b"\r\n").ok()?;
                }
                stream.write_all(b"0\r\n\r\n").ok()?;
            } else {
                stream.write_all(&body).ok()?;
            }
        }
        match stream.read(&mut room).ok()? {
            0 => return None,
            n => read.extend_from_slice(&room[..n]),
        }
    }
}
