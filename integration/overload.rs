//! More requests than backends can take: slots are kept to, those who wait are served in order, the others hear at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Backend, Counting, Head, Message, Proxy, Site, Wire, until, whichever};
use crate::websocket;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn limited(backend: &Backend, most: u32, pool: &str) -> Site {
    Site::new().limited([(backend.address(), most)]).pool(pool)
}

#[track_caller]
fn assert_refused(answer: &Message, reason: &str) {
    assert_eq!((answer.status(), answer.head.get("retry-after")), (503, Some("1")), "{answer:?}");
    assert!(answer.text().contains(&format!("({reason})")), "{}", answer.text());
}

#[track_caller]
fn wait_in_line(proxy: &Proxy, waiting: usize) {
    proxy.metric_becomes("tidegate_queue_depth", &["pool=\"app\""], waiting as f64);
}

#[test]
fn without_a_queue_who_finds_no_slot_is_refused_at_once() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "").start();
    let mut first = proxy.ask("/first");
    let mut upstream = backend.accept();
    upstream.request();
    let since = Instant::now();
    assert_refused(&proxy.ask("/second").answer(), "backends_full");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    let line = proxy.access("/second");
    assert_eq!((&line["pool"], &line["attempts"], &line["reason"]), (&"app".into(), &0.into(), &"backends_full".into()), "{line}");
    proxy.metric_becomes("tidegate_queue_refused_total", &["reason=\"backends_full\""], 1.0);
    // A slot is held to the last byte of the answer, and then it is free.
    upstream.send(OK);
    assert_eq!(first.answer().text(), "ok");
    let mut third = proxy.ask("/third");
    let mut wire = next(&backend, upstream);
    wire.request();
    wire.send(OK);
    assert_eq!(third.answer().text(), "ok");
}

#[test]
fn a_full_backend_is_passed_over() {
    let backends = [Backend::bind(), Backend::bind()];
    let proxy = Site::new().limited(backends.iter().map(|backend| (backend.address(), 1))).start();
    let clients = [proxy.ask("/1"), proxy.ask("/2")];
    let (first, _one) = whichever(&backends);
    let (second, _other) = whichever(&backends);
    assert_ne!(first, second);
    assert_refused(&proxy.ask("/3").answer(), "backends_full");
    drop(clients);
}

#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "queue = { max = 10, wait = \"30s\" }").start();
    let mut clients = vec![proxy.ask("/0")];
    let mut upstream = backend.accept();
    assert_eq!(upstream.request().head.start, "GET /0 HTTP/1.1");
    for at in 1..5 {
        clients.push(proxy.ask(&format!("/{at}")));
        // Over both workers.
        wait_in_line(&proxy, at);
    }
    // One that leaves is passed over, and leaves nothing behind.
    clients.remove(2).reset();
    wait_in_line(&proxy, 3);
    assert_eq!(proxy.access("/2")["reason"], "client_gone");
    for (target, client) in [0, 1, 3, 4].iter().zip(&mut clients) {
        if *target > 0 {
            upstream = next(&backend, upstream);
            assert_eq!(upstream.request().head.start, format!("GET /{target} HTTP/1.1"));
        }
        upstream.send(OK);
        assert_eq!(client.answer().text(), "ok");
    }
    wait_in_line(&proxy, 0);
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    assert!(proxy.access("/4")["queued"].as_f64().is_some_and(|queued| queued > 0.1));
    assert_eq!(proxy.access("/0")["queued"], serde_json::Value::Null);
    proxy.metric_becomes("tidegate_queue_wait_duration_seconds_count", &["pool=\"app\""], 3.0);
}

/// The connection of the next request: the same, or one of the other worker.
#[track_caller]
fn next(backend: &Backend, mut last: Wire) -> Wire {
    let mut fresh = None;
    until("the next request", || {
        fresh = backend.accepted();
        (fresh.is_some() || !last.is_quiet()).then_some(())
    });
    fresh.unwrap_or(last)
}

#[test]
fn waiting_has_an_end() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "queue = { max = 10, wait = \"300ms\" }").start();
    let _first = proxy.ask("/first");
    let mut upstream = backend.accept();
    upstream.request();
    let since = Instant::now();
    assert_refused(&proxy.ask("/late").answer(), "queue_timeout");
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    let line = proxy.access("/late");
    assert!(line["queued"].as_f64().is_some_and(|queued| (0.3..5.0).contains(&queued)), "{line}");
    proxy.metric_becomes("tidegate_queue_refused_total", &["reason=\"queue_timeout\""], 1.0);
}

