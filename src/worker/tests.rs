use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::{config, listen, table};

const PATIENCE: Duration = Duration::from_secs(10);

/// Workers that answer on one address.
fn serving(count: usize) -> (Workers, Arc<Listening>, Setup) {
    let text = "[listen.web]\naddress = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[route]]\nrespond = { body = \"here\" }";
    let (config, _) = config::parse(text, "test").expect("a configuration");
    let state = Arc::new(State::default());
    let access = AccessLog::open(&config.log, state.registry.access_log()).expect("no log");
    let current = Arc::new(Current::new(table::build(&config, &state, None)));
    let setup = Setup { current, state: state.clone(), access };
    let workers = Workers::start(count, &setup).expect("workers");
    let address = &config.listeners[0].addresses[0];
    let sockets = listen::bind_ip(address.ip().expect("no path"), count).expect("sockets");
    let bound = sockets[0].local_addr().expect("an address");
    let owner = Owner { name: "web".into(), quota: Arc::new(Quota::new(1000)) };
    let listening = Arc::new(Listening::new(state.seat("web", address), bound.into(), owner));
    workers.listen(&listening, sockets.into_iter().map(Socket::Tcp).collect());
    (workers, listening, setup)
}

fn asked(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("a request");
    client
}

fn answer(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_waits_at_a_worker_that_panics_is_served_by_the_others_and_nothing_more_comes_to_it() {
    let (workers, listening, setup) = serving(3);
    // It does nothing more, while the kernel goes on giving it its part.
    let (hold, held) = sync_channel(1);
    assert!(workers.desks[0].order(Order::Panic(held)).is_ok());
    let clients: Vec<_> = (0..60).map(|_| asked(listening.address.ip().expect("no path"))).collect();
    // And others had passed it something.
    let beside = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let passed: Vec<_> = (0..3).map(|_| asked(beside.local_addr().expect("an address"))).collect();
    for _ in &passed {
        let (stream, peer) = beside.accept().expect("a connection");
        stream.set_nonblocking(true).expect("nonblocking");
        let held = Held::new(listening.clone(), listening.owner().quota.take_anyway(), workers.desks.clone(), 0);
        assert!(workers.desks[0].order(Order::Adopt(Passed { stream, peer, held })).is_ok());
    }
    drop(hold);
    for client in clients.into_iter().chain(passed) {
        assert!(answer(client).ends_with("here"));
    }
    until("all to see it", || workers.standings().iter().map(|worker| worker.up).eq([false, true, true]));
    assert!(setup.state.registry.render(&[], &[], &[]).contains("tidegate_worker_up{worker=\"0\"} 0"));
    for _ in 0..60 {
        assert!(answer(asked(listening.address.ip().expect("no path"))).ends_with("here"));
    }
    until("all connections to be over", || workers.standings().iter().all(|worker| worker.connections == 0));
    workers.end();
}

#[test]
fn a_panic_in_a_connections_task_ends_that_connection_and_is_counted_as_an_end() {
    let (workers, listening, setup) = serving(1);
    let quota = Arc::new(Quota::new(1));
    let held = Held::new(listening, quota.take().expect("a place"), workers.desks.clone(), 0);
    let series = setup.state.registry.worker(7);
    let local = Rc::new(series.local());
    let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).expect("a runtime");
    let served = Served::begin(local.clone(), held);
    assert_eq!(workers.standings()[0].connections, 1);
    let ended = runtime.block_on(async {
        tokio::task::spawn_local(async move {
            let _served = served;
            panic!("a bad request");
        })
        .await
    });
    assert!(ended.is_err_and(|error| error.is_panic()));
    assert_eq!(workers.standings(), [Standing { connections: 0, up: true }]);
    assert!(quota.take().is_some(), "its place is free");
    local.flush();
    assert!(setup.state.registry.render(&[], &[], &[]).contains("tidegate_worker_connections{worker=\"7\"} 0"));
    workers.end();
}

/// The others accept on an address before this worker has looked at the table that has it, and pass a connection on; then it is gone.
#[test]
fn a_connection_of_a_listener_that_came_and_went_is_told_so() {
    let (workers, _listening, _setup) = serving(1);
    let sockets = listen::bind_ip(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("sockets");
    let bound = sockets[0].local_addr().expect("an address");
    let owner = Owner { name: "gone".into(), quota: Arc::new(Quota::new(10)) };
    workers.listen(&Arc::new(Listening::new(7, bound.into(), owner)), sockets.into_iter().map(Socket::Tcp).collect());
    assert!(answer(asked(bound)).starts_with("HTTP/1.1 503 "));
    assert!(workers.standings()[0].up);
}
