use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::backend::Start;
use crate::balance::Member;
use crate::config::model::{self, Probe, Protocol, WhenAllDown};
use crate::upstream::Rules;

fn check(start: model::Start) -> Arc<Health> {
    let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(1));
    Arc::new(Health { probe: Probe::Tcp, every, timeout, rise: 2, fall: 3, start, protocol: Protocol::Http1, send_proxy_protocol: None })
}

fn pool(addresses: &[SocketAddr], check: &Arc<Health>, start: Start) -> Checked {
    let member = |address: &SocketAddr| {
        let backend = Arc::new(Backend::new(*address));
        backend.checked(start);
        Member::plain(backend)
    };
    let set = Arc::new(Set::new(addresses.iter().map(member)));
    let rules = Rules { eject: None, when_all_down: WhenAllDown::Fail, patience: Duration::ZERO };
    let ward = Ward::new("app".into(), set.clone(), rules, Arc::default(), Arc::default());
    Checked { pool: "app".into(), set, ward: Arc::new(ward), check: check.clone(), peers: HashMap::new() }
}

/// When each probe of one backend began, if they find these in turn, and whether it was available after each.
async fn course(start: Start, findings: &'static str) -> Vec<(f64, bool)> {
    let checked = pool(&[([127, 0, 0, 1], 80).into()], &check(model::Start::Up), start);
    let backend = checked.set.members[0].backend.clone();
    let course = Course { backend: backend.clone(), pool: checked.pool, ward: Arc::new(Mutex::new(checked.ward)), check: checked.check };
    let began = Instant::now();
    let seen: Mutex<Vec<(f64, bool)>> = Mutex::default();
    let left = Mutex::new(findings.chars());
    let probe = |_: Arc<Health>, _| {
        // The last one's outcome is known by now.
        if let Some(last) = seen.lock().unwrap().last_mut() {
            last.1 = backend.is_available();
        }
        let next = left.lock().unwrap().next();
        seen.lock().unwrap().push((began.elapsed().as_secs_f64(), false));
        async move {
            let took = Duration::from_millis(100);
            tokio::time::sleep(took).await;
            match next {
                Some('p') => Some((Finding::Passed, took)),
                Some('f') => Some((Finding::Reset, took)),
                Some(_) => None,
                None => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(600), course.run(Duration::from_secs(1), probe)).await;
    let mut seen = seen.into_inner().unwrap();
    seen.pop();
    seen
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_probed_steadily_and_quicker_in_doubt() {
    let seen = course(Start::Up, "ppffffpppp").await;
    let waits: Vec<f64> = seen.windows(2).map(|pair| pair[1].0 - pair[0].0 - 0.1).collect();
    //                        p    p->f  f     f    f(down) f    p     p(up) p
    for (wait, expected) in waits.iter().zip([5.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 5.0]) {
        assert!((wait / expected - 1.0).abs() < 0.11, "{waits:?}");
    }
    let available: Vec<bool> = seen.iter().map(|(_, available)| *available).collect();
    assert_eq!(available, [true, true, true, true, false, false, false, true, true, true]);
    assert!(waits.iter().any(|wait| (wait - 5.0).abs() > 0.001), "no jitter: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn our_own_shortage_is_no_finding() {
    let seen = course(Start::Up, "pff--f").await;
    let available: Vec<bool> = seen.iter().map(|(_, available)| *available).collect();
    assert_eq!(available, [true, true, true, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_delays_the_next_and_is_not_joined_by_it() {
    let checked = pool(&[([127, 0, 0, 1], 80).into()], &check(model::Start::Up), Start::Up);
    let backend = checked.set.members[0].backend.clone();
    let course = Course { backend, pool: checked.pool, ward: Arc::new(Mutex::new(checked.ward)), check: checked.check };
    let (open, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let probe = |_: Arc<Health>, _| {
        most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            open.fetch_sub(1, Ordering::Relaxed);
            Some((Finding::Timeout, Duration::from_secs(60)))
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(600), course.run(Duration::ZERO, probe)).await;
    assert_eq!(most.load(Ordering::Relaxed), 1);
}

/// A thousand real sockets that accept and answer nothing, on one thread: how many connections were open at once, at most.
struct Hall {
    listeners: Vec<tokio::net::TcpListener>,
}

impl Hall {
    async fn of(n: usize) -> Hall {
        let mut listeners = Vec::new();
        for _ in 0..n {
            listeners.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        Hall { listeners }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
    }

    /// Accepts; each connection is answered after `after`, with 200.
    fn serve(self, after: Duration, tasks: &mut JoinSet<()>) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (open, most, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for listener in self.listeners {
            let (open, most, seen) = (open.clone(), most.clone(), seen.clone());
            tasks.spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::time::sleep(after).await;
                    use tokio::io::AsyncWriteExt;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    open.fetch_sub(1, Ordering::Relaxed);
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        (most, seen)
    }
}

fn http(every: Duration, start: model::Start) -> Arc<Health> {
    let probe = Probe::Http {
        method: "GET".into(),
        path: "/".into(),
        host: None,
        headers: vec![],
        expect: vec![model::Statuses { first: 200, last: 399 }],
        body: None,
    };
    Arc::new(Health {
        probe,
        every,
        timeout: Duration::from_secs(5),
        rise: 2,
        fall: 3,
        start,
        protocol: Protocol::Http1,
        send_proxy_protocol: None,
    })
}

#[tokio::test]
async fn a_thousand_backends_are_no_herd() {
    let _ = crate::lifecycle::limits::raise_open_files();
    // Each is probed once in two seconds and answers after 50 ms: spread evenly, some 25 are open at a time.
    let (hall, mut tasks) = (Hall::of(1000).await, JoinSet::new());
    let checked = pool(&hall.addresses(), &http(Duration::from_secs(2), model::Start::Up), Start::Up);
    let backends: Vec<Arc<Backend>> = checked.set.members.iter().map(|member| member.backend.clone()).collect();
    let (most, seen) = hall.serve(Duration::from_millis(50), &mut tasks);
    let mut probes = Probes::default();
    probes.follow([checked]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while backends.iter().any(|backend| backend.verdict().unwrap().finding.is_none()) {
        assert!(Instant::now() < deadline, "{} probes in half a minute", seen.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let most = most.load(Ordering::Relaxed);
    println!("most open at once, spread over 2 s: {most}");
    assert!(most <= 120, "{most} open at once");
    assert!(backends.iter().all(|backend| backend.verdict().unwrap().finding == Some(Finding::Passed)));
}

#[tokio::test]
async fn where_all_wait_for_a_verdict_so_many_at_once_is_the_bound() {
    let _ = crate::lifecycle::limits::raise_open_files();
    // Slow ones: all would be open at the same time if nothing held them back.
    let (hall, mut tasks) = (Hall::of(600).await, JoinSet::new());
    let checked = pool(&hall.addresses(), &http(Duration::from_secs(60), model::Start::Wait), Start::Wait);
    let set = checked.set.clone();
    let (most, _) = hall.serve(Duration::from_millis(900), &mut tasks);
    let mut probes = Probes::default();
    probes.follow([checked]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while set.members.iter().any(|member| !member.backend.is_available()) {
        assert!(Instant::now() < deadline, "not all have a verdict after half a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let most = most.load(Ordering::Relaxed);
    println!("most open at once, all waited for: {most}");
    assert!(most <= AT_ONCE, "{most} open at once");
}

#[tokio::test]
async fn a_reload_keeps_what_it_does_not_change() {
    let (check, other) = (check(model::Start::Up), http(Duration::from_secs(5), model::Start::Up));
    let addresses: Vec<SocketAddr> = (1..=3).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let checked = pool(&addresses, &check, Start::Up);
    let set = checked.set.clone();
    let again = |set: &Arc<Set>, check: &Arc<Health>| Checked {
        pool: checked.pool.clone(),
        set: set.clone(),
        ward: checked.ward.clone(),
        check: Arc::new((**check).clone()),
        peers: HashMap::new(),
    };
    let mut probes = Probes::default();
    let ids = |probes: &Probes| -> Vec<tokio::task::Id> {
        addresses.iter().filter_map(|address| Some(probes.probed.get(&("app".into(), (*address).into()))?.task.id())).collect()
    };
    probes.follow([again(&set, &check)]);
    let first = ids(&probes);
    assert_eq!(first.len(), 3);
    probes.follow([again(&set, &check)]);
    assert_eq!(ids(&probes), first, "an equal check goes on, its place in the schedule too");
    set.members[0].backend.probed(Finding::Reset, Duration::ZERO, 2, 3, SystemTime::now());
    probes.follow([again(&set, &other)]);
    assert!(ids(&probes).iter().all(|id| !first.contains(id)));
    assert_eq!(set.members[0].backend.verdict().unwrap().streak, 0, "another check begins to count anew");
    probes.follow([]);
    assert!(probes.probed.is_empty());
    while probes.tasks.join_next().await.is_some() {}
}
