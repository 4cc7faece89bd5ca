//! HTTP/2, both sides: frames and flow control by the `h2` crate, what a message may look like by us.
//!
//! `h2` directly, not through hyper: a server of hyper's can not send 1xx, hides how much room a stream has, and puts a layer of its
//! own between every frame and its reader. What `h2` lets through is not yet a request: it leaves blanks around values, user
//! information in `:authority`, and a repeated Content-Length to us, and `head` refuses what HTTP/1.1 would.
//!
//! One task per client connection drives the connection and all its streams; connections to backends have one that drives nothing but the
//! connection, for their streams belong to exchanges. What is written in one turn leaves in one system call (`wire`),
//! and the connection is looked at again only when a stream has stirred it (`stir`).

mod allowance;
mod body;
mod head;
mod inflow;
mod pulse;
mod relay;
#[cfg(test)]
pub mod scripted;
mod stir;
mod streams;
mod tunnel;
mod wire;

pub mod client;
pub mod server;
