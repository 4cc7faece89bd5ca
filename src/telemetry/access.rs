//! The access log's way to the disk: never blocks a request, never ends the process, and says what it did not write.
//!
//! Every worker has a buffer of its own, behind a lock that only the writer thread shares, for the moment of exchanging it for an
//! empty one. A line is formatted straight into it: no allocation, no channel, one copy less. The writer wakes up at the first line,
//! waits `LINGER` for company and writes each buffer with one call, so lines of two workers may stand some milliseconds out of order.
//!
//! Bounds: `BUFFER_BYTES` per worker and one buffer more; a line that does not fit is dropped and counted. A line is never split
//! between two files, and one cut by a full disk is ended before the next begins.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::record::{Record, Stamp};
use super::series::LogSeries;
use crate::config::model::{AccessFormat, Log};

/// Lines of one worker that wait for the writer: a tenth of a second of the fastest worker's.
const BUFFER_BYTES: usize = 2 << 20;
/// A buffer larger than this after a burst is made smaller.
const KEPT_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_millis(10);
/// Between two reports that the log can not be written.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The log as a whole. Clones are the same log; when the last one is dropped the writer ends, without being waited for.
#[derive(Clone)]
pub struct AccessLog {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    writer: Thread,
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.shared.control).closing = true;
        self.writer.unpark();
    }
}

/// What workers, writer and owner share.
struct Shared {
    /// An `AccessFormat`, see `encode`.
    format: AtomicU8,
    shards: Mutex<Vec<Arc<Shard>>>,
    control: Mutex<Control>,
    /// Told when `control.closed` becomes true.
    closed: Condvar,
    series: Arc<LogSeries>,
}

/// Orders to the writer.
#[derive(Default)]
struct Control {
    /// Where standard output is `None`.
    path: Option<PathBuf>,
    /// To be used after what is buffered now.
    next: Option<File>,
    closing: bool,
    closed: bool,
}

#[derive(Default)]
struct Shard {
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    stamp: Stamp,
}

impl AccessLog {
    /// Opens the file (appending, made if missing, readable by owner and group) and starts the writer thread.
    /// Fails where the file can not be opened; the error names it.
    pub fn open(config: &Log, series: Arc<LogSeries>) -> io::Result<AccessLog> {
        let file = open(config)?;
        let shared = Arc::new(Shared {
            format: AtomicU8::new(encode(config.access)),
            shards: Mutex::default(),
            control: Mutex::new(Control { path: config.access_file.clone(), ..Control::default() }),
            closed: Condvar::new(),
            series,
        });
        let writer = Writer { shared: Arc::clone(&shared), spare: Vec::new(), output: Output::new(file) };
        let writer = thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?.thread().clone();
        Ok(AccessLog { owner: Arc::new(Owner { shared, writer }) })
    }

    /// A worker's own way in.
    pub fn lines(&self) -> Lines {
        let shard = Arc::new(Shard::default());
        lock(&self.owner.shared.shards).push(Arc::clone(&shard));
        Lines { shared: Arc::clone(&self.owner.shared), shard, writer: self.owner.writer.clone() }
    }

    /// Follows a reload: another format, another file. On an error the log goes on as it was. A few lines written at that moment
    /// may still go to the old file in the new format.
    pub fn reconfigure(&self, config: &Log) -> io::Result<()> {
        let file = open(config)?;
        let mut control = lock(&self.owner.shared.control);
        control.path.clone_from(&config.access_file);
        control.next = file;
        drop(control);
        self.owner.shared.format.store(encode(config.access), Ordering::Relaxed);
        self.owner.writer.unpark();
        Ok(())
    }

