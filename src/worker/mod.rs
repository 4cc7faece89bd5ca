//! One thread, one runtime: everything that a connection needs, and nothing shared on a request's path.
//!
//! The main thread gives orders; a worker carries them out between requests. Workers know of each other only how many connections
//! each one has, so that one can pass a new connection on (`accept`).

mod accept;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;

use crate::http1::server;
use crate::io::{Io, timer};
use crate::message::Conn;
use crate::proxy::Proxy;
use crate::proxy::record::Ledger;
use crate::table::{Current, State};
use crate::telemetry::{AccessLog, WorkerLocal};
use accept::{Acceptor, Held, Passed};

/// How often a worker closes old idle connections and lets its counters out.
const SWEEP: Duration = Duration::from_secs(1);

/// What all workers need to begin.
#[derive(Clone)]
pub struct Setup {
    pub current: Arc<Current>,
    pub state: Arc<State>,
    pub access: AccessLog,
}

/// A listener as all workers share it.
pub struct Listening {
    /// Its number in the registry of names.
    pub number: usize,
    pub name: Arc<str>,
    /// Connections open now, over all workers.
    pub open: AtomicUsize,
    /// The most of them, but for one per worker that was accepting already; a reload may change it.
    pub most: AtomicUsize,
}

enum Order {
    /// A connection that another worker accepted.
    Adopt(Passed),
    Listen(Arc<Listening>, TcpListener),
    /// Accept what waits, then close. Connections of a listener that is gone close when they have no request; they are woken to see it.
    Close(Arc<Listening>),
    /// Answers are their connections' last from now on; nothing new is accepted. Idle connections close.
    Drain,
    /// Close everything.
    End,
}

/// What others may know of a worker.
struct Desk {
    orders: UnboundedSender<Order>,
    connections: AtomicUsize,
}

pub struct Workers {
    desks: Arc<[Desk]>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads; each waits for orders.
    pub fn start(count: usize, setup: &Setup) -> io::Result<Workers> {
        #[expect(clippy::disallowed_methods, reason = "orders are few, and connections handed over are bounded by their listener's limit")]
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
        let desks: Arc<[Desk]> = senders.into_iter().map(|orders| Desk { orders, connections: AtomicUsize::new(0) }).collect();
        let start = |(index, orders)| {
            let (desks, setup) = (desks.clone(), setup.clone());
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || run(index, orders, desks, &setup))
        };
        let threads = receivers.into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
        Ok(Workers { desks, threads })
    }

    /// One socket for each worker.
    pub fn listen(&self, listening: &Arc<Listening>, sockets: Vec<TcpListener>) {
        debug_assert_eq!(sockets.len(), self.desks.len());
        for (desk, socket) in self.desks.iter().zip(sockets) {
            desk.order(Order::Listen(listening.clone(), socket));
        }
    }

    pub fn close(&self, listening: &Arc<Listening>) {
        self.desks.iter().for_each(|desk| desk.order(Order::Close(listening.clone())));
    }

    pub fn drain(&self) {
        self.desks.iter().for_each(|desk| desk.order(Order::Drain));
    }

    /// Connections open now, by worker.
    pub fn connections(&self) -> Vec<usize> {
        self.desks.iter().map(|desk| desk.connections.load(Ordering::Relaxed)).collect()
    }

    /// Ends all workers, connections and all, and waits for their threads.
    pub fn end(self) {
        self.desks.iter().for_each(|desk| desk.order(Order::End));
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a worker ended by a panic");
            }
        }
    }
}

impl Desk {
    fn order(&self, order: Order) {
        // A worker that has ended needs no orders.
        let _ = self.orders.send(order);
    }
}

fn run(index: usize, orders: UnboundedReceiver<Order>, desks: Arc<[Desk]>, setup: &Setup) {
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(worker = index, %error, "a worker can not start");
            return;
        }
    };
    runtime.block_on(async move {
        let local = Rc::new(setup.state.registry.worker(index).local());
        let ledger = Rc::new(Ledger { worker: local.clone(), lines: setup.access.lines() });
        let handler = Rc::new(Proxy::new(setup.current.clone(), setup.state.clone(), ledger, desks.len()));
        let worker = Worker { index, handler, local, desks };
        Rc::new(worker).run(orders).await;
    });
    // Connections that are still open end with the runtime; their exchanges are told, and the counters go out with the proxy.
}

struct Worker {
    index: usize,
    handler: Rc<Proxy>,
    local: Rc<WorkerLocal>,
    desks: Arc<[Desk]>,
}

impl Worker {
    async fn run(self: Rc<Worker>, mut orders: UnboundedReceiver<Order>) {
        let ticking = tokio::task::spawn_local(crate::io::tick());
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut acceptors: Vec<Acceptor> = Vec::new();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Adopt(connection)) => accept::adopt(&self, connection),
                    Some(Order::Listen(listening, socket)) => acceptors.extend(Acceptor::start(&self, listening, socket)),
                    Some(Order::Close(listening)) => {
                        acceptors.retain(|acceptor| !acceptor.is_of(&listening));
                        timer::wake_all();
                    }
                    Some(Order::Drain) => {
                        acceptors.clear();
                        self.handler.drain();
                        timer::wake_all();
                    }
                    Some(Order::End) | None => break,
                },
                _ = sweep.tick() => self.handler.sweep(),
            }
        }
        ticking.abort();
    }

    /// The runtime owns the task: it ends with the connection, or with the worker.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, held: Held) {
        // Fails only on a socket that is gone already.
        let Ok(local) = stream.local_addr() else { return };
        let conn = Rc::new(Conn::new(held.listening().number, peer, local, false));
        let (handler, local_counts) = (self.handler.clone(), self.local.clone());
        local_counts.opened();
        tokio::task::spawn_local(async move {
            server::serve(Io::tcp(stream), conn, handler).await;
            local_counts.closed();
            drop(held);
        });
    }
}
