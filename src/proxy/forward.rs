//! Attempts: pick a backend, get a connection, send, read the answer's head; and decide whether another try is allowed.
//!
//! Two things make another try. A connect that failed: no byte was sent, so any method may go elsewhere, up to `TRIES` backends.
//! And a kept connection that ends before a byte of the answer: its backend had closed it while the request was on its way, so a
//! request that may be repeated goes out once more, on a fresh connection to the same backend.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::edit::Asks;
use super::record::Story;
use super::view::PoolSeat;
use crate::balance::Hint;
use crate::failure::Failure;
use crate::http1::client::{self, Connection, Pump};
use crate::http1::head::Response;
use crate::io::Timer;
use crate::message::{Answer, Body, Fields, Head, Interim, Name, Tunnel, forwarding};
use crate::table::Timeouts;
use crate::telemetry::Outcome;
use crate::upstream::{self, Lease};

/// Backends that one request may be sent to.
const TRIES: usize = 2;
/// 1xx answers that one request may draw: a backend with more to say ahead of time is stuck in a loop.
const INTERIMS_MAX: usize = 32;
/// A request that must not be repeated takes only a connection that was in use this recently: its backend can hardly have closed it.
const RESTED_MAX: Duration = Duration::from_secs(1);

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
    let total = timeouts.total.map(|most| {
        let timer = Timer::new();
        timer.set(most);
        timer
    });
    let forward = Forward { pool, timeouts, asks, head, story };
    let reached = match &total {
        None => forward.attempts(body, interim).await,
        Some(timer) => within(timer, forward.attempts(body, interim)).await,
    };
    let Reached { lease, connection, mut response, pump } = reached?;
    if let Some(session) = asks.session {
        session.keep(&lease.seat().backend, &mut response.head);
    }

    if response.head.status() == 101 {
        let (io, early) = (*connection).into_stream();
        let tunnel = Tunnel { io, early, idle_timeout: timeouts.tunnel, ending: None, guard: Box::new(lease) };
        return Ok(Answer::Tunnel { head: response.head, tunnel: Box::new(tunnel) });
    }
    if let Some(timeout) = keep_alive_timeout(&response.head.fields) {
        lease.heed(timeout);
    }
    let body = client::body(connection, lease, response.framing, response.keep_alive, pump, timeouts.stall, total);
    Ok(Answer::Reply { head: response.head, body })
}

/// A backend has answered: its slot, its connection, the head, and what still sends the request.
struct Reached {
    lease: Lease,
    connection: Box<Connection>,
    response: Response,
    pump: Option<Pump>,
}

/// Why one exchange on one connection came to nothing.
struct Lost {
    failure: Failure,
    /// Sending the request once more can not make it happen twice.
    repeatable: bool,
}

struct Forward<'a> {
    pool: &'a Rc<PoolSeat>,
    timeouts: &'a Timeouts,
    asks: Asks<'a>,
    head: &'a Head,
    story: &'a mut Story,
}

