//! Lists of URLs that the caches are warmed with: one at a time, begun here, worked off by the workers. What is hottest at the end of a
//! process is the list of the next.
//!
//! A reload that changes something breaks a list off, and so does the end: it was made for the routes of before.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::admin::{VerbReport, WarmMiss, WarmOrder, WarmReport};
use crate::config::Config;
use crate::config::model::{self, WarmUrl};
use crate::config::urls::{self, Listed, URLS_MAX, Unusable};
use crate::listen::incoming::HERE;
use crate::message::{Head, Version, path};
use crate::proxy::warm::{Door, Errand, WarmList};
use crate::route::Request;
use crate::table::{Listener, State, Table};
use crate::worker::Workers;

/// For those who run the process alone: URLs may tell secrets.
const FILE_MODE: u32 = 0o600;

/// The list that was begun last, and what has become of it.
pub(super) enum Warming {
    Runs(Arc<WarmList>),
    Over(WarmReport),
}

impl Default for Warming {
    fn default() -> Warming {
        Warming::Over(WarmReport { over: true, ..WarmReport::default() })
    }
}

impl Warming {
    pub fn begin(&mut self, order: WarmOrder, config: &Config, table: &Table, state: &State, workers: &Workers) -> VerbReport {
        if let Warming::Runs(list) = self
            && !list.is_over()
            && !list.is_stopped()
        {
            let done = list.total() - list.left();
            return VerbReport { ok: false, report: format!("another list is being fetched: {done} of {} URLs", list.total()) };
        }
        let entrances = entrances(config, table, state);
        let errand = |url: WarmUrl| Errand { door: door(&url, &entrances), url };
        let list = Arc::new(WarmList::new(order.urls.into_iter().map(errand).collect(), state.registry.warm()));
        info!(urls = list.total(), at_once = order.at_once, "warming the caches");
        workers.warm(&list, order.at_once.min(list.total()));
        let report = format!("warming: {} URLs", list.total());
        *self = Warming::Runs(list);
        VerbReport { ok: true, report }
    }

    /// Breaks the list off that runs, if one does. `why`: for the log.
    pub fn stop(&self, why: &str) -> VerbReport {
        match self {
            Warming::Runs(list) if !list.is_over() => {
                list.stop();
                info!(why, left = list.left(), "the caches are not warmed any further");
                VerbReport { ok: true, report: format!("stopped: {} of {} URLs were still to come", list.left(), list.total()) }
            }
            _ => VerbReport { ok: false, report: "no list is being fetched".to_owned() },
        }
    }

    pub fn report(&self) -> WarmReport {
        match self {
            Warming::Over(report) => report.clone(),
            Warming::Runs(list) => WarmReport {
                // First: what was counted before the last one was gone is then seen.
                over: list.is_over(),
                stopped: list.is_stopped(),
                total: list.total(),
                answered: list.answered(),
                failed: list.failed(),
                misses: list.misses().into_iter().map(|miss| WarmMiss { url: miss.url, why: miss.why }).collect(),
            },
        }
    }

    /// Once a second: tells how far it is, and once that it is over; then the list is let go.
    pub fn look_back(&mut self, state: &State) {
        let Warming::Runs(list) = self else { return };
        let left = list.left();
        let report = self.report();
        state.registry.warm().left(if report.over { 0 } else { left });
        if !report.over {
            return;
        }
        let WarmReport { total, answered, failed, stopped, misses, .. } = &report;
        match misses.first() {
            None => info!(urls = total, answered, failed, stopped, "the caches are warmed"),
            Some(WarmMiss { url, why }) => {
                warn!(urls = total, answered, failed, stopped, %url, %why, "the caches are warmed, but for some")
            }
        }
        *self = Warming::Over(report);
    }
}

/// What the caches' own lists name, as one list, and how many at once.
pub(super) fn at_start(config: &Config, file: Option<&Path>) -> Option<WarmOrder> {
    let (mut all, mut at_once) = (Vec::new(), 0);
    for cache in &config.caches {
        let known = all.len();
        let listed = cache.warm.iter().map(|path| (path, true)).chain(cache.hottest.iter().map(|path| (path, false)));
        for (path, must_be) in listed {
            let path = beside(file, path);
            match urls::read(&path) {
                Ok(listed) => all.extend(told(listed, cache, &path)),
                // A first start has nothing that was hottest before.
                Err(Unusable::Read(error)) if error.kind() == ErrorKind::NotFound && !must_be => {}
                Err(problem) => warn!(cache = %cache.name, path = %path.display(), %problem, "a list of URLs is left out"),
            }
        }
        if all.len() > known {
            at_once = at_once.max(cache.warm_at_once);
        }
    }
    (!all.is_empty()).then_some(WarmOrder { urls: all, at_once })
}

