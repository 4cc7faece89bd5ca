//! Attempts: a slot at a backend, a connection, send, read the answer's head; and once more where that came to nothing.
//!
//! Read `attempts`: it names the steps. `retry` says whether another try is allowed, `choose` who is next; what is here asks
//! them in turn and carries out what they say. Between two tries there is one more thing, free of budget: a kept connection that
//! ends before a byte of the answer had been closed by its backend while the request was on its way, and a request that may be
//! repeated goes out again, on a fresh connection to the same backend.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::edit::Asks;
use super::hint;
use super::record::Story;
use super::replay::Content;
use super::retry::{self, Again, End, Request, Verdict};
use super::view::PoolSeat;
use crate::backend::Backend;
use crate::balance::Hint;
use crate::config::model::{Protocol, Queue as QueueLimits};
use crate::failure::{Blame, Failure, Lost};
use crate::http1::client::{self, Connection};
use crate::http2;
use crate::io::{Timer, timer};
use crate::listen::proxy_protocol::{self, Origin, Relayed};
use crate::message::{Answer, Body, Fields, Head, Interim, Method, Name, Tunnel, Version, forwarding, grpc, websocket};
use crate::table::Timeouts;
use crate::telemetry::Outcome;
use crate::upstream::lines::Came;
use crate::upstream::{self, Lease, Seat, Taken, breaker};

/// 1xx answers that one attempt may draw: a backend with more to say ahead of time is stuck in a loop.
const INTERIMS_MAX: usize = 32;
/// How often a backend may leave by GOAWAY with one request unseen. Of a crowd that comes at once, those above what a connection serves are
/// refused each time, and share the next.
const LEFT_MAX: usize = 8;
/// A request that must not be repeated takes only a connection that was in use this recently: its backend can hardly have closed it.
const RESTED_MAX: Duration = Duration::from_secs(1);
/// The longest answer that is read to its end only to keep the connection.
const DISCARDED_BYTES_MAX: usize = 16 << 10;
/// Pauses between tries grow up to so many times the first.
const BACKOFF_GROWTH_MAX: u32 = 10;

/// Sends the request to a backend of the pool; the answer holds the backend's slot until its last byte.
pub async fn run(
    pool: &Rc<PoolSeat>,
    timeouts: &Timeouts,
    asks: Asks<'_>,
    head: &Head,
    story: &mut Story,
    body: Body,
    interim: &mut dyn Interim,
) -> Result<Answer, Failure> {
    let by_streams = pool.pool.protocol == Protocol::Http2;
    // The client's own clock, and its reset, come first as a rule. Ours is for those who have gone without a word.
    let deadline_of_client = if by_streams { grpc::timeout(&head.fields) } else { None };
    let total = timeouts.total.into_iter().chain(deadline_of_client).min().map(deadline);
    if by_streams && asks.upgrade {
        return Err(Failure::UpgradeUnsupported);
    }
    // Over HTTP/2 a backend can say that it has not looked at a request, which may then be sent again whatever its method.
    let content = Content::new(body, by_streams || head.method().is_idempotent());
    let key = match &pool.pool.hash_on {
        Some(on) => hint::key(on, head, story.client(), &mut pool.random.borrow_mut()),
        None => 0,
    };
    let method = head.method();
    let mut forward = Forward { pool, timeouts, asks, head, story, interim, key, content, tried: Vec::new(), seen: Seen::default() };
    let attempts = pin!(forward.attempts());
    let reached = match &total {
        None => attempts.await,
        Some(timer) => within(timer, attempts, || Some(Failure::TotalTimeout)).await,
    };
    let mut reached = reached?;
    if let Some(session) = asks.session {
        session.keep(&reached.lease.seat().backend, &mut reached.answered.head);
    }
    if reached.answered.head.status() == 101 {
        return reached.into_tunnel(timeouts.tunnel);
    }
    let (head, body) = reached.into_answer(method, total);
    Ok(Answer::Reply { head, body })
}

/// A backend has answered, and this is the answer.
struct Reached {
    lease: Lease,
    answered: Answered,
}

/// An answer up to its head, and what has the rest.
struct Answered {
    rest: Rest,
    head: Head,
}

enum Rest {
    Http1(Box<Connection>),
    Http2(Box<http2::client::Exchange>),
}

