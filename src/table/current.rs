//! The table in force. The one place with an atomic swap.
//!
//! Workers look at the generation with every request, which is a plain load of a line that nobody writes between reloads, and fetch
//! the table only when it has moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::Table;

pub struct Current {
    table: ArcSwap<Table>,
    generation: AtomicU64,
}

impl Current {
    pub fn new(table: Table) -> Current {
        let generation = AtomicU64::new(table.generation);
        Current { table: ArcSwap::from_pointee(table), generation }
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// For those who keep it a while: not for every request.
    pub fn load(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// From now on workers take this one. The table is stored before the generation moves, so whoever sees the new number gets it.
    pub fn replace(&self, table: Table) {
        let generation = table.generation;
        self.table.store(Arc::new(table));
        self.generation.store(generation, Ordering::Release);
    }
}
