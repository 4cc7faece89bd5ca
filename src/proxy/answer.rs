//! The walk of a request. Read `walk`: it names every room. Whatever fails on the way leaves by one door, `reply::failure`.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::cached::{self, Change, Looked, Place};
use super::record::{Exchange, Ledger, RouteSeat, Story};
use super::sticky::Session;
use super::view::View;
use super::{edit, fetch, forward, intake, reply, secure};
use crate::failure::{Failure, Malformed};
use crate::message::{Answer, Body, Conn, Handler, Handshake, Head, Interim, Terms, Told, Welcome, grpc, path};
use crate::route::Request;
use crate::table::{Action, Current, State};

/// One worker's handler of requests.
pub struct Proxy {
    current: Arc<Current>,
    state: Arc<State>,
    ledger: Rc<Ledger>,
    view: RefCell<Rc<View>>,
    /// Idle connections kept per backend are shared out among this many.
    workers: usize,
    draining: Cell<bool>,
}

impl Proxy {
    pub fn new(current: Arc<Current>, state: Arc<State>, ledger: Rc<Ledger>, workers: usize) -> Proxy {
        let view = View::build(current.load(), &state.registry, None, workers, false);
        Proxy { current, state, ledger, view: RefCell::new(Rc::new(view)), workers, draining: Cell::new(false) }
    }

    /// The newest view; made anew where the table has changed.
    pub fn view(&self) -> Rc<View> {
        self.glance().clone()
    }

    /// The same for a moment.
    fn glance(&self) -> Ref<'_, Rc<View>> {
        if self.view.borrow().table.generation != self.current.generation() {
            self.renew();
        }
        self.view.borrow()
    }

    #[cold]
    fn renew(&self) {
        let old = self.view.borrow().clone();
        let view = View::build(self.current.load(), &self.state.registry, Some(&old), self.workers, self.draining.get());
        self.view.replace(Rc::new(view));
    }

    /// From now on every answer is its connection's last.
    pub fn drain(&self) {
        self.draining.set(true);
        self.renew();
    }

    /// Once a second: closes idle connections whose time is over, and lets the counters out.
    pub fn sweep(&self) {
        self.view().sweep();
        self.ledger.worker.flush();
    }

    /// What a request passes through between its head and its answer's.
    async fn walk(
        &self,
        view: &View,
        head: &mut Head,
        story: &mut Story,
        body: Body,
        interim: &mut dyn Interim,
    ) -> Result<Answer, Failure> {
        let listener = view.listener(story.conn.listener).ok_or(Failure::ListenerClosed)?;
        story.listener(listener, head);
        if let Some(answer) = secure::admit(listener, &story.conn, head)? {
            return Ok(answer);
        }
        let route = {
            let path = path::normalise(head.path()).map_err(Failure::RequestMalformed)?;
            // Where no route asks for a host there is no need to bring it to its one spelling.
            let host = match listener.router.asks_for_host() {
                true => path::host(head.authority()).ok_or(Failure::RequestMalformed(Malformed::Host))?,
                false => Cow::Borrowed(""),
            };
            let request = Request { host: &host, path: &path, head };
            *listener.router.find(&request).ok_or(Failure::NoRoute)?
        };
        let route = view.routes[route].clone();
        story.routed(route.clone());
        let body = intake::limit(body, route.body_limit(listener.limits.body), story)?;

        match &route.route.action {
            Action::Redirect { to, status } => Ok(edit::own(reply::redirect(*status, to.as_bytes()), &route.route)),
            Action::Respond { status, body, content_type } => Ok(edit::own(reply::fixed(*status, body, content_type), &route.route)),
            Action::Forward { pool, timeouts } => {
                let pool = &view.pools[*pool];
                let mut around = None;
                if let Some(seat) = &route.cache {
                    match Place::of(&route, seat, pool, timeouts, listener).look(head, &body, story)? {
                        Looked::Answer(answer) => return Ok(answer),
                        Looked::Want(place, want) => return Box::pin(fetch::answer(&place, want, head, story, interim)).await,
                        Looked::Around(why, checked) => around = Some((why, checked)),
                    }
                }
                let change = Change::of(&view.caches, head, &story.conn, listener);
                let mut asks = edit::request(head, &route.route, listener, &story.conn);
                asks.session = Session::take(&pool.pool, head, &story.conn);
                let mut answer = forward::run(pool, timeouts, asks, head, story, body, interim).await?;
                if let Some(change) = change {
                    change.answered(&answer);
                }
                if let Some((why, checked)) = around {
                    if let Some(checked) = checked {
                        checked.answered(&answer);
                    }
                    cached::tell_around(&mut answer, why, &route);
                }
                Ok(edit::response(answer, &route.route))
            }
        }
    }
}

impl Handler for Proxy {
    async fn answer(&self, conn: &Rc<Conn>, arrived: Instant, head: Head, body: Body, interim: &mut dyn Interim) -> Answer {
        let view = self.view();
        let mut exchange = Exchange::begin(Some(head), conn.clone(), arrived, view.none.clone(), self.ledger.clone());
        let (Some(head), story) = exchange.parts() else { unreachable!("it was begun with a head") };
        match self.walk(&view, head, story, body, interim).await {
            Ok(mut answer) => {
                if conn.secure {
                    secure::stamp(&mut answer, view.listener(conn.listener));
                }
                exchange.ride(answer)
            }
            Err(failure) => apologise(failure, exchange),
        }
    }

    fn welcome(&self, listener: usize) -> Rc<Welcome> {
        self.view().welcome(listener)
    }

    fn handshake(&self, how: Handshake) {
        self.ledger.worker.handshake(how);
    }

    fn http2(&self, told: Told) {
        self.ledger.worker.http2(told);
    }

    fn terms(&self, conn: &Conn) -> Rc<Terms> {
        self.glance().terms(conn.listener)
    }

    fn refuse(&self, conn: &Rc<Conn>, arrived: Instant, failure: Failure) -> Answer {
        let mut exchange = Exchange::begin(None, conn.clone(), arrived, self.view().none.clone(), self.ledger.clone());
        exchange.parts().1.failed(failure);
        exchange.ride(reply::failure(failure, false))
    }

    fn turn_away(&self, listener: usize, peer: SocketAddr, failure: Failure, detail: &dyn Display) {
        if let Some(listener) = self.view().listener(listener) {
            listener.turned_away.count(failure, peer, detail);
        }
    }
}

/// The answer to a request that failed.
#[cold]
fn apologise(failure: Failure, mut exchange: Box<Exchange>) -> Answer {
    let (head, story) = exchange.parts();
    let answer = match head {
        Some(head) if grpc::is_spoken(&head.fields) => {
            let status = grpc::status(failure);
            story.call_ended(status);
            reply::grpc_failure(failure, status)
        }
        head => reply::failure(failure, head.is_some_and(|head| reply::wants_json(head))),
    };
    story.failed(failure);
    exchange.ride(answer)
}

impl RouteSeat {
    fn body_limit(&self, of_listener: Option<u64>) -> Option<u64> {
        self.route.body_limit.unwrap_or(of_listener)
    }
}
