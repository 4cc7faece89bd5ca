//! Backends as metrics and status tell of them: read from their live state at the moment somebody asks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::admin::{BackendStatus, CheckStatus, EjectionStatus};
use crate::backend::ramp::WHOLE;
use crate::backend::{Backend, Finding};
use crate::balance::Member;
use crate::table::{self, Table};
use crate::telemetry::{BackendSample, PoolSample, ProbeSample};

pub(super) fn samples(table: &Table) -> Vec<PoolSample> {
    let of_pool = |pool: &Arc<table::Pool>| PoolSample {
        name: pool.name.to_string(),
        fail_open: pool.ward.fails_open(),
        backends: pool.set.members.iter().map(|member| sample(&member.backend, member.weight)).collect(),
    };
    table.pools.iter().map(of_pool).collect()
}

fn sample(backend: &Backend, weight: u32) -> BackendSample {
    let standing = backend.standing();
    let probes = backend.verdict().map(|verdict| ProbeSample {
        outcomes: Finding::LABELS.into_iter().zip(verdict.probes).filter(|(_, count)| *count > 0).collect(),
        spent: verdict.spent,
        latency: verdict.finding.map(|_| verdict.latency),
    });
    BackendSample {
        address: backend.address.clone(),
        weight,
        in_flight: backend.in_flight(),
        up: standing.is_up(),
        state: standing.word(),
        errors: backend.errors(),
        ejections: backend.ejections().total,
        probes,
    }
}

/// `slow_start`: the pool's. `drift`: what was told by hand, in words.
pub(super) fn status(member: &Member, slow_start: Option<Duration>, drift: Vec<String>) -> BackendStatus {
    let Member { backend, weight, backup, .. } = member;
    let share = slow_start.map_or(WHOLE, |duration| backend.ramp(Instant::now(), duration));
    let standing = backend.standing();
    let past = backend.ejections();
    BackendStatus {
        address: backend.address.clone(),
        weight: *weight,
        in_flight: backend.in_flight(),
        available: standing.is_available(),
        backup: *backup,
        ramp_percent: (share < WHOLE).then_some(share * 100 / WHOLE),
        drift,
        state: standing.word().to_owned(),
        check: backend.verdict().map(|verdict| CheckStatus {
            finding: verdict.finding.map(|finding| finding.to_string()),
            streak: verdict.streak,
            latency_ms: verdict.finding.map(|_| (verdict.latency.as_secs_f64() * 1e6).round() / 1e3),
            since: verdict.since.map(to_the_second),
            next_ms: verdict.next.map(|next| next.saturating_duration_since(Instant::now()).as_millis() as u64),
        }),
        ejection: EjectionStatus {
            errors: backend.errors(),
            count: past.total,
            reason: past.reason.map(str::to_owned),
            until: past
                .until
                .filter(|_| standing.is_serving_time())
                .map(|until| to_the_second(SystemTime::now() + until.saturating_duration_since(Instant::now()))),
        },
    }
}

/// For people: nobody reads nanoseconds.
fn to_the_second(when: SystemTime) -> Timestamp {
    let second = Timestamp::try_from(when).map_or(0, Timestamp::as_second);
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}
