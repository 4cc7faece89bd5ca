//! Certificates in force: their files are followed, what is found there is judged, and what came of it is told.
//!
//! A renewal is taken without a reload, by the same door: the new pair goes into the configuration in force, and a new table is built
//! from that. What cannot be used (half-written, of another key, expired where the one in force is not) changes nothing but what is
//! said of it. Connections that are open keep what they began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::admin::CertificateStatus;
use crate::config::Config;
use crate::config::certificates::{self, Credential, Found, Look, Owner, Trouble};
use crate::config::watch::Watch;
use crate::telemetry::CertificateSample;
use crate::tls::Pair;

/// Before a certificate expires, its users are told.
const NOTICE: Duration = Duration::from_hours(14 * 24);
/// How often they are told again.
const REMINDER: Duration = Duration::from_hours(24);
/// Without news: time alone makes certificates expire, and become valid.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct Certificates {
    /// Of the configuration.
    directory: PathBuf,
    known: Known,
    /// In the order of the watch.
    credentials: Vec<Credential>,
    /// `None`: there is nothing to watch, or no thread for it.
    watch: Option<Watch<Option<Look>>>,
    /// What the watch has seen last; `None`: nothing yet.
    looks: Vec<Option<Look>>,
    next: Instant,
}

/// What is known of each credential that the configuration names; shared with those who tell of it.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<BTreeMap<Credential, Standing>>>);

struct Standing {
    owners: Vec<Owner>,
    in_force: Found,
    /// When what is in force was read, or was last seen to be what the files have.
    loaded: Timestamp,
    /// Why what the files have now is not in force.
    trouble: Option<Trouble>,
    /// When somebody was last told that it expires.
    reminded: Option<Timestamp>,
}

/// What is to become of what was found.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is in force.
    Same,
    Replace(Found),
    /// What is in force stays.
    Keep(Trouble),
}

impl Certificates {
    /// `name`: of the configuration.
    pub fn new(name: &str) -> Certificates {
        Certificates {
            directory: crate::config::directory(name).to_owned(),
            known: Known::default(),
            credentials: Vec::new(),
            watch: None,
            looks: Vec::new(),
            next: Instant::now() + LOOK_AGAIN,
        }
    }

    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// A configuration that is to come into force was read with what the files had at that moment. What is no better than what is in
    /// force is left out of it.
    pub fn hold(&self, config: &mut Config, now: Timestamp) {
        let known = self.known.lock();
        for (credential, _, found) in certificates::named(config) {
            if let Some(Standing { in_force, .. }) = known.get(&credential)
                && let Verdict::Keep(_) = verdict(&credential, in_force, &Ok(found), now)
            {
                certificates::put(config, &credential, in_force);
            }
        }
    }

    /// A configuration has come into force: its files are watched from now on, and no others. What is in them now is told as news, so
    /// nothing that has happened since they were read is missed.
    pub fn follow(&mut self, config: &Config) {
        let now = Timestamp::now();
        let mut known = self.known.lock();
        let mut before = std::mem::take(&mut *known);
        for (credential, owner, found) in certificates::named(config) {
            let standing = known.entry(credential).or_insert_with_key(|credential| match before.remove(credential) {
                Some(old) if old.in_force == found => Standing { owners: Vec::new(), ..old },
                _ => Standing { owners: Vec::new(), in_force: found, loaded: now, trouble: None, reminded: None },
            });
            if !standing.owners.contains(&owner) {
                standing.owners.push(owner);
            }
        }
        self.credentials = known.keys().cloned().collect();
        drop(known);
        self.looks = vec![None; self.credentials.len()];
        self.watch = match self.credentials.is_empty() {
            true => None,
            false => self.watch().inspect_err(|error| error!(%error, "certificates can not be watched: a renewal needs a reload")).ok(),
        };
    }

    fn watch(&self) -> std::io::Result<Watch<Option<Look>>> {
        let subjects = self.credentials.iter().map(|credential| credential.subject(&self.directory)).collect::<std::io::Result<_>>()?;
        Watch::start("certificate-watch", subjects)
    }

    /// Until there may be something to `judge`. Dropping it loses nothing.
    pub async fn changed(&mut self) {
        let news = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        match tokio::time::timeout_at(self.next, news).await {
            Ok(Some(looks)) => self.looks = looks,
            // The thread has gone, by a panic.
            Ok(None) => self.watch = None,
            Err(_) => {}
        }
        self.next = Instant::now() + LOOK_AGAIN;
    }

