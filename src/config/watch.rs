//! Waits for files to have other contents: the configuration's own, and those that it names.
//!
//! Contents decide, events only wake: editors rename, Kubernetes swaps a symlink two hops away, a network file system tells nothing
//! at all. So the directories along the paths are watched (never the files: their inodes are what a rename replaces), the files are also
//! read every two seconds, and a change counts once two reads in a row agree: a half-written file is not a configuration.
//!
//! Each `Subject` settles by itself, so that one that never comes to rest does not keep the others waiting.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::report::Report;

/// Between two reads that must agree.
const QUIET: Duration = Duration::from_millis(250);
/// Without an event. It finds what events cannot tell: a directory that was replaced, a file system without events.
const POLL: Duration = Duration::from_secs(2);
/// As the kernel: a longer chain of symlinks is a loop.
const LINKS_MAX: usize = 40;

/// What a read of the configuration gave: its text, or why there is none.
pub type Contents = Result<String, Report>;

/// Something that is made of files.
pub struct Subject<T> {
    /// Absolute.
    pub paths: Vec<PathBuf>,
    /// What they have now; called in a thread of the watch's own.
    pub read: Box<dyn FnMut() -> T + Send>,
    /// What the caller has acted on: a change since then is told at once.
    pub known: T,
}

impl Subject<Contents> {
    /// The configuration in this file.
    pub fn configuration(path: &Path, known: String) -> std::io::Result<Subject<Contents>> {
        let path = std::path::absolute(path)?;
        Ok(Subject { paths: vec![path.clone()], read: Box::new(move || super::read(&path)), known: Ok(known) })
    }
}

/// Subjects under watch, until this is dropped. Only the newest contents are kept for a reader who is late.
pub struct Watch<T> {
    told: watch::Receiver<Vec<T>>,
    signal: Arc<Signal>,
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Watch<T> {
    /// `name`: of the thread that reads. Fails only where none can be started.
    pub fn start(name: &str, subjects: Vec<Subject<T>>) -> std::io::Result<Watch<T>> {
        let signal = Arc::new(Signal::default());
        Watch::observing(name, subjects, Directories::new(signal.clone()), signal)
    }

    fn observing(name: &str, subjects: Vec<Subject<T>>, directories: Directories, signal: Arc<Signal>) -> std::io::Result<Watch<T>> {
        let (sender, told) = watch::channel(subjects.iter().map(|subject| subject.known.clone()).collect());
        let observer =
            Observer { subjects: subjects.into_iter().map(Observed::of).collect(), directories, signal: signal.clone(), told: sender };
        // Not joined: a read from a dead network file system can hang, and must not hang the shutdown with it.
        std::thread::Builder::new().name(name.into()).spawn(|| observer.run())?;
        Ok(Watch { told, signal })
    }

    /// What each subject has now, in their order, once one differs from what was told last (that it cannot be read is told once, too);
    /// `None` when nothing will ever come. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<Vec<T>> {
        self.told.changed().await.ok()?;
        Some(self.told.borrow_and_update().clone())
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.signal.stop();
    }
}

/// The thread that reads.
struct Observer<T> {
    subjects: Vec<Observed<T>>,
    directories: Directories,
    signal: Arc<Signal>,
    told: watch::Sender<Vec<T>>,
}

struct Observed<T> {
    subject: Subject<T>,
    /// By the last read.
    seen: T,
}

/// What came of reading all subjects once.
#[derive(PartialEq)]
enum Round {
    Same,
    Told,
    /// Something has changed, and another read has to confirm it.
    Unsettled,
}

impl<T: Clone + PartialEq> Observer<T> {
    fn run(mut self) {
        let mut round = Round::Same;
        loop {
            let unsettled = round == Round::Unsettled;
            // Before the reads: what changes after them is then sure to wake us.
            self.directories.follow(self.subjects.iter().flat_map(|observed| &observed.subject.paths));
            round = self.look();
            // A log that grows beside a file wakes us without end; the pause after a round without news bounds what that costs.
            let pause = match round {
                Round::Unsettled => true,
                Round::Same => !unsettled,
                Round::Told => false,
            };
            if pause && self.signal.pause(QUIET) {
                return;
            }
            if round != Round::Unsettled && self.signal.wait(POLL) {
                return;
            }
        }
    }

    fn look(&mut self) -> Round {
        let mut round = Round::Same;
        let mut settled = Vec::new();
        for (at, observed) in self.subjects.iter_mut().enumerate() {
            let again = (observed.subject.read)();
            // Else an edit was taken back, or nothing has happened.
            if again != observed.subject.known {
                if again == observed.seen {
                    observed.subject.known = again.clone();
                    settled.push((at, again.clone()));
                } else {
                    round = Round::Unsettled;
                }
            }
            observed.seen = again;
        }
        if !settled.is_empty() {
            self.told.send_modify(|told| settled.into_iter().for_each(|(at, contents)| told[at] = contents));
            if round == Round::Same {
                round = Round::Told;
            }
        }
        round
    }
}

