//! What is known of one name, and what an answer makes of it.
//!
//! Only an answer replaces an answer. That a name does not exist, has no addresses, or that nobody says: any of these is more often
//! a name server's bad hour than the end of an application, so the last good addresses stay. Where only a part could be asked
//! for (the IPv6 addresses, the target of one SRV record), what was known of that part stays.
//!
//! Addresses are kept sorted: servers give them in another order each time, and a balancer should not take that for a change.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::lookup::{Heard, Trouble};

/// More addresses of one name are not used.
const ADDRESSES_MAX: usize = 1000;

/// A backend that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub address: SocketAddr,
    /// Times the weight in the file; 1 for anything but SRV records.
    pub weight: u32,
}

/// One name, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// By address, each once; empty: it has never been resolved.
    pub found: Arc<[Found]>,
    /// How the last lookup ended; `None`: well, or there was none yet.
    pub trouble: Option<Trouble>,
    /// Lookups that failed, in whole or in part.
    pub failures: u64,
    /// When the last lookup ended.
    pub looked: Option<Timestamp>,
    pub next: Option<Timestamp>,
    is_capped: bool,
}

/// What an answer has changed.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    pub added: Vec<SocketAddr>,
    pub removed: Vec<SocketAddr>,
    /// An address stays, with another weight.
    pub reweighted: bool,
    /// It failed, and the time before it did not.
    pub fell: bool,
    /// It worked, and the time before it did not.
    pub recovered: bool,
    /// So many addresses are left out, where there were none before.
    pub capped: Option<usize>,
}

impl Change {
    /// Whether a pool has other backends now.
    pub fn is_felt(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty() || self.reweighted
    }
}

impl Resolution {
    /// `wait`: until it is looked up again.
    pub fn learn(&mut self, heard: &Result<Heard, Trouble>, wait: Duration) -> Change {
        let now = Timestamp::now();
        self.looked = Some(now);
        self.next = now.checked_add(wait).ok();
        let had_trouble = self.trouble.is_some();
        let mut change = Change::default();
        match heard {
            Ok(heard) => {
                self.trouble = heard.missing.clone();
                let (found, left_out) = self.merged(heard);
                change = difference(&self.found, &found);
                if left_out > 0 && !self.is_capped {
                    change.capped = Some(left_out);
                }
                self.is_capped = left_out > 0;
                if change.is_felt() {
                    self.found = found;
                }
            }
            Err(trouble) => self.trouble = Some(trouble.clone()),
        }
        self.failures += u64::from(self.trouble.is_some());
        change.fell = self.trouble.is_some() && !had_trouble;
        change.recovered = self.trouble.is_none() && had_trouble;
        change
    }

    /// What was heard, and of what could not be asked for, what was known. Beside it, how many more there were.
    fn merged(&self, heard: &Heard) -> (Arc<[Found]>, usize) {
        let kept = self.found.iter().filter(|known| if known.address.is_ipv4() { heard.keep_ipv4 } else { heard.keep_ipv6 });
        let mut all = heard.found.clone();
        // Two targets of SRV records may be one address; which of them was heard first is chance, so the greater weight counts.
        all.sort_by_key(|found| Reverse(found.weight));
        all.extend(kept.copied());
        // Stable: where an address is both new and known, the new one is first and stays.
        all.sort_by_key(|found| found.address);
        all.dedup_by_key(|found| found.address);
        let left_out = all.len().saturating_sub(ADDRESSES_MAX);
        all.truncate(ADDRESSES_MAX);
        (all.into(), left_out)
    }
}

