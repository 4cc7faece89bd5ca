//! What threads share where their order matters: the standard library's, or loom's, which tries every order there can be.
//!
//! Loom's work outside of its models is to panic; so they are used only where tests are built with `--features loom`, of which only
//! those named `exhaustive` can run.

#[cfg(all(test, feature = "loom"))]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicUsize, fence},
};
#[cfg(not(all(test, feature = "loom")))]
pub use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicUsize, fence},
};
