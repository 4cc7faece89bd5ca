//! What the process tells about itself: metrics, the access log, the process log.
//!
//! Nothing here is asked by the data path for an answer, and nothing here may slow it down or stop it: workers count in cells of
//! their own, log lines go to a bounded buffer, and what cannot be written is counted and dropped.

pub mod names;
pub mod series;

mod histogram;
mod process;
mod registry;
mod text;
mod turned_away;

pub mod access;
pub mod log;
pub mod record;
pub mod regime;

pub use access::{AccessLog, Lines};
pub use record::Record;
pub use registry::{BackendSample, CertificateSample, NameSample, PoolSample, ProbeSample, Registry};
pub use series::{
    CacheLocal, CacheResult, CacheSeries, LogSeries, Outcome, PoolLocal, PoolSeries, RouteLocal, RouteSeries, WarmSeries, WorkerLocal,
    WorkerSeries,
};
pub use turned_away::TurnedAway;
