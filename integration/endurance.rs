//! What must not wear out: a thousand reloads, whatever they change, are felt by nobody.

use crate::reload::{Hammer, reload};
use crate::support::{Backend, Counting, Site, until};
use crate::websocket;

const RELOADS: usize = 1000;
/// By then every pool, route and balancer has been made and dropped often enough to show what is kept.
const WARM: usize = 200;
/// What an allocator may keep beside what the program holds.
const SLACK_KIB: u64 = 4 << 10;

const ALGORITHMS: [&str; 4] = ["round_robin", "weighted_round_robin", "p2c", "least_connections"];
const PIECE: usize = 1000;

#[test]
fn a_thousand_reloads_fail_no_request_close_no_tunnel_and_leave_nothing_behind() {
    let backends = [Counting::start("a"), Counting::start("b"), Counting::start("c"), Counting::start("d")];
    let (talk, download) = (Backend::bind(), Backend::bind());
    let ground = Site::new().log("access = \"off\"");
    // Turn by turn another algorithm, other weights, and one or two of the backends gone.
    let site = |turn: usize| {
        let is_gone = |at: usize| [4, 7].iter().any(|every| (turn + at).is_multiple_of(*every));
        let chosen = backends.iter().enumerate().filter(|(at, _)| !is_gone(*at));
        let weighted = chosen.map(|(at, backend)| (backend.address(), 1 + ((turn + at) % 5) as u32));
        let elsewhere = |name: &str, backend: &Backend, path: &str| {
            let (address, algorithm) = (backend.address(), ALGORITHMS[(turn + 1) % ALGORITHMS.len()]);
            format!(
                "[pool.{name}]\nalgorithm = \"{algorithm}\"\nbackends = [\"{address}\"]\n\n[[route]]\npool = \"{name}\"\npath = \"{path}\""
            )
        };
        ground
            .clone()
            .weighted(weighted)
            .algorithm(ALGORITHMS[turn % ALGORITHMS.len()])
            .with(&elsewhere("talk", &talk, "/chat"))
            .with(&elsewhere("download", &download, "/download"))
    };
    let proxy = site(0).start();

    let mut talker = proxy.connect();
    let mut talking = websocket::open(&mut talker, &talk);
    let mut reader = proxy.connect();
    reader.send("GET /download HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut source = download.accept();
    source.request();
    source.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", RELOADS * PIECE));
    assert_eq!(reader.head().status(), 200);

    let hammer = Hammer::start(&proxy);
    let mut warm = 0;
    for turn in 1..=RELOADS {
        proxy.edit(&site(turn));
        assert_eq!(reload(&proxy), 200, "reload {turn}");
        talker.send("ping");
        talking.expect("ping");
        talking.send("pong");
        talker.expect("pong");
        let piece = vec![turn as u8; PIECE];
        source.send(&piece);
        reader.expect(&piece);
        if turn == WARM {
            warm = proxy.resident_kib();
        }
    }
    let sent = hammer.stop();
    let after = proxy.resident_kib();
    drop((talker, talking, reader, source));

    println!("{RELOADS} reloads, {sent} requests, {warm} KiB resident after {WARM} and {after} at the end");
    assert!(sent > RELOADS, "{sent} requests");
    assert!(after < warm + warm / 20 + SLACK_KIB, "{warm} KiB resident after {WARM} reloads, {after} at the end");
    until("every slot to be given back", || (proxy.metric("tidegate_requests_in_flight", &[]) == Some(0.0)).then_some(()));
    assert_eq!(proxy.metric("tidegate_backend_in_flight", &[]), Some(0.0));
}
