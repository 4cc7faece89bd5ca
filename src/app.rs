//! The composition root: builds the rooms, binds, follows the configuration, drains. It owns every thread and task.
//!
//! Workers carry the traffic; this runs on the main thread, whose runtime does what is not on a request's path. One loop (`run`)
//! decides what happens next: a signal, a changed file, a command from the admin API.

mod account;
mod certificates;
mod kept;
mod verbs;
mod warm;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::address::Address;
use crate::admin::{
    Admin, Command, LastReload, ListenerStatus, NameStatus, Order, PoolStatus, PurgeOrder, Readiness, ReloadReport, Sources, Stage, Status,
    VerbReport, WarmOrder, WorkerStatus,
};
use crate::backend::Backend;
use crate::config::model::{self, Listener};
use crate::config::watch::{Contents, Subject, Watch};
use crate::config::{self, Config, Report};
use crate::discovery::{self, Change, Discovery, News};
use crate::lifecycle::limits;
use crate::lifecycle::signals::{Event, Signals};
use crate::listen::{self, BindError, Socket, SocketFile};
use crate::table::{self, Current, State};
use crate::telemetry::log::{self, ProcessLog};
use crate::telemetry::{AccessLog, NameSample};
use crate::upstream::health::{Checked, Probes};
use crate::worker::{Listening, Owner, Quota, Setup, Workers};
use certificates::{Certificates, Verdict};

/// Commands that may wait; whoever asks waits for the answer, so more are never useful.
const COMMANDS: usize = 16;
/// How long the last lines of the access log may take.
const LOG_CLOSE: Duration = Duration::from_secs(2);
/// How long a configuration waits for the first addresses of its names before it is put in force without them.
const FIRST_LOOKUPS: Duration = Duration::from_secs(2);
/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Where the configuration comes from.
pub enum Source {
    /// Followed for as long as the process runs.
    File(PathBuf),
    /// `name`: what to call the text where it is wrong.
    Text { text: String, name: String },
}

pub struct Options {
    pub source: Source,
    /// Called once all addresses are bound and served.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the configuration is refused")]
    Configuration(Report),
    #[error("`{key}`: {address} is taken by another program")]
    AddressTaken { address: Address, key: String },
    #[error("`{key}`: can not listen on {address}")]
    Bind { key: String, address: Address, source: std::io::Error },
    #[error("every worker has failed; the log says how")]
    NoWorkers,
    #[error("{what}")]
    System { what: String, source: std::io::Error },
}

impl Error {
    fn bind(key: String, address: Address, source: std::io::Error) -> Error {
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::AddressTaken { address, key },
            _ => Error::Bind { key, address, source },
        }
    }

    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::System { what, source }
    }
}