fn difference(old: &[Found], new: &[Found]) -> Change {
    let addresses = |found: &[Found]| found.iter().map(|found| found.address).collect::<HashSet<_>>();
    let (before, after) = (addresses(old), addresses(new));
    let missing = |from: &[Found], there: &HashSet<SocketAddr>| {
        from.iter().map(|found| found.address).filter(|address| !there.contains(address)).collect::<Vec<_>>()
    };
    let (added, removed) = (missing(new, &before), missing(old, &after));
    let reweighted = added.is_empty() && removed.is_empty() && old != new;
    Change { added, removed, reweighted, ..Change::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn heard(addresses: &[&str]) -> Heard {
        let found = addresses.iter().map(|address| Found { address: address.parse().unwrap(), weight: 1 });
        Heard { found: found.collect(), valid: Duration::from_secs(5), missing: None, keep_ipv4: false, keep_ipv6: false }
    }

    fn known(resolution: &Resolution) -> Vec<String> {
        resolution.found.iter().map(|found| found.address.to_string()).collect()
    }

    #[test]
    fn the_order_of_an_answer_is_no_change() {
        let mut resolution = Resolution::default();
        let change = resolution.learn(&Ok(heard(&["10.0.0.2:1", "[::1]:1", "10.0.0.1:1", "10.0.0.2:1"])), WAIT);
        assert!(change.is_felt() && !change.fell && !change.recovered);
        assert_eq!(known(&resolution), ["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"]);
        assert_eq!(resolution.learn(&Ok(heard(&["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"])), WAIT), Change::default());
        let change = resolution.learn(&Ok(heard(&["10.0.0.3:1", "10.0.0.1:1", "[::1]:1"])), WAIT);
        assert_eq!((change.added, change.removed), (vec!["10.0.0.3:1".parse().unwrap()], vec!["10.0.0.2:1".parse().unwrap()]));
    }

    #[test]
    fn what_fails_changes_nothing_and_is_told_once() {
        let mut resolution = Resolution::default();
        resolution.learn(&Ok(heard(&["10.0.0.1:1"])), WAIT);
        for (at, trouble) in [Trouble::NoSuchName, Trouble::NoAddress, Trouble::Timeout].into_iter().enumerate() {
            let change = resolution.learn(&Err(trouble.clone()), WAIT);
            assert_eq!((change.fell, change.is_felt()), (at == 0, false), "{trouble}");
            assert_eq!(resolution.trouble, Some(trouble));
        }
        assert_eq!((known(&resolution), resolution.failures), (vec!["10.0.0.1:1".to_owned()], 3));
        let change = resolution.learn(&Ok(heard(&["10.0.0.1:1"])), WAIT);
        assert!(change.recovered && !change.is_felt());
    }

    #[test]
    fn of_what_could_not_be_asked_for_the_old_stays() {
        let mut resolution = Resolution::default();
        resolution.learn(&Ok(heard(&["10.0.0.1:1", "[::1]:1", "[::2]:1"])), WAIT);
        let partial = Heard { missing: Some(Trouble::Timeout), keep_ipv6: true, ..heard(&["10.0.0.2:1"]) };
        let change = resolution.learn(&Ok(partial), WAIT);
        assert!(change.fell);
        assert_eq!(known(&resolution), ["10.0.0.2:1", "[::1]:1", "[::2]:1"]);
        resolution.learn(&Ok(heard(&["[::2]:1"])), WAIT);
        assert_eq!(known(&resolution), ["[::2]:1"]);
    }

    #[test]
    fn two_targets_with_one_address_are_one_whoever_answers_first() {
        let mut resolution = Resolution::default();
        let mut answer = heard(&["10.0.0.1:1", "10.0.0.1:1"]);
        answer.found[1].weight = 7;
        resolution.learn(&Ok(answer.clone()), WAIT);
        answer.found.reverse();
        assert!(!resolution.learn(&Ok(answer.clone()), WAIT).is_felt());
        assert_eq!((resolution.found.len(), resolution.found[0].weight), (1, 7));
        // What is heard counts, and not what was known, be it less.
        answer.found.iter_mut().for_each(|found| found.weight = 2);
        resolution.learn(&Ok(Heard { keep_ipv4: true, ..answer }), WAIT);
        assert_eq!(resolution.found[0].weight, 2);
    }

    #[test]
    fn a_weight_alone_is_a_change() {
        let mut resolution = Resolution::default();
        let mut answer = heard(&["10.0.0.1:1"]);
        resolution.learn(&Ok(answer.clone()), WAIT);
        answer.found[0].weight = 7;
        let change = resolution.learn(&Ok(answer), WAIT);
        assert!(change.reweighted && resolution.found[0].weight == 7);
    }

    #[test]
    fn a_huge_answer_is_cut_and_told_once() {
        let mut resolution = Resolution::default();
        let addresses: Vec<String> = (0..1500).map(|at| format!("10.0.{}.{}:1", at / 250, at % 250)).collect();
        let answer = heard(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(resolution.learn(&Ok(answer.clone()), WAIT).capped, Some(500));
        assert_eq!(resolution.found.len(), ADDRESSES_MAX);
        assert_eq!(resolution.learn(&Ok(answer), WAIT), Change::default());
    }
}
