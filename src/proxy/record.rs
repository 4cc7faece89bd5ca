//! One exchange, from its head to its answer's last byte, as logs and metrics will tell it.
//!
//! It is owned by the request's future, then rides in the answer's body; wherever it is dropped, it is told. A request whose future
//! was dropped before an answer is one whose client has gone.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::cached::CacheSeat;
use crate::address::Address;
use crate::config::model::Reason;
use crate::failure::Failure;
use crate::message::{Answer, Conn, Ending, Fields, Head, Name, Version, forwarding, grpc};
use crate::table::{Listener, Route};
use crate::telemetry::{CacheResult, Lines, PoolLocal, Record, RouteLocal, WorkerLocal};

/// The status of a tunnel, whose length says nothing about speed.
const SWITCHING_PROTOCOLS: u16 = 101;

/// A pool's name, with this worker's counters for it.
pub struct Tally {
    pub name: Arc<str>,
    pub local: PoolLocal,
}

/// A route, with this worker's counters for it.
pub struct RouteSeat {
    pub route: Arc<Route>,
    pub local: Rc<RouteLocal>,
    /// `None`: its answers are not kept.
    pub cache: Option<Rc<CacheSeat>>,
}

/// Where a worker writes down what happened.
pub struct Ledger {
    pub worker: Rc<WorkerLocal>,
    pub lines: Lines,
}

/// A request that is being answered.
pub struct Exchange {
    /// As it was forwarded; what came is still in it. `None`: it never became a head.
    pub head: Option<Head>,
    /// `None`: it has been told.
    story: Option<Story>,
}

/// Exchanges kept per thread for reuse: hundreds run at once, which is more than an allocator keeps at hand.
const KEPT_MAX: usize = 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "what is kept is the allocation")]
    static KEPT: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// What happened to it.
pub struct Story {
    pub conn: Rc<Conn>,
    arrived: Instant,
    route: Rc<RouteSeat>,
    ledger: Rc<Ledger>,
    listener: Option<Arc<str>>,
    client: IpAddr,
    pool: Option<Rc<Tally>>,
    backend: Option<Address>,
    attempts: u32,
    free_retry: bool,
    /// Why it was tried once more; the last reason.
    retry: Option<Reason>,
    /// In line for a slot, all together; and since when, while it is there.
    queued: Option<Duration>,
    queued_since: Option<Instant>,
    fail_open: bool,
    reused: bool,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    /// What the backend's answer came by; `None`: none came.
    upstream: Option<Version>,
    /// How a call of gRPC ended; `None`: it is none, or has not said.
    call: Option<u8>,
    /// What the cache had; `None`: there is none, or it was not asked.
    cache: Option<CacheResult>,
    /// An exchange without a client: it counts for its pool only, and no line tells of it.
    background: bool,
    /// 0: no answer yet.
    status: u16,
    /// Counts the request's body; `None`: it has none.
    received: Option<Rc<Cell<u64>>>,
    sent: u64,
    failure: Option<Failure>,
    complete: bool,
    /// It has become one.
    tunnel: bool,
}

impl Exchange {
    /// `route`: the one that counts requests without a route.
    pub fn begin(head: Option<Head>, conn: Rc<Conn>, arrived: Instant, route: Rc<RouteSeat>, ledger: Rc<Ledger>) -> Box<Exchange> {
        let client = conn.peer.ip();
        ledger.worker.request_began();
        let story = Story {
            conn,
            arrived,
            route,
            ledger,
            listener: None,
            client,
            pool: None,
            backend: None,
            attempts: 0,
            free_retry: false,
            retry: None,
            queued: None,
            queued_since: None,
            fail_open: false,
            reused: false,
            connect: None,
            first_byte: None,
            upstream: None,
            call: None,
            cache: None,
            background: false,
            status: 0,
            received: None,
            sent: 0,
            failure: None,
            complete: false,
            tunnel: false,
        };
        let mut exchange = KEPT.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Exchange { head: None, story: None }));
        exchange.head = head;
        exchange.story = Some(story);
        exchange
    }

    /// One that no client waits for: it asks an origin in a cache's name.
    pub fn background(conn: Rc<Conn>, arrived: Instant, route: Rc<RouteSeat>, ledger: Rc<Ledger>) -> Box<Exchange> {
        let mut exchange = Exchange::begin(None, conn, arrived, route, ledger);
        exchange.parts().1.background = true;
        exchange
    }

    /// The request, and what happens to it; `None` for the head of what never became a request.
    pub fn parts(&mut self) -> (Option<&mut Head>, &mut Story) {
        (self.head.as_mut(), self.story.as_mut().expect("it is told only when it ends"))
    }

    /// Goes on in the answer's body, and ends with it.
    pub fn ride(mut self: Box<Self>, answer: Answer) -> Answer {
        match answer {
            Answer::Reply { head, body } => {
                self.parts().1.status = head.status();
                Answer::Reply { head, body: body.with_ending(self) }
            }
            Answer::Tunnel { head, mut tunnel } => {
                let story = self.parts().1;
                story.status = head.status();
                story.tunnel = true;
                if let Some(pool) = &story.pool {
                    pool.local.tunnel_opened();
                }
                tunnel.ending = Some(self);
                Answer::Tunnel { head, tunnel }
            }
        }
    }
}

