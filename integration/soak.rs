//! Hours in minutes: mixed traffic while the file changes, backends die and come back, and clients are slow or leave. Nothing may be
//! lost or mixed up, and nothing may be left behind: no memory, no descriptor, no slot of a backend.
//!
//! `integration/soak` runs this for ten minutes; among the other tests it takes as long as `TIDEGATE_SOAK_SECONDS` says, or 20. A mode
//! is one function: its site, its clients and what it does to them go into a `Soak`, which keeps the time and judges the end.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::reload::reload;
use crate::support::{Backend, Head, Proxy, Site, Wire, until};
use crate::websocket;

const ALGORITHMS: [&str; 6] = ["p2c", "round_robin", "least_connections", "peak_ewma", "maglev", "random"];
/// Between one change and the next.
const TURN: Duration = Duration::from_millis(250);
/// By so much may resident memory grow after the warm-up.
const GROWTH: f64 = 1.05;
/// In a run that is too short to tell growth from what an allocator keeps for the next time.
const SHORT: Duration = Duration::from_secs(120);
const SHORT_SLACK_KIB: u64 = 4 << 10;
/// Descriptors that are not connections and come and go: a file being read, a look at the metrics.
const SLACK_DESCRIPTORS: usize = 4;

#[test]
#[ignore = "takes as long as TIDEGATE_SOAK_SECONDS says; integration/run and integration/soak run it"]
fn proxying() {
    let mut fragile: Vec<Option<Echo>> = (0..3).map(|_| Some(Echo::start())).collect();
    let addresses: Vec<SocketAddr> = fragile.iter().flatten().map(|echo| echo.address).collect();
    let (steady, talk) = (Echo::start(), Backend::bind());
    let ground = Site::new().log("access = \"off\"\nlevel = \"error\"");
    // What may be asked twice goes where backends die; what may not, and what takes long, where they do not.
    let site = |turn: usize| {
        let weighted = addresses.iter().enumerate().map(|(at, address)| (*address, 1 + ((turn + at) % 3) as u32));
        let algorithm = ALGORITHMS[turn % ALGORITHMS.len()];
        ground.clone().weighted(weighted).algorithm(algorithm).pool("retry = { tries = 3 }").with(&format!(
            "[pool.steady]\nalgorithm = \"{}\"\nbackends = [\"{}\"]\n\n[pool.talk]\nbackends = [\"{}\"]\n\n\
             [[route]]\npath = \"/steady/*\"\npool = \"steady\"\n\n[[route]]\npath = \"/chat\"\npool = \"talk\"",
            ALGORITHMS[(turn + 1) % ALGORITHMS.len()],
            steady.address,
            talk.address()
        ))
    };
    let proxy = site(0).start();
    let mut soak = Soak::begin(proxy);
    for seed in 0..3 {
        soak.client("GETs on kept connections", move |web, n| kept(web, "", seed << 40 | n));
    }
    soak.client("GETs on new connections", |web, n| drop(get(&mut Wire::connect(web), "", 1 << 44 | n, 100)));
    soak.client("long answers", |web, n| drop(get(&mut Wire::connect(web), "/steady", n, 1 << 20)));
    soak.client("uploads", |web, n| upload(&mut Wire::connect(web), n));
    soak.client("slow readers", slow_reader);
    soak.client("slow writers", slow_writer);
    soak.client("clients that leave", leaves);

    let mut talker = soak.proxy.connect();
    let mut talking = websocket::open(&mut talker, &talk);
    let mut turn = 0;
    while soak.goes_on() {
        turn += 1;
        soak.proxy.edit(&site(turn));
        assert_eq!(reload(&soak.proxy), 200, "reload {turn}");
        talker.send("ping");
        talking.expect("ping");
        talking.send("pong");
        talker.expect("pong");
        // One at a time is away, for two turns.
        let at = turn / 4 % fragile.len();
        match turn % 4 {
            1 => drop(fragile[at].take()),
            3 => fragile[at] = Some(Echo::on(addresses[at])),
            _ => {}
        }
    }
    drop((talker, talking));
    soak.end(turn);
}