    /// Opens the file again under its name: after it was moved away. On an error the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let mut control = lock(&self.owner.shared.control);
        if let Some(path) = &control.path {
            control.next = Some(open_file(path)?);
            self.owner.writer.unpark();
        }
        Ok(())
    }

    /// Writes what is buffered and ends the writer. `false`: it did not manage in that time, and lines may be missing.
    pub fn close(&self, within: Duration) -> bool {
        let mut control = lock(&self.owner.shared.control);
        control.closing = true;
        self.owner.writer.unpark();
        let waited = self.owner.shared.closed.wait_timeout_while(control, within, |control| !control.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Lines dropped because the writer was behind.
    pub fn dropped(&self) -> u64 {
        self.owner.shared.series.dropped()
    }

    /// Lines lost because they could not be written.
    pub fn lost(&self) -> u64 {
        self.owner.shared.series.lost()
    }
}

/// One worker's end of the log.
pub struct Lines {
    shared: Arc<Shared>,
    shard: Arc<Shard>,
    writer: Thread,
}

impl Lines {
    /// Whether a record is worth making.
    #[inline]
    pub fn enabled(&self) -> bool {
        self.format() != AccessFormat::Off
    }

    /// Appends the record's line, or drops and counts it. Does not wait.
    pub fn write(&self, record: &Record<'_>) {
        let mut buffer = lock(&self.shard.buffer);
        let Buffer { lines, stamp } = &mut *buffer;
        let before = lines.len();
        if before < BUFFER_BYTES {
            record.write(self.format(), stamp, lines);
        }
        if before >= BUFFER_BYTES || lines.len() > BUFFER_BYTES {
            lines.truncate(before);
            self.shared.series.drop_line();
        } else if before == 0 {
            drop(buffer);
            self.writer.unpark();
        }
    }

    fn format(&self) -> AccessFormat {
        match self.shared.format.load(Ordering::Relaxed) {
            0 => AccessFormat::Off,
            1 => AccessFormat::Json,
            _ => AccessFormat::Combined,
        }
    }
}

fn encode(format: AccessFormat) -> u8 {
    match format {
        AccessFormat::Off => 0,
        AccessFormat::Json => 1,
        AccessFormat::Combined => 2,
    }
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    /// Given to the next shard for the one taken from it.
    spare: Vec<u8>,
    output: Output,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Before what is buffered is taken: all that was logged before an order is written where the order found it.
            let (next, closing) = {
                let mut control = lock(&self.shared.control);
                (control.next.take(), control.closing)
            };
            self.write_buffers();
            if next.is_some() {
                self.output = Output::new(next);
            }
            if closing {
                lock(&self.shared.control).closed = true;
                return self.shared.closed.notify_all();
            }
            thread::park();
            linger();
        }
    }

    fn write_buffers(&mut self) {
        // Cloned, so that a worker that starts does not wait for the disk.
        let shards = lock(&self.shared.shards).clone();
        for shard in &shards {
            std::mem::swap(&mut lock(&shard.buffer).lines, &mut self.spare);
            if !self.spare.is_empty() {
                self.output.write(&self.spare, &self.shared.series);
                self.spare.clear();
                self.spare.shrink_to(KEPT_BYTES);
            }
        }
        drop(shards);
        // Those of workers that have ended, once they are empty.
        lock(&self.shared.shards).retain(|shard| Arc::strong_count(shard) > 1 || !lock(&shard.buffer).lines.is_empty());
    }
}

/// The file in use and how it fares.
struct Output {
    /// `None`: the log is off.
    file: Option<File>,
    /// The last write stopped inside a line.
    torn: bool,
    /// When a failure was last reported; `None`: the last write went well.
    reported: Option<Instant>,
}

impl Output {
    fn new(file: Option<File>) -> Output {
        Output { file, torn: false, reported: None }
    }

    /// Writes whole lines, or counts those that it could not write.
    fn write(&mut self, lines: &[u8], series: &LogSeries) {
        let Some(file) = &mut self.file else { return };
        let mut result = Ok(());
        if self.torn {
            result = write_some(file, b"\n").1;
            self.torn = result.is_err();
        }
        let mut written = 0;
        if result.is_ok() {
            (written, result) = write_some(file, lines);
            self.torn = written > 0 && lines[written - 1] != b'\n';
        }
        match result {
            Ok(()) if self.reported.take().is_some() => info!("access log: written again"),
            Ok(()) => {}
            Err(error) => {
                series.lose(lines[written..].iter().filter(|byte| **byte == b'\n').count() as u64);
                if self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                    error!(%error, lost = series.lost(), "access log: can not be written, lines are lost");
                    self.reported = Some(Instant::now());
                }
            }
        }
    }
}

/// Lets lines gather, or a slow reader read.
fn linger() {
    #[expect(clippy::disallowed_methods, reason = "only the writer's own thread gets here")]
    thread::sleep(LINGER);
}

/// `write_all` that says how far it came.
fn write_some(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Standard output may be a pipe that somebody made non-blocking; its reader is slow, not gone.
            Err(error) if error.kind() == ErrorKind::WouldBlock => linger(),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// `None` where the log is off.
fn open(config: &Log) -> io::Result<Option<File>> {
    match (config.access, &config.access_file) {
        (AccessFormat::Off, _) => Ok(None),
        (_, Some(path)) => open_file(path).map(Some),
        (_, None) => Ok(Some(File::from(io::stdout().as_fd().try_clone_to_owned()?))),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("access log `{}`: {error}", path.display())))
}

/// Nothing that is locked here is ever left half changed, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
