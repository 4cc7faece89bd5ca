//! The response cache. It knows no backend: `proxy` asks it, and then the upstream, or the other way round.

pub mod policy;