#[test]
fn the_line_has_an_end() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "queue = { max = 1, wait = \"30s\" }").start();
    let _first = proxy.ask("/first");
    let mut upstream = backend.accept();
    upstream.request();
    let _second = proxy.ask("/second");
    wait_in_line(&proxy, 1);
    let since = Instant::now();
    assert_refused(&proxy.ask("/third").answer(), "queue_full");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn an_upload_whose_client_leaves_leaves_the_line() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "queue = { max = 1, wait = \"30s\" }").start();
    let _first = proxy.ask("/first");
    let mut upstream = backend.accept();
    upstream.request();
    let mut upload = proxy.connect();
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    wait_in_line(&proxy, 1);
    upload.reset();
    wait_in_line(&proxy, 0);
    assert_eq!(proxy.access("/upload")["reason"], "client_gone");
}

#[test]
fn a_reload_that_makes_room_serves_those_who_wait() {
    let backend = Backend::bind();
    let added = Backend::bind();
    let queue = "queue = { max = 10, wait = \"30s\" }";
    let site = limited(&backend, 1, queue);
    let proxy = site.start();
    let _first = proxy.ask("/first");
    let mut upstream = backend.accept();
    upstream.request();
    let waiting = [proxy.ask("/1"), proxy.ask("/2"), proxy.ask("/3")];
    wait_in_line(&proxy, 3);

    // Two slots more. Nothing has been given back.
    proxy.edit(&site.clone().limited([(backend.address(), 3)]));
    let mut more = [backend.accept(), backend.accept()];
    more.iter_mut().for_each(|upstream| drop(upstream.request()));
    // A backend more.
    proxy.edit(&site.clone().limited([(backend.address(), 3), (added.address(), 1)]));
    let mut other = added.accept();
    other.request();
    wait_in_line(&proxy, 0);
    // Fewer slots than are taken: what runs is left to run, and what came free is not given away.
    proxy.edit(&site);
    proxy.logged("max_requests 3 -> weight 1, max_requests 1");
    let _another = proxy.ask("/4");
    wait_in_line(&proxy, 1);
    more[0].send(OK);
    proxy.metric_becomes("tidegate_backend_in_flight", &[&format!("backend=\"{}\"", backend.address())], 2.0);
    wait_in_line(&proxy, 1);
    waiting.into_iter().for_each(Wire::reset);
    proxy.metric_becomes("tidegate_backend_in_flight", &[&format!("backend=\"{}\"", backend.address())], 1.0);
}

#[test]
fn a_tunnel_holds_its_slot() {
    let backend = Backend::bind();
    let proxy = limited(&backend, 1, "queue = { max = 10, wait = \"30s\" }").start();
    let mut client = proxy.connect();
    let tunnel = websocket::open(&mut client, &backend);
    let mut waiting = proxy.ask("/waiting");
    wait_in_line(&proxy, 1);
    drop(tunnel);
    drop(client);
    let mut upstream = backend.accept();
    upstream.request();
    upstream.send(OK);
    assert_eq!(waiting.answer().text(), "ok");
}

/// What a load of so many requests a second came to.
struct Outcome {
    seconds: f64,
    /// Latencies in milliseconds by what was answered: `ok`, or the reason of the refusal.
    answers: BTreeMap<String, Vec<f64>>,
}

impl Outcome {
    fn goodput(&self) -> f64 {
        self.count("ok") as f64 / self.seconds
    }

    fn count(&self, answer: &str) -> usize {
        self.answers.get(answer).map_or(0, Vec::len)
    }

    fn percentile(&self, answer: &str, share: f64) -> f64 {
        let mut sorted = self.answers.get(answer).cloned().unwrap_or_default();
        sorted.sort_by(f64::total_cmp);
        sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}

/// Sends requests at their times, whatever becomes of those before (open loop). A request that finds its connection busy is late, and
/// its latency counts from when it was due.
fn load(proxy: &Proxy, per_second: u32, requests: u32, connections: u32) -> Outcome {
    let web = proxy.web;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(web).await.expect("connect");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            streams.push(stream);
        }
        let begin = tokio::time::Instant::now() + Duration::from_millis(100);
        let tasks: Vec<_> = (0..connections)
            .zip(streams)
            .map(|(first, mut stream)| {
                tokio::task::spawn_local(async move {
                    let mut seen = Vec::new();
                    for turn in (first..requests).step_by(connections as usize) {
                        let due = begin + Duration::from_secs(1) * turn / per_second;
                        tokio::time::sleep_until(due).await;
                        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
                        let answer = read_answer(&mut stream).await;
                        seen.push((answer, due.elapsed().as_secs_f64() * 1e3));
                    }
                    seen
                })
            })
            .collect();
        let mut answers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for task in tasks {
            for (answer, latency) in task.await.expect("a task of the load") {
                answers.entry(answer).or_default().push(latency);
            }
        }
        Outcome { seconds: begin.elapsed().as_secs_f64(), answers }
    })
}

