//! The process itself: what it is told by signals, and what the system grants it.

pub mod limits;
pub mod signals;