impl<T: Clone> Observed<T> {
    fn of(subject: Subject<T>) -> Observed<T> {
        Observed { seen: subject.known.clone(), subject }
    }
}

/// The directories in which a rename or a symlink swap can change what the path leads to.
struct Directories {
    /// `None`: the system has no events to give; polling alone finds changes.
    watcher: Option<RecommendedWatcher>,
    /// With device and inode: another directory under the same name has to be watched anew.
    watched: HashMap<PathBuf, (u64, u64)>,
}

impl Directories {
    fn new(signal: Arc<Signal>) -> Directories {
        let wake = move |event: notify::Result<notify::Event>| {
            // Our own reads are events as well. Everything else wakes: an overflow or an error may hide a change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                signal.wake();
            }
        };
        let watcher = notify::recommended_watcher(wake).inspect_err(|error| tracing::warn!(%error, "no file events, files are polled"));
        Directories { watcher: watcher.ok(), watched: HashMap::new() }
    }

    /// Watches the directories that the paths lead through now, and no others.
    fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let directories: HashSet<PathBuf> = paths.flat_map(|path| directories(path)).collect();
        let wanted: HashMap<PathBuf, (u64, u64)> = directories
            .into_iter()
            .filter_map(|directory| {
                let metadata = std::fs::metadata(&directory).ok()?;
                Some((directory, (metadata.dev(), metadata.ino())))
            })
            .collect();
        // A directory that is gone has taken its watch along, and a refusal (too many watches) leaves us polling: neither is an error.
        self.watched.retain(|directory, identity| {
            let keep = wanted.get(directory) == Some(identity);
            if !keep {
                let _ = watcher.unwatch(directory);
            }
            keep
        });
        for (directory, identity) in wanted {
            if !self.watched.contains_key(&directory) && watcher.watch(&directory, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(directory, identity);
            }
        }
    }
}

/// The parent directory of the file, and of every symlink on the way to it.
fn directories(path: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut here = PathBuf::new();
    let mut ahead: VecDeque<OsString> = parts(path);
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::RootDir | Component::Prefix(_)) => here = PathBuf::from(&part),
            Some(Component::ParentDir) => drop(here.pop()),
            Some(Component::Normal(_)) => {
                let target = std::fs::read_link(here.join(&part)).ok().filter(|_| links < LINKS_MAX);
                if target.is_some() || ahead.is_empty() {
                    directories.push(here.clone());
                }
                match target {
                    Some(target) => {
                        links += 1;
                        let rest = std::mem::replace(&mut ahead, parts(&target));
                        ahead.extend(rest);
                    }
                    None => here.push(&part),
                }
            }
            Some(Component::CurDir) | None => {}
        }
    }
    directories.sort();
    directories.dedup();
    directories
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components().map(|component| component.as_os_str().to_owned()).collect()
}

/// Wakes the observer, or stops it.
#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    stopped: bool,
}

impl Signal {
    fn wake(&self) {
        self.set(|state| state.woken = true);
    }