/// Runs the proxy until it is told to end, drained or not.
pub fn run(options: Options) -> Result<(), Error> {
    let (text, name, file) = match options.source {
        Source::File(path) => (config::read(&path).map_err(Error::Configuration)?, path.display().to_string(), Some(path)),
        Source::Text { text, name } => (text, name, None),
    };
    let (config, warnings) = config::parse(&text, &name).map_err(Error::Configuration)?;
    // A second one in the process (a test's) keeps the log of the first.
    let log = log::init(config.log.level).ok();
    warnings.lines().for_each(|line| warn!("{line}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::system("the main runtime can not start"))?;
    runtime.block_on(async {
        let signals = Signals::install().map_err(Error::system("signals can not be caught"))?;
        let watch = match &file {
            Some(path) => Some(watch_configuration(path, text).map_err(Error::system(format!("{name} can not be watched")))?),
            None => None,
        };
        let app = App::start(config, name, file, log).await?;
        (options.ready)();
        app.run(signals, watch).await
    })
}

fn watch_configuration(path: &Path, known: String) -> std::io::Result<Watch<Contents>> {
    Watch::start("config-watch", vec![Subject::configuration(path, known)?])
}

struct App {
    /// In force, but for what needs a restart.
    config: Config,
    /// Counts the configurations that came into force. Tables are more: names bring new ones too.
    generation: u64,
    /// What the configuration is called in messages.
    name: String,
    file: Option<PathBuf>,
    log: Option<ProcessLog>,
    access: AccessLog,
    state: Arc<State>,
    current: Arc<Current>,
    discovery: Discovery,
    certificates: Certificates,
    workers: Workers,
    probes: Probes,
    /// What is bound, by its number in `state`.
    listening: HashMap<usize, Arc<Listening>>,
    /// Of Unix sockets among them: gone as soon as nobody is to connect any more.
    files: HashMap<usize, SocketFile>,
    /// How many connections each listener may have, by its name.
    quotas: HashMap<String, Arc<Quota>>,
    warming: warm::Warming,
    readiness: Readiness,
    last_reload: Option<LastReload>,
    started: Instant,
    commands: mpsc::Receiver<Command>,
    admin: Option<JoinHandle<()>>,
}

/// An address with new sockets, one for each worker.
struct Bound {
    listener: String,
    address: Address,
    number: usize,
    sockets: Vec<Socket>,
    file: Option<SocketFile>,
}

impl App {
    async fn start(config: Config, name: String, file: Option<PathBuf>, log: Option<ProcessLog>) -> Result<App, Error> {
        match limits::raise_open_files() {
            Ok(files) => info!(before = files.before, now = files.after, "limit on open files"),
            Err(error) => warn!(%error, "the limit on open files stays as it was"),
        }
        let state = Arc::new(State::default());
        let access =
            AccessLog::open(&config.log, state.registry.access_log()).map_err(Error::system("`log.access_file` can not be written"))?;
        let hosts = config.admin.as_ref().map_or_else(Arc::default, |admin| admin.hosts.as_slice().into());
        let admin = config.admin.as_ref().map(|admin| {
            Admin::bind(admin.address).map_err(|error| Error::bind("admin.address".to_owned(), error.address.into(), error.source))
        });
        let admin = admin.transpose()?;
        let bound = bind_new(&config, &state, &HashMap::new())?;

        tell_of_passing_secrets(&config, None);
        let mut discovery = Discovery::default();
        state.follow(discovery::keys(&config));
        discovery.follow(&config);
        first_lookups(&mut discovery, &state).await;
        let current = Arc::new(Current::new(table::build(&config, &state, None)));
        let setup = Setup { current: current.clone(), state: state.clone(), access: access.clone() };
        let workers = Workers::start(config.server.workers, &setup).map_err(Error::system("the workers can not start"))?;
        let mut certificates = Certificates::new(&name);
        certificates.follow(&config);
        let generation = 1;
        state.registry.loaded(generation);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let readiness = Readiness::default();
        let admin = admin.map(|admin| {
            let (in_force, known, files) = (current.clone(), state.clone(), certificates.known());
            let sources = Sources {
                registry: state.registry.clone(),
                hosts,
                readiness: readiness.clone(),
                commands: sender,
                pools: Arc::new(move || account::samples(&in_force.load())),
                names: Arc::new(move || names(&known)),
                certificates: Arc::new(move || files.samples()),
            };
            info!(address = %admin.address(), "admin listens");
            #[expect(clippy::disallowed_methods, reason = "this is not the data path, and the handle is kept and aborted at the end")]
            tokio::spawn(serve_admin(admin, sources))
        });
        let mut app = App {
            config,
            generation,
            name,
            file,
            log,
            access,
            state,
            current,
            discovery,
            certificates,
            workers,
            probes: Probes::default(),
            listening: HashMap::new(),
            files: HashMap::new(),
            quotas: HashMap::new(),
            warming: warm::Warming::default(),
            readiness,
            last_reload: None,
            started: Instant::now(),
            commands,
            admin,
        };
        app.listen(bound);
        app.probe();
        if let Some(order) = warm::at_start(&app.config, app.file.as_deref()) {
            app.warm(order);
        }
        app.readiness.advance(Stage::Ready);
        Ok(app)
    }

    /// Until a drain is over, or cut short.
    async fn run(mut self, mut signals: Signals, mut watch: Option<Watch<Contents>>) -> Result<(), Error> {
        let mut upkeep = tokio::time::interval(Duration::from_secs(1));
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut phase = Phase::Serving;
        let mut ended = Ok(());
        loop {
            let look = match phase {
                Phase::Serving => None,
                Phase::Announced { until } => Some(until),
                Phase::Draining { .. } => Some(Instant::now() + DRAIN_LOOK),
            };
            tokio::select! {
                event = signals.next() => match event {
                    Event::Drain => phase = self.announce(),
                    Event::End => {
                        warn!("told to end at once");
                        break;
                    }
                    Event::Reload => drop(self.reload().await),
                    Event::ReopenLogs => self.reopen(),
                },
                contents = changed(&mut watch) => drop(self.apply(contents).await),
                news = self.discovery.next() => self.hear(&news),
                () = self.certificates.changed() => self.renew_certificates(),
                Some(command) = self.commands.recv() => self.obey(command).await,
                _ = upkeep.tick() => {
                    self.state.registry.upkeep();
                    self.state.each_cache().iter().for_each(|cache| cache.report());
                    self.warming.look_back(&self.state);
                    verbs::readmit(&self.current.load());
                    self.current.load().pools.iter().for_each(|pool| pool.ward.tick(std::time::Instant::now()));
                    self.listening.values().for_each(|listening| listening.look_back());
                    if self.workers.standings().iter().all(|worker| !worker.up) {
                        // Whoever watches over the process starts it again.
                        ended = Err(Error::NoWorkers);
                        break;
                    }
                }
                () = at(look) => match phase {
                    Phase::Serving => {}
                    Phase::Announced { .. } => phase = self.drain(),
                    Phase::Draining { until } => {
                        let open: usize = self.workers.standings().iter().map(|worker| worker.connections).sum();
                        if open == 0 {
                            info!("drained");
                            break;
                        }
                        if Instant::now() >= until {
                            warn!(connections = open, "the time to drain is over: what is still open is closed");
                            break;
                        }
                    }
                },
            }
        }
        self.workers.end();
        warm::remember(&self.config, self.file.as_deref(), &self.state);
        if let Some(admin) = self.admin {
            admin.abort();
        }
        if !self.access.close(LOG_CLOSE) {
            warn!("the last lines of the access log could not be written in time");
        }
        ended
    }

    /// Load balancers in front are told first, and get their time to look elsewhere.
    fn announce(&self) -> Phase {
        self.readiness.advance(Stage::Draining);
        let delay = self.config.server.drain_delay;
        self.warming.stop("the process ends");
        info!(delay = ?delay, "draining: not ready any more, still serving everything");
        Phase::Announced { until: Instant::now() + delay }
    }

    fn drain(&mut self) -> Phase {
        let timeout = self.config.server.drain_timeout;
        info!(timeout = ?timeout, "draining: nothing new is accepted, what runs is finished");
        self.files.clear();
        self.workers.drain();
        Phase::Draining { until: Instant::now() + timeout }
    }

    fn reopen(&self) {
        match self.access.reopen() {
            Ok(()) => info!("access log opened again"),
            Err(error) => error!(%error, "the access log can not be opened again; the old file stays in use"),
        }
    }

    async fn obey(&mut self, command: Command) {
        // Whoever asked may have gone; then the answer is for nobody.
        match command {
            Command::Reload { reply } => drop(reply.send(self.reload().await)),
            Command::Status { reply } => drop(reply.send(self.status())),
            Command::Purge { order, reply } => drop(reply.send(self.purge(&order))),
            Command::Warm { order, reply } => drop(reply.send(self.warm(order))),
            Command::Warmed { reply } => drop(reply.send(self.warming.report())),
            Command::StopWarming { reply } => drop(reply.send(self.warming.stop("it was told to end"))),
            Command::Kept { query, reply } => drop(reply.send(kept::report(&query, &self.state.each_cache()))),
            Command::Tell { order, reply } => drop(reply.send(self.tell(&order))),
        }
    }

    /// Answers taken out of the caches. A walk through all that is kept, on this thread: workers go on meanwhile.
    fn purge(&self, order: &PurgeOrder) -> VerbReport {
        let caches = self.state.each_cache();
        let meant: Vec<_> = caches.iter().filter(|cache| order.cache.as_ref().is_none_or(|name| **name == *cache.name)).collect();
        if meant.is_empty() {
            let report = match &order.cache {
                Some(name) => format!("there is no cache `{name}`"),
                None => "there is no cache".to_owned(),
            };
            return VerbReport { ok: false, report };
        }
        let met: usize = meant.iter().map(|cache| order.purge.carry_out(cache)).sum();
        info!(entries = met, order = ?order, "purged by hand");
        let done = if order.purge.soft { "made stale" } else { "purged" };
        VerbReport { ok: true, report: format!("{done}: {met} entries") }
    }

    fn warm(&mut self, order: WarmOrder) -> VerbReport {
        if self.readiness.stage() == Stage::Draining {
            return VerbReport { ok: false, report: "draining: nothing is fetched any more".to_owned() };
        }
        self.warming.begin(order, &self.config, &self.current.load(), &self.state, &self.workers)
    }

    fn tell(&mut self, order: &Order) -> VerbReport {
        match verbs::carry_out(order, &self.config, &self.current.load(), &self.state) {
            Ok(report) => {
                self.renew_table();
                VerbReport { ok: true, report }
            }
            Err(unknown) => unknown.into(),
        }
    }

    /// Reads the file again, changed or not.
    async fn reload(&mut self) -> ReloadReport {
        match &self.file {
            Some(file) => {
                let contents = config::read(file);
                self.apply(contents).await
            }
            None => ReloadReport {
                ok: false,
                report: "there is no file to read again: the configuration came from the command line".to_owned(),
            },
        }
    }

    /// Puts a text in force, or refuses it whole.
    async fn apply(&mut self, contents: Result<String, Report>) -> ReloadReport {
        if self.readiness.stage() == Stage::Draining {
            return ReloadReport { ok: false, report: "draining: the configuration does not change any more".to_owned() };
        }
        let result = contents.and_then(|text| config::parse_over(&text, &self.name, &self.config)).map_err(|report| {
            report.lines().for_each(|line| error!("{line}"));
            report.to_string()
        });
        let result = match result {
            Ok((config, warnings)) => {
                warnings.lines().for_each(|line| warn!("{line}"));
                self.replace(config).await.map_err(|error| {
                    let report = describe(&error);
                    error!("{report}");
                    report
                })
            }
            Err(report) => Err(report),
        };
        let when = Timestamp::now();
        match result {
            Ok(report) => {
                self.generation += 1;
                self.state.registry.reloaded(self.generation);
                self.last_reload = Some(LastReload { when, ok: true, error: None });
                report.lines().for_each(|line| info!("reload: {line}"));
                ReloadReport { ok: true, report }
            }
            Err(report) => {
                self.state.registry.reload_refused();
                self.last_reload = Some(LastReload { when, ok: false, error: Some(report.clone()) });
                error!(generation = self.generation, "reload refused: the configuration before it stays in force");
                ReloadReport { ok: false, report }
            }
        }
    }

    /// What can fail comes first, so that a refusal leaves nothing half done.
    async fn replace(&mut self, mut config: Config) -> Result<String, Error> {
        self.certificates.hold(&mut config, Timestamp::now());
        let changes = config::diff(&self.config, &config);
        let bound = bind_new(&config, &self.state, &self.listening)?;
        if config.log != self.config.log {
            self.access.reconfigure(&config.log).map_err(Error::system("`log.access_file` can not be written"))?;
            if let Some(log) = &self.log {
                log.set_level(config.log.level);
            }
        }
        // These wait for a restart: what is in force is what was there at the start.
        config.server.workers = self.config.server.workers;
        config.admin.clone_from(&self.config.admin);
        // With the addresses of new names, where they can be had: else an edit from addresses to a name would cost requests.
        self.discovery.follow(&config);
        first_lookups(&mut self.discovery, &self.state).await;
        tell_of_passing_secrets(&config, Some(&self.config));
        // Before the names that are followed no more are forgotten: what they stood for tells what the edit changes.
        let undone = verbs::end_touched(&self.config, &config, &self.state);
        self.state.follow(discovery::keys(&config));
        self.config = config;
        self.certificates.follow(&self.config);
        self.renew_table();
        if !changes.is_empty() {
            self.warming.stop("the configuration has changed");
        }
        self.close_removed();
        self.listen(bound);
        Ok(std::iter::once(changes.to_string()).chain(undone).collect::<Vec<_>>().join("\n"))
    }

    /// A lookup has ended: new addresses come and old ones go as if the file had been edited.
    fn hear(&mut self, news: &News) {
        let change = self.state.learn(news);
        if change.is_felt() {
            self.renew_table();
        }
        // What is said to be so is so: nobody who reads it can meet the old addresses any more.
        tell(news, &change, &self.state);
    }

    /// What the files of certificates have now is put in force, where it can be used.
    fn renew_certificates(&mut self) {
        let now = Timestamp::now();
        let verdicts = self.certificates.judge(now);
        let mut replaced = false;
        for (credential, verdict) in &verdicts {
            if let Verdict::Replace(found) = verdict {
                config::certificates::put(&mut self.config, credential, found);
                replaced = true;
            }
        }
        if replaced {
            self.renew_table();
        }
        // What is said to be so is so, as with names.
        self.certificates.learn(verdicts, now);
    }

    /// From the configuration in force and what is known now.
    fn renew_table(&mut self) {
        self.current.replace(table::build(&self.config, &self.state, Some(&self.current.load())));
        self.probe();
    }

    /// Probes what the table in force says, and looks at each pool with its new eyes.
    fn probe(&mut self) {
        let table = self.current.load();
        self.probes.follow(table.pools.iter().filter_map(|pool| {
            let check = pool.health.clone()?;
            let peers = pool.tls.as_ref().map(|tls| tls.peers.clone()).unwrap_or_default();
            Some(Checked { pool: pool.name.clone(), set: pool.set.clone(), ward: pool.ward.clone(), check, peers })
        }));
        table.pools.iter().for_each(|pool| pool.ward.look());
    }

    /// Serves what was bound, and lets addresses and limits follow the configuration.
    fn listen(&mut self, bound: Vec<Bound>) {
        let mut before = std::mem::take(&mut self.quotas);
        let kept: Vec<_> = self.config.listeners.iter().filter_map(|listener| before.remove_entry(&listener.name)).collect();
        self.quotas.extend(kept);
        for listener in &self.config.listeners {
            let seats: Vec<_> = seats(listener, &self.state).filter_map(|(number, _)| self.listening.get(&number)).collect();
            // One that was only renamed goes on counting its connections.
            let quota = match self.quotas.get(&listener.name) {
                Some(quota) => quota.clone(),
                None => seats.iter().find_map(|seat| before.remove(&*seat.owner().name)).unwrap_or_else(|| Arc::new(Quota::new(0))),
            };
            quota.set_most(listener.limits.connections);
            for seat in seats {
                let owner = seat.owner().name;
                if *owner != *listener.name {
                    info!(from = %owner, to = %listener.name, address = %seat.address, "an address goes to another listener");
                }
                if let Some((file, mode)) = self.files.get(&seat.number).zip(listener.socket_mode)
                    && let Err(error) = file.set_mode(mode)
                {
                    warn!(listener = %listener.name, address = %seat.address, %error, "the mode of a socket stays as it was");
                }
                seat.assign(Owner { name: listener.name.as_str().into(), quota: quota.clone() });
            }
            self.quotas.insert(listener.name.clone(), quota);
        }
        for Bound { listener, address, number, sockets, file } in bound {
            info!(%listener, %address, "listening");
            let quota = self.quotas[&listener].clone();
            let listening = Arc::new(Listening::new(number, address, Owner { name: listener.into(), quota }));
            self.workers.listen(&listening, sockets);
            self.listening.insert(number, listening);
            self.files.extend(file.map(|file| (number, file)));
        }
    }

    fn close_removed(&mut self) {
        let wanted: Vec<usize> =
            self.config.listeners.iter().flat_map(|listener| seats(listener, &self.state)).map(|(number, _)| number).collect();
        self.listening.retain(|number, listening| {
            let keep = wanted.contains(number);
            if !keep {
                info!(listener = %listening.owner().name, address = %listening.address, "no longer listening");
                self.files.remove(number);
                self.workers.close(listening);
            }
            keep
        });
    }

    fn status(&self) -> Status {
        let table = self.current.load();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            stage: self.readiness.stage(),
            uptime_seconds: self.started.elapsed().as_secs(),
            config_file: self.file.clone(),
            generation: self.generation,
            last_reload: self.last_reload.clone(),
            workers: (self.workers.standings().into_iter().enumerate())
                .map(|(index, worker)| WorkerStatus { index, up: worker.up, connections: worker.connections as u64 })
                .collect(),
            listeners: (self.config.listeners.iter())
                .map(|listener| ListenerStatus { name: listener.name.clone(), addresses: listener.addresses.clone() })
                .collect(),
            pools: (table.pools.iter().zip(&self.config.pools)).map(|(pool, spec)| pool_status(pool, spec, &self.state)).collect(),
            certificates: self.certificates.known().status(),
            access_log_dropped: self.access.dropped(),
            access_log_lost: self.access.lost(),
        }
    }
}

/// Where the process is on its way out.
enum Phase {
    Serving,
    /// Not ready any more, serving until then.
    Announced {
        until: Instant,
    },
    /// Finishing, until then at the latest.
    Draining {
        until: Instant,
    },
}

/// An error with its causes, in one line.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Sockets for what `listening` does not have yet. An address that only moves from one listener to another keeps those it has.
fn bind_new(config: &Config, state: &State, listening: &HashMap<usize, Arc<Listening>>) -> Result<Vec<Bound>, Error> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        for (number, address) in seats(listener, state).filter(|(number, _)| !listening.contains_key(number)) {
            match listen::bind(&address, listener.socket_mode, config.server.workers) {
                Ok(listen::Bound { sockets, file }) => {
                    bound.push(Bound { listener: listener.name.clone(), address, number, sockets, file })
                }
                Err(BindError { address, source }) => {
                    return Err(Error::bind(format!("listen.{}.address", listener.name), address, source));
                }
            }
        }
    }
    Ok(bound)
}

