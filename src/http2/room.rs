//! How much a client may send ahead on one stream: little, and more where one or two upload and are read as they come.
//!
//! An upload moves one window in a round trip. All streams share the connection's window, and what nobody reads keeps its part of it, so
//! a stream's own is small: enough of them may stand still before the others do. A client with one long upload pays for that with its
//! speed, and for no reason, as there are no others.
//!
//! `h2` widens no single stream: windows follow SETTINGS_INITIAL_WINDOW_SIZE, for all streams of a connection at once, those that are open
//! too. So the rule is the connection's. It is widened once an upload has been seen to be read, while there are few; it is narrow again
//! as soon as there are more. Whatever they are told, all together have no more than the connection's window.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// What a stream may have on its way, most of the time.
pub const NARROW: u32 = 128 << 10;
/// And where it is read as it comes.
const WIDE: u32 = 512 << 10;
/// Uploads at once, at most, among which one may be wide. Should they stand still, the connection has three quarters of its window left.
const FEW: usize = 2;
/// To be read as it comes is to be read so much in so short a time.
const READ_BYTES: u64 = 2 * NARROW as u64;
const READ_TIME: Duration = Duration::from_secs(2);

/// One connection's.
#[derive(Debug, Default)]
pub struct Room {
    uploads: Cell<usize>,
    wide: Cell<bool>,
    /// What the client was told last.
    told_wide: Cell<bool>,
}

impl Room {
    /// What streams are to have from now on, where the client has not been told.
    pub fn news(&self) -> Option<u32> {
        (self.wide.get() != self.told_wide.get()).then(|| if self.wide.get() { WIDE } else { NARROW })
    }

    /// The client is told.
    pub fn tells(&self) {
        self.told_wide.set(self.wide.get());
    }
}

/// One request with content, while there is more of it.
#[derive(Debug)]
pub struct Upload {
    room: Rc<Room>,
    /// Read since then.
    read: u64,
    since: Duration,
}

impl Upload {
    pub fn new(room: Rc<Room>, now: Duration) -> Upload {
        room.uploads.set(room.uploads.get() + 1);
        if room.uploads.get() > FEW {
            room.wide.set(false);
        }
        Upload { room, read: 0, since: now }
    }

    /// So much has come, and whoever reads it was waiting for it.
    pub fn read(&mut self, now: Duration, bytes: usize) {
        self.read += bytes as u64;
        if self.read < READ_BYTES {
            return;
        }
        if now.saturating_sub(self.since) <= READ_TIME && self.room.uploads.get() <= FEW {
            self.room.wide.set(true);
        }
        (self.read, self.since) = (0, now);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.room.uploads.set(self.room.uploads.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALL: usize = READ_BYTES as usize;

    #[test]
    fn an_upload_that_is_read_as_it_comes_gets_more_room() {
        let room = Rc::new(Room::default());
        let mut upload = Upload::new(room.clone(), SECOND);
        upload.read(SECOND, ALL - 1);
        assert_eq!(room.news(), None);
        upload.read(2 * SECOND, 1);
        assert_eq!(room.news(), Some(WIDE));
        room.tells();
        assert_eq!(room.news(), None);
        // The next one finds it so.
        drop(upload);
        let _next = Upload::new(room.clone(), 3 * SECOND);
        assert_eq!(room.news(), None);
    }

    #[test]
    fn one_that_is_read_slowly_does_not() {
        let room = Rc::new(Room::default());
        let mut upload = Upload::new(room.clone(), SECOND);
        for second in 1..100 {
            upload.read(SECOND * second, ALL / 4);
            assert_eq!(room.news(), None);
        }
        // It may become quicker.
        for _ in 0..8 {
            upload.read(100 * SECOND, ALL / 4);
        }
        assert_eq!(room.news(), Some(WIDE));
    }

    #[test]
    fn where_there_are_many_all_have_little() {
        let room = Rc::new(Room::default());
        let mut uploads: Vec<_> = (0..FEW).map(|_| Upload::new(room.clone(), SECOND)).collect();
        uploads[0].read(SECOND, ALL);
        assert_eq!(room.news(), Some(WIDE));
        room.tells();
        uploads.push(Upload::new(room.clone(), SECOND));
        assert_eq!(room.news(), Some(NARROW));
        room.tells();
        uploads[0].read(SECOND, ALL);
        assert_eq!(room.news(), None);
        uploads.pop();
        assert_eq!(room.news(), None);
        uploads[0].read(SECOND, ALL);
        assert_eq!(room.news(), Some(WIDE));
        // Before the client could be told, it is not so any more.
        uploads.push(Upload::new(room.clone(), SECOND));
        assert_eq!(room.news(), None);
    }
}