impl Forward<'_> {
    async fn attempts(mut self, body: Body, interim: &mut dyn Interim) -> Result<Reached, Failure> {
        let mut body = Some(body);
        let mut tried = [0; TRIES];
        let mut failure = self.pool.pool.nobody;
        for attempt in 0..TRIES {
            // Once: where a session's own backend fails it, the algorithm decides.
            let preferred = self.asks.session.filter(|_| attempt == 0).and_then(|session| session.preferred(Instant::now()));
            let picked = preferred.or_else(|| {
                let random = &mut *self.pool.random.borrow_mut();
                self.pool.pool.balancer.pick(&self.pool.pool.set, &mut Hint { tried: &tried[..attempt], random })
            });
            // Nobody left to try: what the last one said is the better answer.
            let Some(index) = picked else { break };
            tried[attempt] = index;
            let seat = &self.pool.seats[index];
            self.story.attempt(self.pool.tally.clone(), seat.backend.address);
            let lease = Lease::new(seat.clone());

            let rested = (!self.head.method().is_idempotent()).then_some(RESTED_MAX);
            if let Some(connection) = seat.checkout(rested) {
                self.story.reuses();
                self.pool.tally.local.reused();
                match self.exchange_on(connection, &mut body, interim).await {
                    Ok((connection, response, pump)) => return Ok(Reached { lease, connection, response, pump }),
                    Err(Lost { failure, repeatable: false }) => return Err(failure),
                    Err(Lost { .. }) => {
                        self.story.retries_free();
                        self.pool.tally.local.free_retry();
                    }
                }
            }

            let began = Instant::now();
            match upstream::connect(seat.backend.address, self.timeouts.connect).await {
                Ok(connection) => {
                    let took = began.elapsed();
                    self.pool.tally.local.connected(took);
                    self.story.connected(took);
                    return match self.exchange_on(connection, &mut body, interim).await {
                        Ok((connection, response, pump)) => Ok(Reached { lease, connection, response, pump }),
                        Err(lost) => Err(lost.failure),
                    };
                }
                Err(refused) => {
                    self.pool.tally.local.attempt(refused.into());
                    failure = refused;
                    if refused == Failure::ResourcesExhausted {
                        // It is not the backend that has nothing left.
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// One request and its answer's head on one connection.
    async fn exchange_on(
        &mut self,
        mut connection: Box<Connection>,
        body: &mut Option<Body>,
        interim: &mut dyn Interim,
    ) -> Result<(Box<Connection>, Response, Option<Pump>), Lost> {
        let began = Instant::now();
        let reached = self.send_and_read(&mut connection, body, interim).await;
        match &reached {
            Ok(_) => {
                let took = began.elapsed();
                self.pool.tally.local.first_byte(took);
                self.story.first_byte(took);
                self.pool.tally.local.attempt(Outcome::Ok);
            }
            Err(lost) => self.pool.tally.local.attempt(lost.failure.into()),
        }
        reached.map(|(response, pump)| (connection, response, pump))
    }

    async fn send_and_read(
        &mut self,
        connection: &mut Box<Connection>,
        body: &mut Option<Body>,
        interim: &mut dyn Interim,
    ) -> Result<(Response, Option<Pump>), Lost> {
        let repeatable = |body: &Option<Body>| body.is_some() && self.head.method().is_idempotent();
        let pump = match connection.send(self.head, body, self.timeouts.stall).await {
            Ok(pump) => pump,
            Err(unsent) => {
                let broke = unsent.failure == Failure::UpstreamReset;
                return Err(Lost {
                    failure: unsent.failure,
                    repeatable: broke && body.is_some() && (unsent.untouched || repeatable(body)),
                });
            }
        };
        let mut interims = 0;
        loop {
            match connection.read_head(self.head.method(), pump.as_ref(), self.timeouts.first_byte).await {
                Ok(mut response) if (100..200).contains(&response.head.status()) && response.head.status() != 101 => {
                    interims += 1;
                    if interims > INTERIMS_MAX {
                        return Err(Lost { failure: Failure::TooManyInterims, repeatable: false });
                    }
                    forwarding::to_downstream(&mut response.head, false);
                    interim.send(&response.head).await.map_err(|failure| Lost { failure, repeatable: false })?;
                }
                Ok(response) if response.head.status() == 101 && !self.may_switch(&response.head) => {
                    return Err(Lost { failure: Failure::UpgradeUnexpected, repeatable: false });
                }
                Ok(response) => return Ok((response, pump)),
                Err(unanswered) => {
                    let silent = unanswered.silent && interims == 0;
                    return Err(Lost { failure: unanswered.failure, repeatable: silent && repeatable(body) });
                }
            }
        }
    }

    /// Whether the client asked for the protocol that the backend switches to.
    fn may_switch(&self, answer: &Head) -> bool {
        let asked = |wanted: &[u8]| self.head.fields.members(Name::Upgrade).any(|offered| offered.eq_ignore_ascii_case(wanted));
        self.asks.upgrade && answer.fields.contains(Name::Upgrade) && answer.fields.members(Name::Upgrade).all(asked)
    }
}

/// Waits for `work` until `timer` has run out.
async fn within<T>(timer: &Timer, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        std::task::Poll::Pending => timer.poll_elapsed(cx).map(|_| Err(Failure::TotalTimeout)),
        done => done,
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