/// The addresses of a listener, each with its number.
fn seats(listener: &Listener, state: &State) -> impl Iterator<Item = (usize, Address)> {
    listener.addresses.iter().map(|address| (state.seat(&listener.name, address), address.clone()))
}

/// A restart forgets sessions whose secret is in no file.
fn tell_of_passing_secrets(config: &Config, before: Option<&Config>) {
    let is_passing = |pool: &&model::Pool| pool.sticky.as_ref().is_some_and(|sticky| sticky.secret.is_none());
    let was_told = |pool: &model::Pool| before.is_some_and(|old| old.pools.iter().filter(is_passing).any(|old| old.name == pool.name));
    for pool in config.pools.iter().filter(is_passing).filter(|pool| !was_told(pool)) {
        info!(pool = %pool.name, "sticky sessions are signed with a secret of this process, and a restart forgets them: see `secret_file`");
    }
}

/// Waits for the first addresses of new names, as long as that may take.
async fn first_lookups(discovery: &mut Discovery, state: &State) {
    let settled = async {
        while discovery.is_unsettled() {
            let news = discovery.next().await;
            tell(&news, &state.learn(&news), state);
        }
    };
    // What is not there by then comes later, by the same way.
    let _ = tokio::time::timeout(FIRST_LOOKUPS, settled).await;
}