/// What an attempt leaves for the next one to know.
#[derive(Default)]
struct Seen {
    /// A kept connection was dead. Where one is, others are: there is no second try on one.
    stale: bool,
    /// The last exchange was on a kept connection: if that was dead, it says nothing about its backend.
    kept: bool,
    /// The client has been told to go on with its body (100), which need not be said twice.
    go_on: bool,
    /// The client has seen another interim answer: what follows it must come from the same backend.
    ahead: bool,
}

struct Forward<'a> {
    pool: &'a Rc<PoolSeat>,
    timeouts: &'a Timeouts,
    asks: Asks<'a>,
    head: &'a Head,
    story: &'a mut Story,
    interim: &'a mut dyn Interim,
    /// What the hashing algorithms go by; 0 under the others.
    key: u64,
    content: Content,
    /// Positions in `pool.set` of those that have failed.
    tried: Vec<usize>,
    seen: Seen,
}

impl Forward<'_> {
    async fn attempts(&mut self) -> Result<Reached, Failure> {
        self.pool.budget.borrow_mut().request(timer::now());
        let mut lease = match self.choose(&[]) {
            Ok(lease) => lease,
            Err(refused) => Box::pin(self.wait(refused)).await?,
        };
        let mut attempts = 1;
        loop {
            let ended = self.attempt(&lease).await;
            let again = match self.judge(attempts, &ended) {
                Verdict::Stop => return ended.map(|answered| Reached { lease, answered }).map_err(|lost| lost.failure),
                Verdict::Again(again) => again,
            };
            self.tried.extend(self.pool.seats.iter().position(|seat| Rc::ptr_eq(seat, lease.seat())));
            // An answer, even a poor one, is held until something better is in sight; nothing else holds a slot.
            let held = match ended {
                Ok(answered) => Ok(Reached { lease, answered }),
                Err(lost) => {
                    drop(lease);
                    Err(lost.failure)
                }
            };
            lease = match Box::pin(self.next(attempts, again, held.is_err())).await {
                Some(next) => {
                    if let Ok(held) = held {
                        held.discard(self.head.method());
                    }
                    next
                }
                None => return held,
            };
            attempts += 1;
        }
    }

    /// A backend that was not tried, with a slot of it. Those who wait for one come first.
    fn choose(&self, tried: &[usize]) -> Result<Lease, Failure> {
        let pool = &*self.pool.pool;
        let others_wait = pool.queue_limits.is_some() && pool.queue.has_waiters();
        let taken = if let Some(index) = self.preferred(tried, others_wait) {
            Taken::Slot(index)
        } else if others_wait && pool.set.is_limited(tried) {
            Taken::Full
        } else {
            let random = &mut *self.pool.random.borrow_mut();
            // For the first pick, when the request came is near enough, and known.
            let now = if tried.is_empty() { self.story.arrived() } else { Instant::now() };
            breaker::take(&pool.set, &*pool.balancer, &mut Hint { tried, key: self.key, now, random })
        };
        match taken {
            Taken::Slot(index) => Ok(Lease::over(self.pool.seats[index].clone()).owned_by(self.owner())),
            Taken::Full => Err(Failure::BackendsFull),
            Taken::Nobody => Err(pool.nobody),
        }
    }

    /// Whose the connection to the backend is to be, where that is said to it.
    fn owner(&self) -> Option<Box<Relayed>> {
        let conn = &self.story.conn;
        self.pool.pool.send_proxy_protocol.map(|_| Box::new(Relayed { source: conn.peer, destination: conn.local }))
    }

    /// The backend of the request's session, with a slot of it; once, for where it fails the session the algorithm decides. It does too
    /// where it is full. One that those who wait could have as well is theirs; one that drains or has no weight they wait for in vain.
    fn preferred(&self, tried: &[usize], others_wait: bool) -> Option<usize> {
        let index = self.asks.session.filter(|_| tried.is_empty())?.preferred(Instant::now())?;
        let member = &self.pool.pool.set.members[index];
        (!(others_wait && member.is_up()) && member.try_begin()).then_some(index)
    }

    /// A slot later: where nobody was up, after a second look at the pool; where the pool has a queue and it is slots that are missing,
    /// when one comes free.
    async fn wait(&mut self, mut refused: Failure) -> Result<Lease, Failure> {
        if refused != Failure::BackendsFull && self.tried.is_empty() && self.pool.pool.ward.second_look().await {
            match self.choose(&[]) {
                Ok(lease) => return Ok(lease),
                Err(again) => refused = again,
            }
        }
        let waited = match self.pool.pool.queue_limits {
            Some(limits) if refused == Failure::BackendsFull => self.line_up(&limits).await,
            _ => Err(refused),
        };
        if let Err(failure) = waited {
            self.story.refused(self.pool.tally.clone());
            self.pool.tally.local.refused(failure);
        }
        waited
    }

    async fn line_up(&mut self, limits: &QueueLimits) -> Result<Lease, Failure> {
        let (queue, seats) = (&self.pool.pool.queue, &self.pool.seats);
        let tried = self.tried.iter().map(|at| seats[*at].backend.address.clone()).collect();
        let place = queue.join(limits, tried, Instant::now())?;
        self.story.queues();
        let _queued = self.pool.tally.local.queued();
        let slot = poll_fn(|cx| match place.poll_slot(cx) {
            Poll::Ready(backend) => Poll::Ready(Ok(backend)),
            Poll::Pending => self.content.poll_failure(cx).map(Err),
        });
        // Not on the wheel: its ticks are coarse beside a wait of some milliseconds, and only those come here for whom nothing is free.
        let waited = tokio::time::timeout(limits.wait, slot).await;
        self.pool.tally.local.waited(self.story.dequeued());
        let backend = waited.map_err(|_| Failure::QueueTimeout)??;
        let seat = seats.iter().find(|seat| Arc::ptr_eq(&seat.backend, &backend)).cloned();
        let seat = seat.unwrap_or_else(|| Rc::new(Seat::passing(backend, queue.clone(), self.pool.pool.ward.clone())));
        Ok(Lease::over(seat).owned_by(self.owner()))
    }

    /// Whether there is to be another attempt, as far as this one's end decides it.
    fn judge(&self, attempts: usize, ended: &Result<Answered, Lost>) -> Verdict {
        let end = match ended {
            Ok(answered) => match answered.head.status() {
                ..500 => return Verdict::Stop,
                status => End::answered(status),
            },
            Err(lost) => End::of(lost.failure, lost.untouched, lost.begun),
        };
        let request = Request { idempotent: self.head.method().is_idempotent(), whole: self.content.is_whole() && !self.seen.ahead };
        retry::verdict(&self.pool.pool.retry, attempts, request, end)
    }

    /// The backend for another attempt, where there is one, and a retry to spend on it; after the pause that it takes.
    /// `may_wait`: there is nothing else for the client, so a place in line is better than none.
    async fn next(&mut self, attempts: usize, again: Again, may_wait: bool) -> Option<Lease> {
        let (pool, tally) = (&self.pool.pool, &self.pool.tally.local);
        if !pool.set.is_there_another(&self.tried) {
            return None;
        }
        if again.spends && !self.pool.budget.borrow_mut().retry(pool.retry.budget_percent, timer::now()) {
            tally.budget_exhausted();
            return None;
        }
        if again.pause {
            self.pause(attempts).await;
        }
        let lease = match self.choose(&self.tried) {
            Err(refused) if may_wait => self.wait(refused).await,
            chosen => chosen,
        };
        let lease = lease.ok()?;
        tally.retry(again.reason);
        self.story.retries(again.reason);
        Some(lease)
    }

    /// As long as chance says, so that those who failed together do not come back together; longer before each further attempt.
    async fn pause(&self, attempts: usize) {
        let growth = 1u32.checked_shl(attempts as u32 - 1).unwrap_or(u32::MAX).min(BACKOFF_GROWTH_MAX);
        let most = self.pool.pool.retry.backoff.saturating_mul(growth);
        let pause = most.mul_f64(self.pool.random.borrow_mut().f64());
        if !pause.is_zero() {
            // Not on the wheel, whose ticks are as long as the pause.
            tokio::time::sleep(pause).await;
        }
    }

    /// One backend, to its answer's head.
    async fn attempt(&mut self, lease: &Lease) -> Result<Answered, Lost> {
        let seat = lease.seat();
        self.story.attempt(self.pool.tally.clone(), &seat.backend.address);
        let began = self.pool.pool.algorithm.measures().then(Instant::now);
        if seat.backend.standing().is_open() {
            self.story.fails_open();
            self.pool.tally.local.failed_open();
        }
        let repeatable = || self.head.method().is_idempotent() && self.content.is_whole();
        let most = self.pool.pool.retry.try_timeout.filter(|_| repeatable()).map(|most| (deadline(most), self.content.watch()));
        let ended = {
            let exchange = pin!(async {
                match self.pool.pool.protocol {
                    Protocol::Http1 => self.exchange(lease).await,
                    Protocol::Http2 => Box::pin(self.exchange_by_stream(lease)).await,
                }
            });
            match &most {
                None => exchange.await,
                Some((timer, is_whole)) => within(timer, exchange, || is_whole().then_some(Lost::sent(Failure::TryTimeout))).await,
            }
        };
        self.ended(lease, &ended);
        if let Some(began) = began {
            learn(&seat.backend, began, &ended);
        }
        ended
    }

    /// The one place that every attempt passes when it has ended.
    fn ended(&self, lease: &Lease, ended: &Result<Answered, Lost>) {
        match ended {
            Ok(answered) => lease.answered(answered.head.status()),
            Err(lost) if self.seen.kept && lost.is_stale() => {}
            Err(lost) => lease.failed(lost.failure),
        }
        let outcome = ended.as_ref().map_or_else(|lost| lost.failure.into(), |_| Outcome::Ok);
        self.pool.tally.local.attempt(outcome);
    }

    /// On a kept connection where there is one, else on a new one; and once more on a new one if the kept one was dead.
    async fn exchange(&mut self, lease: &Lease) -> Result<Answered, Lost> {
        let rested = (!self.head.method().is_idempotent()).then_some(RESTED_MAX);
        loop {
            let kept = if self.seen.stale { None } else { lease.seat().checkout(rested, lease.owner()) };
            let is_kept = kept.is_some();
            self.seen.kept = is_kept;
            let connection = match kept {
                Some(connection) => {
                    self.story.reuses();
                    self.pool.tally.local.reused();
                    connection
                }
                None => self.connect(lease).await?,
            };
            match self.exchange_on(connection).await {
                Err(lost) if is_kept && lost.is_stale() && self.may_go_again(lost) => {
                    self.goes_again(lost);
                }
                ended => return ended,
            }
        }
    }

    async fn connect(&mut self, lease: &Lease) -> Result<Box<Connection>, Lost> {
        let began = Instant::now();
        let mut introduction = Vec::new();
        if let (Some(version), Some(owner)) = (self.pool.pool.send_proxy_protocol, lease.owner()) {
            proxy_protocol::write(version, Origin::Relayed(*owner), &mut introduction);
        }
        let address = &lease.seat().backend.address;
        let peer = self.pool.pool.tls.as_ref().map(|tls| tls.peer(address));
        let connected = upstream::connect(address, &introduction, peer.as_ref(), self.timeouts.connect).await;
        let connection = connected.map_err(Lost::unsent)?;
        self.connected(began.elapsed());
        Ok(connection)
    }

    fn connected(&mut self, took: Duration) {
        self.pool.tally.local.connected(took);
        self.story.connected(took);
    }

    /// On a stream, of a connection that others use too; and once more on another where that one had died. A backend that gives up one
    /// connection after another, each after so many requests, says of each request that it has not looked at it: it goes on.
    async fn exchange_by_stream(&mut self, lease: &Lease) -> Result<Answered, Lost> {
        let mut left = 0;
        loop {
            let place = self.place(lease).await?;
            let connection = place.connection().clone();
            match self.exchange_on_stream(place).await {
                Err(lost) if lost.untouched && !connection.is_open() && left < LEFT_MAX && self.may_go_again(lost) => {
                    left += 1;
                    self.goes_again(lost);
                }
                Err(lost) if lost.is_stale() && (self.seen.kept || lost.untouched) && !self.seen.stale && self.may_go_again(lost) => {
                    self.goes_again(lost);
                }
                ended => return ended,
            }
        }
    }

    /// A stream's place, on one of the worker's connections to the backend or on a new one.
    async fn place(&mut self, lease: &Lease) -> Result<http2::client::Place, Lost> {
        let began = Instant::now();
        let (seat, timeouts) = (lease.seat(), self.timeouts);
        let connect = || {
            let address = seat.backend.address.clone();
            let peer = self.pool.pool.tls.as_ref().map(|tls| tls.peer(&address));
            upstream::connect_http2(address, peer, timeouts.connect, timeouts.stall)
        };
        let claimed = deadline(timeouts.connect).limit_to(None, seat.lines.claim(connect)).await;
        let (place, came) = claimed.unwrap_or(Err(Failure::ConnectTimeout)).map_err(Lost::unsent)?;
        self.seen.kept = came == Came::Kept;
        match came {
            Came::Opened => self.connected(began.elapsed()),
            Came::Kept => {
                self.story.reuses();
                self.pool.tally.local.reused();
            }
        }
        Ok(place)
    }

    async fn exchange_on_stream(&mut self, place: http2::client::Place) -> Result<Answered, Lost> {
        let began = Instant::now();
        let mut body = self.content.lend();
        let sent = place.send(self.head, &mut body, self.timeouts.stall).await;
        self.content.put_back(body);
        let mut exchange = sent?;
        let mut interims = 0;
        loop {
            let mut head = exchange.read_head(self.timeouts.first_byte).await?;
            match head.status() {
                101 => return Err(Lost::begun(Failure::UpgradeUnexpected)),
                100..200 => {
                    let passed = self.interim(&mut head, &mut interims);
                    exchange.alongside(passed, INTERIMS_MAX).await?;
                }
                _ => {
                    self.first_byte(began.elapsed(), head.version);
                    if grpc::is_spoken(&head.fields)
                        && let Some(status) = grpc::told(&head.fields)
                    {
                        self.story.call_ended(status);
                    }
                    return Ok(Answered { rest: Rest::Http2(Box::new(exchange)), head });
                }
            }
        }
    }

    /// Passes an interim answer on.
    async fn interim(&mut self, head: &mut Head, count: &mut usize) -> Result<(), Lost> {
        *count += 1;
        if *count > INTERIMS_MAX {
            return Err(Lost::begun(Failure::TooManyInterims));
        }
        let go_on = head.status() == 100;
        if go_on && self.seen.go_on {
            return Ok(());
        }
        if go_on {
            self.seen.go_on = true
        } else {
            self.seen.ahead = true
        }
        forwarding::to_downstream(head, false);
        self.interim.send(head).await.map_err(Lost::begun)
    }

    fn may_go_again(&self, lost: Lost) -> bool {
        self.content.is_whole() && !self.seen.ahead && (lost.untouched || self.head.method().is_idempotent())
    }

    /// Once more to the same backend, free of budget.
    fn goes_again(&mut self, lost: Lost) {
        self.seen.stale = true;
        self.story.retries_free();
        self.pool.tally.local.free_retry();
        self.pool.tally.local.attempt(lost.failure.into());
    }

    /// One request and its answer's head on one connection.
    async fn exchange_on(&mut self, mut connection: Box<Connection>) -> Result<Answered, Lost> {
        let began = Instant::now();
        let mut body = self.content.lend();
        let sent = connection.send(self.head, &mut body, self.timeouts.stall).await;
        self.content.put_back(body);
        sent?;
        let mut interims = 0;
        loop {
            let mut head = connection.read_head(self.head.method(), self.timeouts.first_byte).await?;
            match head.status() {
                101 if !self.may_switch(&head) => return Err(Lost::begun(Failure::UpgradeUnexpected)),
                200..300 if self.must_switch() => return Err(Lost::begun(Failure::UpgradeIgnored)),
                100 | 102..200 => Box::pin(self.interim(&mut head, &mut interims)).await?,
                _ => {
                    self.first_byte(began.elapsed(), head.version);
                    return Ok(Answered { rest: Rest::Http1(connection), head });
                }
            }
        }
    }

    /// Since the request began to be sent.
    fn first_byte(&mut self, took: Duration, version: Version) {
        self.pool.tally.local.first_byte(took);
        self.story.first_byte(took, version);
    }

    /// Whether the client asked for the protocol that the backend switches to. Where the key was ours, so is the duty to look at the
    /// answer to it.
    fn may_switch(&self, answer: &Head) -> bool {
        let asked = |wanted: &[u8]| self.head.fields.members(Name::Upgrade).any(|offered| offered.eq_ignore_ascii_case(wanted));
        let understood = || {
            let key = self.head.fields.find(websocket::KEY).next().unwrap_or_default();
            answer.fields.find(websocket::ACCEPT).eq([websocket::accept(key).as_bytes()])
        };
        self.asks.upgrade
            && answer.fields.contains(Name::Upgrade)
            && answer.fields.members(Name::Upgrade).all(asked)
            && (!self.must_switch() || understood())
    }

    /// In HTTP/2 a request for another protocol has no other meaning, and any success means that it is spoken now.
    fn must_switch(&self) -> bool {
        self.asks.upgrade && self.head.version == Version::Http2
    }
}