impl Story {
    pub fn listener(&mut self, listener: &Listener, head: &Head) {
        if self.ledger.lines.enabled() {
            // Only the log asks for it, and counting its owners is a cache line that all workers write.
            self.listener = Some(listener.name.clone());
        }
        if !listener.trusted_proxies.is_empty() {
            self.client = forwarding::client_address(head, self.client, &listener.trusted_proxies);
        }
    }

    /// Its address, as far as it can be believed.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    pub fn routed(&mut self, route: Rc<RouteSeat>) {
        self.route = route;
    }

    /// The count of the request's body, for whoever reads it.
    pub fn receives(&mut self) -> Rc<Cell<u64>> {
        self.received.get_or_insert_default().clone()
    }

    fn received(&self) -> u64 {
        self.received.as_ref().map_or(0, |bytes| bytes.get())
    }

    pub fn attempt(&mut self, pool: Rc<Tally>, backend: &Address) {
        self.pool = Some(pool);
        self.backend = Some(backend.clone());
        self.attempts += 1;
        self.reused = false;
        (self.upstream, self.call) = (None, None);
    }

    pub fn reuses(&mut self) {
        self.reused = true;
    }

    /// Sent again, because a kept connection had died.
    pub fn retries_free(&mut self) {
        self.free_retry = true;
    }

    /// Tried once more.
    pub fn retries(&mut self, reason: Reason) {
        self.retry = Some(reason);
    }

    /// No slot of any backend was to be had in this pool.
    pub fn refused(&mut self, pool: Rc<Tally>) {
        self.pool = Some(pool);
    }

    /// Waits in line for a slot.
    pub fn queues(&mut self) {
        self.queued_since = Some(Instant::now());
    }

    /// Has left the line, with or without a slot; how long it was in it.
    pub fn dequeued(&mut self) -> Duration {
        let waited = self.queued_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.queued = Some(self.queued.unwrap_or_default() + waited);
        waited
    }

    /// Went to a backend that is down, because all of its pool is.
    pub fn fails_open(&mut self) {
        self.fail_open = true;
    }

    /// What the cache had for it.
    pub fn cached(&mut self, result: CacheResult) {
        self.cache = Some(result);
    }

    pub fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Takes over what happened on the way to the origin to somebody who asked in its name.
    pub fn adopt(&mut self, way: &Story) {
        self.pool.clone_from(&way.pool);
        self.backend.clone_from(&way.backend);
        (self.attempts, self.free_retry, self.retry) = (way.attempts, way.free_retry, way.retry);
        (self.queued, self.fail_open, self.reused) = (way.queued, way.fail_open, way.reused);
        (self.connect, self.first_byte, self.upstream) = (way.connect, way.first_byte, way.upstream);
    }

    pub fn connected(&mut self, took: Duration) {
        self.reused = false;
        self.connect = Some(took);
    }

    /// `version`: of the answer that begins.
    pub fn first_byte(&mut self, took: Duration, version: Version) {
        self.first_byte = Some(took);
        self.upstream = Some(version);
    }

    /// A call of gRPC, with this status.
    pub fn call_ended(&mut self, status: u8) {
        self.call = Some(status);
    }

    /// The first reason counts: what follows from it is not the reason.
    pub fn failed(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }
}

impl Ending for Exchange {
    fn sent(&mut self, bytes: u64) {
        self.parts().1.sent += bytes;
    }

    fn broke(&mut self, failure: Failure) {
        self.parts().1.failed(failure);
    }

    fn trailers(&mut self, trailers: &Fields) {
        if let Some(status) = grpc::told(trailers) {
            self.parts().1.call_ended(status);
        }
    }