/// Says how a lookup ended, where somebody should know.
fn tell(news: &News, change: &Change, state: &State) {
    let (pool, name) = (&news.key.pool, &news.key.name);
    let known = state.found(pool, name).len();
    if let (true, Some(trouble)) = (change.fell, trouble(news)) {
        match known {
            0 => warn!(%pool, %name, %trouble, "a name can not be resolved: its pool waits for it"),
            _ => warn!(%pool, %name, %trouble, addresses = known, "a name can not be resolved: its last addresses stay"),
        }
    }
    if change.recovered {
        info!(%pool, %name, "a name can be resolved again");
    }
    if change.is_felt() {
        let (added, removed) = (&change.added, &change.removed);
        info!(%pool, %name, ?added, ?removed, addresses = known, "a name has other addresses");
    }
    if let Some(left_out) = change.capped {
        warn!(%pool, %name, addresses = known, left_out, "a name has too many addresses: not all are used");
    }
}

fn trouble(news: &News) -> Option<&discovery::Trouble> {
    match &news.heard {
        Ok(heard) => heard.missing.as_ref(),
        Err(trouble) => Some(trouble),
    }
}

fn names(state: &State) -> Vec<NameSample> {
    let mut names: Vec<_> = (state.resolutions().into_iter())
        .map(|(key, resolution)| NameSample {
            pool: key.pool,
            name: key.name.to_string(),
            addresses: resolution.found.len(),
            resolved: resolution.trouble.is_none() && resolution.looked.is_some(),
            failures: resolution.failures,
        })
        .collect();
    names.sort_by(|a, b| (&a.pool, &a.name).cmp(&(&b.pool, &b.name)));
    names
}

