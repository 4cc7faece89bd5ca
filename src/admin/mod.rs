//! The admin listener: metrics, readiness, status, reload, verbs, purge. It changes nothing itself; what is to be done goes to `app` as a `Command`.
//!
//! One request per connection, `EXCHANGE_TIMEOUT` for each and `CONNECTIONS` at once: its callers come every few seconds, and so
//! nobody can hold it by being slow. No framework: a dozen paths are a `match`.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use crate::telemetry::{CertificateSample, NameSample, PoolSample, Registry};

mod answer;
mod kept;
mod purge;
mod readiness;
mod status;
mod verb;
mod warm;

pub use kept::{CacheReport, KeptAnswer, KeptQuery, KeptReport};
pub use purge::PurgeOrder;
pub use readiness::{Readiness, Stage};
pub use status::{
    BackendStatus, CertificateStatus, CheckStatus, Command, EjectionStatus, LastReload, ListenerStatus, NameStatus, PoolStatus,
    ReloadReport, Status, WorkerStatus,
};
pub use verb::{Order, Verb, VerbReport};
pub use warm::{WarmMiss, WarmOrder, WarmReport};

const CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// From accept to the last byte of the answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// For the exchanges that run when the end is called.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// After accept failed, which for want of descriptors it does at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the admin listener reads, and where it sends commands.
#[derive(Clone)]
pub struct Sources {
    pub registry: Arc<Registry>,
    /// Names that it may be asked by.
    pub hosts: Arc<[String]>,
    pub readiness: Readiness,
    pub commands: mpsc::Sender<Command>,
    /// The pools in force, read from their backends' live state; called at each scrape.
    pub pools: Arc<dyn Fn() -> Vec<PoolSample> + Send + Sync>,
    /// The names that stand for backends, as they are known; called at each scrape.
    pub names: Arc<dyn Fn() -> Vec<NameSample> + Send + Sync>,
    /// The certificates in force; called at each scrape.
    pub certificates: Arc<dyn Fn() -> Vec<CertificateSample> + Send + Sync>,
}

/// The address can not be listened on: taken, not ours, or not allowed.
#[derive(Debug, thiserror::Error)]
#[error("admin: can not listen on {address}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// A bound admin listener.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds now, so that a taken port is known before anything else starts. Connections wait in the backlog until `serve`.
    pub fn bind(address: SocketAddr) -> Result<Admin, BindError> {
        let bound = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Admin { address: listener.local_addr()?, listener })
        };
        bound().map_err(|source| BindError { address, source })
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end` resolves, then stops accepting and gives running exchanges `END_TIMEOUT`. To be run in a tokio runtime
    /// with net and time. Dropping the future closes everything at once.
    pub async fn serve(self, sources: Sources, end: impl Future<Output = ()>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut exchanges = JoinSet::new();
        let mut end = pin!(end);
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes the semaphore");
                (listener.accept().await, slot)
            };
            tokio::select! {
                () = &mut end => break,
                Some(_) = exchanges.join_next() => {}
                (accepted, slot) = accepted => match accepted {
                    Ok((stream, _)) => {
                        let exchange = exchange(stream, sources.clone());
                        exchanges.spawn(async move {
                            exchange.await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "admin: accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        // What is not done by then is aborted as the set is dropped.
        let _ = tokio::time::timeout(END_TIMEOUT, async { while exchanges.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

async fn exchange(stream: tokio::net::TcpStream, sources: Sources) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer::answer(request, &sources).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // A client that left or broke the protocol is its own affair.
    let _ = tokio::time::timeout(EXCHANGE_TIMEOUT, connection).await;
}