    fn complete(mut self: Box<Self>) {
        self.parts().1.complete = true;
        self.tell();
        // The thread may be ending, its shelf gone already: then it is simply freed.
        let _ = KEPT.try_with(|kept| {
            let kept = &mut *kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Exchange {
    /// To counters and log, once.
    fn tell(&mut self) {
        let head = self.head.take();
        let Some(mut story) = self.story.take() else { return };
        if !story.complete {
            story.failed(if std::thread::panicking() { Failure::Internal } else { Failure::ClientGone });
        }
        let total = story.arrived.elapsed();
        if story.queued_since.is_some() {
            // Its client left while it was in line.
            story.dequeued();
        }
        story.ledger.worker.request_ended();
        if let Some(pool) = story.pool.as_ref().filter(|_| story.tunnel) {
            pool.local.tunnel_closed();
        }
        if story.background {
            return;
        }
        let status = (story.status != 0).then_some(story.status);
        if let Some(head) = &head {
            story.ledger.worker.protocol(head.version);
        }
        story.route.local.request(status, story.failure, story.received(), story.sent);
        if let Some(status) = story.call {
            story.route.local.call(status);
        }
        if let Some(pool) = &story.pool
            // Refused at the door, it says nothing about the pool's speed either.
            && story.attempts > 0
            && story.status != SWITCHING_PROTOCOLS
        {
            pool.local.total(total);
        }
        if story.ledger.lines.enabled() {
            story.log(head.as_ref(), total);
        }
    }
}

impl Story {
    fn log(&self, head: Option<&Head>, total: Duration) {
        let field = |name| head.and_then(|head| head.fields.get(name));
        self.ledger.lines.write(&Record {
            time: SystemTime::now().checked_sub(total).unwrap_or(SystemTime::UNIX_EPOCH),
            client: self.client,
            peer: self.conn.peer,
            listener: self.listener.as_deref().unwrap_or_default(),
            method: head.map(Head::method_bytes).unwrap_or_default(),
            scheme: if self.conn.secure { "https" } else { "http" },
            host: head.map(Head::authority).unwrap_or_default(),
            target: head.map(Head::received_target).unwrap_or_default(),
            version: head.map_or(Version::Http11, |head| head.version),
            status: (self.status != 0).then_some(self.status),
            route: Some(&self.route.route.name),
            pool: self.pool.as_ref().map(|pool| &*pool.name),
            backend: self.backend.as_ref(),
            attempts: self.attempts,
            free_retry: self.free_retry,
            retry: self.retry,
            queued: self.queued,
            fail_open: self.fail_open,
            received: self.received(),
            sent: self.sent,
            connect: self.connect,
            first_byte: self.first_byte,
            total,
            reused: self.backend.as_ref().map(|_| self.reused),
            upstream: self.upstream,
            call: self.call,
            cache: self.cache,
            failure: self.failure,
            user_agent: field(Name::UserAgent),
            referer: field(Name::Referer),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::config;
    use crate::proxy::Proxy;
    use crate::table::{self, Current, State};
    use crate::telemetry::AccessLog;

    #[test]
    fn a_request_that_ends_in_a_panic_is_our_failure_and_one_that_is_dropped_its_clients() {
        let text = "[listen.web]\naddress = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[route]]\nrespond = { body = \"x\" }";
        let (config, _) = config::parse(text, "test").unwrap_or_else(|report| panic!("{report}"));
        let state = Arc::new(State::default());
        let lines = AccessLog::open(&config.log, state.registry.access_log()).expect("no log").lines();
        let ledger = Rc::new(Ledger { worker: Rc::new(state.registry.worker(0).local()), lines });
        let current = Arc::new(Current::new(table::build(&config, &state, None)));
        let proxy = Proxy::new(current, state.clone(), ledger.clone(), 1);
        let here = ([127, 0, 0, 1], 80).into();
        let conn = Rc::new(Conn::new(0, here, here, false));
        let exchange = || Exchange::begin(None, conn.clone(), Instant::now(), proxy.view().none.clone(), ledger.clone());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _under_way = exchange();
            panic!("in the middle of a request");
        }));
        assert!(panicked.is_err());
        drop(exchange());
        proxy.sweep();
        let page = state.registry.render(&[], &[], &[]);
        for reason in ["internal", "client_gone"] {
            assert!(page.contains(&format!("reason=\"{reason}\"}} 1")), "{reason} in {page}");
        }
        assert!(page.contains("tidegate_requests_in_flight{worker=\"0\"} 0"), "{page}");
    }
}