/// The time, the clients, and the judgement at the end.
struct Soak {
    proxy: Proxy,
    began: Instant,
    lasts: Duration,
    over: Arc<AtomicBool>,
    clients: Vec<(&'static str, JoinHandle<u64>)>,
    descriptors: usize,
    /// Resident memory in KiB, by when.
    resident: Vec<(Duration, u64)>,
}

impl Soak {
    fn begin(proxy: Proxy) -> Soak {
        let seconds =
            std::env::var("TIDEGATE_SOAK_SECONDS").map_or(20, |seconds| seconds.parse().expect("TIDEGATE_SOAK_SECONDS is a number"));
        let descriptors = descriptors(&proxy);
        let lasts = Duration::from_secs(seconds);
        Soak { proxy, began: Instant::now(), lasts, over: Arc::default(), clients: Vec::new(), descriptors, resident: Vec::new() }
    }

    /// Does one thing after the other until the end; it panics where an answer is not the one that was asked for. `act`: is given the
    /// proxy's address and how many it has done.
    fn client(&mut self, what: &'static str, mut act: impl FnMut(SocketAddr, u64) + Send + 'static) {
        let (over, web) = (self.over.clone(), self.proxy.web);
        let work = move || {
            let mut done = 0;
            while !over.load(Ordering::Relaxed) {
                act(web, done);
                done += 1;
            }
            done
        };
        self.clients.push((what, thread::Builder::new().name(what.to_owned()).spawn(work).expect("a thread")));
    }

    /// A turn has passed, and there is time for more.
    fn goes_on(&mut self) -> bool {
        thread::sleep(TURN);
        self.proxy.assert_running();
        self.resident.push((self.began.elapsed(), self.proxy.resident_kib()));
        // Whoever has failed says why when it is joined.
        self.began.elapsed() < self.lasts && !self.clients.iter().any(|(_, client)| client.is_finished())
    }