impl Reached {
    /// `method`: of the request.
    fn into_answer(self, method: Method, total: Option<Timer>) -> (Head, Body) {
        let Reached { lease, answered: Answered { rest, head } } = self;
        let body = match rest {
            Rest::Http1(connection) => {
                if let Some(timeout) = keep_alive_timeout(&head.fields) {
                    lease.heed(timeout);
                }
                client::body(connection, lease, total)
            }
            Rest::Http2(exchange) => {
                let bodiless = head.is_bodiless(method);
                http2::client::body(*exchange, bodiless, lease, total)
            }
        };
        (head, body)
    }

    fn into_tunnel(self, idle_timeout: Duration) -> Result<Answer, Failure> {
        let Reached { lease, answered: Answered { rest, head } } = self;
        let Rest::Http1(connection) = rest else { return Err(Failure::UpgradeUnexpected) };
        let (io, early) = (*connection).into_stream();
        let tunnel = Tunnel { io, early, idle_timeout, ending: None, guard: Box::new(lease) };
        Ok(Answer::Tunnel { head, tunnel: Box::new(tunnel) })
    }

    /// Lets go of an answer that nobody will see. Its connection is kept if the rest of it is here already and short; to wait for
    /// it would cost more than a new connection does.
    fn discard(self, method: Method) {
        let (_, mut body) = self.into_answer(method, None);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut left = DISCARDED_BYTES_MAX;
        while let Poll::Ready(Ok(true)) = body.poll_fill(cx) {
            let Some(less) = left.checked_sub(body.data().len()) else { return };
            left = less;
            body.consume(body.data().len());
        }
    }
}

