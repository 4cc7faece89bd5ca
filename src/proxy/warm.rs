//! Requests that no client has sent: URLs of a list, each asked for once, so that a cache has them before anybody wants them.
//!
//! They take the walk of any request, by the routes in force, and what comes of them is kept or not as it would be for a client. The list
//! is drawn from by as many runners as it may have requests under way, on all workers. It is over when none of them is left, whatever
//! has become of the workers; told to stop, they drop what they are at.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::model::WarmUrl;
use crate::failure::Failure;
use crate::io::Timer;
use crate::message::{Answer, Body, Conn, Handler, Head, Interim, Version};
use crate::telemetry::WarmSeries;

/// For one URL, content and all: an answer without end would hold its runner for ever.
const PATIENCE: Duration = Duration::from_secs(300);
/// So many of the URLs that failed are remembered, the first ones.
const MISSES_SHOWN: usize = 10;
/// Nobody's address (RFC 7600): an origin that trusts some clients more than others, itself above all, must not take this for one of them,
/// as what it answers is for everybody.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// One to be asked for.
pub struct Errand {
    pub url: WarmUrl,
    /// `None`: no listener has a route for it.
    pub door: Option<Door>,
}

/// By which listener it is as if a request had come.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// As `Conn::listener` has it.
    pub listener: usize,
    /// Where that listens: the origin is told of the port, and so the answer is for those who come there.
    pub local: SocketAddr,
}

/// What is to be asked for, and how far that is. Shared by its runners, and by whoever wants to know.
pub struct WarmList {
    errands: Vec<Errand>,
    next: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    runners: AtomicUsize,
    misses: Mutex<Vec<Miss>>,
    stop: watch::Sender<bool>,
    series: Arc<WarmSeries>,
}

/// A URL that could not be fetched, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    pub url: String,
    pub why: String,
}

impl WarmList {
    pub fn new(errands: Vec<Errand>, series: Arc<WarmSeries>) -> WarmList {
        let (next, answered, failed, runners, misses) = Default::default();
        WarmList { errands, next, answered, failed, runners, misses, stop: watch::Sender::new(false), series }
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

    /// Neither answered nor failed: still to come, or given up.
    pub fn left(&self) -> usize {
        self.total().saturating_sub(self.answered() + self.failed())
    }

    /// The first of those that failed.
    pub fn misses(&self) -> Vec<Miss> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody draws from it any more.
    pub fn is_over(&self) -> bool {
        // Acquire: with the last runner gone, all that it counted is seen.
        self.runners.load(Ordering::Acquire) == 0
    }

    /// Nothing more is drawn, and what is under way is dropped.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// One more that draws from it; to be sent to where it runs.
    pub fn runner(self: &Arc<Self>) -> Runner {
        self.runners.fetch_add(1, Ordering::Relaxed);
        Runner(self.clone())
    }

    fn take(&self) -> Option<&Errand> {
        self.errands.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn told(&self, errand: &Errand, outcome: Result<(), Cow<'static, str>>) {
        self.series.ended(outcome.is_ok());
        let count = if outcome.is_ok() { &self.answered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = outcome {
            let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
            if misses.len() < MISSES_SHOWN {
                misses.push(Miss { url: errand.url.to_string(), why: why.into_owned() });
            }
        }
    }
}

/// Draws from a list while it is there; wherever it is dropped, its list has one less.
pub struct Runner(Arc<WarmList>);

impl Runner {
    /// Asks for one after the other, until there is none left. Dropped, it gives up the one that it is at.
    pub async fn run(self, handler: Rc<impl Handler>) {
        let mut stop = self.0.stop.subscribe();
        while let Some(errand) = self.0.take() {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                outcome = in_time(&*handler, errand) => self.0.told(errand, outcome),
            }
            // What is there already takes no waiting at all, and others want their turn.
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Release: see `is_over`.
        self.0.runners.fetch_sub(1, Ordering::Release);
    }
}

async fn in_time(handler: &impl Handler, errand: &Errand) -> Result<(), Cow<'static, str>> {
    Timer::new().limit(PATIENCE, ask(handler, errand)).await.unwrap_or(Err("it takes too long".into()))
}

/// Else why there is no answer that is worth having.
async fn ask(handler: &impl Handler, errand: &Errand) -> Result<(), Cow<'static, str>> {
    let Errand { url, door } = errand;
    let Some(Door { listener, local }) = *door else { return Err("there is no route for it".into()) };
    let conn = Rc::new(Conn::new(listener, SocketAddr::from((NOBODY, 0)), local, url.secure));
    let mut head = Head::request(b"GET", url.target.as_bytes(), url.authority.as_bytes(), Version::Http11);
    head.fields.append(b"user-agent", b"tidegate-warm");
    match Box::pin(handler.answer(&conn, Instant::now(), head, Body::empty(), &mut NoInterim)).await {
        Answer::Reply { head, body } => {
            let status = head.status();
            whole(body).await.map_err(|failure| failure.code())?;
            if status < 400 { Ok(()) } else { Err(status.to_string().into()) }
        }
        Answer::Tunnel { .. } => Err("it is no answer but a tunnel".into()),
    }
}

async fn whole(mut body: Body) -> Result<(), Failure> {
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        frame?;
    }
    body.complete();
    Ok(())
}

/// Nobody waits for interim answers.
struct NoInterim;

impl Interim for NoInterim {
    fn send<'a>(&'a mut self, _: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(async { Ok(()) })
    }
}
