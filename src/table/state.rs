//! What survives a reload, found by identity.
//!
//! Read and written only while a table is built or a page is rendered, so a lock is fine here and nowhere on a request's path.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::Backend;
use crate::telemetry::Registry;

#[derive(Default)]
pub struct State {
    pub registry: Arc<Registry>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    backends: HashMap<(String, SocketAddr), Arc<Backend>>,
    listeners: Vec<Arc<str>>,
}

impl State {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here can be left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend of this pool at this address, with all that is known of it; a new one takes requests at once.
    pub fn backend(&self, pool: &str, address: SocketAddr) -> Arc<Backend> {
        let mut inner = self.inner();
        inner.backends.entry((pool.to_owned(), address)).or_insert_with(|| Arc::new(Backend::new(address))).clone()
    }

    /// Forgets the backends that `keep` does not name. They finish what they have: whoever still uses one holds it, and a request
    /// that took the table before may still pick one.
    pub fn retain_backends(&self, keep: impl Fn(&str, SocketAddr) -> bool) {
        self.inner().backends.retain(|(pool, address), _| keep(pool, *address));
    }

    /// The number of a listener's name, the same for as long as the process runs.
    pub fn listener(&self, name: &str) -> usize {
        let mut inner = self.inner();
        match inner.listeners.iter().position(|known| **known == *name) {
            Some(at) => at,
            None => {
                inner.listeners.push(name.into());
                inner.listeners.len() - 1
            }
        }
    }
}