fn told(listed: Listed, cache: &model::Cache, path: &Path) -> Vec<WarmUrl> {
    if let Some(first) = &listed.wrong_first {
        warn!(cache = %cache.name, path = %path.display(), wrong = listed.wrong, %first, "what is no URL in a list is left out");
    }
    if listed.is_cut {
        warn!(cache = %cache.name, path = %path.display(), most = URLS_MAX, "a list of URLs is too long: the rest is left out");
    }
    listed.urls
}

/// Writes what is used most, for the next process. Whatever goes wrong, the process ends as it would.
pub(super) fn remember(config: &Config, file: Option<&Path>, state: &State) {
    for spec in &config.caches {
        let (Some(path), Some(cache)) = (&spec.hottest, state.cache(&spec.name)) else { continue };
        let path = beside(file, path);
        let urls = cache.hottest(spec.hottest_urls);
        if urls.is_empty() {
            // A process that ended before anything was used twice knows less than the one before it.
            continue;
        }
        let text: String = urls.iter().map(|url| format!("{url}\n")).collect();
        match write(&path, &text) {
            Ok(()) => info!(cache = %spec.name, urls = urls.len(), path = %path.display(), "what is hottest is written"),
            Err(error) => warn!(cache = %spec.name, path = %path.display(), %error, "what is hottest can not be written"),
        }
    }
}

/// Beside the file first, and in its place only when it is whole and on the disk: whoever reads it never sees half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // What an earlier process has left behind. As only new files are written to, nobody can lead us to another one by a link.
    let _ = fs::remove_file(&new);
    let written = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// `file`: the configuration, to whose directory paths are relative.
fn beside(file: Option<&Path>, path: &Path) -> PathBuf {
    file.and_then(Path::parent).unwrap_or(Path::new("")).join(path)
}

/// A listener, as one sees it who comes with a URL.
struct Entrance<'a> {
    secure: bool,
    door: Door,
    listener: &'a Listener,
}

/// Looked up once for a list: it may be long.
fn entrances<'a>(config: &Config, table: &'a Table, state: &State) -> Vec<Entrance<'a>> {
    let entrance = |listener: &model::Listener| {
        let address = listener.addresses.first()?;
        let seat = state.seat(&listener.name, address);
        let door = Door { listener: seat, local: address.ip().unwrap_or(HERE) };
        Some(Entrance { secure: listener.tls.is_some(), door, listener: table.listeners.get(seat)?.as_ref()? })
    };
    config.listeners.iter().filter_map(entrance).collect()
}

/// By the first listener that speaks its scheme and has a route for it; else, as it may be TLS that somebody in front has taken off, by the
/// first that has a route at all.
fn door(url: &WarmUrl, entrances: &[Entrance<'_>]) -> Option<Door> {
    let head = Head::request(b"GET", url.target.as_bytes(), url.authority.as_bytes(), Version::Http11);
    let (normal, host) = (path::normalise(head.path()).ok()?, path::host(head.authority())?);
    let request = Request { host: &host, path: &normal, head: &head };
    let leads = |entrance: &&Entrance<'_>| entrance.listener.router.find(&request).is_some();
    let speaks = |entrance: &&Entrance<'_>| entrance.secure == url.secure;
    let found = entrances.iter().filter(speaks).find(leads).or_else(|| entrances.iter().find(leads));
    found.map(|entrance| entrance.door)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_written_is_whole_and_private_and_nobody_elses() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let (path, new, other) = (dir.path().join("hottest.txt"), dir.path().join("hottest.txt.new"), dir.path().join("other"));
        fs::write(&other, "precious").expect("another file");
        symlink(&other, &new).expect("a link");
        write(&path, "http://a/\n").expect("it is written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "http://a/\n");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(fs::read_to_string(&other).expect("it is still there"), "precious");
        assert!(!new.exists());
    }

    #[test]
    fn what_can_not_be_written_leaves_all_as_it_was() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let path = dir.path().join("hottest");
        fs::create_dir(&path).expect("a directory in its place");
        assert!(write(&path, "http://a/\n").is_err());
        assert!(write(&dir.path().join("no/such/place"), "x").is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 1, "nothing is left behind");
    }
}
