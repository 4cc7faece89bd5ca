//! One thread, one runtime: everything that a connection needs, and nothing shared on a request's path.
//!
//! The main thread gives orders; a worker carries them out between requests. Workers know of each other only how many connections
//! each one has, so that one can pass a new connection on (`accept`).
//!
//! A panic in a connection's task ends that connection. One in a worker's own (its clock, its acceptors, its orders) ends the worker:
//! what came to it and is not served yet goes to the others, and nothing more comes. Its connections end with it.

mod accept;
mod quota;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::address::Address;
use crate::io::timer;
use crate::listen::Socket;
use crate::listen::greet::{self, Arrival};
use crate::listen::incoming::HERE;
use crate::proxy::Proxy;
use crate::proxy::record::Ledger;
use crate::proxy::warm::{Runner, WarmList};
use crate::table::{Current, State};
use crate::telemetry::regime::Regime;
use crate::telemetry::{AccessLog, WorkerLocal};
use accept::{Acceptor, Held, Passed};
pub use quota::Quota;

/// How often a worker closes old idle connections and lets its counters out.
const SWEEP: Duration = Duration::from_secs(1);

/// What all workers need to begin.
#[derive(Clone)]
pub struct Setup {
    pub current: Arc<Current>,
    pub state: Arc<State>,
    pub access: AccessLog,
}

/// An address that is listened on, as all workers share it.
pub struct Listening {
    /// Its number in the registry of addresses.
    pub number: usize,
    pub address: Address,
    owner: Mutex<Owner>,
    /// Being out of descriptors.
    short: Regime,
}

/// The listener that has an address now; a reload may give the address to another.
#[derive(Clone)]
pub struct Owner {
    pub name: Arc<str>,
    pub quota: Arc<Quota>,
}

impl Listening {
    pub fn new(number: usize, address: Address, owner: Owner) -> Listening {
        Listening { number, address, owner: Mutex::new(owner), short: Regime::default() }
    }

    /// For those who accept, not for every request.
    pub fn owner(&self) -> Owner {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that are open stay counted where they were accepted.
    pub fn assign(&self, owner: Owner) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner;
    }

    /// Once a second: tells of times that are over in which connections had to wait.
    pub fn look_back(&self) {
        let (now, owner) = (Instant::now(), self.owner());
        if let Some(past) = owner.quota.full.take_over(now) {
            warn!(listener = %owner.name, lasted = ?past.lasted, waited = past.count, "the listener has room again");
        }
        if let Some(past) = self.short.take_over(now) {
            warn!(listener = %owner.name, lasted = ?past.lasted, waited = past.count, "accepting pauses no more");
        }
    }
}

enum Order {
    /// A connection that another worker accepted.
    Adopt(Passed),
    Listen(Arc<Listening>, Socket),
    /// Accept what waits, then close. Connections of a listener that is gone close when they have no request; they are woken to see it.
    Close(Arc<Listening>),
    /// Draw from its list until that is empty, one at a time.
    Warm(Runner),
    /// Answers are their connections' last from now on; nothing new is accepted. Idle connections close.
    Drain,
    /// Close everything.
    End,
    /// Panic once the other end is gone; until then, do nothing at all.
    #[cfg(test)]
    Panic(std::sync::mpsc::Receiver<()>),
}

/// What others may know of a worker.
struct Desk {
    orders: UnboundedSender<Order>,
    connections: AtomicUsize,
    failed: AtomicBool,
}

/// A worker at the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub connections: usize,
    /// It serves; else it failed, and only a restart of the process brings it back.
    pub up: bool,
}

