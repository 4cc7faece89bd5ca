//! RFC 9111 for a shared cache, pure: what may be kept, for how long, and for whom it may be used.
//!
//! Everything that an answer says about its own use is read once, when it is stored, into `Terms`; a later request costs a few
//! comparisons. Nothing here looks at a clock. Where a field can be read in two ways, the reading that stores less, or for a shorter
//! time, is taken.

pub mod admit;
pub mod condition;
pub mod control;
pub mod range;
pub mod reuse;
pub mod times;
pub mod update;
pub mod vary;

pub use admit::{Admitted, Asked, Received, Refusal, Rules, TtlByStatus, admit};
pub use control::Demands;
pub use reuse::{Terms, Use};
pub use vary::Vary;
