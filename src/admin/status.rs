//! What `app` is asked, and what it answers: the JSON of `/api/status` and `/api/reload`, which `tidegate status` and
//! `tidegate reload` read back.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::kept::{KeptQuery, KeptReport};
use super::purge::PurgeOrder;
use super::readiness::Stage;
use super::verb::{Order, VerbReport};
use super::warm::{WarmOrder, WarmReport};
use crate::address::Address;

/// To `app`. An asker that no longer waits has dropped its receiver; the command is carried out all the same.
#[derive(Debug)]
pub enum Command {
    Reload { reply: oneshot::Sender<ReloadReport> },
    Status { reply: oneshot::Sender<Status> },
    Tell { order: Order, reply: oneshot::Sender<VerbReport> },
    Purge { order: PurgeOrder, reply: oneshot::Sender<VerbReport> },
    Warm { order: WarmOrder, reply: oneshot::Sender<VerbReport> },
    Warmed { reply: oneshot::Sender<WarmReport> },
    StopWarming { reply: oneshot::Sender<VerbReport> },
    Kept { query: KeptQuery, reply: oneshot::Sender<KeptReport> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The file as it is now is in force.
    pub ok: bool,
    /// For people: what was added, changed and removed, or what is wrong with the file.
    pub report: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub stage: Stage,
    pub uptime_seconds: u64,
    /// `None`: run without a file.
    pub config_file: Option<PathBuf>,
    /// Counts the configurations that came into force; the first is 1.
    pub generation: u64,
    /// `None`: not since the start.
    pub last_reload: Option<LastReload>,
    pub workers: Vec<WorkerStatus>,
    pub listeners: Vec<ListenerStatus>,
    pub pools: Vec<PoolStatus>,
    /// Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// Access log lines dropped because the writer was behind.
    pub access_log_dropped: u64,
    /// Access log lines lost because they could not be written.
    pub access_log_lost: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    pub when: Timestamp,
    pub ok: bool,
    /// Why it was refused.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub index: usize,
    /// It serves; else it failed, and only a restart of the process brings it back.
    pub up: bool,
    pub connections: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub name: String,
    pub addresses: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    pub name: String,
    /// As in the configuration: `p2c`.
    pub algorithm: String,
    /// No backend is up, and requests go to those that are down.
    pub fail_open: bool,
    pub backends: Vec<BackendStatus>,
    /// Those among the pool's backends in the file; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameStatus>,
}

/// A certificate with its key, or a file with those of authorities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Its file, as in the configuration.
    pub certificate: String,
    /// The file of its key; `None`: it has those of authorities.
    pub key: Option<String>,
    /// Who has it: `listener web`, `pool app`.
    pub of: Vec<String>,
    /// The names that it is for.
    pub names: Vec<String>,
    pub expires: Option<Timestamp>,
    /// When what is in force was read.
    pub loaded: Timestamp,
    /// Why what is in its files now is not in force; `None`: it is.
    pub error: Option<String>,
}

/// A DNS name that stands for backends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameStatus {
    /// As in the configuration: `app.internal:8080`.
    pub name: String,
    /// How the last lookup ended: `ok`, or what went wrong; `looking` before the first.
    pub result: String,
    /// How many it stands for now: after a failure, as many as before.
    pub addresses: usize,
    /// Lookups that failed, at least in part.
    pub failures: u64,
    pub looked: Option<Timestamp>,
    pub next: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    pub address: Address,
    /// In force: the file's, or one that was told by hand.
    pub weight: u32,
    pub in_flight: u32,
    /// Whether balancers may pick it.
    pub available: bool,
    /// Picked only when no other may be; absent where the file does not say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// In slow start: how much of its share it takes, from 10; absent once it takes all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_percent: Option<u32>,
    /// How it differs from the file, because somebody said so: `draining`, `ejected for another 4m`, `weight 1 -> 5`.
    #[serde(default)]
    pub drift: Vec<String>,
    /// `up`, or what speaks against it: `down`, `ejected`, `trial`, `undecided`, `draining`, `held`.
    pub state: String,
    /// `None`: it is not checked.
    pub check: Option<CheckStatus>,
    pub ejection: EjectionStatus,
}

/// What the checks of a backend have found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// What the last probe found: `passed`, or why it failed, such as `timeout` or `status 503`. `None`: none has ended yet.
    pub finding: Option<String>,
    /// So many probes in a row have passed, or have failed.
    pub streak: u32,
    pub latency_ms: Option<f64>,
    /// When the backend came up, or went down, for its checks.
    pub since: Option<Timestamp>,
    /// `None`: under way.
    pub next_ms: Option<u64>,
}

/// What a backend's answers have led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EjectionStatus {
    /// In a row.
    pub errors: u32,
    /// How many there were.
    pub count: u64,
    /// The code of the error that led to the last one.
    pub reason: Option<String>,
    /// `None`: it is not ejected now.
    pub until: Option<Timestamp>,
}
