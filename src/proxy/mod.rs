//! The hallway: one request through every room, in order.

pub mod answer;
pub mod cached;
mod checked;
pub mod edit;
pub mod fetch;
pub mod forward;
pub mod hint;
pub mod intake;
mod purge;
pub mod record;
pub mod replay;
pub mod reply;
pub mod retry;
mod secure;
mod sticky;
pub mod view;
pub mod warm;

pub use answer::Proxy;