pub struct Workers {
    desks: Arc<[Desk]>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads; each waits for orders. An error where one can not start: fewer than were asked for is not a start.
    pub fn start(count: usize, setup: &Setup) -> io::Result<Workers> {
        #[expect(clippy::disallowed_methods, reason = "orders are few, and connections handed over are bounded by their listener's limit")]
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
        let desks: Arc<[Desk]> =
            senders.into_iter().map(|orders| Desk { orders, connections: AtomicUsize::new(0), failed: AtomicBool::new(false) }).collect();
        let (started, starts) = sync_channel(count);
        let mut workers = Workers { desks, threads: Vec::with_capacity(count) };
        let mut start = |(index, orders)| {
            let (desks, setup, started) = (workers.desks.clone(), setup.clone(), started.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            workers.threads.push(thread.spawn(move || run(index, orders, desks, &setup, started))?);
            Ok(())
        };
        let begun = receivers.into_iter().enumerate().try_for_each(&mut start);
        drop(started);
        // Each one says how it went; one that says nothing has panicked.
        let silent = || Err(io::Error::other("a worker ended as it began"));
        let begun = begun.and_then(|()| (0..count).try_for_each(|_| starts.recv().unwrap_or_else(|_| silent())));
        match begun {
            Ok(()) => Ok(workers),
            Err(error) => {
                workers.end();
                Err(error)
            }
        }
    }

    /// One socket for each worker.
    pub fn listen(&self, listening: &Arc<Listening>, sockets: Vec<Socket>) {
        debug_assert_eq!(sockets.len(), self.desks.len());
        for (desk, socket) in self.desks.iter().zip(sockets) {
            // A worker that has ended lets go of its socket, and the kernel gives its share to the others.
            let _ = desk.order(Order::Listen(listening.clone(), socket));
        }
    }

    pub fn close(&self, listening: &Arc<Listening>) {
        self.order_all(|| Order::Close(listening.clone()));
    }

    pub fn drain(&self) {
        self.order_all(|| Order::Drain);
    }

    /// So many of the list at once, spread over the workers.
    pub fn warm(&self, list: &Arc<WarmList>, at_once: usize) {
        let up = self.desks.iter().filter(|desk| !desk.failed.load(Ordering::Relaxed)).cycle();
        up.take(at_once).for_each(|desk| drop(desk.order(Order::Warm(list.runner()))));
    }

    /// As a panic of its own would end it.
    #[cfg(test)]
    pub fn fail(&self, index: usize) {
        let (_, gone) = std::sync::mpsc::sync_channel(0);
        drop(self.desks[index].order(Order::Panic(gone)));
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        // A worker that has ended needs no orders.
        self.desks.iter().for_each(|desk| drop(desk.order(order())));
    }

    /// All of them, in order.
    pub fn standings(&self) -> Vec<Standing> {
        let standing =
            |desk: &Desk| Standing { connections: desk.connections.load(Ordering::Relaxed), up: !desk.failed.load(Ordering::Relaxed) };
        self.desks.iter().map(standing).collect()
    }

    /// Ends all workers, connections and all, and waits for their threads.
    pub fn end(self) {
        self.order_all(|| Order::End);
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a worker ended by a panic");
            }
        }
    }
}

impl Desk {
    /// `Err`: the worker has ended, and here is the order again.
    fn order(&self, order: Order) -> Result<(), Order> {
        self.orders.send(order).map_err(|unsent| unsent.0)
    }

    /// How many connections it has, as far as others should bring it more.
    fn load(&self) -> usize {
        if self.failed.load(Ordering::Relaxed) { usize::MAX } else { self.connections.load(Ordering::Relaxed) }
    }
}