/// `ok`, or the reason in the body of a refusal.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let n = stream.read_buf(&mut read).await.expect("read");
        assert!(n > 0, "the connection was closed");
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else { continue };
        let head = Head::parse(&read[..end]);
        let length: usize = head.get("content-length").expect("a length").parse().expect("a number");
        if read.len() < end + length {
            continue;
        }
        let body = String::from_utf8_lossy(&read[end..]).into_owned();
        return match head.status() {
            200 => "ok".to_owned(),
            503 => body.rsplit_once('(').and_then(|(_, code)| code.split(')').next()).unwrap_or(&body).to_owned(),
            status => format!("{status} {body}"),
        };
    }
}

#[derive(Debug, Default)]
struct Round {
    /// Answered in a second.
    goodput: f64,
    /// The longest wait of one that was answered.
    longest_ms: f64,
}

/// 2,000 requests a second into a pool that can do 1,000. On a quiet machine it prints more than 950 answered a second; what is asserted
/// also holds where other tests have most of the machine.
#[test]
fn twice_the_load_is_half_served_and_half_refused_at_once() {
    const SLOTS: u32 = 10;
    const TAKES: Duration = Duration::from_millis(10);
    const WAIT_MS: f64 = 200.0;
    let backend = Counting::answering("127.0.0.1:0".parse().expect("an address"), OK.to_owned(), TAKES);
    let proxy = Site::new().limited([(backend.address(), SLOTS)]).pool("queue = { max = 1000, wait = \"200ms\" }").start();

    // On a machine that others use as well, the best of some rounds is the one that says most about the proxy.
    let (mut best, mut lines) = (Round::default(), 0);
    for round in 0..6 {
        let outcome = load(&proxy, 2_000, 6_000, 600);
        let refused: usize = outcome.answers.iter().filter(|(answer, _)| answer.starts_with("queue_")).map(|(_, seen)| seen.len()).sum();
        assert_eq!(refused + outcome.count("ok"), 6_000, "{:?}", outcome.answers.keys());
        let counts: Vec<(&str, usize)> = outcome.answers.iter().map(|(answer, seen)| (answer.as_str(), seen.len())).collect();
        println!(
            "round {round}: {:.0} answered a second; {counts:?}; latency in ms, median, 99 %, most: ok {:.1} {:.1} {:.1}, \
             refused on arrival {:.1} {:.1} {:.1}; {} at once at the backend",
            outcome.goodput(),
            outcome.percentile("ok", 0.5),
            outcome.percentile("ok", 0.99),
            outcome.percentile("ok", 1.0),
            outcome.percentile("queue_too_long", 0.5),
            outcome.percentile("queue_too_long", 0.99),
            outcome.percentile("queue_too_long", 1.0),
            backend.peak(),
        );
        assert!(backend.peak() <= SLOTS as usize, "{} at once", backend.peak());
        assert!(outcome.count("queue_too_long") > refused / 2, "most are refused on arrival: {counts:?}");
        let waited = |line: &serde_json::Value| line["queued"].as_f64().map(|seconds| seconds * 1e3);
        let all = proxy.access_lines();
        let longest_ms = all[lines..].iter().filter(|line| line["status"] == 200).filter_map(waited).fold(0.0, f64::max);
        println!("the longest wait of one that was answered: {longest_ms:.1} ms");
        lines = all.len();
        let this = Round { goodput: outcome.goodput(), longest_ms };
        if this.goodput > best.goodput {
            best = this;
        }
        if best.goodput > 950.0 {
            break;
        }
    }
    assert!(best.goodput > 700.0, "{best:?}: the backend can do 1,000 a second");
    // The clock that ends a wait is as fine as a millisecond, and a worker may be late for it.
    assert!(best.longest_ms < WAIT_MS * 2.0, "{best:?}");
    proxy.metric_becomes("tidegate_backend_in_flight", &[], 0.0);
    wait_in_line(&proxy, 0);
}