fn names_status(pool: &str, state: &State) -> Vec<NameStatus> {
    let of_pool = state.resolutions().into_iter().filter(|(key, _)| key.pool == pool);
    let mut names: Vec<_> = of_pool
        .map(|(key, resolution)| NameStatus {
            name: key.name.to_string(),
            result: match (&resolution.trouble, resolution.looked) {
                (Some(trouble), _) => trouble.to_string(),
                (None, Some(_)) => "ok".to_owned(),
                (None, None) => "looking".to_owned(),
            },
            addresses: resolution.found.len(),
            failures: resolution.failures,
            looked: resolution.looked,
            next: resolution.next,
        })
        .collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    names
}

/// `spec`: what the file says of it.
fn pool_status(pool: &table::Pool, spec: &model::Pool, state: &State) -> PoolStatus {
    let weights: HashMap<Address, u32> = verbs::weights(spec, state).collect();
    let drift = |backend: &Backend| verbs::drift(backend, weights.get(&backend.address).copied().unwrap_or(1));
    let backends = pool.set.members.iter().map(|member| account::status(member, pool.set.slow_start, drift(&member.backend)));
    PoolStatus {
        name: pool.name.to_string(),
        algorithm: pool.algorithm.as_str().to_owned(),
        fail_open: pool.ward.fails_open(),
        backends: backends.collect(),
        names: names_status(&pool.name, state),
    }
}