    /// What the files have, against what is in force.
    pub fn judge(&self, now: Timestamp) -> Vec<(Credential, Verdict)> {
        let known = self.known.lock();
        let seen = self.credentials.iter().zip(&self.looks).filter_map(|(credential, look)| Some((credential, look.as_ref()?)));
        seen.map(|(credential, look)| (credential.clone(), verdict(credential, &known[credential].in_force, &look.found, now))).collect()
    }

    /// These verdicts were carried out: remembers it, and says so where something has changed. And says what expires.
    pub fn learn(&mut self, verdicts: Vec<(Credential, Verdict)>, now: Timestamp) {
        let mut known = self.known.lock();
        for (credential, verdict) in verdicts {
            let Some(standing) = known.get_mut(&credential) else { continue };
            match verdict {
                Verdict::Same => {
                    if standing.trouble.take().is_some() {
                        standing.loaded = now;
                        info!(file = %title(&credential), "a certificate can be read again, and is the one in force");
                    }
                }
                Verdict::Replace(found) => {
                    match &found {
                        Found::Pair(pair) => {
                            info!(file = %title(&credential), names = ?pair.names(), expires = %expiry(pair), "a certificate was replaced");
                        }
                        Found::Authorities(_) => info!(file = %title(&credential), "certificates of authorities were replaced"),
                    }
                    *standing = Standing {
                        owners: std::mem::take(&mut standing.owners),
                        in_force: found,
                        loaded: now,
                        trouble: None,
                        reminded: None,
                    };
                }
                Verdict::Keep(trouble) => {
                    if standing.trouble.as_ref() != Some(&trouble) {
                        let Trouble { file, reason } = &trouble;
                        error!(file = %file.display(), %reason, "a certificate can not be used: the last good one stays in force");
                        standing.trouble = Some(trouble);
                    }
                }
            }
        }
        for (credential, standing) in known.iter_mut() {
            remind(credential, standing, now);
        }
    }
}

/// A certificate that is no good today is not taken in the place of one that is.
fn verdict(credential: &Credential, in_force: &Found, found: &Result<Found, Trouble>, now: Timestamp) -> Verdict {
    match (in_force, found) {
        (_, Err(trouble)) => Verdict::Keep(trouble.clone()),
        (old, Ok(new)) if old == new => Verdict::Same,
        (Found::Pair(old), Ok(Found::Pair(new))) if trouble_at(old, now).is_none() => match trouble_at(new, now) {
            Some(reason) => Verdict::Keep(Trouble { file: title(credential).into(), reason }),
            None => Verdict::Replace(Found::Pair(new.clone())),
        },
        (_, Ok(new)) => Verdict::Replace(new.clone()),
    }
}

/// What every client would hold against it.
fn trouble_at(pair: &Pair, now: Timestamp) -> Option<String> {
    if pair.not_after() < now.as_second() {
        return Some(format!("the certificate in it has expired, {}", expiry(pair)));
    }
    (pair.not_before() > now.as_second()).then(|| format!("the certificate in it is not valid before {}", stamp(pair.not_before())))
}