fn run(index: usize, mut orders: UnboundedReceiver<Order>, desks: Arc<[Desk]>, setup: &Setup, started: SyncSender<io::Result<()>>) {
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    let series = setup.state.registry.worker(index);
    let worker = runtime.block_on(async {
        let local = Rc::new(series.local());
        let ledger = Rc::new(Ledger { worker: local.clone(), lines: setup.access.lines() });
        let handler = Rc::new(Proxy::new(setup.current.clone(), setup.state.clone(), ledger, desks.len()));
        Rc::new(Worker { index, handler, local, desks, acceptors: RefCell::default() })
    });
    // Whoever started us waits for all of us; if nobody does, the orders say so.
    let _ = started.send(Ok(()));
    drop(started);
    if let Ok(Ok(())) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(worker.clone().run(&mut orders)))) {
        // Connections that are still open end with the runtime; their exchanges are told, and the counters go out with the proxy.
        return;
    }
    worker.desks[index].failed.store(true, Ordering::Relaxed);
    series.failed();
    error!(worker = index, "a worker failed: the others take its part until the process is started again");
    // Nothing is expected to panic here; if it does, what was left is closed.
    let _ = catch_unwind(AssertUnwindSafe(|| runtime.block_on(worker.give_up(&mut orders))));
}

/// A task without which a worker is none has panicked.
struct Failed;

struct Worker {
    index: usize,
    handler: Rc<Proxy>,
    local: Rc<WorkerLocal>,
    desks: Arc<[Desk]>,
    acceptors: RefCell<Vec<Acceptor>>,
}

impl Worker {
    async fn run(self: Rc<Worker>, orders: &mut UnboundedReceiver<Order>) -> Result<(), Failed> {
        let mut own = JoinSet::new();
        own.spawn_local(crate::io::tick());
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Adopt(connection)) => accept::adopt(&self, connection),
                    Some(Order::Listen(listening, socket)) => {
                        if let Some((acceptor, task)) = Acceptor::new(&self, listening, socket) {
                            own.spawn_local(task);
                            self.acceptors.borrow_mut().push(acceptor);
                        }
                    }
                    Some(Order::Close(listening)) => {
                        self.acceptors.borrow_mut().retain(|acceptor| !acceptor.is_of(&listening));
                        timer::wake_all();
                    }
                    Some(Order::Warm(runner)) => drop(tokio::task::spawn_local(runner.run(self.handler.clone()))),
                    Some(Order::Drain) => {
                        self.acceptors.borrow_mut().clear();
                        self.handler.drain();
                        timer::wake_all();
                    }
                    Some(Order::End) | None => return Ok(()),
                    #[cfg(test)]
                    Some(Order::Panic(gone)) => panic!("as it was told: {:?}", gone.recv()),
                },
                Some(Err(_)) = own.join_next() => return Err(Failed),
                _ = sweep.tick() => self.handler.sweep(),
            }
        }
    }

    /// What came here and is not served yet goes to the others.
    async fn give_up(self: &Rc<Worker>, orders: &mut UnboundedReceiver<Order>) {
        orders.close();
        for acceptor in self.acceptors.take() {
            accept::empty(self, &acceptor.listening, &acceptor.socket).await;
        }
        while let Ok(order) = orders.try_recv() {
            if let Order::Adopt(passed) = order {
                accept::pass_on(self, passed);
            }
        }
    }

    /// The runtime owns the task: it ends with the connection, or with the worker.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, held: Held) {
        let local = match held.listening().address {
            // Only one that takes connections for all addresses of the machine has to ask for which of them this one came.
            Address::Ip(address) if !address.ip().is_unspecified() && address.port() != 0 => Ok(address),
            Address::Ip(_) => stream.local_addr(),
            Address::Unix(_) => Ok(HERE),
        };
        // Fails only on a socket that is gone already.
        let Ok(local) = local else { return };
        let arrival = Arrival { stream, listener: held.listening().number, peer, local };
        greet::spawn(arrival, self.handler.clone(), Served::begin(self.local.clone(), held));
    }
}

/// A connection that this worker serves: counted until it ends, by a panic too.
struct Served {
    local: Rc<WorkerLocal>,
    _held: Held,
}

impl Served {
    fn begin(local: Rc<WorkerLocal>, held: Held) -> Served {
        local.opened();
        Served { local, _held: held }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.local.closed();
    }
}

#[cfg(test)]
mod tests;