/// What an attempt tells the algorithms that go by time, connect included: a backend that is slow to accept is slow.
fn learn(backend: &Backend, began: Instant, ended: &Result<Answered, Lost>) {
    let now = Instant::now();
    let took = now.saturating_duration_since(began);
    match ended.as_ref().map(|answered| answered.head.status()) {
        Ok(429 | 500 | 502 | 503 | 504) => backend.learn_failure(now, took),
        Ok(_) => backend.learn_answer(now, took),
        Err(lost) if lost.failure.blame() == Blame::Upstream => backend.learn_failure(now, took),
        Err(_) => {}
    }
}

fn deadline(after: Duration) -> Timer {
    let timer = Timer::new();
    timer.set(after);
    timer
}

/// Waits for `work` until the timer has run out and `expired` says what that means; `None`: nothing.
async fn within<T, E>(
    timer: &Timer,
    mut work: Pin<&mut impl Future<Output = Result<T, E>>>,
    expired: impl Fn() -> Option<E>,
) -> Result<T, E> {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending if timer.poll_elapsed(cx).is_ready() => expired().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
        polled => polled,
    })
    .await
}

/// `timeout` of a `Keep-Alive` field (RFC 2068 19.7.1.1, still what backends send).
fn keep_alive_timeout(fields: &Fields) -> Option<Duration> {
    if !fields.contains(Name::KeepAlive) {
        return None;
    }
    let value = fields.members(Name::KeepAlive).find_map(|member| member.strip_prefix(b"timeout="))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backends_own_timeout_is_read() {
        for (value, expected) in
            [("timeout=5", Some(5)), ("max=3, timeout=60", Some(60)), ("timeout=soon", None), ("max=3", None), ("timeout=-1", None)]
        {
            let mut fields = Fields::default();
            fields.append(b"Keep-Alive", value.as_bytes());
            assert_eq!(keep_alive_timeout(&fields), expected.map(Duration::from_secs), "{value}");
        }
    }
}