/// Says that it expires, each day until it is replaced.
fn remind(credential: &Credential, standing: &mut Standing, now: Timestamp) {
    let Found::Pair(pair) = &standing.in_force else { return };
    let left = pair.not_after() - now.as_second();
    let was_told = standing.reminded.is_some_and(|last| now.as_second() - last.as_second() < REMINDER.as_secs() as i64);
    if left >= NOTICE.as_secs() as i64 || was_told {
        return;
    }
    standing.reminded = Some(now);
    let (file, names, expires) = (title(credential), pair.names(), expiry(pair));
    if left < 0 {
        error!(%file, ?names, %expires, "a certificate has expired");
    } else {
        warn!(%file, ?names, %expires, days = left / (24 * 3600), "a certificate expires soon");
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Credential, Standing>> {
        // Nothing in here can be left half-done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for each owner, at the moment of a scrape.
    pub fn samples(&self) -> Vec<CertificateSample> {
        let known = self.lock();
        let each = known.iter().flat_map(|(credential, standing)| standing.owners.iter().map(move |owner| (credential, standing, owner)));
        each.map(|(credential, standing, owner)| CertificateSample {
            owner: match owner {
                Owner::Listener(name) => ("listener", name.clone()),
                Owner::Pool(name) => ("pool", name.clone()),
            },
            file: title(credential),
            name: pair(standing).and_then(|pair| pair.names().first().cloned()).unwrap_or_default(),
            not_after: pair(standing).map(Pair::not_after),
            loaded: standing.loaded.as_second(),
            is_current: standing.trouble.is_none(),
        })
        .collect()
    }

    pub fn status(&self) -> Vec<CertificateStatus> {
        let of = |(credential, standing): (&Credential, &Standing)| CertificateStatus {
            certificate: title(credential),
            key: match credential {
                Credential::Pair(files) => Some(files.key.display().to_string()),
                Credential::Authorities(_) => None,
            },
            of: standing.owners.iter().map(owner).collect(),
            names: pair(standing).map(|pair| pair.names().to_vec()).unwrap_or_default(),
            expires: pair(standing).map(|pair| stamp(pair.not_after())),
            loaded: stamp(standing.loaded.as_second()),
            error: standing.trouble.as_ref().map(|Trouble { file, reason }| format!("{}: {reason}", file.display())),
        };
        self.lock().iter().map(of).collect()
    }
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Listener(name) => format!("listener {name}"),
        Owner::Pool(name) => format!("pool {name}"),
    }
}

fn pair(standing: &Standing) -> Option<&Pair> {
    match &standing.in_force {
        Found::Pair(pair) => Some(pair),
        Found::Authorities(_) => None,
    }
}

/// The file that a credential is called by.
fn title(credential: &Credential) -> String {
    credential.files().first().map_or_else(String::new, |file: &&Path| file.display().to_string())
}

fn expiry(pair: &Pair) -> Timestamp {
    stamp(pair.not_after())
}

/// Certificates may name years that nobody will see.
fn stamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(if second < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// Valid from and to these days, counted from now.
    fn valid(from: i64, to: i64) -> Found {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let at = |days: i64| std::time::UNIX_EPOCH + Duration::from_secs((now().as_second() + days * DAY) as u64);
        (params.not_before, params.not_after) = (at(from).into(), at(to).into());
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Found::Pair(Pair::parse(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap())
    }

    fn reason(verdict: Verdict) -> Option<String> {
        match verdict {
            Verdict::Keep(trouble) => Some(trouble.reason),
            Verdict::Same => Some("same".to_owned()),
            Verdict::Replace(_) => None,
        }
    }

    fn of_authorities() -> Credential {
        Credential::Authorities("a.pem".into())
    }

    #[test]
    fn what_nobody_would_believe_replaces_nothing_that_they_do() {
        let (good, better, expired, early) = (valid(-60, 30), valid(-1, 90), valid(-90, -1), valid(1, 90));
        for (old, new, expected) in [
            (&good, &good, Some("same")),
            (&good, &better, None),
            (&good, &expired, Some("the certificate in it has expired, 2027-01-14T08:00:00Z")),
            (&good, &early, Some("the certificate in it is not valid before 2027-01-16T08:00:00Z")),
            // Nothing is lost by it.
            (&expired, &early, None),
            (&expired, &better, None),
            (&early, &expired, None),
        ] {
            assert_eq!(reason(verdict(&of_authorities(), old, &Ok(new.clone()), now())).as_deref(), expected, "{old:?} {new:?}");
        }
        let in_time = stamp(now().as_second() + DAY);
        assert_eq!(reason(verdict(&of_authorities(), &good, &Ok(early), in_time)), None, "its day has come");
        let trouble = Trouble { file: "a.pem".into(), reason: "there is no such file".to_owned() };
        assert_eq!(verdict(&of_authorities(), &expired, &Err(trouble.clone()), now()), Verdict::Keep(trouble));
    }

    #[test]
    fn who_has_a_certificate_that_expires_is_told_once_a_day() {
        for (found, told) in [(valid(-60, 15), [0, 0, 1, 2]), (valid(-60, 13), [1, 1, 2, 3]), (valid(-60, -1), [1, 1, 2, 3])] {
            let mut standing = Standing { owners: Vec::new(), in_force: found, loaded: now(), trouble: None, reminded: None };
            let mut count = 0;
            for (hours, told) in [0, 23, 30, 55].into_iter().zip(told) {
                let before = standing.reminded;
                remind(&of_authorities(), &mut standing, stamp(now().as_second() + hours * 3600));
                count += usize::from(standing.reminded != before);
                assert_eq!(count, told, "after {hours} hours");
            }
        }
    }
}
