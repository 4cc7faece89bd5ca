//! What passes through the doors between rooms: heads, bodies, and the one trait that answers a request.
//!
//! Nothing here knows a protocol version's wire form (but for the hint that `fields` keeps), a socket or a room; `http1` and
//! `http2` fill these shapes, `proxy` reads and edits them.

pub mod authority;
pub mod body;
pub mod crowd;
pub mod fields;
pub mod forwarding;
pub mod grpc;
pub mod handler;
pub mod head;
pub mod path;
pub mod pump;
pub mod trailers;
pub mod websocket;

pub use authority::Authority;
pub use body::{Body, Ending, Frame, Length, Source, Stop, Witness};
pub use crowd::Crowd;
pub use fields::{Fields, Name, Names};
pub use handler::{Answer, Code, Conn, Handler, Handshake, Interim, Secure, Terms, Told, Tunnel, Welcome};
pub use head::{Head, Method, Version};
pub use pump::Pump;
