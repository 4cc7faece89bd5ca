//! Lists of URLs that the caches are warmed with: one at a time, begun here, worked off by the workers. What is hottest at the end of a
//! process is the list of the next.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use crate::admin::{VerbReport, WarmOrder, WarmReport};
use crate::config::model::{self, WarmUrl};
use crate::config::{Config, urls};
use crate::listen::incoming::HERE;
use crate::proxy::warm::{Errand, WarmList};
use crate::table::State;
use crate::worker::Workers;

/// The list that was begun last.
#[derive(Default)]
pub(super) struct Warming(Option<(Arc<WarmList>, AtomicBool)>);

impl Warming {
    pub fn begin(&mut self, order: &WarmOrder, config: &Config, state: &State, workers: &Workers) -> VerbReport {
        if let Some((list, _)) = self.0.as_ref().filter(|(list, _)| !list.is_over()) {
            let done = list.answered() + list.failed();
            return VerbReport { ok: false, report: format!("another list is being fetched: {done} of {} URLs", list.total()) };
        }
        let errands: Vec<_> = order.urls.iter().filter_map(|url| errand(url, config, state)).collect();
        let list = Arc::new(WarmList::new(errands));
        info!(urls = list.total(), at_once = order.at_once, "warming the caches");
        workers.warm(&list, order.at_once.min(list.total()));
        let report = format!("warming: {} URLs", list.total());
        self.0 = Some((list, AtomicBool::new(false)));
        VerbReport { ok: true, report }
    }

    pub fn report(&self) -> WarmReport {
        match &self.0 {
            None => WarmReport { over: true, ..WarmReport::default() },
            Some((list, _)) => WarmReport { total: list.total(), answered: list.answered(), failed: list.failed(), over: list.is_over() },
        }
    }

    /// Says once that a list is worked off.
    pub fn look_back(&self) {
        if let Some((list, told)) = self.0.as_ref().filter(|(list, _)| list.is_over())
            && !told.swap(true, Ordering::Relaxed)
        {
            info!(urls = list.total(), failed = list.failed(), "the caches are warmed");
        }
    }
}

/// What the last process wrote about this cache; a first start has none.
pub(super) fn recall(cache: &model::Cache, file: Option<&Path>) -> Vec<WarmUrl> {
    let Some(path) = hottest(cache, file) else { return Vec::new() };
    let listed = match fs::read_to_string(&path) {
        Ok(text) => urls::list(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    };
    listed.unwrap_or_else(|problem| {
        warn!(cache = %cache.name, path = %path.display(), %problem, "what was hottest before can not be read");
        Vec::new()
    })
}

/// Writes what is used most, for the next process.
pub(super) fn remember(config: &Config, file: Option<&Path>, state: &State) {
    for spec in &config.caches {
        let (Some(path), Some(cache)) = (hottest(spec, file), state.cache(&spec.name)) else { continue };
        let urls = cache.hottest(spec.hottest_urls);
        if urls.is_empty() {
            // A process that ended before anything was used twice knows less than the one before it.
            continue;
        }
        let text: String = urls.iter().map(|url| format!("{url}\n")).collect();
        // Beside it first: whoever reads it never sees half of it.
        let beside = path.with_extension("new");
        match fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)) {
            Ok(()) => info!(cache = %spec.name, urls = urls.len(), path = %path.display(), "what is hottest is written"),
            Err(error) => warn!(cache = %spec.name, path = %path.display(), %error, "what is hottest can not be written"),
        }
    }
}

/// `file`: the configuration.
fn hottest(cache: &model::Cache, file: Option<&Path>) -> Option<PathBuf> {
    let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
    cache.hottest.as_ref().map(|path| directory.join(path))
}

/// As if it had come by a listener that speaks its scheme, if there is one.
fn errand(url: &WarmUrl, config: &Config, state: &State) -> Option<Errand> {
    let speaks = config.listeners.iter().find(|listener| listener.tls.is_some() == url.secure);
    let listener = speaks.or(config.listeners.first())?;
    let address = listener.addresses.first()?;
    let (seat, local) = (state.seat(&listener.name, address), address.ip().unwrap_or(HERE));
    Some(Errand { listener: seat, local, secure: url.secure, authority: url.authority.clone(), target: url.target.clone() })
}