    fn stop(&self) {
        self.set(|state| state.stopped = true);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Until woken, or for this long; true: stopped.
    fn wait(&self, timeout: Duration) -> bool {
        self.until(timeout, |state| std::mem::take(&mut state.woken))
    }

    /// For this long, woken or not; true: stopped.
    fn pause(&self, timeout: Duration) -> bool {
        self.until(timeout, |_| false)
    }

    fn until(&self, timeout: Duration, mut over: impl FnMut(&mut State) -> bool) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stopped || over(&mut state) {
                return state.stopped;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Far above `POLL` and two `QUIET`s, for a machine that is busy with other tests.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn started(path: &Path, known: &str) -> Watch<Contents> {
        Watch::start("watch", vec![Subject::configuration(path, known.to_owned()).unwrap()]).unwrap()
    }

    async fn next(watch: &mut Watch<Contents>) -> Contents {
        let told = tokio::time::timeout(DEADLINE, watch.changed()).await.expect("a change within the deadline");
        told.expect("the watch lives").pop().expect("a subject")
    }

    async fn expect_text(watch: &mut Watch<Contents>, text: &str) {
        assert_eq!(next(watch).await.as_deref().ok(), Some(text));
    }

    /// A file with contents `one`, under watch.
    fn watched(directory: &Path) -> (PathBuf, Watch<Contents>) {
        let path = directory.join("tidegate.toml");
        fs::write(&path, "one").unwrap();
        let watch = started(&path, "one");
        (path, watch)
    }

    #[tokio::test]
    async fn a_write_in_place_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut watch) = watched(directory.path());
        fs::write(&path, "two").unwrap();
        expect_text(&mut watch, "two").await;
        fs::write(&path, "two").unwrap();
        fs::write(&path, "three").unwrap();
        expect_text(&mut watch, "three").await;
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_seen_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut watch) = watched(directory.path());
        for text in ["two", "three", "four"] {
            let temporary = directory.path().join(".tidegate.toml.swp");
            fs::write(&temporary, text).unwrap();
            fs::rename(&temporary, &path).unwrap();
            expect_text(&mut watch, text).await;
        }
    }

    #[tokio::test]
    async fn the_symlink_swap_of_a_config_map_is_seen_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path();
        let publish = |version: &str| {
            fs::create_dir(mount.join(format!("..{version}"))).unwrap();
            fs::write(mount.join(format!("..{version}/tidegate.toml")), version).unwrap();
            symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
            fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        };
        publish("one");
        symlink("..data/tidegate.toml", mount.join("tidegate.toml")).unwrap();
        let mut watch = started(&mount.join("tidegate.toml"), "one");
        for (version, gone) in [("two", "..one"), ("three", "..two")] {
            publish(version);
            fs::remove_dir_all(mount.join(gone)).unwrap();
            expect_text(&mut watch, version).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_truncated_and_then_written_is_told_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut watch) = watched(directory.path());
        let (mut text, mut slowest) = (String::new(), Duration::ZERO);
        for piece in ["", "two ", "words ", "and ", "more"] {
            let before = Instant::now();
            text += piece;
            fs::write(&path, &text).unwrap();
            // Slower than a read, quicker than QUIET: a writer that takes its time.
            tokio::time::sleep(QUIET / 5).await;
            slowest = slowest.max(before.elapsed());
        }
        loop {
            let told = next(&mut watch).await.unwrap();
            if told == text {
                break;
            }
            assert!(slowest >= QUIET, "told `{told}` although no pause was longer than {slowest:?}");
        }
    }

    #[tokio::test]
    async fn a_deleted_file_is_told_once_and_picked_up_when_it_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut watch) = watched(directory.path());
        fs::remove_file(&path).unwrap();
        let report = next(&mut watch).await.unwrap_err();
        assert!(report.to_string().contains("there is no such file"), "{report}");
        fs::write(&path, "two").unwrap();
        expect_text(&mut watch, "two").await;
    }

    #[tokio::test]
    async fn a_directory_that_is_replaced_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let (_, mut watch) = watched(&etc);
        for text in ["two", "three"] {
            fs::rename(&etc, directory.path().join(format!("before-{text}"))).unwrap();
            fs::create_dir(&etc).unwrap();
            fs::write(etc.join("tidegate.toml"), text).unwrap();
            // The moment without a file may or may not be seen.
            let contents = match next(&mut watch).await {
                Err(_) => next(&mut watch).await,
                contents => contents,
            };
            assert_eq!(contents.as_deref().ok(), Some(text));
        }
    }

    #[tokio::test]
    async fn polling_alone_finds_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.toml");
        fs::write(&path, "one").unwrap();
        let directories = Directories { watcher: None, watched: HashMap::new() };
        let subject = Subject::configuration(&path, "one".to_owned()).unwrap();
        let mut watch = Watch::observing("watch", vec![subject], directories, Arc::default()).unwrap();
        fs::write(&path, "two").unwrap();
        expect_text(&mut watch, "two").await;
    }

    #[tokio::test]
    async fn one_that_never_rests_does_not_hold_up_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let quiet = directory.path().join("quiet");
        fs::write(&quiet, "one").unwrap();
        let mut reads = 0;
        let restless = Subject {
            paths: vec![directory.path().join("restless")],
            read: Box::new(move || {
                reads += 1;
                Ok(reads.to_string())
            }),
            known: Ok("one".to_owned()),
        };
        let subjects = vec![restless, Subject::configuration(&quiet, "one".to_owned()).unwrap()];
        let mut watch = Watch::start("watch", subjects).unwrap();
        fs::write(&quiet, "two").unwrap();
        let told = tokio::time::timeout(DEADLINE, watch.changed()).await.expect("within the deadline").expect("the watch lives");
        assert_eq!(told, [Ok("one".to_owned()), Ok("two".to_owned())]);
    }

    #[tokio::test]
    async fn a_change_before_the_start_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.toml");
        fs::write(&path, "two").unwrap();
        let mut watch = started(&path, "one");
        expect_text(&mut watch, "two").await;
    }

    #[test]
    fn dropping_ends_the_thread() {
        let directory = tempfile::tempdir().unwrap();
        let (_, watch) = watched(directory.path());
        let contents = watch.told.clone();
        drop(watch);
        let end = Instant::now() + DEADLINE;
        // The observer holds the sender: once it is gone, so is the thread.
        while contents.has_changed().is_ok() {
            assert!(Instant::now() < end, "the thread outlives its watch");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn every_hop_has_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["etc", "srv", "srv/deep"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("srv/deep/real.toml"), "").unwrap();
        symlink("../srv/./link.toml", root.join("etc/tidegate.toml")).unwrap();
        symlink(root.join("srv/deep/real.toml"), root.join("srv/link.toml")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (path, expected) in [
            ("srv/deep/real.toml", vec!["srv/deep"]),
            ("etc/tidegate.toml", vec!["etc", "srv", "srv/deep"]),
            ("etc/missing.toml", vec!["etc"]),
            ("loop", vec![""]),
        ] {
            let expected: Vec<PathBuf> = expected.into_iter().map(|name| root.join(name).components().collect()).collect();
            assert_eq!(directories(&root.join(path)), expected, "{path}");
        }
    }
}
