//! Names to addresses: every DNS name among the pools' backends, looked up again and again while the process runs.
//!
//! One task per name looks it up, says what it heard, and sleeps until the records' time is over (`schedule`). What is known of a
//! name is kept elsewhere, in a `Resolution`, which decides what an answer changes; so nothing here touches a pool, and a name
//! server that hangs keeps nobody waiting but its own task.

mod lookup;
mod resolution;
mod schedule;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

pub use lookup::{Heard, Trouble};
pub use resolution::{Change, Found, Resolution};

use crate::config::model::{BackendAddress, Config, DnsName};
use schedule::Schedule;

/// For one lookup, however many queries it takes: many targets of SRV records may be asked for in turn.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// News on their way; a task that finds no room waits.
const NEWS: usize = 64;

/// A name as one pool uses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub pool: String,
    pub name: DnsName,
}

/// A lookup has ended.
#[derive(Debug)]
pub struct News {
    pub key: Key,
    pub heard: Result<Heard, Trouble>,
    /// Until the next lookup begins.
    pub wait: Duration,
}

/// The names that are followed. Dropping it ends all lookups.
pub struct Discovery {
    servers: Arc<[SocketAddr]>,
    following: HashMap<Key, Following>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

struct Following {
    task: AbortHandle,
    /// Its first lookup has ended, well or not.
    is_settled: bool,
}

impl Default for Discovery {
    fn default() -> Discovery {
        let (sender, news) = mpsc::channel(NEWS);
        Discovery { servers: Arc::default(), following: HashMap::new(), tasks: JoinSet::new(), sender, news }
    }
}

impl Discovery {
    /// Follows the names of this configuration from now on, and no others. Those that were followed already are not disturbed, unless
    /// other servers are to be asked.
    pub fn follow(&mut self, config: &Config) {
        if *self.servers != *config.server.resolver {
            self.servers = config.server.resolver.as_slice().into();
            self.following.drain().for_each(|(_, following)| following.task.abort());
        }
        let wanted = keys(config);
        self.following.retain(|key, following| {
            let keep = wanted.contains(key);
            if !keep {
                following.task.abort();
            }
            keep
        });
        for key in wanted {
            if !self.following.contains_key(&key) {
                let task = self.tasks.spawn(follow(key.clone(), self.servers.clone(), self.sender.clone()));
                self.following.insert(key, Following { task, is_settled: false });
            }
        }
        // Aborted tasks are let go of.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Whether a name waits for the end of its first lookup.
    pub fn is_unsettled(&self) -> bool {
        self.following.values().any(|following| !following.is_settled)
    }

    /// The next news of a name that is followed; without names, never. Cancel safe.
    pub async fn next(&mut self) -> News {
        loop {
            let news = self.news.recv().await.expect("it holds a sender itself");
            // A name that is followed no more may have had its last news on the way.
            if let Some(following) = self.following.get_mut(&news.key) {
                following.is_settled = true;
                return news;
            }
        }
    }
}

/// All names in a configuration.
pub fn keys(config: &Config) -> HashSet<Key> {
    let of_pool = |pool: &crate::config::model::Pool| {
        let names = pool.backends.iter().filter_map(|backend| match &backend.address {
            BackendAddress::Dns(name) => Some(Key { pool: pool.name.clone(), name: name.clone() }),
            BackendAddress::Fixed(_) => None,
        });
        names.collect::<Vec<_>>()
    };
    config.pools.iter().flat_map(of_pool).collect()
}

async fn follow(key: Key, servers: Arc<[SocketAddr]>, sender: mpsc::Sender<News>) {
    let mut schedule = Schedule::default();
    loop {
        let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, lookup::lookup(&key.name, &servers));
        let heard = lookup.await.unwrap_or(Err(Trouble::Timeout));
        let wait = schedule.after(heard.as_ref().ok().filter(|heard| heard.is_whole()).map(|heard| heard.valid), fastrand::f64());
        if sender.send(News { key: key.clone(), heard, wait }).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}