    fn end(self, turns: usize) {
        self.over.store(true, Ordering::Relaxed);
        for (what, client) in self.clients {
            let done = client.join().unwrap_or_else(|_| panic!("{what}: an answer was lost or wrong, see above"));
            eprintln!("{what}: {done}");
            assert!(done > 0, "{what}: none was done");
        }
        let (proxy, lasted) = (self.proxy, self.began.elapsed());
        until("every slot to be given back", || (proxy.metric("tidegate_requests_in_flight", &[]) == Some(0.0)).then_some(()));
        assert_eq!(proxy.metric("tidegate_backend_in_flight", &[]), Some(0.0));

        let idle = || proxy.metric("tidegate_upstream_connections_idle", &[]).unwrap_or(0.0) as usize;
        until("the descriptors of clients and dead backends to be closed", || {
            (descriptors(&proxy) <= self.descriptors + idle() + SLACK_DESCRIPTORS).then_some(())
        });

        // The most in each of two windows: what is there between two requests says little.
        let most = |from: f64, to: f64| {
            let within = lasted.mul_f64(from)..lasted.mul_f64(to);
            self.resident.iter().filter(|(when, _)| within.contains(when)).map(|(_, kib)| *kib).max().expect("samples")
        };
        let (warm, last) = (most(0.3, 0.5), most(0.8, 1.0));
        eprintln!("{turns} reloads in {lasted:.0?}; {warm} KiB resident after the warm-up, {last} at the end");
        let slack = if self.lasts < SHORT { SHORT_SLACK_KIB } else { 0 };
        assert!(last <= (warm as f64 * GROWTH) as u64 + slack, "memory grows: {warm} KiB after the warm-up, {last} at the end");
    }
}

fn descriptors(proxy: &Proxy) -> usize {
    fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the proxy's descriptors").count()
}

/// Some requests on one connection.
fn kept(web: SocketAddr, place: &str, seed: u64) {
    let mut client = Wire::connect(web);
    for n in 0..50 {
        if get(&mut client, place, seed << 8 | n, 1000).lists("connection", "close") {
            return;
        }
    }
}

/// One answer, seen to be the one to this request.
#[track_caller]
fn get(client: &mut Wire, place: &str, seed: u64, bytes: usize) -> Head {
    let target = format!("{place}/{seed}/{bytes}");
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{target}: {answer:?}");
    assert!(answer.body == content(seed, bytes), "{target} was answered with another content");
    answer.head
}

#[track_caller]
fn upload(client: &mut Wire, seed: u64) {
    let body = content(seed, 100_000);
    client.send(format!("POST /steady/{seed}/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.text(), format!("{} {}", body.len(), sum(&body)), "the upload has changed on its way");
}

fn slow_reader(web: SocketAddr, seed: u64) {
    const BYTES: usize = 2 << 20;
    let mut client = Wire::connect(web);
    client.send(format!("GET /steady/{seed}/{BYTES} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.head().status(), 200);
    let mut expected = &*content(seed, BYTES);
    while !expected.is_empty() {
        thread::sleep(Duration::from_millis(20));
        let (next, rest) = expected.split_at(expected.len().min(64 << 10));
        assert!(client.take(next.len()) == next, "a slow reader was sent another content");
        expected = rest;
    }
}

fn slow_writer(web: SocketAddr, seed: u64) {
    let mut client = Wire::connect(web);
    let request = format!("GET /{seed}/100 HTTP/1.1\r\nHost: a\r\nX-Slow: yes\r\n\r\n");
    for piece in request.as_bytes().chunks(7) {
        client.send(piece);
        thread::sleep(Duration::from_millis(30));
    }
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.body == content(seed, 100));
}

/// By turns before the answer, within it, and within a request.
fn leaves(web: SocketAddr, n: u64) {
    let mut client = Wire::connect(web);
    match n % 3 {
        0 => client.send(format!("GET /{n}/100 HTTP/1.1\r\nHost: a\r\n\r\n")),
        1 => {
            client.send(format!("GET /steady/{n}/4000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.take(1000);
        }
        _ => client.send(format!("POST /steady/{n}/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nnot all")),
    }
    client.reset();
    thread::sleep(Duration::from_millis(5));
}

/// Content that no other seed has.
fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = format!("{seed}:").repeat(bytes / 2 + 1).into_bytes();
    content.truncate(bytes);
    content
}

/// Tells apart what is not the same, and what is not in the same order.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// A backend that answers `GET .../SEED/BYTES` with `content`, and a POST with length and sum of what it was sent. Dropping it closes all its
/// connections at once, whatever they are doing.
struct Echo {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Echo {
        Echo::on("127.0.0.1:0".parse().expect("an address"))
    }

    fn on(address: SocketAddr) -> Echo {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("bind {address}: {error}"));
        let address = listener.local_addr().expect("a local address");
        let (over, open) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let acceptor = thread::spawn({
            let (over, open) = (over.clone(), open.clone());
            move || {
                for stream in listener.incoming() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let stream = stream.expect("accept");
                    stream.set_nodelay(true).expect("TCP_NODELAY");
                    let mut open = open.lock().expect("the list of connections");
                    // Those that have ended are let go now and then, or a long run would hold them all.
                    open.retain(|stream| SockRef::from(stream).peer_addr().is_ok());
                    open.push(stream.try_clone().expect("a clone of the socket"));
                    thread::spawn(move || serve(stream));
                }
            }
        });
        Echo { address, over, open, acceptor: Some(acceptor) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.open.lock().expect("the list of connections").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Until the connection ends, whichever way.
fn serve(mut stream: TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut read)?;
        };
        let head = Head::parse(&read[..end]);
        let length: usize = head.get("content-length").map_or(0, |length| length.parse().expect("a length"));
        while read.len() < end + length {
            more(&mut stream, &mut read)?;
        }
        let body: Vec<u8> = read.drain(..end + length).skip(end).collect();
        let mut words = head.start.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let mut path = target.rsplit('/');
        let (bytes, seed) = (path.next()?.parse().ok()?, path.next()?.parse().ok()?);
        let answer = if method == "POST" { format!("{} {}", length, sum(&body)).into_bytes() } else { content(seed, bytes) };
        // In one piece: a backend that dies has answered, or it has not.
        let mut whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len()).into_bytes();
        whole.extend(answer);
        stream.write_all(&whole).ok()?;
    }
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let mut room = [0; 16 << 10];
    let n = stream.read(&mut room).ok().filter(|n| *n > 0)?;
    read.extend_from_slice(&room[..n]);
    Some(())
}
