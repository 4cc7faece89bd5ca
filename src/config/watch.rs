//! Waits for the configuration file to have other contents.
//!
//! Contents decide, events only wake: editors rename, Kubernetes swaps a symlink two hops away, a network file system tells nothing
//! at all. So the directories along the path are watched (never the file: its inode is what a rename replaces), the file is also
//! read every two seconds, and a change counts once two reads in a row agree: a half-written file is not a configuration.

use std::collections::HashMap;
use std::collections::VecDeque;
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

/// What a read of the file gave: its text, or why there is none.
pub type Contents = Result<String, Report>;

/// A file under watch, until this is dropped. Only the newest contents are kept for a reader who is late.
pub struct Watch {
    contents: watch::Receiver<Contents>,
    signal: Arc<Signal>,
}

impl Watch {
    /// `known`: the contents that the caller has acted on; a change since then is told at once.
    /// Fails only where no thread can be started.
    pub fn start(path: &Path, known: String) -> std::io::Result<Watch> {
        let path = std::path::absolute(path)?;
        let (sender, contents) = watch::channel(Ok(known));
        let signal = Arc::new(Signal::default());
        let observer = Observer { directories: Directories::new(signal.clone()), path, signal: signal.clone(), contents: sender };
        // Not joined: a read from a dead network file system can hang, and must not hang the shutdown with it.
        std::thread::Builder::new().name("config-watch".into()).spawn(|| observer.run())?;
        Ok(Watch { contents, signal })
    }

    /// The file's contents once they differ from those told last (a deleted or unreadable file is told once, too); `None` when
    /// nothing will ever come. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<Contents> {
        self.contents.changed().await.ok()?;
        Some(self.contents.borrow_and_update().clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.signal.stop();
    }
}

/// The thread that reads.
struct Observer {
    path: PathBuf,
    directories: Directories,
    signal: Arc<Signal>,
    contents: watch::Sender<Contents>,
}

impl Observer {
    fn run(mut self) {
        loop {
            // Before the read: what changes after it is then sure to wake us.
            self.directories.follow(&self.path);
            let seen = super::read(&self.path);
            if seen != *self.contents.borrow() {
                let Some(settled) = self.settle(seen) else { return };
                // False where an edit was taken back while it settled.
                self.contents.send_if_modified(|told| {
                    let differs = *told != settled;
                    *told = settled;
                    differs
                });
            } else if self.signal.pause(QUIET) {
                // A log that grows beside the file wakes us without end; this bounds what that costs.
                return;
            }
            if self.signal.wait(POLL) {
                return;
            }
        }
    }

    /// Reads until two reads in a row agree; `None`: stopped.
    fn settle(&self, mut seen: Contents) -> Option<Contents> {
        loop {
            if self.signal.pause(QUIET) {
                return None;
            }
            let again = super::read(&self.path);
            if again == seen {
                return Some(again);
            }
            seen = again;
        }
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
        let watcher =
            notify::recommended_watcher(wake).inspect_err(|error| tracing::warn!(%error, "no file events, polling the configuration"));
        Directories { watcher: watcher.ok(), watched: HashMap::new() }
    }

    /// Watches the directories that the path leads through now, and no others.
    fn follow(&mut self, path: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: HashMap<PathBuf, (u64, u64)> = directories(path)
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

    async fn next(watch: &mut Watch) -> Contents {
        tokio::time::timeout(DEADLINE, watch.changed()).await.expect("a change within the deadline").expect("the watch lives")
    }

    async fn expect_text(watch: &mut Watch, text: &str) {
        assert_eq!(next(watch).await.as_deref().ok(), Some(text));
    }

    /// A file with contents `one`, under watch.
    fn watched(directory: &Path) -> (PathBuf, Watch) {
        let path = directory.join("tidegate.toml");
        fs::write(&path, "one").unwrap();
        let watch = Watch::start(&path, "one".to_owned()).unwrap();
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
        let mut watch = Watch::start(&mount.join("tidegate.toml"), "one".to_owned()).unwrap();
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
        let (sender, contents) = watch::channel(Ok("one".to_owned()));
        let signal = Arc::new(Signal::default());
        let directories = Directories { watcher: None, watched: HashMap::new() };
        let observer = Observer { path: path.clone(), directories, signal: signal.clone(), contents: sender };
        std::thread::spawn(|| observer.run());
        let mut watch = Watch { contents, signal };
        fs::write(&path, "two").unwrap();
        expect_text(&mut watch, "two").await;
    }

    #[tokio::test]
    async fn a_change_before_the_start_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.toml");
        fs::write(&path, "two").unwrap();
        let mut watch = Watch::start(&path, "one".to_owned()).unwrap();
        expect_text(&mut watch, "two").await;
    }

    #[test]
    fn dropping_ends_the_thread() {
        let directory = tempfile::tempdir().unwrap();
        let (_, watch) = watched(directory.path());
        let contents = watch.contents.clone();
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
