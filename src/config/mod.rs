//! Text to `Config`.
pub mod model;
