//! Orders to one backend, carried out: drained, ejected, resumed, weighted by hand.
//!
//! What is told here drifts from the file, and `status` says so. It is kept over reloads, because somebody who drains a backend
//! for a repair does not want a colleague's edit elsewhere to send requests there; a reload that changes this backend's own entry
//! ends it, because then the file says something newer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tracing::info;

use crate::address::Address;
use crate::admin::{Order, Verb, VerbReport};
use crate::backend::Backend;
use crate::config::model::{self, Algorithm, Config};
use crate::table::{self, State, Table};

/// Why an order is not carried out: there is no such thing.
pub(super) struct Unknown(String);

impl From<Unknown> for VerbReport {
    fn from(Unknown(report): Unknown) -> VerbReport {
        VerbReport { ok: false, report }
    }
}

/// Does what it says; the report. A weight takes effect with the next table.
pub(super) fn carry_out(order: &Order, config: &Config, table: &Table, state: &State) -> Result<String, Unknown> {
    let (spec, pool, backend) = find(order, config, table)?;
    let (name, address) = (&order.pool, &backend.address);
    let weight = weights(spec, state).find(|(other, _)| other == address).map_or(1, |(_, weight)| weight);
    let mut report = match order.verb {
        Verb::Drain { deadline } => {
            // At most a year, so there is such a moment.
            backend.drain_by_hand(deadline.and_then(|deadline| Instant::now().checked_add(deadline)));
            let sessions = sessions(spec, deadline);
            format!("draining {address} of pool {name}: no new requests{sessions}; {} in flight finish", backend.in_flight())
        }
        Verb::Eject { time } => {
            backend.eject_by_hand(time.and_then(|time| Instant::now().checked_add(time)));
            let until = time.map_or("until it is resumed".to_owned(), |time| format!("for {}", spelled(time)));
            format!("ejected {address} of pool {name} {until}: no requests; {} in flight finish", backend.in_flight())
        }
        Verb::Resume => match undo(&backend, weight).join(", ") {
            nothing if nothing.is_empty() => format!("{address} of pool {name} was as the file has it"),
            undone => format!("resumed {address} of pool {name}, as the file has it: undone {undone}"),
        },
        Verb::Weight(new) => {
            let before = backend.weight_by_hand().unwrap_or(weight);
            backend.set_weight_by_hand(Some(new).filter(|new| *new != weight));
            let mut report = format!("weight of {address} of pool {name}: {before} -> {new}");
            if spec.algorithm == Algorithm::RoundRobin && new > 1 {
                report.push_str("\nround_robin ignores weights but 0; weighted_round_robin gives turns by them");
            }
            report
        }
    };
    info!(pool = %name, backend = %address, order = ?order.verb, "told by hand");
    // With the weight as it is from now on, which the table does not have yet.
    let weight_of = |member: &Arc<Backend>, in_table: u32| match Arc::ptr_eq(member, &backend) {
        true => backend.weight_by_hand().unwrap_or(weight),
        false => in_table,
    };
    if !pool.set.members.iter().any(|member| member.backend.is_available() && weight_of(&member.backend, member.weight) > 0) {
        report.push_str(&format!("\nno backend of pool {name} can be picked now: new requests are answered with 503"));
    }
    Ok(report)
}

/// What a drain leaves to those who are on this backend.
fn sessions(spec: &model::Pool, deadline: Option<Duration>) -> String {
    match (&spec.sticky, deadline) {
        (None, _) => String::new(),
        (Some(_), None) => " but those of its sticky sessions".to_owned(),
        (Some(_), Some(deadline)) => format!(" but those of its sticky sessions for {}", spelled(deadline)),
    }
}

