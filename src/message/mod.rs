//! What passes through the doors between rooms: heads, bodies, and the one trait that answers a request.
//!
//! Nothing here knows a protocol version's wire form, a socket or a room; `http1` (and `http2` one day) fill these shapes,
//! `proxy` reads and edits them.

pub mod body;
pub mod fields;
pub mod handler;
pub mod head;

pub use body::{Body, Ending, Frame, Length, Source};
pub use fields::{Fields, Name};
pub use handler::{Answer, Conn, Handler, Interim, Terms, Tunnel};
pub use head::{Head, Method, Version};