async fn serve_admin(admin: Admin, sources: Sources) {
    // It stays up to the very end, so that a drain can be watched.
    if let Err(error) = admin.serve(sources, std::future::pending()).await {
        error!(%error, "the admin listener ended");
    }
}

/// What the file says now, each time it changes; without a file, never.
async fn changed(watch: &mut Option<Watch<Contents>>) -> Contents {
    let told = match watch {
        Some(watch) => watch.changed().await,
        None => None,
    };
    match told.and_then(|mut told| told.pop()) {
        Some(contents) => contents,
        None => std::future::pending().await,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn status_shows_a_worker_that_failed_and_without_any_the_process_ends() {
        let text = "[server]\nworkers = 2\n[listen.web]\naddress = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
                    [[route]]\nrespond = { body = \"x\" }";
        let (config, _) = config::parse(text, "test").unwrap_or_else(|report| panic!("{report}"));
        let app = App::start(config, "test".to_owned(), None, None).await.unwrap_or_else(|error| panic!("{error}"));
        let up = |app: &App| app.status().workers.iter().map(|worker| worker.up).collect::<Vec<_>>();
        assert_eq!(up(&app), [true, true]);
        app.workers.fail(1);
        let deadline = Instant::now() + Duration::from_secs(10);
        while up(&app) != [true, false] {
            assert!(Instant::now() < deadline, "{:?}", up(&app));
            tokio::task::yield_now().await;
        }
        app.workers.fail(0);
        let signals = Signals::install().expect("signals");
        let ended = tokio::time::timeout(Duration::from_secs(10), app.run(signals, None)).await.expect("it ends by itself");
        assert!(matches!(ended, Err(Error::NoWorkers)), "{ended:?}");
    }
}
