//! Requests that no client has sent: URLs of a list, each asked for once, so that a cache has them before anybody wants them.
//!
//! They take the walk of any request, by the routes in force, and what comes of them is kept or not as it would be for a client. The list
//! is drawn from by as many runners as it may have requests under way, on all workers.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::failure::Failure;
use crate::message::{Answer, Body, Conn, Handler, Head, Interim, Version};

/// One to be asked for.
pub struct Errand {
    /// By which listener it is as if it had come, as `Conn::listener` has it.
    pub listener: usize,
    /// Where that listens: the origin is told of the port, and so the answer is for those who come there.
    pub local: SocketAddr,
    pub secure: bool,
    pub authority: String,
    pub target: String,
}

/// What is to be asked for, and how far that is. Shared by its runners, and by whoever wants to know.
pub struct WarmList {
    errands: Vec<Errand>,
    next: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl WarmList {
    pub fn new(errands: Vec<Errand>) -> WarmList {
        let (next, answered, failed) = Default::default();
        WarmList { errands, next, answered, failed }
    }

    pub fn total(&self) -> usize {
        self.errands.len()
    }

    /// With a whole answer that is no error.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.answered() + self.failed() >= self.total()
    }

    fn take(&self) -> Option<&Errand> {
        self.errands.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Asks for one after the other, until there is none left.
pub async fn run(handler: Rc<impl Handler>, list: Arc<WarmList>) {
    while let Some(errand) = list.take() {
        // Also where this is dropped, with its worker.
        let mut outcome = Outcome { list: &list, is_good: false };
        outcome.is_good = ask(&*handler, errand).await;
    }
}

struct Outcome<'a> {
    list: &'a WarmList,
    is_good: bool,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let count = if self.is_good { &self.list.answered } else { &self.list.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask(handler: &impl Handler, errand: &Errand) -> bool {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let conn = Rc::new(Conn::new(errand.listener, nobody, errand.local, errand.secure));
    let mut head = Head::request(b"GET", errand.target.as_bytes(), errand.authority.as_bytes(), Version::Http11);
    head.fields.append(b"user-agent", b"tidegate-warm");
    match Box::pin(handler.answer(&conn, Instant::now(), head, Body::empty(), &mut Nobody)).await {
        Answer::Reply { head, body } => head.status() < 400 && is_whole(body).await,
        Answer::Tunnel { .. } => false,
    }
}

async fn is_whole(mut body: Body) -> bool {
    loop {
        match poll_fn(|cx| body.poll_frame(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
    }
}

/// Who waits for no interim answers.
struct Nobody;

impl Interim for Nobody {
    fn send<'a>(&'a mut self, _: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(async { Ok(()) })
    }
}