/// As the configuration would have it.
fn spelled(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

fn find<'a>(order: &Order, config: &'a Config, table: &'a Table) -> Result<(&'a model::Pool, &'a table::Pool, Arc<Backend>), Unknown> {
    let spec = config.pools.iter().find(|pool| pool.name == order.pool);
    let pool = table.pools.iter().find(|pool| *pool.name == *order.pool);
    let Some((spec, pool)) = spec.zip(pool) else {
        let known: Vec<_> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
        return Err(Unknown(format!("there is no pool `{}`; there are: {}", order.pool.escape_debug(), known.join(", "))));
    };
    let address: Option<Address> = order.backend.parse().ok();
    let found = pool.set.members.iter().find(|member| Some(&member.backend.address) == address.as_ref());
    match found {
        Some(member) => Ok((spec, pool, member.backend.clone())),
        None => {
            let backend = order.backend.escape_debug();
            Err(Unknown(format!("pool `{}` has no backend `{backend}`; there are: {}", order.pool, listed(pool))))
        }
    }
}

/// The addresses of a pool, as far as somebody wants to read them.
fn listed(pool: &table::Pool) -> String {
    const SHOWN: usize = 20;
    let all = &pool.set.members;
    let mut list: Vec<String> = all.iter().take(SHOWN).map(|member| member.backend.address.to_string()).collect();
    match all.len() {
        0 => return "none yet".to_owned(),
        more if more > SHOWN => list.push(format!("and {} more", more - SHOWN)),
        _ => {}
    }
    list.join(", ")
}

/// How a backend differs from the file, in words. `weight`: the file's.
pub(super) fn drift(backend: &Backend, weight: u32) -> Vec<String> {
    let mut drift = Vec::new();
    if backend.is_drained_by_hand() {
        drift.push("draining".to_owned());
    }
    if backend.is_ejected_by_hand() {
        let left = backend.ejected_for(Instant::now()).map(|left| format!(" for another {}", spelled(Duration::from_secs(left.as_secs()))));
        drift.push(format!("ejected{}", left.unwrap_or_default()));
    }
    if let Some(by_hand) = backend.weight_by_hand() {
        drift.push(format!("weight {weight} -> {by_hand}"));
    }
    drift
}

/// Makes it as the file has it; what was different.
fn undo(backend: &Backend, weight: u32) -> Vec<String> {
    let undone = drift(backend, weight);
    backend.undrain();
    backend.readmit_by_hand();
    backend.set_weight_by_hand(None);
    undone
}

/// Lets those back in whose time is over. To be called every second or so.
pub(super) fn readmit(table: &Table) {
    let now = Instant::now();
    for pool in &table.pools {
        for backend in pool.set.members.iter().map(|member| &member.backend) {
            if backend.ejected_for(now).is_some_and(|left| left.is_zero()) && backend.readmit_by_hand() {
                info!(pool = %pool.name, backend = %backend.address, "an ejection by hand is over");
            }
        }
    }
}

/// Ends what was told of backends whose entries the new configuration changes; a line for each. One that is named again, and had not
/// quite gone, is a change too. One that goes keeps it: requests of the old table must not come to it on its way out.
pub(super) fn end_touched(old: &Config, new: &Config, state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for pool in &new.pools {
        let old = old.pools.iter().find(|old| old.name == pool.name);
        let before: HashMap<_, _> = old.into_iter().flat_map(|old| table::build::present(old, state)).collect();
        for (address, after) in table::build::present(pool, state) {
            let before = before.get(&address);
            let Some(backend) = state.known(&pool.name, &address).filter(|_| before != Some(&after)) else { continue };
            let undone = undo(&backend, before.map_or(after.weight, |before| before.weight));
            if !undone.is_empty() {
                lines.push(format!("undone pool {}: backend {address}: {}, told by hand", pool.name, undone.join(", ")));
            }
        }
    }
    lines
}

/// The weights that the file gives to the backends that a pool has now.
pub(super) fn weights(pool: &model::Pool, state: &State) -> impl Iterator<Item = (Address, u32)> {
    table::build::present(pool, state).into_iter().map(|(address, spec)| (address, spec.weight))
}
